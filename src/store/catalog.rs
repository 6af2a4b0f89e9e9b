//! What streams exist: small facts in a transactional database, kept in memory for reading.
//!
//! Here: media streams. `records`: record streams and queues, by the facts in `record_facts`;
//! `known_records`: those that a database has. `shards`: which streams of the log they own.
//! `documents`: whatever else the layers above remember.

pub(super) mod as_json;
pub(super) mod documents;
mod known_records;
mod record_facts;
mod records;

use documents::AllDocuments;
pub use documents::{
    Change, DocumentError, Documents, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_KEY_BYTES,
    MAX_DOCUMENTS_BYTES, MAX_DOCUMENTS_OF_A_KIND,
};
pub(super) use known_records::{KnownRecords, SalvagedRecords};
pub use record_facts::{
    CapacityMode, Closed, ConsumerInfo, ConsumerPositions, Distribution, QueueInfo, QueueStart,
    RecordStreamInfo, ShardInfo,
};
pub use records::{LogIds, RecordCatalog};

pub(super) mod shards;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::index::guarded;
use super::locked;
use super::records::{ShardRetention, Shards};
use super::streams::Streams;
use crate::types::{Arn, ProducerTimestamp, ServerTimestamp, StreamId, StreamName};

/// A stream's id and its facts as JSON, see [`Stored`].
pub(super) const STREAMS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("streams");
/// Counters; the only one is [`NEXT_ID`].
pub(super) const COUNTERS: TableDefinition<'_, &str, u32> = TableDefinition::new("counters");
/// The id the next stream gets. Ids are never used again, see `FORMAT.md`.
pub(super) const NEXT_ID: &str = "next_stream_id";
const VERSION_LENGTH: usize = 20;
/// The most pins of a stream.
pub const MAX_PINS: usize = 1000;

type Database = redb::Database;

/// The catalog of streams. Reads are from memory; each change is one durable transaction.
pub struct Catalog {
    database: Arc<Database>,
    /// Held during a change, so that changes follow each other; reads do not wait for their sync.
    changing: Mutex<()>,
    streams: RwLock<BTreeMap<StreamName, Arc<StreamInfo>>>,
    media: Arc<Streams>,
    shards: Arc<Shards>,
}

/// What a stream is created with.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are those of CreateStream")]
pub struct NewStream {
    pub arn: Arn,
    pub device_name: Option<String>,
    pub media_type: Option<String>,
    pub kms_key_id: Option<String>,
    pub retention_hours: u32,
    pub tags: BTreeMap<String, String>,
}

/// A stream's facts at one moment.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are those of DescribeStream")]
pub struct StreamInfo {
    pub id: StreamId,
    pub arn: Arn,
    pub device_name: Option<String>,
    pub media_type: Option<String>,
    pub kms_key_id: Option<String>,
    pub retention_hours: u32,
    /// Bytes of the log that its newest fragments may take; older ones go.
    pub max_bytes: Option<u64>,
    /// Whether a fragment that does not start after the one before it on its connection is refused.
    pub strict_timecodes: bool,
    /// What survives retention and every limit; at most [`MAX_PINS`].
    pub pins: Vec<Pin>,
    pub tags: BTreeMap<String, String>,
    /// Twenty random alphanumerics, new on each change of metadata.
    pub version: String,
    pub status: StreamStatus,
}

impl StreamInfo {
    /// The stream's name.
    pub fn name(&self) -> &StreamName {
        &self.arn.name
    }

    /// When it was created.
    pub fn created(&self) -> ServerTimestamp {
        ServerTimestamp::from_millis(self.arn.created_ms)
    }
}

/// A range of producer time, both ends included. Fragments that have any part of it survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// Where it begins.
    pub from: ProducerTimestamp,
    /// Where it ends, not before it begins.
    pub to: ProducerTimestamp,
}

impl Pin {
    /// The same ranges in order, with those that touch as one.
    pub(super) fn merged(pins: &[Self]) -> Arc<[Self]> {
        let mut pins = pins.to_vec();
        pins.sort_unstable();
        let mut merged: Vec<Self> = Vec::new();
        for pin in pins {
            match merged.last_mut() {
                Some(last) if pin.from <= last.to => last.to = last.to.max(pin.to),
                _ => merged.push(pin),
            }
        }
        merged.into()
    }
}

/// Changes are applied synchronously, so the in-between states are never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// It can be written and read.
    Active,
    /// It is being deleted.
    Deleting,
}

/// Why a change was refused.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Its name is taken.
    #[error("the stream {0} already exists")]
    Exists(StreamName),
    /// No stream has exactly this ARN.
    #[error("no such stream")]
    NotFound,
    /// Somebody changed the stream meanwhile.
    #[error("the version {given} is not the stream's current version")]
    VersionMismatch {
        /// What the caller took for the version.
        given: String,
    },
    /// The database failed; nothing was changed.
    #[error("the catalog could not be changed: {0}")]
    Database(String),
    /// The database failed while it made the change durable: a restart shows whether it happened.
    #[error("whether the catalog was changed is known after a restart: {0}")]
    Uncertain(String),
}

