//! What `check` finds in damaged stores, and what its repair leaves, on real files.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::store::check::{
    self as checks, CheckError, CheckReport, Damage, LostMedia, Note, check,
};
use crate::store::disk::Disk;

/// Files of 64 KiB, five fragments each.
const CLUSTER: usize = 10_000;

fn options() -> Options {
    Options { segment_bytes: 64 << 10, prepared_segments: 0, ..Options::default() }
}

fn open_dir(dir: &Path) -> (Store, OpenReport) {
    Store::open(dir, options(), clock()).expect("the store opens")
}

fn cluster(stream: &str, n: i64) -> Vec<u8> {
    Random(n as u64 * 31 + stream.len() as u64).bytes(CLUSTER as u64)
}

/// A store with two streams of 20 fragments, a second each, in turn.
async fn filled() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = open_dir(dir.path());
    let streams = [stream(&store, "front"), stream(&store, "yard")];
    for n in 0..20 {
        for (name, media) in ["front", "yard"].iter().zip(&streams) {
            persist(media, n * 1_000, &cluster(name, n)).await.expect("persisted");
        }
    }
    dir
}

fn verify(dir: &Path) -> CheckReport {
    check(dir, false, &mut |_| {}).expect("it can be checked")
}

fn repair(dir: &Path) -> CheckReport {
    check(dir, true, &mut |_| {}).expect("it can be repaired")
}

fn media(report: &CheckReport) -> Vec<LostMedia> {
    let media = report.damage.iter().filter_map(|damage| match damage {
        Damage::Media(lost) => Some(lost.clone()),
        _ => None,
    });
    media.collect()
}

/// The file and the place in it where a fragment's cluster lies.
fn find(dir: &Path, cluster: &[u8]) -> (PathBuf, u64) {
    let files = fs::read_dir(dir.join("log")).expect("readable");
    let mut files = files.map(|file| file.expect("readable").path());
    let found = files.find_map(|path| {
        let bytes = fs::read(&path).expect("readable");
        let at = bytes.windows(64).position(|window| window == &cluster[..64])?;
        Some((path, at as u64))
    });
    found.expect("it is stored")
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("it opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is there");
    file.write_all_at(&[byte[0] ^ 4], at).expect("it is written");
}

/// What a stream shows is readable, and this many.
async fn expect_readable(dir: &Path, name: &str, fragments: usize) {
    let (store, report) = open_dir(dir);
    assert_eq!(report.damage, Vec::<String>::new(), "the log opens without a complaint");
    let media = stream(&store, name);
    let listed = all_by_producer(&media);
    assert_eq!(listed.len(), fragments, "{name}");
    for info in listed {
        media.read(info.number).await.expect("readable");
    }
    persist(&media, 1_000_000, b"more").await.expect("writing goes on");
}

#[tokio::test]
async fn sound_store_has_no_damage() {
    let dir = filled().await;
    let report = verify(dir.path());
    assert_eq!((report.damage, report.notes), (vec![], vec![]));
    assert_eq!((report.streams, report.fragments), (2, 40));
}

#[tokio::test]
async fn flipped_bits_are_told_by_stream_and_second_and_set_aside() {
    let dir = filled().await;
    let (file, at_byte) = find(dir.path(), &cluster("front", 3));
    flip(&file, at_byte + 500);
    // In the header of another entry.
    let (file, at_byte) = find(dir.path(), &cluster("yard", 5));
    flip(&file, at_byte - HEAD.len() as u64 - 50);
    let report = verify(dir.path());
    let told: Vec<_> = media(&report)
        .into_iter()
        .map(|lost| (lost.name.map(|name| name.to_string()), lost.from, lost.to, lost.altered))
        .collect();
    assert_eq!(
        told,
        [
            (Some("front".to_owned()), Some(at(3_000)), at(4_000), true),
            (Some("yard".to_owned()), Some(at(5_000)), at(6_000), false),
        ]
    );

    let before = report.damage;
    assert_eq!(repair(dir.path()).damage, before, "the same is found by the repair");
    let report = verify(dir.path());
    assert_eq!(report.damage, []);
    assert_eq!(report.notes.iter().filter(|note| matches!(note, Note::SetAside(_))).count(), 2);
    let aside = fs::read_dir(dir.path().join("aside")).expect("readable");
    let sizes: u64 = aside.map(|f| f.expect("readable").metadata().expect("its size").len()).sum();
    assert!(sizes > 2 * CLUSTER as u64, "nothing is deleted");
    expect_readable(dir.path(), "front", 19).await;
    expect_readable(dir.path(), "yard", 19).await;
}

#[tokio::test]
async fn removed_segment_is_missed_by_what_it_held() {
    let dir = filled().await;
    let (file, _) = find(dir.path(), &cluster("front", 8));
    fs::remove_file(file).expect("removed");
    let report = verify(dir.path());
    let lost = media(&report);
    assert_eq!(lost.len(), 2, "{lost:?}");
    let covers = |lost: &LostMedia| lost.from <= Some(at(8_000)) && lost.to >= at(9_000);
    assert!(lost.iter().all(covers), "{lost:?}");
    let fragments: u64 = lost.iter().map(|lost| lost.fragments).sum();
    assert_eq!(report.fragments + fragments, 40);
    repair(dir.path());
    assert_eq!(verify(dir.path()).damage, []);
}

