//! Queues over a real store, on a disk in memory that crashes.

mod crash;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::clock::Clock;
use crate::records::{self, PartitionKey, RecordStreams};
use crate::store::disk::MemoryDisk;
use crate::store::{
    CapacityMode, Distribution, LogIds, Options, RecordStreamInfo, ShardInfo, ShardLog, Store,
};
use crate::types::{HashRange, Millis, ShardId};

/// Queues and consumers of a stream.
const READERS: usize = 3;
const DAY: Millis = Millis(24 * 3_600_000);

fn clock() -> Clock {
    Clock::simulated(ServerTimestamp::from_millis(1_700_000_000_000))
}

fn open(disk: &MemoryDisk, clock: &Clock) -> (Arc<Store>, Queues) {
    let options = Options { segment_bytes: 256 << 10, prepared_segments: 1, ..Options::default() };
    let opened = Store::open_on(Arc::new(disk.clone()), options, clock.clone());
    let store = Arc::new(opened.expect("the store opens").0);
    let queues = Queues::open(store.clone(), clock.clone(), READERS).expect("the queues open");
    (store, queues)
}

fn name(text: &str) -> StreamName {
    text.parse().expect("a valid name")
}

fn shard(id: u32, ids: &mut LogIds) -> ShardInfo {
    ShardInfo {
        id: ShardId(id),
        log: ids.take(),
        parents: Vec::new(),
        range: HashRange::ALL,
        epoch: 0,
        created: ServerTimestamp::from_millis(0),
        closed: None,
    }
}

fn create_stream(store: &Store, stream: &str, mode: CapacityMode, shards: u32) {
    let name = name(stream);
    let make = |_: &[Arc<RecordStreamInfo>], ids: &mut LogIds| {
        Ok::<_, QueueError>(RecordStreamInfo {
            id: ids.take(),
            name: name.clone(),
            created: ServerTimestamp::from_millis(0),
            mode,
            retention_hours: 24,
            max_record_kib: 1024,
            warm_mibps: None,
            distribution: Distribution::PartitionKey,
            shard_metrics: Default::default(),
            tags: BTreeMap::new(),
            policy: None,
            consumers: Vec::new(),
            shards: (0..shards).map(|id| shard(id, ids)).collect(),
            next_shard: shards,
            scalings: Vec::new(),
            mode_changes: Vec::new(),
        })
    };
    store.record_catalog().create_stream(&name, make).expect("the stream is created");
}

/// The logs of a stream's shards.
fn shards(store: &Store, stream: &str) -> Vec<Arc<ShardLog>> {
    let info = store.record_catalog().stream(&name(stream)).expect("the stream is there");
    info.shards.iter().map(|shard| store.shard(shard.log).expect("it has a log")).collect()
}

/// Appends records that bear these numbers.
async fn put(log: &Arc<ShardLog>, numbers: std::ops::Range<u64>) {
    let records = numbers.map(record).collect();
    log.append(records).expect("the store takes it").await.expect("it is durable");
}

fn record(number: u64) -> Bytes {
    payload(number.to_le_bytes().to_vec().into())
}

fn payload(data: Bytes) -> Bytes {
    let partition_key = PartitionKey::new("camera-1");
    Payload { partition_key, hash: None, dedupe: None, data }.encode()
}

