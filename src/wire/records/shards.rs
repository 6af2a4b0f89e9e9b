//! Shards: listing, splitting, merging, scaling.

use super::rule::{HASH_KEY, NAME, NEXT_TOKEN, PAGE, STREAM_ARN, STREAM_ID, at_least, one_of};
use super::{Timestamp, shapes};

/// Which shards to list.
const FILTERS: &[&str] = &[
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
];

shapes! {
    /// A shard: its range of hash keys, and where it came from.
    Shard {
        shard_id: String,
        parent_shard_id: String,
        adjacent_parent_shard_id: String,
        hash_key_range: HashKeyRange,
        sequence_number_range: SequenceNumberRange,
    }

    /// Hash keys, both ends included.
    HashKeyRange {
        starting_hash_key: String,
        ending_hash_key: String,
    }

    /// Sequence numbers; an open shard has no last one.
    SequenceNumberRange {
        starting_sequence_number: String,
        ending_sequence_number: String,
    }

    /// A shard that goes on where the read one ended.
    ChildShard {
        shard_id: String,
        parent_shards: Vec<String>,
        hash_key_range: HashKeyRange,
    }

    /// `ListShards`.
    ListShardsInput {
        stream_name: String = NAME,
        next_token: String = NEXT_TOKEN,
        exclusive_start_shard_id: String = NAME,
        max_results: i64 = PAGE,
        stream_creation_timestamp: Timestamp,
        shard_filter: ShardFilter,
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// Which shards to list.
    ShardFilter {
        kind as "Type": String = one_of(FILTERS).required(),
        shard_id: String = NAME,
        timestamp: Timestamp,
    }

    /// What `ListShards` answers.
    ListShardsOutput {
        shards: Vec<Shard>,
        next_token: String,
    }

    /// `SplitShard`.
    SplitShardInput {
        stream_name: String = NAME,
        shard_to_split: String = NAME.required(),
        new_starting_hash_key: String = HASH_KEY.required(),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// `MergeShards`.
    MergeShardsInput {
        stream_name: String = NAME,
        shard_to_merge: String = NAME.required(),
        adjacent_shard_to_merge: String = NAME.required(),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// `UpdateShardCount`.
    UpdateShardCountInput {
        stream_name: String = NAME,
        target_shard_count: i64 = at_least(1).required(),
        scaling_type: String = one_of(&["UNIFORM_SCALING"]).required(),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// What `UpdateShardCount` answers.
    UpdateShardCountOutput {
        stream_name: String,
        current_shard_count: i64,
        target_shard_count: i64,
        stream_arn as "StreamARN": String,
    }
}
