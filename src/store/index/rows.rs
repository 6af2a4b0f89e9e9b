//! The part of a stream's index that is in the database: the same searches as in memory.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use redb::StorageError;

use super::database::{Database, Snapshot};
use super::{Found, Record, Scope};
use crate::store::fragments::FragmentInfo;
use crate::store::log::entry::{FormatId, random_of, u32_at, u64_at};
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp, StreamId};

/// Bytes of a record.
pub const RECORD_BYTES: usize = 56;
const NO_SEQUENCE: u64 = u64::MAX;
/// How many neighbours are passed over before a key is looked up from the root.
const NEAR: u64 = 8;

/// A stream's rows.
#[derive(Clone, Debug)]
pub struct Rows {
    database: Arc<Database>,
    stream: StreamId,
}

impl Rows {
    /// The rows of a stream.
    pub fn new(database: Arc<Database>, stream: StreamId) -> Self {
        Self { database, stream }
    }

    /// Why rows may be missing from what is found, if so.
    pub fn failure(&self) -> Option<&str> {
        self.database.failure()
    }

    /// The fragment with exactly this number.
    pub fn get(&self, number: FragmentNumber, scope: &Scope) -> Option<Record> {
        let counter = number.counter();
        if !scope.contains(counter) {
            return None;
        }
        self.search(scope, None, |rows| rows.get(counter)).filter(|record| record.number == number)
    }

    /// The first fragment with a larger number.
    pub fn after(&self, number: FragmentNumber, scope: &Scope) -> Option<Record> {
        self.search(scope, None, |rows| {
            let found = rows.first(scope, number.counter()..scope.to)?;
            match found {
                Some(record) if record.number <= number => {
                    rows.first(scope, record.counter() + 1..scope.to)
                }
                found => Ok(found),
            }
        })
    }

    /// The oldest and the newest by number.
    pub fn bounds(&self, scope: &Scope) -> Option<(Record, Record)> {
        self.oldest(scope).zip(self.newest_of_all(scope))
    }

    /// The newest by number, expired or not.
    pub fn last(&self) -> Option<Record> {
        let everything = Scope { kept: Arc::default(), to: u64::MAX, longest: Millis(0) };
        self.newest_of_all(&everything)
    }

    /// The oldest by number.
    pub fn oldest(&self, scope: &Scope) -> Option<Record> {
        self.search(scope, None, |rows| rows.first(scope, 0..scope.to))
    }

    /// The newest by number.
    pub fn newest_of_all(&self, scope: &Scope) -> Option<Record> {
        self.search(scope, None, |rows| rows.backward(scope, scope.to, ControlFlow::Break))
    }

    /// See [`super::Recent::list_by_server`].
    pub fn list_by_server(
        &self,
        from: ServerTimestamp,
        to: ServerTimestamp,
        after: Option<FragmentNumber>,
        limit: usize,
        scope: &Scope,
    ) -> Vec<FragmentInfo> {
        self.search(scope, Vec::new(), |rows| {
            let start = rows.partition(scope, |record| {
                record.server() < from || after.is_some_and(|after| record.number <= after)
            })?;
            let Some(start) = start else { return Ok(Vec::new()) };
            let mut found = Vec::new();
            rows.forward(scope, start.counter(), |record| {
                if record.server() > to || found.len() >= limit {
                    return ControlFlow::Break(());
                }
                found.push(record.info());
                ControlFlow::Continue(())
            })?;
            Ok(found)
        })
    }

    /// See [`super::Recent::list_by_producer`].
    pub fn list_by_producer(
        &self,
        start: (ProducerTimestamp, u64),
        to: ProducerTimestamp,
        limit: usize,
        scope: &Scope,
    ) -> Vec<FragmentInfo> {
        self.search(scope, Vec::new(), |rows| {
            let mut counters = Vec::new();
            for row in rows.snapshot.times.range(rows.times(start, (to, u64::MAX)))? {
                if counters.len() >= limit {
                    break;
                }
                let counter = row?.0.value().2;
                if scope.contains(counter) {
                    counters.push(counter);
                }
            }
            rows.infos(&counters)
        })
    }

