//! Streams: making, naming, describing and deleting them.

use super::rule::{NAME, NEXT_TOKEN, PAGE, STREAM_ARN, STREAM_ID, TAGS, at_least, one_of, value};
use super::shards::Shard;
use super::{TagMap, Timestamp, shapes};

/// Who decides how many shards there are.
const MODES: &[&str] = &["PROVISIONED", "ON_DEMAND"];
/// Who chooses a record's shard.
const STRATEGIES: &[&str] = &["AUTO", "USER_PARTITION_KEY"];

shapes! {
    /// `CreateStream`.
    CreateStreamInput {
        stream_name: String = NAME.required(),
        shard_count: i64 = at_least(1),
        stream_mode_details: StreamModeDetails,
        tags: TagMap = TAGS,
        warm_throughput_mi_bps as "WarmThroughputMiBps": i64 = at_least(0),
        max_record_size_in_ki_b as "MaxRecordSizeInKiB": i64 = value(1024, 10_240),
        record_distribution_strategy: String = one_of(STRATEGIES),
    }

    /// A stream's mode: `PROVISIONED` or `ON_DEMAND`.
    StreamModeDetails {
        stream_mode: String = one_of(MODES).required(),
    }

    /// Names a stream: the whole request of `DescribeStreamSummary`.
    StreamRef {
        stream_name: String = NAME,
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// `DeleteStream`.
    DeleteStreamInput {
        stream_name: String = NAME,
        enforce_consumer_deletion: bool,
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// `DescribeStream`.
    DescribeStreamInput {
        stream_name: String = NAME,
        limit: i64 = PAGE,
        exclusive_start_shard_id: String = NAME,
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// What `DescribeStream` answers.
    DescribeStreamOutput {
        stream_description: StreamDescription,
    }

    /// A stream's facts with its shards.
    StreamDescription {
        stream_name: String,
        stream_arn as "StreamARN": String,
        stream_status: String,
        stream_mode_details: StreamModeDetails,
        shards: Vec<Shard>,
        has_more_shards: bool,
        retention_period_hours: i64,
        stream_creation_timestamp: Timestamp,
        enhanced_monitoring: Vec<EnhancedMetrics>,
        encryption_type: String,
        key_id: String,
    }

    /// Metrics that are kept for each shard.
    EnhancedMetrics {
        shard_level_metrics: Vec<String>,
    }

    /// What `DescribeStreamSummary` answers.
    DescribeStreamSummaryOutput {
        stream_description_summary: StreamDescriptionSummary,
    }

    /// A stream's facts without its shards.
    StreamDescriptionSummary {
        stream_name: String,
        stream_arn as "StreamARN": String,
        stream_id: String,
        stream_status: String,
        stream_mode_details: StreamModeDetails,
        retention_period_hours: i64,
        stream_creation_timestamp: Timestamp,
        enhanced_monitoring: Vec<EnhancedMetrics>,
        encryption_type: String,
        key_id: String,
        open_shard_count: i64,
        consumer_count: i64,
        warm_throughput: WarmThroughput,
        max_record_size_in_ki_b as "MaxRecordSizeInKiB": i64,
        channel_count: i64,
        queue_count: i64,
        record_distribution_strategy: String,
    }

    /// What a stream was made ready for, in MiB per second.
    WarmThroughput {
        target_mi_bps as "TargetMiBps": i64,
        current_mi_bps as "CurrentMiBps": i64,
    }

    /// `ListStreams`.
    ListStreamsInput {
        limit: i64 = PAGE,
        exclusive_start_stream_name: String = NAME,
        next_token: String = NEXT_TOKEN,
    }

    /// What `ListStreams` answers.
    ListStreamsOutput {
        stream_names: Vec<String>,
        has_more_streams: bool,
        next_token: String,
        stream_summaries: Vec<StreamSummary>,
    }

    /// A stream in a listing.
    StreamSummary {
        stream_name: String,
        stream_arn as "StreamARN": String,
        stream_status: String,
        stream_mode_details: StreamModeDetails,
        stream_creation_timestamp: Timestamp,
    }

    /// `UpdateStreamMode`.
    UpdateStreamModeInput {
        stream_arn as "StreamARN": String = STREAM_ARN.required(),
        stream_id: String = STREAM_ID,
        stream_mode_details: StreamModeDetails = super::rule::ANY.required(),
        warm_throughput_mi_bps as "WarmThroughputMiBps": i64 = at_least(0),
    }

    /// `UpdateStreamRecordDistributionStrategy`.
    UpdateRecordDistributionInput {
        stream_arn as "StreamARN": String = STREAM_ARN.required(),
        stream_id: String = STREAM_ID,
        record_distribution_strategy: String = one_of(STRATEGIES).required(),
    }

    /// `UpdateStreamWarmThroughput`.
    UpdateWarmThroughputInput {
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_name: String = NAME,
        stream_id: String = STREAM_ID,
        warm_throughput_mi_bps as "WarmThroughputMiBps": i64 = at_least(0).required(),
    }

    /// What `UpdateStreamWarmThroughput` answers.
    UpdateWarmThroughputOutput {
        stream_arn as "StreamARN": String,
        stream_name: String,
        warm_throughput: WarmThroughput,
    }

    /// `UpdateMaxRecordSize`.
    UpdateMaxRecordSizeInput {
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
        max_record_size_in_ki_b as "MaxRecordSizeInKiB": i64 = value(1024, 10_240).required(),
    }

    /// `IncreaseStreamRetentionPeriod` and `DecreaseStreamRetentionPeriod`.
    RetentionInput {
        stream_name: String = NAME,
        retention_period_hours: i64 = super::rule::ANY.required(),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }
}
