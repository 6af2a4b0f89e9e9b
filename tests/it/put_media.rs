//! PutMedia as producers use it: what is acknowledged, what is refused and how, what is stored.

use kinora::types::FragmentNumber;

use crate::bodies::{self, START_MS, block, body, end_of_fragment, fragment, head};
use crate::kvs::{captures, frames_of};
use crate::producer::{Ack, Head, Producer, of_kind, put_media};
use crate::support::Server;

/// The captures of real producers come back frame for frame, however they are cut.
#[tokio::test(flavor = "multi_thread")]
async fn every_captured_body_is_accepted_and_comes_back_frame_for_frame() {
    let server = Server::start();
    for (name, bytes) in captures() {
        let expected = frames_of(&bytes);
        let total = bytes.len();
        for piece in [total, 65_524, 1_448, 97] {
            let stream = format!("{name}-{piece}");
            server.create_stream(&stream, 24).await;
            let acks = put_media(&server, &Head::absolute(&stream), &bytes, piece);
            assert!(of_kind(&acks, "ERROR").is_empty(), "{name} in {piece}s: {acks:?}");
            let persisted = of_kind(&acks, "PERSISTED").len();
            assert_eq!(persisted, of_kind(&acks, "BUFFERING").len(), "{name} in {piece}s");
            let chunks = server.chunks(&stream).await;
            assert_eq!(chunks.len(), persisted, "{name} in {piece}s");
            let stored: Vec<_> = chunks.values().flat_map(|chunk| frames_of(chunk)).collect();
            assert_eq!(stored, expected, "{name} in {piece}s");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fragment_is_buffered_received_and_persisted_in_order() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let acks = put_media(&server, &Head::absolute("camera"), &body(3, 500), 333);
    for at in 0..3 {
        let timecode = (START_MS + at * 1000) as i64;
        let mine: Vec<&Ack> = acks.iter().filter(|ack| ack.timecode() == timecode).collect();
        let events: Vec<&str> = mine.iter().map(|ack| ack.event()).collect();
        assert_eq!(events, ["BUFFERING", "RECEIVED", "PERSISTED"], "{timecode}");
        assert!(mine.iter().all(|ack| ack.number() == mine[0].number()));
    }
    let numbers: Vec<FragmentNumber> =
        of_kind(&acks, "PERSISTED").iter().map(|ack| ack.number()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_fragment_tag_closes_the_fragment_at_once() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let mut producer = Producer::connect(&server, &Head::absolute("camera"));
    producer.send(&head());
    producer.send(&fragment(START_MS, 100));
    assert_eq!(producer.ack().expect("an ack").event(), "BUFFERING");
    producer.send(&end_of_fragment());
    assert_eq!(producer.ack().expect("an ack").event(), "RECEIVED");
    assert_eq!(producer.ack().expect("an ack").event(), "PERSISTED");
    producer.finish();
    assert_eq!(producer.remaining_acks(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn relative_timecodes_count_from_the_start_timestamp_and_are_acknowledged_as_written() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let mut relative = head().to_vec();
    relative.extend(fragment(5_000, 100));
    let acks = put_media(&server, &Head::relative("camera", "1795308000.250"), &relative, 400);
    assert_eq!(of_kind(&acks, "PERSISTED")[0].timecode(), 5_000);
    let fragments = server.list_fragments("camera").await;
    let producer = fragments[0].producer_timestamp().expect("a time").as_secs_f64();
    assert_eq!(producer, 1_795_308_005.25);
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_are_left_out_when_the_producer_does_not_want_them() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let head = Head { acks: false, ..Head::absolute("camera") };
    assert_eq!(put_media(&server, &head, &body(2, 100), 1_000), []);
    assert_eq!(server.list_fragments("camera").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_head_in_one_body_starts_a_new_document() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let mut twice = body(2, 100);
    twice.extend_from_slice(&head());
    twice.extend(fragment(START_MS + 2_000, 100));
    let acks = put_media(&server, &Head::absolute("camera"), &twice, 700);
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 3, "{acks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_connection_leaves_no_half_fragment_and_keeps_the_whole_ones() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let mut producer = Producer::connect(&server, &Head::absolute("camera"));
    let body = body(3, 2_000);
    producer.send(&body[..body.len() - 500]);
    while server.list_fragments("camera").await.len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    producer.cut();
    // A second upload is accepted at once, overlapping the first one's end.
    let mut again = head().to_vec();
    again.extend(fragment(START_MS + 9_000, 100));
    let acks = put_media(&server, &Head::absolute("camera"), &again, 1_000);
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 1);
    assert_eq!(server.list_fragments("camera").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn fragment_sent_again_after_a_reconnect_is_stored_once() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let first = put_media(&server, &Head::absolute("camera"), &body(2, 800), 1_000);
    let second = put_media(&server, &Head::absolute("camera"), &body(3, 800), 1_000);
    let numbers = |acks: &[Ack]| -> Vec<FragmentNumber> {
        of_kind(acks, "PERSISTED").iter().map(|ack| ack.number()).collect()
    };
    assert_eq!(numbers(&second)[..2], numbers(&first)[..]);
    assert_eq!(server.list_fragments("camera").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_sessions_of_one_stream_are_both_stored() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let mut old = Producer::connect(&server, &Head::absolute("camera"));
    old.send(&head());
    old.send(&fragment(START_MS, 100));
    assert_eq!(old.ack().expect("an ack").event(), "BUFFERING");
    let mut new = head().to_vec();
    new.extend(fragment(START_MS + 1_000, 100));
    let acks = put_media(&server, &Head::absolute("camera"), &new, 500);
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 1, "the new session does not wait: {acks:?}");
    old.finish();
    assert_eq!(of_kind(&old.remaining_acks(), "PERSISTED").len(), 1);
    assert_eq!(server.list_fragments("camera").await.len(), 2);
}

/// One body per error that a body can cause.
#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_body_gets_its_own_error() {
    let server = Server::start();
    let two_tracks = || bodies::head_of(vec![bodies::video(1), bodies::video(2)]).to_vec();
    let with_head = |rest: Vec<u8>| [head().to_vec(), rest].concat();
    let frame_at = |track, offset| block(track, offset, true, b"frame");
    let cluster = |timecode| kinora::media::mkv::cluster(timecode).to_vec();
    let many_tags: Vec<u8> = (0..11).flat_map(|n| bodies::tag(&format!("tag{n}"), "v")).collect();
    let late = [cluster(START_MS), frame_at(1, 0), frame_at(1, 20_001)].concat();
    let cases: Vec<(&str, u64, Vec<u8>)> = vec![
        ("INVALID_MKV_DATA", 4006, b"this is not Matroska at all".to_vec()),
        ("INVALID_MKV_DATA", 4006, with_head(fragment(START_MS, 100)[..700].to_vec())),
        ("INVALID_MKV_DATA", 4006, fragment(START_MS, 10)),
        ("MAX_FRAGMENT_DURATION_REACHED", 4002, with_head(late)),
        ("INVALID_PRODUCER_TIMESTAMP", 4007, with_head(fragment(u64::MAX / 4, 10))),
        ("FRAGMENT_METADATA_LIMIT_REACHED", 4009, {
            with_head([fragment(START_MS, 10), many_tags].concat())
        }),
        ("FRAGMENT_METADATA_LIMIT_REACHED", 4009, {
            let long = bodies::tag("name", &"v".repeat(257));
            with_head([fragment(START_MS, 10), long.to_vec()].concat())
        }),
        ("TRACK_NUMBER_MISMATCH", 4010, {
            with_head([cluster(START_MS), frame_at(7, 0)].concat())
        }),
        ("FRAMES_MISSING_FOR_TRACK", 4011, [two_tracks(), fragment(START_MS, 10)].concat()),
        ("MORE_THAN_ALLOWED_TRACKS_FOUND", 4012, {
            bodies::head_of((1..=4).map(bodies::video).collect()).to_vec()
        }),
    ];
    for (at, (code, id, body)) in cases.into_iter().enumerate() {
        let stream = format!("wrong-{at}");
        server.create_stream(&stream, 24).await;
        let acks = put_media(&server, &Head::absolute(&stream), &body, 211);
        let last = acks.last().unwrap_or_else(|| panic!("{code}: no ack"));
        assert_eq!(last.event(), "ERROR", "{code}: {acks:?}");
        assert_eq!((last.error_id(), last.0["ErrorCode"].as_str()), (id, Some(code)));
        assert!(last.0["FragmentTimecode"].as_i64().is_none_or(|ms| ms >= 0), "{last:?}");
        let stored = server.list_fragments(&stream).await.len();
        assert_eq!(stored, of_kind(&acks, "PERSISTED").len(), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fragment_above_the_size_limit_is_refused_and_the_server_goes_on() {
    let server = Server::start_configured(&[("KINORA_PUT_MEDIA_MAX_FRAGMENT_BYTES", "100000")]);
    server.create_stream("camera", 24).await;
    let large = [head().to_vec(), fragment(START_MS, 20_000)].concat();
    let acks = put_media(&server, &Head::absolute("camera"), &large, 4_096);
    assert_eq!(acks.last().expect("an ack").error_id(), 4001, "{acks:?}");
    let endless = [head().to_vec(), kinora::media::mkv::cluster(START_MS).to_vec()].concat();
    let endless =
        [endless, kinora::media::mkv::simple_block(1, 0, true, 1 << 30).to_vec()].concat();
    let endless = [endless, vec![0; 300_000]].concat();
    let acks = put_media(&server, &Head::absolute("camera"), &endless, 4_096);
    assert_eq!(acks.last().expect("an ack").error_id(), 4001, "{acks:?}");
    let acks = put_media(&server, &Head::absolute("camera"), &body(1, 100), 4_096);
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sender_that_stops_in_a_fragment_is_told_and_disconnected() {
    let server = Server::start_configured(&[("KINORA_PUT_MEDIA_IDLE_SECONDS", "1")]);
    server.create_stream("camera", 24).await;
    let mut producer = Producer::connect(&server, &Head::absolute("camera"));
    producer.send(&body(1, 100));
    let acks = producer.remaining_acks();
    assert_eq!(acks.last().expect("an ack").error_id(), 4000, "{acks:?}");
    assert_eq!(server.list_fragments("camera").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_ends_after_its_longest_duration() {
    let server = Server::start_configured(&[("KINORA_PUT_MEDIA_MAX_CONNECTION_SECONDS", "1")]);
    server.create_stream("camera", 24).await;
    let mut producer = Producer::connect(&server, &Head::absolute("camera"));
    producer.send(&body(2, 100));
    let acks = producer.remaining_acks();
    assert_eq!(acks.last().expect("an ack").error_id(), 4003, "{acks:?}");
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_to_a_stream_deleted_meanwhile_is_refused() {
    let server = Server::start();
    let arn = server.create_stream("camera", 24).await;
    let mut producer = Producer::connect(&server, &Head::absolute("camera"));
    producer.send(&body(1, 100));
    assert_eq!(producer.ack().expect("an ack").event(), "BUFFERING");
    server.kinesisvideo().delete_stream().stream_arn(arn).send().await.expect("deleted");
    producer.send(&end_of_fragment());
    let acks = producer.remaining_acks();
    assert_eq!(acks.last().expect("an ack").error_id(), 4008, "{acks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_to_an_unknown_stream_is_answered_before_the_body() {
    let server = Server::start();
    assert_eq!(Producer::connect(&server, &Head::absolute("nobody")).status, 404);
    server.create_stream("camera", 24).await;
    let bad = Head { timecode_type: "SOMETIMES", ..Head::absolute("camera") };
    assert_eq!(Producer::connect(&server, &bad).status, 400);
}
