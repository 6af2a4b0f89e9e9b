//! `DescribeStream`, `DescribeStreamSummary`

use super::error::Failure;
use super::{Call, facts};
use crate::wire::records::streams::{
    DescribeStreamInput, DescribeStreamOutput, DescribeStreamSummaryOutput, StreamDescription,
    StreamDescriptionSummary, StreamRef, WarmThroughput,
};

/// The most shards of one answer, whatever its limit.
const MAX_SHARDS: usize = 100;

/// A stream's facts with a page of its shards.
pub(super) async fn describe_stream(
    call: Call,
    input: DescribeStreamInput,
) -> Result<DescribeStreamOutput, Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let after = input.exclusive_start_shard_id.map(|id| call.shard_id(&name, &id)).transpose()?;
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.map_or(MAX_SHARDS, |limit| limit.min(MAX_SHARDS));
    let records = &call.app.records;
    let info = records.info(&name).map_err(|error| call.failure(error))?;
    let page = records.shards(&name, None, after, limit).map_err(|error| call.failure(error))?;
    let description = StreamDescription {
        stream_name: Some(name.to_string()),
        stream_arn: Some(call.stream_arn(&name)),
        stream_status: Some(facts::ACTIVE.to_owned()),
        stream_mode_details: Some(facts::mode(info.mode)),
        shards: Some(page.shards.iter().map(facts::shard).collect()),
        has_more_shards: Some(page.more),
        retention_period_hours: Some(info.retention_hours.into()),
        stream_creation_timestamp: Some(info.created.into()),
        enhanced_monitoring: Some(facts::enhanced_monitoring(&info)),
        encryption_type: Some(facts::NO_ENCRYPTION.to_owned()),
        key_id: None,
    };
    Ok(DescribeStreamOutput { stream_description: Some(description) })
}

/// A stream's facts without its shards.
pub(super) async fn describe_stream_summary(
    call: Call,
    input: StreamRef,
) -> Result<DescribeStreamSummaryOutput, Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let info = call.app.records.info(&name).map_err(|error| call.failure(error))?;
    let queues = call.app.queues.list();
    let queues = queues.iter().filter(|queue| queue.stream == info.id).count();
    let warm_throughput = info.warm_mibps.map(|mibps| WarmThroughput {
        target_mi_bps: Some(mibps.into()),
        current_mi_bps: Some(mibps.into()),
    });
    let summary = StreamDescriptionSummary {
        stream_name: Some(name.to_string()),
        stream_arn: Some(call.stream_arn(&name)),
        stream_id: None,
        stream_status: Some(facts::ACTIVE.to_owned()),
        stream_mode_details: Some(facts::mode(info.mode)),
        retention_period_hours: Some(info.retention_hours.into()),
        stream_creation_timestamp: Some(info.created.into()),
        enhanced_monitoring: Some(facts::enhanced_monitoring(&info)),
        encryption_type: Some(facts::NO_ENCRYPTION.to_owned()),
        key_id: None,
        open_shard_count: Some(info.open_shards().count() as i64),
        consumer_count: Some(info.consumers.len() as i64),
        warm_throughput,
        max_record_size_in_ki_b: Some(info.max_record_kib.into()),
        channel_count: Some(0),
        queue_count: Some(queues as i64),
        record_distribution_strategy: Some(facts::strategy(info.distribution).to_owned()),
    };
    Ok(DescribeStreamSummaryOutput { stream_description_summary: Some(summary) })
}
