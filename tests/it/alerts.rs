//! Rules, and alerts that go out: findings put by hand, and a receiver in the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use kinora::clock::Clock;
use kinora::wire::alerts::signature;
use kinora::wire::sigv4::{self, Request, Target};
use serde_json::{Value, json};

use crate::keeping::{answer, ask};
use crate::support::{Server, TARGET};

const SECRET: &str = "a secret of the receiver";
/// How long a test waits for an alert that must come.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// One request as a receiver got it.
pub struct Post {
    head: String,
    pub body: Vec<u8>,
    at: Instant,
}

impl Post {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).expect(name)
    }

    /// Whether the signature is that of the whole body at the time that it names.
    pub fn is_signed(&self) -> bool {
        let given = self.header("x-kinora-signature");
        let time = given.strip_prefix("t=").and_then(|rest| rest.split_once(','));
        let seconds = time.and_then(|(time, _)| time.parse().ok()).expect("a time");
        signature(SECRET, seconds, &self.body) == given
    }
}

/// A receiver of webhooks that answers each with `status`.
pub fn receiver(address: &str, status: u16) -> (SocketAddr, Receiver<Post>) {
    let listener = TcpListener::bind(address).expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let (sender, posts) = channel();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(socket) = socket else { return };
            let sender: Sender<Post> = sender.clone();
            std::thread::spawn(move || serve(socket, status, &sender));
        }
    });
    (address, posts)
}

