//! Reading records: at the tail from memory, else from the log.

use std::io;

use bytes::Bytes;

use super::ShardLog;
use super::run::{Found, Run, first_of};
use crate::store::fragments::ReadError;
use crate::store::index::Record;
use crate::store::log::entry::HEADER_BYTES;
use crate::store::log::reader::{Place, header_of};
use crate::types::ServerTimestamp;

/// Runs of the cache that are looked at at once.
const CACHED_RUNS: usize = 64;

/// A record that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place in the shard: the first record has 1.
    pub index: u64,
    /// When it arrived: never before those in front of it.
    pub arrival: ServerTimestamp,
    /// What was appended.
    pub payload: Bytes,
}

/// How much one read may find. One record is always found, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Records.
    pub records: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
}

/// Why stored records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// What was read is not what was written, or is not there although nothing took it. Reading
    /// can go on behind `last`.
    #[error("the records {first} to {last} of the shard are damaged")]
    Damaged {
        /// The index of the first record that was to be read and is damaged.
        first: u64,
        /// The index of the last record that is damaged with it.
        last: u64,
    },
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io {
        /// What was tried.
        context: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The shard went away.
    #[error("the shard was deleted")]
    Deleted,
}

impl From<RecordsError> for io::Error {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Damaged { .. } => Self::new(io::ErrorKind::InvalidData, error),
            RecordsError::Deleted => Self::new(io::ErrorKind::NotFound, error),
            RecordsError::Io { ref source, .. } => Self::new(source.kind(), error),
        }
    }
}

/// A read on its way.
struct Reading {
    /// The next index.
    from: u64,
    /// What was durable when the read began lies before this index.
    to: u64,
    limit: ReadLimit,
    found: Found,
}

/// What a read needs to go on.
enum Step {
    /// A run that lies in the log only.
    Fetch(Record),
    Done,
}

impl ShardLog {
    /// Durable records with this index or a larger one, in order; from the oldest that is kept on
    /// where older ones are asked for. Blocks on the disk when they are not in memory any more.
    ///
    /// # Errors
    /// [`RecordsError::Damaged`] when the first record that is asked for is damaged; a read that
    /// finds others before ends there.
    pub fn read(&self, from: u64, limit: ReadLimit) -> Result<Vec<StoredRecord>, RecordsError> {
        let mut reading = self.reading(from, limit);
        while let Step::Fetch(record) = self.step(&mut reading)? {
            let bytes = match self.place_of(&record) {
                Some(place) => place.read(entry_len(&record)),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            if !self.take_fetched(&mut reading, &record, bytes)? {
                break;
            }
        }
        Ok(reading.found.records)
    }

    /// Like [`ShardLog::read`], without keeping a runtime's worker waiting for the disk.
    ///
    /// # Errors
    /// As there.
    pub async fn read_async(
        &self,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<StoredRecord>, RecordsError> {
        let mut reading = self.reading(from, limit);
        while let Step::Fetch(record) = self.step(&mut reading)? {
            let bytes = match self.place_of(&record) {
                Some(place) => place.read_async(entry_len(&record)).await,
                None => Err(io::ErrorKind::NotFound.into()),
            };
            if !self.take_fetched(&mut reading, &record, bytes)? {
                break;
            }
        }
        Ok(reading.found.records)
    }

    fn reading(&self, from: u64, limit: ReadLimit) -> Reading {
        Reading { from, to: self.next_index(), limit, found: Found::default() }
    }

    /// Reads what is in memory.
    fn step(&self, reading: &mut Reading) -> Result<Step, RecordsError> {
        while reading.goes_on() {
            let Some(runs) = self.tail.from(reading.from, CACHED_RUNS) else {
                return self.find(reading);
            };
            for run in &runs {
                if !reading.take(run)? {
                    return Ok(Step::Done);
                }
            }
            if runs.is_empty() {
                break;
            }
        }
        Ok(Step::Done)
    }

    /// Looks up the next run.
    fn find(&self, reading: &mut Reading) -> Result<Step, RecordsError> {
        if self.stream.state().deleted {
            return Err(RecordsError::Deleted);
        }
        let run = self.stream.fragments_from(reading.from, 1).first().copied();
        let follows = |run: Record| first_of(run.counter(), run.breaks) <= reading.from;
        if let Some(failure) = self.index_failure()
            && !run.is_some_and(follows)
        {
            let context = format!("find the records from {} on", reading.from);
            let source = io::Error::other(failure.to_owned());
            return reading.ended_by(RecordsError::Io { context, source }).map(|()| Step::Done);
        }
        let Some(run) = run else { return Ok(Step::Done) };
        let first = first_of(run.counter(), run.breaks);
        if first > reading.from {
            // Nothing is missing where all before it has expired.
            let oldest = self.span().first;
            if oldest < reading.from {
                return reading.damaged(first - 1).map(|()| Step::Done);
            }
            reading.from = first;
        }
        Ok(Step::Fetch(run))
    }

    fn place_of(&self, record: &Record) -> Option<Place> {
        Place::of(self.stream.segments(), record.lsn)
    }

    /// Takes in a run that was read; `false` when nothing more is to be read.
    fn take_fetched(
        &self,
        reading: &mut Reading,
        record: &Record,
        bytes: io::Result<Bytes>,
    ) -> Result<bool, RecordsError> {
        match self.stream.findable(record.number) {
            Ok(now) if now.lsn == record.lsn => {}
            // It expired meanwhile, or lies elsewhere: what was read may be anything.
            Ok(_) | Err(ReadError::NotFound) => return Ok(true),
            Err(_) => return Err(RecordsError::Deleted),
        }
        let bytes = bytes.map_err(|source| {
            let context = format!("read the records up to {}", record.counter());
            RecordsError::Io { context, source }
        })?;
        match verified(record, bytes) {
            Some(run) => reading.take(&run),
            None => reading.damaged(record.counter()).map(|()| false),
        }
    }
}

impl Reading {
    fn goes_on(&self) -> bool {
        self.from < self.to && self.found.has_room(self.limit)
    }

    /// Reads on in the run that holds the next index; `false` when nothing more is to be read.
    fn take(&mut self, run: &Run) -> Result<bool, RecordsError> {
        if run.last >= self.to {
            return Ok(false);
        }
        if run.read(self.from, self.limit, &mut self.found).is_err() {
            return self.damaged(run.last).map(|()| false);
        }
        self.from = self.found.records.last().map_or(self.from, |record| record.index + 1);
        Ok(self.goes_on() && self.from > run.last)
    }

    /// All up to `last` can not be read: that is told unless something was found before.
    fn damaged(&self, last: u64) -> Result<(), RecordsError> {
        self.ended_by(RecordsError::Damaged { first: self.from, last })
    }

    /// Nothing more can be read: why is told unless something was found before.
    fn ended_by(&self, error: RecordsError) -> Result<(), RecordsError> {
        if self.found.records.is_empty() { Err(error) } else { Ok(()) }
    }
}

fn entry_len(record: &Record) -> usize {
    HEADER_BYTES + record.size as usize
}

/// A run that was read, if it is what was written.
fn verified(record: &Record, entry: Bytes) -> Option<Run> {
    let facts = header_of(&entry, record.lsn)?.kind.fragment()?;
    let body = entry.slice(HEADER_BYTES..);
    let whole = facts.number == record.number
        && facts.body_len() == body.len() as u64
        && facts.breaks > 0
        && facts.body_crc == crc32c::crc32c(&body);
    let (last, arrival) = (record.counter(), record.server());
    whole.then(|| Run { last, records: facts.breaks, arrival, pieces: vec![body] })
}
