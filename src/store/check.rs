//! Verifies a store that nobody has open: every checksum, the order of the log, the catalog against
//! the log, the database of people. On request, makes what is damaged harmless, without deleting
//! anything.
//!
//! Here: what is wrong, as facts. Not here: how an operator is told (`cli`). The log is walked
//! without the index, as the index is derived from it and proves nothing.
//!
//! - `walk`: reads the log from end to end
//! - `ledger`: what each stream should have, and what of it is missing
//! - `runs`: the same of a shard's records
//! - `catalog`: reads what can be read of a damaged catalog
//! - `repair`: sets aside what cannot be read

mod catalog;
mod ledger;
mod repair;
mod runs;
mod walk;

use std::io;
use std::path::Path;

use super::disk::{Disk, FileDisk};
use super::log::entry::Lsn;
use super::people::PeopleStore;
use crate::types::{ProducerTimestamp, StreamId, StreamName};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Streams that the catalog knows, of media and of records.
    pub streams: usize,
    /// Segment files that hold a part of the log.
    pub segments: usize,
    /// Bytes of the log that were read.
    pub bytes: u64,
    /// Whole fragments of streams that exist; with those that have expired and whose space was not
    /// used again yet.
    pub fragments: u64,
    /// Whole records of shards that exist, likewise.
    pub records: u64,
    /// What is damaged. Empty in a sound store.
    pub damage: Vec<Damage>,
    /// What is worth knowing and no damage.
    pub notes: Vec<Note>,
    /// What a repair did, in words.
    pub repairs: Vec<String>,
}

/// Something that was written and cannot be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Media of a stream.
    Media(LostMedia),
    /// Records of a shard.
    Records(LostRecords),
    /// A range of a segment file.
    Log {
        /// The file.
        segment: String,
        /// The first byte, counted from the file's beginning.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A segment file as a whole.
    Segment {
        /// The file.
        segment: String,
        /// What is wrong.
        what: String,
    },
    /// The database of streams.
    Catalog {
        /// What is wrong.
        what: String,
    },
    /// A stream whose facts are lost; its fragments are in the log.
    LostStream {
        /// Its id, which is all that the log knows it by.
        id: StreamId,
        /// Its whole fragments, or records.
        fragments: u64,
    },
    /// The database of people: collections, faces and sightings.
    People {
        /// What is wrong.
        what: String,
    },
}

/// Records of one shard that cannot be read, or are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRecords {
    /// The shard's id in the log.
    pub stream: StreamId,
    /// The name of the record stream or queue that it belongs to, if the catalog knows it.
    pub name: Option<StreamName>,
    /// The index of the first.
    pub first: u64,
    /// The index of the last.
    pub last: u64,
    /// Whether they are there, with other bytes than were written.
    pub altered: bool,
}

/// Fragments of one stream that cannot be read, or are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostMedia {
    /// The stream's id.
    pub stream: StreamId,
    /// Its name, if the catalog knows it.
    pub name: Option<StreamName>,
    /// Where the damage begins on the producer's clock; `None`: before all that is there.
    pub from: Option<ProducerTimestamp>,
    /// Where it ends.
    pub to: ProducerTimestamp,
    /// How many fragments.
    pub fragments: u64,
    /// Whether they are there, with other bytes than were written.
    pub altered: bool,
}

/// What is worth knowing and no damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The process or the machine ended while this was written; nobody was told that it is stored.
    /// The next start cuts it.
    TornTail {
        /// Bytes.
        bytes: u64,
    },
    /// Remains of streams that were deleted; the space is used again in time.
    Orphans {
        /// How many streams.
        streams: usize,
        /// Their fragments, and records.
        fragments: u64,
    },
    /// Files that were being made when the process ended; the next start removes them.
    Unfinished {
        /// How many files.
        files: usize,
    },
    /// Lost, and dealt with by an earlier repair.
    SetAside(LostMedia),
    /// The same of records.
    RecordsSetAside(LostRecords),
}

/// How far a check is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes to read in all.
    pub total: u64,
}

/// Why a store could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A server runs on it.
    #[error("another process has the data directory open; stop it first")]
    Locked,
    /// There is no store.
    #[error("there is no store in this directory")]
    NoStore,
    /// The store was written by a later version of this program.
    #[error("{segment} has format version {version}, which this program does not know")]
    Version {
        /// The file.
        segment: String,
        /// Its version.
        version: u8,
    },
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io {
        /// What was tried.
        context: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A new catalog could not be written.
    #[error("write a new catalog: {0}")]
    Catalog(String),
}

/// Checks the store in `dir`, which no server may have open; with `repair`, sets aside what cannot
/// be read. Without it nothing is written, but for the lock. Blocks; tells `progress` now and then.
pub fn check(
    dir: &Path,
    repair: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport, CheckError> {
    // Locking makes a directory that is not there, and a mistyped name is no empty store.
    if !dir.join("log").is_dir() {
        return Err(CheckError::NoStore);
    }
    let disk = FileDisk::new(dir);
    if !disk.lock().map_err(|e| failed("lock the data directory", e))? {
        return Err(CheckError::Locked);
    }
    let report = check_on(&disk, repair, progress);
    disk.unlock();
    report
}

/// Like [`check`], on any disk that is locked already.
pub(super) fn check_on(
    disk: &dyn Disk,
    repair: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport, CheckError> {
    let catalog = catalog::read(disk)?;
    let people = PeopleStore::verify(disk).map_err(|e| failed("open the database of people", e))?;
    let set_aside = repair::ranges_set_aside(disk)?;
    let mut ledger = ledger::Ledger::default();
    let walked = walk::walk(disk, &mut ledger, progress)?;
    let mut report = CheckReport {
        streams: catalog.streams.len() + catalog.records.len(),
        segments: walked.segments,
        bytes: walked.bytes,
        ..CheckReport::default()
    };
    let lost_streams = ledger.lost_streams(&catalog);
    catalog.tell(&lost_streams, &mut report);
    walked.tell(&mut report);
    ledger.tell(&catalog, &lost_streams, &set_aside, &mut report);
    if let Err(error) = &people {
        report.damage.push(Damage::People { what: error.what().to_owned() });
    }
    if repair && !report.damage.is_empty() {
        let mut repair = repair::Repair::new(disk, &mut report.repairs);
        repair.catalog(&catalog, &lost_streams)?;
        repair.log(&walked)?;
        repair.remember(&ledger.missing_ranges(&catalog, &set_aside))?;
        if people.is_err() {
            repair.people()?;
        }
    }
    Ok(report)
}

/// A range of positions in the log.
type Range = std::ops::Range<Lsn>;

fn failed(context: &str, source: io::Error) -> CheckError {
    CheckError::Io { context: context.to_owned(), source }
}
