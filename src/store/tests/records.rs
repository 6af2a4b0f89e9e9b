//! Records of shards: appended, read, expired, lost and found.

use std::collections::BTreeMap;

use super::*;
use crate::store::disk::Faults;

const HOUR: Millis = Millis(3_600_000);
const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

fn new_shard(store: &Store, retention: ShardRetention) -> Arc<ShardLog> {
    let ids = store.catalog().create_shards(1, retention).expect("the shard is created");
    store.shard(ids[0]).expect("a new shard has a log")
}

fn day(store: &Store) -> Arc<ShardLog> {
    new_shard(store, ShardRetention::Hours(24))
}

fn payloads<T: AsRef<[u8]>>(records: &[T]) -> Vec<Bytes> {
    records.iter().map(|record| Bytes::copy_from_slice(record.as_ref())).collect()
}

fn append<T: AsRef<[u8]>>(shard: &Arc<ShardLog>, records: &[T]) -> Append {
    shard.append(payloads(records)).expect("the store takes records")
}

async fn put<T: AsRef<[u8]>>(shard: &Arc<ShardLog>, records: &[T]) -> Appended {
    append(shard, records).await.expect("they are durable")
}

fn read(shard: &ShardLog, from: u64) -> Vec<(u64, Vec<u8>)> {
    let records = shard.read(from, ALL).expect("readable");
    records.into_iter().map(|record| (record.index, record.payload.to_vec())).collect()
}

fn numbered<T: AsRef<[u8]>>(first: u64, records: &[T]) -> Vec<(u64, Vec<u8>)> {
    (first..).zip(records).map(|(n, record)| (n, record.as_ref().to_vec())).collect()
}

#[tokio::test]
async fn records_are_read_as_they_were_appended_also_after_a_restart() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    assert_eq!(shard.span(), Span { first: 1, next: 1, newest: None, bytes: 0 });
    let first = put(&shard, &["a", "", "c"]).await;
    assert_eq!(first, Appended { first: 1, arrival: clock.now() });
    clock.advance(Millis(5));
    let second = put(&shard, &["d"]).await;
    assert_eq!(second, Appended { first: 4, arrival: clock.now() });
    let all = numbered(1, &["a", "", "c", "d"]);
    assert_eq!(read(&shard, 0), all);
    assert_eq!(read(&shard, 3), all[2..]);
    assert_eq!(read(&shard, 5), []);
    let id = shard.id();
    drop((shard, store));

    let (store, report) = open(&disk, &clock);
    assert_eq!((report.fragments, report.damage.len()), (2, 0));
    let shard = store.shard(id).expect("the shard is known");
    assert_eq!(read(&shard, 1), all);
    assert_eq!(put(&shard, &["e"]).await.first, 5);
    // From the log, and on into memory.
    assert_eq!(read(&shard, 2), numbered(2, &["", "c", "d", "e"]));
}

#[tokio::test]
async fn appends_that_wait_together_get_their_indices_in_the_order_of_the_calls() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let (one, other) = (day(&store), day(&store));
    let mut appends = Vec::new();
    for n in 0..100u32 {
        let records: Vec<_> = (0..1 + n % 5).map(|m| format!("{n} {m}")).collect();
        appends.push((append(&one, &records), records));
        drop(append(&other, &["between"]));
    }
    let mut next = 1;
    for (append, records) in appends {
        assert_eq!(append.await.expect("durable").first, next);
        assert_eq!(read(&one, next)[..records.len()], numbered(next, &records));
        next += records.len() as u64;
    }
    assert_eq!(one.span().next, next);
}

#[tokio::test]
async fn read_ends_at_its_limit_but_finds_one_record_always() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    put(&shard, &["12345", "12345"]).await;
    put(&shard, &["12345", "123"]).await;
    let count = |from, records, bytes| {
        shard.read(from, ReadLimit { records, bytes }).expect("readable").len()
    };
    assert_eq!((count(1, 3, 100), count(1, 100, 15), count(1, 100, 14)), (3, 3, 2));
    assert_eq!((count(1, 100, 0), count(1, 0, 100), count(4, 1, 1)), (1, 1, 1));
}

