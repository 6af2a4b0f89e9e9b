//! What happens when space runs out, and how segments that are mostly dead are freed.

use std::collections::BTreeMap;

use super::pins::{HOUR, change, pin};
use super::*;
use crate::store::disk::Faults;
use crate::types::FragmentNumber;

const SEGMENT: u64 = 64 << 10;

fn open_within(disk: &MemoryDisk, clock: &Clock, quota: Option<u64>, floor: u64) -> Store {
    let options = Options { quota, floor, ..options() };
    Store::open_on(Arc::new(disk.clone()), options, clock.clone()).expect("the store opens").0
}

async fn fill(
    stream: &Arc<MediaStream>,
    clock: &Clock,
    n: i64,
) -> Result<FragmentInfo, PersistError> {
    clock.advance(Millis(1_000));
    persist(stream, n * 1_000, &Random(n as u64).bytes(8_000)).await
}

#[tokio::test]
async fn oldest_of_all_streams_go_when_the_quota_is_reached() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let store = open_within(&disk, &clock, Some(8 * SEGMENT), 0);
    let streams = [stream(&store, "front"), stream(&store, "back")];
    change(&store, "back", |info| info.pins = vec![pin(1_000, 1_000)]);
    for n in 0..400 {
        fill(&streams[n as usize % 2], &clock, n).await.expect("persisted");
        store.enforce_retention();
        store.empty_segments();
        assert!(disk.used() <= 9 * SEGMENT, "{} at {n}", disk.used());
    }
    let oldest = streams.each_ref().map(|stream| all_by_producer(stream)[1].producer.as_millis());
    assert!(oldest[0].abs_diff(oldest[1]) <= 20_000, "{oldest:?}");
    assert!(oldest[0] > 300_000, "{oldest:?}");
    assert_eq!(all_by_producer(&streams[1])[0].producer, at(1_000), "the pinned one is there");
    let space = store.space();
    assert!(space.evicted > 300 && space.expired == 0 && space.refused == 0, "{space:?}");
}

#[tokio::test]
async fn producers_are_refused_while_nothing_may_go() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let store = open_within(&disk, &clock, Some(6 * SEGMENT), 0);
    let front = stream(&store, "front");
    change(&store, "front", |info| info.pins = vec![pin(i64::MIN, i64::MAX)]);
    let mut stored = 0;
    let refused = loop {
        match fill(&front, &clock, stored).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        store.enforce_retention();
    };
    assert!(matches!(refused, PersistError::NoSpace(_)), "{refused}");
    assert!(store.poisoned().is_none() && store.space().refused == 1);
    assert_eq!(all_by_producer(&front).len() as i64, stored);
    assert!(stored > 20 && disk.used() <= 6 * SEGMENT, "{stored} {}", disk.used());
    change(&store, "front", |info| info.pins.clear());
    store.enforce_retention();
    fill(&front, &clock, stored).await.expect("there is space again");
}

#[tokio::test]
async fn floor_of_free_space_is_kept() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let capacity = 20 * SEGMENT;
    disk.set_faults(Faults { capacity: Some(capacity), ..Faults::default() });
    let store = open_within(&disk, &clock, None, 10 * SEGMENT);
    let front = stream(&store, "front");
    for n in 0..200 {
        fill(&front, &clock, n).await.expect("persisted");
        store.enforce_retention();
        assert!(capacity - disk.used() >= 10 * SEGMENT, "{} at {n}", disk.used());
    }
    // Somebody else takes space: ours is given back.
    disk.set_faults(Faults { capacity: Some(capacity - 3 * SEGMENT), ..Faults::default() });
    store.enforce_retention();
    assert!(capacity - disk.used() >= 13 * SEGMENT, "{}", disk.used());
    fill(&front, &clock, 200).await.expect("there is space in what is left");
}

#[tokio::test]
async fn stream_of_long_retention_does_not_keep_the_segments_of_others() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let store = open_within(&disk, &clock, None, 0);
    let (long, short) = (stream(&store, "long"), stream(&store, "short"));
    change(&store, "long", |info| info.retention_hours = 10_000);
    change(&store, "short", |info| info.retention_hours = 1);
    let mut kept = BTreeMap::new();
    for n in 0..600 {
        clock.advance(Millis(HOUR.0 / 60));
        let (stream, len) = if n % 10 == 0 { (&long, 1_000) } else { (&short, 8_000) };
        let cluster = Random(n as u64).bytes(len);
        let info = persist(stream, n * 1_000, &cluster).await.expect("persisted");
        if n % 10 == 0 {
            kept.insert(info.number, (info, cluster));
        }
        store.enforce_retention();
        store.empty_segments();
    }
    // Of the short one an hour is left, which is 54 of 8 KB; of the long one all 60.
    let live = 54 * 8_192 + 60 * 1_200;
    assert!(store.used_bytes() <= live * 4, "{} for {live}", store.used_bytes());
    let copied = store.space().copied_bytes;
    assert!(copied > 0 && copied <= 600 * 8_000 / 3, "{copied}");
    let disk = disk.kill();
    drop(store);
    let (store, report) = open(&disk, &clock);
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    let long = stream(&store, "long");
    let infos: Vec<_> = kept.values().map(|(info, _)| *info).collect();
    assert_eq!(view(&long), [infos.clone(), infos.clone(), infos]);
    for (number, (_, cluster)) in kept {
        assert_eq!(long.read(number).await.expect("readable").bytes, chunk(&cluster));
    }
}

