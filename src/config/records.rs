//! What record streams are held to.

use serde::{Deserialize, Serialize};

use super::ShardLimits;

/// Record streams. The defaults are those of AWS, where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordsConfig {
    /// Whether each shard is held to the rates of AWS: 1000 records and 1 MiB per second in, five
    /// calls and 2 MiB per second out, and 2 MiB per second for each consumer.
    pub shard_limits: ShardLimits,
    /// Open shards of all provisioned streams together.
    pub max_open_shards: u32,
    /// On-demand streams.
    pub max_on_demand_streams: u32,
    /// Consumers of a stream.
    pub max_consumers_per_stream: usize,
    /// How long GetRecords waits at the tail for something to come, so that a client that asks in a
    /// loop stays within its five calls per second. 0 answers at once, as AWS does.
    pub read_wait_ms: u64,
    /// How long a SubscribeToShard lasts.
    pub subscription_seconds: u64,
    /// A subscription sends something at least this often.
    pub keepalive_ms: u64,
    /// How long a record's dedupe key is known.
    pub dedupe_seconds: u64,
    /// How many of the newest dedupe keys of a shard are known.
    pub dedupe_keys_per_shard: usize,
}

impl Default for RecordsConfig {
    fn default() -> Self {
        Self {
            shard_limits: ShardLimits::Aws,
            max_open_shards: 1000,
            max_on_demand_streams: 50,
            max_consumers_per_stream: 20,
            read_wait_ms: 200,
            subscription_seconds: 300,
            keepalive_ms: 5000,
            dedupe_seconds: 300,
            dedupe_keys_per_shard: 10_000,
        }
    }
}
