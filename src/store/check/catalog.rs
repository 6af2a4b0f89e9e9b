//! Reads a catalog that may be damaged, from a copy of it in memory.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableDatabase, ReadableTable};

use super::{CheckError, CheckReport, Damage, failed};
use crate::store::catalog::documents::{self, AllDocuments};
use crate::store::catalog::shards::SHARDS;
use crate::store::catalog::{
    COUNTERS, NEXT_ID, STREAMS, SalvagedRecords, StreamInfo, StreamStatus,
};
use crate::store::catalog::{decode, encode, new_version};
use crate::store::disk::{Disk, MemoryDatabase};
use crate::store::index::guarded;
use crate::types::{Arn, ServerTimestamp, StreamId, StreamName};

/// What a stream gets back whose facts are lost: the longest retention there is, so that nothing
/// expires before somebody has looked at it.
const RECOVERED_RETENTION_HOURS: u32 = 87_600;

/// What a catalog says.
#[derive(Debug, Default)]
pub struct ReadCatalog {
    /// The streams that can be read.
    pub streams: BTreeMap<StreamId, StreamInfo>,
    /// The record streams and queues that can be read.
    pub records: SalvagedRecords,
    /// The documents, where all of them can be read.
    documents: AllDocuments,
    /// The logs that are shards, whatever they belong to.
    shards: BTreeSet<StreamId>,
    /// Those whose facts are damaged.
    broken: BTreeSet<StreamId>,
    /// Ids from here on were never given; `None` when that is not known.
    next_id: Option<u32>,
    /// Why it has to be written anew.
    pub damage: Option<String>,
}

/// A stream that the log has and the catalog does not.
#[derive(Clone, Copy, Debug)]
pub struct LostStream {
    /// Its whole fragments.
    pub fragments: u64,
    /// When the server began to receive the first.
    pub created: ServerTimestamp,
    /// Whether they are runs of records.
    pub records: bool,
}

impl ReadCatalog {
    /// Whether a stream which the log mentions was lost, and not deleted.
    pub fn has_lost(&self, id: StreamId) -> bool {
        let given = self.next_id.is_some_and(|next| id.0 < next);
        !self.knows(id) && (!given || self.broken.contains(&id))
    }

    /// Whether it tells of a stream of the log.
    pub fn knows(&self, id: StreamId) -> bool {
        self.streams.contains_key(&id) || self.has_shard(id)
    }

    /// Whether a stream of the log is a shard.
    pub fn has_shard(&self, id: StreamId) -> bool {
        self.shards.contains(&id) || self.records.has(id)
    }

    /// The name of a media stream, or that of the record stream or the queue that a log belongs to.
    pub fn name_of(&self, id: StreamId) -> Option<StreamName> {
        let media = self.streams.get(&id).map(|info| info.name().clone());
        media.or_else(|| self.records.name_of(id))
    }

    /// Adds what is wrong to a report.
    pub fn tell(&self, lost: &BTreeMap<StreamId, LostStream>, report: &mut CheckReport) {
        if let Some(what) = &self.damage {
            report.damage.push(Damage::Catalog { what: what.clone() });
        } else if !lost.is_empty() {
            let what = "it is older than the log, or not there".to_owned();
            report.damage.push(Damage::Catalog { what });
        }
        for (&id, &LostStream { fragments, .. }) in lost {
            report.damage.push(Damage::LostStream { id, fragments });
        }
    }
}

/// Reads the catalog. What is damaged in it is no error.
pub fn read(disk: &dyn Disk) -> Result<ReadCatalog, CheckError> {
    let bytes = disk.read_catalog().map_err(|e| failed("read the catalog", e))?;
    let Some(bytes) = bytes else { return Ok(ReadCatalog::default()) };
    let mut catalog = ReadCatalog::default();
    if let Err(error) = guarded(|| read_into(&mut catalog, bytes)) {
        catalog.damage = Some(error);
        // Rows may be missing, and the counter may be an old one.
        catalog.next_id = None;
    }
    Ok(catalog)
}

fn read_into(catalog: &mut ReadCatalog, bytes: Vec<u8>) -> Result<(), redb::Error> {
    let mut database = redb::Builder::new().create_with_backend(MemoryDatabase::of(bytes))?;
    let sound = database.check_integrity()?;
    let tables = database.begin_read()?;
    let streams = tables.open_table(STREAMS)?;
    for row in streams.iter()? {
        let (id, facts) = row?;
        let id = StreamId(id.value());
        match decode(id, facts.value()) {
            Ok(info) => drop(catalog.streams.insert(id, info)),
            Err(error) => {
                catalog.damage = Some(format!("stream {}: {error}", id.0));
                catalog.broken.insert(id);
            }
        }
    }
    // A store from before there were shards has no such table.
    if let Ok(shards) = tables.open_table(SHARDS) {
        for row in shards.iter()? {
            catalog.shards.insert(StreamId(row?.0.value()));
        }
    }
    catalog.records = SalvagedRecords::read(&tables, &mut catalog.damage)?;
    let counters = tables.open_table(COUNTERS)?;
    catalog.next_id = Some(counters.get(NEXT_ID)?.map_or(1, |id| id.value()));
    // Last: what hangs on the log matters more.
    catalog.documents = documents::read_all(&tables)?;
    if sound { Ok(()) } else { Err(redb::Error::Corrupted("checksums do not fit".to_owned())) }
}

/// Writes a new catalog: the streams that could be read, and the lost ones under made-up names.
pub fn rewrite(
    disk: &dyn Disk,
    catalog: &ReadCatalog,
    lost: &BTreeMap<StreamId, LostStream>,
) -> Result<(), CheckError> {
    let write = || -> Result<(), redb::Error> {
        let database = disk.catalog()?;
        let change = database.begin_write()?;
        let mut next_id = catalog.next_id.unwrap_or(1);
        {
            let mut streams = change.open_table(STREAMS)?;
            let media = lost.iter().filter(|(_, lost)| !lost.records);
            let recovered = media.map(|(&id, lost)| recovered(id, lost.created.as_millis()));
            for info in catalog.streams.values().cloned().chain(recovered) {
                next_id = next_id.max(info.id.0 + 1);
                streams.insert(info.id.0, &*encode(&info)?)?;
            }
            let records = lost.iter().filter(|(_, lost)| lost.records);
            let records = records.map(|(&id, lost)| (id, lost.created)).collect();
            next_id = catalog.records.write(&change, &records, next_id)?;
            change.open_table(COUNTERS)?.insert(NEXT_ID, next_id)?;
            documents::write_all(&change, &catalog.documents)?;
        }
        Ok(change.commit()?)
    };
    write().map_err(|error| CheckError::Catalog(error.to_string()))
}

fn recovered(id: StreamId, created_ms: i64) -> StreamInfo {
    let name = format!("recovered-{}", id.0);
    StreamInfo {
        id,
        arn: Arn {
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            name: name.parse().expect("letters, a hyphen and digits are a name"),
            created_ms,
        },
        device_name: None,
        media_type: None,
        kms_key_id: None,
        retention_hours: RECOVERED_RETENTION_HOURS,
        max_bytes: None,
        strict_timecodes: false,
        pins: Vec::new(),
        tags: BTreeMap::new(),
        version: new_version().unwrap_or_default(),
        status: StreamStatus::Active,
    }
}
