//! A request's body, read from the socket when it is asked for.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;

use super::chunked::Framing;

/// The least and the most that one read takes. Cameras send a frame at a time, and there may be
/// thousands of them; an upload of what was recorded before fills what it is offered.
const READ_BYTES: std::ops::RangeInclusive<usize> = 8 << 10..=256 << 10;

/// A body that owns the reading half of its connection, and gives it back when it is dropped.
pub(super) struct SocketBody<R> {
    /// Only gone when dropped.
    reader: Option<R>,
    framing: Framing,
    /// What was read and is not taken apart yet.
    buffer: BytesMut,
    /// What the next read takes.
    read_bytes: usize,
    /// Told when the body is asked for the first time.
    wants: Option<oneshot::Sender<()>>,
    left: Option<oneshot::Sender<R>>,
}

impl<R> SocketBody<R> {
    /// A body that begins with `rest`. The receiver gets the reader when nobody wants the body any
    /// more.
    pub(super) fn new(
        reader: R,
        rest: BytesMut,
        framing: Framing,
        wants: oneshot::Sender<()>,
    ) -> (Self, oneshot::Receiver<R>) {
        let (left, receiver) = oneshot::channel();
        let body = Self {
            reader: Some(reader),
            framing,
            buffer: rest,
            read_bytes: *READ_BYTES.start(),
            wants: Some(wants),
            left: Some(left),
        };
        (body, receiver)
    }
}

impl<R: AsyncRead + Unpin> SocketBody<R> {
    /// Reads more; the number of bytes.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(Ok(0)) };
        if self.buffer.is_empty() && self.buffer.capacity() > self.read_bytes {
            // It was larger than is needed now.
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(self.read_bytes);
        let mut room = (&mut self.buffer).limit(self.read_bytes);
        let read = ready!(pin!(reader.read_buf(&mut room)).poll(context))?;
        let next = match read {
            all if all == self.read_bytes => self.read_bytes * 2,
            little if little < self.read_bytes / 4 => self.read_bytes / 2,
            _ => self.read_bytes,
        };
        self.read_bytes = next.clamp(*READ_BYTES.start(), *READ_BYTES.end());
        Poll::Ready(Ok(read))
    }
}

impl<R: AsyncRead + Unpin> Body for SocketBody<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = &mut *self;
        if let Some(wants) = body.wants.take() {
            // Nobody waits when the client did not ask for it.
            let _ = wants.send(());
        }
        loop {
            if let Some(data) = body.framing.take(&mut body.buffer)? {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if body.framing.is_at_end() {
                return Poll::Ready(None);
            }
            if ready!(body.poll_read(context))? == 0 {
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.framing.is_at_end()
    }
}

impl<R> Drop for SocketBody<R> {
    fn drop(&mut self) {
        if let (Some(reader), Some(left)) = (self.reader.take(), self.left.take()) {
            // Without a receiver the connection is closed already.
            let _ = left.send(reader);
        }
    }
}
