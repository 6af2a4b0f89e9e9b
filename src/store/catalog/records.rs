//! What record streams and queues exist: facts beside those of the media streams, in the same
//! database. Each change is one durable transaction; reads are from memory.
//!
//! Here: what is remembered, and the ids of the logs that shards and queues write. Not here: which
//! changes are allowed (`records`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::locked;
use super::super::records::{ShardRetention, Shards};
use super::known_records::KnownRecords;
use super::record_facts::{ConsumerPositions, QueueInfo, RecordStreamInfo};
use super::shards::{ShardChanges, change_shards};
use super::{COUNTERS, CatalogError, NEXT_ID, corrupted, database};
use crate::types::{StreamId, StreamName};

/// A record stream's id and its facts as JSON.
const RECORD_STREAMS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("record_streams");
/// A queue's id and its facts as JSON.
const RECORD_QUEUES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("record_queues");

/// A record stream's id and how far its consumers are, as JSON.
pub const RECORD_POSITIONS: TableDefinition<'_, u32, &[u8]> =
    TableDefinition::new("record_positions");

/// Gives ids out of the counter of all logs, inside one change of the catalog.
#[derive(Debug)]
pub struct LogIds(u32);

impl LogIds {
    /// An id that nothing had before and nothing will have again.
    pub fn take(&mut self) -> StreamId {
        self.0 += 1;
        StreamId(self.0 - 1)
    }
}

/// A kind of thing in the catalog.
pub trait Facts: Clone + Serialize + DeserializeOwned {
    /// Its table: ids and JSON.
    const TABLE: TableDefinition<'static, u32, &'static [u8]>;

    /// Its key in there.
    fn id(&self) -> StreamId;

    /// The logs that it has, and how long each keeps its records.
    fn logs(&self) -> BTreeMap<StreamId, ShardRetention>;
}

impl Facts for RecordStreamInfo {
    const TABLE: TableDefinition<'static, u32, &'static [u8]> = RECORD_STREAMS;

    fn id(&self) -> StreamId {
        self.id
    }

    fn logs(&self) -> BTreeMap<StreamId, ShardRetention> {
        let retention = ShardRetention::Hours(self.retention_hours);
        self.shards.iter().map(|shard| (shard.log, retention)).collect()
    }
}

impl Facts for QueueInfo {
    const TABLE: TableDefinition<'static, u32, &'static [u8]> = RECORD_QUEUES;

    fn id(&self) -> StreamId {
        self.id
    }

    fn logs(&self) -> BTreeMap<StreamId, ShardRetention> {
        BTreeMap::from([(self.id, ShardRetention::UntilTrimmed)])
    }
}

/// The catalog of record streams and queues.
pub struct RecordCatalog {
    database: Arc<redb::Database>,
    /// Held during a change, so that changes follow each other; reads do not wait for their sync.
    changing: Mutex<()>,
    memory: RwLock<Memory>,
    shards: Arc<Shards>,
}

#[derive(Default)]
struct Memory {
    streams: BTreeMap<StreamName, Arc<RecordStreamInfo>>,
    names: BTreeMap<StreamId, StreamName>,
    queues: BTreeMap<StreamId, Arc<QueueInfo>>,
}

impl Memory {
    fn insert(&mut self, info: &Arc<RecordStreamInfo>) {
        self.names.insert(info.id, info.name.clone());
        self.streams.insert(info.name.clone(), info.clone());
    }
}

impl RecordCatalog {
    /// The catalog over a database that has what is in `known`.
    pub(in crate::store) fn new(
        database: Arc<redb::Database>,
        known: KnownRecords,
        shards: Arc<Shards>,
    ) -> Self {
        let mut memory = Memory::default();
        known.streams.into_iter().for_each(|info| memory.insert(&Arc::new(info)));
        memory.queues = known.queues.into_iter().map(|info| (info.id, Arc::new(info))).collect();
        Self { database, changing: Mutex::default(), memory: RwLock::new(memory), shards }
    }

    /// A stream by name.
    pub fn stream(&self, name: &StreamName) -> Option<Arc<RecordStreamInfo>> {
        self.read(|memory| memory.streams.get(name).cloned())
    }

    /// A stream by id.
    pub fn stream_by_id(&self, id: StreamId) -> Option<Arc<RecordStreamInfo>> {
        self.read(|memory| memory.streams.get(memory.names.get(&id)?).cloned())
    }