#[tokio::test]
async fn cut_segment_is_told_and_what_is_left_of_it_is_kept() {
    let dir = filled().await;
    let (file, at_byte) = find(dir.path(), &cluster("front", 8));
    let cut = fs::File::options().write(true).open(&file).expect("it opens");
    cut.set_len(at_byte + 100).expect("it is cut");
    let report = verify(dir.path());
    let lost = media(&report);
    let front = lost.iter().find(|lost| lost.name.as_ref().is_some_and(|n| n.as_str() == "front"));
    assert_eq!(front.and_then(|lost| lost.from), Some(at(8_000)), "{lost:?}");
    let cut = |damage: &Damage| matches!(damage, Damage::Segment { .. });
    assert!(report.damage.iter().any(cut), "{:?}", report.damage);
    let whole = report.fragments;
    repair(dir.path());
    let (store, report) = open_dir(dir.path());
    assert_eq!((report.fragments, report.damage.len()), (whole, 0));
    drop(store);
}

#[tokio::test]
async fn damaged_segment_header_is_restored() {
    let dir = filled().await;
    let (file, _) = find(dir.path(), &cluster("front", 8));
    flip(&file, 9);
    assert_eq!(verify(dir.path()).fragments, 40);
    assert_eq!(repair(dir.path()).damage.len(), 1);
    assert_eq!(verify(dir.path()).damage, []);
    expect_readable(dir.path(), "front", 20).await;
}

#[tokio::test]
async fn lost_catalog_is_made_anew_from_the_log() {
    for damage in ["garbage", "gone", "cut"] {
        let dir = filled().await;
        let catalog = dir.path().join("catalog.redb");
        match damage {
            "garbage" => fs::write(&catalog, vec![0x5a; 100_000]).expect("written"),
            "gone" => fs::remove_file(&catalog).expect("removed"),
            _ => {
                let file = fs::File::options().write(true).open(&catalog).expect("it opens");
                file.set_len(5_000).expect("it is cut");
            }
        }
        let report = verify(dir.path());
        let lost = |damage: &&Damage| matches!(damage, Damage::LostStream { fragments: 20, .. });
        assert_eq!(report.damage.iter().filter(lost).count(), 2, "{:?}", report.damage);
        assert_eq!(catalog.exists(), damage != "gone", "nothing is changed without a repair");
        repair(dir.path());
        let report = verify(dir.path());
        assert_eq!((report.damage, report.fragments), (vec![], 40), "{damage}");
        expect_readable(dir.path(), "recovered-1", 20).await;
        expect_readable(dir.path(), "recovered-2", 20).await;
    }
}

/// Whatever bit of the catalog flips, no fragment is lost, and a repair makes it open.
#[tokio::test]
async fn flipped_bits_of_the_catalog_lose_no_fragment() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let kept = persist(&stream(&store, "front"), 0, b"kept").await.expect("persisted");
    drop(store);
    let sound = Disk::read_catalog(&disk).expect("readable").expect("it is there");
    let mut random = Random(5);
    for _ in 0..200 {
        let damaged = MemoryDisk::copy_of(&disk);
        for _ in 0..1 + random.below(4) {
            damaged.flip_catalog_bit(random.below(sound.len() as u64) as usize);
        }
        checks::check_on(&damaged, true, &mut |_| {}).expect("it can be repaired");
        let (store, _) = open(&damaged, &clock);
        let known = store.catalog().list("", None, 10);
        let found = known.iter().filter_map(|info| store.media(info.id));
        assert_eq!(found.flat_map(|media| all_by_producer(&media)).collect::<Vec<_>>(), [kept]);
    }
}

/// Whatever bit of the catalog flips, the store opens with it or says that it does not.
#[tokio::test]
async fn catalog_with_flipped_bits_never_panics_the_opening() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    stream(&store, "front");
    drop(store);
    let sound = Disk::read_catalog(&disk).expect("readable").expect("it is there");
    let mut random = Random(11);
    for _ in 0..300 {
        let damaged = MemoryDisk::copy_of(&disk);
        // Early bytes are the ones that are used.
        for _ in 0..3 {
            let within = sound.len() as u64 >> random.below(8);
            damaged.flip_catalog_bit(random.below(within) as usize);
        }
        match Store::open_on(Arc::new(damaged), options(), clock.clone()) {
            Ok(_) | Err(OpenError::Catalog(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn remains_of_deleted_streams_and_of_a_crash_are_no_damage() {
    let disk = MemoryDisk::new();
    let opened = Store::open_on(Arc::new(disk.clone()), options(), clock());
    let (store, _) = opened.expect("the store opens");
    persist(&stream(&store, "front"), 0, b"kept").await.expect("persisted");
    persist(&stream(&store, "yard"), 0, b"deleted").await.expect("persisted");
    store.catalog().delete(&new_stream("yard", 24).arn, None).expect("deleted");
    let disk = disk.kill();
    drop(store);
    let report = checks::check_on(&disk, false, &mut |_| {}).expect("it can be checked");
    assert_eq!((report.damage, report.fragments), (vec![], 1));
    assert_eq!(report.notes, [Note::Orphans { streams: 1, fragments: 1 }]);
}

#[tokio::test]
async fn open_store_and_no_store_are_refused() {
    let dir = filled().await;
    let (store, _) = open_dir(dir.path());
    let refused = check(dir.path(), true, &mut |_| {});
    assert!(matches!(refused, Err(CheckError::Locked)), "{refused:?}");
    drop(store);
    assert_eq!(verify(dir.path()).damage, []);
    let refused = check(&dir.path().join("nowhere"), false, &mut |_| {});
    assert!(matches!(refused, Err(CheckError::NoStore)), "{refused:?}");
}
