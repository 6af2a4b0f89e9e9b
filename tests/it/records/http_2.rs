//! HTTP/2 with prior knowledge, which asynchronous Java clients of SubscribeToShard need.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use kinora::clock::Clock;
use kinora::wire::event_stream::Message;
use kinora::wire::sigv4;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{JSON, KINESIS, unlimited};
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
    input: &Value,
) -> http::Response<h2::RecvStream> {
    let (body, target) = (input.to_string(), format!("Kinesis_20131202.{operation}"));
    let headers = [("content-type", JSON), ("x-amz-target", &target)];
    let signed: Vec<_> = headers.into_iter().chain([("host", server.authority())]).collect();
    let hash = sigv4::payload_hash(body.as_bytes());
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
    out.send_data(body.into(), true).expect("sent");
    answer.await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_and_puts_share_a_connection() {
    let server = unlimited();
    let client = connect(&server).await;
    let create = json!({"StreamName": "s", "ShardCount": 1});
    assert_eq!(send(&server, &client, "CreateStream", &create).await.status(), 200);
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let register = json!({"StreamARN": arn, "ConsumerName": "c"});
    let consumer = server.kds_ok("RegisterStreamConsumer", register);
    let subscribe = json!({
        "ConsumerARN": consumer["Consumer"]["ConsumerARN"],
        "ShardId": "shardId-000000000000",
        "StartingPosition": {"Type": "LATEST"},
    });
    let mut events = send(&server, &client, "SubscribeToShard", &subscribe).await.into_body();
    let mut messages = Vec::new();
    let mut buffer = bytes::BytesMut::new();
    let put = json!({"StreamName": "s", "Data": "AAAA", "PartitionKey": "k"});
    while messages.len() < 2 {
        let data = events.data().await.expect("more").expect("data");
        buffer.extend_from_slice(&data);
        while let Some(message) = Message::decode(&mut buffer).expect("a message") {
            if messages.is_empty() {
                assert_eq!(send(&server, &client, "PutRecord", &put).await.status(), 200);
            }
            messages.push(message);
        }
    }
    assert_eq!(messages[0].text(":event-type"), Some("initial-response"));
    assert_eq!(messages[1].text(":event-type"), Some("SubscribeToShardEvent"));
    let event: Value = serde_json::from_slice(&messages[1].payload).expect("JSON");
    assert_eq!(event["Records"][0]["Data"], "AAAA");
}
