//! What survives when the power is cut at any moment.

use std::collections::BTreeMap;

use super::index::{move_index, open_still};
use super::*;
use crate::store::disk::Faults;
use crate::types::FragmentNumber;

const STREAMS: [&str; 3] = ["front", "back", "yard"];

/// What was handed to the store, and what the store promised.
#[derive(Default)]
struct Model {
    /// All that was ever handed over, by stream and number: the bytes.
    sent: BTreeMap<(usize, FragmentNumber), Vec<u8>>,
    /// What must be there.
    promised: BTreeMap<(usize, FragmentNumber), FragmentInfo>,
}

#[tokio::test]
async fn acknowledged_fragments_survive_crashes_and_nothing_else_appears() {
    for seed in 0..300 {
        // Printed only when the test fails.
        println!("seed {seed}");
        let mut random = Random(seed);
        let (mut disk, clock) = (MemoryDisk::new(), clock());
        let mut model = Model::default();
        let mut stale = None;
        for _ in 0..1 + random.below(4) {
            let (store, report) = open_still(&disk, &clock);
            check(&store, &report, &mut model).await;
            work(&store, &disk, &clock, &mut random, &mut model).await;
            disk = match random.below(3) {
                0 => disk.kill(),
                _ => disk.crash(|| random.below(2) == 0),
            };
            drop(store);
            // The index may be lost, or come back from an earlier day.
            match random.below(8) {
                0 => disk.put_index(None),
                1 => disk.put_index(stale.clone()),
                2 => stale = disk.take_index(),
                _ => {}
            }
        }
        let (store, report) = open_still(&disk, &clock);
        check(&store, &report, &mut model).await;
    }
}

/// Sends fragments, some at the same time, until the end or a fault.
async fn work(
    store: &Store,
    disk: &MemoryDisk,
    clock: &Clock,
    random: &mut Random,
    model: &mut Model,
) {
    let streams = STREAMS.map(|name| stream(store, name));
    match random.below(3) {
        0 => disk
            .set_faults(Faults { fail_write_after: Some(random.below(30)), ..Faults::default() }),
        1 => {
            disk.set_faults(Faults { fail_sync_after: Some(random.below(30)), ..Faults::default() })
        }
        _ => {}
    }
    for _ in 0..random.below(12) {
        clock.advance(Millis(random.below(1_500)));
        if random.below(3) == 0 {
            move_index(store);
        }
        let mut outcomes = Vec::new();
        for _ in 0..1 + random.below(5) {
            let which = random.below(3) as usize;
            // Now and then one that is larger than a segment.
            let len = if random.below(30) == 0 { 70_000 } else { random.below(9_000) };
            let cluster = random.bytes(len);
            let writer = write(&streams[which], clock.now().as_millis(), &cluster);
            if random.below(10) == 0 {
                continue;
            }
            model.sent.insert((which, writer.number()), chunk(&cluster));
            outcomes.push((which, writer.finish(Millis(1_000))));
        }
        if random.below(8) == 0 {
            return;
        }
        for (which, outcome) in outcomes {
            match outcome.await {
                Ok(info) => drop(model.promised.insert((which, info.number), info)),
                Err(_) => assert!(store.poisoned().is_some(), "only faults refuse a fragment"),
            }
        }
    }
}

async fn check(store: &Store, report: &OpenReport, model: &mut Model) {
    assert!(report.damage.is_empty(), "a crash is not damage: {:?}", report.damage);
    for (which, name) in STREAMS.iter().enumerate() {
        let stream = stream(store, name);
        for (&(_, number), info) in model.promised.iter().filter(|((at, _), _)| *at == which) {
            assert_eq!(stream.get(number), Some(*info), "an acknowledged fragment is there");
            let (from, to) = (info.producer, info.producer);
            let found = stream.list(Order::Producer { from, to }, None, usize::MAX);
            assert!(found.contains(info), "it is found by producer time");
            let (from, to) = (info.server(), info.server());
            let found = stream.list(Order::Server { from, to }, None, usize::MAX);
            assert!(found.contains(info), "it is found by server time");
        }
        for info in all_by_server(&stream) {
            let read = stream.read(info.number).await.expect("what is listed is readable");
            let sent = model.sent.get(&(which, info.number)).expect("what is listed was sent");
            assert_eq!(read.bytes, *sent);
            // It survived, so from now on it has to stay.
            model.promised.insert((which, info.number), info);
        }
        for (wanted, info) in (0..).zip(stream.newest(usize::MAX)) {
            assert_eq!(info.sequence, Some(wanted), "sequences have no gaps");
        }
        let newest = stream.bounds().map_or(0, |(_, newest)| newest.number.counter());
        assert!(write(&stream, 0, b"").number().counter() > newest, "numbers grow");
    }
}

#[tokio::test]
async fn store_shows_the_same_after_it_was_closed_and_opened() {
    for seed in 0..20 {
        println!("seed {seed}");
        let (disk, clock, mut random) = (MemoryDisk::new(), clock(), Random(seed));
        let (store, _) = open(&disk, &clock);
        let front = stream(&store, "front");
        let late = write(&front, 5, b"began first, ends last");
        for n in 0..40 {
            clock.advance(Millis(random.below(2_000)));
            let jump = if random.below(5) == 0 { 700 } else { 0 };
            let cluster = random.bytes(2_000);
            persist(&front, n * 1_000 + jump, &cluster).await.expect("persisted");
        }
        let late = late.finish(Millis(10)).await.expect("persisted");
        assert_eq!(late.sequence, None, "a larger number was persisted before");
        let before = view(&front);
        assert!(before[2].last().expect("there are fragments").breaks > 0);
        drop((front, store));
        let (store, report) = open(&disk, &clock);
        assert_eq!(view(&stream(&store, "front")), before);
        assert_eq!((report.fragments, report.torn_tail_bytes), (41, 0));
        // The playlist's counts go on as if nothing had happened.
        let last = before[2].last().copied().expect("there are fragments");
        let next = persist(&stream(&store, "front"), 41_000, b"x").await.expect("persisted");
        assert_eq!(next.sequence, last.sequence.map(|sequence| sequence + 1));
        assert!(next.breaks >= last.breaks);
    }
}