    /// Up to `limit` with this counter or a larger one, by number.
    pub fn since(&self, counter: u64, limit: usize, scope: &Scope) -> Vec<Record> {
        self.search(scope, Vec::new(), |rows| {
            let mut found = Vec::new();
            rows.forward(scope, counter, |record| {
                if found.len() >= limit {
                    return ControlFlow::Break(());
                }
                found.push(record);
                ControlFlow::Continue(())
            })?;
            Ok(found)
        })
    }

    /// The newest `limit` that have a sequence, oldest first.
    pub fn newest(&self, limit: usize, scope: &Scope) -> Vec<FragmentInfo> {
        let mut newest = self.search(scope, Vec::new(), |rows| {
            let mut newest = Vec::new();
            rows.backward(scope, scope.to, |record| {
                if newest.len() >= limit {
                    return ControlFlow::Break(record);
                }
                newest.extend(record.sequence.map(|_| record.info()));
                ControlFlow::Continue(())
            })?;
            Ok(newest)
        });
        newest.reverse();
        newest
    }

    /// Those that start at exactly this producer time.
    pub fn at(&self, producer: ProducerTimestamp, scope: &Scope) -> Vec<Record> {
        self.search(scope, Vec::new(), |rows| {
            let mut found = Vec::new();
            for row in rows.snapshot.times.range(rows.times((producer, 0), (producer, u64::MAX)))? {
                let counter = row?.0.value().2;
                if scope.contains(counter) {
                    found.extend(rows.get(counter)?);
                }
            }
            Ok(found)
        })
    }

    /// The one that covers `time` (of several, the one that started last), else the next after.
    pub fn seek_producer(&self, time: ProducerTimestamp, scope: &Scope) -> Found {
        self.search(scope, Found::None, |rows| {
            let times = &rows.snapshot.times;
            let before = rows.times((time.minus(scope.longest), 0), (time, u64::MAX));
            for row in times.range(before)?.rev() {
                let (key, duration) = row?;
                let (_, start, counter) = key.value();
                let start = ProducerTimestamp::from_millis(start);
                let end = start.plus(Millis(duration.value().into()));
                if scope.contains(counter) && (start == time || time < end) {
                    return Ok(rows.get(counter)?.map_or(Found::None, Found::Covers));
                }
            }
            for row in times.range(rows.times((time, 0), (ProducerTimestamp::MAX, u64::MAX)))? {
                let counter = row?.0.value().2;
                if scope.contains(counter) {
                    return Ok(rows.get(counter)?.map_or(Found::None, Found::Next));
                }
            }
            Ok(Found::None)
        })
    }

    /// The one that covers `time` (of several, the one that started last), else the next after.
    pub fn seek_server(&self, time: ServerTimestamp, scope: &Scope) -> Found {
        self.search(scope, Found::None, |rows| {
            let next = rows.partition(scope, |record| record.server() <= time)?;
            let end = next.map_or(scope.to, |next| next.counter());
            let earliest = time.minus(scope.longest);
            let covering = rows.backward(scope, end, |record| match record {
                past if past.server() < earliest => ControlFlow::Break(None),
                found if found.covers_server(time) => ControlFlow::Break(Some(found)),
                _ => ControlFlow::Continue(()),
            })?;
            let next = next.map_or(Found::None, Found::Next);
            Ok(covering.flatten().map_or(next, Found::Covers))
        })
    }

    fn search<T>(
        &self,
        scope: &Scope,
        nothing: T,
        search: impl Fn(Search<'_>) -> Result<T, StorageError>,
    ) -> T {
        if scope.is_empty() {
            return nothing;
        }
        self.database.read(nothing, |snapshot| search(Search { snapshot, stream: self.stream.0 }))
    }
}

/// One search in one snapshot.
struct Search<'a> {
    snapshot: &'a Snapshot,
    stream: u32,
}

