use super::*;

const HOUR: Millis = Millis(3_600_000);

#[tokio::test]
async fn every_kind_of_iterator_begins_where_it_says() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    let mut placed = Vec::new();
    for n in 1..=4 {
        placed.push(server.put(&name, 0, &n.to_string()).await.sequence);
        server.clock.advance(Millis(1000));
    }
    let created = 1_700_000_000_000;
    let cases = [
        (StartingPosition::TrimHorizon, "1234"),
        (StartingPosition::Latest, ""),
        (StartingPosition::At(placed[1]), "234"),
        (StartingPosition::After(placed[1]), "34"),
        (StartingPosition::Timestamp(at(created + 2000)), "34"),
        (StartingPosition::Timestamp(at(created + 1)), "234"),
        (StartingPosition::Timestamp(at(0)), "1234"),
        (StartingPosition::Timestamp(at(created + 9000)), ""),
    ];
    for (position, expected) in cases {
        let batch = server.read(server.iterator(&name, 0, position)).await;
        assert_eq!(texts(&batch.records).concat(), expected, "{position:?}");
        assert_eq!(batch.behind, Millis(0));
    }
    let info = server.streams.info(&name).expect("it exists");
    let start = SequenceNumber::starting(&info.shards[0]);
    let batch = server.read(server.iterator(&name, 0, StartingPosition::At(start))).await;
    assert_eq!(batch.records.len(), 4);
    let foreign = StartingPosition::At(SequenceNumber::new(ShardId(1), 1, 1, at(0)));
    let refused = server.streams.iterator(&name, ShardId(0), foreign);
    assert!(matches!(refused, Err(RecordsError::ForeignSequenceNumber { .. })));
    let missing = server.streams.iterator(&name, ShardId(9), StartingPosition::Latest);
    assert!(matches!(missing, Err(RecordsError::NoSuchShard { .. })));
}

#[tokio::test]
async fn reader_goes_on_from_iterator_to_iterator_and_knows_how_far_it_is_behind() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    for n in 0..5 {
        server.put(&name, 0, &n.to_string()).await;
        server.clock.advance(Millis(100));
    }
    let start = server.iterator(&name, 0, StartingPosition::TrimHorizon);
    let first = server.streams.read(start, 2).await.expect("it is read");
    assert_eq!((texts(&first.records).concat(), first.behind), ("01".into(), Millis(400)));
    let rest = server.read(first.next.expect("more")).await;
    assert_eq!((texts(&rest.records).concat(), rest.behind), ("234".into(), Millis(0)));
    let tail = rest.next.expect("open");
    assert!(server.read(tail).await.records.is_empty());
    server.put(&name, 0, "5").await;
    assert_eq!(texts(&server.read(tail).await.records), ["5"]);
}

#[tokio::test]
async fn reader_at_the_tail_gets_a_record_that_comes_while_it_waits() {
    let options = Options { read_wait: Millis(60_000), ..Options::default() };
    let server = Server::with(options);
    let name = server.create("orders", Some(1));
    let tail = server.iterator(&name, 0, StartingPosition::Latest);
    let (read, placed) = tokio::join!(server.read(tail), server.put(&name, 0, "news"));
    assert_eq!(read.records[0].sequence, placed.sequence);
}

#[tokio::test]
async fn end_of_a_closed_shard_names_its_children() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    server.put(&name, 0, "before").await;
    let start = server.iterator(&name, 0, StartingPosition::TrimHorizon);
    server.split(&name, 0, 1 << 127).await;
    server.merge(&name, 1, 2).await;
    server.put(&name, 0, "after").await;
    let end = server.read(start).await;
    assert_eq!(texts(&end.records), ["before"]);
    assert_eq!(end.next, None);
    let children: Vec<_> = end.children.iter().map(|child| child.id).collect();
    assert_eq!(children, [ShardId(1), ShardId(2)]);
    let between = server.read(server.iterator(&name, 2, StartingPosition::Latest)).await;
    assert_eq!((between.next, between.children.len()), (None, 1));
    assert_eq!(between.children[0].parents, [ShardId(1), ShardId(2)]);
    assert_eq!(server.all(&name, 3).await, ["after"]);
    let info = server.streams.info(&name).expect("it exists");
    let ending = SequenceNumber::ending(&info.shards[0]).expect("it is closed");
    assert!(end.records[0].sequence < ending);
}

#[tokio::test]
async fn iterator_is_refused_when_its_time_or_its_stream_is_over() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    let iterator = server.iterator(&name, 0, StartingPosition::TrimHorizon);
    let delete = name.clone();
    server.blocking(move |streams| streams.delete(&delete, false)).await.expect("deleted");
    server.create("orders", Some(1));
    let stale = server.streams.read(iterator, 1).await;
    assert!(matches!(stale, Err(RecordsError::StaleIterator)), "{stale:?}");

    let iterator = server.iterator(&name, 0, StartingPosition::TrimHorizon);
    server.clock.advance(Millis(300_000));
    server.read(iterator).await;
    server.clock.advance(Millis(1));
    let late = server.streams.read(iterator, 1).await;
    assert!(matches!(late, Err(RecordsError::ExpiredIterator { .. })), "{late:?}");
}

#[tokio::test]
async fn nothing_older_than_the_retention_is_read() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    let first = server.put(&name, 0, "old").await;
    server.clock.advance(Millis(HOUR.0 * 23));
    server.put(&name, 0, "new").await;
    assert_eq!(server.all(&name, 0).await, ["old", "new"]);
    server.clock.advance(Millis(HOUR.0 + 1));
    assert_eq!(server.all(&name, 0).await, ["new"]);
    let position = StartingPosition::At(first.sequence);
    let batch = server.read(server.iterator(&name, 0, position)).await;
    assert_eq!(texts(&batch.records), ["new"], "from the trim horizon on");
    server.blocking(|streams| streams.store.enforce_retention()).await;
    server.streams.increase_retention(&name, 48).expect("longer");
    assert_eq!(server.all(&name, 0).await, ["new"], "what is gone stays so");
}

#[tokio::test]
async fn calls_beyond_five_a_second_are_refused() {
    let server = Server::with(Options { read_wait: Millis(0), ..Options::default() });
    let name = server.create("orders", Some(1));
    let iterator = server.iterator(&name, 0, StartingPosition::TrimHorizon);
    for _ in 0..5 {
        server.read(iterator).await;
    }
    let sixth = server.streams.read(iterator, 1).await;
    assert!(matches!(sixth, Err(RecordsError::RateExceeded { .. })), "{sixth:?}");
    server.clock.advance(Millis(200));
    server.read(iterator).await;
}

#[tokio::test]
async fn records_are_there_after_a_restart_and_numbers_go_on() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    let first = server.put(&name, 0, "1").await;
    server.split(&name, 0, 5).await;
    server.put(&name, 0, "2").await;
    let server = server.restart();
    assert_eq!(server.all(&name, 0).await, ["1"]);
    assert_eq!(server.all(&name, 1).await, ["2"]);
    let next = server.put(&name, 0, "3").await;
    assert_eq!((next.shard, next.sequence.index()), (ShardId(1), 2));
    assert!(next.sequence > first.sequence);
    let at = server.iterator(&name, 0, StartingPosition::At(first.sequence));
    assert_eq!(texts(&server.read(at).await.records), ["1"], "numbers mean the same");
}
