use super::*;

async fn subscriber(server: &Server, stream: &StreamName) -> ConsumerRef {
    let consumer = ConsumerRef { stream: stream.clone(), name: "audit".into(), created_s: None };
    let name = stream.clone();
    let register = move |streams: &RecordStreams| {
        streams.register_consumer(&name, "audit", Default::default())
    };
    server.blocking(register).await.expect("it is registered");
    consumer
}

fn subscribe(server: &Server, consumer: &ConsumerRef, from: StartingPosition) -> Subscription {
    server.streams.subscribe(consumer, ShardId(0), from).expect("it is subscribed")
}

async fn next(subscription: &mut Subscription) -> Push {
    let push = tokio::time::timeout(std::time::Duration::from_secs(10), subscription.next());
    push.await.expect("in time").expect("not over").expect("no failure")
}

#[tokio::test]
async fn records_are_pushed_as_they_come_and_a_later_subscription_goes_on() {
    let server = Server::new();
    let stream = server.create("orders", Some(1));
    let consumer = subscriber(&server, &stream).await;
    server.put(&stream, 0, "1").await;
    let mut subscription = subscribe(&server, &consumer, StartingPosition::TrimHorizon);
    assert_eq!(texts(&next(&mut subscription).await.records), ["1"]);
    let (push, _) = tokio::join!(next(&mut subscription), server.put(&stream, 0, "2"));
    assert_eq!(texts(&push.records), ["2"]);
    drop(subscription);
    let from = StartingPosition::After(push.continuation.expect("open"));
    server.put(&stream, 0, "3").await;
    let mut again = subscribe(&server, &consumer, from);
    assert_eq!(texts(&next(&mut again).await.records), ["3"]);
}

#[tokio::test]
async fn newer_subscription_takes_over_but_not_at_once() {
    let server = Server::new();
    let stream = server.create("orders", Some(1));
    let consumer = subscriber(&server, &stream).await;
    let mut first = subscribe(&server, &consumer, StartingPosition::Latest);
    let again = || server.streams.subscribe(&consumer, ShardId(0), StartingPosition::Latest);
    assert!(matches!(again(), Err(RecordsError::SubscribedLately { .. })));
    server.clock.advance(Millis(5000));
    let mut second = again().expect("five seconds later");
    assert!(matches!(first.next().await, Some(Err(SubscriptionEnd::TakenOver))));
    assert!(first.next().await.is_none());
    drop(first);
    assert!(matches!(again(), Err(RecordsError::SubscribedLately { .. })), "the second lives");
    server.put(&stream, 0, "news").await;
    assert_eq!(texts(&next(&mut second).await.records), ["news"]);
}

#[tokio::test]
async fn subscription_gives_the_children_at_the_end_of_its_shard() {
    let server = Server::new();
    let stream = server.create("orders", Some(1));
    let consumer = subscriber(&server, &stream).await;
    let mut subscription = subscribe(&server, &consumer, StartingPosition::TrimHorizon);
    server.put(&stream, 0, "last").await;
    assert_eq!(texts(&next(&mut subscription).await.records), ["last"]);
    let (end, ()) = tokio::join!(next(&mut subscription), server.split(&stream, 0, 5));
    assert_eq!((end.continuation, end.children.len()), (None, 2));
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn subscription_ends_with_its_time_its_consumer_and_its_stream() {
    let server = Server::new();
    let stream = server.create("orders", Some(1));
    let consumer = subscriber(&server, &stream).await;
    let mut subscription = subscribe(&server, &consumer, StartingPosition::Latest);
    server.clock.advance(Millis(300_000));
    assert!(subscription.next().await.is_none());
    drop(subscription);

    let mut subscription = subscribe(&server, &consumer, StartingPosition::Latest);
    let gone = consumer.clone();
    let deregister = server.blocking(move |streams| streams.deregister_consumer(&gone));
    let (end, _) = tokio::join!(subscription.next(), deregister);
    assert!(matches!(end, Some(Err(SubscriptionEnd::Gone))));
    let refused = server.streams.subscribe(&consumer, ShardId(0), StartingPosition::Latest);
    assert!(matches!(refused, Err(RecordsError::NoSuchConsumer { .. })));
}

#[tokio::test]
async fn idle_subscription_shows_that_it_lives() {
    let options = Options { keepalive: Millis(20), ..Options::default() };
    let server = Server::with_clock(options, Clock::system());
    let stream = server.create("orders", Some(1));
    let consumer = subscriber(&server, &stream).await;
    let placed = server.put(&stream, 0, "1").await;
    let mut subscription = subscribe(&server, &consumer, StartingPosition::Latest);
    let push = next(&mut subscription).await;
    assert!(push.records.is_empty());
    assert_eq!(push.continuation.map(|number| number.index()), Some(placed.sequence.index()));
    assert_eq!(push.behind, Millis(0));
}