#[tokio::test]
async fn records_of_any_size_cross_memory_and_log() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let options = Options { record_cache_bytes: 200_000, ..options() };
    let open = || {
        let disk = Arc::new(disk.clone());
        Store::open_on(disk, options.clone(), clock.clone()).expect("the store opens").0
    };
    let store = open();
    let (shard, other) = (day(&store), day(&store));
    let mut random = Random(7);
    let mut sent = Vec::new();
    for n in 0..60 {
        // Some are larger than a segment, or than what the cache takes.
        let most = if n % 10 == 0 { 90_000 } else { 3_000 };
        let records: Vec<_> = (0..1 + random.below(4))
            .map(|_| {
                let len = random.below(most);
                random.bytes(len)
            })
            .collect();
        put(&shard, &records).await;
        put(&other, &records[..1]).await;
        sent.extend(records);
        let from = 1 + random.below(sent.len() as u64);
        assert_eq!(read(&shard, from), numbered(from, &sent[from as usize - 1..]), "{n} {from}");
    }
    let by_one: Vec<_> = shard.read(1, ALL).expect("readable");
    for record in by_one {
        let limit = ReadLimit { records: 1, bytes: 0 };
        disk.set_cached(true);
        let one = shard.read_async(record.index, limit).await.expect("readable");
        assert_eq!(one, [record]);
    }
    let id = shard.id();
    drop((shard, other, store));
    assert_eq!(read(&open().shard(id).expect("known"), 1), numbered(1, &sent));
}

#[tokio::test]
async fn seek_finds_the_first_record_that_arrived_then_or_later() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    let begin = clock.now();
    assert_eq!(shard.seek(begin), 1);
    put(&shard, &["a", "b"]).await;
    clock.advance(Millis(10));
    put(&shard, &["c", "d"]).await;
    let at = |millis| shard.seek(begin.plus(Millis(millis)));
    assert_eq!((at(0), at(1), at(10), at(11)), (1, 3, 3, 5));
    assert_eq!(shard.seek(ServerTimestamp::MIN), 1);
}

#[tokio::test]
async fn backlog_is_what_a_reader_has_not_read() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    assert_eq!(shard.after(0), Backlog::default());
    let first = put(&shard, &["a", "b"]).await;
    clock.advance(Millis(10));
    let second = put(&shard, &["c"]).await;
    let bytes = shard.span().bytes;
    assert_eq!(shard.after(0), Backlog { records: 3, bytes, oldest: Some(first.arrival) });
    assert_eq!(shard.after(1), Backlog { records: 2, bytes, oldest: Some(first.arrival) });
    let rest = shard.after(2);
    assert_eq!((rest.records, rest.oldest), (1, Some(second.arrival)));
    assert!(rest.bytes > 0 && rest.bytes < bytes);
    assert_eq!(shard.after(3), Backlog::default());
    assert_eq!(shard.after(u64::MAX), Backlog::default());
}

#[tokio::test]
async fn arrival_never_runs_backwards() {
    let disk = MemoryDisk::new();
    let (early, late) = (clock(), clock());
    late.advance(Millis(9_000));
    let id = {
        let (store, _) = open(&disk, &late);
        let shard = day(&store);
        assert_eq!(put(&shard, &["a"]).await.arrival, late.now());
        shard.id()
    };
    let (store, _) = open(&disk, &early);
    let shard = store.shard(id).expect("known");
    assert_eq!(put(&shard, &["b"]).await.arrival, late.now());
}

