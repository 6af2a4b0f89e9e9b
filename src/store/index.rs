//! One stream's persisted fragments, findable by number and by both clocks. Derived from the log
//! and held in memory; all it offers are the searches below, so that it can move to disk.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use super::fragments::{FragmentInfo, Order};
use super::log::entry::{FormatId, FragmentEntry, Lsn, entry_bytes};
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp};

/// What the index holds of a fragment: its facts, and where the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of FORMAT.md and FragmentInfo")]
pub struct Record {
    pub lsn: Lsn,
    pub number: FragmentNumber,
    pub producer: ProducerTimestamp,
    pub duration_ms: u32,
    pub size: u32,
    pub format: FormatId,
    pub cluster_crc: u32,
    pub breaks: u32,
    pub sequence: Option<u64>,
}

impl Record {
    /// The record of an entry at `lsn`.
    pub fn new(lsn: Lsn, entry: &FragmentEntry) -> Self {
        Self {
            lsn,
            number: entry.number,
            producer: entry.producer,
            duration_ms: entry.duration_ms,
            size: u32::try_from(entry.body_len()).unwrap_or(u32::MAX),
            format: entry.format,
            cluster_crc: entry.cluster_crc,
            breaks: entry.breaks,
            sequence: entry.sequence,
        }
    }

    /// What is told about the fragment.
    pub fn info(&self) -> FragmentInfo {
        FragmentInfo {
            number: self.number,
            producer: self.producer,
            duration: self.duration(),
            size: self.size,
            format: self.format,
            sequence: self.sequence,
            breaks: self.breaks,
        }
    }

    /// How long it is.
    pub fn duration(&self) -> Millis {
        Millis(u64::from(self.duration_ms))
    }

    /// Bytes it takes in the log.
    pub fn log_bytes(&self) -> u64 {
        entry_bytes(u64::from(self.size))
    }

    /// When the server began to receive it.
    pub fn server(&self) -> ServerTimestamp {
        self.number.server_timestamp()
    }

    /// The number's counter, which is unique in the stream by itself.
    pub fn counter(&self) -> u64 {
        self.number.counter()
    }
}

/// A stream's records.
///
/// Server time never decreases along the numbers, so one order serves both. Numbers come in
/// almost sorted: a session that finishes late inserts near the end.
#[derive(Debug, Default)]
pub struct Index {
    by_number: VecDeque<Record>,
    /// Producer time and counter, which is unique in a stream.
    by_producer: BTreeSet<(ProducerTimestamp, u64)>,
    /// The longest fragment there ever was: how far back a search for what covers a time looks.
    longest: Millis,
}

impl Index {
    /// Adds a fragment; `false` when its counter is there already.
    pub fn insert(&mut self, record: Record) -> bool {
        let at = self.position(record.counter());
        if self.by_number.get(at).is_some_and(|other| other.counter() == record.counter()) {
            return false;
        }
        self.by_number.insert(at, record);
        self.by_producer.insert((record.producer, record.counter()));
        self.longest = self.longest.max(record.duration());
        true
    }

    /// How many fragments there are.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// The fragment with exactly this number.
    pub fn get(&self, number: FragmentNumber) -> Option<&Record> {
        self.by_counter(number.counter()).filter(|record| record.number == number)
    }

    /// The first fragment with a larger number.
    pub fn after(&self, number: FragmentNumber) -> Option<&Record> {
        self.by_number.get(self.by_number.partition_point(|record| record.number <= number))
    }

    /// The last fragment with a smaller number.
    pub fn before(&self, number: FragmentNumber) -> Option<&Record> {
        let at = self.by_number.partition_point(|record| record.number < number);
        self.by_number.get(at.checked_sub(1)?)
    }

    /// The oldest and the newest by number.
    pub fn bounds(&self) -> Option<(&Record, &Record)> {
        Some((self.by_number.front()?, self.by_number.back()?))
    }

