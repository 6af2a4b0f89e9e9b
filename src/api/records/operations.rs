//! Every operation of the model: its name, its state, and what answers it. The table in
//! `OPERATIONS.md` is held to this one by a test.

use axum::response::Response;
use bytes::Bytes;

use super::error::{Failure, Kind};
use super::{
    Call, account, channels, consumers, create_stream, delete_stream, describe_stream, encryption,
    get_records, list_shards, list_streams, policies, put_record, queue_records, queues, reshard,
    settings, subscribe_to_shard, tags,
};

/// How far an operation goes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Does what AWS documents.
    Works,
    /// Accepted, remembered and reported, but without any effect.
    Kept,
    /// Answers with an error, or says that there is none.
    Refused,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    #[cfg_attr(not(test), allow(dead_code, reason = "told in the documentation"))]
    pub(super) state: State,
}

macro_rules! operations {
    ($($state:ident $name:ident: $handler:path;)*) => {
        /// By name.
        pub(super) const OPERATIONS: &[Row] =
            &[$(Row { name: stringify!($name), state: State::$state },)*];

        /// Lets the operation of that name answer.
        pub(super) async fn dispatch(
            call: Call,
            name: &str,
            body: Bytes,
        ) -> Result<Response, Failure> {
            match name {
                $(stringify!($name) => Box::pin(call.answer(body, $handler)).await,)*
                _ => Err(Failure::new(Kind::UnknownOperation, "")),
            }
        }
    };
}

operations! {
    Works AcknowledgeDeadLetterQueueRecords: queue_records::acknowledge_dead;
    Works AcknowledgeQueueRecords: queue_records::acknowledge;
    Works AddTagsToStream: tags::add_to_stream;
    Refused CreateChannel: channels::create;
    Works CreateQueue: queues::create;
    Works CreateStream: create_stream::create_stream;
    Works DecreaseStreamRetentionPeriod: settings::decrease_retention;
    Refused DeleteChannel: channels::find;
    Works DeleteQueue: queues::delete;
    Kept DeleteResourcePolicy: policies::delete;
    Works DeleteStream: delete_stream::delete_stream;
    Works DeregisterStreamConsumer: consumers::deregister;
    Works DescribeAccountSettings: account::describe;
    Refused DescribeChannel: channels::find;
    Works DescribeLimits: settings::describe_limits;
    Works DescribeQueue: queues::describe;
    Works DescribeStream: describe_stream::describe_stream;
    Works DescribeStreamConsumer: consumers::describe;
    Works DescribeStreamSummary: describe_stream::describe_stream_summary;
    Kept DisableEnhancedMonitoring: settings::disable_monitoring;
    Kept EnableEnhancedMonitoring: settings::enable_monitoring;
    Works GetRecords: get_records::get_records;
    Kept GetResourcePolicy: policies::get;
    Works GetShardIterator: get_records::get_shard_iterator;
    Works IncreaseStreamRetentionPeriod: settings::increase_retention;
    Refused ListChannels: channels::list;
    Works ListQueues: queues::list;
    Works ListShards: list_shards::list_shards;
    Works ListStreamConsumers: consumers::list;
    Works ListStreams: list_streams::list_streams;
    Works ListTagsForResource: tags::list;
    Works ListTagsForStream: tags::list_for_stream;
    Works MergeShards: reshard::merge_shards;
    Works PutRecord: put_record::put_record;
    Works PutRecords: put_record::put_records;
    Kept PutResourcePolicy: policies::put;
    Works ReceiveDeadLetterQueueRecords: queue_records::receive_dead;
    Works ReceiveQueueRecords: queue_records::receive;
    Works RegisterStreamConsumer: consumers::register;
    Works RemoveTagsFromStream: tags::remove_from_stream;
    Works RestoreDeadLetterQueueRecords: queue_records::restore;
    Works SplitShard: reshard::split_shard;
    Refused StartStreamEncryption: encryption::start;
    Refused StopStreamEncryption: encryption::stop;
    Works SubscribeToShard: subscribe_to_shard::subscribe_to_shard;
    Works TagResource: tags::add;
    Works UntagResource: tags::remove;
    Refused UpdateAccountSettings: account::update;
    Refused UpdateChannel: channels::find;
    Works UpdateDeadLetterQueueRecordsVisibility: queue_records::set_visibility_dead;
    Works UpdateMaxRecordSize: settings::update_max_record_size;
    Works UpdateQueue: queues::update;
    Works UpdateQueueRecordsVisibility: queue_records::set_visibility;
    Works UpdateShardCount: reshard::update_shard_count;
    Works UpdateStreamMode: settings::update_mode;
    Works UpdateStreamRecordDistributionStrategy: settings::update_distribution;
    Kept UpdateStreamWarmThroughput: settings::update_warm_throughput;
}

/// The operation of that name.
pub(super) fn find(name: &str) -> Option<&'static str> {
    let at = OPERATIONS.binary_search_by_key(&name, |row| row.name).ok()?;
    Some(OPERATIONS[at].name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kept beside the code, for people.
    const DOCUMENT: &str = include_str!("OPERATIONS.md");

    /// How many the model has.
    const MODEL: usize = 57;

    #[test]
    fn document_tells_every_operation_and_its_state() {
        let rows = DOCUMENT.lines().filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (name, state) = (cells.next()?, cells.next()?);
            Some((name, state)).filter(|(name, _)| name.starts_with(char::is_uppercase))
        });
        let state = |row: &Row| match row.state {
            State::Works => "works",
            State::Kept => "kept",
            State::Refused => "refused",
        };
        let expected: Vec<_> = OPERATIONS.iter().map(|row| (row.name, state(row))).collect();
        assert_eq!(rows.collect::<Vec<_>>(), expected);
        assert_eq!(OPERATIONS.len(), MODEL);
    }

    #[test]
    fn every_operation_is_found_by_its_name() {
        assert!(OPERATIONS.is_sorted_by_key(|row| row.name));
        for row in OPERATIONS {
            assert_eq!(find(row.name), Some(row.name));
        }
        assert_eq!(find("CreateStreams"), None);
    }
}