#[tokio::test]
async fn who_waits_at_the_tail_is_woken_by_records_and_by_deletion() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    let wait = |next: u64| {
        let mut durable = shard.durable();
        tokio::spawn(async move { durable.wait_for(|at| *at >= next).await.map(|at| *at) })
    };
    let waiting = [wait(3), wait(3)];
    put(&shard, &["a", "b"]).await;
    for waiting in waiting {
        assert_eq!(waiting.await.expect("no panic").expect("the shard is there"), 3);
    }
    let waiting = wait(4);
    store.catalog().delete_shards(&[shard.id()]).expect("it is deleted");
    assert_eq!(waiting.await.expect("no panic").expect("the shard is there"), u64::MAX);
    assert!(matches!(shard.read(1, ALL), Err(RecordsError::Deleted)));
    assert!(matches!(shard.append(payloads(&["c"])), Err(PersistError::StreamDeleted)));
    assert!(store.shard(shard.id()).is_none());
}

#[tokio::test]
async fn deleted_shard_is_gone_after_a_restart_and_its_id_is_not_given_again() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let (gone, kept) = (day(&store), day(&store));
    put(&gone, &["a"]).await;
    put(&kept, &["b"]).await;
    store.catalog().delete_shards(&[gone.id()]).expect("it is deleted");
    drop(store);
    let (store, report) = open(&disk, &clock);
    assert_eq!(report.fragments, 1);
    assert!(store.shard(gone.id()).is_none());
    assert_eq!(read(&store.shard(kept.id()).expect("known"), 1), numbered(1, &["b"]));
    assert!(day(&store).id() > kept.id());
}

#[tokio::test]
async fn retention_takes_old_runs_from_log_and_memory() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    put(&shard, &["a", "b"]).await;
    clock.advance(HOUR);
    put(&shard, &["c"]).await;
    clock.advance(Millis(23 * HOUR.0 + 1));
    store.enforce_retention();
    assert_eq!((shard.span().first, shard.span().next), (3, 4));
    assert_eq!(read(&shard, 1), numbered(3, &["c"]));
    store.catalog().retain_shards(&[shard.id()], ShardRetention::Hours(8760)).expect("changed");
    clock.advance(Millis(100 * HOUR.0));
    store.enforce_retention();
    assert_eq!(shard.span().first, 3, "what is there is kept longer");
    let id = shard.id();
    drop((shard, store));
    let (store, _) = open(&disk, &clock);
    let shard = store.shard(id).expect("known");
    assert_eq!(shard.retention(), ShardRetention::Hours(8760));
    assert_eq!(read(&shard, 1), numbered(3, &["c"]));
    store.catalog().retain_shards(&[id], ShardRetention::Hours(1)).expect("changed");
    store.enforce_retention();
    assert_eq!(shard.span(), Span { first: 4, next: 4, newest: None, bytes: 0 });
    drop((shard, store));
    let (store, _) = open(&disk, &clock);
    assert_eq!(put(&store.shard(id).expect("known"), &["d"]).await.first, 4, "indices go on");
}

#[tokio::test]
async fn trimmed_records_go_and_no_limit_takes_others() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let quota = 6 * options().segment_bytes;
    let options = Options { quota: Some(quota), ..options() };
    let open = || {
        let disk = Arc::new(disk.clone());
        Store::open_on(disk, options.clone(), clock.clone()).expect("the store opens").0
    };
    let store = open();
    let journal = new_shard(&store, ShardRetention::UntilTrimmed);
    let records = day(&store);
    put(&journal, &["a"]).await;
    put(&journal, &["b", "c"]).await;
    for n in 0..40 {
        put(&records, &[Random(n).bytes(20_000)]).await;
        clock.advance(HOUR);
        store.enforce_retention();
    }
    assert!(records.span().first > 1, "space ran out");
    assert_eq!(read(&journal, 1), numbered(1, &["a", "b", "c"]));
    journal.trim(3);
    assert_eq!(read(&journal, 1), numbered(2, &["b", "c"]), "a run goes as a whole");
    put(&journal, &["d"]).await;
    journal.trim(4);
    assert_eq!(read(&journal, 1), numbered(4, &["d"]));
    journal.trim(100);
    assert_eq!(journal.span().first, 5);
    put(&journal, &["e"]).await;
    let id = journal.id();
    drop((journal, records, store));
    assert_eq!(read(&open().shard(id).expect("known"), 1), numbered(5, &["e"]), "they stay gone");
}

