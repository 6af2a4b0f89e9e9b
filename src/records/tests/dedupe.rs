use super::*;
use crate::records::dedupe::DedupeKey;

fn named(name: &str, data: &str) -> Payload {
    Payload {
        dedupe: Some(DedupeKey::new(name.as_bytes())),
        hash: Some(HashKey(0)),
        ..record("k", data)
    }
}

async fn put(server: &Server, stream: &StreamName, name: &str) -> Placed {
    server.streams.put_one(stream, named(name, name), None).await.expect("it is stored")
}

#[tokio::test]
async fn record_of_the_same_name_is_stored_once() {
    let server = Server::new();
    let stream = server.create("orders", Some(1));
    let first = put(&server, &stream, "a").await;
    assert_eq!(put(&server, &stream, "a").await, first);
    let batch = vec![named("b", "b"), named("a", "a"), named("b", "b"), record("k", "c")];
    let placed = server.streams.put(&stream, batch).await.expect("they are stored");
    assert_eq!(placed[1].as_ref().expect("stored"), &first);
    assert_eq!(placed[0], placed[2]);
    assert_eq!(server.all(&stream, 0).await, ["a", "b", "c"]);
    server.clock.advance(Millis(300_000));
    assert_ne!(put(&server, &stream, "a").await, first, "the window is over");
}

#[tokio::test]
async fn retry_that_overtakes_the_first_is_told_of_the_same_record() {
    let server = Server::new();
    let stream = server.create("orders", Some(1));
    let puts = (0..8).map(|_| put(&server, &stream, "a"));
    let placed = futures_util::future::join_all(puts).await;
    assert!(placed.iter().all(|other| *other == placed[0]), "{placed:?}");
    assert_eq!(server.all(&stream, 0).await, ["a"]);
}

#[tokio::test]
async fn names_are_known_after_a_restart_and_in_the_shards_that_go_on() {
    let server = Server::new();
    let stream = server.create("orders", Some(1));
    let first = put(&server, &stream, "a").await;
    let server = server.restart();
    assert_eq!(put(&server, &stream, "a").await, first);
    server.split(&stream, 0, 1 << 100).await;
    server.split(&stream, 1, 1 << 90).await;
    assert_eq!(put(&server, &stream, "a").await, first, "by way of two reshards");
    let second = put(&server, &stream, "b").await;
    assert_eq!(second.shard, ShardId(3));
    let server = server.restart();
    assert_eq!(put(&server, &stream, "a").await, first);
    assert_eq!(put(&server, &stream, "b").await, second);
}
