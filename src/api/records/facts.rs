//! Facts of the catalog in the shapes of AWS.

use super::Call;
use crate::records::{self, SequenceNumber};
use crate::store::{CapacityMode, ConsumerInfo, Distribution, RecordStreamInfo, ShardInfo};
use crate::types::{HashRange, StreamName};
use crate::wire::records::consumers::Consumer;
use crate::wire::records::shards::{ChildShard, HashKeyRange, SequenceNumberRange, Shard};
use crate::wire::records::streams::{EnhancedMetrics, StreamModeDetails, StreamSummary};

/// The status of whatever exists: changes are done when they are answered.
pub(super) const ACTIVE: &str = "ACTIVE";
/// What all records are encrypted with.
pub(super) const NO_ENCRYPTION: &str = "NONE";

/// A shard of an answer.
pub(super) fn shard(info: &ShardInfo) -> Shard {
    let mut parents = info.parents.iter().map(ToString::to_string);
    Shard {
        shard_id: Some(info.id.to_string()),
        parent_shard_id: parents.next(),
        adjacent_parent_shard_id: parents.next(),
        hash_key_range: Some(hash_key_range(info.range)),
        sequence_number_range: Some(SequenceNumberRange {
            starting_sequence_number: Some(SequenceNumber::starting(info).to_string()),
            ending_sequence_number: SequenceNumber::ending(info).map(|number| number.to_string()),
        }),
    }
}

/// A shard that continues another.
pub(super) fn child_shard(child: &records::ChildShard) -> ChildShard {
    ChildShard {
        shard_id: Some(child.id.to_string()),
        parent_shards: Some(child.parents.iter().map(ToString::to_string).collect()),
        hash_key_range: Some(hash_key_range(child.range)),
    }
}

/// Who decides how many shards there are.
pub(super) fn mode(mode: CapacityMode) -> StreamModeDetails {
    let name = match mode {
        CapacityMode::Provisioned => "PROVISIONED",
        CapacityMode::OnDemand => "ON_DEMAND",
    };
    StreamModeDetails { stream_mode: Some(name.to_owned()) }
}

/// Who chooses a record's shard.
pub(super) fn strategy(distribution: Distribution) -> &'static str {
    match distribution {
        Distribution::Auto => "AUTO",
        Distribution::PartitionKey => "USER_PARTITION_KEY",
    }
}

/// The metrics that are switched on for each shard.
pub(super) fn enhanced_monitoring(info: &RecordStreamInfo) -> Vec<EnhancedMetrics> {
    let metrics = info.shard_metrics.iter().cloned().collect();
    vec![EnhancedMetrics { shard_level_metrics: Some(metrics) }]
}

impl Call {
    /// A stream of a listing.
    pub(super) fn stream_summary(&self, info: &RecordStreamInfo) -> StreamSummary {
        StreamSummary {
            stream_name: Some(info.name.to_string()),
            stream_arn: Some(self.stream_arn(&info.name)),
            stream_status: Some(ACTIVE.to_owned()),
            stream_mode_details: Some(mode(info.mode)),
            stream_creation_timestamp: Some(info.created.into()),
        }
    }

    /// A consumer of a listing.
    pub(super) fn consumer(&self, stream: &StreamName, info: &ConsumerInfo) -> Consumer {
        Consumer {
            consumer_name: Some(info.name.clone()),
            consumer_arn: Some(self.consumer_arn(stream, info)),
            consumer_status: Some(ACTIVE.to_owned()),
            consumer_creation_timestamp: Some(info.created.into()),
        }
    }
}

fn hash_key_range(range: HashRange) -> HashKeyRange {
    HashKeyRange {
        starting_hash_key: Some(range.start.to_string()),
        ending_hash_key: Some(range.end.to_string()),
    }
}
