//! The whole server over real sockets, on a disk that stalls.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use super::*;
use crate::media::mkv::{Head, Tag, Track, TrackKind, cluster, head, kvs, simple_block, tags};
use crate::store::NewStream;
use crate::store::disk::MemoryDisk;
use crate::types::{Arn, TimestampScale};

const STALL: Duration = Duration::from_secs(5);
const PRODUCERS: u64 = 6;
const FRAGMENTS: u64 = 40;
const FRAME_BYTES: usize = 300_000;
const HELD_BYTES: u64 = 4 << 20;
/// One fragment that may always go on, and what each connection had read when it was stopped.
const SLACK: u64 = FRAME_BYTES as u64 + 1_000 + PRODUCERS * (64 << 10);

fn config(data: &Path) -> Config {
    let mut config = Config { data: data.to_owned(), auth: Switch::Off, ..Config::default() };
    config.listen.set_port(0);
    config.store.held_bytes = HELD_BYTES;
    config
}

fn name_of(producer: u64) -> String {
    format!("camera-{producer}")
}

fn create_stream(app: &App, producer: u64) {
    let arn = Arn {
        region: "us-east-1".to_owned(),
        account: "000000000000".to_owned(),
        name: name_of(producer).parse().expect("a valid name"),
        created_ms: 1,
    };
    let stream = NewStream {
        arn,
        device_name: None,
        media_type: None,
        kms_key_id: None,
        retention_hours: 1,
        tags: Default::default(),
    };
    app.store.catalog().create(stream).expect("the stream is created");
}

/// A head and fragments of one large frame each.
fn body(producer: u64) -> Vec<u8> {
    let track = Track {
        number: 1,
        kind: TrackKind::Video { width: 16, height: 16 },
        name: None,
        codec_id: "V_TEST".to_owned(),
        codec_private: None,
        codec_delay_ns: 0,
        default_duration_ns: None,
    };
    let (scale, writing_app) = (TimestampScale::MILLISECOND, "test".to_owned());
    let mut body = head(&Head { scale, writing_app, tracks: vec![track] }).to_vec();
    for n in 0..FRAGMENTS {
        body.extend_from_slice(&cluster(1_000 + n * 1_000));
        body.extend_from_slice(&simple_block(1, 0, true, FRAME_BYTES));
        body.extend(std::iter::repeat_n((producer * 50 + n) as u8, FRAME_BYTES));
        let end = Tag { name: kvs::END_OF_FRAGMENT.to_owned(), value: String::new() };
        body.extend_from_slice(&tags(&[end]));
    }
    body
}

/// Uploads as fast as the server takes it; all that the server answered.
fn upload(address: &str, producer: u64) -> String {
    let mut socket = TcpStream::connect(address).expect("the server listens");
    let body = body(producer);
    let head = format!(
        "POST /putMedia HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         x-amzn-stream-name: {}\r\nx-amzn-fragment-timecode-type: ABSOLUTE\r\n\
         x-amzn-producer-start-timestamp: 1795308137.662\r\ncontent-length: {}\r\n\r\n",
        name_of(producer),
        body.len(),
    );
    let mut answers = socket.try_clone().expect("a socket");
    let reading = thread::spawn(move || {
        let mut answer = String::new();
        answers.read_to_string(&mut answer).expect("an answer to its end");
        answer
    });
    socket.write_all(head.as_bytes()).expect("the server reads");
    socket.write_all(&body).expect("the server reads");
    reading.join().expect("no panic")
}

fn health(address: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("the server listens");
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The timecodes of the acks of one kind, in their order.
fn timecodes(answer: &str, event: &str) -> Vec<u64> {
    let before = format!("\"EventType\":\"{event}\",\"FragmentTimecode\":");
    let acks = answer.split(&before).skip(1);
    acks.filter_map(|ack| ack.split(',').next()?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_that_stalls_for_five_seconds_slows_producers_and_loses_nothing() {
    let (data, disk) = (tempfile::tempdir().expect("a directory"), MemoryDisk::new());
    let server = Running::start_on(config(data.path()), Arc::new(disk.clone())).await;
    let server = server.expect("the server starts");
    let (app, address) = (Arc::clone(&server.app), server.app.config.listen.to_string());
    (0..PRODUCERS).for_each(|producer| create_stream(&app, producer));
    disk.set_stalled(true);
    let uploads: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let address = address.clone();
            tokio::task::spawn_blocking(move || upload(&address, producer))
        })
        .collect();
    tokio::time::sleep(STALL / 2).await;
    let received = app.metrics.put_media_bytes.get();
    let held = app.store.held_bytes();
    assert!(held >= HELD_BYTES, "the producers fill what there is: {held}");
    tokio::time::sleep(STALL / 2).await;
    assert_eq!(app.metrics.put_media_bytes.get(), received, "producers wait");
    let held = app.store.held_bytes();
    assert!(held <= HELD_BYTES + SLACK, "{held} bytes are held");
    assert!(received <= HELD_BYTES + SLACK, "{received} bytes were read");
    assert_eq!(app.metrics.put_media_persisted.get(), 0, "nothing is acknowledged meanwhile");
    let asked = address.clone();
    let healthy = tokio::task::spawn_blocking(move || health(&asked)).await.expect("no panic");
    assert!(healthy.starts_with("HTTP/1.1 200"), "a slow disk is no broken one: {healthy}");

    disk.set_stalled(false);
    let all: Vec<u64> = (0..FRAGMENTS).map(|n| 1_000 + n * 1_000).collect();
    for upload in uploads {
        let answer = upload.await.expect("no panic");
        assert_eq!(timecodes(&answer, "PERSISTED"), all, "each is acknowledged, in order");
        assert!(!answer.contains("ERROR"), "{answer}");
    }
    assert_eq!(app.store.held_bytes(), 0, "all is let go of");
    server.stop().await.expect("it stops in order");
}
