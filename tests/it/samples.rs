//! Stores that earlier versions wrote, kept in `tests/formats/`: every later version opens them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kinora::clock::Clock;
use kinora::store::check::check;
use kinora::store::{FormatId, MediaStream, NewStream, Options, Order, Store};
use kinora::types::{Arn, Millis, ProducerTimestamp, ServerTimestamp};

use crate::bodies::{START_MS, fragment, head, tag};
use crate::support::Server;

/// Small enough that a handful of fragments fills several segments.
const SEGMENT_BYTES: u64 = 8 << 10;
/// Ten years: the sample is to be there when somebody serves it.
const RETENTION_HOURS: u32 = 87_600;
const EXPECTED: &str = "expected.txt";

fn sample(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(version)
}

fn options() -> Options {
    let (prepared_segments, spare_segments) = (0, 1);
    Options {
        segment_bytes: SEGMENT_BYTES,
        prepared_segments,
        spare_segments,
        ..Options::default()
    }
}

fn open(dir: &Path, clock: &Clock) -> Store {
    let (store, report) = Store::open(dir, options(), clock.clone()).expect("the store opens");
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    store
}

fn clock() -> Clock {
    Clock::simulated(ServerTimestamp::from_millis(START_MS as i64))
}

fn create(store: &Store, name: &str, retention_hours: u32) {
    let arn = Arn {
        region: "us-east-1".to_owned(),
        account: "000000000000".to_owned(),
        name: name.parse().expect("a name"),
        created_ms: START_MS as i64,
    };
    let tags = [("site".to_owned(), "roof".to_owned())].into();
    let media_type = Some("video/h264".to_owned());
    let (device_name, kms_key_id) = (None, None);
    let stream = NewStream { arn, device_name, media_type, kms_key_id, retention_hours, tags };
    store.catalog().create(stream).expect("created");
}

fn media(store: &Store, name: &str) -> Arc<MediaStream> {
    let info = store.catalog().by_name(&name.parse().expect("a name")).expect("it exists");
    store.media(info.id).expect("it has media")
}

async fn persist(store: &Store, name: &str, second: u64) {
    let start = START_MS + second * 1_000;
    let producer = ProducerTimestamp::from_millis(start as i64);
    let mut writer = media(store, name).begin(head(), producer, FormatId(1));
    writer.push(Bytes::from(fragment(start, 60)));
    writer.push_trailer(tag("number", &second.to_string()));
    writer.finish(Millis(1_000)).await.expect("persisted");
}

/// One line for each fragment of the streams.
async fn describe(store: &Store) -> String {
    let mut text = String::new();
    for info in store.catalog().list("", None, 100) {
        let stream = media(store, info.name().as_str());
        let (from, to) = (ProducerTimestamp::MIN, ProducerTimestamp::MAX);
        for fragment in stream.list(Order::Producer { from, to }, None, 100) {
            let chunk = stream.read(fragment.number).await.expect("readable");
            writeln!(
                text,
                "{} {} producer={} duration={} sequence={:?} breaks={} crc32c={:08x}",
                info.name(),
                fragment.number,
                fragment.producer,
                fragment.duration.0,
                fragment.sequence,
                fragment.breaks,
                crc32c::crc32c(&chunk.bytes),
            )
            .expect("writing to a String does not fail");
        }
    }
    text
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("the sample is there") {
        let path = entry.expect("readable").path();
        let to = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("copied");
        }
    }
}

/// Writes the sample when `KINORA_WRITE_SAMPLE` names a directory; how `tests/formats/v1` was made.
/// It has every kind of entry, and each kind of fragment: early, late, after a gap, expired.
#[tokio::test]
async fn sample_is_written_on_request() {
    let Some(dir) = std::env::var_os("KINORA_WRITE_SAMPLE").map(PathBuf::from) else { return };
    let clock = clock();
    let store = open(&dir, &clock);
    create(&store, "front", RETENTION_HOURS);
    create(&store, "short", 1);
    create(&store, "gone", 1);
    persist(&store, "gone", 0).await;
    persist(&store, "short", 0).await;
    clock.advance(Millis(2 * 3_600_000));
    persist(&store, "short", 7_200).await;
    for second in [0, 1, 2, 9, 10, 4] {
        persist(&store, "front", second).await;
    }
    store.enforce_retention();
    let gone = store.catalog().by_name(&"gone".parse().expect("a name")).expect("it exists");
    store.catalog().delete(&gone.arn, None).expect("deleted");
    drop(store);
    // A second opening, whose first number is behind the next thousand.
    let store = open(&dir, &clock);
    persist(&store, "front", 11).await;
    drop(store);
    let store = open(&dir, &clock);
    fs::write(dir.join(EXPECTED), describe(&store).await).expect("written");
}

#[tokio::test]
async fn store_of_format_version_1_is_read_back_and_written_on() {
    let dir = tempfile::tempdir().expect("a directory");
    copy(&sample("v1"), dir.path());
    let report = check(dir.path(), false, &mut |_| {}).expect("it can be checked");
    // One that has expired is still there.
    assert_eq!((report.damage, report.fragments), (vec![], 9));
    let expected = fs::read_to_string(dir.path().join(EXPECTED)).expect("readable");
    let store = open(dir.path(), &clock());
    assert_eq!(describe(&store).await, expected);
    persist(&store, "front", 12).await;
    drop(store);
    let text = describe(&open(dir.path(), &clock())).await;
    assert_eq!(text.lines().count(), expected.lines().count() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_serves_a_store_of_format_version_1() {
    let dir = tempfile::tempdir().expect("a directory");
    copy(&sample("v1"), dir.path());
    let server = Server::start_in(dir, &[]);
    let chunks = server.chunks("front").await;
    assert_eq!(chunks.len(), 7);
    assert!(chunks.values().all(|chunk| crate::kvs::frames_of(chunk).len() == 10));
}
