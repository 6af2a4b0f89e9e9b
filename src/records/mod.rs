//! Record streams: what Kinesis Data Streams is about, on the log of the store.
//!
//! A stream's hash keys are divided among its shards. A shard is a log of its own in the store, whose
//! records have indices 1, 2, 3 …; all that clients see of order follows from them.
//!
//! Here: which shard takes a record, in which order readers get it, what is kept. Not here: bytes on
//! the disk (`store`), HTTP, AWS's shapes and their errors (`api`).
//!
//! In reading order:
//! - [`shard`]: how hash keys are divided, split, merged and scaled; pure
//! - [`sequence`]: sequence numbers as clients see them; pure
//! - [`payload`]: a record as it lies in the log; pure
//! - [`iterator`], [`limits`], [`dedupe`]: a reader's place, rates, names of records; pure
//! - `streams`, `consumers`, `reshard`: what streams, consumers and shards exist
//! - `live`: what is in memory of a stream; `put`: writing it; `read`: reading a shard
//! - `tail`: following a whole stream
//! - `subscribe`: pushing to consumers; `backlog`: what readers have not read yet
//! - [`queue`]: competing consumers over a stream, with dead letters
//!
//! What changes the catalog blocks for a sync.

mod backlog;
mod consumers;
pub mod dedupe;
mod error;
pub mod iterator;
pub mod limits;
mod live;
pub mod payload;
mod put;
pub mod queue;
mod read;
mod reshard;
pub mod sequence;
pub mod shard;
mod streams;
mod subscribe;
mod tail;

#[cfg(test)]
mod tests;

pub use backlog::{ConsumerBacklog, ShardBacklog, StreamBacklog};
pub use consumers::ConsumerRef;
pub use error::{LimitExceeded, RecordsError, RetentionChange};
pub use iterator::{ShardIterator, StartingPosition};
pub use payload::{PartitionKey, Payload};
pub use put::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Placed, Refused};
pub use read::{Batch, ChildShard, MAX_READ_BYTES, MAX_READ_RECORDS, Record};
pub use sequence::SequenceNumber;
pub use shard::{ReshardError, ShardFilter};
pub use streams::{
    AccountLimits, MAX_RETENTION_HOURS, MIN_MAX_RECORD_KIB, MIN_RETENTION_HOURS, NewRecordStream,
    ShardPage, StreamPage,
};
pub use subscribe::{Push, Subscription, SubscriptionEnd};
pub use tail::Tail;

use std::sync::Arc;

use dashmap::DashMap;

use crate::clock::Clock;
use crate::store::Store;
use crate::types::{Millis, StreamId};
use limits::ShardLimits;
use live::LiveStream;
use subscribe::Subscriptions;

/// The record streams of a server.
pub struct RecordStreams {
    store: Arc<Store>,
    clock: Clock,
    options: Options,
    live: DashMap<StreamId, Arc<LiveStream>>,
    subscriptions: Subscriptions,
}

/// What record streams may use; every default is decided in `config.rs`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether shards are held to the rates of AWS.
    pub shard_limits: ShardLimits,
    /// Open shards of all provisioned streams together.
    pub max_open_shards: u32,
    /// On-demand streams.
    pub max_on_demand_streams: u32,
    /// Consumers of a stream.
    pub max_consumers: usize,
    /// How long a read at the tail waits for records.
    pub read_wait: Millis,
    /// How long a subscription lasts.
    pub subscription: Millis,
    /// A subscription gives something at least this often, if only the news that there is nothing.
    pub keepalive: Millis,
    /// How long the dedupe key of a record is known.
    pub dedupe_window: Millis,
    /// How many of the newest dedupe keys of a shard are known.
    pub dedupe_keys: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shard_limits: ShardLimits::Aws,
            max_open_shards: 1000,
            max_on_demand_streams: 50,
            max_consumers: 20,
            read_wait: Millis(200),
            subscription: Millis(300_000),
            keepalive: Millis(5000),
            dedupe_window: Millis(300_000),
            dedupe_keys: 10_000,
        }
    }
}

impl RecordStreams {
    /// The record streams of a store.
    pub fn new(store: Arc<Store>, clock: Clock, options: Options) -> Self {
        let subscriptions = Subscriptions::load(store.record_catalog()).unwrap_or_else(|error| {
            // Nothing but the backlog that is shown goes by it.
            tracing::warn!(%error, "how far consumers are is not known");
            Subscriptions::default()
        });
        Self { store, clock, options, live: DashMap::new(), subscriptions }
    }
}