#[tokio::test]
async fn damaged_run_is_told_and_reading_goes_on_behind_it() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    for n in 0..5 {
        put(&shard, &[format!("first of run {n}"), format!("second of run {n}")]).await;
    }
    let id = shard.id();
    drop((shard, store));
    let flip = |run: u32, before: usize| {
        let (file, at) = disk.find(format!("first of run {run}").as_bytes()).expect("there");
        disk.flip_bit(&file, at - before);
    };
    flip(1, 0);
    // In the header: nothing tells of this run.
    flip(3, 70);
    let (store, report) = open(&disk, &clock);
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    let shard = store.shard(id).expect("known");
    let indices = |from| read(&shard, from).into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    let damaged = |from| match shard.read(from, ALL) {
        Err(RecordsError::Damaged { first, last }) => (first, last),
        other => panic!("{other:?}"),
    };
    assert_eq!(indices(1), [1, 2]);
    assert_eq!((damaged(3), damaged(4)), ((3, 4), (4, 4)));
    assert_eq!(indices(5), [5, 6]);
    assert_eq!(damaged(7), (7, 8));
    assert_eq!(indices(9), [9, 10]);
}

#[tokio::test]
async fn failed_sync_refuses_records_until_the_store_is_reopened() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    put(&shard, &["kept"]).await;
    disk.set_faults(Faults { fail_sync_after: Some(0), ..Faults::default() });
    let lost = append(&shard, &["lost"]).await;
    assert!(matches!(lost, Err(PersistError::Poisoned(_))), "{lost:?}");
    assert_eq!(shard.span().next, 2, "nobody sees it");
    assert!(matches!(shard.append(payloads(&["later"])), Err(PersistError::Poisoned(_))));
    assert!(matches!(shard.ready().await, Err(PersistError::Poisoned(_))));
    assert_eq!(read(&shard, 1), numbered(1, &["kept"]));
    let id = shard.id();
    drop((shard, store));
    let disk = disk.crash(|| false);
    let (store, _) = open(&disk, &clock);
    let shard = store.shard(id).expect("known");
    assert_eq!(put(&shard, &["again"]).await.first, 2);
}

#[tokio::test]
async fn closed_store_refuses_records_and_reading_goes_on() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    put(&shard, &["a"]).await;
    let last = append(&shard, &["b"]);
    store.close();
    assert_eq!(last.await.expect("what was handed over is stored").first, 2);
    assert!(append(&shard, &["c"]).await.is_err());
    assert_eq!(read(&shard, 1), numbered(1, &["a", "b"]));
}

#[tokio::test]
async fn too_large_an_append_is_refused_and_an_empty_one_takes_no_index() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    let record = Bytes::from(vec![0; MAX_APPEND_BYTES / 2]);
    let refused = shard.append(vec![record.clone(), record]);
    assert!(matches!(refused, Err(PersistError::NoSpace(_))), "{refused:?}");
    assert_eq!(put(&shard, &[""; 0]).await.first, 1);
    assert_eq!(put(&shard, &["a"]).await.first, 1);
}

#[tokio::test]
async fn full_disk_refuses_records_and_leaves_no_gap_in_the_indices() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let four_segments = 4 * options().segment_bytes;
    disk.set_faults(Faults { capacity: Some(four_segments), ..Faults::default() });
    let (store, _) = open(&disk, &clock);
    let shard = day(&store);
    let mut stored = 0;
    while let Ok(appended) = append(&shard, &[Random(stored).bytes(10_000)]).await {
        stored += 1;
        assert_eq!(appended.first, stored);
    }
    assert_eq!(store.poisoned(), None);
    clock.advance(Millis(25 * HOUR.0));
    store.enforce_retention();
    assert_eq!(put(&shard, &["after"]).await.first, stored + 1);
}

