//! The part of a stream's index that is in memory: what has no row yet, and the newest.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::{Found, Record, Saved, Scope};
use crate::store::fragments::FragmentInfo;
use crate::store::kept::Kept;
use crate::store::log::entry::Lsn;
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp};

/// A stream's newest records.
///
/// Server time never decreases along the numbers, so one order serves both. Numbers come in
/// almost sorted: a session that finishes late inserts near the end.
#[derive(Debug, Default)]
pub struct Recent {
    by_number: VecDeque<Record>,
    /// Producer time and counter, which is unique in a stream.
    by_producer: BTreeSet<(ProducerTimestamp, u64)>,
    /// The longest fragment there ever was, in either part.
    longest: Millis,
    /// What has not expired, in either part.
    kept: Arc<Kept>,
    /// All fragments from this counter on are here.
    floor: u64,
    /// The newest fragment before `floor`: its counter and its breaks.
    below: Option<(u64, u32)>,
    /// What lies before this position of the log has a row, or is about to get one.
    moved: Lsn,
    /// Of those that lie behind it, the counters of those that have a row which tells where they
    /// lay before.
    relocated: BTreeSet<u64>,
}

impl Recent {
    /// Nothing in memory of a stream whose fragments all have rows, as of the position `moved`.
    /// `newest` is the last of them by number.
    pub fn behind_rows(newest: Option<Record>, saved: &Saved, moved: Lsn) -> Self {
        let below = newest.map(|record| (record.counter(), record.breaks));
        let (kept, floor) = (Arc::new(saved.state.kept.clone()), saved.state.last_counter + 1);
        Self { longest: saved.longest, kept, floor, below, moved, ..Self::default() }
    }

    /// Adds a fragment; `false` when its counter is there already, or has expired.
    pub fn insert(&mut self, record: Record) -> bool {
        let at = self.position(record.counter());
        let known = self.by_number.get(at).is_some_and(|other| other.counter() == record.counter());
        if known || !self.kept.contains(record.counter()) {
            return false;
        }
        self.by_number.insert(at, record);
        self.by_producer.insert((record.producer, record.counter()));
        self.longest = self.longest.max(record.duration());
        true
    }

    /// How many are in memory.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Which rows count for a search that has looked here just now.
    pub fn scope(&self) -> Scope {
        Scope { kept: self.kept.clone(), to: self.floor, longest: self.longest }
    }

    /// The longest fragment there ever was.
    pub fn longest(&self) -> Millis {
        self.longest
    }

    /// What has not expired.
    pub fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// Whether a fragment with this counter, which is to be inserted, is a late one: others with
    /// larger counters are there already.
    pub fn is_late(&self, counter: u64) -> bool {
        self.by_number.back().is_some_and(|newest| newest.counter() > counter)
            || counter < self.floor
    }

    /// The fragment with exactly this number.
    pub fn get(&self, number: FragmentNumber) -> Option<Record> {
        self.by_counter(number.counter()).filter(|record| record.number == number).copied()
    }

    /// The first fragment with a larger number.
    pub fn after(&self, number: FragmentNumber) -> Option<Record> {
        self.by_number
            .get(self.by_number.partition_point(|record| record.number <= number))
            .copied()
    }

    /// The breaks up to the last fragment with a smaller number, whichever part it is in: see
    /// [`Recent::evict`].
    pub fn breaks_before(&self, number: FragmentNumber) -> Option<u32> {
        let at = self.by_number.partition_point(|record| record.number < number);
        let recent = at.checked_sub(1).and_then(|at| self.by_number.get(at));
        let recent = recent.map(|record| (record.counter(), record.breaks));
        let below = self.below.filter(|(counter, _)| self.kept.contains(*counter));
        recent.into_iter().chain(below).max().map(|(_, breaks)| breaks)
    }

    /// The oldest and the newest by number.
    pub fn bounds(&self) -> Option<(Record, Record)> {
        Some((*self.by_number.front()?, *self.by_number.back()?))
    }

    /// Up to `limit` whose server time lies in the range, by number, after `after`.
    pub fn list_by_server(
        &self,
        from: ServerTimestamp,
        to: ServerTimestamp,
        after: Option<FragmentNumber>,
        limit: usize,
    ) -> Vec<FragmentInfo> {
        let start = self.by_number.partition_point(|record| {
            record.server() < from || after.is_some_and(|after| record.number <= after)
        });
        let records = self.by_number.range(start..);
        records.take_while(|record| record.server() <= to).take(limit).map(Record::info).collect()
    }

    /// Up to `limit` from a producer time and counter on, in that order, until `to`, which is
    /// not before the start.
    pub fn list_by_producer(
        &self,
        start: (ProducerTimestamp, u64),
        to: ProducerTimestamp,
        limit: usize,
    ) -> Vec<FragmentInfo> {
        let keys = self.by_producer.range(start..=(to, u64::MAX)).take(limit);
        keys.filter_map(|&(_, n)| self.by_counter(n)).map(Record::info).collect()
    }

    /// The newest `limit` that have a sequence, oldest first.
    pub fn newest(&self, limit: usize) -> Vec<FragmentInfo> {
        let live = self.by_number.iter().rev().filter(|record| record.sequence.is_some());
        let mut newest: Vec<_> = live.take(limit).map(Record::info).collect();
        newest.reverse();
        newest
    }