/// A reader holds a fragment of several pieces while its segment is emptied and used again.
#[tokio::test]
async fn reader_goes_on_where_a_fragment_was_copied_to() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let options = Options { segment_bytes: 16 << 20, ..options() };
    let (store, _) =
        Store::open_on(Arc::new(disk.clone()), options, clock.clone()).expect("the store opens");
    let (long, short) = (stream(&store, "long"), stream(&store, "short"));
    change(&store, "long", |info| info.retention_hours = 1_000);
    let cluster = Random(1).bytes(3 << 20);
    let info = persist(&long, 0, &cluster).await.expect("persisted");
    let fill = async |from: i64| {
        for n in from..from + 6 {
            persist(&short, n, &Random(n as u64).bytes(4 << 20)).await.expect("persisted");
        }
    };
    fill(0).await;
    let mut reader = long.cursor(Start::Earliest).next().await.expect("a fragment");
    let mut bytes = reader.head().to_vec();
    bytes.extend(reader.next_piece().await.expect("readable").expect("a piece"));
    clock.advance(Millis(30 * HOUR.0));
    store.enforce_retention();
    store.empty_segments();
    assert!(store.space().copied_bytes > 3 << 20);
    // What was in the way is overwritten.
    fill(10).await;
    fill(20).await;
    while let Some(piece) = reader.next_piece().await.expect("readable") {
        bytes.extend(piece);
    }
    assert_eq!(bytes, chunk(&cluster));
    assert_eq!(reader.info(), Some(info));
    // Sent again, it is still the same fragment.
    assert_eq!(persist(&long, 0, &cluster).await.expect("persisted"), info);
}

/// Everything at once, with power cuts: what is promised is there, and once.
#[tokio::test]
async fn crashes_while_segments_are_emptied_neither_lose_nor_double() {
    for seed in 0..60 {
        // Printed only when the test fails.
        println!("seed {seed}");
        let (mut disk, clock, mut random) = (MemoryDisk::new(), clock(), Random(seed));
        let mut kept: BTreeMap<FragmentNumber, (FragmentInfo, Vec<u8>)> = BTreeMap::new();
        for life in 0..4 {
            let store = open_within(&disk, &clock, None, 0);
            let (long, short) = (stream(&store, "long"), stream(&store, "short"));
            change(&store, "long", |info| info.retention_hours = 10_000);
            change(&store, "short", |info| info.retention_hours = 1);
            check_kept(&long, &kept).await;
            let fault = random.below(60);
            match random.below(3) {
                0 => disk.set_faults(Faults { fail_write_after: Some(fault), ..Faults::default() }),
                1 => disk.set_faults(Faults { fail_sync_after: Some(fault), ..Faults::default() }),
                _ => {}
            }
            for n in 0..random.below(80) as i64 {
                clock.advance(Millis(HOUR.0 / 30));
                let which = random.below(8) == 0;
                let (stream, len) = if which { (&long, 900) } else { (&short, 9_000) };
                let cluster = random.bytes(len);
                let outcome = persist(stream, life * 1_000_000 + n * 1_000, &cluster).await;
                if let (true, Ok(info)) = (which, &outcome) {
                    kept.insert(info.number, (*info, cluster));
                }
                if random.below(3) == 0 {
                    store.enforce_retention();
                    store.empty_segments();
                }
            }
            disk = if random.below(2) == 0 {
                disk.kill()
            } else {
                disk.crash(|| random.below(2) == 0)
            };
        }
        let (store, report) = open(&disk, &clock);
        // Half a header of a segment that was about to be free can not be told from damage.
        let damage = report.damage.iter().find(|what| !what.ends_with("its header is damaged"));
        assert_eq!(damage, None);
        check_kept(&stream(&store, "long"), &kept).await;
    }
}

async fn check_kept(
    stream: &MediaStream,
    kept: &BTreeMap<FragmentNumber, (FragmentInfo, Vec<u8>)>,
) {
    for (number, (info, cluster)) in kept {
        assert_eq!(stream.get(*number), Some(*info));
        assert_eq!(stream.read(*number).await.expect("readable").bytes, chunk(cluster));
    }
    let listed = all_by_server(stream);
    assert!(listed.is_sorted_by(|a, b| a.number < b.number), "each is there once");
    assert_eq!(all_by_producer(stream).len(), listed.len());
}
