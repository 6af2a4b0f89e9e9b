//! Failing writes, failing syncs, full disks.

use super::*;
use crate::store::disk::Faults;

#[tokio::test]
async fn failed_sync_ends_all_writing_until_the_store_is_reopened() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    let kept = persist(&front, 0, b"before").await.expect("persisted");
    disk.set_faults(Faults { fail_sync_after: Some(0), ..Faults::default() });
    let lost = write(&front, 1_000, b"lost");
    let number = lost.number();
    let lost = lost.finish(Millis(1_000)).await;
    assert!(matches!(lost, Err(PersistError::Poisoned(_))), "{lost:?}");
    assert_eq!(front.get(number), None, "nothing of it is visible");
    disk.set_faults(Faults::default());
    let later = persist(&front, 2_000, b"later").await;
    assert!(matches!(later, Err(PersistError::Poisoned(_))), "a sync is never tried again");
    assert!(store.poisoned().is_some());
    front.read(kept.number).await.expect("reading goes on");
    drop((front, store));

    let disk = disk.crash(|| false);
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    assert_eq!(all_by_producer(&front), [kept]);
    persist(&front, 1_000, b"lost").await.expect("writing goes on");
}

#[tokio::test]
async fn full_disk_refuses_fragments_until_retention_frees_space() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let four_segments = 4 * options().segment_bytes;
    disk.set_faults(Faults { capacity: Some(four_segments), ..Faults::default() });
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    let mut stored = 0;
    let refused = loop {
        match persist(&front, stored * 1_000, &[stored as u8; 10_000]).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PersistError::NoSpace(_)), "{refused:?}");
    assert_eq!(store.poisoned(), None);
    assert_eq!(all_by_producer(&front).len(), stored as usize);
    clock.advance(Millis(25 * 3_600_000));
    store.enforce_retention();
    let fresh = persist(&front, 1_000_000, b"fits again").await.expect("there is space again");
    assert_eq!(all_by_producer(&front), [fresh]);
    drop((front, store));
    let (store, report) = open(&disk, &clock);
    assert_eq!(all_by_producer(&stream(&store, "front")), [fresh]);
    assert!(report.damage.is_empty());
}

#[tokio::test]
async fn closed_store_refuses_fragments() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let front = stream(&store, "front");
    let pending = write(&front, 0, b"in time").finish(Millis(1));
    store.close();
    let info = pending.await.expect("what was handed over before is persisted");
    front.read(info.number).await.expect("readable");
    let late = persist(&front, 1, b"late").await;
    assert!(matches!(late, Err(PersistError::Poisoned(_))), "{late:?}");
}

#[tokio::test]
async fn producers_wait_while_the_queue_is_full() {
    let disk = MemoryDisk::new();
    let options = Options { queue_bytes: 1, ..options() };
    let (store, _) = Store::open_on(Arc::new(disk), options, clock()).expect("the store opens");
    let front = stream(&store, "front");
    for n in 0..50 {
        front.ready().await;
        drop(write(&front, n, b"cluster").finish(Millis(1)));
    }
    front.ready().await;
    assert_eq!(all_by_producer(&front).len(), 50);
}