impl Catalog {
    /// A stream by name.
    pub fn by_name(&self, name: &StreamName) -> Option<Arc<StreamInfo>> {
        self.read(|streams| streams.get(name).cloned())
    }

    /// Up to `limit` streams whose name starts with `prefix` and sorts after `after`, by name.
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Vec<Arc<StreamInfo>> {
        let start = match after.map(StreamName::as_str) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.read(|streams| {
            let from = streams.range::<str, _>((start, Bound::Unbounded));
            let matching = from.take_while(|(name, _)| name.as_str().starts_with(prefix));
            matching.take(limit).map(|(_, info)| info.clone()).collect()
        })
    }

    /// Creates a stream; exactly one of several racing creates succeeds. Blocks for one sync.
    pub fn create(&self, stream: NewStream) -> Result<Arc<StreamInfo>, CatalogError> {
        let _changing = locked(&self.changing);
        if self.by_name(&stream.arn.name).is_some() {
            return Err(CatalogError::Exists(stream.arn.name));
        }
        let version = new_version()?;
        let info = self.insert(stream, version).map_err(database)?;
        self.media.create(info.id);
        self.write(|streams| streams.insert(info.name().clone(), info.clone()));
        Ok(info)
    }

    /// Changes a stream in one transaction. `version` must be the current one where given;
    /// `change` may refuse with its own error, and can change neither id nor ARN. A new version
    /// is set when `rotate_version`. Blocks for one sync.
    pub fn update<E: From<CatalogError>>(
        &self,
        arn: &Arn,
        version: Option<&str>,
        rotate_version: bool,
        change: impl FnOnce(&mut StreamInfo) -> Result<(), E>,
    ) -> Result<Arc<StreamInfo>, E> {
        let _changing = locked(&self.changing);
        let current = self.current(arn, version)?;
        let mut info = StreamInfo::clone(&current);
        change(&mut info)?;
        info.id = current.id;
        info.arn = current.arn.clone();
        info.version = if rotate_version { new_version()? } else { current.version.clone() };
        self.store(&info).map_err(database)?;
        let info = Arc::new(info);
        self.write(|streams| streams.insert(info.name().clone(), info.clone()));
        Ok(info)
    }

    /// Deletes a stream; its fragments are unreachable at once. The whole ARN must match. Blocks
    /// for one sync.
    pub fn delete(&self, arn: &Arn, version: Option<&str>) -> Result<(), CatalogError> {
        let _changing = locked(&self.changing);
        let info = self.current(arn, version)?;
        self.remove(info.id).map_err(database)?;
        self.write(|streams| streams.remove(info.name()));
        self.media.delete(info.id);
        Ok(())
    }

    /// The catalog over a database whose streams are in `known`.
    pub(super) fn new(
        database: Arc<Database>,
        known: Vec<StreamInfo>,
        media: Arc<Streams>,
        shards: Arc<Shards>,
    ) -> Self {
        let streams = known.into_iter().map(|info| (info.name().clone(), Arc::new(info)));
        let streams = RwLock::new(streams.collect());
        Self { database, changing: Mutex::new(()), streams, media, shards }
    }

    fn current(&self, arn: &Arn, version: Option<&str>) -> Result<Arc<StreamInfo>, CatalogError> {
        let info = self.by_name(&arn.name).filter(|info| info.arn == *arn);
        let info = info.ok_or(CatalogError::NotFound)?;
        match version {
            Some(given) if given != info.version => {
                Err(CatalogError::VersionMismatch { given: given.to_owned() })
            }
            _ => Ok(info),
        }
    }

    fn insert(&self, stream: NewStream, version: String) -> Result<Arc<StreamInfo>, redb::Error> {
        let change = self.database.begin_write()?;
        let info = {
            let mut counters = change.open_table(COUNTERS)?;
            let id = counters.get(NEXT_ID)?.map_or(1, |id| id.value());
            counters.insert(NEXT_ID, id + 1)?;
            let info = StreamInfo {
                id: StreamId(id),
                arn: stream.arn,
                device_name: stream.device_name,
                media_type: stream.media_type,
                kms_key_id: stream.kms_key_id,
                retention_hours: stream.retention_hours,
                max_bytes: None,
                strict_timecodes: false,
                pins: Vec::new(),
                tags: stream.tags,
                version,
                status: StreamStatus::Active,
            };
            change.open_table(STREAMS)?.insert(id, &*encode(&info)?)?;
            info
        };
        change.commit()?;
        Ok(Arc::new(info))
    }

