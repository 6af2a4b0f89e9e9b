//! The native API's answers, and that its description tells the truth about them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kinora::wire::sigv4::Request;
use serde_json::Value;

use crate::kvs::fixture;
use crate::producer::{Head, PATIENCE, of_kind, put_media};
use crate::support::{Answer, Server};

/// A server that calls a stream live for a second after its newest fragment, with an upload.
async fn recorded() -> (Server, String) {
    let server = Server::start_configured(&[("KINORA_HLS_LIVE_WITHIN_SECONDS", "1")]);
    server.create_stream("camera", 24).await;
    let body = fixture("kvssink-h264_aac-two_tracks");
    let acks = put_media(&server, &Head::absolute("camera"), &body, 65_524);
    let last = of_kind(&acks, "PERSISTED").last().expect("it was stored").number();
    (server, last.to_string())
}

fn get(server: &Server, path: &str, query: &str) -> Answer {
    let link = server.key(&["link", "--url", "http://h"]);
    let token = link.trim().rsplit_once("token=").expect("a token").1;
    let authorization = format!("Bearer {token}");
    let headers = [("host", "h"), ("authorization", authorization.as_str())];
    server.send(&Request { method: "GET", path, query, headers: &headers }, &[], "")
}

fn json(server: &Server, path: &str, query: &str) -> Value {
    let answer = get(server, path, query);
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_tells_where_a_stream_ends_and_when_it_stops_being_live() {
    let (server, last) = recorded().await;
    let stream = || json(&server, "/v1/streams", "")["streams"][0].clone();
    let first_look = stream();
    assert_eq!(first_look["newest"]["number"], last.as_str());
    assert!(first_look["oldest"]["number"].as_str() < first_look["newest"]["number"].as_str());
    assert!(first_look["newest"]["durationMs"].as_u64().is_some_and(|length| length > 0));
    assert_eq!(first_look["live"], true);
    let playlist = || get(&server, "/v1/streams/camera/live.m3u8", "").status;
    assert_eq!(playlist(), 200);
    let deadline = Instant::now() + PATIENCE;
    while stream()["live"] == true {
        assert!(Instant::now() < deadline, "it stays live");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(playlist(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_are_listed_within_a_range_and_a_limit() {
    let (server, last) = recorded().await;
    let path = "/v1/streams/camera/fragments";
    let all = json(&server, path, "");
    let all = all["fragments"].as_array().expect("a list");
    assert_eq!(all.last().expect("some")["number"], last.as_str());
    let one = json(&server, path, "limit=1");
    assert_eq!(one["fragments"].as_array().expect("a list"), &all[..1]);
    let second = all[1]["producerTimestamp"].as_f64().expect("a time");
    let later = json(&server, path, &format!("start={second}"));
    assert_eq!(later["fragments"].as_array().expect("a list"), &all[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn description_names_the_properties_that_answers_have() {
    let (server, _) = recorded().await;
    let description = json(&server, "/v1/openapi.json", "");
    let described = |name: &str| keys(&description["components"]["schemas"][name]["properties"]);
    let stream = &json(&server, "/v1/streams", "")["streams"][0];
    assert_eq!(keys(stream), described("Stream"));
    assert_eq!(keys(&stream["newest"]), described("Fragment"));
    let listed = json(&server, "/v1/streams/camera/fragments", "limit=1");
    assert_eq!(keys(&listed["fragments"][0]), described("Fragment"));
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().expect("an object").keys().cloned().collect()
}