impl Search<'_> {
    fn get(&self, counter: u64) -> Result<Option<Record>, StorageError> {
        let row = self.snapshot.fragments.get((self.stream, counter))?;
        Ok(row.map(|row| decode(counter, row.value())))
    }

    /// The first of `counters` that counts.
    fn first(&self, scope: &Scope, counters: Range<u64>) -> Result<Option<Record>, StorageError> {
        for kept in scope.within(counters) {
            let mut rows = self.snapshot.fragments.range(self.keys(kept.start, kept.end))?;
            if let Some((key, value)) = rows.next().transpose()? {
                return Ok(Some(decode(key.value().1, value.value())));
            }
        }
        Ok(None)
    }

    /// Walks up from `start` until `step` breaks.
    fn forward<T>(
        &self,
        scope: &Scope,
        start: u64,
        mut step: impl FnMut(Record) -> ControlFlow<T>,
    ) -> Result<Option<T>, StorageError> {
        for kept in scope.within(start..u64::MAX) {
            for row in self.snapshot.fragments.range(self.keys(kept.start, kept.end))? {
                let (key, value) = row?;
                if let ControlFlow::Break(found) = step(decode(key.value().1, value.value())) {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// Walks down from before `end` until `step` breaks.
    fn backward<T>(
        &self,
        scope: &Scope,
        end: u64,
        mut step: impl FnMut(Record) -> ControlFlow<T>,
    ) -> Result<Option<T>, StorageError> {
        for kept in scope.within(0..end).rev() {
            for row in self.snapshot.fragments.range(self.keys(kept.start, kept.end))?.rev() {
                let (key, value) = row?;
                if let ControlFlow::Break(found) = step(decode(key.value().1, value.value())) {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The first for which `before` does not hold, which holds for none after it. By bisection
    /// over the counters: their logarithm of look-ups, each in pages that others share.
    fn partition(
        &self,
        scope: &Scope,
        before: impl Fn(&Record) -> bool,
    ) -> Result<Option<Record>, StorageError> {
        let (mut low, mut high) = (scope.kept.first(), scope.to);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first(scope, middle..high)? {
                Some(record) if before(&record) => low = record.counter() + 1,
                _ => high = middle,
            }
        }
        self.first(scope, low..scope.to)
    }

    /// The facts of these fragments. Those that follow each other by producer time mostly do so
    /// by number, and then one walk finds them all.
    fn infos(&self, counters: &[u64]) -> Result<Vec<FragmentInfo>, StorageError> {
        let mut infos = Vec::with_capacity(counters.len());
        let mut walk = None;
        let mut at = 0;
        for &counter in counters {
            let near = (at..at + NEAR).contains(&counter);
            if !near || walk.is_none() {
                walk = Some(self.snapshot.fragments.range(self.keys(counter, u64::MAX))?);
            }
            for row in walk.iter_mut().flatten() {
                let (key, value) = row?;
                at = key.value().1 + 1;
                if key.value().1 == counter {
                    infos.push(decode(counter, value.value()).info());
                }
                if at > counter {
                    break;
                }
            }
        }
        Ok(infos)
    }

    fn keys(&self, from: u64, to: u64) -> Range<(u32, u64)> {
        (self.stream, from)..(self.stream, to)
    }

    fn times(
        &self,
        from: (ProducerTimestamp, u64),
        to: (ProducerTimestamp, u64),
    ) -> std::ops::RangeInclusive<(u32, i64, u64)> {
        (self.stream, from.0.as_millis(), from.1)..=(self.stream, to.0.as_millis(), to.1)
    }
}

/// A record without its counter, as it is stored.
pub fn encode(record: &Record) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &record.lsn.to_le_bytes());
    put(8, &record.server().as_millis().to_le_bytes());
    put(16, &record.producer.as_millis().to_le_bytes());
    put(24, &record.sequence.unwrap_or(NO_SEQUENCE).to_le_bytes());
    put(32, &random_of(record.number).to_le_bytes());
    put(36, &record.duration_ms.to_le_bytes());
    put(40, &record.size.to_le_bytes());
    put(44, &record.format.0.to_le_bytes());
    put(48, &record.cluster_crc.to_le_bytes());
    put(52, &record.breaks.to_le_bytes());
    bytes
}

/// The opposite of [`encode`].
pub fn decode(counter: u64, bytes: &[u8; RECORD_BYTES]) -> Record {
    let server = ServerTimestamp::from_millis(u64_at(bytes, 8) as i64);
    let sequence = u64_at(bytes, 24);
    Record {
        lsn: u64_at(bytes, 0),
        number: FragmentNumber::new(counter, server, u32_at(bytes, 32)),
        producer: ProducerTimestamp::from_millis(u64_at(bytes, 16) as i64),
        duration_ms: u32_at(bytes, 36),
        size: u32_at(bytes, 40),
        format: FormatId(u32_at(bytes, 44)),
        cluster_crc: u32_at(bytes, 48),
        breaks: u32_at(bytes, 52),
        sequence: (sequence != NO_SEQUENCE).then_some(sequence),
    }
}