    fn store(&self, info: &StreamInfo) -> Result<(), redb::Error> {
        let change = self.database.begin_write()?;
        change.open_table(STREAMS)?.insert(info.id.0, &*encode(info)?)?;
        Ok(change.commit()?)
    }

    fn remove(&self, id: StreamId) -> Result<(), redb::Error> {
        let change = self.database.begin_write()?;
        change.open_table(STREAMS)?.remove(id.0)?;
        Ok(change.commit()?)
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<StreamName, Arc<StreamInfo>>) -> T) -> T {
        read(&self.streams.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut BTreeMap<StreamName, Arc<StreamInfo>>) -> T) {
        write(&mut self.streams.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A catalog's database, and all that it says.
pub(super) struct OpenedCatalog {
    pub database: Database,
    pub streams: Vec<StreamInfo>,
    pub records: KnownRecords,
    pub shards: Vec<(StreamId, ShardRetention)>,
    pub documents: AllDocuments,
}

impl OpenedCatalog {
    /// Opens a disk's catalog, or makes a new one. One that is damaged is refused, also where redb
    /// panics over it.
    pub fn open(disk: &dyn Disk) -> Result<Self, String> {
        guarded(|| {
            let database = disk.catalog()?;
            let streams = load(&database)?;
            let records = KnownRecords::load(&database)?;
            let shards = shards::load(&database)?;
            let documents = documents::load(&database)?;
            Ok(Self { database, streams, records, shards, documents })
        })
    }
}

/// All streams in a database, which may be a new one.
fn load(database: &Database) -> Result<Vec<StreamInfo>, redb::Error> {
    // Also makes the tables of a new database.
    let change = database.begin_write()?;
    change.open_table(COUNTERS)?;
    change.open_table(STREAMS)?;
    change.commit()?;
    let table = database.begin_read()?.open_table(STREAMS)?;
    let mut all = Vec::new();
    for row in table.iter()? {
        let (id, facts) = row?;
        all.push(decode(StreamId(id.value()), facts.value())?);
    }
    Ok(all)
}

/// Reads a row of the table of streams.
pub(super) fn decode(id: StreamId, facts: &[u8]) -> Result<StreamInfo, redb::Error> {
    let stored: Stored = serde_json::from_slice(facts).map_err(corrupted)?;
    let arn = stored.arn.parse().map_err(corrupted)?;
    Ok(stored.into_info(id, arn))
}

/// A stream's facts as they are stored. Fields may be added, as optional ones.
#[derive(Serialize, Deserialize)]
struct Stored {
    arn: String,
    device_name: Option<String>,
    media_type: Option<String>,
    kms_key_id: Option<String>,
    retention_hours: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    #[serde(default)]
    strict_timecodes: bool,
    /// Both ends of each, in milliseconds.
    #[serde(default)]
    pins: Vec<(i64, i64)>,
    tags: BTreeMap<String, String>,
    version: String,
}

impl Stored {
    fn into_info(self, id: StreamId, arn: Arn) -> StreamInfo {
        let at = ProducerTimestamp::from_millis;
        let pins = self.pins.into_iter().map(|(from, to)| Pin { from: at(from), to: at(to) });
        StreamInfo {
            id,
            arn,
            device_name: self.device_name,
            media_type: self.media_type,
            kms_key_id: self.kms_key_id,
            retention_hours: self.retention_hours,
            max_bytes: self.max_bytes,
            strict_timecodes: self.strict_timecodes,
            pins: pins.collect(),
            tags: self.tags,
            version: self.version,
            status: StreamStatus::Active,
        }
    }
}

/// A row of the table of streams.
pub(super) fn encode(info: &StreamInfo) -> Result<Vec<u8>, redb::Error> {
    let info = info.clone();
    let pins = info.pins.iter().map(|pin| (pin.from.as_millis(), pin.to.as_millis()));
    let stored = Stored {
        arn: info.arn.to_string(),
        device_name: info.device_name,
        media_type: info.media_type,
        kms_key_id: info.kms_key_id,
        retention_hours: info.retention_hours,
        max_bytes: info.max_bytes,
        strict_timecodes: info.strict_timecodes,
        pins: pins.collect(),
        tags: info.tags,
        version: info.version,
    };
    serde_json::to_vec(&stored).map_err(corrupted)
}

fn corrupted(error: impl std::fmt::Display) -> redb::Error {
    redb::Error::Corrupted(error.to_string())
}

fn database(error: redb::Error) -> CatalogError {
    CatalogError::Database(error.to_string())
}

/// A version that no stream had.
pub(super) fn new_version() -> Result<String, CatalogError> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = [0; VERSION_LENGTH];
    getrandom::fill(&mut random).map_err(|error| CatalogError::Database(error.to_string()))?;
    // It tells versions apart and is no secret, so the slight bias does not matter.
    Ok(random
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect())
}
