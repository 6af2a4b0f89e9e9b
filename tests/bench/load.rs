//! Producers for the benchmarks: many PutMedia connections from one process, in real time or as
//! fast as the server takes them.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::media::Load;
use crate::stats::Latencies;

/// What a run of producers saw.
#[derive(Default)]
pub struct Seen {
    /// From a fragment's last byte sent to its PERSISTED ack read.
    pub acks: Latencies,
    /// Bytes of fragments that were acknowledged.
    pub bytes: u64,
}

impl Seen {
    pub fn merge(&mut self, other: Self) {
        self.acks.0.extend(other.acks.0);
        self.bytes += other.bytes;
    }
}

/// A fragment that was sent: when its last byte was, and how long it is.
type Sent = (Instant, u64);

/// Uploads the pieces to one stream, each when it is due after `start` (or at once when `paced`
/// is false), and waits for the last ack.
pub async fn upload(
    server: SocketAddr,
    request: Vec<u8>,
    load: Arc<Load>,
    start: Instant,
    paced: bool,
) -> io::Result<Seen> {
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let (reader, mut writer) = socket.into_split();
    writer.write_all(&request).await?;
    let (sent, sent_fragments) = unbounded_channel::<Sent>();
    let acks = tokio::spawn(read_acks(reader, sent_fragments));
    writer.write_all(&load.head).await?;
    let mut fragment_bytes = 0;
    for piece in &load.pieces {
        if paced {
            tokio::time::sleep_until(start + Duration::from_millis(piece.due_ms)).await;
        }
        writer.write_all(&piece.chunk).await?;
        fragment_bytes += piece.media_bytes;
        if piece.ends_fragment {
            // Nobody listens once the server has ended its answer; that is told below.
            let _ = sent.send((Instant::now(), std::mem::take(&mut fragment_bytes)));
        }
    }
    drop(sent);
    writer.write_all(b"0\r\n\r\n").await?;
    acks.await?
}

/// Reads until the answer ends. The acks are found by their text, since parsing them as JSON
/// would make the load dearer than what it measures.
async fn read_acks(
    mut reader: OwnedReadHalf,
    mut sent: UnboundedReceiver<Sent>,
) -> io::Result<Seen> {
    let mut seen = Seen::default();
    let mut buffer = Vec::new();
    let mut waiting = VecDeque::new();
    loop {
        let count = reader.read_buf(&mut buffer).await?;
        let now = Instant::now();
        let text = String::from_utf8_lossy(&buffer);
        if count == 0 || text.contains("\"ERROR\"") {
            return Err(io::Error::other(format!("the upload ended with {text:?}")));
        }
        let whole = text.rfind('}').map_or(0, |at| at + 1);
        for _ in text[..whole].matches("PERSISTED") {
            while let Ok(fragment) = sent.try_recv() {
                waiting.push_back(fragment);
            }
            let (at, bytes) =
                waiting.pop_front().ok_or_else(|| io::Error::other("an ack too many"))?;
            seen.acks.0.push(now.saturating_duration_since(at));
            seen.bytes += bytes;
        }
        if text.ends_with("\r\n0\r\n\r\n") {
            let all = waiting.is_empty() && sent.try_recv().is_err();
            return all.then_some(seen).ok_or_else(|| io::Error::other("a fragment has no ack"));
        }
        buffer.drain(..whole);
    }
}