/// The numbers of what was received.
fn numbers(records: &[QueueRecord]) -> Vec<u64> {
    let number = |record: &QueueRecord| {
        u64::from_le_bytes(record.record.data[..].try_into().expect("eight bytes"))
    };
    let mut numbers: Vec<_> = records.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn handles(records: &[QueueRecord]) -> Vec<String> {
    records.iter().map(|record| record.receipt_handle.clone()).collect()
}

fn new_queue(queue: &str, stream: &str, start: QueueStart) -> NewQueue {
    NewQueue {
        name: queue.to_owned(),
        stream: name(stream),
        start,
        attributes: QueueAttributes { visibility_seconds: 30, max_receives: Some(2) },
        tags: BTreeMap::new(),
    }
}

fn create(queues: &Queues, new: NewQueue) -> String {
    queues.create(new).expect("the queue is created").key.clone()
}

fn at_once(kind: Kind) -> Receive {
    Receive { kind, limit: MAX_ENTRIES, wait: Duration::ZERO, visibility: None }
}

async fn receive(queues: &Queues, key: &str, kind: Kind) -> Vec<QueueRecord> {
    queues.receive(key, at_once(kind)).await.expect("the queue answers")
}

#[tokio::test]
async fn records_are_received_once_and_never_again_when_acknowledged() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 2);
    let logs = shards(&store, "faces");
    put(&logs[0], 0..3).await;
    put(&logs[1], 3..5).await;
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
    let received = receive(&queues, &key, Kind::Live).await;
    assert_eq!(numbers(&received), [0, 1, 2, 3, 4]);
    assert!(received.iter().all(|record| record.receive_count == 1));
    assert_eq!(receive(&queues, &key, Kind::Live).await, []);
    let outcomes = queues.acknowledge(&key, Kind::Live, &handles(&received)).await;
    assert_eq!(outcomes.expect("the queue answers"), vec![Ok(()); 5]);
    clock.advance(Millis(60_000));
    assert_eq!(receive(&queues, &key, Kind::Live).await, []);
    assert_eq!(queues.backlog(&key).expect("the queue is there"), QueueBacklog::default());
    assert_eq!(logs[0].span().next, 4, "the stream has its records still");
}

#[tokio::test]
async fn queue_begins_where_it_was_told_to() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 1);
    let log = &shards(&store, "faces")[0];
    put(log, 0..1).await;
    clock.advance(Millis(1_000));
    let start = QueueStart::At(clock.now());
    put(log, 1..2).await;
    let future = QueueStart::At(clock.now().plus(Millis(1)));
    let refused = queues.create(new_queue("future", "faces", future));
    assert!(matches!(refused, Err(QueueError::StartsInFuture)), "{refused:?}");
    let all = create(&queues, new_queue("all", "faces", QueueStart::TrimHorizon));
    let since = create(&queues, new_queue("since", "faces", start));
    let new = create(&queues, new_queue("new", "faces", QueueStart::Latest));
    put(log, 2..3).await;
    assert_eq!(numbers(&receive(&queues, &all, Kind::Live).await), [0, 1, 2]);
    assert_eq!(numbers(&receive(&queues, &since, Kind::Live).await), [1, 2]);
    let received = receive(&queues, &new, Kind::Live).await;
    assert_eq!(numbers(&received), [2]);
    let other = receive(&queues, &since, Kind::Live).await;
    assert!(other.is_empty());
}

#[tokio::test]
async fn record_has_one_id_in_every_queue_and_another_handle_at_every_receive() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 1);
    put(&shards(&store, "faces")[0], 0..1).await;
    let one = create(&queues, new_queue("one", "faces", QueueStart::TrimHorizon));
    let two = create(&queues, new_queue("two", "faces", QueueStart::TrimHorizon));
    let first = receive(&queues, &one, Kind::Live).await.remove(0);
    let second = receive(&queues, &two, Kind::Live).await.remove(0);
    clock.advance(Millis(30_000));
    let third = receive(&queues, &one, Kind::Live).await.remove(0);
    assert_eq!((&first.record_id, &first.record_id), (&second.record_id, &third.record_id));
    let old = [first.receipt_handle];
    let stranger = queues.acknowledge(&two, Kind::Live, &old).await;
    assert_eq!(stranger.expect("the queue answers"), [Err(EntryError::Malformed)]);
    let stale = queues.acknowledge(&one, Kind::Live, &old).await;
    assert_eq!(stale.expect("the queue answers"), [Err(EntryError::Stale)]);
}

#[tokio::test]
async fn dead_letter_survives_a_restart_and_can_be_restored() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let key = {
        let (store, queues) = open(&disk, &clock);
        create_stream(&store, "faces", CapacityMode::OnDemand, 1);
        put(&shards(&store, "faces")[0], 0..1).await;
        let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
        for _ in 0..2 {
            assert_eq!(receive(&queues, &key, Kind::Live).await.len(), 1);
            clock.advance(Millis(30_000));
        }
        key
    };
    let disk = disk.kill();
    let (_store, queues) = open(&disk, &clock);
    assert_eq!(receive(&queues, &key, Kind::Live).await, []);
    let backlog = queues.backlog(&key).expect("the queue is there");
    assert_eq!((backlog.records, backlog.dead_letters), (0, 1));
    let dead = receive(&queues, &key, Kind::Dead).await;
    let wrong = queues.acknowledge(&key, Kind::Live, &handles(&dead)).await;
    assert_eq!(wrong.expect("the queue answers"), [Err(EntryError::Malformed)]);
    let restored = queues.restore(&key, &handles(&dead)).await;
    assert_eq!(restored.expect("the queue answers"), [Ok(())]);
    let again = receive(&queues, &key, Kind::Live).await;
    assert_eq!((numbers(&again), again[0].receive_count), (vec![0], 1));
}

