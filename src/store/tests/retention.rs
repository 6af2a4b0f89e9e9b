//! Expiry, and the re-use of its space.

use super::*;

const DAY: Millis = Millis(24 * 3_600_000);

fn set_retention(store: &Store, hours: u32) {
    let arn = new_stream("front", 24).arn;
    let change = |info: &mut StreamInfo| {
        info.retention_hours = hours;
        Ok::<_, CatalogError>(())
    };
    store.catalog().update(&arn, None, true, change).expect("it is changed");
}

#[tokio::test]
async fn expired_fragments_stay_gone_when_retention_grows_and_the_store_reopens() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    persist(&front, 0, b"old").await.expect("persisted");
    clock.advance(Millis(2 * 3_600_000));
    let young = persist(&front, 1_000, b"young").await.expect("persisted");
    set_retention(&store, 1);
    store.enforce_retention();
    assert_eq!(all_by_producer(&front), [young]);
    set_retention(&store, 48);
    store.enforce_retention();
    drop((front, store));
    let (store, _) = open(&disk, &clock);
    assert_eq!(all_by_producer(&stream(&store, "front")), [young]);
}

#[tokio::test]
async fn segments_without_live_fragments_are_used_again() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (mut store, _) = open(&disk, &clock);
    let mut kept = Vec::new();
    // A hundred times what is kept passes through, with a restart now and then.
    for n in 0..400i64 {
        if n % 90 == 89 {
            drop(store);
            store = open(&disk, &clock).0;
        }
        let front = stream(&store, "front");
        let info = persist(&front, n * 1_000, &Random(n as u64).bytes(8_000)).await;
        kept.push((n, info.expect("persisted")));
        clock.advance(Millis(DAY.0 / 8));
        store.enforce_retention();
        kept.retain(|(_, info)| clock.now().since(info.server()) <= DAY);
        let wanted: Vec<_> = kept.iter().map(|(_, info)| *info).collect();
        assert_eq!(all_by_server(&front), wanted);
    }
    assert!(store.used_bytes() <= 4 * options().segment_bytes);
    assert!(disk.used() <= 14 * options().segment_bytes, "{}", disk.used());
    drop(store);
    let (store, report) = open(&disk, &clock);
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    let front = stream(&store, "front");
    assert_eq!(front.bounds().map(|(oldest, _)| oldest), kept.first().map(|(_, info)| *info));
    for (n, info) in kept {
        let read = front.read(info.number).await.expect("readable");
        assert_eq!(read.bytes, chunk(&Random(n as u64).bytes(8_000)));
    }
}

#[tokio::test]
async fn stream_without_retention_keeps_five_minutes_for_its_readers() {
    let clock = clock();
    let (store, _) = open(&MemoryDisk::new(), &clock);
    let front = stream(&store, "front");
    set_retention(&store, 0);
    let info = persist(&front, 0, b"x").await.expect("persisted");
    clock.advance(Millis(5 * 60_000));
    store.enforce_retention();
    assert_eq!(all_by_producer(&front), [info]);
    clock.advance(Millis(1));
    store.enforce_retention();
    assert_eq!(all_by_producer(&front), []);
    assert!(matches!(front.read(info.number).await, Err(ReadError::NotFound)));
}

#[tokio::test]
async fn deleted_stream_frees_its_space_and_leaves_no_trace() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    for n in 0..50 {
        persist(&front, n * 1_000, &Random(n as u64).bytes(8_000)).await.expect("persisted");
    }
    let used = store.used_bytes();
    store.catalog().delete(&new_stream("front", 24).arn, None).expect("it is deleted");
    store.enforce_retention();
    assert!(store.used_bytes() < used);
    drop((front, store));
    let (store, report) = open(&disk, &clock);
    assert_eq!((report.fragments, report.damage.len()), (0, 0));
    assert_eq!(all_by_producer(&stream(&store, "front")), [], "a new one of the same name");
}

/// The simulation found that it was lost: the trim named a number above that of the open fragment.
#[tokio::test]
async fn fragment_that_was_open_while_older_ones_expired_stays_after_a_restart() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    persist(&front, 0, b"expires").await.expect("persisted");
    clock.advance(Millis(2 * DAY.0));
    let slow = write(&front, 1_000, b"began first, ends last");
    let quick = persist(&front, 2_000, b"quick").await.expect("persisted");
    store.enforce_retention();
    let slow = slow.finish(Millis(1_000)).await.expect("persisted");
    drop((front, store));
    for _ in 0..2 {
        let (store, _) = open(&disk, &clock);
        let front = stream(&store, "front");
        assert_eq!(all_by_producer(&front), [slow, quick]);
        persist(&front, 2_000, b"quick").await.expect("known");
    }
}
