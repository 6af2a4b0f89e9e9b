//! kill -9: the real binary dies at random moments under load; what it acknowledged is there.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kinora::types::FragmentNumber;

use crate::bodies::{START_MS, fragment, head};
use crate::kvs::frames_of;
use crate::producer::{Head, Producer};
use crate::support::Server;

/// Rounds of kill and restart on one data directory, where `KINORA_KILLS` does not say how many.
const ROUNDS: u64 = 12;
const PRODUCERS: u64 = 4;

/// What one producer sent and what the server said of it.
struct Sent {
    acknowledged: Vec<(FragmentNumber, u64)>,
}

/// Uploads fragments without a pause until the server dies.
fn produce(mut producer: Producer, first_ms: u64, frame_bytes: usize) -> Sent {
    producer.send(&head());
    let mut acknowledged = Vec::new();
    for at in 0.. {
        let timecode = first_ms + at * 1_000;
        producer.send(&fragment(timecode, frame_bytes));
        producer.send(&crate::bodies::end_of_fragment());
        loop {
            let Some(ack) = producer.ack() else { return Sent { acknowledged } };
            match ack.event() {
                "PERSISTED" => {
                    acknowledged.push((ack.number(), timecode));
                    break;
                }
                "ERROR" => panic!("the server refused a sound fragment: {ack:?}"),
                _ => {}
            }
        }
    }
    unreachable!("the loop has no end")
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_fragments_survive_kill_9_byte_for_byte() {
    let rounds = std::env::var("KINORA_KILLS").ok().and_then(|text| text.parse().ok());
    let (mut left, mut total) = (rounds.unwrap_or(ROUNDS), 0);
    while left > 0 {
        // Each directory is killed a dozen times, so that what is compared at the end fits in memory.
        let rounds = left.min(ROUNDS);
        total += kill_and_compare(rounds, left).await;
        left -= rounds;
    }
    println!("{total} acknowledged fragments survived {} kills", rounds.unwrap_or(ROUNDS));
}

/// Kills a server so many times; how many fragments it had acknowledged and still has.
async fn kill_and_compare(rounds: u64, salt: u64) -> usize {
    let mut data = tempfile::tempdir().expect("a temporary folder");
    let seed = u64::from(std::process::id()).wrapping_add(salt << 32);
    let mut acknowledged: BTreeMap<String, Vec<(FragmentNumber, u64, usize)>> = BTreeMap::new();
    for round in 0..rounds {
        let server = Server::start_in(data, &[]);
        let mut uploads = Vec::new();
        for at in 0..PRODUCERS {
            let stream = format!("camera-{at}");
            if round == 0 {
                server.create_stream(&stream, 24).await;
            }
            let producer = Producer::connect(&server, &Head::absolute(&stream));
            let frame_bytes = 500 + at as usize * 4_000;
            let first_ms = START_MS + round * 10_000_000;
            let upload = std::thread::spawn(move || produce(producer, first_ms, frame_bytes));
            uploads.push((stream, frame_bytes, upload));
        }
        // A moment that differs from round to round, spread by a fixed multiplier.
        let moment =
            60 + (seed.wrapping_add(round).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 400;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        data = server.kill_9();
        for (stream, frame_bytes, upload) in uploads {
            let sent = upload.join().expect("the producer ended");
            let all = acknowledged.entry(stream).or_default();
            all.extend(sent.acknowledged.into_iter().map(|(number, ms)| (number, ms, frame_bytes)));
        }
    }
    let server = Server::start_in(data, &[]);
    let mut total = 0;
    for (stream, sent) in &acknowledged {
        let stored: BTreeMap<FragmentNumber, Bytes> = server.chunks(stream).await;
        for (number, timecode, frame_bytes) in sent {
            let chunk = stored.get(number);
            let chunk = chunk.unwrap_or_else(|| panic!("{stream}: {number} is lost"));
            let cluster = fragment(*timecode, *frame_bytes);
            let found = chunk.windows(cluster.len()).any(|bytes| bytes == cluster);
            assert!(found, "{stream}: {number} came back with other bytes");
        }
        for chunk in stored.values() {
            assert_eq!(frames_of(chunk).len(), 10, "{stream}: half a fragment is visible");
        }
        total += sent.len();
    }
    assert!(total as u64 > rounds, "the rounds acknowledged only {total} fragments");
    total
}
