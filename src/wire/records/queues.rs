//! Queues: records for competing consumers, with receipts, visibility timeouts and dead letters.

use super::channels::StreamFilter;
use super::rule::{
    ANY, NAME, NEXT_TOKEN, PAGE, QUEUE_ARN, Rule, STREAM_ARN, TAGS, length, one_of, value,
};
use super::{Blob, TagMap, Timestamp, shapes};

/// How long a received record stays hidden, in seconds.
const VISIBILITY: Rule = value(0, 43_200);
/// Entries of a batch.
const BATCH: Rule = length(1, 10);
/// A receipt.
const RECEIPT: Rule = length(1, 1024);

shapes! {
    /// `CreateQueue`.
    CreateQueueInput {
        queue_name: String = NAME.required(),
        stream_configuration_list: Vec<QueueStreamConfiguration> = length(1, 10_000).required(),
        queue_attributes: QueueAttributes,
        tags: TagMap = TAGS,
    }

    /// The stream that a queue reads, and from where.
    QueueStreamConfiguration {
        stream_arn as "StreamARN": String = STREAM_ARN.required(),
        starting_position: QueueStartingPosition,
    }

    /// Where a queue begins.
    QueueStartingPosition {
        kind as "Type": String = one_of(&["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]).required(),
        timestamp: Timestamp,
    }

    /// How a queue behaves.
    QueueAttributes {
        visibility_timeout_seconds: i64 = VISIBILITY,
        dead_letter_configuration: DeadLetterConfiguration,
    }

    /// What becomes of records that nobody acknowledges.
    DeadLetterConfiguration {
        target_type: String = one_of(&["BUILT_IN", "NONE"]).required(),
        max_receive_count: i64 = value(1, 1000),
    }

    /// What `CreateQueue`, `DescribeQueue` and `UpdateQueue` answer.
    QueueOutput {
        queue_description: QueueDescription,
    }

    /// A queue's facts.
    QueueDescription {
        queue_name: String,
        queue_arn as "QueueARN": String,
        queue_status: String,
        queue_creation_timestamp: Timestamp,
        stream_configuration_list: Vec<QueueStreamConfiguration>,
        queue_attributes: QueueAttributes,
    }

    /// Names a queue: `DescribeQueue`, `DeleteQueue`.
    QueueRef {
        queue_arn as "QueueARN": String = QUEUE_ARN.required(),
    }

    /// `UpdateQueue`.
    UpdateQueueInput {
        queue_arn as "QueueARN": String = QUEUE_ARN.required(),
        queue_attributes: QueueAttributes = ANY.required(),
    }

    /// `ListQueues`.
    ListQueuesInput {
        max_results: i64 = PAGE,
        next_token: String = NEXT_TOKEN,
        stream_filter: Vec<StreamFilter> = length(1, 10_000),
    }

    /// What `ListQueues` answers.
    ListQueuesOutput {
        queue_summaries: Vec<QueueSummary>,
        next_token: String,
    }

    /// A queue in a listing.
    QueueSummary {
        queue_name: String,
        queue_arn as "QueueARN": String,
        queue_status: String,
        queue_creation_timestamp: Timestamp,
        streams: Vec<StreamFilter>,
    }

    /// `ReceiveQueueRecords` and `ReceiveDeadLetterQueueRecords`.
    ReceiveInput {
        queue_arn as "QueueARN": String = QUEUE_ARN.required(),
        limit: i64 = value(1, 10),
        wait_time_seconds: i64 = value(1, 20),
        visibility_timeout_seconds: i64 = VISIBILITY,
    }

    /// What both of them answer.
    ReceiveOutput {
        queue_records: Vec<QueueRecord>,
    }

    /// A record with its receipt.
    QueueRecord {
        receipt_handle: String,
        record_id: String,
        partition_key: String,
        data: Blob,
        approximate_arrival_timestamp: Timestamp,
        first_receive_timestamp: Timestamp,
        receive_count: i64,
    }

    /// Acknowledging and restoring: `AcknowledgeQueueRecords`, `AcknowledgeDeadLetterQueueRecords`,
    /// `RestoreDeadLetterQueueRecords`.
    ReceiptsInput {
        queue_arn as "QueueARN": String = QUEUE_ARN.required(),
        entries: Vec<ReceiptEntry> = BATCH.required(),
    }

    /// One receipt of a batch, of a request or of its successes.
    ReceiptEntry {
        receipt_handle: String = RECEIPT.required(),
    }

    /// `UpdateQueueRecordsVisibility` and `UpdateDeadLetterQueueRecordsVisibility`.
    VisibilityInput {
        queue_arn as "QueueARN": String = QUEUE_ARN.required(),
        entries: Vec<VisibilityEntry> = BATCH.required(),
    }

    /// One receipt with its new timeout.
    VisibilityEntry {
        receipt_handle: String = RECEIPT.required(),
        visibility_timeout_seconds: i64 = VISIBILITY.required(),
    }

    /// What every batch answers.
    BatchOutput {
        successful: Vec<ReceiptEntry>,
        failed: Vec<FailedEntry>,
    }

    /// A receipt with which nothing was done, and why.
    FailedEntry {
        receipt_handle: String,
        error_code: String,
        error_message: String,
    }
}
