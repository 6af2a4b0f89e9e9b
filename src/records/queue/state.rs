//! What a queue knows of its stream's records, as a state machine without clock and I/O.
//!
//! Of each shard the queue keeps one index, `next`: no record from there on was ever received. Of
//! those below, only the *unsettled* ones are kept: received and not acknowledged, restored, or
//! dead. A record below `next` that is not among them is settled. So the memory of a queue grows with
//! what is unsettled, not with the stream.
//!
//! An unsettled record is in exactly one of four places:
//!
//! ```text
//!            take          deliver              its time comes
//!   ready ─────────▶ taken ────────▶ invisible ───────────────▶ ready, or dead when received
//!     ▲                │                                        as often as is allowed
//!     ├────────────────┘ put_back
//!     └── restore ── dead ──take──▶ taken ──deliver──▶ invisible ──▶ dead
//! ```
//!
//! A receive has two steps, since between them the record is read from the disk: [`State::take`]
//! reserves records for one receiver, in memory only; [`State::deliver`] makes those deliveries
//! which could be read. What a change makes true comes as events for the journal; a state that is
//! made anew from them goes on where this one was.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use super::event::{Event, Standing};
use super::place::{Place, Receipt};
use crate::types::{Millis, ServerTimestamp, StreamId};

/// The most records of a queue that may be with receivers at the same time.
pub const MAX_IN_FLIGHT: usize = 120_000;
/// The most records of a queue that may be unsettled: at about 150 bytes each, this bounds its
/// memory. Those that were received before are still given out then, and new ones wait.
pub const MAX_UNSETTLED: usize = 500_000;
/// Records that become dead letters in one step, so that no step takes long.
const MAX_DYING: usize = 1000;

/// A queue's state.
#[derive(Debug, Default)]
pub struct State {
    shards: BTreeMap<StreamId, Shard>,
    ready: BTreeSet<(ServerTimestamp, Place)>,
    invisible: BTreeSet<(ServerTimestamp, Place)>,
    dead: BTreeSet<(ServerTimestamp, Place)>,
    taken: usize,
    dead_letters: usize,
    /// Bytes of the unsettled records that are no dead letters.
    bytes: u64,
    /// The number of the next receipt, less one.
    receipts: u64,
    /// After how many receives a record becomes a dead letter.
    max_receives: Option<u32>,
    /// Whether the next record to be taken is preferably one that was received before.
    again: bool,
    /// The shard from which a new record was taken last.
    last_shard: Option<StreamId>,
}

#[derive(Debug, Default)]
struct Shard {
    /// No record from here on was ever received.
    next: u64,
    /// The index behind the newest record.
    end: u64,
    unsettled: BTreeMap<u64, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    standing: Standing,
    /// Reserved for a receiver that does not have it yet.
    taken: bool,
}

/// What is to be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Records that are no dead letters.
    Live,
    /// Dead letters.
    Dead,
}

/// A record that a receiver gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which delivery of which record.
    pub receipt: Receipt,
    /// How often it was received, with this time.
    pub receives: u32,
    /// When it was first received.
    pub first: ServerTimestamp,
}

/// The receipt is not that of the record's newest delivery, or the record is gone: acknowledged,
/// expired, or moved to or from the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receipt handle is not of the record's newest delivery")]
pub struct Stale;

/// How many records stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Unsettled ones that are no dead letters: in flight, or waiting to be received again.
    pub live: usize,
    /// Their bytes, as far as known.
    pub bytes: u64,
    /// Records with receivers now, dead letters among them.
    pub in_flight: usize,
    /// Dead letters, in flight or not.
    pub dead: usize,
}

impl State {
    /// Sets after how many receives a record becomes a dead letter; `None` is never. Applies to
    /// records when their visibility timeout ends; dead letters stay dead.
    pub fn set_max_receives(&mut self, max: Option<u32>) {
        self.max_receives = max;
    }

    /// The shards that the queue knows.
    pub fn shards(&self) -> impl Iterator<Item = StreamId> {
        self.shards.keys().copied()
    }

    /// Whether the queue knows a shard.
    pub fn knows(&self, shard: StreamId) -> bool {
        self.shards.contains_key(&shard)
    }

    /// Lets a shard begin at an index, or takes notice that what lies below it expired.
    pub fn begin(&mut self, shard: StreamId, index: u64, events: &mut Vec<Event>) {
        self.change(Event::From { shard, index }, events);
    }

