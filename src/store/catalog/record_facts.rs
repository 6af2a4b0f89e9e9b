//! The facts of record streams, their shards and consumers, and of queues, as they are remembered.
//! What each means and which changes are allowed is `records`' part.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::as_json::{as_id, as_millis, as_millis_list, as_range, as_text, as_text_list};
use crate::types::{HashRange, ServerTimestamp, ShardId, StreamId, StreamName};

/// A record stream's facts at one moment. Fields may be added, with `serde(default)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStreamInfo {
    /// Tells the stream from an earlier one of its name. No log entry bears it.
    #[serde(with = "as_id")]
    pub id: StreamId,
    /// Its name: unique among record streams; a media stream may have the same.
    #[serde(with = "as_text")]
    pub name: StreamName,
    /// When it was created.
    #[serde(with = "as_millis")]
    pub created: ServerTimestamp,
    /// Who decides how many shards it has.
    pub mode: CapacityMode,
    /// How long records are kept.
    pub retention_hours: u32,
    /// The largest record: KiB of data and partition key.
    pub max_record_kib: u32,
    /// MiB per second that it was asked to be warm for.
    pub warm_mibps: Option<u32>,
    /// What spreads records over its shards.
    pub distribution: Distribution,
    /// Names of the metrics that are switched on for each shard.
    pub shard_metrics: BTreeSet<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its resource policy, as it was given.
    pub policy: Option<String>,
    /// Those who read it with a throughput of their own, in the order of registration.
    pub consumers: Vec<ConsumerInfo>,
    /// Its shards, open and closed, by id.
    pub shards: Vec<ShardInfo>,
    /// The id that its next shard gets.
    pub next_shard: u32,
    /// When its shards were scaled lately; what is older than a day is dropped at the next.
    #[serde(with = "as_millis_list")]
    pub scalings: Vec<ServerTimestamp>,
    /// When its mode was changed lately; likewise.
    #[serde(with = "as_millis_list")]
    pub mode_changes: Vec<ServerTimestamp>,
}

/// Who decides how many shards a stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacityMode {
    /// Its owner.
    Provisioned,
    /// The service.
    OnDemand,
}

/// What spreads records over a stream's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// The service, for records without a partition key.
    Auto,
    /// The partition key, which each record must have.
    PartitionKey,
}

/// A shard of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInfo {
    /// Its id within the stream.
    #[serde(with = "as_text")]
    pub id: ShardId,
    /// Its log in the store.
    #[serde(with = "as_id")]
    pub log: StreamId,
    /// The shard or shards that it continues: the parent, then the adjacent parent.
    #[serde(with = "as_text_list")]
    pub parents: Vec<ShardId>,
    /// The hash keys whose records it takes.
    #[serde(with = "as_range")]
    pub range: HashRange,
    /// Seconds since the Unix epoch that its sequence numbers begin with: when it was created, but
    /// always later than its parents', so that order goes on over a reshard.
    pub epoch: u64,
    /// When it was created.
    #[serde(with = "as_millis")]
    pub created: ServerTimestamp,
    /// Since when it takes no more records, if so.
    pub closed: Option<Closed>,
}

/// How a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When. No record arrived later.
    #[serde(with = "as_millis")]
    pub at: ServerTimestamp,
    /// The index after its last record's.
    pub end: u64,
}

/// Somebody who reads a stream with a throughput of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerInfo {
    /// Unique within the stream.
    pub name: String,
    /// When it was registered; its ARN has the seconds of it.
    #[serde(with = "as_millis")]
    pub created: ServerTimestamp,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its resource policy, as it was given.
    pub policy: Option<String>,
}

/// How far the consumers of a stream have come: for each, by name, the index that it gets next of
/// each shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerPositions(pub BTreeMap<String, BTreeMap<u32, u64>>);

/// A queue's facts at one moment. Fields may be added, with `serde(default)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueInfo {
    /// Tells the queue from others, and names the log of its journal in the store.
    #[serde(with = "as_id")]
    pub id: StreamId,
    /// The end of its ARN: letters and digits, made up at creation.
    pub key: String,
    /// The secret that signs its receipt handles.
    pub receipt_key: [u8; 32],
    /// Its name.
    pub name: String,
    /// The stream whose records it hands out.
    #[serde(with = "as_id")]
    pub stream: StreamId,
    /// When it was created.
    #[serde(with = "as_millis")]
    pub created: ServerTimestamp,
    /// Where in the stream it begins.
    pub start: QueueStart,
    /// How long a received record stays hidden, unless the receiver says otherwise.
    pub visibility_seconds: u32,
    /// After how many receives a record is a dead letter; `None` for never.
    pub max_receives: Option<u32>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its resource policy, as it was given.
    pub policy: Option<String>,
}

/// Where in its stream a queue begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueStart {
    /// With the oldest record that is kept.
    TrimHorizon,
    /// With records that arrive after the queue's creation.
    Latest,
    /// With the first that arrived at or after a moment.
    At(#[serde(with = "as_millis")] ServerTimestamp),
}

impl RecordStreamInfo {
    /// The shard with an id.
    pub fn shard(&self, id: ShardId) -> Option<&ShardInfo> {
        let at = self.shards.binary_search_by_key(&id, |shard| shard.id).ok()?;
        self.shards.get(at)
    }

    /// The shards that take records.
    pub fn open_shards(&self) -> impl Iterator<Item = &ShardInfo> {
        self.shards.iter().filter(|shard| shard.closed.is_none())
    }
}
