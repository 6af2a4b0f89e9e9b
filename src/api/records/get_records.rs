//! `GetShardIterator`, `GetRecords`

use super::error::Failure;
use super::position::Asked;
use super::{Call, facts};
use crate::records::{MAX_READ_RECORDS, Record};
use crate::wire::records::Blob;
use crate::wire::records::data::{
    self, GetRecordsInput, GetRecordsOutput, GetShardIteratorInput, GetShardIteratorOutput,
};

/// `GetShardIterator`
pub(super) async fn get_shard_iterator(
    call: Call,
    input: GetShardIteratorInput,
) -> Result<GetShardIteratorOutput, Failure> {
    let stream = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let shard = call.shard_id(&stream, &input.shard_id.unwrap_or_default())?;
    let asked = Asked {
        kind: &input.shard_iterator_type.unwrap_or_default(),
        sequence_number: input.starting_sequence_number.as_deref(),
        timestamp: input.timestamp,
    };
    let position = call.position(&stream, &asked)?;
    let iterator = call.app.records.iterator(&stream, shard, position);
    let iterator = iterator.map_err(|error| call.failure(error))?;
    if input.dry_run == Some(true) {
        return Err(call.dry_run(&stream));
    }
    Ok(GetShardIteratorOutput { shard_iterator: Some(call.seal_iterator(&iterator)) })
}

/// `GetRecords`: at the tail it waits a moment, so that a client that asks over and over does not
/// spin.
pub(super) async fn get_records(
    call: Call,
    input: GetRecordsInput,
) -> Result<GetRecordsOutput, Failure> {
    let iterator = call.open_iterator(&input.shard_iterator.unwrap_or_default())?;
    let stream = call.app.store.record_catalog().stream_by_id(iterator.stream);
    let stream = stream.ok_or_else(|| Failure::not_found("The iterator's stream was deleted."))?;
    if input.stream_arn.is_some_and(|arn| arn != call.stream_arn(&stream.name)) {
        return Err(Failure::invalid("The ShardIterator is of another stream than StreamARN."));
    }
    if input.dry_run == Some(true) {
        return Err(call.dry_run(&stream.name));
    }
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
    let batch = call.app.records.read(iterator, limit.unwrap_or(MAX_READ_RECORDS)).await;
    let batch = batch.map_err(|error| call.failure(error))?;
    let children = batch.children.iter().map(facts::child_shard).collect();
    Ok(GetRecordsOutput {
        records: Some(call.given(batch.records)),
        child_shards: batch.next.is_none().then_some(children),
        next_shard_iterator: batch.next.map(|iterator| call.seal_iterator(&iterator)),
        millis_behind_latest: Some(i64::try_from(batch.behind.0).unwrap_or(i64::MAX)),
    })
}

impl Call {
    /// Records in the shape of AWS; counted.
    pub(super) fn given(&self, records: Vec<Record>) -> Vec<data::Record> {
        let bytes = records.iter().map(|record| record.data.len() as u64).sum();
        self.app.metrics.records_out.add(records.len() as u64);
        self.app.metrics.records_out_bytes.add(bytes);
        records.into_iter().map(record).collect()
    }
}

fn record(record: Record) -> data::Record {
    data::Record {
        sequence_number: Some(record.sequence.to_string()),
        approximate_arrival_timestamp: Some(record.arrival.into()),
        data: Some(Blob(record.data)),
        partition_key: record.partition_key.map(|key| key.as_str().to_owned()),
        encryption_type: Some(facts::NO_ENCRYPTION.to_owned()),
    }
}
