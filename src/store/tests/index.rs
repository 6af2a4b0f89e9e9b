//! The index's database: what is left of it after crashes, and what is made of that.

use super::*;

/// Nothing moves into the database but by [`move_index`].
fn still() -> Options {
    let hour = Millis(3_600_000);
    Options { index_batch: usize::MAX, index_interval: hour, ..options() }
}

pub(super) fn open_still(disk: &MemoryDisk, clock: &Clock) -> (Store, OpenReport) {
    Store::open_on(Arc::new(disk.clone()), still(), clock.clone()).expect("the store opens")
}

/// Puts what is findable into the index's database.
pub(super) fn move_index(store: &Store) {
    let streams = &store.streams;
    let upto = store.committer.durable();
    streams.mover().round(&mut &**streams, &store.committer.segments, upto);
}

async fn persist_many(store: &Store, range: std::ops::Range<i64>) {
    let front = stream(store, "front");
    for n in range {
        persist(&front, n * 1_000, &Random(n as u64).bytes(2_000)).await.expect("persisted");
    }
}

#[tokio::test]
async fn only_what_the_index_has_not_is_read_from_the_log() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open_still(&disk, &clock);
    persist_many(&store, 0..100).await;
    move_index(&store);
    persist_many(&store, 100..110).await;
    let before = view(&stream(&store, "front"));
    let disk = disk.kill();
    drop(store);
    // Nobody looks at the segments that the index has.
    let (first, place) = disk.find(&Random(3).bytes(2_000)).expect("it is on the disk");
    disk.flip_bit(&first, place - HEAD.len() - 60);
    let (store, report) = open_still(&disk, &clock);
    assert_eq!((report.fragments, report.rebuilt), (110, None));
    assert_eq!(report.damage, Vec::<String>::new());
    let front = stream(&store, "front");
    assert_eq!(view(&front), before);
    let damaged = before[1][3].number;
    assert!(matches!(front.read(damaged).await, Err(ReadError::Damaged(_))));
}

#[tokio::test]
async fn lost_stale_and_damaged_indexes_all_show_what_the_log_has() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open_still(&disk, &clock);
    persist_many(&store, 0..50).await;
    move_index(&store);
    let stale = disk.take_index();
    persist_many(&store, 50..150).await;
    move_index(&store);
    let before = view(&stream(&store, "front"));
    drop(store);
    let good = disk.take_index().expect("there is an index");
    let mut torn = good.clone();
    torn.truncate(good.len() / 2);
    let mut garbage = good.clone();
    garbage.iter_mut().skip(4096).for_each(|byte| *byte ^= 0x55);
    let (zeros, short) = (vec![0; good.len()], b"no database".to_vec());
    let made_anew = [None, Some(torn), Some(garbage), Some(zeros), Some(short)];
    let cases = made_anew.into_iter().map(|index| (index, true)).chain([(stale, false)]);
    for (n, (index, is_made_anew)) in cases.enumerate() {
        disk.put_index(index);
        let (store, report) = open_still(&disk, &clock);
        assert_eq!(report.rebuilt.is_some(), is_made_anew, "{n}: {:?}", report.rebuilt);
        assert_eq!(view(&stream(&store, "front")), before, "{n}");
        assert_eq!(report.fragments, 150, "{n}");
    }
    let (_, report) = open_still(&disk, &clock);
    assert_eq!(report.rebuilt, None, "once is enough");
}

#[tokio::test]
async fn index_of_another_log_is_made_anew() {
    let clock = clock();
    let [mine, other] = [MemoryDisk::new(), MemoryDisk::new()];
    for (disk, fragments) in [(&mine, 30), (&other, 90)] {
        let (store, _) = open_still(disk, &clock);
        persist_many(&store, 0..fragments).await;
    }
    for (disk, index) in [(&mine, other.take_index()), (&other, mine.take_index())] {
        let (store, _) = open_still(disk, &clock);
        let before = view(&stream(&store, "front"));
        drop(store);
        disk.put_index(index);
        let (store, report) = open_still(disk, &clock);
        assert!(report.rebuilt.is_some());
        assert_eq!(view(&stream(&store, "front")), before);
    }
}

#[tokio::test]
async fn late_fragment_of_a_reopened_store_has_the_breaks_of_the_one_before_it() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    for n in 0..20 {
        persist(&front, n * 5_000, b"far apart").await.expect("persisted");
    }
    drop((front, store));
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    let late = write(&front, 100_000, b"late");
    let next = persist(&front, 105_000, b"next").await.expect("persisted");
    let late = late.finish(Millis(1_000)).await.expect("persisted");
    assert_eq!((late.sequence, late.breaks, next.breaks), (None, 19, 20));
}

#[tokio::test]
async fn segments_whose_rows_expired_are_used_again() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    persist_many(&store, 0..200).await;
    move_index(&store);
    let used = store.used_bytes();
    clock.advance(Millis(25 * 3_600_000));
    store.enforce_retention();
    assert!(store.used_bytes() < used / 3, "{} of {used}", store.used_bytes());
    drop(store);
    let (store, report) = open(&disk, &clock);
    assert_eq!((report.fragments, report.rebuilt), (0, None));
    store.catalog().delete(&new_stream("front", 24).arn, None).expect("it is deleted");
}

#[tokio::test]
async fn resent_fragment_is_found_among_the_rows() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    persist_many(&store, 0..100).await;
    drop(store);
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    let again = persist(&front, 7_000, &Random(7).bytes(2_000)).await.expect("persisted");
    assert_eq!(again.number.counter(), 8);
    assert_eq!(all_by_producer(&front).len(), 100);
}