#[tokio::test]
async fn receive_waits_for_a_record_that_arrives_in_any_shard() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 3);
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::Latest));
    let wait = Receive { wait: MAX_WAIT, ..at_once(Kind::Live) };
    let logs = shards(&store, "faces");
    let (received, ()) = tokio::join!(queues.receive(&key, wait), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        put(&logs[2], 7..8).await;
    });
    assert_eq!(numbers(&received.expect("the queue answers")), [7]);
}

#[tokio::test]
async fn receive_waits_for_a_record_that_another_receiver_gives_up() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 1);
    put(&shards(&store, "faces")[0], 0..1).await;
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
    let first = receive(&queues, &key, Kind::Live).await.remove(0);
    let wait = Receive { wait: MAX_WAIT, ..at_once(Kind::Live) };
    let (received, _) = tokio::join!(queues.receive(&key, wait), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let entries = [(first.receipt_handle, Duration::ZERO)];
        queues.set_visibility(&key, Kind::Live, &entries).await
    });
    assert_eq!(received.expect("the queue answers")[0].receive_count, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn competing_receivers_share_the_records() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 2);
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
    for (log, first) in shards(&store, "faces").iter().zip([0, 500]) {
        put(log, first..first + 500).await;
    }
    let queues = Arc::new(queues);
    let receivers = (0..8).map(|_| {
        let (queues, key) = (queues.clone(), key.clone());
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let received = receive(&queues, &key, Kind::Live).await;
                if received.is_empty() {
                    return mine;
                }
                let outcomes = queues.acknowledge(&key, Kind::Live, &handles(&received)).await;
                assert!(outcomes.expect("the queue answers").iter().all(Result::is_ok));
                mine.extend(numbers(&received));
            }
        })
    });
    let mut all = Vec::new();
    for receiver in receivers.collect::<Vec<_>>() {
        all.extend(receiver.await.expect("the receiver ends"));
    }
    all.sort_unstable();
    assert_eq!(all, (0..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn queue_follows_the_shards_that_its_stream_gets_and_loses() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 1);
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::Latest));
    put(&shards(&store, "faces")[0], 0..1).await;
    let split = |info: &mut RecordStreamInfo, ids: &mut LogIds| {
        info.shards.extend([shard(1, ids), shard(2, ids)]);
        Ok::<_, CatalogError>(())
    };
    store.record_catalog().update_stream(&name("faces"), split).expect("it is split");
    put(&shards(&store, "faces")[2], 1..2).await;
    assert_eq!(numbers(&receive(&queues, &key, Kind::Live).await), [0, 1]);
    let drop_parent = |info: &mut RecordStreamInfo, _: &mut LogIds| {
        info.shards.remove(0);
        Ok::<_, CatalogError>(())
    };
    store.record_catalog().update_stream(&name("faces"), drop_parent).expect("it is dropped");
    clock.advance(Millis(30_000));
    assert_eq!(numbers(&receive(&queues, &key, Kind::Live).await), [1]);
}

#[tokio::test]
async fn what_expires_in_the_stream_drops_out_of_the_queue() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 1);
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
    let log = &shards(&store, "faces")[0];
    put(log, 0..3).await;
    let received = receive(&queues, &key, Kind::Live).await;
    clock.advance(Millis(DAY.0 + 1));
    store.enforce_retention();
    put(log, 3..4).await;
    let stale = queues.acknowledge(&key, Kind::Live, &handles(&received)).await;
    drop(stale);
    assert_eq!(numbers(&receive(&queues, &key, Kind::Live).await), [3]);
    let backlog = queues.backlog(&key).expect("the queue is there");
    assert_eq!((backlog.records, backlog.in_flight, backlog.dead_letters), (1, 1, 0));
    assert_eq!(backlog.oldest, Some(clock.now()));
}

