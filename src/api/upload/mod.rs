//! The HTTP of a PutMedia request, read straight from the socket by whoever reads the body.
//!
//! A camera's body comes as a small piece per frame, for hours. hyper reads it in the connection's
//! task and passes each piece to the handler's through a channel: two tasks wake up for a frame, and
//! that costs more than everything the frame is for. So a connection whose first request is a
//! well-formed PutMedia is served here; any other, with the bytes that were read, goes to hyper,
//! where PutMedia works as well.
//!
//! Here: the request's head, the body's framing, the answer's framing, and the end of the
//! connection, which no other request follows. Not here: what the request means; it goes through
//! the same router.

mod body;
mod chunked;
mod head;

use std::io::{self, Write};
use std::pin::pin;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::response::Parts;
use http::{HeaderValue, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::Clock;
use body::SocketBody;

pub(super) use head::{First, Upload};

/// How long what the client still sends is read and thrown away after the answer, so that closing
/// the connection does not reset it before the client has read that answer.
const LINGER: Duration = Duration::from_secs(2);
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Serves the request, and closes the connection.
///
/// # Errors
/// Those of the socket, when the answer could not be sent. The handler may go on with the body all
/// the same.
pub(super) async fn serve<R, W>(
    upload: Box<Upload>,
    reader: R,
    mut writer: W,
    router: Router,
    clock: &Clock,
) -> io::Result<()>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin,
{
    let Upload { request, framing, rest } = *upload;
    let mut waits = request.headers().contains_key(header::EXPECT);
    let (wants, wanted) = oneshot::channel();
    let (body, left) = SocketBody::new(reader, rest, framing, wants);
    let request = request.map(|()| Body::new(body));
    let mut answer = pin!(TowerToHyperService::new(router).call(request));
    let mut wanted = pin!(wanted);
    let Ok(answer) = loop {
        tokio::select! {
            // First, since `MediaBody::begin` asks for the body and lets us say "go on" before
            // the handler answers.
            biased;
            wanted = wanted.as_mut(), if waits => {
                waits = false;
                if wanted.is_ok() {
                    writer.write_all(CONTINUE).await?;
                    writer.flush().await?;
                }
            }
            answer = answer.as_mut() => break answer,
        }
    };
    send(&mut writer, answer, clock).await?;
    writer.shutdown().await?;
    // Until then the connection is closed to nobody's harm.
    let _ = timeout(LINGER, drain(left)).await;
    Ok(())
}

/// Reads what still comes, once the handler is done with the body.
async fn drain(left: oneshot::Receiver<impl AsyncRead + Unpin>) {
    let Ok(mut reader) = left.await else { return };
    let mut ignored = [0; 16 << 10];
    while reader.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}

/// Sends the answer: each piece of its body, an acknowledgement, at once and as a chunk of its own.
async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    answer: Response,
    clock: &Clock,
) -> io::Result<()> {
    let (head, mut body) = answer.into_parts();
    let len = body.size_hint().exact();
    let mut out = head_bytes(head, len, clock);
    loop {
        writer.write_all(&out).await?;
        writer.flush().await?;
        out.clear();
        match body.frame().await {
            Some(frame) => match frame.map_err(io::Error::other)?.into_data() {
                Ok(data) if len.is_some() => out.extend(data),
                Ok(data) if !data.is_empty() => {
                    write!(out, "{:x}\r\n", data.len())?;
                    out.extend(data);
                    out.extend(b"\r\n");
                }
                Ok(_) | Err(_) => {}
            },
            None if len.is_some() => return Ok(()),
            None => {
                writer.write_all(b"0\r\n\r\n").await?;
                return writer.flush().await;
            }
        }
    }
}

/// Status line and headers, of which those of the connection are ours to say.
fn head_bytes(head: Parts, len: Option<u64>, clock: &Clock) -> Vec<u8> {
    let mut headers = head.headers;
    let now = Duration::from_millis(u64::try_from(clock.now().as_millis()).unwrap_or(0));
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + now)) {
        headers.insert(header::DATE, date);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    match len {
        Some(len) => headers.insert(header::CONTENT_LENGTH, len.into()),
        None => headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    };
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_str()).into_bytes();
    for (name, value) in &headers {
        let line = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
        out.extend(line.concat());
    }
    out.extend(b"\r\n");
    out
}

#[cfg(test)]
mod tests;
