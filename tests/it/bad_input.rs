//! What breaks, drips, never ends or never reads: each gets its answer, the server stays up, its
//! memory stays flat, and nothing acknowledged is lost.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kinora::types::FragmentNumber;

use crate::bodies::{START_MS, block, body, end_of_fragment, fragment, head, tag};
use crate::kvs::{captures, frames_of};
use crate::producer::{Head, PATIENCE, Producer, of_kind, put_media};
use crate::support::{Random, Server};

/// What a server's memory may grow by over a test, beside what it must hold.
const SLACK_BYTES: u64 = 48 << 20;
/// How many mutated bodies are sent.
const MUTATIONS: usize = 300;

/// Fails when the server holds more than before, by more than is usual.
fn assert_flat(server: &Server, before: u64) {
    let now = server.resident_bytes();
    assert!(now < before + SLACK_BYTES, "{} MB became {} MB", before >> 20, now >> 20);
}

/// The server still takes a sound upload.
async fn assert_alive(server: &Server) {
    server.create_stream("sound", 24).await;
    let acks = put_media(server, &Head::absolute("sound"), &body(2, 500), 4_096);
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 2, "{acks:?}");
}

/// Changes a body in one of the ways in which bodies break.
fn mutate(body: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(body.len() as u64) as usize;
    let len = 1 + random.below(64) as usize;
    let end = (at + len).min(body.len());
    match random.below(6) {
        0 => body[at] ^= 1 << random.below(8),
        1 => body[at..end].iter_mut().for_each(|byte| *byte = random.below(256) as u8),
        2 => drop(body.drain(at..end)),
        3 => body.truncate(at),
        4 => {
            let again = body[at..end].to_vec();
            body.splice(at..at, again);
        }
        // A size that promises more than there is.
        _ => body[at..end].iter_mut().for_each(|byte| *byte = 0xff),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_bodies_lose_nothing_acknowledged_and_leave_nothing_else() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let bodies: Vec<Vec<u8>> = captures()
        .into_iter()
        .map(|(_, body)| body)
        .filter(|body| body.len() < 150_000)
        .chain([body(4, 700)])
        .collect();
    let seed = 20_261_122;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut persisted = BTreeSet::new();
    let before = server.resident_bytes();
    for round in 0..MUTATIONS {
        let mut body = bodies[round % bodies.len()].clone();
        (0..1 + random.below(3)).for_each(|_| mutate(&mut body, &mut random));
        let piece = 1 + random.below(30_000) as usize;
        let acks = put_media(&server, &Head::absolute("camera"), &body, piece.max(500));
        for ack in of_kind(&acks, "ERROR") {
            assert!((4000..=4012).contains(&ack.error_id()), "round {round}: {ack:?}");
        }
        persisted.extend(of_kind(&acks, "PERSISTED").iter().map(|ack| ack.number()));
    }
    let chunks = server.chunks("camera").await;
    let stored: BTreeSet<FragmentNumber> = chunks.keys().copied().collect();
    assert_eq!(stored, persisted, "what is stored is what was acknowledged");
    assert!(persisted.len() > MUTATIONS / 2, "{} fragments came through", persisted.len());
    assert!(chunks.values().all(|chunk| !frames_of(chunk).is_empty()));
    assert_flat(&server, before);
    assert_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_are_ended_with_their_error() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let in_cluster = [head().to_vec(), fragment(START_MS, 10)].concat();
    let void = |len: usize| [&[0xec][..], &size(len), &vec![0; len]].concat();
    let tags: Vec<u8> = tag("more", "and more").to_vec();
    let same_block = block(1, 0, false, &[7; 900]);
    let cases = [
        ("noise", vec![], vec![0x9d; 4_096], 4006),
        ("zeros", vec![], vec![0; 4_096], 4006),
        ("heads", vec![], head().to_vec().repeat(20), 4006),
        ("voids in the head", head().to_vec(), void(60_000), 4006),
        ("tags in the head", head().to_vec(), tags.repeat(100), 4006),
        ("tiny elements in a cluster", in_cluster.clone(), [0xec, 0x80].repeat(4_000), 4001),
        ("frames", in_cluster.clone(), same_block.repeat(60), 4001),
        ("tags behind a cluster", in_cluster.clone(), tags.repeat(100), 4009),
    ];
    let before = server.resident_bytes();
    for (name, start, endless, error) in cases {
        let mut producer = Producer::connect(&server, &Head::absolute("camera"));
        producer.send(&start);
        let mut sent = 0;
        // Heads over and over are sound, and bring nothing: only this test ends them.
        let most = if name == "heads" { 20 << 20 } else { 200 << 20 };
        while sent < most && !producer.is_refused() && producer.send(&endless) {
            sent += endless.len();
        }
        if name == "heads" {
            producer.send(b"nonsense");
        }
        producer.finish();
        let acks = producer.remaining_acks();
        let last = acks.last().unwrap_or_else(|| panic!("{name}: no ack"));
        assert_eq!(last.event(), "ERROR", "{name}: {acks:?}");
        assert_eq!(last.error_id(), error, "{name}: {acks:?}");
        assert!(sent < 120 << 20, "{name}: {sent} bytes were taken");
    }
    assert_flat(&server, before + (64 << 20));
    assert_eq!(server.list_fragments("camera").await.len(), 0);
    assert_alive(&server).await;
}

/// An EBML size of four bytes.
fn size(len: usize) -> [u8; 4] {
    (0x1000_0000 | len as u32).to_be_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn elements_that_announce_too_much_are_refused_before_they_come() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let huge = [0x01, 0, 0, 0x40, 0, 0, 0, 0];
    let in_cluster = [head().to_vec(), fragment(START_MS, 10)].concat();
    for (name, start, id) in [
        ("Tracks", head().to_vec(), &[0x16, 0x54, 0xae, 0x6b][..]),
        ("Void in the head", head().to_vec(), &[0xec]),
        ("SimpleBlock", in_cluster.clone(), &[0xa3]),
        ("BlockGroup", in_cluster.clone(), &[0xa0]),
        ("Tags", in_cluster, &[0x12, 0x54, 0xc3, 0x67]),
    ] {
        let mut producer = Producer::connect(&server, &Head::absolute("camera"));
        producer.send(&[&start[..], id, &huge].concat());
        let acks = producer.remaining_acks();
        let last = acks.last().unwrap_or_else(|| panic!("{name}: no ack"));
        assert_eq!((last.event(), last.error_id()), ("ERROR", 4001), "{name}: {acks:?}");
    }
    assert_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sender_below_the_minimum_rate_is_refused_though_it_never_pauses() {
    let server = Server::start_configured(&[
        ("KINORA_PUT_MEDIA_IDLE_SECONDS", "1"),
        ("KINORA_PUT_MEDIA_MIN_BYTES_PER_SECOND", "30"),
    ]);
    server.create_stream("camera", 24).await;
    let media = body(2, 100);
    let second = head().len() + fragment(START_MS, 100).len();
    let mut producer = Producer::connect(&server, &Head::absolute("camera"));
    producer.send(&media[..second + 200]);
    let started = Instant::now();
    for byte in media[second + 200..].chunks(1) {
        if producer.is_refused() || !producer.send(byte) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "it was let go on");
        std::thread::sleep(Duration::from_millis(100));
    }
    let acks = producer.remaining_acks();
    let last = acks.last().expect("an ack");
    assert_eq!((last.event(), last.error_id()), ("ERROR", 4000), "{acks:?}");
    // The fragment that was complete is safe; the one that dripped is gone.
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 1, "{acks:?}");
    assert_eq!(server.list_fragments("camera").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_are_closed_and_hold_nobody_up() {
    let server = Server::start_configured(&[
        ("KINORA_HTTP_HEADER_TIMEOUT_SECONDS", "2"),
        ("KINORA_PUT_MEDIA_IDLE_SECONDS", "2"),
    ]);
    server.create_stream("camera", 24).await;
    let before = server.resident_bytes();
    let silent: Vec<TcpStream> = (0..200)
        .map(|at| {
            let mut socket = TcpStream::connect(server.authority()).expect("the server listens");
            if at % 2 == 0 {
                socket.write_all(b"POST /putMedia HTT").expect("the server reads");
            }
            socket
        })
        .collect();
    let uploads: Vec<Producer> =
        (0..20).map(|_| Producer::connect(&server, &Head::absolute("camera"))).collect();
    assert_alive(&server).await;
    for mut socket in silent {
        socket.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        // Some get a 408 first.
        let _ = socket.read_to_end(&mut Vec::new()).expect("the server closes it");
    }
    for mut upload in uploads {
        assert_eq!(upload.remaining_acks(), [], "nothing came, so nothing is wrong");
    }
    assert_flat(&server, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_never_reads_holds_neither_the_writer_nor_memory() {
    let server = Server::start_configured(&[("KINORA_HTTP_WRITE_TIMEOUT_SECONDS", "2")]);
    server.create_stream("camera", 24).await;
    let body = r#"{"StreamName":"camera","StartSelector":{"StartSelectorType":"NOW"}}"#;
    let mut readers = Vec::new();
    for _ in 0..8 {
        let headers = [("content-type", "application/json"), ("host", server.authority())];
        let added = server.sign_body("/getMedia", &headers, body);
        let mut text = format!("POST /getMedia HTTP/1.1\r\nhost: {}\r\n", server.authority());
        text.push_str("content-type: application/json\r\n");
        for (name, value) in added {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let mut socket = TcpStream::connect(server.authority()).expect("the server listens");
        socket.write_all(text.as_bytes()).expect("the server reads");
        readers.push(socket);
    }
    let open = "kinora_get_media_active_connections ";
    wait_until(|| server.metric(open) == 8.0, "the readers are there");
    let before = server.resident_bytes();
    // Far more than the sockets take.
    let mut producer = Producer::connect(&server, &Head::absolute("camera"));
    producer.send(&head());
    for at in 0..30 {
        let fragment = fragment(START_MS + at * 1_000, 100_000);
        fragment.chunks(60_000).for_each(|piece| assert!(producer.send(piece)));
    }
    producer.send(&end_of_fragment());
    producer.finish();
    assert_eq!(of_kind(&producer.remaining_acks(), "PERSISTED").len(), 30);
    assert_flat(&server, before);
    wait_until(|| server.metric(open) == 0.0, "readers that take nothing are dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_readers_than_a_stream_may_have_are_refused() {
    let settings = [("KINORA_GET_MEDIA_MAX_CONNECTIONS_PER_STREAM", "1")];
    let server = Server::start_configured(&settings);
    server.create_stream("camera", 24).await;
    let put = || put_media(&server, &Head::absolute("camera"), &body(1, 100), 1_000);
    put();
    let request = || {
        use aws_sdk_kinesisvideomedia::types::{StartSelector, StartSelectorType};
        let selector = StartSelector::builder().start_selector_type(StartSelectorType::Earliest);
        let selector = selector.build().expect("a selector");
        server.media().get_media().stream_name("camera").start_selector(selector).send()
    };
    let first = request().await.expect("the first is served");
    let second = request().await.expect_err("the second is one too many").into_service_error();
    assert!(second.is_connection_limit_exceeded_exception(), "{second:?}");
    drop(first);
    put();
    let open = "kinora_get_media_active_connections ";
    wait_until(|| server.metric(open) == 0.0, "the server sees that it left");
    request().await.expect("its place is free");
}

fn wait_until(mut done: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
