//! Records: putting and getting them.

use super::rule::{
    DATA, HASH_KEY, NAME, PARTITION_KEY, Rule, SEQUENCE_NUMBER, STREAM_ARN, STREAM_ID, length,
    one_of, value,
};
use super::shards::ChildShard;
use super::{Blob, Timestamp, shapes};

/// Not of AWS: a record's name, so that the same put again is stored once.
const DEDUPE_KEY: Rule = length(1, 256);
/// Where reading can begin.
pub(super) const POSITIONS: &[&str] =
    &["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"];

shapes! {
    /// `PutRecord`.
    PutRecordInput {
        stream_name: String = NAME,
        data: Blob = DATA.required(),
        partition_key: String = PARTITION_KEY,
        explicit_hash_key: String = HASH_KEY,
        sequence_number_for_ordering: String = SEQUENCE_NUMBER,
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
        dry_run: bool,
        dedupe_key: String = DEDUPE_KEY,
    }

    /// What `PutRecord` answers.
    PutRecordOutput {
        shard_id: String,
        sequence_number: String,
        encryption_type: String,
    }

    /// `PutRecords`.
    PutRecordsInput {
        records: Vec<PutRecordsRequestEntry> = length(1, 500).required(),
        stream_name: String = NAME,
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
        dry_run: bool,
    }

    /// One record of `PutRecords`.
    PutRecordsRequestEntry {
        data: Blob = DATA.required(),
        explicit_hash_key: String = HASH_KEY,
        partition_key: String = PARTITION_KEY,
        dedupe_key: String = DEDUPE_KEY,
    }

    /// What `PutRecords` answers: an entry for each record, in their order.
    PutRecordsOutput {
        failed_record_count: i64,
        records: Vec<PutRecordsResultEntry>,
        encryption_type: String,
    }

    /// Where a record is, or why it is not.
    PutRecordsResultEntry {
        sequence_number: String,
        shard_id: String,
        error_code: String,
        error_message: String,
    }

    /// `GetShardIterator`.
    GetShardIteratorInput {
        stream_name: String = NAME,
        shard_id: String = NAME.required(),
        shard_iterator_type: String = one_of(POSITIONS).required(),
        starting_sequence_number: String = SEQUENCE_NUMBER,
        timestamp: Timestamp,
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
        dry_run: bool,
    }

    /// What `GetShardIterator` answers.
    GetShardIteratorOutput {
        shard_iterator: String,
    }

    /// `GetRecords`.
    GetRecordsInput {
        shard_iterator: String = length(1, 512).required(),
        limit: i64 = value(1, 10_000),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
        dry_run: bool,
    }

    /// What `GetRecords` answers; without a next iterator, the shard has ended.
    GetRecordsOutput {
        records: Vec<Record>,
        next_shard_iterator: String,
        millis_behind_latest: i64,
        child_shards: Vec<ChildShard>,
    }

    /// A record as readers get it.
    Record {
        sequence_number: String,
        approximate_arrival_timestamp: Timestamp,
        data: Blob,
        partition_key: String,
        encryption_type: String,
    }
}
