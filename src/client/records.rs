//! Record streams: putting and getting records, at the address of the control plane.

use bytes::Bytes;

use super::{Client, Error};
use crate::types::{ShardId, StreamName};
use crate::wire::records::Blob;
use crate::wire::records::data::{
    GetRecordsInput, GetRecordsOutput, GetShardIteratorInput, GetShardIteratorOutput,
    PutRecordsInput, PutRecordsOutput, PutRecordsRequestEntry, Record,
};
use crate::wire::records::shards::{ListShardsInput, ListShardsOutput};
use crate::wire::records::streams::{
    CreateStreamInput, DescribeStreamSummaryOutput, StreamModeDetails,
};

/// A record to be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Chooses the shard.
    pub partition_key: String,
    /// Names the record, so that the same put again is stored once; up to 256 characters.
    pub dedupe_key: Option<String>,
    /// What it carries.
    pub data: Bytes,
}

/// Why a record was not stored, others of its request were perhaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStored {
    /// Such as `ProvisionedThroughputExceededException`.
    pub code: String,
    /// The service's own words.
    pub message: String,
}

/// A page of a shard's records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordsPage {
    /// In the order in which they were put.
    pub records: Vec<Record>,
    /// Where the next page begins; absent at the end of a closed shard.
    pub next: Option<String>,
    /// How far behind the newest record the page is.
    pub millis_behind: i64,
}

impl Client {
    /// CreateStream: a record stream whose shards take what comes.
    pub async fn create_record_stream(&self, stream: &StreamName) -> Result<(), Error> {
        let mode = StreamModeDetails { stream_mode: Some("ON_DEMAND".to_owned()) };
        let request = CreateStreamInput {
            stream_name: Some(stream.to_string()),
            stream_mode_details: Some(mode),
            ..CreateStreamInput::default()
        };
        let _: serde_json::Value = self.call_records("CreateStream", &request).await?;
        Ok(())
    }

    /// DescribeStreamSummary: the ARN of a record stream.
    pub async fn record_stream_arn(&self, stream: &StreamName) -> Result<String, Error> {
        let operation = "DescribeStreamSummary";
        let request = serde_json::json!({ "StreamName": stream.as_str() });
        let answer: DescribeStreamSummaryOutput = self.call_records(operation, &request).await?;
        let arn = answer.stream_description_summary.and_then(|summary| summary.stream_arn);
        arn.ok_or(Error::Incomplete { operation, member: "StreamARN" })
    }

    /// PutRecords: up to 500 records, each stored or not by itself; the answers are in their order.
    pub async fn put_records(
        &self,
        stream: &StreamName,
        records: &[NewRecord],
    ) -> Result<Vec<Result<(), NotStored>>, Error> {
        let operation = "PutRecords";
        let entry = |record: &NewRecord| PutRecordsRequestEntry {
            data: Some(Blob(record.data.clone())),
            partition_key: Some(record.partition_key.clone()),
            dedupe_key: record.dedupe_key.clone(),
            ..PutRecordsRequestEntry::default()
        };
        let request = PutRecordsInput {
            stream_name: Some(stream.to_string()),
            records: Some(records.iter().map(entry).collect()),
            ..PutRecordsInput::default()
        };
        let answer: PutRecordsOutput = self.call_records(operation, &request).await?;
        let answers = answer.records.unwrap_or_default();
        if answers.len() != records.len() {
            return Err(Error::Incomplete { operation, member: "Records" });
        }
        let outcomes = answers.into_iter().map(|answer| match answer.error_code {
            None => Ok(()),
            Some(code) => {
                Err(NotStored { code, message: answer.error_message.unwrap_or_default() })
            }
        });
        Ok(outcomes.collect())
    }

    /// ListShards: the names of a stream's shards, up to a thousand of them.
    pub async fn list_shards(&self, stream: &StreamName) -> Result<Vec<ShardId>, Error> {
        let request =
            ListShardsInput { stream_name: Some(stream.to_string()), ..ListShardsInput::default() };
        let answer: ListShardsOutput = self.call_records("ListShards", &request).await?;
        let shards = answer.shards.unwrap_or_default().into_iter();
        Ok(shards.filter_map(|shard| shard.shard_id?.parse().ok()).collect())
    }

    /// GetShardIterator: `position` is `TRIM_HORIZON`, the oldest record, or `LATEST`.
    pub async fn shard_iterator(
        &self,
        stream: &StreamName,
        shard: ShardId,
        position: &str,
    ) -> Result<String, Error> {
        let operation = "GetShardIterator";
        let request = GetShardIteratorInput {
            stream_name: Some(stream.to_string()),
            shard_id: Some(shard.to_string()),
            shard_iterator_type: Some(position.to_owned()),
            ..GetShardIteratorInput::default()
        };
        let answer: GetShardIteratorOutput = self.call_records(operation, &request).await?;
        answer.shard_iterator.ok_or(Error::Incomplete { operation, member: "ShardIterator" })
    }

    /// GetRecords: what comes at the iterator, up to `limit` records.
    pub async fn get_records(&self, iterator: &str, limit: u16) -> Result<RecordsPage, Error> {
        let request = GetRecordsInput {
            shard_iterator: Some(iterator.to_owned()),
            limit: Some(limit.into()),
            ..GetRecordsInput::default()
        };
        let answer: GetRecordsOutput = self.call_records("GetRecords", &request).await?;
        Ok(RecordsPage {
            records: answer.records.unwrap_or_default(),
            next: answer.next_shard_iterator,
            millis_behind: answer.millis_behind_latest.unwrap_or(0),
        })
    }
}
