//! `PutRecord`, `PutRecords`

use bytes::Bytes;

use super::error::{Failure, Kind};
use super::reshard::hash_key;
use super::{Call, facts};
use crate::records::dedupe::DedupeKey;
use crate::records::{PartitionKey, Payload, Placed, RecordsError, Refused};
use crate::types::StreamName;
use crate::wire::records::Blob;
use crate::wire::records::data::{
    PutRecordInput, PutRecordOutput, PutRecordsInput, PutRecordsOutput, PutRecordsRequestEntry,
    PutRecordsResultEntry,
};

/// `PutRecord`
pub(super) async fn put_record(
    call: Call,
    input: PutRecordInput,
) -> Result<PutRecordOutput, Failure> {
    let stream = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let after = input.sequence_number_for_ordering.map(|text| {
        let invalid = |_| Failure::invalid(format!("{text} is not a sequence number."));
        text.parse().map_err(invalid)
    });
    let after = after.transpose()?;
    let entry = PutRecordsRequestEntry {
        data: input.data,
        explicit_hash_key: input.explicit_hash_key,
        partition_key: input.partition_key,
        dedupe_key: input.dedupe_key,
    };
    let record = payload(&call, 0, entry)?;
    if input.dry_run == Some(true) {
        return Err(call.dry_run(&stream));
    }
    let bytes = record.data.len() as u64;
    let placed = call.app.records.put_one(&stream, record, after).await;
    count(&call, &[bytes], |_| placed.is_ok());
    let placed = placed.map_err(|error| match error {
        // Here it is not in a list.
        RecordsError::NoPartitionKey { .. } => no_partition_key("partitionKey"),
        RecordsError::RecordTooLarge { limit, .. } => too_large("data", limit),
        error => call.failure(error),
    })?;
    Ok(PutRecordOutput {
        shard_id: Some(placed.shard.to_string()),
        sequence_number: Some(placed.sequence.to_string()),
        encryption_type: Some(facts::NO_ENCRYPTION.to_owned()),
    })
}

/// `PutRecords`: each record for itself; what was refused stands in its place of the answer.
pub(super) async fn put_records(
    call: Call,
    input: PutRecordsInput,
) -> Result<PutRecordsOutput, Failure> {
    let stream = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let entries = input.records.unwrap_or_default().into_iter().enumerate();
    let records: Vec<_> =
        entries.map(|(at, entry)| payload(&call, at, entry)).collect::<Result<_, _>>()?;
    if input.dry_run == Some(true) {
        return Err(call.dry_run(&stream));
    }
    let bytes: Vec<_> = records.iter().map(|record| record.data.len() as u64).collect();
    let outcomes = call.app.records.put(&stream, records).await;
    let stored = |at: usize| outcomes.as_ref().is_ok_and(|outcomes| outcomes[at].is_ok());
    count(&call, &bytes, stored);
    let outcomes = outcomes.map_err(|error| call.failure(error))?;
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    let entries = outcomes.into_iter().map(|outcome| entry(&call, &stream, outcome)).collect();
    Ok(PutRecordsOutput {
        failed_record_count: Some(failed as i64),
        records: Some(entries),
        encryption_type: Some(facts::NO_ENCRYPTION.to_owned()),
    })
}

/// A record without a key, in a stream that needs one.
pub(super) fn no_partition_key(member: &str) -> Failure {
    Failure::new(
        Kind::Validation,
        format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: \
             Member must not be null"
        ),
    )
}

/// A record larger than its stream takes.
pub(super) fn too_large(member: &str, limit: usize) -> Failure {
    Failure::new(
        Kind::Validation,
        format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member \
             must have length less than or equal to {limit}, with its partition key"
        ),
    )
}

/// The record at a place of the request.
fn payload(call: &Call, at: usize, entry: PutRecordsRequestEntry) -> Result<Payload, Failure> {
    let invalid = || Failure::invalid("PartitionKey has up to 256 characters.");
    let key = entry.partition_key.map(|key| PartitionKey::new(key).ok_or_else(invalid));
    let dedupe = match (&entry.dedupe_key, &call.dedupe) {
        (Some(name), _) => Some(DedupeKey::new(name.as_bytes())),
        (None, Some(batch)) => Some(DedupeKey::new(format!("{batch}/{at}").as_bytes())),
        (None, None) => None,
    };
    Ok(Payload {
        partition_key: key.transpose()?,
        hash: entry.explicit_hash_key.map(|key| hash_key(&key)).transpose()?,
        dedupe,
        data: entry.data.map_or_else(Bytes::new, |Blob(bytes)| bytes),
    })
}

/// Counts records of so many bytes by whether they were stored.
fn count(call: &Call, bytes: &[u64], stored: impl Fn(usize) -> bool) {
    let metrics = &call.app.metrics;
    for (at, bytes) in bytes.iter().enumerate() {
        if stored(at) {
            metrics.records_in.add(1);
            metrics.records_in_bytes.add(*bytes);
        } else {
            metrics.records_refused.add(1);
        }
    }
}

fn entry(
    call: &Call,
    stream: &StreamName,
    outcome: Result<Placed, Refused>,
) -> PutRecordsResultEntry {
    match outcome {
        Ok(placed) => PutRecordsResultEntry {
            sequence_number: Some(placed.sequence.to_string()),
            shard_id: Some(placed.shard.to_string()),
            ..PutRecordsResultEntry::default()
        },
        Err(refused) => {
            let (code, message) = match refused {
                Refused::RateExceeded(shard) => {
                    (Kind::ThroughputExceeded.name(), call.rate_exceeded(stream, shard))
                }
                Refused::Unavailable(why) => {
                    tracing::error!(%stream, "a record was not stored: {why}");
                    ("InternalFailure", "Internal Service Failure".to_owned())
                }
            };
            PutRecordsResultEntry {
                error_code: Some(code.to_owned()),
                error_message: Some(message),
                ..PutRecordsResultEntry::default()
            }
        }
    }
}
