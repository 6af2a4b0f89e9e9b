//! What of a stream is kept: limits and pins through the native API, late and doubled fragments,
//! and what the listing and the playlists say of them.

use std::time::Instant;

use aws_sdk_kinesisvideoarchivedmedia::types as archived;
use kinora::wire::sigv4::Request;
use serde_json::{Value, json};

use crate::bodies::{self, START_MS, body, fragment, head};
use crate::kvs::fixture;
use crate::producer::{Ack, Head, PATIENCE, of_kind, put_media};
use crate::support::{Answer, Server};

type Time = aws_sdk_kinesisvideoarchivedmedia::primitives::DateTime;

pub fn ask(server: &Server, method: &str, path: &str, query: &str, body: &str) -> Answer {
    let key = &server.credentials;
    let pair = format!("{}:{}", key.access_key, key.secret);
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
    let authorization = format!("Basic {basic}");
    let headers = [("host", "h"), ("authorization", authorization.as_str())];
    server.send(&Request { method, path, query, headers: &headers }, &[], body)
}

pub fn answer(server: &Server, method: &str, path: &str, query: &str, body: &str) -> Value {
    let answer = ask(server, method, path, query, body);
    assert_eq!(answer.status, 200, "{method} {path}?{query}: {answer:?}");
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Producer times of what is stored, in their order, in seconds after the small bodies' start.
fn stored(server: &Server, stream: &str) -> Vec<i64> {
    let listed = answer(server, "GET", &format!("/v1/streams/{stream}/fragments"), "", "");
    let fragments = listed["fragments"].as_array().expect("a list").clone();
    let seconds = |fragment: &Value| fragment["producerTimestamp"].as_f64().expect("a time");
    fragments.iter().map(|fragment| seconds(fragment) as i64 - START_MS as i64 / 1000).collect()
}

fn after_start(seconds: i64) -> String {
    (START_MS as i64 / 1000 + seconds).to_string()
}

fn range(from: i64, to: i64) -> String {
    format!("start={}&end={}", after_start(from), after_start(to))
}

fn with_head(fragments: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let head = bodies::head_of(vec![bodies::playable_video(1)]).to_vec();
    [head].into_iter().chain(fragments).flatten().collect()
}

/// Fragments of a second each, at these seconds after the start; their frames are of this size.
fn seconds(at: impl IntoIterator<Item = u64>, frame_bytes: usize) -> Vec<u8> {
    with_head(at.into_iter().map(|at| fragment(START_MS + at * 1000, frame_bytes)))
}

fn upload(server: &Server, stream: &str, body: &[u8]) -> Vec<Ack> {
    let acks = put_media(server, &Head::absolute(stream), body, 65_524);
    assert!(of_kind(&acks, "ERROR").is_empty(), "{acks:?}");
    acks
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_survive_the_limit_of_a_stream_until_they_are_taken_away() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    upload(&server, "camera", &seconds(0..10, 1_000));
    let pins = "/v1/streams/camera/pins";
    let pinned = answer(&server, "PUT", pins, &range(2, 3), "");
    assert_eq!(answer(&server, "PUT", pins, &range(2, 3), ""), pinned, "once more is the same");
    let start = START_MS as f64 / 1000.0;
    assert_eq!(pinned, json!({ "pins": [{ "start": start + 2.0, "end": start + 3.0 }] }));
    assert_eq!(answer(&server, "GET", pins, "", ""), pinned);
    let (_, dir) = server.stop();
    let server = Server::start_in(dir, &[]);
    let described = answer(&server, "PATCH", "/v1/streams/camera", "", "{\"maxBytes\":25000}");
    assert_eq!((&described["maxBytes"], &described["pins"]), (&json!(25_000), &json!(1)));
    // Two fragments of ten frames of 1000 bytes fit, and the pinned ones are kept besides.
    assert_eq!(stored(&server, "camera"), [2, 3, 8, 9]);
    assert!(described["bytes"].as_u64().is_some_and(|bytes| bytes < 50_000), "{described}");
    answer(&server, "DELETE", pins, &range(2, 3), "");
    assert_eq!(ask(&server, "DELETE", pins, &range(2, 3), "").status, 404);
    answer(&server, "PATCH", "/v1/streams/camera", "", "{\"maxBytes\":null}");
    assert_eq!(stored(&server, "camera"), [8, 9], "what only the pin held goes, and no more");
    assert_eq!(server.metric("kinora_store_expired_fragments_total"), 8.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_pins_are_for_those_who_may_do_all_and_are_checked() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let link = server.key(&["link", "--url", "http://h", "--stream", "camera"]);
    let token = link.trim().rsplit_once("token=").expect("a token").1.to_owned();
    let pins = "/v1/streams/camera/pins";
    let with_link = |method, path| {
        let query = format!("{}&token={token}", range(0, 1));
        let request = Request { method, path, query: &query, headers: &[("host", "h")] };
        server.send(&request, &[], "").status
    };
    assert_eq!(with_link("GET", pins), 200);
    for (method, path) in [("PUT", pins), ("DELETE", pins), ("PATCH", "/v1/streams/camera")] {
        assert_eq!(with_link(method, path), 403, "{method}");
    }
    assert_eq!(ask(&server, "PUT", pins, &range(1, 0), "").status, 400);
    assert_eq!(ask(&server, "PUT", pins, "start=1", "").status, 400);
    assert_eq!(ask(&server, "GET", "/v1/streams/other/pins", "", "").status, 404);
    for wrong in ["{\"maxBytes\":-1}", "{\"retentionHours\":90000}", "{\"retention\":1}", "[]"] {
        assert_eq!(ask(&server, "PATCH", "/v1/streams/camera", "", wrong).status, 400, "{wrong}");
    }
    let changed = "{\"retentionHours\":0,\"strictTimecodes\":true}";
    let stream = answer(&server, "PATCH", "/v1/streams/camera", "", changed);
    assert_eq!(answer(&server, "GET", "/v1/streams/camera", "", ""), stream);
    assert_eq!(stream["retentionHours"], 0);
    assert_eq!(stream["maxBytes"], Value::Null);
    assert_eq!(answer(&server, "GET", "/v1/streams", "", "")["streams"][0], stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_are_refused_only_when_the_quota_is_full_of_pinned_fragments() {
    let server = Server::start_configured(&[("KINORA_STORE_QUOTA_BYTES", "25165824")]);
    server.create_stream("camera", 24).await;
    let log_bytes = || server.metric("kinora_store_disk_bytes");
    let batch = |at: u64| seconds(at * 20..at * 20 + 20, 20_000);
    for at in 0..15 {
        upload(&server, "camera", &batch(at));
        assert!(log_bytes() <= 25_165_824.0, "{}", log_bytes());
    }
    assert!(server.metric("kinora_store_evicted_fragments_total") > 100.0);
    assert_eq!(*stored(&server, "camera").last().expect("some"), 299);
    answer(&server, "PUT", "/v1/streams/camera/pins", "start=0&end=4000000000", "");
    let deadline = Instant::now() + PATIENCE;
    let refused = (20..).find_map(|at| {
        assert!(Instant::now() < deadline, "the quota is not held");
        let acks = put_media(&server, &Head::absolute("camera"), &batch(at), 65_524);
        of_kind(&acks, "ERROR").first().map(|ack| ack.error_id())
    });
    assert_eq!(refused, Some(5001));
    assert!(server.metric("kinora_store_refused_fragments_total") >= 1.0);
    assert!(log_bytes() <= 25_165_824.0, "{}", log_bytes());
    answer(&server, "DELETE", "/v1/streams/camera/pins", "start=0&end=4000000000", "");
    let accepted = || {
        let body = seconds(1000..1001, 1_000);
        let acks = put_media(&server, &Head::absolute("camera"), &body, 65_524);
        of_kind(&acks, "ERROR").is_empty()
    };
    while !accepted() {
        assert!(Instant::now() < deadline, "the next pass frees space");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_sent_again_is_stored_once_also_after_a_restart_and_with_two_tracks() {
    let mut server = Server::start();
    let numbers = |acks: &[Ack]| -> Vec<_> {
        of_kind(acks, "PERSISTED").iter().map(|ack| ack.number()).collect()
    };
    for (stream, name) in [
        ("sound", "kvssink-h264_aac-two_tracks"),
        ("tags", "kvssink-h264-metadata"),
        ("b-frames", "cproducer-h264-bframes"),
    ] {
        server.create_stream(stream, 24).await;
        let first = numbers(&upload(&server, stream, &fixture(name)));
        let dir = server.kill_9();
        server = Server::start_in(dir, &[]);
        assert_eq!(numbers(&upload(&server, stream, &fixture(name))), first, "{name}");
        assert_eq!(server.list_fragments(stream).await.len(), first.len(), "{name}");
    }
    // The same frames in other tracks are another fragment.
    let more = bodies::head_of(vec![bodies::playable_video(1)]).to_vec();
    server.create_stream("small", 24).await;
    upload(&server, "small", &body(1, 100));
    upload(&server, "small", &[more, fragment(START_MS, 100)].concat());
    assert_eq!(server.list_fragments("small").await.len(), 2);
}

fn selector(from: i64, to: i64) -> archived::FragmentSelector {
    let time = |seconds: i64| Time::from_secs(START_MS as i64 / 1000 + seconds);
    let range = archived::TimestampRange::builder();
    let range = range.start_timestamp(time(from)).end_timestamp(time(to)).build();
    archived::FragmentSelector::builder()
        .fragment_selector_type(archived::FragmentSelectorType::ProducerTimestamp)
        .timestamp_range(range.expect("a range"))
        .build()
        .expect("a selector")
}

/// What an on-demand session plays, in order: seconds after the start, from its dates.
async fn played(server: &Server, stream: &str, from: i64, to: i64) -> Vec<i64> {
    let of = selector(from, to);
    let range = of.timestamp_range().expect("a range");
    let range = archived::HlsTimestampRange::builder()
        .start_timestamp(*range.start_timestamp())
        .end_timestamp(*range.end_timestamp())
        .build();
    let selector = archived::HlsFragmentSelector::builder()
        .fragment_selector_type(archived::HlsFragmentSelectorType::ProducerTimestamp)
        .timestamp_range(range)
        .build();
    let session = server.archive().get_hls_streaming_session_url().stream_name(stream);
    let session = session
        .playback_mode(archived::HlsPlaybackMode::OnDemand)
        .display_fragment_timestamp(archived::HlsDisplayFragmentTimestamp::Always)
        .hls_fragment_selector(selector);
    let session = session.send().await.expect("a session");
    dates(server, session.hls_streaming_session_url().expect("a URL"))
}

fn dates(server: &Server, url: &str) -> Vec<i64> {
    let master = server.get_with_key(url);
    let line = master.text().lines().find(|line| line.contains("getHLSMediaPlaylist"));
    let uri = line.unwrap_or_else(|| panic!("{}", master.text()));
    let uri = if uri.starts_with('/') { uri.to_owned() } else { format!("/hls/v1/{uri}") };
    let playlist = server.get(&uri);
    let playlist = m3u8_rs::parse_media_playlist_res(&playlist.body).expect("a playlist");
    let date = |segment: &m3u8_rs::MediaSegment| segment.program_date_time.expect("a date");
    let start = START_MS as i64 / 1000;
    playlist.segments.iter().map(|segment| date(segment).timestamp() - start).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_of_an_hour_ago_lands_in_its_place_everywhere() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    upload(&server, "camera", &seconds((3600..3603).chain(3606..3608), 200));
    upload(&server, "camera", &seconds(0..3, 200));
    upload(&server, "camera", &seconds(3603..3606, 200));
    let wanted: Vec<i64> = (0..3).chain(3600..3608).collect();
    assert_eq!(stored(&server, "camera"), wanted);
    let request = server.archive().list_fragments().stream_name("camera").max_results(2);
    let pages = request.fragment_selector(selector(-60, 7_200)).into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await.expect("the listing");
    let listed = pages.iter().flat_map(|page| page.fragments());
    let times = listed.filter_map(|fragment| fragment.producer_timestamp());
    let times: Vec<_> = times.map(|time| time.secs() - START_MS as i64 / 1000).collect();
    assert_eq!(times, wanted);
    assert_eq!(played(&server, "camera", -60, 7_200).await, wanted);
    assert_eq!(played(&server, "camera", 3_602, 3_604).await, [3_602, 3_603, 3_604]);
    let native = format!("/v1/streams/camera/hls.m3u8?{}", range(-60, 3_604));
    assert_eq!(dates(&server, &native), wanted[..8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_repeats_nothing_when_its_last_fragment_expired_in_between() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    upload(&server, "camera", &seconds([2, 1, 3], 1_000));
    let request = || server.archive().list_fragments().stream_name("camera").max_results(2);
    let times = |fragments: &[archived::Fragment]| -> Vec<i64> {
        let times = fragments.iter().filter_map(|fragment| fragment.producer_timestamp());
        times.map(|time| time.secs() - START_MS as i64 / 1000).collect()
    };
    let first = request().fragment_selector(selector(0, 60)).send().await.expect("a page");
    assert_eq!(times(first.fragments()), [1, 2]);
    // The oldest by arrival is the one that the page ended with.
    answer(&server, "PATCH", "/v1/streams/camera", "", "{\"maxBytes\":25000}");
    assert_eq!(stored(&server, "camera"), [1, 3]);
    let token = first.next_token().expect("there is more");
    let second = request().next_token(token).send().await.expect("a page");
    assert_eq!(times(second.fragments()), [3]);
    assert_eq!(second.next_token(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_overlapping_recordings_the_later_one_is_played() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    upload(&server, "camera", &seconds(0..8, 200));
    // The same seconds again, others in them; and some that begin half a second later.
    upload(&server, "camera", &seconds(2..4, 300));
    let shifted = with_head((5..7).map(|at| fragment(START_MS + at * 1000 + 500, 300)));
    upload(&server, "camera", &shifted);
    assert_eq!(server.list_fragments("camera").await.len(), 12);
    // The sixth second of the first recording is covered; the fifth and seventh only in part.
    assert_eq!(played(&server, "camera", 0, 60).await, [0, 1, 2, 3, 4, 5, 5, 6, 7]);
    let native = format!("/v1/streams/camera/hls.m3u8?{}", range(0, 60));
    assert_eq!(dates(&server, &native), [0, 1, 2, 3, 4, 5, 5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timecodes_that_run_backwards_are_stored_unless_the_stream_is_strict() {
    let server = Server::start();
    let backwards = [
        head().to_vec(),
        fragment(START_MS + 2_000, 10),
        fragment(START_MS + 1_000, 10),
        fragment(START_MS + 3_000, 10),
    ];
    server.create_stream("lenient", 24).await;
    assert_eq!(of_kind(&upload(&server, "lenient", &backwards.concat()), "PERSISTED").len(), 3);
    assert_eq!(stored(&server, "lenient"), [1, 2, 3]);
    server.create_stream("strict", 24).await;
    answer(&server, "PATCH", "/v1/streams/strict", "", "{\"strictTimecodes\":true}");
    let acks = put_media(&server, &Head::absolute("strict"), &backwards.concat(), 500);
    assert_eq!(acks.last().expect("an ack").error_id(), 4004, "{acks:?}");
    assert_eq!(stored(&server, "strict"), [2]);
}
