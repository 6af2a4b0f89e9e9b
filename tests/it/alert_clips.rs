//! Alerts that bring the picture of the face and the clip itself, by webhook.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora::clock::Clock;
use serde_json::{Value, json};

use crate::alerts::{appears_at, next, put_rule, receiver, server, webhook};
use crate::clip::{assert_plays, get, record};
use crate::keeping::answer;
use crate::support::Server;

/// A face that somebody saw: the picture of it, a JPEG, and the id of the sighting.
pub fn seen(server: &Server) -> (Vec<u8>, Value) {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    let grey = image::GrayImage::from_pixel(32, 32, image::Luma([128]));
    grey.write_to(&mut jpeg, image::ImageFormat::Jpeg).expect("a picture");
    let jpeg = jpeg.into_inner();
    answer(server, "PUT", "/v1/collections/staff", "", "");
    let time = Clock::system().now().as_secs_f64();
    let observation = json!({
        "embedding": vec![0.5; 128], "confidence": 97.5, "stream": "camera", "fragmentNumber": "1",
        "boundingBox": {"Left": 0.25, "Top": 0.5, "Width": 0.125, "Height": 0.25},
        "producerTimestamp": time, "serverTimestamp": time,
        "trackId": "t1", "crop": STANDARD.encode(&jpeg),
    });
    let path = "/v1/collections/staff/observations";
    let observed = answer(server, "POST", path, "", &observation.to_string());
    (jpeg, observed["sightingId"].clone())
}

/// A file that a player can open.
pub fn mp4(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    file
}

/// The parts of a form, in their order.
fn parts<'a>(content_type: &str, body: &'a [u8]) -> Vec<(&'a str, &'a [u8])> {
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").expect("a form");
    let (delimiter, end) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}"));
    let mut rest = body;
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(delimiter.as_bytes()) {
        let head = find(part, b"\r\n\r\n");
        let len = find(&part[head + 4..], end.as_bytes());
        let text = std::str::from_utf8(&part[..head]).expect("a head of text");
        parts.push((text, &part[head + 4..head + 4 + len]));
        rest = &part[head + 4 + len + 2..];
    }
    assert_eq!(rest, format!("--{boundary}--\r\n").as_bytes(), "the form's end");
    parts
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|at| at == what).expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_brings_the_picture_and_a_clip_that_plays() {
    let (address, posts) = receiver("127.0.0.1:0", 200);
    let server = server(&[]).await;
    let times = record(&server).await;
    let (jpeg, sighting) = seen(&server);
    let mut target = webhook(address);
    target["attachClip"] = json!(true);
    let rule = json!({
        "when": { "type": "unknown" }, "targets": [target],
        "clip": { "beforeSeconds": 1, "afterSeconds": 0 },
    });
    put_rule(&server, "door", &rule);
    // From the first fragment into the second: both are part of it.
    appears_at(&server, "t1", times[1].0 + 0.1, &sighting).await;
    let post = next(&posts);
    assert!(post.is_signed());
    let parts = parts(post.header("content-type"), &post.body);
    let [(notice_head, notice), (clip_head, clip)] = parts[..] else { panic!("{parts:?}") };
    assert!(notice_head.contains("name=\"notice\"; filename=\"notice.json\""), "{notice_head}");
    assert!(notice_head.contains("Content-Type: application/json"), "{notice_head}");
    assert!(clip_head.contains("name=\"clip\"; filename=\"clip.mp4\""), "{clip_head}");
    assert!(clip_head.contains("Content-Type: video/mp4"), "{clip_head}");
    let notice: Value = serde_json::from_slice(notice).expect("JSON");
    assert_eq!(notice["alert"]["Event"]["TrackId"], "t1");
    let crop = notice["crop"].as_str().expect("a picture");
    assert_eq!(STANDARD.decode(crop).expect("base64"), jpeg);
    assert_plays(mp4(clip).path(), times[1].1 - times[0].0);
    // What its links show, is the same.
    for (link, expected) in [("clipUrl", clip), ("cropUrl", &jpeg)] {
        let shown = get(&server, notice[link].as_str().expect("a link"), &[]);
        assert_eq!(shown.status, 200, "{link}");
        assert!(shown.body == expected, "{link}: {} bytes", shown.body.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_whose_clip_is_not_stored_comes_without_it() {
    let (address, posts) = receiver("127.0.0.1:0", 200);
    let server = server(&[]).await;
    let times = record(&server).await;
    let mut target = webhook(address);
    target["attachClip"] = json!(true);
    put_rule(&server, "door", &json!({ "when": { "type": "unknown" }, "targets": [target] }));
    appears_at(&server, "t1", times[0].0 - 3600.0, &Value::Null).await;
    let post = next(&posts);
    assert_eq!(post.header("content-type"), "application/json");
    let notice: Value = serde_json::from_slice(&post.body).expect("JSON");
    assert_eq!((&notice["crop"], &notice["cropUrl"]), (&Value::Null, &Value::Null));
}