    /// See [`super::MediaStream::list`].
    pub fn list(
        &self,
        range: Order,
        after: Option<FragmentNumber>,
        limit: usize,
    ) -> Vec<FragmentInfo> {
        match range {
            Order::Server { from, to } => {
                let start = self.by_number.partition_point(|record| {
                    record.server() < from || after.is_some_and(|after| record.number <= after)
                });
                let records = self.by_number.range(start..);
                records.take_while(|r| r.server() <= to).take(limit).map(Record::info).collect()
            }
            Order::Producer { from, to } => {
                // Of one that expired since nothing is known but that it began at `from` or later.
                let at = |after| self.get(after).map_or(from, |record| record.producer);
                let start = after.map_or((from, 0), |after: FragmentNumber| {
                    (at(after), after.counter().saturating_add(1)).max((from, 0))
                });
                if start.0 > to {
                    return Vec::new();
                }
                let keys = self.by_producer.range(start..=(to, u64::MAX)).take(limit);
                keys.filter_map(|&(_, n)| self.by_counter(n)).map(Record::info).collect()
            }
        }
    }

    /// The newest `limit` that have a sequence, oldest first.
    pub fn newest(&self, limit: usize) -> Vec<FragmentInfo> {
        let live = self.by_number.iter().rev().filter(|record| record.sequence.is_some());
        let mut newest: Vec<_> = live.take(limit).map(Record::info).collect();
        newest.reverse();
        newest
    }

    /// Those that start at exactly this producer time.
    pub fn at(&self, producer: ProducerTimestamp) -> impl Iterator<Item = &Record> {
        let keys = self.by_producer.range((producer, 0)..=(producer, u64::MAX));
        keys.filter_map(|&(_, counter)| self.by_counter(counter))
    }

    /// The one that covers `time` (of several, the one that started last), else the next after.
    pub fn seek_producer(&self, time: ProducerTimestamp) -> Found<'_> {
        let earliest = time.minus(self.longest);
        let before = self.by_producer.range((earliest, 0)..=(time, u64::MAX)).rev();
        let covering = before
            .filter_map(|&(_, counter)| self.by_counter(counter))
            .find(|r| r.producer == time || time < r.producer.plus(r.duration()));
        if let Some(record) = covering {
            return Found::Covers(record);
        }
        let next = self.by_producer.range((time, 0)..).next();
        next.and_then(|&(_, counter)| self.by_counter(counter)).map_or(Found::None, Found::Next)
    }

    /// The one that covers `time` (of several, the one that started last), else the next after.
    pub fn seek_server(&self, time: ServerTimestamp) -> Found<'_> {
        let at = self.by_number.partition_point(|record| record.server() <= time);
        let earliest = time.minus(self.longest);
        let before = self.by_number.range(..at).rev();
        let covering = before
            .take_while(|record| record.server() >= earliest)
            .find(|r| r.server() == time || time < r.server().plus(r.duration()));
        match covering {
            Some(record) => Found::Covers(record),
            None => self.by_number.get(at).map_or(Found::None, Found::Next),
        }
    }

    /// Those with this counter or a larger one, by number.
    pub fn since(&self, counter: u64) -> impl Iterator<Item = &Record> {
        self.by_number.range(self.position(counter)..)
    }

    /// Tells where the log has a fragment from now on, if it had it at `from` until now.
    pub fn relocate(&mut self, number: FragmentNumber, from: Lsn, to: Lsn) -> bool {
        let at = self.position(number.counter());
        let record = self.by_number.get_mut(at).filter(|r| r.number == number && r.lsn == from);
        record.is_some_and(|record| {
            record.lsn = to;
            true
        })
    }

    /// Takes out those with a counter in the range.
    pub fn take(&mut self, counters: Range<u64>) -> Vec<Record> {
        let range = self.position(counters.start)..self.position(counters.end);
        let expired: Vec<_> = self.by_number.drain(range).collect();
        for record in &expired {
            self.by_producer.remove(&(record.producer, record.counter()));
        }
        if self.by_number.capacity() > 4 * self.by_number.len() {
            self.by_number.shrink_to(2 * self.by_number.len());
        }
        expired
    }

    fn position(&self, counter: u64) -> usize {
        self.by_number.partition_point(|record| record.counter() < counter)
    }

    fn by_counter(&self, counter: u64) -> Option<&Record> {
        self.by_number.get(self.position(counter)).filter(|record| record.counter() == counter)
    }
}