/// What was appended to a shard, by index, and which of it was acknowledged.
#[derive(Default)]
struct Model {
    sent: Vec<Vec<Vec<u8>>>,
    stored: BTreeMap<u64, (Vec<u8>, ServerTimestamp)>,
}

#[tokio::test]
async fn acknowledged_records_survive_crashes_at_any_moment_and_no_others_appear() {
    for seed in 0..150 {
        println!("seed {seed}");
        let (mut random, clock) = (Random(seed), clock());
        let mut disk = MemoryDisk::new();
        let ids = {
            let (store, _) = open(&disk, &clock);
            store.catalog().create_shards(2, ShardRetention::Hours(24)).expect("created")
        };
        let mut models = [Model::default(), Model::default()];
        for _ in 0..4 {
            let (store, report) = open(&disk, &clock);
            assert!(report.damage.is_empty(), "a crash is not damage: {:?}", report.damage);
            for (&id, model) in ids.iter().zip(&mut models) {
                model.check(&store.shard(id).expect("known"));
            }
            if random.below(2) == 0 {
                let after = Some(random.below(30));
                let faults = match random.below(2) {
                    0 => Faults { fail_write_after: after, ..Faults::default() },
                    _ => Faults { fail_sync_after: after, ..Faults::default() },
                };
                disk.set_faults(faults);
            }
            run(&store, &ids, &mut models, &mut random, &clock).await;
            let crashed = match random.below(2) {
                0 => disk.kill(),
                _ => disk.crash(|| random.below(2) == 0),
            };
            drop(store);
            disk = crashed;
        }
    }
}

async fn run(
    store: &Store,
    ids: &[StreamId],
    models: &mut [Model; 2],
    random: &mut Random,
    clock: &Clock,
) {
    for _ in 0..random.below(12) {
        let mut appends = Vec::new();
        for _ in 0..random.below(8) {
            clock.advance(Millis(random.below(3)));
            let which = random.below(2) as usize;
            let records: Vec<_> = (0..1 + random.below(5))
                .map(|_| {
                    let len = random.below(3_000);
                    random.bytes(len)
                })
                .collect();
            let shard = store.shard(ids[which]).expect("known");
            let Ok(append) = shard.append(payloads(&records)) else { return };
            models[which].sent.push(records.clone());
            appends.push((which, append, records));
        }
        if random.below(8) == 0 {
            return;
        }
        for (which, append, records) in appends {
            let Ok(Appended { first, arrival }) = append.await else {
                assert!(store.poisoned().is_some(), "only faults refuse records");
                continue;
            };
            for (index, record) in (first..).zip(records) {
                let known = models[which].stored.insert(index, (record, arrival));
                assert_eq!(known, None, "an index is given once");
            }
        }
    }
}

impl Model {
    /// After an opening. What was not acknowledged may be there, and has to stay from then on; an
    /// append is there as a whole.
    fn check(&mut self, shard: &ShardLog) {
        let read = shard.read(1, ALL).expect("readable");
        let indices: Vec<_> = read.iter().map(|record| record.index).collect();
        assert_eq!(indices, (1..shard.span().next).collect::<Vec<_>>());
        assert!(read.is_sorted_by_key(|record| record.arrival));
        for (index, (payload, arrival)) in &self.stored {
            let there = &read[*index as usize - 1];
            assert_eq!((&there.payload[..], there.arrival), (&payload[..], *arrival));
        }
        let mut left = &read[..];
        for records in &self.sent {
            let is_next = records.len() <= left.len()
                && records.iter().zip(left).all(|(sent, there)| there.payload == *sent);
            if is_next {
                left = &left[records.len()..];
            }
        }
        assert!(left.is_empty(), "what is there was sent, in this order");
        self.stored =
            read.into_iter().map(|r| (r.index, (r.payload.to_vec(), r.arrival))).collect();
    }
}