fn serve(socket: std::net::TcpStream, status: u16, posts: &Sender<Post>) {
    let mut writer = socket.try_clone().expect("a socket");
    let mut reader = BufReader::new(socket);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(reader.read_line(&mut head), Ok(read) if read > 0) {
                return;
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
        let _ = posts.send(Post { head, body, at: Instant::now() });
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A port on which nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port")
}

pub const SETTINGS: [(&str, &str); 2] =
    [("KINORA_ALERTS_STREAMS", "findings"), ("KINORA_ALERTS_RETRY_SECONDS", "1")];

/// A server with a record stream for findings.
pub async fn server(settings: &[(&str, &str)]) -> Server {
    let settings: Vec<_> = SETTINGS.iter().chain(settings).copied().collect();
    let server = Server::start_configured(&settings);
    let made = server.kinesis().create_stream().stream_name("findings").shard_count(1);
    made.send().await.expect("made");
    server
}

pub fn webhook(address: SocketAddr) -> Value {
    json!({ "type": "webhook", "url": format!("http://{address}/hook"), "secret": SECRET })
}

pub fn put_rule(server: &Server, name: &str, rule: &Value) -> Value {
    answer(server, "PUT", &format!("/v1/alerts/rules/{name}"), "", &rule.to_string())
}

/// A face nobody knows appears before `camera` now.
async fn appears(server: &Server, track: &str) {
    appears_at(server, track, Clock::system().now().as_secs_f64(), &Value::Null).await;
}

/// The same, at a time of the stream's media, with a sighting of the collection `staff`.
pub async fn appears_at(server: &Server, track: &str, time: f64, sighting: &Value) {
    put(server, &[finding("camera", track, time, sighting)]).await;
}

/// Puts findings as a stream processor does.
pub async fn put(server: &Server, findings: &[Value]) {
    use aws_sdk_kinesis::{primitives::Blob, types::PutRecordsRequestEntry};
    let record = |finding: &Value| {
        let data = Blob::new(finding.to_string());
        PutRecordsRequestEntry::builder().partition_key("p").data(data).build().expect("complete")
    };
    let records = findings.iter().map(record).collect();
    let put = server.kinesis().put_records().stream_name("findings").set_records(Some(records));
    let put = put.send().await.expect("put");
    assert_eq!(put.failed_record_count(), Some(0), "{put:?}");
}

/// What a stream processor says of a face that appears.
pub fn finding(stream: &str, track: &str, time: f64, sighting: &Value) -> Value {
    let bounds = json!({ "Height": 0.2, "Width": 0.2, "Left": 0.4, "Top": 0.4 });
    json!({
        "InputInformation": { "KinesisVideo": {
            "StreamArn": "arn", "FragmentNumber": "1", "ServerTimestamp": time,
            "ProducerTimestamp": time, "FrameOffsetInSeconds": 0.0,
        }},
        "StreamProcessorInformation": { "Status": "RUNNING" },
        "FaceSearchResponse": [],
        "Kinora": {
            "Version": 1, "Processor": "p", "Collection": "staff", "Stream": stream,
            "ResultId": track, "FrameTimestamp": time,
            "Events": [{
                "Type": "appeared", "TrackId": track, "ResultId": track, "Stream": stream,
                "Time": time, "First": time, "Last": time, "Frames": 3,
                "PersonId": "u1", "PersonName": null, "Known": false, "Similarity": null,
                "SightingId": sighting, "FaceId": null, "BoundingBox": bounds, "Confidence": 99.0,
            }],
        },
    })
}

pub fn next(posts: &Receiver<Post>) -> Post {
    posts.recv_timeout(PATIENCE).expect("an alert")
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_face_reaches_the_receiver_signed_and_in_time() {
    let (address, posts) = receiver("127.0.0.1:0", 200);
    let server = server(&[]).await;
    let rule = json!({ "when": { "type": "unknown" }, "targets": [webhook(address)] });
    put_rule(&server, "door", &rule);
    appears(&server, "warm-up").await;
    next(&posts);
    let begun = Instant::now();
    appears(&server, "t1").await;
    let post = next(&posts);
    assert!(post.at - begun < Duration::from_secs(2), "{:?}", post.at - begun);
    assert!(post.is_signed());
    let notice = post.json();
    assert_eq!(notice["alert"]["Rule"], "door");
    assert_eq!(notice["alert"]["Event"]["TrackId"], "t1");
    let clip = notice["clipUrl"].as_str().expect("a link");
    assert!(clip.contains("/v1/streams/camera/clip.mp4?") && clip.contains("token="), "{clip}");
    let listed = answer(&server, "GET", "/v1/alerts", "limit=1", "");
    assert_eq!(listed["alerts"][0], notice["alert"]);
    // Once for each track.
    appears(&server, "t1").await;
    appears(&server, "t2").await;
    assert_eq!(next(&posts).json()["alert"]["Event"]["TrackId"], "t2");
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_outlives_a_receiver_that_is_down_and_a_server_that_is_killed() {
    let address = nobody();
    let (other, others) = receiver("127.0.0.1:0", 200);
    let server = server(&[]).await;
    let rule = json!({
        "when": { "type": "face" }, "targets": [webhook(address), webhook(other)],
        "maxAttempts": 100,
    });
    put_rule(&server, "door", &rule);
    appears(&server, "t1").await;
    // A receiver that does not answer delays no other.
    assert_eq!(next(&others).json()["alert"]["Event"]["TrackId"], "t1");
    let dir = server.kill_9();
    let server = Server::start_with_settings_in(dir, &SETTINGS);
    let (_, posts) = receiver(&address.to_string(), 200);
    let post = next(&posts);
    assert!(post.is_signed());
    assert_eq!(post.json()["alert"]["Event"]["TrackId"], "t1");
    appears(&server, "t2").await;
    assert_eq!(next(&posts).json()["alert"]["Event"]["TrackId"], "t2");
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_that_nobody_takes_is_a_dead_letter_and_can_be_restored() {
    let (refusing, refused) = receiver("127.0.0.1:0", 503);
    let server = server(&[]).await;
    let rule = |address| json!({ "when": { "type": "face" }, "targets": [webhook(address)], "maxAttempts": 2 });
    let named = put_rule(&server, "door", &rule(refusing));
    let queue = named["queueARN"].as_str().expect("a queue");
    appears(&server, "t1").await;
    next(&refused);
    next(&refused);
    let dead = dead_letters(&server, "door");
    assert_eq!(dead["alerts"][0]["Event"]["TrackId"], "t1");
    assert_eq!(dead_letters(&server, "door"), dead, "a look hides nothing");
    let kinesis = |operation: &str, body: Value| {
        let target = format!("Kinesis_20131202.{operation}");
        let body = body.to_string();
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("host", server.authority()),
            ("x-amz-target", target.as_str()),
        ];
        let request = Request { method: "POST", path: "/", query: "", headers: &headers };
        let signed = sigv4::sign_headers(
            &request,
            &sigv4::payload_hash(body.as_bytes()),
            &server.credentials,
            Target { service: "kinesis", ..TARGET },
            Clock::system().now(),
        );
        let signed: Vec<_> = signed.into_iter().collect();
        let answer = server.send(&request, &signed, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice::<Value>(&answer.body).expect("JSON")
    };
    let receive = json!({ "QueueARN": queue, "WaitTimeSeconds": 20 });
    let dead = kinesis("ReceiveDeadLetterQueueRecords", receive);
    let receipt = &dead["QueueRecords"][0]["ReceiptHandle"];
    assert!(receipt.is_string(), "{dead}");
    let (taking, posts) = receiver("127.0.0.1:0", 200);
    put_rule(&server, "door", &rule(taking));
    let entries = json!([{ "ReceiptHandle": receipt }]);
    kinesis("RestoreDeadLetterQueueRecords", json!({ "QueueARN": queue, "Entries": entries }));
    assert_eq!(next(&posts).json()["alert"]["Event"]["TrackId"], "t1");
}

/// The dead letters of a rule, once there is one.
fn dead_letters(server: &Server, rule: &str) -> Value {
    let begun = Instant::now();
    loop {
        let path = format!("/v1/alerts/rules/{rule}/dead-letters");
        let dead = answer(server, "GET", &path, "", "");
        if dead["count"] == 1 {
            return dead;
        }
        assert!(begun.elapsed() < PATIENCE, "{dead}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_dead_letters_of_a_rule_are_restored_at_once() {
    let (refusing, refused) = receiver("127.0.0.1:0", 503);
    let server = server(&[]).await;
    let rule = |address| json!({ "when": { "type": "face" }, "targets": [webhook(address)], "maxAttempts": 1 });
    put_rule(&server, "door", &rule(refusing));
    appears(&server, "t1").await;
    next(&refused);
    dead_letters(&server, "door");
    let (taking, posts) = receiver("127.0.0.1:0", 200);
    put_rule(&server, "door", &rule(taking));
    let restore = "/v1/alerts/rules/door/dead-letters/restore";
    let begun = Instant::now();
    // Until the alerter has heard of the new address, an attempt is in vain.
    let post = loop {
        answer(&server, "POST", restore, "", "");
        match posts.recv_timeout(Duration::from_secs(2)) {
            Ok(post) => break post,
            Err(_) => assert!(begun.elapsed() < PATIENCE, "the receiver is not told"),
        }
    };
    assert_eq!(post.json()["alert"]["Event"]["TrackId"], "t1");
    put_rule(&server, "silent", &json!({ "when": { "type": "face" } }));
    let silent = answer(&server, "GET", "/v1/alerts/rules/silent/dead-letters", "", "");
    assert_eq!(silent, json!({ "count": 0, "waiting": 0, "alerts": [] }));
    assert_eq!(ask(&server, "POST", &restore.replace("door", "none"), "", "").status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_kept_listed_refused_and_deleted() {
    let server = server(&[]).await;
    let wrong = json!({ "when": { "type": "count", "count": 0, "windowSeconds": 5 } });
    let refused = ask(&server, "PUT", "/v1/alerts/rules/door", "", &wrong.to_string());
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("when.count"), "{}", refused.text());
    let mail =
        json!({ "when": { "type": "face" }, "targets": [{ "type": "email", "to": ["a@b"] }] });
    let refused = ask(&server, "PUT", "/v1/alerts/rules/door", "", &mail.to_string());
    assert!(
        refused.status == 400 && refused.text().contains("alerts.smtp.host"),
        "{}",
        refused.text()
    );
    assert_eq!(answer(&server, "GET", "/v1/alerts", "", ""), json!({ "alerts": [] }));

    let made = put_rule(&server, "door", &json!({ "when": { "type": "face" } }));
    assert_eq!(made["queueARN"], Value::Null);
    let (dir, status) = {
        let (status, dir) = server.stop();
        (dir, status)
    };
    assert!(status.success());
    let server = Server::start_with_settings_in(dir, &SETTINGS);
    assert_eq!(answer(&server, "GET", "/v1/alerts/rules/door", "", ""), made);
    assert_eq!(answer(&server, "GET", "/v1/alerts/rules", "", ""), json!({ "rules": [made] }));
    answer(&server, "DELETE", "/v1/alerts/rules/door", "", "");
    assert_eq!(ask(&server, "GET", "/v1/alerts/rules/door", "", "").status, 404);
    assert_eq!(ask(&server, "DELETE", "/v1/alerts/rules/door", "", "").status, 404);
}
