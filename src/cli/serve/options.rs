//! What the parts of the server are told of the configuration.

use crate::config::{Config, ShardLimits};
use crate::people;
use crate::records::{self, limits};
use crate::store;
use crate::types::Millis;

/// What the store may use.
pub fn of_store(config: &Config) -> store::Options {
    let store = &config.store;
    store::Options {
        segment_bytes: store.segment_bytes,
        prepared_segments: store.prepared_segments,
        spare_segments: store.spare_segments,
        queue_bytes: store.queue_bytes,
        held_bytes: store.held_bytes,
        record_cache_bytes: store.record_cache_bytes,
        unretained_keep: seconds(store.unretained_seconds),
        index_cache_bytes: usize::try_from(store.index_cache_bytes).unwrap_or(usize::MAX),
        index_interval: seconds(store.index_interval_seconds),
        quota: (store.quota_bytes > 0).then_some(store.quota_bytes),
        floor: store.min_free_bytes,
        ..store::Options::default()
    }
}

/// What record streams may use.
pub fn of_records(config: &Config) -> records::Options {
    let records = &config.records;
    records::Options {
        shard_limits: match records.shard_limits {
            ShardLimits::Aws => limits::ShardLimits::Aws,
            ShardLimits::Off => limits::ShardLimits::Off,
        },
        max_open_shards: records.max_open_shards,
        max_on_demand_streams: records.max_on_demand_streams,
        max_consumers: records.max_consumers_per_stream,
        read_wait: Millis(records.read_wait_ms),
        subscription: seconds(records.subscription_seconds),
        keepalive: Millis(records.keepalive_ms),
        dedupe_window: seconds(records.dedupe_seconds),
        dedupe_keys: records.dedupe_keys_per_shard,
    }
}

/// How long people's sightings are kept.
pub fn of_people(config: &Config) -> people::Options {
    let people = &config.people;
    people::Options {
        keep: seconds(people.sighting_days.saturating_mul(24 * 60 * 60)),
        max_sightings: people.max_sightings,
    }
}

fn seconds(seconds: u64) -> Millis {
    Millis(seconds.saturating_mul(1000))
}
