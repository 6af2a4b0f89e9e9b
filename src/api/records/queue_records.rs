//! Records of queues, and their dead letters: `ReceiveQueueRecords`, `AcknowledgeQueueRecords`,
//! `UpdateQueueRecordsVisibility`, the same three with `DeadLetterQueue`, and
//! `RestoreDeadLetterQueueRecords`

use std::time::Duration;

use super::Call;
use super::error::Failure;
use crate::records::queue::{self, EntryError, Kind, MAX_ENTRIES, QueueError, Receive};
use crate::wire::records::Blob;
use crate::wire::records::queues as wire;
use crate::wire::records::queues::{
    BatchOutput, FailedEntry, ReceiptEntry, ReceiptsInput, ReceiveInput, ReceiveOutput,
    VisibilityInput,
};

/// How long a receive waits whose request names no time, in seconds.
const DEFAULT_WAIT: i64 = 9;

/// `ReceiveQueueRecords`
pub(super) async fn receive(call: Call, input: ReceiveInput) -> Result<ReceiveOutput, Failure> {
    receive_kind(call, Kind::Live, input).await
}

/// `ReceiveDeadLetterQueueRecords`
pub(super) async fn receive_dead(
    call: Call,
    input: ReceiveInput,
) -> Result<ReceiveOutput, Failure> {
    receive_kind(call, Kind::Dead, input).await
}

/// `AcknowledgeQueueRecords`
pub(super) async fn acknowledge(call: Call, input: ReceiptsInput) -> Result<BatchOutput, Failure> {
    acknowledge_kind(call, Kind::Live, input).await
}

/// `AcknowledgeDeadLetterQueueRecords`
pub(super) async fn acknowledge_dead(
    call: Call,
    input: ReceiptsInput,
) -> Result<BatchOutput, Failure> {
    acknowledge_kind(call, Kind::Dead, input).await
}

/// `UpdateQueueRecordsVisibility`
pub(super) async fn set_visibility(
    call: Call,
    input: VisibilityInput,
) -> Result<BatchOutput, Failure> {
    set_visibility_kind(call, Kind::Live, input).await
}

/// `UpdateDeadLetterQueueRecordsVisibility`
pub(super) async fn set_visibility_dead(
    call: Call,
    input: VisibilityInput,
) -> Result<BatchOutput, Failure> {
    set_visibility_kind(call, Kind::Dead, input).await
}

/// `RestoreDeadLetterQueueRecords`
pub(super) async fn restore(call: Call, input: ReceiptsInput) -> Result<BatchOutput, Failure> {
    let key = call.queue_of_arn(&input.queue_arn.unwrap_or_default())?;
    let handles = handles(input.entries);
    let outcomes = call.app.queues.restore(&key, &handles).await;
    batch(&call, handles, outcomes)
}

async fn receive_kind(
    call: Call,
    kind: Kind,
    input: ReceiveInput,
) -> Result<ReceiveOutput, Failure> {
    let key = call.queue_of_arn(&input.queue_arn.unwrap_or_default())?;
    let request = Receive {
        kind,
        limit: input.limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_ENTRIES),
        wait: seconds(input.wait_time_seconds.unwrap_or(DEFAULT_WAIT)),
        visibility: input.visibility_timeout_seconds.map(seconds),
    };
    let received = tokio::select! {
        received = call.app.queues.receive(&key, request) => received,
        // A server that stops does not wait for records.
        () = call.app.shutdown.cancelled() => Ok(Vec::new()),
    };
    let received = received.map_err(|error| call.queue_failure(error))?;
    let bytes = received.iter().map(|record| record.record.data.len() as u64).sum();
    call.app.metrics.records_out.add(received.len() as u64);
    call.app.metrics.records_out_bytes.add(bytes);
    Ok(ReceiveOutput { queue_records: Some(received.into_iter().map(record).collect()) })
}

async fn acknowledge_kind(
    call: Call,
    kind: Kind,
    input: ReceiptsInput,
) -> Result<BatchOutput, Failure> {
    let key = call.queue_of_arn(&input.queue_arn.unwrap_or_default())?;
    let handles = handles(input.entries);
    let outcomes = call.app.queues.acknowledge(&key, kind, &handles).await;
    batch(&call, handles, outcomes)
}

async fn set_visibility_kind(
    call: Call,
    kind: Kind,
    input: VisibilityInput,
) -> Result<BatchOutput, Failure> {
    let key = call.queue_of_arn(&input.queue_arn.unwrap_or_default())?;
    let entries: Vec<_> = input
        .entries
        .into_iter()
        .flatten()
        .map(|entry| {
            let visibility = seconds(entry.visibility_timeout_seconds.unwrap_or_default());
            (entry.receipt_handle.unwrap_or_default(), visibility)
        })
        .collect();
    let outcomes = call.app.queues.set_visibility(&key, kind, &entries).await;
    batch(&call, entries.into_iter().map(|(handle, _)| handle).collect(), outcomes)
}

fn handles(entries: Option<Vec<ReceiptEntry>>) -> Vec<String> {
    entries.into_iter().flatten().map(|entry| entry.receipt_handle.unwrap_or_default()).collect()
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn record(record: queue::QueueRecord) -> wire::QueueRecord {
    wire::QueueRecord {
        receipt_handle: Some(record.receipt_handle),
        record_id: Some(record.record_id),
        partition_key: record.record.partition_key.map(|key| key.as_str().to_owned()),
        data: Some(Blob(record.record.data)),
        approximate_arrival_timestamp: Some(record.arrival.into()),
        first_receive_timestamp: Some(record.first_receive.into()),
        receive_count: Some(record.receive_count.into()),
    }
}

/// Sorts the entries of a batch by what became of them.
fn batch(
    call: &Call,
    handles: Vec<String>,
    outcomes: Result<Vec<Result<(), EntryError>>, QueueError>,
) -> Result<BatchOutput, Failure> {
    let outcomes = outcomes.map_err(|error| call.queue_failure(error))?;
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (handle, outcome) in handles.into_iter().zip(outcomes) {
        let receipt_handle = Some(handle);
        match outcome {
            Ok(()) => successful.push(ReceiptEntry { receipt_handle }),
            Err(error) => failed.push(FailedEntry {
                receipt_handle,
                error_code: Some(code(&error).to_owned()),
                error_message: Some(message(&error)),
            }),
        }
    }
    Ok(BatchOutput { successful: Some(successful), failed: Some(failed) })
}

fn code(error: &EntryError) -> &'static str {
    match error {
        EntryError::Malformed => "InvalidArgumentException",
        EntryError::Stale => "ResourceNotFoundException",
        EntryError::NotStored(_) => "InternalFailureException",
    }
}

/// What the store says of itself is not the client's business.
fn message(error: &EntryError) -> String {
    match error {
        EntryError::NotStored(cause) => {
            tracing::error!("a receipt was not stored: {cause}");
            "Internal Service Failure".to_owned()
        }
        error => format!("Not done: {error}."),
    }
}