    /// All streams, by name.
    pub fn streams(&self) -> Vec<Arc<RecordStreamInfo>> {
        self.read(|memory| memory.streams.values().cloned().collect())
    }

    /// A queue by id.
    pub fn queue(&self, id: StreamId) -> Option<Arc<QueueInfo>> {
        self.read(|memory| memory.queues.get(&id).cloned())
    }

    /// All queues, in the order of creation.
    pub fn queues(&self) -> Vec<Arc<QueueInfo>> {
        self.read(|memory| memory.queues.values().cloned().collect())
    }

    /// Creates the stream that `make` describes, which must bear `name`; exactly one of several
    /// racing creates succeeds. `check` sees all streams and may refuse. Blocks for one sync.
    pub fn create_stream<E: From<CatalogError>>(
        &self,
        name: &StreamName,
        make: impl FnOnce(&[Arc<RecordStreamInfo>], &mut LogIds) -> Result<RecordStreamInfo, E>,
    ) -> Result<Arc<RecordStreamInfo>, E> {
        let _changing = locked(&self.changing);
        if self.stream(name).is_some() {
            return Err(CatalogError::Exists(name.clone()).into());
        }
        let others = self.streams();
        let info = Arc::new(self.write(None, |ids| make(&others, ids))?);
        self.publish(|memory| memory.insert(&info));
        Ok(info)
    }

    /// Changes a stream in one transaction; `change` may refuse with its own error, and can change
    /// neither id nor name. Logs of new shards exist when this returns, those of shards that are
    /// gone do not. Blocks for one sync.
    pub fn update_stream<E: From<CatalogError>>(
        &self,
        name: &StreamName,
        change: impl FnOnce(&mut RecordStreamInfo, &mut LogIds) -> Result<(), E>,
    ) -> Result<Arc<RecordStreamInfo>, E> {
        let _changing = locked(&self.changing);
        let current = self.stream(name).ok_or(CatalogError::NotFound)?;
        let apply = |ids: &mut LogIds| {
            let mut info = RecordStreamInfo::clone(&current);
            change(&mut info, ids)?;
            info.id = current.id;
            info.name = current.name.clone();
            Ok::<_, E>(info)
        };
        let info = Arc::new(self.write(Some(&*current), apply)?);
        self.publish(|memory| memory.insert(&info));
        Ok(info)
    }

    /// Deletes a stream and the logs of its shards. `check` sees its facts and its queues, and may
    /// refuse. Blocks for one sync.
    pub fn delete_stream<E: From<CatalogError>>(
        &self,
        name: &StreamName,
        check: impl FnOnce(&RecordStreamInfo, &[Arc<QueueInfo>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let _changing = locked(&self.changing);
        let info = self.stream(name).ok_or(CatalogError::NotFound)?;
        let mut queues = self.queues();
        queues.retain(|queue| queue.stream == info.id);
        check(&info, &queues)?;
        self.remove(&*info)?;
        self.publish(|memory| {
            memory.names.remove(&info.id);
            memory.streams.remove(name)
        });
        Ok(())
    }

    /// Creates the queue that `make` describes, with the log of its journal. `make` sees all
    /// queues, and may refuse. Blocks for one sync.
    pub fn create_queue<E: From<CatalogError>>(
        &self,
        make: impl FnOnce(&[Arc<QueueInfo>], &mut LogIds) -> Result<QueueInfo, E>,
    ) -> Result<Arc<QueueInfo>, E> {
        let _changing = locked(&self.changing);
        let others = self.queues();
        let info = Arc::new(self.write(None, |ids| make(&others, ids))?);
        self.publish(|memory| memory.queues.insert(info.id, info.clone()));
        Ok(info)
    }

    /// Changes a queue in one transaction; `change` may refuse with its own error, and can not
    /// change the id. Blocks for one sync.
    pub fn update_queue<E: From<CatalogError>>(
        &self,
        id: StreamId,
        change: impl FnOnce(&mut QueueInfo) -> Result<(), E>,
    ) -> Result<Arc<QueueInfo>, E> {
        let _changing = locked(&self.changing);
        let current = self.queue(id).ok_or(CatalogError::NotFound)?;
        let apply = |_: &mut LogIds| {
            let mut info = QueueInfo::clone(&current);
            change(&mut info)?;
            info.id = id;
            Ok::<_, E>(info)
        };
        let info = Arc::new(self.write(Some(&*current), apply)?);
        self.publish(|memory| memory.queues.insert(id, info.clone()));
        Ok(info)
    }

    /// Deletes a queue and its journal. Blocks for one sync.
    pub fn delete_queue(&self, id: StreamId) -> Result<(), CatalogError> {
        let _changing = locked(&self.changing);
        let info = self.queue(id).ok_or(CatalogError::NotFound)?;
        self.remove(&*info)?;
        self.publish(|memory| memory.queues.remove(&id));
        Ok(())
    }

    /// How far consumers are, as it was stored last.
    pub fn positions(&self) -> Result<BTreeMap<StreamId, ConsumerPositions>, CatalogError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(RECORD_POSITIONS)?;
            let mut all = BTreeMap::new();
            for row in table.iter()? {
                let (id, positions) = row?;
                let positions = serde_json::from_slice(positions.value()).map_err(corrupted)?;
                all.insert(StreamId(id.value()), positions);
            }
            Ok(all)
        };
        read().map_err(database)
    }

