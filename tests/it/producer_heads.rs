//! PutMedia's request heads: as real producers send them, and wrong in every way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use kinora::clock::Clock;
use kinora::types::{Millis, ServerTimestamp};
use kinora::wire::sigv4::{self, Credentials, EMPTY_PAYLOAD, Request, UNSIGNED_PAYLOAD};

use crate::bodies::{body, end_of_fragment};
use crate::producer::PATIENCE;
use crate::support::{Answer, Server, TARGET};

/// What the ten captured heads of the C producer and kvssink differ in: stream, acks, timecode
/// type and start. All else, the order and case of the headers included, is the same.
const CAPTURED: [(&str, &str, &str, &str); 10] = [
    ("bf", "1", "ABSOLUTE", "1795309233.889"),
    ("bf", "1", "ABSOLUTE", "1795309232.193"),
    ("cam1", "1", "ABSOLUTE", "1795308486.576"),
    ("cam1", "1", "ABSOLUTE", "1795308483.510"),
    ("cam1", "1", "ABSOLUTE", "1795308495.805"),
    ("cam1", "1", "ABSOLUTE", "1795308492.759"),
    ("rel", "0", "RELATIVE", "1795309315.705"),
    ("cam-av", "1", "ABSOLUTE", "1795308415.642"),
    ("cam-meta", "1", "ABSOLUTE", "1795308408.133"),
    ("cam1", "1", "ABSOLUTE", "1795308137.662"),
];
const USER_AGENT: &str =
    "AWS-SDK-KVS-CPP-CLIENT/3.5.0/1.6.0 GCC/12.2.0 Linux/6.18.44 x86_64 CPPSDK";

fn now() -> ServerTimestamp {
    Clock::system().now()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_captured_producers_are_accepted_as_they_were_sent() {
    let server = Server::start();
    for stream in ["bf", "cam1", "rel", "cam-av", "cam-meta"] {
        server.create_stream(stream, 24).await;
    }
    for (stream, acks, kind, start) in CAPTURED {
        let signed = [
            ("connection", "keep-alive"),
            ("host", "127.0.0.1"),
            ("transfer-encoding", "chunked"),
            ("user-agent", USER_AGENT),
            ("x-amzn-fragment-acknowledgment-required", acks),
            ("x-amzn-fragment-timecode-type", kind),
            ("x-amzn-producer-start-timestamp", start),
            ("x-amzn-stream-name", stream),
        ];
        let added = server.sign("/putMedia", &signed);
        let value = |name: &str| {
            let found = added.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.as_str()).expect("the signature has it")
        };
        let head = format!(
            "POST /putMedia HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nAuthorization: {}\r\n\
             connection: keep-alive\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\nuser-agent: {USER_AGENT}\r\nX-Amz-Date: {}\r\n\
             x-amz-security-token: never signed\r\n\
             x-amzn-fragment-acknowledgment-required: {acks}\r\n\
             x-amzn-fragment-timecode-type: {kind}\r\n\
             x-amzn-producer-start-timestamp: {start}\r\nx-amzn-stream-name: {stream}\r\n\
             Expect: 100-continue\r\n\r\n",
            value("authorization"),
            value("x-amz-date"),
        );
        let mut socket = TcpStream::connect(server.authority()).expect("connects");
        socket.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        socket.write_all(head.as_bytes()).expect("the server reads");
        let mut reader = BufReader::new(socket.try_clone().expect("a TCP socket"));
        assert_eq!(status_line(&mut reader), "HTTP/1.1 100 Continue", "{stream} {start}");
        socket.write_all(b"0\r\n\r\n").expect("the server reads");
        assert_eq!(status_line(&mut reader), "HTTP/1.1 200 OK", "{stream} {start}");
    }
}

/// The first line of a head, which is read to its end.
fn status_line(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).expect("a head"), 0, "closed after {head:?}");
    }
    head.lines().next().unwrap_or_default().to_owned()
}

/// How a head is signed, and what is changed behind the signature's back.
struct Variant<'a> {
    signed: &'a [(&'a str, &'a str)],
    payload_hash: &'a str,
    credentials: Credentials,
    at: ServerTimestamp,
    /// Headers that are left out though signed.
    without: &'a [&'a str],
    /// Headers that are sent though not signed.
    with: &'a [(&'a str, &'a str)],
}

