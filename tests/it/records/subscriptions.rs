//! SubscribeToShard through AWS's SDK.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};

use super::{create, unlimited};

const SHARD: &str = "shardId-000000000000";
const PATIENCE: Duration = Duration::from_secs(20);

async fn consumer(client: &Client, name: &str) -> String {
    let summary = client.describe_stream_summary().stream_name("s").send().await;
    let arn = summary.expect("a summary").stream_description_summary.expect("facts").stream_arn;
    let register = client.register_stream_consumer().stream_arn(arn).consumer_name(name);
    register.send().await.expect("registered").consumer.expect("a consumer").consumer_arn
}

async fn subscribe(
    client: &Client,
    consumer: &str,
    kind: ShardIteratorType,
    after: Option<&str>,
) -> SubscribeToShardOutput {
    let position = StartingPosition::builder().r#type(kind);
    let position = position.set_sequence_number(after.map(str::to_owned));
    let request = client.subscribe_to_shard().consumer_arn(consumer).shard_id(SHARD);
    let request = request.starting_position(position.build().expect("a position"));
    request.send().await.expect("a subscription")
}

async fn put(client: &Client, text: &str) {
    let request = client.put_record().stream_name("s").partition_key("k").data(Blob::new(text));
    request.send().await.expect("the record is put");
}

/// The next event; `None` at the end.
async fn next(subscription: &mut SubscribeToShardOutput) -> Option<SubscribeToShardEvent> {
    let event = tokio::time::timeout(PATIENCE, subscription.event_stream.recv()).await;
    match event.expect("in time").expect("an event") {
        Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => Some(event),
        Some(other) => panic!("{other:?}"),
        None => None,
    }
}

fn texts(event: &SubscribeToShardEvent) -> Vec<&[u8]> {
    event.records.iter().map(|record| record.data.as_ref()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_pushed_from_the_position_on_as_they_come() {
    let server = unlimited();
    let client = create(&server, "s", 1).await;
    put(&client, "before").await;
    let arn = consumer(&client, "c").await;
    let mut first = subscribe(&client, &arn, ShardIteratorType::TrimHorizon, None).await;
    let event = next(&mut first).await.expect("an event");
    assert_eq!(texts(&event), [b"before"]);
    assert_eq!(event.millis_behind_latest, 0);
    put(&client, "after").await;
    let sent = Instant::now();
    assert_eq!(texts(&next(&mut first).await.expect("an event")), [b"after"]);
    // Far more than it takes; not a wait for the next keep-alive.
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    assert_eq!(server.metric("kinora_records_active_subscriptions"), 1.0);

    // Where one subscription came to, another goes on.
    let mut second = subscribe(
        &client,
        &consumer(&client, "d").await,
        ShardIteratorType::AfterSequenceNumber,
        Some(&event.continuation_sequence_number),
    )
    .await;
    assert_eq!(texts(&next(&mut second).await.expect("an event")), [b"after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumer_that_subscribes_again_at_once_is_refused() {
    let server = unlimited();
    let client = create(&server, "s", 1).await;
    let arn = consumer(&client, "c").await;
    let _open = subscribe(&client, &arn, ShardIteratorType::Latest, None).await;
    let position = StartingPosition::builder().r#type(ShardIteratorType::Latest).build();
    let request = client.subscribe_to_shard().consumer_arn(&arn).shard_id(SHARD);
    let request = request.starting_position(position.expect("a position"));
    let error = request.send().await.expect_err("too early").into_service_error();
    assert!(error.is_resource_in_use_exception(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_a_closed_shard_names_its_children() {
    let server = unlimited();
    let client = create(&server, "s", 1).await;
    let arn = consumer(&client, "c").await;
    let mut subscription = subscribe(&client, &arn, ShardIteratorType::Latest, None).await;
    put(&client, "last").await;
    assert_eq!(texts(&next(&mut subscription).await.expect("an event")), [b"last"]);
    let split = client.split_shard().stream_name("s").shard_to_split(SHARD);
    let split = split.new_starting_hash_key((1u128 << 127).to_string());
    split.send().await.expect("the shard is split");
    let event = loop {
        let event = next(&mut subscription).await.expect("an event");
        if event.child_shards.is_some() {
            break event;
        }
    };
    let children: Vec<_> = event.child_shards().iter().map(|child| child.shard_id()).collect();
    assert_eq!(children, ["shardId-000000000001", "shardId-000000000002"]);
    assert!(next(&mut subscription).await.is_none());
}