    /// Those that start at exactly this producer time.
    pub fn at(&self, producer: ProducerTimestamp) -> Vec<Record> {
        let keys = self.by_producer.range((producer, 0)..=(producer, u64::MAX));
        keys.filter_map(|&(_, counter)| self.by_counter(counter)).copied().collect()
    }

    /// The one that covers `time` (of several, the one that started last), else the next after.
    pub fn seek_producer(&self, time: ProducerTimestamp) -> Found {
        let earliest = time.minus(self.longest);
        let before = self.by_producer.range((earliest, 0)..=(time, u64::MAX)).rev();
        let covering = before
            .filter_map(|&(_, counter)| self.by_counter(counter))
            .find(|record| record.covers_producer(time));
        if let Some(record) = covering {
            return Found::Covers(*record);
        }
        let next = self.by_producer.range((time, 0)..).next();
        next.and_then(|&(_, n)| self.by_counter(n)).map_or(Found::None, |next| Found::Next(*next))
    }

    /// The one that covers `time` (of several, the one that started last), else the next after.
    pub fn seek_server(&self, time: ServerTimestamp) -> Found {
        let at = self.by_number.partition_point(|record| record.server() <= time);
        let earliest = time.minus(self.longest);
        let before = self.by_number.range(..at).rev();
        let covering = before
            .take_while(|record| record.server() >= earliest)
            .find(|record| record.covers_server(time));
        match covering {
            Some(record) => Found::Covers(*record),
            None => self.by_number.get(at).map_or(Found::None, |next| Found::Next(*next)),
        }
    }

    /// Up to `limit` with this counter or a larger one, by number.
    pub fn since(&self, counter: u64, limit: usize) -> Vec<Record> {
        self.by_number.range(self.position(counter)..).take(limit).copied().collect()
    }

    /// Makes all but what is `kept` unfindable, in both parts. Of what was kept until now, `dead`
    /// are the counters that are not. Returns those that no row says the place of.
    pub fn keep(&mut self, kept: Kept, dead: &[Range<u64>]) -> Vec<Record> {
        self.kept = Arc::new(kept);
        let mut expired = Vec::new();
        for counters in dead {
            let range = self.position(counters.start)..self.position(counters.end);
            expired.extend(self.by_number.drain(range));
        }
        for record in &expired {
            self.by_producer.remove(&(record.producer, record.counter()));
            self.relocated.remove(&record.counter());
        }
        self.shrink();
        expired.retain(|record| record.lsn >= self.moved);
        expired
    }

    /// Tells where the log has a fragment from now on. Returns whether a row says where it lay
    /// before; `None` when it is not there any more.
    pub fn relocate(&mut self, record: Record, to: Lsn) -> Option<bool> {
        let counter = record.counter();
        let at = self.position(counter);
        match self.by_number.get_mut(at).filter(|known| known.counter() == counter) {
            Some(known) if *known == record => known.lsn = to,
            None if self.kept.contains(counter) && counter < self.floor => {
                self.by_number.insert(at, Record { lsn: to, ..record });
                self.by_producer.insert((record.producer, counter));
            }
            _ => return None,
        }
        let has_row = record.lsn < self.moved;
        if has_row {
            self.relocated.insert(counter);
        }
        Some(has_row)
    }

    /// Those that no row tells of, after [`Recent::take_unmoved`].
    pub fn without_row(&self) -> impl Iterator<Item = &Record> {
        let unmoved = self.by_number.iter().filter(|record| record.lsn >= self.moved);
        unmoved.filter(|record| !self.relocated.contains(&record.counter()))
    }

    /// Those that lie before `upto` in the log and have no row yet, in the order of the log; from
    /// now on they count as having one.
    pub fn take_unmoved(&mut self, upto: Lsn) -> Vec<Record> {
        let unmoved = |record: &&Record| (self.moved..upto).contains(&record.lsn);
        let mut records: Vec<_> = self.by_number.iter().filter(unmoved).copied().collect();
        records.sort_by_key(|record| record.lsn);
        self.moved = self.moved.max(upto);
        for record in &records {
            self.relocated.remove(&record.counter());
        }
        records
    }

    /// Lets go of all but the newest `keep`. What lies at `from` or later in the log stays, and so
    /// does what has a counter of `open` or more: a fragment with that number may still come.
    pub fn evict(&mut self, keep: usize, from: Lsn, open: u64) {
        while self.by_number.len() > keep {
            let Some(oldest) = self.by_number.front().copied() else { break };
            if oldest.lsn >= from || oldest.counter() >= open {
                break;
            }
            self.by_number.pop_front();
            self.by_producer.remove(&(oldest.producer, oldest.counter()));
            self.floor = self.floor.max(oldest.counter() + 1);
            self.below = self.below.max(Some((oldest.counter(), oldest.breaks)));
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.by_number.capacity() > 4 * self.by_number.len() {
            self.by_number.shrink_to(2 * self.by_number.len());
        }
    }

    fn position(&self, counter: u64) -> usize {
        self.by_number.partition_point(|record| record.counter() < counter)
    }

    fn by_counter(&self, counter: u64) -> Option<&Record> {
        self.by_number.get(self.position(counter)).filter(|record| record.counter() == counter)
    }
}
