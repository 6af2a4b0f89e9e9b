//! A range of a stream as one MP4 file: what ffprobe and GStreamer say of it, parts of it, links.

use std::ffi::OsStr;
use std::process::Command;

use kinora::wire::sigv4::Request;
use serde_json::{Value, json};

use crate::keeping::answer;
use crate::kvs::fixture;
use crate::producer::{Head, of_kind, put_media};
use crate::support::{Answer, Server};

/// A server with a recorded upload of H.264 and AAC, and when its fragments begin and end.
async fn recorded() -> (Server, Vec<(f64, f64)>) {
    let server = Server::start();
    let times = record(&server).await;
    (server, times)
}

/// Uploads the same to the stream `camera` of a server.
pub async fn record(server: &Server) -> Vec<(f64, f64)> {
    server.create_stream("camera", 24).await;
    let body = fixture("kvssink-h264_aac-two_tracks");
    let acks = put_media(server, &Head::absolute("camera"), &body, 65_524);
    assert!(of_kind(&acks, "ERROR").is_empty(), "{acks:?}");
    let answer = server.get_with_key("/v1/streams/camera/fragments");
    let listed: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let time = |fragment: &Value| {
        let start = fragment["producerTimestamp"].as_f64().expect("a time");
        (start, start + fragment["durationMs"].as_f64().expect("a length") / 1000.0)
    };
    let times: Vec<_> = listed["fragments"].as_array().expect("a list").iter().map(time).collect();
    assert!(times.len() >= 3, "{times:?}");
    times
}

/// Whether ffprobe finds no fault in a recording of two tracks that lasts so many seconds.
pub fn assert_plays(input: impl AsRef<OsStr>, seconds: f64) {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration:stream=codec_name", "-of", "json"])
        .arg(input)
        .output()
        .expect("ffprobe is installed (make setup)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "ffprobe: {said}");
    let probed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(probed["streams"].as_array().map(Vec::len), Some(2), "{probed}");
    let duration = probed["format"]["duration"].as_str().and_then(|text| text.parse::<f64>().ok());
    assert!((duration.expect("a duration") - seconds).abs() < 0.2, "{probed}, not {seconds}");
}

fn link(server: &Server, from: f64, to: f64) -> String {
    let body = json!({ "type": "clip", "stream": "camera", "start": from, "end": to });
    let link = answer(server, "POST", "/v1/links", "", &body.to_string());
    // The host is the one that the request named, which is made up.
    let url = link["url"].as_str().expect("a URL");
    format!("{}{}", server.endpoint, &url[url.find("/v1/").expect("a path")..])
}

/// What a link to the server shows.
pub fn get(server: &Server, url: &str, added: &[(&str, &str)]) -> Answer {
    let path = url.strip_prefix(&server.endpoint).expect("a link to the server");
    let (path, query) = path.split_once('?').expect("a query");
    let mut headers = vec![("host", server.authority())];
    headers.extend(added);
    server.send(&Request { method: "GET", path, query, headers: &headers }, &[], "")
}

#[tokio::test(flavor = "multi_thread")]
async fn clip_plays_in_ffprobe_and_gstreamer_from_its_link() {
    let (server, times) = recorded().await;
    // The middle of the second fragment to the middle of the third: both of them.
    let middle = |at: usize| (times[at].0 + times[at].1) / 2.0;
    let url = link(&server, middle(1), middle(2));
    assert_plays(&url, times[2].1 - times[1].0);

    let file = tempfile::Builder::new().suffix(".mp4").tempfile().expect("a file");
    let whole = get(&server, &url, &[]);
    std::fs::write(file.path(), &whole.body).expect("written");
    let output = Command::new("gst-launch-1.0")
        .args(["-q", "filesrc"])
        .arg(format!("location={}", file.path().display()))
        .args(["!", "qtdemux", "!", "h264parse", "!", "avdec_h264", "!", "fakesink"])
        .output()
        .expect("GStreamer is installed (make setup)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn clip_is_given_in_parts_and_not_twice() {
    let (server, times) = recorded().await;
    let url = link(&server, times[0].0, times.last().expect("some").1);
    let whole = get(&server, &url, &[]);
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("video/mp4")));
    let len = whole.body.len();
    for (asked, from, to) in [
        ("bytes=0-99".to_owned(), 0, 100),
        (format!("bytes=1000-{}", len / 2), 1000, len / 2 + 1),
        ("bytes=-500".to_owned(), len - 500, len),
    ] {
        let part = get(&server, &url, &[("range", &asked)]);
        assert_eq!(part.status, 206, "{asked}");
        assert_eq!(part.body, whole.body[from..to], "{asked}");
        let place = format!("bytes {from}-{}/{len}", to - 1);
        assert_eq!(part.header("content-range"), Some(place.as_str()));
    }
    let beyond = format!("bytes={len}-");
    assert_eq!(get(&server, &url, &[("range", &beyond)]).status, 416);
    let tag = whole.header("etag").expect("a tag").to_owned();
    assert_eq!(get(&server, &url, &[("if-none-match", &tag)]).status, 304);
    let other = get(&server, &url, &[("range", "bytes=0-9"), ("if-range", "\"other\"")]);
    assert_eq!((other.status, other.body.len()), (200, len));
}

#[tokio::test(flavor = "multi_thread")]
async fn link_shows_its_clip_and_nothing_else() {
    let (server, times) = recorded().await;
    let (from, to) = (times[0].0, times[1].1);
    let url = link(&server, from, to);
    let token = url.rsplit_once("token=").expect("a token").1;
    let clip = |from: f64, to: f64| {
        format!(
            "{}/v1/streams/camera/clip.mp4?start={from}&end={to}&token={token}",
            server.endpoint
        )
    };
    assert_eq!(get(&server, &clip(from + 0.1, to - 0.1), &[]).status, 200);
    assert_eq!(get(&server, &clip(from - 1.0, to), &[]).status, 403);
    assert_eq!(get(&server, &clip(from, to + 1.0), &[]).status, 403);
    for path in
        ["/v1/streams/camera/fragments", "/v1/streams/camera", "/v1/streams/camera/live.m3u8"]
    {
        let url = format!("{}{path}?token={token}", server.endpoint);
        assert_eq!(get(&server, &url, &[]).status, 403, "{path}");
    }
    let streams = get(&server, &format!("{}/v1/streams?token={token}", server.endpoint), &[]);
    assert_eq!(streams.text(), r#"{"streams":[]}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_of_a_clip_says_what_to_change() {
    let (server, times) = recorded().await;
    let end = times.last().expect("some").1;
    for (query, status, words) in [
        (format!("start={}&end={}", end + 60.0, end + 70.0), 404, "Nothing is stored"),
        (format!("start={end}&end={end}"), 400, "before end"),
        (format!("start={}&end={end}", end - 601.0), 400, "clips.max_seconds"),
        ("start=yesterday&end=0".to_owned(), 400, "seconds since"),
        ("start=5".to_owned(), 400, "start and end"),
    ] {
        let answer = server.get_with_key(&format!("/v1/streams/camera/clip.mp4?{query}"));
        assert_eq!(answer.status, status, "{query}: {answer:?}");
        assert!(answer.text().contains(words), "{query}: {}", answer.text());
    }
}
