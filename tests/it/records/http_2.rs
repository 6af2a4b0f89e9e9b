//! HTTP/2 with prior knowledge, which asynchronous Java clients of SubscribeToShard need.

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use kinora::clock::Clock;
use kinora::wire::event_stream::Message;
use kinora::wire::sigv4;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{CBOR, JSON, KINESIS, unlimited};
use crate::support::Server;

async fn connect(server: &Server) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(server.authority()).await.expect("connects");
    let (client, connection) = h2::client::handshake(socket).await.expect("a handshake");
    tokio::spawn(connection);
    client
}

/// Sends a signed request; the host stands in `:authority` alone.
async fn send(
    server: &Server,
    client: &SendRequest<Bytes>,
    operation: &str,
    content_type: &str,
    body: &[u8],
) -> http::Response<h2::RecvStream> {
    let target = format!("Kinesis_20131202.{operation}");
    let headers = [("content-type", content_type), ("x-amz-target", &target)];
    let signed: Vec<_> = headers.into_iter().chain([("host", server.authority())]).collect();
    let hash = sigv4::payload_hash(body);
    let to_sign = sigv4::Request { method: "POST", path: "/", query: "", headers: &signed };
    let now = Clock::system().now();
    let added = sigv4::sign_headers(&to_sign, &hash, &server.credentials, KINESIS, now);
    let mut request = Request::post(format!("http://{}/", server.authority()));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    for (name, value) in added {
        request = request.header(name, value);
    }
    let request = request.body(()).expect("a request");
    let mut client = client.clone().ready().await.expect("ready");
    let (answer, mut out) = client.send_request(request, false).expect("sent");
    out.send_data(Bytes::copy_from_slice(body), true).expect("sent");
    answer.await.expect("an answer")
}

/// A server with a stream of one shard and a consumer; the consumer's ARN.
fn with_consumer() -> (Server, String) {
    let server = unlimited();
    server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let register = json!({"StreamARN": arn, "ConsumerName": "c"});
    let consumer = server.kds_ok("RegisterStreamConsumer", register);
    let arn = consumer["Consumer"]["ConsumerARN"].as_str().expect("an ARN").to_owned();
    (server, arn)
}

/// The first two messages of a subscription; between them, a record is put on the same connection.
async fn two_messages(
    server: &Server,
    client: &SendRequest<Bytes>,
    answer: http::Response<h2::RecvStream>,
) -> [Message; 2] {
    assert_eq!(answer.headers()["content-type"], "application/vnd.amazon.eventstream");
    let (mut events, mut buffer) = (answer.into_body(), BytesMut::new());
    let mut messages = Vec::new();
    let put = json!({"StreamName": "s", "Data": "AAAA", "PartitionKey": "k"}).to_string();
    while messages.len() < 2 {
        let data = events.data().await.expect("more").expect("data");
        buffer.extend_from_slice(&data);
        while let Some(message) = Message::decode(&mut buffer).expect("a message") {
            if messages.is_empty() {
                let answer = send(server, client, "PutRecord", JSON, put.as_bytes()).await;
                assert_eq!(answer.status(), 200);
            }
            messages.push(message);
        }
    }
    messages.try_into().expect("two")
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_and_puts_share_a_connection() {
    let (server, consumer) = with_consumer();
    let client = connect(&server).await;
    let subscribe = json!({
        "ConsumerARN": consumer,
        "ShardId": "shardId-000000000000",
        "StartingPosition": {"Type": "LATEST"},
    });
    let subscribe = subscribe.to_string();
    let answer = send(&server, &client, "SubscribeToShard", JSON, subscribe.as_bytes()).await;
    let [initial, event] = two_messages(&server, &client, answer).await;
    assert_eq!(initial.text(":event-type"), Some("initial-response"));
    assert_eq!((initial.text(":content-type"), &initial.payload[..]), (Some(JSON), &b"{}"[..]));
    assert_eq!(event.text(":event-type"), Some("SubscribeToShardEvent"));
    let event: Value = serde_json::from_slice(&event.payload).expect("JSON");
    assert_eq!(event["Records"][0]["Data"], "AAAA");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribes_in_cbor_gets_events_in_cbor() {
    let (server, consumer) = with_consumer();
    let client = connect(&server).await;
    let text = |text: &str| [&[0x78, text.len() as u8], text.as_bytes()].concat();
    let subscribe = [
        vec![0xa3],
        text("ConsumerARN"),
        text(&consumer),
        text("ShardId"),
        text("shardId-000000000000"),
        text("StartingPosition"),
        vec![0xa1],
        text("Type"),
        text("LATEST"),
    ];
    let answer = send(&server, &client, "SubscribeToShard", CBOR, &subscribe.concat()).await;
    let [initial, event] = two_messages(&server, &client, answer).await;
    assert_eq!((initial.text(":content-type"), &initial.payload[..]), (Some(CBOR), &b"\xa0"[..]));
    let holds = |bytes: &[u8]| event.payload.windows(bytes.len()).any(|part| part == bytes);
    assert!(holds(b"\x64Data\x43\x00\x00\x00"), "a byte string: {event:?}");
}
