//! Server-sent events, as the console and curl get them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora::wire::sigv4::{Request, Target};
use serde_json::{Value, json};

use crate::alerts;
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
        Self::connect_with(server, query, &basic(server))
    }

    /// The same with headers of the caller's.
    fn connect_with(server: &Server, query: &str, headers: &str) -> Self {
        let mut socket = TcpStream::connect(server.authority()).expect("connects");
        socket.set_read_timeout(Some(PATIENCE)).expect("a valid time");
        let head = format!("GET /v1/events{query} HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
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

    /// Reads so many events, whatever they tell.
    fn skip_events(&mut self, mut count: usize) {
        let mut piece = vec![0; 64 << 10];
        // An event ends with an empty line, which two reads may share.
        let mut last = 0;
        while count > 0 {
            let read = self.socket.read(&mut piece).expect("more comes");
            assert_ne!(read, 0, "it ended");
            for &byte in &piece[..read] {
                count -= usize::from(byte == b'\n' && last == b'\n');
                last = byte;
            }
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

/// The header of a caller with the root key.
fn basic(server: &Server) -> String {
    let key = &server.credentials;
    let pair = STANDARD.encode(format!("{}:{}", key.access_key, key.secret));
    format!("authorization: Basic {pair}\r\n")
}

/// A face nobody knows appears before a camera.
pub fn finding(stream: &str, track: &str) -> Value {
    let now = kinora::clock::Clock::system().now().as_secs_f64();
    alerts::finding(stream, track, now, &Value::Null)
}

/// Puts a record on the processor's output stream.
pub fn put(server: &Server, data: &str) {
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
fn listener_may_bring_a_token_in_the_address_as_browsers_do() {
    let server = with_processor();
    let link = server.key(&["link", "--url", "http://h"]);
    let token = link.trim().rsplit_once("#token=").expect("a sign-in link").1;
    let mut all = Listener::connect_with(&server, &format!("?token={token}"), "");
    put(&server, &finding("front", "t1").to_string());
    assert_eq!(all.next("finding")["Kinora"]["ResultId"], "t1");
    // What is good for one stream's pictures does not tell who passes.
    let link = server.key(&["link", "--stream", "front", "--url", "http://h"]);
    let token = link.trim().rsplit_once("?token=").expect("a link").1;
    let headers = [("host", "h")];
    let query = &*format!("stream=front&token={token}");
    let request = Request { method: "GET", path: "/v1/events", query, headers: &headers };
    assert_eq!(server.send(&request, &[], "").refusal(), (403, "AccessDeniedException"));
}

#[test]
fn record_that_is_too_long_for_an_event_is_left_out() {
    let server = with_processor();
    let mut all = Listener::connect(&server, "");
    put(&server, &padded("long", 200 << 10));
    put(&server, &padded("t1", 100 << 10));
    assert_eq!(all.next("finding")["Kinora"]["ResultId"], "t1");
}

/// A finding that is at least so long.
fn padded(track: &str, bytes: usize) -> String {
    let mut finding = finding("front", track);
    finding["Padding"] = "x".repeat(bytes).into();
    finding.to_string()
}

#[test]
fn listener_who_does_not_read_is_let_go_and_holds_up_nobody() {
    const EVENT_BYTES: usize = 100 << 10;
    /// More than the server keeps for a listener, and the sockets' buffers hold.
    const EVENTS: usize = 900;
    const BATCH: usize = 50;
    let server = Server::start_configured(&[
        ("KINORA_RECORDS_SHARD_LIMITS", "off"),
        ("KINORA_ALERTS_STREAMS", "findings"),
    ]);
    server.kds_ok("CreateStream", json!({ "StreamName": "findings", "ShardCount": 1 }));
    let headers = format!("connection: close\r\n{}", basic(&server));
    let mut slow = Listener::connect_with(&server, "", &headers);
    let mut quick = Listener::connect(&server, "");
    let data = STANDARD.encode(padded("t1", EVENT_BYTES));
    let records = vec![json!({ "Data": data, "PartitionKey": "front" }); BATCH];
    let batch = json!({ "StreamName": "findings", "Records": records });
    for _ in 0..EVENTS / BATCH {
        server.kds_ok("PutRecords", batch.clone());
        quick.skip_events(BATCH);
    }
    let mut told = String::new();
    slow.socket.read_to_string(&mut told).expect("it ends, in text");
    assert!(told.trim_end().ends_with(": too slow, connect again\n\n\r\n0"), "no last word");
    assert!(told.matches("event: finding").count() < EVENTS);
    let mut again = Listener::connect(&server, "");
    put(&server, &finding("front", "t2").to_string());
    assert_eq!(again.next("finding")["Kinora"]["ResultId"], "t2");
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
