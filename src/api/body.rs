//! Request bodies: JSON that is read whole within bounds, and media that is read while it comes.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

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

/// Reads a JSON body into a wire shape. The content type is not looked at: clients differ.
pub fn aws_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        ApiError::new(ErrorKind::Serialization, format!("The request body is not valid: {error}."))
    })
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
