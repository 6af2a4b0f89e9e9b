//! Request bodies: JSON that is read whole within bounds, and media that is read while it comes.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::task::JoinError;

use super::{ApiError, AppState, ErrorKind};

/// The JSON body of an AWS operation as the shape `T`; an empty body reads as `{}`.
pub struct AwsJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for AwsJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        let limits = &app.config.http;
        let timeout = Duration::from_secs(limits.body_timeout_seconds);
        aws_json(&read_whole(request.into_body(), limits.max_json_bytes, timeout).await?).map(Self)
    }
}

/// Does what takes long with a `large` body on another thread than the connection's, which serves others
/// as well: subscriptions wait for milliseconds.
///
/// # Errors
/// The work panicked.
pub async fn aside<T: Send + 'static>(
    large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if large { tokio::task::spawn_blocking(work).await } else { Ok(work()) }
}

/// Reads a JSON body into a wire shape. The content type is not looked at: clients differ.
pub fn aws_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let refused = |why: String| {
        ApiError::new(ErrorKind::Serialization, format!("The request body is not valid: {why}."))
    };
    match body.trim_ascii() {
        [] => serde_json::from_slice(b"{}"),
        // An array would be read as the members in their order.
        [first, ..] if *first != b'{' => return Err(refused("not a JSON object".to_owned())),
        object => serde_json::from_slice(object),
    }
    .map_err(|error| refused(error.to_string()))
}

/// Reads a body to its end: at most `limit` bytes, within `timeout`.
pub(super) async fn read_whole(
    body: Body,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await {
        Err(_) => {
            Err(ApiError::new(ErrorKind::RequestTimeout, "The request body did not come in time."))
        }
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::new(
            ErrorKind::BodyTooLarge,
            format!("The request body is larger than {limit} bytes."),
        )),
        Ok(Err(_)) => {
            Err(ApiError::new(ErrorKind::Serialization, "The request body ended too early."))
        }
    }
}

/// A body that is read while its answer is already under way.
///
/// Made by [`MediaBody::begin`], then [`MediaBody::next`] until `None`.
pub struct MediaBody {
    body: Body,
    /// What arrived while the body was begun.
    first: Option<Option<Result<Bytes, axum::Error>>>,
}

impl MediaBody {
    /// Asks for the body, so that a client that waits for `100 Continue` gets it. The C producer
    /// does, and would otherwise sit for a second: with the answer's head out first, the
    /// connection can no longer send the 100. So the body is polled once, and the connection gets
    /// its turn to write, before the handler returns its answer.
    pub async fn begin(mut body: Body) -> Self {
        let first = next_data(&mut body).now_or_never();
        tokio::task::yield_now().await;
        Self { body, first }
    }

    /// The next bytes; `None` at the clean end, an error when the connection broke before it.
    /// May be dropped and called again without losing bytes.
    pub async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        match self.first.take() {
            Some(first) => first,
            None => next_data(&mut self.body).await,
        }
    }
}

/// The next bytes of a body, whose trailers are skipped.
async fn next_data(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        match body.frame().await? {
            Err(error) => return Some(Err(error)),
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn body_that_was_begun_comes_whole_and_in_order() {
        let pieces = ["a", "b", "c"].map(|text| Ok::<_, std::io::Error>(Bytes::from(text)));
        let mut body = MediaBody::begin(Body::from_stream(tokio_stream::iter(pieces))).await;
        let mut got = Vec::new();
        while let Some(piece) = body.next().await {
            got.extend_from_slice(&piece.expect("no error"));
        }
        assert_eq!(got, b"abc");
    }

    /// The C producer's way: the server must say 100 before its answer, which begins before the
    /// body ends.
    #[tokio::test]
    async fn client_that_waits_for_100_gets_it_before_the_answer() {
        use axum::routing::post;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        async fn echo(body: Body) -> Body {
            let body = MediaBody::begin(body).await;
            Body::from_stream(futures_util::stream::unfold(body, async |mut body| {
                Some((body.next().await?, body))
            }))
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let router = axum::Router::new().route("/putMedia", post(echo));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let mut socket = tokio::net::TcpStream::connect(address).await.expect("connects");
        let mut seen = String::new();
        let mut read_until = async |socket: &mut tokio::net::TcpStream, end: &str| {
            while !seen.ends_with(end) {
                let mut buffer = [0; 1024];
                let count = socket.read(&mut buffer).await.expect("reads");
                assert_ne!(count, 0, "closed after {seen:?}");
                seen.push_str(std::str::from_utf8(&buffer[..count]).expect("ASCII"));
            }
            std::mem::take(&mut seen)
        };
        let head = b"POST /putMedia HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\
            expect: 100-continue\r\n\r\n";
        socket.write_all(head).await.expect("writes");
        let mut answer = read_until(&mut socket, "\r\n\r\n").await;
        if !answer.contains("200 OK") {
            answer += &read_until(&mut socket, "\r\n\r\n").await;
        }
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
        for piece in ["one", "two"] {
            let chunk = format!("3\r\n{piece}\r\n");
            socket.write_all(chunk.as_bytes()).await.expect("writes");
            assert_eq!(read_until(&mut socket, &chunk).await, chunk);
        }
        socket.write_all(b"0\r\n\r\n").await.expect("writes");
        assert_eq!(read_until(&mut socket, "0\r\n\r\n").await, "0\r\n\r\n");
    }

    #[tokio::test]
    async fn json_body_is_bounded_in_size_and_time() {
        let limit = Duration::from_millis(20);
        let outcome = read_whole(Body::from("12345"), 4, limit).await;
        assert_eq!(outcome.map_err(|error| error.kind), Err(ErrorKind::BodyTooLarge));
        let silent = tokio_stream::pending::<Result<Bytes, std::io::Error>>();
        let outcome = read_whole(Body::from_stream(silent), 4, limit).await;
        assert_eq!(outcome.map_err(|error| error.kind), Err(ErrorKind::RequestTimeout));
    }

    #[test]
    fn json_that_does_not_fit_is_a_serialization_error() {
        use crate::wire::video::{Empty, StreamRef};
        assert_eq!(aws_json::<Empty>(b""), Ok(Empty {}));
        assert_eq!(aws_json::<Empty>(b"{\"Unknown\":[1]}"), Ok(Empty {}));
        for body in ["[", "[]", "{\"StreamName\":1}", "\u{ff}"] {
            let outcome = aws_json::<StreamRef>(body.as_bytes());
            assert_eq!(outcome.map_err(|e| e.kind), Err(ErrorKind::Serialization), "{body}");
        }
    }
}