/// What a search by time found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// It has begun at that time, and not ended.
    Covers(&'a Record),
    /// It begins after that time.
    Next(&'a Record),
    /// Nothing at or after that time.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(counter: u64, producer: i64, server: i64, duration_ms: u32) -> Record {
        let server = ServerTimestamp::from_millis(server);
        Record {
            lsn: counter * 64,
            number: FragmentNumber::new(counter, server, 7),
            producer: ProducerTimestamp::from_millis(producer),
            duration_ms,
            size: 1,
            format: FormatId(0),
            cluster_crc: 0,
            breaks: 0,
            sequence: counter.is_multiple_of(2).then_some(counter / 2),
        }
    }

    fn any_records() -> impl Strategy<Value = Vec<Record>> {
        let one = (1..4u64, 0..2_000i64, 0..50i64, 0..100u32);
        proptest::collection::vec(one, 0..60).prop_map(|steps| {
            let (mut counter, mut server) = (0, 0);
            let mut records: Vec<_> = steps
                .into_iter()
                .map(|(step, producer, later, duration)| {
                    counter += step;
                    server += later;
                    record(counter, producer, server, duration)
                })
                .collect();
            // Some come late.
            for at in (3..records.len()).step_by(5) {
                records.swap(at - 1, at);
            }
            records
        })
    }

    fn index_of(records: &[Record]) -> Index {
        let mut index = Index::default();
        records.iter().for_each(|record| assert!(index.insert(*record)));
        index
    }

    proptest! {
        #[test]
        fn searches_find_what_a_plain_list_holds(
            mut records in any_records(), from in 0..2_000i64, span in 0..800i64, trim in 0..80u64,
        ) {
            let mut index = index_of(&records);
            let expired = index.take(0..trim).len();
            prop_assert_eq!(expired, records.iter().filter(|r| r.counter() < trim).count());
            records.retain(|record| record.counter() >= trim);
            records.sort_by_key(|record| record.number);
            prop_assert_eq!(index.len(), records.len());
            prop_assert_eq!(index.bounds(), records.first().zip(records.last()));

            let (start, end) = (ServerTimestamp::from_millis(from), ServerTimestamp::from_millis(from + span));
            let wanted: Vec<_> =
                records.iter().filter(|r| r.server() >= start && r.server() <= end).map(Record::info).collect();
            prop_assert_eq!(pages(&index, Order::Server { from: start, to: end }), wanted);

            let time = ServerTimestamp::from_millis(from);
            let covers = records.iter().rev().find(|r| {
                r.server() == time || r.server() < time && time < r.server().plus(r.duration())
            });
            let next = records.iter().find(|r| r.server() > time);
            let wanted = covers.map(Found::Covers).or(next.map(Found::Next)).unwrap_or(Found::None);
            prop_assert_eq!(index.seek_server(time), wanted);

            let mut records = records.clone();
            records.sort_by_key(|record| (record.producer, record.number));
            let (start, end) = (ProducerTimestamp::from_millis(from), ProducerTimestamp::from_millis(from + span));
            let wanted: Vec<_> =
                records.iter().filter(|r| r.producer >= start && r.producer <= end).map(Record::info).collect();
            prop_assert_eq!(pages(&index, Order::Producer { from: start, to: end }), wanted);

            let covers = records.iter().rev().find(|r| {
                r.producer == start || r.producer < start && start < r.producer.plus(r.duration())
            });
            let next = records.iter().find(|r| r.producer > start);
            let wanted = covers.map(Found::Covers).or(next.map(Found::Next)).unwrap_or(Found::None);
            prop_assert_eq!(index.seek_producer(start), wanted);
        }
    }

    /// Lists a range three at a time.
    fn pages(index: &Index, range: Order) -> Vec<FragmentInfo> {
        let mut all: Vec<FragmentInfo> = Vec::new();
        loop {
            let page = index.list(range, all.last().map(|info| info.number), 3);
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    #[test]
    fn live_window_has_only_fragments_with_a_sequence() {
        let records: Vec<_> = (1..=10).map(|n| record(n, 0, 0, 10)).collect();
        let newest = index_of(&records).newest(3);
        let sequences: Vec<_> = newest.iter().filter_map(|info| info.sequence).collect();
        assert_eq!(sequences, [3, 4, 5]);
    }
}
