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

pub use database::{Contents, Database, Saved, StaleIndex};
pub use mover::{Left, Limits, Mover, States};
pub use recent::Recent;
pub use rows::Rows;

use super::fragments::{FragmentInfo, Order};
use super::log::entry::{FormatId, FragmentEntry, Lsn};
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

    fn server(&self) -> ServerTimestamp {
        self.number.server_timestamp()
    }

    fn counter(&self) -> u64 {
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
/// may also be in memory none.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// The smallest counter that is kept.
    pub from: u64,
    /// From this counter on, all is in memory.
    pub to: u64,
    /// No fragment is longer: how far back a search for what covers a time looks.
    pub longest: Millis,
}

impl Scope {
    fn contains(&self, counter: u64) -> bool {
        (self.from..self.to).contains(&counter)
    }

    fn is_empty(&self) -> bool {
        self.from >= self.to
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
        found.or_else(|| self.rows().get(number, scope))
    }

    /// The oldest and the newest by number.
    fn ends(&self) -> Option<(Record, Record)> {
        let (recent, scope) = self.recent(|recent| (recent.bounds(), recent.scope()));
        let Some((oldest, newest)) = recent else { return self.rows().bounds(scope) };
        let oldest = match self.rows().oldest(scope) {
            Some(row) if row.number < oldest.number => row,
            _ => oldest,
        };
        // Those in memory may all be late ones.
        let newest = match newest.counter() < scope.to {
            true => self.rows().newest_of_all(scope).filter(|row| row.number > newest.number),
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
                let rows = self.rows().list_by_server(from, to, after, limit, scope);
                merge(rows, found, limit, |info| info.number)
            }
            Order::Producer { from, to } => {
                // A fragment that expired since can only be skipped by number, and that is done:
                // expiry takes the smallest numbers.
                let after = after.and_then(|after| self.find(after));
                let after = after.map(|record| (record.producer, record.counter()));
                let first = (from, 0);
                let start = after.map_or(first, |(time, n)| first.max((time, n.saturating_add(1))));
                if start.0 > to {
                    return Vec::new();
                }
                let (found, scope) = self
                    .recent(|recent| (recent.list_by_producer(start, to, limit), recent.scope()));
                let rows = self.rows().list_by_producer(start, to, limit, scope);
                merge(rows, found, limit, |info| (info.producer, info.number))
            }
        }
    }

    /// The newest `limit` that have a sequence, oldest first.
    fn live(&self, limit: usize) -> Vec<FragmentInfo> {
        let (found, scope) = self.recent(|recent| (recent.newest(limit), recent.scope()));
        if found.len() >= limit {
            // Late fragments have no sequence, so these are the newest.
            return found;
        }
        let rows = self.rows().newest(limit, scope);
        let mut all = merge(rows, found, usize::MAX, |info| info.number);
        all.drain(..all.len().saturating_sub(limit));
        all
    }

    /// Those that start at exactly this producer time.
    fn at(&self, producer: ProducerTimestamp) -> Vec<Record> {
        let (mut found, scope) = self.recent(|recent| (recent.at(producer), recent.scope()));
        let known = found.len();
        let rows = self.rows().at(producer, scope);
        let new = |row: &Record| !found[..known].iter().any(|record| record.number == row.number);
        let new: Vec<_> = rows.into_iter().filter(new).collect();
        found.extend(new);
        found
    }

    /// The smallest counter that began at `horizon` or later; `None` when all are older.
    fn first_since(&self, horizon: ServerTimestamp) -> Option<u64> {
        let (recent, scope) = self.recent(|recent| (recent.first_since(horizon), recent.scope()));
        let row = self.rows().first_since(horizon, scope);
        row.into_iter().chain(recent).map(|record| record.counter()).min()
    }
}

/// Joins what both parts found. A fragment that was moved between the two looks is in both.
fn merge<K: Ord>(
    rows: Vec<FragmentInfo>,
    recent: Vec<FragmentInfo>,
    limit: usize,
    key: impl Fn(&FragmentInfo) -> K,
) -> Vec<FragmentInfo> {
    if rows.is_empty() {
        return recent;
    }
    let mut all = rows;
    all.extend(recent);
    all.sort_by_key(key);
    all.dedup_by_key(|info| info.number);
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

    /// Of several that cover the time the last to start, else the first that comes after.
    fn join<K: Ord>(self, other: Self, start: impl Fn(&Record) -> K) -> Self {
        match (self, other) {
            (Self::Covers(a), Self::Covers(b)) => {
                Self::Covers(if start(&a) < start(&b) { b } else { a })
            }
            (Self::Covers(record), _) | (_, Self::Covers(record)) => Self::Covers(record),
            (Self::Next(a), Self::Next(b)) => Self::Next(if start(&b) < start(&a) { b } else { a }),
            (Self::None, found) | (found, Self::None) => found,
        }
    }
}