    /// Stores how far consumers are, in place of what was stored before. Blocks for one sync.
    pub fn store_positions(
        &self,
        positions: &BTreeMap<StreamId, ConsumerPositions>,
    ) -> Result<(), CatalogError> {
        let write = || -> Result<(), redb::Error> {
            let change = self.database.begin_write()?;
            {
                let mut table = change.open_table(RECORD_POSITIONS)?;
                table.retain(|id, _| positions.contains_key(&StreamId(id)))?;
                for (id, positions) in positions {
                    let row = serde_json::to_vec(positions).map_err(corrupted)?;
                    table.insert(id.0, &*row)?;
                }
            }
            Ok(change.commit()?)
        };
        write().map_err(database)
    }

    /// Writes what `make` makes, and lets the logs follow from those that `before` had.
    fn write<T: Facts, E: From<CatalogError>>(
        &self,
        before: Option<&T>,
        make: impl FnOnce(&mut LogIds) -> Result<T, E>,
    ) -> Result<T, E> {
        change_shards(&self.database, &self.shards, |change, shards| {
            let mut ids = LogIds(next_id(change).map_err(database)?);
            let facts = make(&mut ids)?;
            store(change, &facts, ids.0).map_err(database)?;
            let had = before.map(Facts::logs).unwrap_or_default();
            change_logs(shards, &had, &facts.logs()).map_err(database)?;
            Ok(facts)
        })
    }

    fn remove<T: Facts>(&self, facts: &T) -> Result<(), CatalogError> {
        change_shards(&self.database, &self.shards, |change, shards| {
            let mut remove = || {
                change.open_table(T::TABLE)?.remove(facts.id().0)?;
                change_logs(shards, &facts.logs(), &BTreeMap::new())
            };
            remove().map_err(database)
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Memory) -> T) -> T {
        read(&self.memory.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish<T>(&self, change: impl FnOnce(&mut Memory) -> T) {
        change(&mut self.memory.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn next_id(change: &WriteTransaction) -> Result<u32, redb::Error> {
    let counters = change.open_table(COUNTERS)?;
    let next = counters.get(NEXT_ID)?.map_or(1, |id| id.value());
    Ok(next)
}

fn change_logs(
    shards: &mut ShardChanges<'_>,
    before: &BTreeMap<StreamId, ShardRetention>,
    after: &BTreeMap<StreamId, ShardRetention>,
) -> Result<(), redb::Error> {
    for (&log, &retention) in after {
        match before.get(&log) {
            None => shards.adopt(log, retention)?,
            Some(had) if *had != retention => shards.retain(log, retention)?,
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|log| !after.contains_key(log));
    gone.copied().try_for_each(|log| shards.delete(log))
}

fn store<T: Facts>(change: &WriteTransaction, facts: &T, next_id: u32) -> Result<(), redb::Error> {
    change.open_table(COUNTERS)?.insert(NEXT_ID, next_id)?;
    let row = serde_json::to_vec(facts).map_err(corrupted)?;
    change.open_table(T::TABLE)?.insert(facts.id().0, &*row)?;
    Ok(())
}
