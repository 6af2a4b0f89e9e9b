use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::BytesMut;
use tokio::io::{DuplexStream, ReadHalf, duplex, split};

use super::*;
use crate::api::MediaBody;

/// Answers each piece of the body as it comes.
async fn echo(request: Request) -> Response {
    if request.headers().contains_key("x-refuse") {
        return (http::StatusCode::FORBIDDEN, "not you").into_response();
    }
    let body = MediaBody::begin(request.into_body()).await;
    Body::from_stream(futures_util::stream::unfold(body, async |mut body| {
        let next = body.next().await?;
        Some((next, body))
    }))
    .into_response()
}

/// The client's end of a served connection.
struct Client {
    socket: DuplexStream,
    read: Vec<u8>,
}

impl Client {
    fn connect() -> Self {
        let (socket, mut server) = duplex(1 << 16);
        tokio::spawn(async move {
            let First::Upload(upload) = First::read(&mut server, 1 << 16).await? else {
                panic!("it is an upload")
            };
            let router = Router::new().route("/putMedia", post(echo));
            let (reader, writer): (ReadHalf<_>, _) = split(server);
            serve(upload, reader, writer, router, &Clock::system()).await
        });
        Self { socket, read: Vec::new() }
    }

    async fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.expect("sends");
    }

    /// Reads until what was read ends with `end`; all that was read since the last time.
    async fn until(&mut self, end: &str) -> String {
        while !self.read.ends_with(end.as_bytes()) {
            let read = timeout(Duration::from_secs(10), self.socket.read_buf(&mut self.read)).await;
            let text = String::from_utf8_lossy(&self.read);
            assert_ne!(read.expect("in time").expect("reads"), 0, "closed after {text}");
        }
        String::from_utf8(std::mem::take(&mut self.read)).expect("text")
    }

    async fn rest(mut self) -> String {
        let end = timeout(Duration::from_secs(10), self.socket.read_to_end(&mut self.read)).await;
        end.expect("in time").expect("reads");
        String::from_utf8(self.read).expect("text")
    }
}

const HEAD: &str = "POST /putMedia HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n";

#[tokio::test]
async fn each_piece_is_answered_in_a_chunk_of_its_own_before_the_next_one_comes() {
    let mut client = Client::connect();
    client.send(HEAD).await;
    client.send("\r\n3\r\nabc\r\n").await;
    let answer = client.until("\r\n3\r\nabc\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nconnection: close\r\n") && answer.contains("\r\ndate: "),
        "{answer}"
    );
    client.send("1\r\nd").await;
    assert_eq!(client.until("\n").await, "1\r\nd\r\n");
    client.send("\r\n0\r\n\r\n").await;
    assert_eq!(client.rest().await, "0\r\n\r\n");
}

#[tokio::test]
async fn client_that_waits_is_told_to_go_on_before_the_answer() {
    let mut client = Client::connect();
    client.send(HEAD).await;
    client.send("expect: 100-continue\r\n\r\n").await;
    let go_on = client.until("\r\n\r\n").await;
    assert!(go_on.starts_with("HTTP/1.1 100 Continue\r\n\r\n"), "{go_on}");
    client.send("1\r\na\r\n0\r\n\r\n").await;
    assert!(client.rest().await.ends_with("1\r\na\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn refusal_comes_instead_of_go_on_and_is_readable_while_the_client_sends() {
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut client = Client::connect();
        client.send(HEAD).await;
        client.send(&format!("x-refuse: 1\r\n{expect}\r\n")).await;
        client.send(&"4\r\nbody\r\n".repeat(30_000)).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
        assert!(answer.contains("\r\ncontent-length: 7\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nnot you"), "{answer}");
    }
}

#[tokio::test]
async fn body_that_breaks_off_or_is_malformed_breaks_the_answer_off() {
    for body in ["5\r\nab", "zz\r\n"] {
        let mut client = Client::connect();
        client.send(HEAD).await;
        client.send(&format!("\r\n1\r\na\r\n{body}")).await;
        client.socket.shutdown().await.expect("shuts down");
        let answer = client.rest().await;
        assert!(answer.contains("\r\n1\r\na\r\n") && !answer.ends_with("0\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn only_well_formed_uploads_are_served_here() {
    let long = format!("POST /putMedia HTTP/1.1\r\na: {}", "b".repeat(1000));
    for other in [
        "",
        "GET / HTTP/1.1\r\n\r\n",
        "POST /putMedia",
        "POST /putMedia HTTP/1.0\r\n\r\n",
        "POST /putMediaX HTTP/1.1\r\n\r\n",
        "POST /putMedia HTTP/1.1\r\n\r\n",
        "POST /putMedia HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST /putMedia HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
        "POST /putMedia HTTP/1.1\r\ncontent-length: +1\r\n\r\n",
        "POST /putMedia HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "POST /putMedia HTTP/1.1\r\ntransfer-encoding : chunked\r\n\r\n",
        "POST /putMedia HTTP/1.1\r\nupgrade: h2c\r\ncontent-length: 1\r\n\r\n",
        &long,
    ] {
        let first = First::read(&mut other.as_bytes(), 1000).await.expect("reads");
        let First::Other(read) = first else { panic!("{other:?} is no upload") };
        assert_eq!(read, BytesMut::from(other), "nothing is lost");
    }
    let upload = "POST /putMedia HTTP/1.1\r\nContent-Length: 12\r\n\r\nbody";
    let First::Upload(upload) = First::read(&mut upload.as_bytes(), 1000).await.expect("reads")
    else {
        panic!("it is an upload")
    };
    assert_eq!(upload.rest, BytesMut::from("body"));
}
