//! A bounded cache: what was used longest ago goes first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many bytes a cached value holds.
pub trait Weight {
    /// Bytes outside of the cache's own tables.
    fn weight(&self) -> usize;
}

/// A map whose values together stay below a number of bytes. Values are cheap to clone.
pub struct Cache<K, V> {
    limit: usize,
    table: Mutex<Table<K, V>>,
}

struct Table<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// What was asked for in vain lately, and not kept; the latest at the end.
    missed: VecDeque<K>,
    /// Keys by the time of their last use.
    used: BTreeMap<u64, K>,
    /// Counts uses.
    clock: u64,
    bytes: usize,
}

struct Entry<V> {
    value: V,
    used: u64,
}

/// Bytes that an entry costs besides its value: key, links, allocation.
const ENTRY_OVERHEAD: usize = 256;
/// Keys that are remembered as missed.
const MISSED: usize = 256;

impl<K: Copy + Eq + Hash, V: Clone + Weight> Cache<K, V> {
    /// An empty cache of at most `limit` bytes; with 0 it keeps nothing.
    pub fn new(limit: usize) -> Self {
        let table = Table {
            entries: HashMap::new(),
            missed: VecDeque::new(),
            used: BTreeMap::new(),
            clock: 0,
            bytes: 0,
        };
        Self { limit, table: Mutex::new(table) }
    }

    /// The value of a key, which is then the most recently used.
    pub fn get(&self, key: &K) -> Option<V> {
        let mut guard = self.lock();
        let table = &mut *guard;
        let entry = table.entries.get_mut(key)?;
        table.clock += 1;
        table.used.remove(&entry.used);
        table.used.insert(table.clock, *key);
        entry.used = table.clock;
        Some(entry.value.clone())
    }

    /// Whether a key was missed before, lately: then its value is worth keeping. If not, it is
    /// remembered as missed.
    pub fn missed_before(&self, key: K) -> bool {
        let mut table = self.lock();
        if let Some(at) = table.missed.iter().rposition(|missed| *missed == key) {
            table.missed.remove(at);
            return true;
        }
        if table.missed.len() == MISSED {
            table.missed.pop_front();
        }
        table.missed.push_back(key);
        false
    }

    /// Keeps a value, in the place of an earlier one and of those used longest ago. A value that
    /// would fill more than a quarter of the cache is not kept: it would push out all others.
    pub fn insert(&self, key: K, value: V) {
        let cost = cost(&value);
        if cost > self.limit / 4 {
            return;
        }
        let mut guard = self.lock();
        let table = &mut *guard;
        table.remove(&key);
        while table.bytes + cost > self.limit {
            let Some((_, &oldest)) = table.used.first_key_value() else { break };
            table.remove(&oldest);
        }
        table.clock += 1;
        table.used.insert(table.clock, key);
        table.entries.insert(key, Entry { value, used: table.clock });
        table.bytes += cost;
    }

    /// A panic elsewhere leaves the tables whole: each change of them is complete before the lock
    /// is given back.
    fn lock(&self) -> MutexGuard<'_, Table<K, V>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V: Weight> Table<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.used.remove(&entry.used);
            self.bytes -= cost(&entry.value);
        }
    }
}

fn cost<V: Weight>(value: &V) -> usize {
    value.weight() + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn segment(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes - ENTRY_OVERHEAD])
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let cache = Cache::new(4000);
        (0..4).for_each(|key| cache.insert(key, segment(1000)));
        assert!(cache.get(&0).is_some());
        cache.insert(4, segment(1000));
        let kept: Vec<_> = (0..5).filter(|key| cache.get(key).is_some()).collect();
        assert_eq!(kept, [0, 2, 3, 4]);
    }

    #[test]
    fn a_value_that_would_push_out_the_others_is_not_kept() {
        let cache = Cache::new(4000);
        cache.insert(1, segment(1000));
        cache.insert(2, segment(1001));
        assert!(cache.get(&1).is_some() && cache.get(&2).is_none());
        let none = Cache::new(0);
        none.insert(1, segment(ENTRY_OVERHEAD));
        assert!(none.get(&1).is_none());
    }

    #[test]
    fn a_miss_is_remembered_until_it_came_again_or_many_others_did() {
        let cache = Cache::<_, Bytes>::new(4000);
        assert!(!cache.missed_before(0) && !cache.missed_before(1) && cache.missed_before(0));
        assert!(!cache.missed_before(0), "the second time counts for one value");
        (2..=MISSED).for_each(|key| assert!(!cache.missed_before(key)));
        assert!(!cache.missed_before(1) && cache.missed_before(MISSED));
    }

    #[test]
    fn bytes_are_counted_exactly_through_replacement_and_eviction() {
        let cache = Cache::new(10_000);
        for step in 0..1000usize {
            cache.insert(step * 7 % 13, segment(ENTRY_OVERHEAD + step * 31 % 2000));
            let table = cache.lock();
            let sum: usize = table.entries.values().map(|entry| cost(&entry.value)).sum();
            assert_eq!((table.bytes, table.used.len()), (sum, table.entries.len()));
            assert!(table.bytes <= 10_000);
        }
    }
}
