//! Which streams of the log are shards, and how long each keeps its records. What they are shards
//! of is told in other tables, which change in the same transaction.

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::{COUNTERS, Catalog, CatalogError, Database, NEXT_ID, database};
use crate::store::locked;
use crate::store::records::{ShardRetention, Shards};
use crate::types::StreamId;

/// A shard's id and the hours that it keeps its records; 0: until they are trimmed.
pub(in crate::store) const SHARDS: TableDefinition<'_, u32, u32> = TableDefinition::new("shards");

/// Creates, changes and deletes shards in a transaction; nobody sees any of it before it is durable.
pub struct ShardChanges<'a> {
    change: &'a WriteTransaction,
    effects: Vec<Effect>,
}

enum Effect {
    Create(StreamId, ShardRetention),
    Retain(StreamId, ShardRetention),
    Delete(StreamId),
}

impl ShardChanges<'_> {
    /// A new shard under an id that this transaction has taken from the counter.
    pub fn adopt(&mut self, id: StreamId, retention: ShardRetention) -> Result<(), redb::Error> {
        self.change.open_table(SHARDS)?.insert(id.0, retention.encode())?;
        self.effects.push(Effect::Create(id, retention));
        Ok(())
    }

    /// A new shard. Its id was never given before.
    pub fn create(&mut self, retention: ShardRetention) -> Result<StreamId, redb::Error> {
        let mut counters = self.change.open_table(COUNTERS)?;
        let id = counters.get(NEXT_ID)?.map_or(1, |id| id.value());
        counters.insert(NEXT_ID, id + 1)?;
        self.change.open_table(SHARDS)?.insert(id, retention.encode())?;
        self.effects.push(Effect::Create(StreamId(id), retention));
        Ok(StreamId(id))
    }

    /// Keeps a shard's records for another time. One that is gone stays so.
    pub fn retain(&mut self, id: StreamId, retention: ShardRetention) -> Result<(), redb::Error> {
        let mut shards = self.change.open_table(SHARDS)?;
        if shards.get(id.0)?.is_some() {
            shards.insert(id.0, retention.encode())?;
            self.effects.push(Effect::Retain(id, retention));
        }
        Ok(())
    }

    /// Deletes a shard; its records are unreachable once the transaction is durable.
    pub fn delete(&mut self, id: StreamId) -> Result<(), redb::Error> {
        self.change.open_table(SHARDS)?.remove(id.0)?;
        self.effects.push(Effect::Delete(id));
        Ok(())
    }
}

impl Catalog {
    /// Changes shards, and what else the catalog tells of them, in one durable transaction. Blocks
    /// for one sync.
    pub(in crate::store) fn change_shards<T, E: From<CatalogError>>(
        &self,
        change: impl FnOnce(&WriteTransaction, &mut ShardChanges<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let _changing = locked(&self.changing);
        change_shards(&self.database, &self.shards, change)
    }

    /// Creates as many shards. Blocks for one sync.
    pub fn create_shards(
        &self,
        count: usize,
        retention: ShardRetention,
    ) -> Result<Vec<StreamId>, CatalogError> {
        self.change_shards(|_, shards| {
            let ids = std::iter::repeat_with(|| shards.create(retention)).take(count);
            ids.collect::<Result<_, _>>().map_err(database)
        })
    }

    /// Keeps the records of shards for another time. Blocks for one sync.
    pub fn retain_shards(
        &self,
        ids: &[StreamId],
        retention: ShardRetention,
    ) -> Result<(), CatalogError> {
        self.change_shards(|_, shards| {
            ids.iter().try_for_each(|&id| shards.retain(id, retention)).map_err(database)
        })
    }

    /// Deletes shards; their records are unreachable at once. Blocks for one sync.
    pub fn delete_shards(&self, ids: &[StreamId]) -> Result<(), CatalogError> {
        self.change_shards(|_, shards| {
            ids.iter().try_for_each(|&id| shards.delete(id)).map_err(database)
        })
    }
}

/// Changes shards, and whatever else, in one durable transaction. Blocks for one sync.
pub fn change_shards<T, E: From<CatalogError>>(
    db: &Database,
    shards: &Shards,
    change: impl FnOnce(&WriteTransaction, &mut ShardChanges<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let transaction = db.begin_write().map_err(|e| database(e.into()))?;
    let mut changes = ShardChanges { change: &transaction, effects: Vec::new() };
    let result = change(&transaction, &mut changes)?;
    let effects = changes.effects;
    transaction.commit().map_err(|error| CatalogError::Uncertain(error.to_string()))?;
    effects.into_iter().for_each(|effect| effect.apply(shards));
    Ok(result)
}

impl Effect {
    fn apply(self, shards: &Shards) {
        match self {
            Self::Create(id, retention) => shards.create(id, retention),
            Self::Retain(id, retention) => {
                if let Some(shard) = shards.get(id) {
                    shard.set_retention(retention);
                }
            }
            Self::Delete(id) => shards.delete(id),
        }
    }
}

/// All shards in a database.
pub(in crate::store) fn load(
    database: &Database,
) -> Result<Vec<(StreamId, ShardRetention)>, redb::Error> {
    // Also makes the table of a new database.
    let change = database.begin_write()?;
    change.open_table(SHARDS)?;
    change.commit()?;
    let table = database.begin_read()?.open_table(SHARDS)?;
    let mut all = Vec::new();
    for row in table.iter()? {
        let (id, hours) = row?;
        all.push((StreamId(id.value()), ShardRetention::decode(hours.value())));
    }
    Ok(all)
}