impl Variant<'_> {
    /// Sends an empty body with that head.
    fn send(self, server: &Server) -> Answer {
        let path = "/putMedia";
        let request = Request { method: "POST", path, query: "", headers: self.signed };
        let added =
            sigv4::sign_headers(&request, self.payload_hash, &self.credentials, TARGET, self.at);
        let left = |name: &str| !self.without.contains(&name);
        let kept: Vec<_> = self.signed.iter().copied().filter(|(name, _)| left(name)).collect();
        let mut added: Vec<_> = added.into_iter().filter(|(name, _)| left(name)).collect();
        added.extend(self.with.iter().map(|(name, value)| (*name, (*value).to_owned())));
        server.send(&Request { headers: &kept, ..request }, &added, "")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_signing_an_upload_is_accepted_and_each_fault_refused() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let hop_by_hop = [
        ("connection", "keep-alive"),
        ("host", "127.0.0.1"),
        ("transfer-encoding", "chunked"),
        ("user-agent", USER_AGENT),
        ("x-amzn-fragment-timecode-type", "ABSOLUTE"),
        ("x-amzn-producer-start-timestamp", "1795308137.5"),
        ("x-amzn-stream-name", "camera"),
    ];
    let java = [hop_by_hop[1], hop_by_hop[4], hop_by_hop[5], hop_by_hop[6]];
    let sound = || Variant {
        signed: &hop_by_hop,
        payload_hash: EMPTY_PAYLOAD,
        credentials: server.credentials.clone(),
        at: now(),
        without: &[],
        with: &[],
    };
    let accepted = [
        ("SHA-256 of nothing", sound()),
        ("unsigned payload", Variant { payload_hash: UNSIGNED_PAYLOAD, ..sound() }),
        ("unsigned token", Variant { with: &[("x-amz-security-token", "a token")], ..sound() }),
        ("hop-by-hop headers taken off", {
            Variant { without: &["connection", "transfer-encoding"], ..sound() }
        }),
        ("Java: no connection, hash added after signing", {
            let with = &[("x-amz-content-sha256", UNSIGNED_PAYLOAD)];
            Variant { signed: &java, payload_hash: UNSIGNED_PAYLOAD, with, ..sound() }
        }),
        ("four minutes late", Variant { at: now().minus(Millis(240_000)), ..sound() }),
    ];
    for (name, variant) in accepted {
        let answer = variant.send(&server);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }

    let mismatch = "The request signature we calculated does not match";
    let wrong = Credentials { secret: "wrong".to_owned(), ..server.credentials.clone() };
    let unknown = Credentials { access_key: "AKIANOBODY".to_owned(), ..server.credentials.clone() };
    let refused = [
        (Variant { credentials: wrong, ..sound() }, "InvalidSignatureException", mismatch),
        (
            Variant { credentials: unknown, ..sound() },
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            Variant { at: now().minus(Millis(360_000)), ..sound() },
            "InvalidSignatureException",
            "Signature expired: ",
        ),
        (
            Variant { at: now().plus(Millis(360_000)), ..sound() },
            "InvalidSignatureException",
            "Signature not yet current: ",
        ),
        (
            Variant { without: &["authorization"], ..sound() },
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ),
        (
            Variant { without: &["user-agent"], with: &[("user-agent", "a proxy")], ..sound() },
            "InvalidSignatureException",
            mismatch,
        ),
        (Variant { payload_hash: "0a", ..sound() }, "InvalidSignatureException", mismatch),
    ];
    for (variant, name, text) in refused {
        let answer = variant.send(&server);
        assert_eq!(answer.refusal(), (403, name), "{answer:?}");
        assert!(answer.text().starts_with(&format!("{{\"message\":\"{text}")), "{answer:?}");
    }

    let mut other = hop_by_hop;
    other[6].1 = "nobody";
    let answer = Variant { signed: &other, ..sound() }.send(&server);
    assert_eq!(answer.refusal(), (404, "ResourceNotFoundException"), "{answer:?}");
    let both =
        [("x-amzn-stream-arn", "arn:aws:kinesisvideo:us-east-1:000000000000:stream/camera/1")];
    let answer = Variant { with: &both, ..sound() }.send(&server);
    assert_eq!(answer.refusal(), (400, "InvalidArgumentException"), "{answer:?}");
    for (at, value) in [(4, "SOMETIMES"), (5, "yesterday")] {
        let mut other = hop_by_hop;
        other[at].1 = value;
        let answer = Variant { signed: &other, ..sound() }.send(&server);
        assert_eq!(answer.refusal(), (400, "InvalidArgumentException"), "{answer:?}");
    }
}

/// Real curl: its own signature, chunks of its own, and its wait for `100 Continue`.
#[tokio::test(flavor = "multi_thread")]
async fn body_that_curl_uploads_in_chunks_is_acknowledged() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let key = &server.credentials;
    let mut curl = Command::new("curl")
        .args(["-sS", "-N", "--max-time", "20", "-X", "POST", "-T", "-"])
        .args(["--aws-sigv4", "aws:amz:us-west-2:kinesisvideo"])
        .args(["--user", &format!("{}:{}", key.access_key, key.secret)])
        .args(["-H", "x-amzn-stream-name: camera", "-H", "Expect: 100-continue"])
        .args(["-H", "x-amzn-fragment-timecode-type: ABSOLUTE"])
        .args(["-H", "x-amzn-producer-start-timestamp: 1795308137.662"])
        .arg(format!("{}/putMedia", server.endpoint))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is installed");
    let mut stdin = curl.stdin.take().expect("it is piped");
    let media = [body(3, 2_000), end_of_fragment().to_vec()].concat();
    stdin.write_all(&media).expect("curl reads");
    drop(stdin);
    let mut acks = String::new();
    curl.stdout.take().expect("it is piped").read_to_string(&mut acks).expect("text");
    assert!(curl.wait().expect("curl ends").success(), "{acks}");
    let events: Vec<&str> = acks.lines().filter_map(|line| line.split('"').nth(3)).collect();
    let persisted = events.iter().filter(|event| **event == "PERSISTED").count();
    assert_eq!((persisted, events.len()), (3, 9), "{acks}");
    assert_eq!(server.list_fragments("camera").await.len(), 3);
}
