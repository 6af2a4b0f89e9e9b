//! Every operation of the model: its name, its state, and what answers it. The table in
//! `OPERATIONS.md` is held to this one by a test.

use axum::response::Response;

use super::error::{Failure, Kind};
use super::{
    Call, account, channels, consumers, create_stream, delete_stream, describe_stream, encryption,
    list_shards, list_streams, policies, reshard, settings, tags,
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
            body: &[u8],
        ) -> Result<Response, Failure> {
            match name {
                $(stringify!($name) => Box::pin(call.answer(body, $handler)).await,)*
                _ => Err(Failure::new(Kind::UnknownOperation, "")),
            }
        }
    };
}

operations! {
    Works AddTagsToStream: tags::add_to_stream;
    Refused CreateChannel: channels::create;
    Works CreateStream: create_stream::create_stream;
    Works DecreaseStreamRetentionPeriod: settings::decrease_retention;
    Refused DeleteChannel: channels::find;
    Kept DeleteResourcePolicy: policies::delete;
    Works DeleteStream: delete_stream::delete_stream;
    Works DeregisterStreamConsumer: consumers::deregister;
    Works DescribeAccountSettings: account::describe;
    Refused DescribeChannel: channels::find;
    Works DescribeLimits: settings::describe_limits;
    Works DescribeStream: describe_stream::describe_stream;
    Works DescribeStreamConsumer: consumers::describe;
    Works DescribeStreamSummary: describe_stream::describe_stream_summary;
    Kept DisableEnhancedMonitoring: settings::disable_monitoring;
    Kept EnableEnhancedMonitoring: settings::enable_monitoring;
    Kept GetResourcePolicy: policies::get;
    Works IncreaseStreamRetentionPeriod: settings::increase_retention;
    Refused ListChannels: channels::list;
    Works ListShards: list_shards::list_shards;
    Works ListStreamConsumers: consumers::list;
    Works ListStreams: list_streams::list_streams;
    Works ListTagsForResource: tags::list;
    Works ListTagsForStream: tags::list_for_stream;
    Works MergeShards: reshard::merge_shards;
    Kept PutResourcePolicy: policies::put;
    Works RegisterStreamConsumer: consumers::register;
    Works RemoveTagsFromStream: tags::remove_from_stream;
    Works SplitShard: reshard::split_shard;
    Refused StartStreamEncryption: encryption::start;
    Refused StopStreamEncryption: encryption::stop;
    Works TagResource: tags::add;
    Works UntagResource: tags::remove;
    Refused UpdateAccountSettings: account::update;
    Refused UpdateChannel: channels::find;
    Works UpdateMaxRecordSize: settings::update_max_record_size;
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
