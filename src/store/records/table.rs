//! The shards that exist.

use std::sync::Arc;

use dashmap::DashMap;

use super::cache::RunCache;
use super::{ShardLog, ShardRetention};
use crate::store::streams::Streams;
use crate::types::StreamId;

/// All shards by id. Each is one of the streams of the log, too.
#[derive(Debug)]
pub struct Shards {
    table: DashMap<StreamId, Arc<ShardLog>>,
    streams: Arc<Streams>,
    cache: Arc<RunCache>,
}

impl Shards {
    /// Those that the catalog knows, whose streams recovery has found.
    pub fn new(
        known: impl IntoIterator<Item = (StreamId, ShardRetention)>,
        streams: Arc<Streams>,
        cache_bytes: u64,
    ) -> Self {
        let cache = Arc::new(RunCache::new(cache_bytes));
        let shards = Self { table: DashMap::new(), streams, cache };
        known.into_iter().for_each(|(id, retention)| shards.add(id, retention));
        shards
    }

    /// A new shard.
    pub fn create(&self, id: StreamId, retention: ShardRetention) {
        self.streams.create(id);
        self.add(id, retention);
    }

    /// A shard that was not deleted.
    pub fn get(&self, id: StreamId) -> Option<Arc<ShardLog>> {
        self.table.get(&id).map(|shard| shard.clone())
    }

    /// Makes a shard's records unreachable, and fails its producers and readers.
    pub fn delete(&self, id: StreamId) {
        if let Some((_, shard)) = self.table.remove(&id) {
            shard.delete();
            self.streams.delete(id);
        }
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<Arc<ShardLog>> {
        let mut all: Vec<_> = self.table.iter().map(|entry| entry.value().clone()).collect();
        all.sort_by_key(|shard| shard.id());
        all
    }

    fn add(&self, id: StreamId, retention: ShardRetention) {
        if let Some(stream) = self.streams.get(id) {
            let shard = ShardLog::new(stream, retention, self.cache.clone());
            self.table.insert(id, Arc::new(shard));
        }
    }
}