#[tokio::test]
async fn numbers_never_come_again_after_everything_expired_and_the_store_reopened() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    assert_eq!(persist(&front, 0, b"first").await.expect("persisted").number.counter(), 1);
    let mut last = 0;
    for n in 0..1_100 {
        last = persist(&front, n, &n.to_le_bytes()).await.expect("persisted").number.counter();
    }
    clock.advance(Millis(25 * 3_600_000));
    store.enforce_retention();
    assert_eq!(front.bounds(), None);
    drop((front, store));
    for n in 0..3 {
        let (store, _) = open(&disk, &clock);
        let front = stream(&store, "front");
        let info = persist(&front, n, b"again").await.expect("persisted");
        assert_eq!(info.number.counter(), (last / 1_000 + 1) * 1_000 + 1);
        last = info.number.counter();
    }
}

#[tokio::test]
async fn server_time_of_a_stream_never_runs_backwards() {
    let disk = MemoryDisk::new();
    let early = Clock::simulated(ServerTimestamp::from_millis(1_000));
    let late = Clock::simulated(ServerTimestamp::from_millis(9_000));
    for clock in [&late, &early] {
        let (store, _) = open(&disk, clock);
        let info = persist(&stream(&store, "front"), 0, b"x").await;
        let info = info.expect("persisted");
        assert_eq!(info.server().as_millis(), 9_000);
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_reported_and_the_rest_is_there() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    for n in 0..10 {
        persist(&front, n * 1_000, format!("cluster {n}").as_bytes()).await.expect("persisted");
    }
    drop((front, store));
    let (file, place) = disk.find(&chunk(b"cluster 4")).expect("it is on the disk");
    // In the header in front of the body.
    disk.flip_bit(&file, place - 60);
    let (file, place) = disk.find(&chunk(b"cluster 7")).expect("it is on the disk");
    // In the body.
    disk.flip_bit(&file, place + 20);
    // With an index, nobody would look at the headers.
    disk.put_index(None);

    let (store, report) = open(&disk, &clock);
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    let front = stream(&store, "front");
    let left = all_by_producer(&front);
    assert_eq!(left.len(), 9);
    for info in left {
        let read = front.read(info.number).await;
        if info.producer == at(7_000) {
            assert!(matches!(read, Err(ReadError::Damaged(_))), "{read:?}");
        } else {
            read.expect("the others are whole");
        }
    }
}

#[tokio::test]
async fn damaged_segment_header_is_reported_and_its_fragments_are_there() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    for n in 0..3 {
        persist(&front, n * 1_000, b"cluster").await.expect("persisted");
    }
    drop((front, store));
    let (file, _) = disk.find(b"KINSEG").expect("there is a segment");
    disk.flip_bit(&file, 9);
    let (store, report) = open(&disk, &clock);
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    assert_eq!(all_by_producer(&stream(&store, "front")).len(), 3);
}

/// What a kill leaves of a segment's first batch has no later entry that would prove it.
#[tokio::test]
async fn damaged_header_of_a_segment_with_a_single_batch_loses_nothing() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let kept = persist(&stream(&store, "front"), 0, b"cluster").await.expect("persisted");
    let disk = disk.kill();
    drop(store);
    let (file, _) = disk.find(b"KINSEG").expect("there is a segment");
    disk.flip_bit(&file, 9);
    let (store, report) = open(&disk, &clock);
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    assert_eq!(all_by_producer(&stream(&store, "front")), [kept]);
}

#[test]
fn store_that_another_process_has_open_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("not/there/yet");
    let options = || Options { segment_bytes: 1 << 20, ..Options::default() };
    let (store, _) = Store::open(&path, options(), clock()).expect("the store opens");
    let second = Store::open(&path, options(), clock());
    assert!(matches!(second, Err(OpenError::Locked)));
    drop(store);
    Store::open(&path, options(), clock()).expect("the lock was given back");
}

#[tokio::test]
async fn real_files_hold_what_was_stored() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = || Options { segment_bytes: 1 << 20, ..Options::default() };
    let clusters: Vec<_> = (0..20).map(|n| vec![n; 200_000]).collect();
    let (store, _) = Store::open(dir.path(), options(), clock()).expect("the store opens");
    let front = stream(&store, "front");
    for (n, cluster) in (0..).zip(&clusters) {
        persist(&front, n * 1_000, cluster).await.expect("persisted");
    }
    let before = view(&front);
    drop((front, store));
    let (store, report) = Store::open(dir.path(), options(), clock()).expect("the store opens");
    assert_eq!((report.fragments, report.damage.len()), (20, 0));
    let front = stream(&store, "front");
    assert_eq!(view(&front), before);
    for (info, cluster) in all_by_producer(&front).iter().zip(&clusters) {
        let read = front.read(info.number).await.expect("readable");
        assert_eq!(read.bytes, chunk(cluster));
    }
}
