//! What record streams and queues a database has: all of them, or those that can be read.

use std::collections::{BTreeMap, BTreeSet};

use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};

use super::record_facts::{CapacityMode, Distribution, QueueInfo, RecordStreamInfo, ShardInfo};
use super::records::{Facts, RECORD_POSITIONS};
use super::shards::SHARDS;
use super::{CatalogError, corrupted};
use crate::types::{HashRange, ServerTimestamp, ShardId, StreamId, StreamName};

/// Hours that a stream keeps its records whose facts are lost: the most there are.
const RECOVERED_RETENTION_HOURS: u32 = 8760;

/// What record streams and queues a database has.
#[derive(Debug, Default)]
pub struct KnownRecords {
    /// The streams, by id.
    pub streams: Vec<RecordStreamInfo>,
    /// The queues, by id.
    pub queues: Vec<QueueInfo>,
}

impl KnownRecords {
    /// Reads a database, which may be a new one.
    pub fn load(database: &redb::Database) -> Result<Self, CatalogError> {
        let read = || -> Result<Self, redb::Error> {
            // Also makes the tables of a new database.
            let change = database.begin_write()?;
            change.open_table(RecordStreamInfo::TABLE)?;
            change.open_table(QueueInfo::TABLE)?;
            change.open_table(RECORD_POSITIONS)?;
            change.commit()?;
            let mut damage = None;
            let known = Self::read(&database.begin_read()?, &mut damage)?;
            damage.map_or(Ok(known), |what| Err(corrupted(what)))
        };
        read().map_err(super::database)
    }

    /// What of it can be read; the rest is told as `damage`.
    fn read(tables: &ReadTransaction, damage: &mut Option<String>) -> Result<Self, redb::Error> {
        Ok(Self {
            streams: read_all(tables, damage)?.unwrap_or_default(),
            queues: read_all(tables, damage)?.unwrap_or_default(),
        })
    }
}

/// What can be read of the record streams of a damaged catalog, with the shards it tells of.
#[derive(Debug, Default)]
pub struct SalvagedRecords {
    known: KnownRecords,
    /// The shards in their own table, with the hours that they keep their records.
    shards: BTreeMap<StreamId, u32>,
}

impl SalvagedRecords {
    /// Reads what can be read; the rest is told as `damage`.
    pub fn read(
        tables: &ReadTransaction,
        damage: &mut Option<String>,
    ) -> Result<Self, redb::Error> {
        let known = KnownRecords::read(tables, damage)?;
        let mut shards = BTreeMap::new();
        if let Some(table) = there(tables, SHARDS)? {
            for row in table.iter()? {
                let (id, hours) = row?;
                shards.insert(StreamId(id.value()), hours.value());
            }
        }
        Ok(Self { known, shards })
    }

    /// How many record streams there are.
    pub fn len(&self) -> usize {
        self.known.streams.len()
    }

    /// Whether a log is that of a shard or a queue.
    pub fn has(&self, log: StreamId) -> bool {
        self.shards.contains_key(&log)
    }

    /// The name of the stream or queue that a log belongs to.
    pub fn name_of(&self, log: StreamId) -> Option<StreamName> {
        let stream = self.known.streams.iter().find(|info| info.logs().contains_key(&log));
        let queue = self.known.queues.iter().find(|info| info.id == log);
        let of_queue = || queue.and_then(|info| info.name.parse().ok());
        stream.map(|info| info.name.clone()).or_else(of_queue)
    }

    /// Writes all of it into a new catalog. Each of `lost`, a log and when its records begin, and
    /// each shard that no stream has any more, becomes a record stream of one shard under a made-up
    /// name. Returns the next id.
    pub fn write(
        &self,
        change: &WriteTransaction,
        lost: &BTreeMap<StreamId, ServerTimestamp>,
        next_id: u32,
    ) -> Result<u32, redb::Error> {
        let Self { known: KnownRecords { streams, queues }, shards } = self;
        let ids = streams.iter().map(Facts::id).chain(shards.keys().chain(lost.keys()).copied());
        let mut next_id = ids.map(|id| id.0 + 1).fold(next_id, u32::max);
        let owned: BTreeSet<_> = streams.iter().flat_map(|info| info.logs().into_keys()).collect();
        let owned = |log: &StreamId| owned.contains(log) || queues.iter().any(|q| q.id == *log);
        let ownerless = shards.keys().filter(|log| !owned(log) && !lost.contains_key(log));
        let ownerless = ownerless.map(|log| (*log, ServerTimestamp::default()));
        let recovered = lost.iter().map(|(log, began)| (*log, *began)).chain(ownerless);
        for (log, began) in recovered {
            write_one(change, &recover(StreamId(next_id), log, began))?;
            next_id += 1;
        }
        streams.iter().try_for_each(|info| write_one(change, info))?;
        queues.iter().try_for_each(|info| write_one(change, info))?;
        Ok(next_id)
    }
}

fn write_one<T: Facts>(change: &WriteTransaction, facts: &T) -> Result<(), redb::Error> {
    let row = serde_json::to_vec(facts).map_err(corrupted)?;
    change.open_table(T::TABLE)?.insert(facts.id().0, &*row)?;
    let mut shards = change.open_table(SHARDS)?;
    for (log, retention) in facts.logs() {
        shards.insert(log.0, retention.encode())?;
    }
    Ok(())
}

fn recover(id: StreamId, log: StreamId, began: ServerTimestamp) -> RecordStreamInfo {
    let name = format!("recovered-{}", log.0);
    let shard = ShardInfo {
        id: ShardId(0),
        log,
        parents: Vec::new(),
        range: HashRange::ALL,
        epoch: u64::try_from(began.as_millis() / 1000).unwrap_or(0),
        created: began,
        closed: None,
    };
    RecordStreamInfo {
        id,
        name: name.parse().expect("letters, a hyphen and digits are a name"),
        created: began,
        mode: CapacityMode::Provisioned,
        retention_hours: RECOVERED_RETENTION_HOURS,
        max_record_kib: 1024,
        warm_mibps: None,
        distribution: Distribution::PartitionKey,
        shard_metrics: BTreeSet::new(),
        tags: BTreeMap::new(),
        policy: None,
        consumers: Vec::new(),
        shards: vec![shard],
        next_shard: 1,
        scalings: Vec::new(),
        mode_changes: Vec::new(),
    }
}

fn read_all<T: Facts>(
    tables: &ReadTransaction,
    damage: &mut Option<String>,
) -> Result<Option<Vec<T>>, redb::Error> {
    let Some(table) = there(tables, T::TABLE)? else { return Ok(None) };
    let mut all = Vec::new();
    for row in table.iter()? {
        let (id, facts) = row?;
        match serde_json::from_slice(facts.value()) {
            Ok(facts) => all.push(facts),
            Err(error) => *damage = Some(format!("record stream or queue {}: {error}", id.value())),
        }
    }
    Ok(Some(all))
}

/// A table, if an earlier version of this program did not leave it out.
fn there<V: redb::Value>(
    tables: &ReadTransaction,
    table: TableDefinition<'_, u32, V>,
) -> Result<Option<redb::ReadOnlyTable<u32, V>>, redb::Error> {
    match tables.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
