//! What survives retention, and how much of it there may be.

use super::*;
use crate::types::FragmentNumber;

pub const HOUR: Millis = Millis(3_600_000);

/// Changes what the catalog says of a stream.
pub fn change(store: &Store, name: &str, change: impl FnOnce(&mut StreamInfo)) {
    let arn = new_stream(name, 24).arn;
    let apply = |info: &mut StreamInfo| {
        change(info);
        Ok::<_, CatalogError>(())
    };
    store.catalog().update(&arn, None, false, apply).expect("it is changed");
}

pub fn pin(from: i64, to: i64) -> Pin {
    Pin { from: at(from), to: at(to) }
}

fn times(stream: &MediaStream) -> Vec<i64> {
    all_by_producer(stream).iter().map(|info| info.producer.as_millis()).collect()
}

#[tokio::test]
async fn pinned_fragments_survive_until_they_are_unpinned() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    for n in 0..10 {
        persist(&front, n * 1_000, format!("{n}").as_bytes()).await.expect("persisted");
    }
    change(&store, "front", |info| info.pins = vec![pin(7_500, 7_600), pin(2_000, 4_000)]);
    clock.advance(Millis(30 * HOUR.0));
    let late = persist(&front, 500_000, b"young").await.expect("persisted");
    store.enforce_retention();
    // The one that is a second long at 7000 has a part of the range, the one that ends at 2000 not.
    assert_eq!(times(&front), [2_000, 3_000, 4_000, 7_000, 500_000]);
    let before = view(&front);
    drop((front, store));
    let (store, report) = open(&disk, &clock);
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    let front = stream(&store, "front");
    assert_eq!(view(&front), before);
    store.enforce_retention();
    assert_eq!(view(&front), before);
    change(&store, "front", |info| info.pins = vec![pin(3_000, 3_000)]);
    store.enforce_retention();
    assert_eq!(times(&front), [3_000, 500_000]);
    change(&store, "front", |info| info.pins.clear());
    store.enforce_retention();
    assert_eq!(all_by_producer(&front), [late]);
    // A pin does not bring back what is gone.
    change(&store, "front", |info| info.pins = vec![pin(0, 10_000)]);
    drop((front, store));
    let (store, _) = open(&disk, &clock);
    store.enforce_retention();
    assert_eq!(all_by_producer(&stream(&store, "front")), [late]);
}

#[tokio::test]
async fn stream_keeps_its_newest_bytes_and_what_is_pinned_besides() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    change(&store, "front", |info| {
        info.max_bytes = Some(40_000);
        info.pins = vec![pin(1_000, 1_000)];
    });
    for n in 0..12 {
        persist(&front, n * 1_000, &Random(n as u64).bytes(8_000)).await.expect("persisted");
    }
    store.enforce_retention();
    // Four entries of a little over 8000 bytes each.
    assert_eq!(times(&front), [1_000, 8_000, 9_000, 10_000, 11_000]);
    assert!(front.stored_bytes() <= 50_000, "{}", front.stored_bytes());
    change(&store, "front", |info| info.max_bytes = Some(0));
    store.enforce_retention();
    assert_eq!(times(&front), [1_000]);
    change(&store, "front", |info| info.pins.clear());
    store.enforce_retention();
    assert_eq!((times(&front), front.stored_bytes()), (vec![], 0));
}

#[tokio::test]
async fn fragment_that_was_open_while_others_expired_is_kept_when_it_is_done() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    let slow = write(&front, 0, b"slow");
    let number: FragmentNumber = slow.number();
    change(&store, "front", |info| info.max_bytes = Some(0));
    persist(&front, 1_000, b"fast").await.expect("persisted");
    store.enforce_retention();
    assert_eq!(front.bounds(), None);
    slow.finish(Millis(1_000)).await.expect("persisted");
    let info = front.get(number);
    assert!(info.is_some());
    drop((front, store));
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    assert_eq!(front.get(number), info);
    store.enforce_retention();
    assert_eq!(front.get(number), None, "the next pass finds it");
    assert_eq!(front.stored_bytes(), 0);
}

#[tokio::test]
async fn pins_and_settings_are_known_after_a_restart() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    change(&store, "front", |info| {
        info.pins = vec![pin(-5, 7), pin(1, 2)];
        info.max_bytes = Some(9);
        info.strict_timecodes = true;
    });
    drop((front, store));
    let (store, _) = open(&disk, &clock);
    let info = store.catalog().by_name(&"front".parse().expect("a name")).expect("it exists");
    assert_eq!(info.pins, [pin(-5, 7), pin(1, 2)]);
    assert_eq!((info.max_bytes, info.strict_timecodes), (Some(9), true));
}
