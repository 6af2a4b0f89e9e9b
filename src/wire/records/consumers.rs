//! Consumers with a throughput of their own, and their subscriptions.

use super::data::{POSITIONS, Record};
use super::rule::{
    ANY, CONSUMER_ARN, NAME, NEXT_TOKEN, PAGE, SEQUENCE_NUMBER, STREAM_ARN, STREAM_ID, TAGS, one_of,
};
use super::shards::ChildShard;
use super::{TagMap, Timestamp, shapes};

shapes! {
    /// `RegisterStreamConsumer`.
    RegisterStreamConsumerInput {
        stream_arn as "StreamARN": String = STREAM_ARN.required(),
        consumer_name: String = NAME.required(),
        stream_id: String = STREAM_ID,
        tags: TagMap = TAGS,
    }

    /// What `RegisterStreamConsumer` answers.
    RegisterStreamConsumerOutput {
        consumer: Consumer,
    }

    /// A consumer in a listing.
    Consumer {
        consumer_name: String,
        consumer_arn as "ConsumerARN": String,
        consumer_status: String,
        consumer_creation_timestamp: Timestamp,
    }

    /// Names a consumer: `DescribeStreamConsumer`, `DeregisterStreamConsumer`.
    ConsumerRef {
        stream_arn as "StreamARN": String = STREAM_ARN,
        consumer_name: String = NAME,
        consumer_arn as "ConsumerARN": String = CONSUMER_ARN,
        stream_id: String = STREAM_ID,
    }

    /// What `DescribeStreamConsumer` answers.
    DescribeStreamConsumerOutput {
        consumer_description: ConsumerDescription,
    }

    /// A consumer's facts.
    ConsumerDescription {
        consumer_name: String,
        consumer_arn as "ConsumerARN": String,
        consumer_status: String,
        consumer_creation_timestamp: Timestamp,
        stream_arn as "StreamARN": String,
    }

    /// `ListStreamConsumers`.
    ListStreamConsumersInput {
        stream_arn as "StreamARN": String = STREAM_ARN.required(),
        next_token: String = NEXT_TOKEN,
        max_results: i64 = PAGE,
        stream_creation_timestamp: Timestamp,
        stream_id: String = STREAM_ID,
    }

    /// What `ListStreamConsumers` answers.
    ListStreamConsumersOutput {
        consumers: Vec<Consumer>,
        next_token: String,
    }

    /// `SubscribeToShard`, which answers with an event stream.
    SubscribeToShardInput {
        consumer_arn as "ConsumerARN": String = CONSUMER_ARN.required(),
        stream_id: String = STREAM_ID,
        shard_id: String = NAME.required(),
        starting_position: StartingPosition = ANY.required(),
        dry_run: bool,
    }

    /// Where a subscription begins.
    StartingPosition {
        kind as "Type": String = one_of(POSITIONS).required(),
        sequence_number: String = SEQUENCE_NUMBER,
        timestamp: Timestamp,
    }

    /// One event of a subscription; without a continuation, the shard has ended.
    SubscribeToShardEvent {
        records: Vec<Record>,
        continuation_sequence_number: String,
        millis_behind_latest: i64,
        child_shards: Vec<ChildShard>,
    }
}
