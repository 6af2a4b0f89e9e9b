//! Server-sent events, as the console and curl get them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora::wire::sigv4::Target;
use serde_json::{Value, json};

use crate::bodies::body;
use crate::keeping::{answer, ask};
use crate::producer::{Head, put_media};
use crate::rekognition::{door, with_streams};
use crate::support::Server;

const KINESIS: Target<'static> = Target { region: "eu-west-1", service: "kinesis" };
/// How long a test waits for an event that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client that listens.
struct Listener {
    socket: TcpStream,
    text: String,
}

impl Listener {
    /// Once the server says that it tells.
    fn connect(server: &Server, query: &str) -> Self {
        let key = &server.credentials;
        let basic = STANDARD.encode(format!("{}:{}", key.access_key, key.secret));
        let mut socket = TcpStream::connect(server.authority()).expect("connects");
        socket.set_read_timeout(Some(PATIENCE)).expect("a valid time");
        let head = format!(
            "GET /v1/events{query} HTTP/1.1\r\nhost: h\r\nauthorization: Basic {basic}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).expect("writes");
        let mut listener = Self { socket, text: String::new() };
        listener.read_to(": listening\n\n");
        assert!(listener.text.contains("content-type: text/event-stream"), "{}", listener.text);
        listener
    }

    /// Reads until this was said.
    fn read_to(&mut self, wanted: &str) {
        let mut piece = [0; 4096];
        while !self.text.contains(wanted) {
            let read = self.socket.read(&mut piece).expect("more comes");
            assert_ne!(read, 0, "it ended without {wanted}: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }

    /// The data of the next event of a kind.
    fn next(&mut self, kind: &str) -> Value {
        let line = format!("event: {kind}\ndata: ");
        self.read_to(&line);
        self.text = self.text.split_once(&line).expect("it was read").1.to_owned();
        self.read_to("\n\n");
        let (data, rest) = self.text.split_once("\n\n").expect("it was read");
        let data = serde_json::from_str(data).expect("JSON");
        self.text = rest.to_owned();
        data
    }
}

/// A face nobody knows appears before a camera.
fn finding(stream: &str, track: &str) -> Value {
    let time = kinora::clock::Clock::system().now().as_secs_f64();
    json!({
        "InputInformation": { "KinesisVideo": {
            "StreamArn": "arn", "FragmentNumber": "1", "ServerTimestamp": time,
            "ProducerTimestamp": time, "FrameOffsetInSeconds": 0.0,
        }},
        "StreamProcessorInformation": { "Status": "RUNNING" },
        "FaceSearchResponse": [],
        "Kinora": {
            "Version": 1, "Processor": "door", "Collection": "people", "Stream": stream,
            "ResultId": track, "FrameTimestamp": time,
            "Events": [{
                "Type": "appeared", "TrackId": track, "ResultId": track, "Stream": stream,
                "Time": time, "First": time, "Last": time, "Frames": 3,
                "PersonId": "u1", "PersonName": null, "Known": false, "Similarity": null,
                "SightingId": null, "FaceId": null, "Confidence": 99.0,
                "BoundingBox": { "Height": 0.2, "Width": 0.2, "Left": 0.4, "Top": 0.4 },
            }],
        },
    })
}

/// Puts a record on the processor's output stream.
fn put(server: &Server, data: &str) {
    let data = STANDARD.encode(data);
    let record = json!({ "StreamName": "findings", "PartitionKey": "front", "Data": data });
    assert_eq!(server.target("Kinesis_20131202.PutRecord", KINESIS, record).0, 200);
}

/// A server with a stream processor over the stream `front`.
fn with_processor() -> Server {
    let (server, video) = with_streams();
    server.rekognition_ok("CreateStreamProcessor", door(&video));
    server
}

#[test]
fn listener_hears_of_fragments_findings_and_alerts_from_then_on() {
    let server = with_processor();
    put_media(&server, &Head::absolute("front"), &body(1, 300), 4_096);
    put(&server, &finding("front", "before").to_string());
    // The time of what is told is to the millisecond.
    std::thread::sleep(Duration::from_millis(5));
    let mut all = Listener::connect(&server, "");
    let acks = put_media(&server, &Head::absolute("front"), &body(3, 300), 4_096);
    let stored = answer(&server, "GET", "/v1/streams/front/fragments", "clock=server", "");
    let stored = stored["fragments"].as_array().expect("a list");
    assert!(stored.len() > 1, "{acks:?}");
    for fragment in &stored[1..] {
        let told = all.next("fragment");
        assert_eq!((&told["stream"], &told["number"]), (&json!("front"), &fragment["number"]));
    }
    let rule = json!({ "when": { "type": "unknown" } }).to_string();
    answer(&server, "PUT", "/v1/alerts/rules/stranger", "", &rule);
    put(&server, "no finding");
    let finding = finding("front", "t1");
    // Also one of several lines is one event.
    put(&server, &format!("{finding:#}"));
    assert_eq!(all.next("finding"), finding);
    assert_eq!(all.next("alert")["Event"]["TrackId"], "t1");
}

#[test]
fn listener_to_a_stream_hears_of_no_other() {
    let server = with_processor();
    let mut front = Listener::connect(&server, "?stream=front");
    put(&server, &finding("back", "t1").to_string());
    put(&server, &finding("front", "t2").to_string());
    assert_eq!(front.next("finding")["Kinora"]["ResultId"], "t2");
    assert_eq!(ask(&server, "GET", "/v1/events", "stream=a%20b", "").status, 400);
}

#[test]
fn server_that_stops_does_not_wait_for_listeners() {
    let server = with_processor();
    let _all = Listener::connect(&server, "");
    let begun = Instant::now();
    let (status, _) = server.stop();
    assert!(status.success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
