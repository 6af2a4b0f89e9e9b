//! `SplitShard`, `MergeShards`, `UpdateShardCount`

use super::Call;
use super::error::Failure;
use crate::types::HashKey;
use crate::wire::records::shards::{
    MergeShardsInput, SplitShardInput, UpdateShardCountInput, UpdateShardCountOutput,
};

/// Splits a shard in two.
pub(super) async fn split_shard(call: Call, input: SplitShardInput) -> Result<(), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let shard = call.shard_id(&name, &input.shard_to_split.unwrap_or_default())?;
    let at = hash_key(&input.new_starting_hash_key.unwrap_or_default())?;
    call.change(move |records| records.split(&name, shard, at)).await
}

/// Makes one shard of two.
pub(super) async fn merge_shards(call: Call, input: MergeShardsInput) -> Result<(), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let shard = call.shard_id(&name, &input.shard_to_merge.unwrap_or_default())?;
    let adjacent = call.shard_id(&name, &input.adjacent_shard_to_merge.unwrap_or_default())?;
    call.change(move |records| records.merge(&name, shard, adjacent)).await
}

/// Brings a stream to a number of shards of one width.
pub(super) async fn update_shard_count(
    call: Call,
    input: UpdateShardCountInput,
) -> Result<UpdateShardCountOutput, Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let target = u32::try_from(input.target_shard_count.unwrap_or_default()).unwrap_or(u32::MAX);
    let stream = name.clone();
    let before = call.change(move |records| records.scale(&stream, target)).await?;
    Ok(UpdateShardCountOutput {
        stream_name: Some(name.to_string()),
        current_shard_count: Some(before.into()),
        target_shard_count: Some(target.into()),
        stream_arn: Some(call.stream_arn(&name)),
    })
}

/// A hash key; the model lets pass some that are too large.
pub(super) fn hash_key(text: &str) -> Result<HashKey, Failure> {
    text.parse().map_err(|error| Failure::invalid(format!("{text}: {error}.")))
}
