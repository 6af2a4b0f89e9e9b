//! `IncreaseStreamRetentionPeriod`, `DecreaseStreamRetentionPeriod`, `UpdateStreamMode`,
//! `UpdateMaxRecordSize`, `UpdateStreamWarmThroughput`, `UpdateStreamRecordDistributionStrategy`,
//! `EnableEnhancedMonitoring`, `DisableEnhancedMonitoring`, `DescribeLimits`

use std::collections::BTreeSet;

use super::Call;
use super::error::Failure;
use crate::store::{CapacityMode, Distribution};
use crate::wire::records::Empty;
use crate::wire::records::settings::{
    DescribeLimitsOutput, EnhancedMonitoringInput, EnhancedMonitoringOutput,
};
use crate::wire::records::streams::{
    RetentionInput, UpdateMaxRecordSizeInput, UpdateRecordDistributionInput, UpdateStreamModeInput,
    UpdateWarmThroughputInput, UpdateWarmThroughputOutput, WarmThroughput,
};

/// What `ALL` stands for.
const SHARD_METRICS: [&str; 7] = [
    "IncomingBytes",
    "IncomingRecords",
    "IteratorAgeMilliseconds",
    "OutgoingBytes",
    "OutgoingRecords",
    "ReadProvisionedThroughputExceeded",
    "WriteProvisionedThroughputExceeded",
];

/// `IncreaseStreamRetentionPeriod`
pub(super) async fn increase_retention(call: Call, input: RetentionInput) -> Result<(), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let hours = number(input.retention_period_hours);
    call.change(move |records| records.increase_retention(&name, hours)).await
}

/// `DecreaseStreamRetentionPeriod`
pub(super) async fn decrease_retention(call: Call, input: RetentionInput) -> Result<(), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let hours = number(input.retention_period_hours);
    call.change(move |records| records.decrease_retention(&name, hours)).await
}

/// `UpdateStreamMode`
pub(super) async fn update_mode(call: Call, input: UpdateStreamModeInput) -> Result<(), Failure> {
    let name = call.stream_name(None, input.stream_arn.as_deref())?;
    let mode = input.stream_mode_details.and_then(|details| details.stream_mode);
    let mode = match mode.as_deref() {
        Some("ON_DEMAND") => CapacityMode::OnDemand,
        _ => CapacityMode::Provisioned,
    };
    let warm = input.warm_throughput_mi_bps.map(|mibps| number(Some(mibps)));
    if warm.is_some() && mode == CapacityMode::Provisioned {
        return Err(Failure::invalid(
            "WarmThroughputMiBps can be provided only for the mode ON_DEMAND.",
        ));
    }
    call.change(move |records| {
        records.set_mode(&name, mode)?;
        warm.map_or(Ok(()), |mibps| records.set_warm_throughput(&name, mibps))
    })
    .await
}

/// `UpdateMaxRecordSize`
pub(super) async fn update_max_record_size(
    call: Call,
    input: UpdateMaxRecordSizeInput,
) -> Result<(), Failure> {
    let name = call.stream_name(None, input.stream_arn.as_deref())?;
    let kib = number(input.max_record_size_in_ki_b);
    call.change(move |records| records.set_max_record(&name, kib)).await
}

/// `UpdateStreamWarmThroughput`: nothing needs to be warmed here, so it is only remembered.
pub(super) async fn update_warm_throughput(
    call: Call,
    input: UpdateWarmThroughputInput,
) -> Result<UpdateWarmThroughputOutput, Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let info = call.app.records.info(&name).map_err(|error| call.failure(error))?;
    if info.mode == CapacityMode::Provisioned {
        return Err(Failure::invalid(format!("The mode of stream {name} is not ON_DEMAND.")));
    }
    let mibps = number(input.warm_throughput_mi_bps);
    let stream = name.clone();
    call.change(move |records| records.set_warm_throughput(&stream, mibps)).await?;
    Ok(UpdateWarmThroughputOutput {
        stream_arn: Some(call.stream_arn(&name)),
        stream_name: Some(name.to_string()),
        warm_throughput: Some(WarmThroughput {
            target_mi_bps: Some(mibps.into()),
            current_mi_bps: Some(mibps.into()),
        }),
    })
}

/// `UpdateStreamRecordDistributionStrategy`
pub(super) async fn update_distribution(
    call: Call,
    input: UpdateRecordDistributionInput,
) -> Result<(), Failure> {
    let name = call.stream_name(None, input.stream_arn.as_deref())?;
    let to = distribution(&input.record_distribution_strategy.unwrap_or_default());
    call.change(move |records| records.set_distribution(&name, to)).await
}

/// `EnableEnhancedMonitoring`
pub(super) async fn enable_monitoring(
    call: Call,
    input: EnhancedMonitoringInput,
) -> Result<EnhancedMonitoringOutput, Failure> {
    monitoring(call, input, |on, named| on.extend(named)).await
}

/// `DisableEnhancedMonitoring`
pub(super) async fn disable_monitoring(
    call: Call,
    input: EnhancedMonitoringInput,
) -> Result<EnhancedMonitoringOutput, Failure> {
    monitoring(call, input, |on, named| on.retain(|metric| !named.contains(metric))).await
}

async fn monitoring(
    call: Call,
    input: EnhancedMonitoringInput,
    change: fn(&mut BTreeSet<String>, BTreeSet<String>),
) -> Result<EnhancedMonitoringOutput, Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let mut named: BTreeSet<_> = input.shard_level_metrics.into_iter().flatten().collect();
    if named.remove("ALL") {
        named.extend(SHARD_METRICS.map(str::to_owned));
    }
    let stream = name.clone();
    let (before, after) = call
        .change(move |records| records.set_shard_metrics(&stream, |on| change(on, named)))
        .await?;
    Ok(EnhancedMonitoringOutput {
        stream_name: Some(name.to_string()),
        current_shard_level_metrics: Some(before.into_iter().collect()),
        desired_shard_level_metrics: Some(after.into_iter().collect()),
        stream_arn: Some(call.stream_arn(&name)),
    })
}

/// `DescribeLimits`
pub(super) async fn describe_limits(call: Call, _: Empty) -> Result<DescribeLimitsOutput, Failure> {
    let limits = call.app.records.account_limits();
    Ok(DescribeLimitsOutput {
        shard_limit: Some(limits.shards.into()),
        open_shard_count: Some(limits.open_shards.into()),
        on_demand_stream_count: Some(limits.on_demand_streams.into()),
        on_demand_stream_count_limit: Some(limits.on_demand_streams_limit.into()),
        channel_count: Some(0),
        channel_count_limit: Some(0),
    })
}

/// A checked `RecordDistributionStrategy`.
pub(super) fn distribution(strategy: &str) -> Distribution {
    if strategy == "AUTO" { Distribution::Auto } else { Distribution::PartitionKey }
}

/// A number that the model has bounded; what is missing or negative is refused by the domain as 0.
fn number(value: Option<i64>) -> u32 {
    value.map_or(0, |value| u32::try_from(value).unwrap_or(if value < 0 { 0 } else { u32::MAX }))
}
