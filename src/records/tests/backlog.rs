use super::*;

#[tokio::test]
async fn backlog_is_what_a_consumer_was_not_given_yet() {
    let server = Server::new();
    let stream = server.create("orders", Some(2));
    server.put(&stream, 0, "before").await;
    server.clock.advance(Millis(1000));
    let name = stream.clone();
    let register = move |streams: &RecordStreams| {
        streams.register_consumer(&name, "audit", Default::default())
    };
    server.blocking(register).await.expect("it is registered");
    let registered = server.clock.now();
    for n in 0..3 {
        server.put(&stream, 0, &n.to_string()).await;
        server.clock.advance(Millis(1000));
    }
    let backlog = server.streams.backlog(&stream).expect("it is told");
    let kept: Vec<_> = backlog.shards.iter().map(|shard| shard.records).collect();
    assert_eq!(kept, [4, 0]);
    assert_eq!(backlog.shards[0].oldest, Some(at(1_700_000_000_000)));
    let total = backlog.consumers[0].total();
    assert_eq!((total.records, total.oldest), (3, Some(registered)));
    assert!(total.bytes > 0);

    let consumer = ConsumerRef { stream: stream.clone(), name: "audit".into(), created_s: None };
    let from = StartingPosition::TrimHorizon;
    let mut subscription =
        server.streams.subscribe(&consumer, ShardId(0), from).expect("subscribed");
    let behind = || {
        let backlog = server.streams.backlog(&stream).expect("it is told");
        backlog.consumers[0].total().records
    };
    assert_eq!(behind(), 4, "it wants all of them");
    subscription.next().await.expect("records").expect("no failure");
    assert_eq!(behind(), 0);
    server.put(&stream, 0, "later").await;
    assert_eq!(behind(), 1);

    drop(subscription);
    server.blocking(|streams| streams.tidy()).await.expect("it is stored");
    let server = server.restart();
    let backlog = server.streams.backlog(&stream).expect("it is told");
    assert_eq!(backlog.consumers[0].total().records, 1, "also after a restart");
    let gone = consumer.clone();
    server.blocking(move |streams| streams.deregister_consumer(&gone)).await.expect("gone");
    server.blocking(|streams| streams.tidy()).await.expect("it is stored");
    assert!(server.streams.store.record_catalog().positions().expect("readable").is_empty());
}
