//! How much media is held in memory that is not durable yet: one bound over all producers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::locked;

/// No producer is receiving.
const NOBODY: u64 = u64::MAX;

/// The bytes that all producers hold together: of fragments that are being received, and of those on
/// their way to the disk. At the limit everybody waits for the disk. When nothing is on its way
/// there, the one that began its fragment first goes on: so some fragment always gets complete, and
/// no more than one goes beyond the limit.
#[derive(Debug)]
pub struct HeldBytes {
    limit: u64,
    bytes: AtomicU64,
    /// Those of `bytes` that are on their way to the disk.
    queued: AtomicU64,
    /// The turns of those who receive.
    turns: Mutex<Turns>,
    /// The smallest turn, or [`NOBODY`].
    first: AtomicU64,
    /// Tells that there may be room, or that another is the first.
    room: Notify,
}

#[derive(Debug, Default)]
struct Turns {
    receiving: BTreeSet<u64>,
    last: u64,
}

/// Bytes on their way to the disk; they count until this is dropped.
#[derive(Debug)]
pub struct Held {
    all: Arc<HeldBytes>,
    bytes: u64,
}

/// One producer's share: what it has sent of a fragment that is not complete.
#[derive(Debug)]
pub struct Receiving {
    all: Arc<HeldBytes>,
    bytes: u64,
    turn: Option<u64>,
}

impl HeldBytes {
    /// Nothing is held.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            bytes: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            turns: Mutex::default(),
            first: AtomicU64::new(NOBODY),
            room: Notify::new(),
        }
    }

    /// What is held now.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Counts bytes as on their way to the disk until the result is dropped.
    pub fn hold(self: &Arc<Self>, bytes: u64) -> Held {
        self.queued.fetch_add(bytes, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Held { all: self.clone(), bytes }
    }

    /// A producer that has sent nothing yet.
    pub fn receiving(self: &Arc<Self>) -> Receiving {
        Receiving { all: self.clone(), bytes: 0, turn: None }
    }

    fn release(&self, bytes: u64) {
        // Who waits does so at the limit; nobody is woken for nothing.
        if bytes > 0 && self.bytes.fetch_sub(bytes, Ordering::AcqRel) >= self.limit {
            self.room.notify_waiters();
        }
    }

    fn begin(&self) -> u64 {
        let mut turns = locked(&self.turns);
        turns.last += 1;
        let turn = turns.last;
        turns.receiving.insert(turn);
        self.choose_first(&turns);
        turn
    }

    fn end(&self, turn: u64) {
        let mut turns = locked(&self.turns);
        turns.receiving.remove(&turn);
        self.choose_first(&turns);
        drop(turns);
        self.room.notify_waiters();
    }

    fn choose_first(&self, turns: &Turns) {
        let first = turns.receiving.first().copied().unwrap_or(NOBODY);
        self.first.store(first, Ordering::Release);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.queued.fetch_sub(self.bytes, Ordering::AcqRel);
        self.all.release(self.bytes);
    }
}

impl Receiving {
    /// Tells how many bytes the producer holds now: of the fragment that is being received, and of
    /// what was read and not understood yet.
    pub fn hold(&mut self, bytes: u64) {
        if bytes > 0 && self.turn.is_none() {
            self.turn = Some(self.all.begin());
        }
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.all.bytes.fetch_add(bytes.saturating_sub(before), Ordering::AcqRel);
        self.all.release(before.saturating_sub(bytes));
    }

    /// The fragment is complete: whoever waits longer goes first with the next one.
    pub fn complete(&mut self) {
        self.end_turn();
        // What was read of the next fragment already is to become complete, too.
        self.hold(self.bytes);
    }

    fn end_turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.all.end(turn);
        }
    }

    /// Waits until the producer may be read on. Dropping the future loses nothing.
    pub async fn room(&self) {
        loop {
            let room = self.all.room.notified();
            let mut room = std::pin::pin!(room);
            // From here on no wake-up is missed.
            room.as_mut().enable();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }

    /// Whether [`Receiving::room`] would not wait.
    pub fn has_room(&self) -> bool {
        let first = || self.turn == Some(self.all.first.load(Ordering::Acquire));
        let idle = || self.all.queued.load(Ordering::Acquire) == 0;
        // A producer that holds nothing waits like the others: its first frame would need room.
        self.all.bytes() < self.all.limit || (first() && idle())
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.hold(0);
        self.end_turn();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn only_the_first_goes_on_when_the_limit_is_reached() {
        let all = Arc::new(HeldBytes::new(100));
        let (mut first, mut second) = (all.receiving(), all.receiving());
        first.hold(60);
        second.hold(60);
        assert!(first.has_room() && !second.has_room() && !all.receiving().has_room());
        assert!(second.room().now_or_never().is_none());
        first.hold(90);
        // Complete, and on its way to the disk.
        let durable_soon = all.hold(90);
        first.hold(50);
        first.complete();
        assert!(!second.has_room(), "the disk is to come first");
        drop(durable_soon);
        assert!(second.has_room(), "it is the first now");
        assert!(!first.has_room(), "its next fragment waits behind the other");
        second.hold(40);
        assert!(first.has_room(), "there is room");
        drop((first, second));
        assert_eq!(all.bytes(), 0);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_room_and_by_its_turn() {
        let all = Arc::new(HeldBytes::new(10));
        let mut first = all.receiving();
        first.hold(20);
        let mut second = all.receiving();
        second.hold(5);
        let waiting = tokio::spawn(async move {
            second.room().await;
            second
        });
        tokio::task::yield_now().await;
        drop(first);
        drop(waiting.await.expect("it does not panic"));
        let full = all.hold(10);
        let third = all.receiving();
        let waiting = tokio::spawn(async move { third.room().await });
        tokio::task::yield_now().await;
        drop(full);
        waiting.await.expect("it does not panic");
    }
}
