//! What can go wrong with record streams, in the domain's words.

use super::shard::ReshardError;
use crate::store::CatalogError;
use crate::types::{ServerTimestamp, ShardId, StreamName};

/// Why something was not done. Nothing was changed, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// There is no stream of this name.
    #[error("there is no record stream {0}")]
    NoSuchStream(StreamName),
    /// The name is taken.
    #[error("the record stream {0} already exists")]
    StreamExists(StreamName),
    /// The stream has no such shard, or it is gone with all its records.
    #[error("the record stream {stream} has no {shard}")]
    NoSuchShard {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
    },
    /// The stream has no such consumer.
    #[error("the record stream {stream} has no consumer {consumer}")]
    NoSuchConsumer {
        /// The stream.
        stream: StreamName,
        /// The consumer's name.
        consumer: String,
    },
    /// The stream has a consumer of this name.
    #[error("the record stream {stream} already has a consumer {consumer}")]
    ConsumerExists {
        /// The stream.
        stream: StreamName,
        /// The consumer's name.
        consumer: String,
    },
    /// A stream with consumers is deleted only with them.
    #[error("the record stream {0} has consumers")]
    HasConsumers(StreamName),
    /// A stream with queues can neither be deleted nor become a provisioned one.
    #[error("the record stream {0} has queues")]
    HasQueues(StreamName),
    /// Shards of on-demand streams are not their owner's to change.
    #[error("the record stream {0} is on demand")]
    OnDemand(StreamName),
    /// Shards could not be split or merged.
    #[error("{stream}: {reason}")]
    Reshard {
        /// The stream.
        stream: StreamName,
        /// Why.
        reason: ReshardError,
    },
    /// A stream is scaled to at most twice and at least half of its open shards at a time.
    #[error("{stream} has {open} open shards and cannot go to {target} at once")]
    Scale {
        /// The stream.
        stream: StreamName,
        /// Its open shards.
        open: u32,
        /// How many it was to have.
        target: u32,
    },
    /// The retention is out of bounds, or changed in the other direction.
    #[error("{stream} keeps records for {kept} hours; {asked} are no valid {change} of it")]
    Retention {
        /// The stream.
        stream: StreamName,
        /// Its hours.
        kept: u32,
        /// Those it was to have.
        asked: u32,
        /// In which direction.
        change: RetentionChange,
    },
    /// Something there is only so many of.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The sequence number is none of the shard's.
    #[error("the sequence number is not one of {stream}, {shard}")]
    ForeignSequenceNumber {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
    },
    /// The database failed.
    #[error("the catalog could not be changed: {0}")]
    Database(String),
    /// The catalog failed while it made a change durable: a restart shows whether it happened.
    #[error("{0}")]
    Uncertain(String),
    /// A record must have a partition key, unless its stream spreads records by itself.
    #[error("the record at {at} has no partition key")]
    NoPartitionKey {
        /// Its place in the request.
        at: usize,
    },
    /// A record is larger than its stream allows.
    #[error("the record at {at} has {bytes} bytes; {limit} are allowed")]
    RecordTooLarge {
        /// Its place in the request.
        at: usize,
        /// Bytes of its data and partition key.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A request brings too much.
    #[error("{records} records of {bytes} bytes are too much for a request")]
    BatchTooLarge {
        /// How many records; up to [`MAX_BATCH_RECORDS`](super::MAX_BATCH_RECORDS).
        records: usize,
        /// Bytes of their data and partition keys; up to
        /// [`MAX_BATCH_BYTES`](super::MAX_BATCH_BYTES).
        bytes: usize,
    },
    /// A shard has taken, or given, as much as it may in the last second.
    #[error("the rate of {stream}, {shard} is exceeded")]
    RateExceeded {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
    },
    /// The store does not take records; nobody knows whether these were stored.
    #[error("store: {0}")]
    Unavailable(String),
    /// What is stored can not be read.
    #[error("read: {0}")]
    Unreadable(String),
    /// The consumer subscribed to the shard a moment ago.
    #[error("{consumer} subscribed to {shard} less than five seconds ago")]
    SubscribedLately {
        /// The consumer.
        consumer: String,
        /// The shard.
        shard: ShardId,
    },
    /// An iterator of a stream that is gone; one of its name is another.
    #[error("the stream of the iterator was deleted")]
    StaleIterator,
    /// An iterator's time is over.
    #[error("the iterator was given out at {issued}; now it is {now}")]
    ExpiredIterator {
        /// When it was given out.
        issued: ServerTimestamp,
        /// When it was used.
        now: ServerTimestamp,
    },
}

/// The direction of a change of retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionChange {
    /// IncreaseStreamRetentionPeriod.
    Increase,
    /// DecreaseStreamRetentionPeriod.
    Decrease,
}

impl std::fmt::Display for RetentionChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Increase { "increase" } else { "decrease" })
    }
}

/// What there is only so many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// Open shards of all provisioned streams.
    #[error("{open} shards are open, and {asked} more would exceed the limit of {limit}")]
    OpenShards {
        /// How many may be.
        limit: u32,
        /// How many are.
        open: u32,
        /// How many more were asked for.
        asked: u32,
    },
    /// Shards of one stream, with those that are closed and not gone yet.
    #[error("the stream has as many open and closed shards as it may, {limit}")]
    StreamShards {
        /// How many may be.
        limit: usize,
    },
    /// On-demand streams.
    #[error("there are as many on-demand streams as there may be, {limit}")]
    OnDemandStreams {
        /// How many may be.
        limit: u32,
    },
    /// Consumers of a stream.
    #[error("the stream has as many consumers as it may, {limit}")]
    Consumers {
        /// How many may be.
        limit: usize,
    },
    /// Tags of a stream or consumer.
    #[error("more tags than {limit}")]
    Tags {
        /// How many may be.
        limit: usize,
    },
    /// Scalings of a stream within a day.
    #[error("the stream was scaled {limit} times within a day")]
    Scalings {
        /// How many may be.
        limit: usize,
    },
    /// Changes of a stream's mode within a day.
    #[error("the stream's mode was changed {limit} times within a day")]
    ModeChanges {
        /// How many may be.
        limit: usize,
    },
}

impl From<CatalogError> for RecordsError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Exists(name) => Self::StreamExists(name),
            CatalogError::Uncertain(_) => Self::Uncertain(error.to_string()),
            other => Self::Database(other.to_string()),
        }
    }
}
