//! What `check` makes of record streams, and what its repair leaves of them.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::store::catalog::STREAMS;
use crate::store::check::{CheckReport, Damage, Note, check};
use crate::types::{HashRange, ShardId};

/// A store with a media stream and the record stream `orders`, of one shard with ten records.
async fn filled() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = Store::open(dir.path(), options(), clock()).expect("the store opens");
    persist(&stream(&store, "front"), 0, b"cluster").await.expect("persisted");
    let name = "orders".parse().expect("a name");
    let created = store.record_catalog().create_stream::<CatalogError>(&name, |_, ids| {
        let (id, log) = (ids.take(), ids.take());
        Ok(orders(id, log))
    });
    let log = created.expect("it is created").shards[0].log;
    let shard = store.shard(log).expect("its log");
    for n in 0..10u8 {
        let record = vec![Bytes::copy_from_slice(&[n; 100])];
        shard.append(record).expect("taken").await.expect("stored");
    }
    dir
}

fn orders(id: StreamId, log: StreamId) -> RecordStreamInfo {
    let created = clock().now();
    let shard = ShardInfo {
        id: ShardId(0),
        log,
        parents: Vec::new(),
        range: HashRange::ALL,
        epoch: 1,
        created,
        closed: None,
    };
    RecordStreamInfo {
        id,
        name: "orders".parse().expect("a name"),
        created,
        mode: CapacityMode::Provisioned,
        retention_hours: 48,
        max_record_kib: 1024,
        warm_mibps: None,
        distribution: Distribution::PartitionKey,
        shard_metrics: Default::default(),
        tags: Default::default(),
        policy: None,
        consumers: Vec::new(),
        shards: vec![shard],
        next_shard: 1,
        scalings: Vec::new(),
        mode_changes: Vec::new(),
    }
}

fn run(dir: &Path, repair: bool) -> CheckReport {
    check(dir, repair, &mut |_| {}).expect("it can be checked")
}

/// The facts of the record stream, whose ten records are all there.
fn expect_records(dir: &Path, name: &str) -> RecordStreamInfo {
    let (store, _) = Store::open(dir, options(), clock()).expect("the store opens");
    let info = store.record_catalog().stream(&name.parse().expect("a name"));
    let info = info.expect("it exists");
    let shard = store.shard(info.shards[0].log).expect("its log");
    let all = shard.read(1, ReadLimit { records: 100, bytes: 1 << 20 }).expect("readable");
    assert_eq!(all.iter().map(|record| record.index).collect::<Vec<_>>(), Vec::from_iter(1..=10));
    RecordStreamInfo::clone(&info)
}

#[tokio::test]
async fn sound_record_streams_are_neither_damaged_nor_left_over() {
    let dir = filled().await;
    let report = run(dir.path(), false);
    assert_eq!((report.streams, report.damage, report.notes), (2, vec![], vec![]));
    assert_eq!((report.fragments, report.records), (1, 10));
}

#[tokio::test]
async fn damaged_and_missing_records_are_told_by_their_indices() {
    let dir = filled().await;
    for (record, before) in [(4, 0), (6, 100), (7, 100)] {
        // In the body, and in headers: then nothing tells of the runs.
        flip(dir.path(), &[record; 100], before);
    }
    let lost = |damage| match damage {
        Damage::Records(lost) => Some((lost.first, lost.last, lost.altered)),
        _ => None,
    };
    let report = run(dir.path(), true);
    let found: Vec<_> = report.damage.into_iter().filter_map(lost).collect();
    assert_eq!(found, [(5, 5, true), (7, 8, false)]);
    assert_eq!(report.records, 7);
    let report = run(dir.path(), false);
    assert_eq!(report.damage, []);
    let noted = |note: &&Note| matches!(note, Note::RecordsSetAside(_));
    assert!(report.notes.iter().any(|note| noted(&note)), "{:?}", report.notes);
}

/// Flips a bit so many bytes before these, wherever they are in the log.
fn flip(dir: &Path, bytes: &[u8], before: usize) {
    for entry in std::fs::read_dir(dir.join("log")).expect("the log") {
        let entry = entry.expect("an entry");
        let mut file = std::fs::read(entry.path()).expect("readable");
        let Some(at) = file.windows(bytes.len()).position(|window| window == bytes) else {
            continue;
        };
        file[at - before] ^= 1;
        std::fs::write(entry.path(), file).expect("written");
    }
}

#[tokio::test]
async fn lost_shard_comes_back_as_a_record_stream_of_its_own() {
    let dir = filled().await;
    std::fs::remove_file(dir.path().join("catalog.redb")).expect("removed");
    let report = run(dir.path(), true);
    let lost = |damage: &&Damage| matches!(damage, Damage::LostStream { .. });
    assert_eq!(report.damage.iter().filter(lost).count(), 2, "{:?}", report.damage);
    let info = expect_records(dir.path(), "recovered-3");
    assert_eq!((info.shards[0].log, info.shards[0].range), (StreamId(3), HashRange::ALL));
    assert_eq!(info.created, clock().now());
    assert_eq!(run(dir.path(), false).damage, []);
}

#[tokio::test]
async fn record_streams_outlive_a_catalog_that_is_written_anew() {
    let dir = filled().await;
    let database = redb::Database::open(dir.path().join("catalog.redb")).expect("it opens");
    let change = database.begin_write().expect("a transaction");
    change.open_table(STREAMS).expect("the table").insert(1, &b"{"[..]).expect("damaged");
    change.commit().expect("written");
    drop(database);
    let before = expect_catalog_damage(dir.path());
    assert!(before.contains("stream 1"), "{before}");
    run(dir.path(), true);
    let info = expect_records(dir.path(), "orders");
    assert_eq!(info, orders(info.id, info.shards[0].log));
    assert_eq!(run(dir.path(), false).damage, []);
}

fn expect_catalog_damage(dir: &Path) -> String {
    let damage = run(dir, false).damage.into_iter().find_map(|damage| match damage {
        Damage::Catalog { what } => Some(what),
        _ => None,
    });
    damage.expect("the catalog is damaged")
}
