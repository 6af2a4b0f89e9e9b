//! `CreateStream`

use super::Call;
use super::error::Failure;
use super::settings::distribution;
use crate::records::{MIN_MAX_RECORD_KIB, NewRecordStream};
use crate::store::Distribution;
use crate::wire::records::streams::CreateStreamInput;

/// Creates a stream, usable once this is answered.
pub(super) async fn create_stream(call: Call, input: CreateStreamInput) -> Result<(), Failure> {
    let stream = new_stream(&call, input)?;
    call.change(move |records| records.create(stream)).await?;
    Ok(())
}

fn new_stream(call: &Call, input: CreateStreamInput) -> Result<NewRecordStream, Failure> {
    let mode = input.stream_mode_details.and_then(|details| details.stream_mode);
    let on_demand = mode.as_deref() == Some("ON_DEMAND");
    let shards = match (on_demand, input.shard_count) {
        (false, Some(count)) => Some(u32::try_from(count).unwrap_or(u32::MAX)),
        (false, None) => {
            return Err(Failure::invalid(
                "ShardCount needs to be provided for a stream whose mode is PROVISIONED.",
            ));
        }
        (true, None) => None,
        (true, Some(_)) => {
            return Err(Failure::invalid(
                "ShardCount cannot be provided for a stream whose mode is ON_DEMAND.",
            ));
        }
    };
    if input.warm_throughput_mi_bps.is_some() && !on_demand {
        return Err(Failure::invalid(
            "WarmThroughputMiBps can be provided only for a stream whose mode is ON_DEMAND.",
        ));
    }
    Ok(NewRecordStream {
        name: call.stream_name(input.stream_name.as_deref(), None)?,
        shards,
        tags: input.tags.unwrap_or_default(),
        max_record_kib: input
            .max_record_size_in_ki_b
            .and_then(|kib| u32::try_from(kib).ok())
            .unwrap_or(MIN_MAX_RECORD_KIB),
        warm_mibps: input.warm_throughput_mi_bps.and_then(|mibps| u32::try_from(mibps).ok()),
        distribution: input
            .record_distribution_strategy
            .map_or(Distribution::PartitionKey, |strategy| distribution(&strategy)),
    })
}
