//! Producers that retry may name a record, so that it is stored once.
//!
//! A name counts within its shard, for a bounded time and up to a bounded number of later names. It
//! is stored with the record, as a hash; after a start, the window is read back from the newest
//! records when the shard is first asked.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};

use crate::types::{Millis, ServerTimestamp, ShardId};

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

/// Where the record with a key lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard, which may be a parent of the one that was asked.
    pub shard: ShardId,
    /// Its index in there.
    pub index: u64,
}

/// The keys that a shard took lately.
#[derive(Clone, Debug)]
pub struct DedupeWindow {
    length: Millis,
    max_keys: usize,
    places: HashMap<DedupeKey, (Place, ServerTimestamp)>,
    /// In the order in which they were put.
    order: VecDeque<(DedupeKey, ServerTimestamp)>,
}

impl DedupeWindow {
    /// An empty one.
    pub fn new(length: Millis, max_keys: usize) -> Self {
        Self { length, max_keys, places: HashMap::new(), order: VecDeque::new() }
    }

    /// The record that was put with this key within the window.
    pub fn find(&self, key: DedupeKey, now: ServerTimestamp) -> Option<Place> {
        let &(place, at) = self.places.get(&key)?;
        (now.since(at) < self.length).then_some(place)
    }

    /// Takes in a record that is put now.
    pub fn insert(&mut self, key: DedupeKey, place: Place, now: ServerTimestamp) {
        self.places.insert(key, (place, now));
        self.order.push_back((key, now));
        while let Some(&(oldest, at)) = self.order.front() {
            if self.order.len() <= self.max_keys && now.since(at) < self.length {
                break;
            }
            self.order.pop_front();
            // The key may have been put again since.
            if self.places.get(&oldest).is_some_and(|(_, put)| *put == at) {
                self.places.remove(&oldest);
            }
        }
    }

    /// Forgets a record that could not be stored.
    pub fn forget(&mut self, key: DedupeKey, place: Place) {
        if self.places.get(&key).is_some_and(|(known, _)| *known == place) {
            self.places.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> ServerTimestamp {
        ServerTimestamp::from_millis(millis)
    }

    fn place(index: u64) -> Place {
        Place { shard: ShardId(0), index }
    }

    #[test]
    fn key_is_known_for_the_length_of_the_window() {
        let mut window = DedupeWindow::new(Millis(100), 10);
        let key = DedupeKey::new(b"order-1");
        window.insert(key, place(1), at(0));
        assert_eq!(window.find(key, at(99)), Some(place(1)));
        assert_eq!(window.find(key, at(100)), None);
        window.insert(key, place(7), at(150));
        assert_eq!(window.find(key, at(200)), Some(place(7)));
        assert_eq!(window.find(DedupeKey::new(b"order-2"), at(200)), None);
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
                let key = DedupeKey::new(&[name]);
                if window.find(key, at(now)).is_none() {
                    window.insert(key, place(index), at(now));
                }
                prop_assert!(window.find(key, at(now)).is_some());
                prop_assert!(window.places.len() <= 8 && window.order.len() <= 8);
            }
        }
    }
}