    /// Takes notice of which records a shard has: from `first` on, up to the one before `end`.
    pub fn observe(&mut self, id: StreamId, first: u64, end: u64, events: &mut Vec<Event>) {
        let shard = self.shards.get(&id);
        let lowest = shard.and_then(|shard| Some(*shard.unsettled.first_key_value()?.0));
        let passed = shard.is_none_or(|shard| shard.next < first);
        if passed || lowest.is_some_and(|lowest| lowest < first) {
            self.begin(id, first, events);
        }
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.end = shard.end.max(end);
        }
    }

    /// Forgets a shard that is gone.
    pub fn forget(&mut self, shard: StreamId, events: &mut Vec<Event>) {
        if self.shards.contains_key(&shard) {
            self.change(Event::Forgotten(shard), events);
        }
    }

    /// Reserves up to `limit` records for one receiver. Each must be given to
    /// [`State::deliver`] or [`State::put_back`].
    pub fn take(
        &mut self,
        kind: Kind,
        limit: usize,
        now: ServerTimestamp,
        events: &mut Vec<Event>,
    ) -> Vec<Place> {
        self.tick(now, events);
        let mut places = Vec::new();
        while places.len() < limit && self.in_flight() < MAX_IN_FLIGHT {
            let next = match kind {
                Kind::Dead => self.dead.pop_first().map(|(_, place)| place),
                // In turns, so that records which fail again and again do not keep others waiting.
                Kind::Live if self.again => self.take_again(events).or_else(|| self.take_new()),
                Kind::Live => self.take_new().or_else(|| self.take_again(events)),
            };
            let Some(place) = next else { break };
            self.again ^= kind == Kind::Live;
            if let Some(entry) = self.entry_mut(place) {
                entry.taken = true;
                self.taken += 1;
                places.push(place);
            }
        }
        places
    }

    /// Whether records wait that are not given out, because too many are in flight or unsettled.
    pub fn is_full(&self) -> bool {
        let new = self.shards.values().any(|shard| shard.next < shard.end);
        self.in_flight() >= MAX_IN_FLIGHT || (new && self.unsettled() >= MAX_UNSETTLED)
    }

    /// Delivers a record of so many bytes that was taken; `None` when it was acknowledged or expired
    /// meanwhile. It is invisible to others for as long as `visibility`.
    pub fn deliver(
        &mut self,
        place: Place,
        bytes: usize,
        visibility: Millis,
        now: ServerTimestamp,
        events: &mut Vec<Event>,
    ) -> Option<Delivery> {
        let entry = self.entry_mut(place).filter(|entry| entry.taken)?;
        let mut standing = entry.standing;
        if standing.receives == 0 {
            standing.first = now;
        }
        standing.receives = standing.receives.saturating_add(1);
        standing.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        standing.visible = now.plus(visibility);
        standing.receipt = self.receipts + 1;
        self.change(Event::Unsettled { place, standing }, events);
        let receipt = Receipt { place, number: standing.receipt, dead: standing.dead };
        Some(Delivery { receipt, receives: standing.receives, first: standing.first })
    }

    /// Gives back a record that was taken, as if it had not been.
    pub fn put_back(&mut self, place: Place) {
        let entry = self.entry_mut(place).filter(|entry| entry.taken);
        if let Some(standing) = entry.map(|entry| entry.standing) {
            self.set(place, standing);
        }
    }

    /// Settles a record that was taken and can never be delivered.
    pub fn give_up(&mut self, place: Place, events: &mut Vec<Event>) {
        if self.entry_mut(place).is_some() {
            self.change(Event::Settled(place), events);
        }
    }

    /// Acknowledges a delivery: the record never comes again.
    pub fn acknowledge(&mut self, receipt: Receipt, events: &mut Vec<Event>) -> Result<(), Stale> {
        self.standing(receipt)?;
        self.change(Event::Settled(receipt.place), events);
        Ok(())
    }

    /// Lets a delivered record be visible again after `visibility` from now; zero is at once.
    pub fn set_visibility(
        &mut self,
        receipt: Receipt,
        visibility: Millis,
        now: ServerTimestamp,
        events: &mut Vec<Event>,
    ) -> Result<(), Stale> {
        let standing = self.free_standing(receipt)?;
        let standing = Standing { visible: now.plus(visibility), ..standing };
        self.change(Event::Unsettled { place: receipt.place, standing }, events);
        Ok(())
    }

    /// Puts a dead letter back among the others, as if it had never been received.
    pub fn restore(&mut self, receipt: Receipt, events: &mut Vec<Event>) -> Result<(), Stale> {
        let standing = self.free_standing(receipt)?;
        if !standing.dead {
            return Err(Stale);
        }
        let standing = Standing { bytes: standing.bytes, ..NEVER_RECEIVED };
        self.change(Event::Unsettled { place: receipt.place, standing }, events);
        Ok(())
    }

    /// When the next record that is in flight may become visible.
    pub fn next_visible(&self) -> Option<ServerTimestamp> {
        self.invisible.first().map(|(visible, _)| *visible)
    }

    /// How many records stand how. New ones, from [`State::unread`] on, are not among them.
    pub fn counts(&mut self, now: ServerTimestamp, events: &mut Vec<Event>) -> Counts {
        self.tick(now, events);
        Counts {
            live: self.unsettled() - self.dead_letters,
            bytes: self.bytes,
            in_flight: self.in_flight(),
            dead: self.dead_letters,
        }
    }

    /// Of each shard, the index of the first record that nobody received yet, and that of the
    /// first that is neither acknowledged nor a dead letter.
    pub fn unread(&self) -> impl Iterator<Item = (StreamId, u64, u64)> {
        self.shards.iter().map(|(&id, shard)| {
            let mut live = shard.unsettled.iter().filter(|(_, entry)| !entry.standing.dead);
            let oldest = live.next().map_or(shard.next, |(&index, _)| index);
            (id, shard.next, oldest)
        })
    }

    /// Events that make this state out of nothing, without what is taken.
    pub fn snapshot(&self) -> impl Iterator<Item = Event> {
        let shards = self.shards.iter().flat_map(|(&shard, content)| {
            let from = Event::From { shard, index: content.next };
            let entries = content.unsettled.iter().map(move |(&index, entry)| Event::Unsettled {
                place: Place { shard, index },
                standing: entry.standing,
            });
            std::iter::once(from).chain(entries)
        });
        std::iter::once(Event::Receipts(self.receipts)).chain(shards)
    }

    /// Moves what has become visible to where it may be received.
    fn tick(&mut self, now: ServerTimestamp, events: &mut Vec<Event>) {
        let mut dying = 0;
        while let Some(&(visible, place)) = self.invisible.first() {
            if visible > now || dying == MAX_DYING {
                break;
            }
            self.invisible.pop_first();
            let Some(entry) = self.entry_mut(place) else { continue };
            let standing = entry.standing;
            if standing.dead {
                self.dead.insert((visible, place));
            } else if !self.bury(place, standing, events) {
                self.ready.insert((visible, place));
            } else {
                dying += 1;
            }
        }
    }

    /// Makes a record a dead letter if it was received as often as is allowed.
    fn bury(&mut self, place: Place, standing: Standing, events: &mut Vec<Event>) -> bool {
        if self.max_receives.is_none_or(|max| standing.receives < max) {
            return false;
        }
        let standing = Standing { dead: true, ..standing };
        self.change(Event::Unsettled { place, standing }, events);
        // Its time has come already.
        self.invisible.remove(&(standing.visible, place));
        self.dead.insert((standing.visible, place));
        true
    }

    /// The record that waits longest to be received again.
    fn take_again(&mut self, events: &mut Vec<Event>) -> Option<Place> {
        for _ in 0..MAX_DYING {
            let (_, place) = self.ready.pop_first()?;
            let standing = self.entry_mut(place).map(|entry| entry.standing);
            // The limit may have been lowered since it became visible.
            if standing.is_some_and(|standing| !self.bury(place, standing, events)) {
                return Some(place);
            }
        }
        None
    }

    /// The next record that nobody received yet: of the shard it was taken from last while that has
    /// some, since those are read together, and of the others in turn.
    fn take_new(&mut self) -> Option<Place> {
        if self.unsettled() >= MAX_UNSETTLED {
            return None;
        }
        let last = self.last_shard.unwrap_or(StreamId(0));
        let shards = self.shards.range(last..).chain(self.shards.range(..last));
        let (&id, _) = shards.into_iter().find(|(_, shard)| shard.next < shard.end)?;
        self.last_shard = Some(id);
        let shard = self.shards.get_mut(&id)?;
        let place = Place { shard: id, index: shard.next };
        shard.next += 1;
        shard.unsettled.insert(place.index, Entry { standing: NEVER_RECEIVED, taken: false });
        Some(place)
    }

    /// How a record stands that was last delivered with this receipt.
    fn standing(&mut self, receipt: Receipt) -> Result<Standing, Stale> {
        let standing = self.entry_mut(receipt.place).map(|entry| entry.standing);
        let newest = (receipt.number, receipt.dead);
        standing.filter(|standing| (standing.receipt, standing.dead) == newest).ok_or(Stale)
    }

    /// The same, unless the record is about to be delivered to somebody else.
    fn free_standing(&mut self, receipt: Receipt) -> Result<Standing, Stale> {
        let standing = self.standing(receipt)?;
        let taken = self.entry_mut(receipt.place).is_some_and(|entry| entry.taken);
        if taken { Err(Stale) } else { Ok(standing) }
    }

    fn change(&mut self, event: Event, events: &mut Vec<Event>) {
        self.apply(event);
        events.push(event);
    }

    /// Makes true what an event says, one of the journal too.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::From { shard, index } => self.start_at(shard, index),
            Event::Unsettled { place, standing } => {
                self.receipts = self.receipts.max(standing.receipt);
                self.pass(place);
                self.set(place, standing);
            }
            Event::Settled(place) => {
                self.pass(place);
                self.remove(place);
            }
            Event::Forgotten(shard) => {
                self.start_at(shard, u64::MAX);
                self.shards.remove(&shard);
            }
            Event::Receipts(next) => self.receipts = self.receipts.max(next),
        }
    }

    fn start_at(&mut self, id: StreamId, index: u64) {
        let shard = self.shards.entry(id).or_default();
        shard.next = shard.next.max(index);
        shard.end = shard.end.max(shard.next);
        while let Some((&lowest, _)) =
            self.shards.get(&id).and_then(|s| s.unsettled.first_key_value())
            && lowest < index
        {
            self.remove(Place { shard: id, index: lowest });
        }
    }

    /// Makes records that were passed over, since other receivers had taken them, ones to be
    /// received. Only when the journal is read: else they are known. More than can have been
    /// taken had expired, and the event that said so was not stored since the disk was full.
    fn pass(&mut self, place: Place) {
        let room = (MAX_UNSETTLED + MAX_IN_FLIGHT).saturating_sub(self.unsettled());
        let shard = self.shards.entry(place.shard).or_default();
        let passed = shard.next.max(place.index.saturating_sub(room as u64))..place.index;
        shard.next = shard.next.max(place.index.saturating_add(1));
        shard.end = shard.end.max(shard.next);
        passed.for_each(|index| self.set(Place { index, ..place }, NEVER_RECEIVED));
    }

    /// Sets how a record stands, and puts it where it belongs.
    fn set(&mut self, place: Place, standing: Standing) {
        self.remove(place);
        let Some(shard) = self.shards.get_mut(&place.shard) else { return };
        shard.unsettled.insert(place.index, Entry { standing, taken: false });
        let key = (standing.visible, place);
        if standing.visible == NEVER_RECEIVED.visible {
            self.ready.insert(key);
        } else {
            self.invisible.insert(key);
        }
        if standing.dead {
            self.dead_letters += 1;
        } else {
            self.bytes += u64::from(standing.bytes);
        }
    }

    fn remove(&mut self, place: Place) {
        let shard = self.shards.get_mut(&place.shard);
        let entry = shard.and_then(|shard| shard.unsettled.remove(&place.index));
        let Some(Entry { standing, taken }) = entry else { return };
        let key = (standing.visible, place);
        if taken {
            self.taken -= 1;
        } else if !self.invisible.remove(&key) {
            self.ready.remove(&key);
            self.dead.remove(&key);
        }
        if standing.dead {
            self.dead_letters -= 1;
        } else {
            self.bytes -= u64::from(standing.bytes);
        }
    }

    fn entry_mut(&mut self, place: Place) -> Option<&mut Entry> {
        match self.shards.get_mut(&place.shard)?.unsettled.entry(place.index) {
            btree_map::Entry::Occupied(entry) => Some(entry.into_mut()),
            btree_map::Entry::Vacant(_) => None,
        }
    }

    fn in_flight(&self) -> usize {
        self.taken + self.invisible.len()
    }

    fn unsettled(&self) -> usize {
        self.taken + self.invisible.len() + self.ready.len() + self.dead.len()
    }
}

/// How a record stands that is to be received as if for the first time.
const NEVER_RECEIVED: Standing = Standing {
    receives: 0,
    bytes: 0,
    first: ServerTimestamp::MIN,
    visible: ServerTimestamp::MIN,
    receipt: 0,
    dead: false,
};

#[cfg(test)]
mod tests;
