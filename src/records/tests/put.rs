use super::*;

const HALF: u128 = 1 << 127;

#[tokio::test]
async fn records_go_where_their_keys_say_and_are_read_in_order() {
    let server = Server::new();
    let name = server.create("orders", Some(2));
    let keys = ["a", "partitionKey-1", "é", "a"];
    let records = keys.iter().zip(0..).map(|(key, n)| record(key, &format!("{key}{n}")));
    let placed = server.streams.put(&name, records.collect()).await.expect("they are stored");
    let shards: Vec<_> = placed.iter().flatten().map(|placed| placed.shard.0).collect();
    assert_eq!(shards, [0, 0, 0, 0], "all of these hash below the half");
    assert_eq!(server.all(&name, 0).await, ["a0", "partitionKey-11", "é2", "a3"]);
    let explicit = server.put(&name, HALF, "upper").await;
    assert_eq!((explicit.shard, explicit.sequence.index()), (ShardId(1), 1));
    assert_eq!(server.all(&name, 1).await, ["upper"]);
    let placed: Vec<_> = placed.into_iter().map(|placed| placed.expect("stored")).collect();
    assert!(placed.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
}

#[tokio::test]
async fn each_record_of_a_batch_is_refused_or_stored_on_its_own() {
    let server = Server::with(Options::default());
    let name = server.create("orders", Some(2));
    let large = "x".repeat(1000 << 10);
    let to = |hash, data: &str| Payload { hash: Some(HashKey(hash)), ..record("k", data) };
    let records = vec![to(0, &large), to(0, &large), to(HALF, "small"), to(0, "b")];
    let placed = server.streams.put(&name, records).await.expect("some are stored");
    let stored: Vec<_> = placed.iter().map(Result::is_ok).collect();
    assert_eq!(stored, [true, false, true, true]);
    assert_eq!(placed[1], Err(Refused::RateExceeded(ShardId(0))));
    let one = server.streams.put_one(&name, to(0, &large), None).await;
    assert!(matches!(one, Err(RecordsError::RateExceeded { shard: ShardId(0), .. })), "{one:?}");
    server.clock.advance(Millis(1000));
    server.streams.put_one(&name, to(0, &large), None).await.expect("a second later");
}

#[tokio::test]
async fn shards_of_an_on_demand_stream_take_what_comes() {
    let server = Server::with(Options::default());
    let name = server.create("orders", None);
    let large = "x".repeat(1000 << 10);
    for _ in 0..3 {
        server.put(&name, 0, &large).await;
    }
}

#[tokio::test]
async fn what_is_too_large_or_has_no_key_is_refused_as_a_whole() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    let limit = 1024 << 10;
    let data = "x".repeat(limit);
    let records = vec![record("", &data), record("k", &data)];
    let refused = server.streams.put(&name, records).await;
    assert!(
        matches!(refused, Err(RecordsError::RecordTooLarge { at: 1, bytes, limit: l })
            if bytes == limit + 1 && l == limit),
        "{refused:?}"
    );
    let many = server.streams.put(&name, vec![record("k", ""); 501]).await;
    assert!(matches!(many, Err(RecordsError::BatchTooLarge { records: 501, .. })));
    let heavy = server.streams.put(&name, vec![record("", &data); 11]).await;
    assert!(matches!(heavy, Err(RecordsError::BatchTooLarge { records: 11, .. })));
    let keyless = Payload { partition_key: None, ..record("", "x") };
    let refused = server.streams.put(&name, vec![keyless.clone()]).await;
    assert!(matches!(refused, Err(RecordsError::NoPartitionKey { at: 0 })));
    assert_eq!(server.all(&name, 0).await, [""; 0]);

    server.streams.set_distribution(&name, Distribution::Auto).expect("it is set");
    server.streams.put(&name, vec![keyless]).await.expect("the stream chooses the shard");
    server.streams.set_max_record(&name, 10_240).expect("it is set");
    let ten_mebibytes = record("", &"x".repeat(10 << 20));
    server.streams.put_one(&name, ten_mebibytes, None).await.expect("the largest there is");
}

#[tokio::test]
async fn order_can_be_asked_for_after_a_number_of_the_stream_only() {
    let server = Server::new();
    let (name, other) = (server.create("orders", Some(1)), server.create("other", Some(1)));
    let first = server.put(&name, 0, "1").await;
    server.split(&name, 0, HALF).await;
    let next = server.streams.put_one(&name, record("a", "2"), Some(first.sequence)).await;
    let next = next.expect("it is stored");
    assert!(next.sequence > first.sequence, "also in the child, in the same second");
    let foreign = SequenceNumber::new(ShardId(7), 1, 1, at(0));
    let refused = server.streams.put_one(&other, record("a", ""), Some(foreign)).await;
    assert!(matches!(refused, Err(RecordsError::ForeignSequenceNumber { .. })), "{refused:?}");
}

#[tokio::test]
async fn nothing_is_put_into_a_stream_that_is_gone() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    server.put(&name, 0, "1").await;
    let deleted = name.clone();
    server.blocking(move |streams| streams.delete(&deleted, false)).await.expect("it is deleted");
    let refused = server.streams.put_one(&name, record("a", ""), None).await;
    assert!(matches!(refused, Err(RecordsError::NoSuchStream(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_put_during_reshards_are_neither_lost_nor_behind_the_end() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    let producers = (0..4).map(|producer| {
        let (streams, name) = (server.streams.clone(), name.clone());
        tokio::spawn(async move {
            let mut placed = Vec::new();
            for n in 0..60u32 {
                let key = format!("{producer}-{n}");
                let put = streams.put_one(&name, record(&key, &key), None).await;
                placed.push(put.expect("it is stored"));
            }
            placed
        })
    });
    let producers: Vec<_> = producers.collect();
    for round in 0..6 {
        let open = server.streams.info(&name).expect("it exists").open_shards().count() as u32;
        let to = if round % 2 == 0 { open * 2 } else { open.div_ceil(2) };
        let scaled = name.clone();
        server.blocking(move |streams| streams.scale(&scaled, to)).await.expect("it is scaled");
    }
    let mut placed = Vec::new();
    for producer in producers {
        placed.extend(producer.await.expect("no panic"));
    }
    let info = server.streams.info(&name).expect("it exists");
    let mut read = 0;
    for shard in &info.shards {
        let start = server.iterator(&name, shard.id.0, StartingPosition::TrimHorizon);
        let batch = server.read(start).await;
        let last = batch.records.last().map_or(0, |record| record.sequence.index());
        if let Some(closed) = shard.closed {
            assert_eq!((closed.end, batch.next), (last + 1, None), "{shard:?}");
        }
        let ours = placed.iter().filter(|placed| placed.shard == shard.id).count();
        assert_eq!(batch.records.len(), ours, "{shard:?}");
        read += ours;
    }
    assert_eq!(read, 240);
}

#[tokio::test]
async fn put_goes_on_when_its_caller_goes_away() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    {
        let put = server.streams.put(&name, vec![record("a", "1")]);
        tokio::pin!(put);
        // Far enough to have begun.
        drop(tokio::time::timeout(std::time::Duration::ZERO, &mut put).await);
    }
    server.split(&name, 0, HALF).await;
    let info = server.streams.info(&name).expect("it exists");
    let end = info.shards[0].closed.expect("it is closed").end;
    assert_eq!(server.all(&name, 0).await.len() as u64, end - 1, "none behind the end");
}
