//! Producers that retry may name a record, so that it is stored once.
//!
//! A name counts within its shard, for a bounded time and up to a bounded number of later names. It
//! is stored with the record, as a hash; after a start, the window is read back from the newest
//! records when the shard is first asked.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::sequence::SequenceNumber;
use crate::types::{Millis, ServerTimestamp};

/// A hash of the name that a producer gave a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DedupeKey(pub(super) u128);

impl DedupeKey {
    /// The key of a name. Two names have the same with a chance of one in 2¹²⁸.
    pub fn new(name: &[u8]) -> Self {
        let digest = Sha256::digest(name);
        let half = digest.first_chunk().expect("a SHA-256 digest has 32 bytes");
        Self(u128::from_be_bytes(*half))
    }
}

/// The record that has a key.
#[derive(Clone, Debug)]
pub enum Known {
    /// It is stored.
    Stored(SequenceNumber),
    /// It is on its way to the disk. The channel closes without a number when it did not get there.
    Pending(watch::Receiver<Option<SequenceNumber>>),
}

/// The keys that a shard took lately.
#[derive(Debug)]
pub struct DedupeWindow {
    length: Millis,
    max_keys: usize,
    known: HashMap<DedupeKey, (Known, ServerTimestamp)>,
    /// In the order in which they were put.
    order: VecDeque<(DedupeKey, ServerTimestamp)>,
}

impl DedupeWindow {
    /// An empty one.
    pub fn new(length: Millis, max_keys: usize) -> Self {
        Self { length, max_keys, known: HashMap::new(), order: VecDeque::new() }
    }

    /// The record that was put with this key within the window.
    pub fn find(&self, key: DedupeKey, now: ServerTimestamp) -> Option<&Known> {
        let (known, at) = self.known.get(&key)?;
        (now.since(*at) < self.length).then_some(known)
    }

    /// Takes in a record that is put now.
    pub fn insert(&mut self, key: DedupeKey, record: Known, now: ServerTimestamp) {
        self.known.insert(key, (record, now));
        self.order.push_back((key, now));
        while let Some(&(oldest, at)) = self.order.front() {
            if self.order.len() <= self.max_keys && now.since(at) < self.length {
                break;
            }
            self.order.pop_front();
            // The key may have been put again since.
            if self.known.get(&oldest).is_some_and(|(_, put)| *put == at) {
                self.known.remove(&oldest);
            }
        }
    }

    /// A record that was pending is stored; or is not, and its key is free again.
    pub fn settle(&mut self, key: DedupeKey, stored: Option<SequenceNumber>) {
        match (self.known.get_mut(&key), stored) {
            (Some((known, _)), Some(number)) => *known = Known::Stored(number),
            (_, None) => drop(self.known.remove(&key)),
            (None, Some(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ShardId;
    use proptest::prelude::*;

    fn at(millis: i64) -> ServerTimestamp {
        ServerTimestamp::from_millis(millis)
    }

    fn record(index: u64) -> Known {
        Known::Stored(SequenceNumber::new(ShardId(0), 0, index, at(0)))
    }

    fn found(window: &DedupeWindow, name: &[u8], now: i64) -> Option<u64> {
        match window.find(DedupeKey::new(name), at(now))? {
            Known::Stored(number) => Some(number.index()),
            Known::Pending(_) => None,
        }
    }

    #[test]
    fn key_is_known_for_the_length_of_the_window() {
        let mut window = DedupeWindow::new(Millis(100), 10);
        let key = DedupeKey::new(b"order-1");
        window.insert(key, record(1), at(0));
        assert_eq!(found(&window, b"order-1", 99), Some(1));
        assert_eq!(found(&window, b"order-1", 100), None);
        window.insert(key, record(7), at(150));
        assert_eq!(found(&window, b"order-1", 200), Some(7));
        assert_eq!(found(&window, b"order-2", 200), None);
    }

    #[test]
    fn key_of_a_record_that_was_not_stored_is_free_again() {
        let mut window = DedupeWindow::new(Millis(100), 10);
        let (tell, pending) = watch::channel(None);
        let key = DedupeKey::new(b"order-1");
        window.insert(key, Known::Pending(pending), at(0));
        assert!(matches!(window.find(key, at(1)), Some(Known::Pending(_))));
        drop(tell);
        window.settle(key, None);
        assert!(window.find(key, at(1)).is_none());
    }

    proptest! {
        #[test]
        fn window_stays_within_its_bounds_and_knows_the_newest(
            puts in proptest::collection::vec((0u8..40, 0i64..30), 1..200)
        ) {
            let mut window = DedupeWindow::new(Millis(100), 8);
            let mut now = 0;
            for (index, (name, pause)) in (1u64..).zip(puts) {
                now += pause;
                if found(&window, &[name], now).is_none() {
                    window.insert(DedupeKey::new(&[name]), record(index), at(now));
                }
                prop_assert!(found(&window, &[name], now).is_some());
                prop_assert!(window.known.len() <= 8 && window.order.len() <= 8);
            }
        }
    }
}