#[tokio::test]
async fn backlog_counts_what_is_not_acknowledged() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 2);
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
    let logs = shards(&store, "faces");
    let first = clock.now();
    put(&logs[0], 0..8).await;
    clock.advance(Millis(500));
    put(&logs[1], 8..20).await;
    let received = receive(&queues, &key, Kind::Live).await;
    let backlog = queues.backlog(&key).expect("the queue is there");
    assert_eq!((backlog.records, backlog.in_flight), (20, 10));
    assert_eq!(backlog.oldest, Some(first));
    assert!(backlog.bytes > 20 * 8);
    let all = queues.acknowledge(&key, Kind::Live, &handles(&received)).await;
    all.expect("the queue answers");
    let backlog = queues.backlog(&key).expect("the queue is there");
    assert_eq!((backlog.records, backlog.in_flight), (10, 0));
}

#[tokio::test]
async fn large_records_come_in_several_answers() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let options = Options { prepared_segments: 1, ..Options::default() };
    let store = Store::open_on(Arc::new(disk), options, clock.clone()).expect("the store opens").0;
    let store = Arc::new(store);
    let queues = Queues::open(store.clone(), clock, READERS).expect("the queues open");
    create_stream(&store, "faces", CapacityMode::OnDemand, 1);
    let log = &shards(&store, "faces")[0];
    for _ in 0..4 {
        let large = vec![payload(vec![1; 6 << 20].into())];
        log.append(large).expect("the store takes it").await.expect("it is durable");
    }
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
    let mut ids = std::collections::BTreeSet::new();
    let mut answers = Vec::new();
    while ids.len() < 4 {
        let received = receive(&queues, &key, Kind::Live).await;
        answers.push(received.len());
        assert!(received.iter().all(|record| record.receive_count == 1));
        ids.extend(received.into_iter().map(|record| record.record_id));
    }
    assert!(answers.iter().all(|&records| records < 3), "{answers:?}");
}

#[tokio::test]
async fn queue_is_refused_where_there_may_be_none() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 1);
    create_stream(&store, "fixed", CapacityMode::Provisioned, 1);
    let new = |queue: &str, stream: &str| new_queue(queue, stream, QueueStart::Latest);
    assert!(matches!(queues.create(new("a", "none")), Err(QueueError::StreamNotFound(_))));
    assert!(matches!(queues.create(new("a", "fixed")), Err(QueueError::NotOnDemand(_))));
    for at in 0..READERS {
        create(&queues, new(&format!("queue-{at}"), "faces"));
    }
    let options = records::Options { max_consumers: READERS, ..records::Options::default() };
    let streams = RecordStreams::new(store.clone(), clock, options);
    let consumer = streams.register_consumer(&name("faces"), "reader", BTreeMap::new());
    assert!(matches!(consumer, Err(records::RecordsError::Limit(_))), "{consumer:?}");
    let provisioned = streams.set_mode(&name("faces"), CapacityMode::Provisioned);
    assert!(matches!(provisioned, Err(records::RecordsError::HasQueues(_))), "{provisioned:?}");
    let deleted = streams.delete(&name("faces"), true);
    assert!(matches!(deleted, Err(records::RecordsError::HasQueues(_))), "{deleted:?}");
    assert!(matches!(queues.create(new("queue-0", "faces")), Err(QueueError::Exists(_))));
    assert!(matches!(queues.create(new("a", "faces")), Err(QueueError::TooManyReaders { .. })));
    let key = queues.list()[0].key.clone();
    queues.delete(&key).expect("it is deleted");
    assert!(matches!(queues.describe(&key), Err(QueueError::NotFound)));
    assert!(matches!(queues.backlog(&key), Err(QueueError::NotFound)));
    create(&queues, new("queue-0", "faces"));
}

#[tokio::test]
async fn changed_attributes_hold_from_the_next_receive_on_and_after_a_restart() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 1);
    put(&shards(&store, "faces")[0], 0..1).await;
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
    receive(&queues, &key, Kind::Live).await;
    let attributes = QueueAttributes { visibility_seconds: 5, max_receives: None };
    queues.update(&key, attributes).expect("it is changed");
    clock.advance(Millis(29_999));
    assert_eq!(receive(&queues, &key, Kind::Live).await, [], "it keeps its old timeout");
    clock.advance(Millis(1));
    assert_eq!(receive(&queues, &key, Kind::Live).await.len(), 1);
    clock.advance(Millis(5_000));
    drop((store, queues));
    let (_store, queues) = open(&disk, &clock);
    let info = queues.describe(&key).expect("the queue is there");
    assert_eq!(QueueAttributes::from(&*info), attributes);
    assert_eq!(receive(&queues, &key, Kind::Live).await[0].receive_count, 3);
}

