//! The part of a stream's index that is in memory: what has no row yet, and the newest.

use std::collections::{BTreeSet, VecDeque};

use super::{Found, Record, Scope};
use crate::store::fragments::FragmentInfo;
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
    /// The smallest counter that is kept.
    keep_from: u64,
    /// All fragments from this counter on are here.
    floor: u64,
    /// The newest fragment before `floor`: its counter and its breaks.
    below: Option<(u64, u32)>,
    /// What lies before this position of the log has a row, or is about to get one.
    moved: Lsn,
}

impl Recent {
    /// Nothing in memory of a stream whose fragments have rows. `newest` is the last of them by
    /// number, `last_counter` the largest counter there ever was.
    pub fn behind_rows(
        newest: Option<Record>,
        last_counter: u64,
        keep_from: u64,
        longest: Millis,
    ) -> Self {
        let below = newest.map(|record| (record.counter(), record.breaks));
        Self { longest, keep_from, floor: last_counter + 1, below, ..Self::default() }
    }

    /// Adds a fragment; `false` when its counter is there already, or has expired.
    pub fn insert(&mut self, record: Record) -> bool {
        let at = self.position(record.counter());
        let known = self.by_number.get(at).is_some_and(|other| other.counter() == record.counter());
        if known || record.counter() < self.keep_from {
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
        Scope { from: self.keep_from, to: self.floor, longest: self.longest }
    }

    /// The longest fragment there ever was.
    pub fn longest(&self) -> Millis {
        self.longest
    }

    /// The smallest counter that is kept.
    pub fn keep_from(&self) -> u64 {
        self.keep_from
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
        let below = self.below.filter(|(counter, _)| *counter >= self.keep_from);
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

    /// The first that began at `horizon` or later.
    pub fn first_since(&self, horizon: ServerTimestamp) -> Option<Record> {
        let at = self.by_number.partition_point(|record| record.server() < horizon);
        self.by_number.get(at).copied()
    }

    /// Makes those with a counter below `keep_from` unfindable, in both parts. Returns those of
    /// them that never had a row.
    pub fn trim(&mut self, keep_from: u64) -> Vec<Record> {
        self.keep_from = self.keep_from.max(keep_from);
        let mut expired: Vec<_> = self.by_number.drain(..self.position(keep_from)).collect();
        for record in &expired {
            self.by_producer.remove(&(record.producer, record.counter()));
        }
        self.shrink();
        expired.retain(|record| record.lsn >= self.moved);
        expired
    }

    /// Those that lie before `upto` in the log and have no row yet, in the order of the log; from
    /// now on they count as having one.
    pub fn take_unmoved(&mut self, upto: Lsn) -> Vec<Record> {
        let unmoved = |record: &&Record| (self.moved..upto).contains(&record.lsn);
        let mut records: Vec<_> = self.by_number.iter().filter(unmoved).copied().collect();
        records.sort_by_key(|record| record.lsn);
        self.moved = self.moved.max(upto);
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
