//! One stream's persisted fragments, findable by number and by both clocks. Derived from the log.
//!
//! Two parts, which every search joins: [`Recent`] in memory, and [`Rows`] in a database, so that
//! neither memory nor the time to open grows with the archive. A fragment is in memory from the
//! moment it is findable until its row is committed and newer ones have come.
//!
//! A search looks into memory first, under the stream's lock, and then into the database without
//! it: what was moved in between is found all the same. What it may take from the database is its
//! [`Scope`]; so both looks together show one moment, that of the first.

mod database;
mod mover;
mod recent;
mod rows;

#[cfg(test)]
mod tests;

pub use database::{Contents, Database, Saved, StaleIndex, guarded};
pub use mover::{Left, Limits, Mover, States, Unswept};
pub use recent::Recent;
pub use rows::Rows;

use std::ops::Range;
use std::sync::Arc;

use super::fragments::{FragmentInfo, Order};
use super::kept::Kept;
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

    fn covers_producer(&self, time: ProducerTimestamp) -> bool {
        self.producer == time || time < self.producer.plus(self.duration())
    }

    fn covers_server(&self, time: ServerTimestamp) -> bool {
        self.server() == time || time < self.server().plus(self.duration())
    }
}

/// Which rows of the database count for a search: those that have not expired, and of those that
/// must be in memory none.
#[derive(Clone, Debug)]
pub struct Scope {
    /// What has not expired.
    pub kept: Arc<Kept>,
    /// From this counter on, all is in memory.
    pub to: u64,
    /// No fragment is longer: how far back a search for what covers a time looks.
    pub longest: Millis,
}

impl Scope {
    fn contains(&self, counter: u64) -> bool {
        counter < self.to && self.kept.contains(counter)
    }

    fn is_empty(&self) -> bool {
        self.kept.first() >= self.to
    }

    /// The ranges of `counters` that count, in order.
    fn within(&self, counters: Range<u64>) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.kept.within(counters.start..counters.end.min(self.to))
    }
}

/// A stream's index: both parts, and the searches over them.
pub trait Index {
    /// Looks into the memory part, under its lock: for as short as possible.
    fn recent<T>(&self, look: impl FnOnce(&Recent) -> T) -> T;

    /// The part in the database.
    fn rows(&self) -> &Rows;

    /// The fragment with exactly this number.
    fn find(&self, number: FragmentNumber) -> Option<Record> {
        let (found, scope) = self.recent(|recent| (recent.get(number), recent.scope()));
        found.or_else(|| self.rows().get(number, &scope))
    }

    /// The oldest and the newest by number.
    fn ends(&self) -> Option<(Record, Record)> {
        let (recent, scope) = self.recent(|recent| (recent.bounds(), recent.scope()));
        let Some((oldest, newest)) = recent else { return self.rows().bounds(&scope) };
        let oldest = match self.rows().oldest(&scope) {
            Some(row) if row.number < oldest.number => row,
            _ => oldest,
        };
        // Those in memory may all be late ones.
        let newest = match newest.counter() < scope.to {
            true => self.rows().newest_of_all(&scope).filter(|row| row.number > newest.number),
            false => None,
        }
        .unwrap_or(newest);
        Some((oldest, newest))
    }

    /// See [`super::MediaStream::list`].
    fn page(&self, range: Order, after: Option<FragmentNumber>, limit: usize) -> Vec<FragmentInfo> {
        match range {
            Order::Server { from, to } => {
                let (found, scope) = self.recent(|recent| {
                    (recent.list_by_server(from, to, after, limit), recent.scope())
                });
                let rows = self.rows().list_by_server(from, to, after, limit, &scope);
                merge(found, rows, limit, |info| info.number)
            }
            Order::Producer { from, to } => {
                // Of one that expired since nothing is known but that it began at `from` or later.
                let at = |after| self.find(after).map_or(from, |record| record.producer);
                let start = after.map_or((from, 0), |after: FragmentNumber| {
                    (at(after), after.counter().saturating_add(1)).max((from, 0))
                });
                if start.0 > to {
                    return Vec::new();
                }
                let (found, scope) = self
                    .recent(|recent| (recent.list_by_producer(start, to, limit), recent.scope()));
                let rows = self.rows().list_by_producer(start, to, limit, &scope);
                merge(found, rows, limit, |info| (info.producer, info.number))
            }
        }
    }

    /// The newest `limit` that have a sequence, oldest first.
    fn live(&self, limit: usize) -> Vec<FragmentInfo> {
        let (found, scope) = self.recent(|recent| (recent.newest(limit), recent.scope()));
        if found.len() >= limit
            && found.first().is_none_or(|info| info.number.counter() >= scope.to)
        {
            // Late fragments have no sequence, so these are the newest.
            return found;
        }
        let rows = self.rows().newest(limit, &scope);
        let mut all = merge(found, rows, usize::MAX, |info| info.number);
        all.drain(..all.len().saturating_sub(limit));
        all
    }

    /// Those that start at exactly this producer time.
    fn at(&self, producer: ProducerTimestamp) -> Vec<Record> {
        let (found, scope) = self.recent(|recent| (recent.at(producer), recent.scope()));
        let rows = self.rows().at(producer, &scope);
        merge(found, rows, usize::MAX, |record| record.number)
    }

    /// Up to `limit` with this counter or a larger one, by number.
    fn since(&self, counter: u64, limit: usize) -> Vec<Record> {
        let (found, scope) = self.recent(|recent| (recent.since(counter, limit), recent.scope()));
        let rows = self.rows().since(counter, limit, &scope);
        merge(found, rows, limit, |record| record.number)
    }
}

/// Joins what both parts found. A fragment that was moved between the two looks is in both, and so
/// is one that was copied within the log: memory has the place where it is from now on.
fn merge<T, K: Ord>(recent: Vec<T>, rows: Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> Vec<T> {
    if rows.is_empty() {
        return recent;
    }
    let mut all = recent;
    all.extend(rows);
    all.sort_by_key(&key);
    all.dedup_by_key(|found| key(found));
    all.truncate(limit);
    all
}

/// What a search by time found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has begun at that time, and not ended.
    Covers(Record),
    /// It begins after that time.
    Next(Record),
    /// Nothing at or after that time.
    None,
}

impl Found {
    /// What a search on the producer's clock found in both parts.
    pub fn join_by_producer(self, other: Self) -> Self {
        self.join(other, |record| (record.producer, record.number))
    }

    /// What a search on the server's clock found in both parts.
    pub fn join_by_server(self, other: Self) -> Self {
        self.join(other, |record| record.number)
    }

    /// Of several that cover the time the last to start, else the first that comes after; of the
    /// same in both the `other`, which is what memory has.
    fn join<K: Ord>(self, other: Self, start: impl Fn(&Record) -> K) -> Self {
        match (self, other) {
            (Self::Covers(a), Self::Covers(b)) => {
                Self::Covers(if start(&a) <= start(&b) { b } else { a })
            }
            (Self::Covers(record), _) | (_, Self::Covers(record)) => Self::Covers(record),
            (Self::Next(a), Self::Next(b)) => {
                Self::Next(if start(&b) <= start(&a) { b } else { a })
            }
            (Self::None, found) | (found, Self::None) => found,
        }
    }
}
