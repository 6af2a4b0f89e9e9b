//! Fragments that are sent again.

use super::*;

#[tokio::test]
async fn fragment_sent_again_is_stored_once() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    let first = persist(&front, 0, b"the same").await.expect("persisted");
    assert_eq!(persist(&front, 0, b"the same").await.expect("persisted"), first);
    drop((front, store));
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    assert_eq!(persist(&front, 0, b"the same").await.expect("persisted"), first);
    assert_eq!(all_by_producer(&front), [first]);
    let back = stream(&store, "back");
    assert_ne!(persist(&back, 0, b"the same").await.expect("persisted").number, first.number);
}

#[tokio::test]
async fn fragment_sent_again_before_the_first_is_durable_is_stored_once() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let front = stream(&store, "front");
    for n in 0..50 {
        let copies: Vec<_> =
            (0..4).map(|_| write(&front, n, b"the same").finish(Millis(1_000))).collect();
        let mut infos = Vec::new();
        for copy in copies {
            infos.push(copy.await.expect("persisted"));
        }
        assert!(infos.iter().all(|info| *info == infos[0]));
    }
    assert_eq!(all_by_producer(&front).len(), 50);
}

#[tokio::test]
async fn fragments_that_differ_are_all_stored() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let front = stream(&store, "front");
    persist(&front, 0, b"one").await.expect("persisted");
    persist(&front, 0, b"two").await.expect("persisted");
    persist(&front, 1, b"one").await.expect("persisted");
    let mut other = front.begin(Bytes::from_static(HEAD), at(0), FormatId(2));
    other.push(Bytes::from_static(b"one"));
    other.finish(Millis(1_000)).await.expect("persisted");
    let mut tagged = front.begin(Bytes::from_static(HEAD), at(0), FORMAT);
    tagged.push(Bytes::from_static(b"one"));
    tagged.push_trailer(Bytes::from_static(b"other tags"));
    tagged.finish(Millis(1_000)).await.expect("persisted");
    assert_eq!(all_by_producer(&front).len(), 5);
}

#[tokio::test]
async fn fragment_sent_again_after_the_stored_one_expired_is_stored() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    let first = persist(&front, 0, b"the same").await.expect("persisted");
    clock.advance(Millis(25 * 3_600_000));
    store.enforce_retention();
    let again = persist(&front, 0, b"the same").await.expect("persisted");
    assert_ne!(again.number, first.number);
    assert_eq!(all_by_producer(&front), [again]);
}
