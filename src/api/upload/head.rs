//! What a connection begins with.

use std::io;

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};
use httparse::Status;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::chunked::Framing;

/// How such a request begins, as every producer writes it.
const START: &[u8] = b"POST /putMedia HTTP/1.1\r\n";
/// How a connection begins whose client knows that we speak HTTP/2 (RFC 9113, 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Header lines; a request with more goes the long way.
const MAX_HEADERS: usize = 64;

/// A connection's first request.
pub(in crate::api) enum First {
    /// A PutMedia request.
    Upload(Box<Upload>),
    /// HTTP/2: what was read of it.
    Http2(BytesMut),
    /// Anything else: what was read of it.
    Other(BytesMut),
}

/// A PutMedia request whose head is read.
pub(in crate::api) struct Upload {
    pub(super) request: Request<()>,
    pub(super) framing: Framing,
    /// What was read of the body.
    pub(super) rest: BytesMut,
}

impl First {
    /// Reads until it is clear what comes: the first bytes, if it is no PutMedia, else the request's
    /// head, which may have `max_head` bytes.
    ///
    /// # Errors
    /// Those of the socket.
    pub(in crate::api) async fn read(
        socket: &mut (impl AsyncRead + Unpin),
        max_head: usize,
    ) -> io::Result<Self> {
        let mut bytes = BytesMut::with_capacity(4 << 10);
        loop {
            if bytes.starts_with(HTTP_2) {
                return Ok(Self::Http2(bytes));
            }
            let start = bytes.len().min(START.len());
            let undecided = bytes[..start] == START[..start] || HTTP_2.starts_with(&bytes);
            if !undecided || bytes.len() > max_head {
                return Ok(Self::Other(bytes));
            }
            if start == START.len() && bytes.windows(4).any(|end| end == b"\r\n\r\n") {
                return Ok(Self::of(bytes));
            }
            if socket.read_buf(&mut bytes).await? == 0 {
                return Ok(Self::Other(bytes));
            }
        }
    }

    /// A connection on which nothing was asked yet.
    pub(in crate::api) fn nothing() -> Self {
        Self::Other(BytesMut::new())
    }

    fn of(mut bytes: BytesMut) -> Self {
        match parse(&bytes) {
            Some((len, request, framing)) => {
                bytes.advance(len);
                Self::Upload(Box::new(Upload { request, framing, rest: bytes }))
            }
            None => Self::Other(bytes),
        }
    }
}

/// The head's length, the request, and how its body is framed; `None` for what is unusual, which
/// hyper judges.
fn parse(bytes: &[u8]) -> Option<(usize, Request<()>, Framing)> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut lines);
    let Ok(Status::Complete(len)) = head.parse(bytes) else { return None };
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = head.path?.parse().ok()?;
    *request.version_mut() = Version::HTTP_11;
    for line in head.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    let framing = framing(request.headers())?;
    Some((len, request, framing))
}

/// Exactly one of the two headers, once, and nothing that wants another protocol.
fn framing(headers: &HeaderMap) -> Option<Framing> {
    if headers.contains_key(header::UPGRADE) {
        return None;
    }
    let once = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
    };
    let given = |name| headers.contains_key(name);
    match (given(header::TRANSFER_ENCODING), given(header::CONTENT_LENGTH)) {
        (true, false) => {
            let chunked = once(header::TRANSFER_ENCODING)?.eq_ignore_ascii_case(b"chunked");
            chunked.then(Framing::chunked)
        }
        (false, true) => {
            let digits = once(header::CONTENT_LENGTH)?;
            let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let len = std::str::from_utf8(digits).ok().filter(|_| plain)?;
            len.parse().ok().map(Framing::sized)
        }
        _ => None,
    }
}