#[tokio::test]
async fn journal_is_trimmed_and_leads_to_the_same_state() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, queues) = open(&disk, &clock);
    create_stream(&store, "faces", CapacityMode::OnDemand, 1);
    let log = &shards(&store, "faces")[0];
    put(log, 0..100).await;
    let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
    let info = queues.describe(&key).expect("the queue is there");
    let journal = store.shard(info.id).expect("it has a journal");
    let mut received = Vec::new();
    for _ in 0..10 {
        received.extend(receive(&queues, &key, Kind::Live).await);
    }
    // Enough changes for several snapshots.
    for _ in 0..600 {
        for some in received.chunks(10) {
            let entries: Vec<_> =
                handles(some).into_iter().map(|handle| (handle, Duration::from_secs(60))).collect();
            let outcomes = queues.set_visibility(&key, Kind::Live, &entries).await;
            assert!(outcomes.expect("the queue answers").iter().all(Result::is_ok));
        }
    }
    let gone = queues.acknowledge(&key, Kind::Live, &handles(&received[..10])).await;
    assert!(gone.expect("the queue answers").iter().all(Result::is_ok));
    let span = journal.span();
    assert!(span.first > 1_000 && span.next - span.first < 5_000, "{span:?}");
    drop((store, queues, journal));
    let disk = disk.kill();
    let (_store, queues) = open(&disk, &clock);
    let backlog = queues.backlog(&key).expect("the queue is there");
    assert_eq!((backlog.records, backlog.in_flight), (90, 90));
    clock.advance(Millis(60_000));
    let mut again = Vec::new();
    for _ in 0..10 {
        again.extend(numbers(&receive(&queues, &key, Kind::Live).await));
    }
    again.sort_unstable();
    let left: Vec<_> = numbers(&received[10..]);
    assert_eq!(again, left);
}

#[tokio::test]
async fn damaged_record_keeps_no_other_waiting() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let key = {
        let (store, queues) = open(&disk, &clock);
        create_stream(&store, "faces", CapacityMode::OnDemand, 1);
        let log = &shards(&store, "faces")[0];
        for number in [1, 0x1234_5678_9abc_def0, 3] {
            put(log, number..number + 1).await;
        }
        create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon))
    };
    let (file, at) = disk.find(&record(0x1234_5678_9abc_def0)).expect("it is on the disk");
    disk.flip_bit(&file, at + 8);
    let (_store, queues) = open(&disk, &clock);
    let mut come = Vec::new();
    for _ in 0..3 {
        let received = receive(&queues, &key, Kind::Live).await;
        let all = queues.acknowledge(&key, Kind::Live, &handles(&received)).await;
        assert!(all.expect("the queue answers").iter().all(Result::is_ok));
        come.extend(numbers(&received));
    }
    assert_eq!(come, [1, 3]);
    assert_eq!(queues.backlog(&key).expect("the queue is there"), QueueBacklog::default());
}

#[tokio::test]
async fn damaged_journal_brings_records_again_and_loses_none() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (key, settled) = {
        let (store, queues) = open(&disk, &clock);
        create_stream(&store, "faces", CapacityMode::OnDemand, 1);
        let log = &shards(&store, "faces")[0];
        put(log, 0..3).await;
        let key = create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon));
        let received = receive(&queues, &key, Kind::Live).await;
        for handle in handles(&received).chunks(1).take(2) {
            let outcome = queues.acknowledge(&key, Kind::Live, handle).await;
            assert_eq!(outcome.expect("the queue answers"), [Ok(())]);
        }
        (key, event::Event::Settled(place::Place { shard: log.id(), index: 2 }))
    };
    let (file, at) = disk.find(&event::encode_changes(&[settled])).expect("it is on the disk");
    disk.flip_bit(&file, at + 10);
    clock.advance(Millis(30_000));
    let (_store, queues) = open(&disk, &clock);
    assert_eq!(numbers(&receive(&queues, &key, Kind::Live).await), [1, 2]);
}
