//! Producers for the benchmarks: many PutMedia connections from one process, in real time or as
//! fast as the server takes them.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::media::Piece;
use super::server::Server;

/// What a run of producers saw.
#[derive(Default)]
pub struct Seen {
    /// From a fragment's last byte sent to its PERSISTED ack read.
    pub acks: Vec<Duration>,
    /// Bytes of fragments that were acknowledged.
    pub bytes: u64,
}

impl Seen {
    pub fn merge(&mut self, other: Self) {
        self.acks.extend(other.acks);
        self.bytes += other.bytes;
    }
}

/// Uploads the pieces to one stream, each when it is due after `start` (or at once when `paced`
/// is false), and waits for the last ack.
pub async fn upload(
    server: &Server,
    stream: &str,
    head: &Bytes,
    pieces: &[Piece],
    start: Instant,
    paced: bool,
) -> io::Result<Seen> {
    let socket = TcpStream::connect(server.address).await?;
    socket.set_nodelay(true)?;
    let (mut reader, mut writer) = socket.into_split();
    writer.write_all(&server.put_media_head(stream)).await?;
    let (sent, sent_fragments) = tokio::sync::mpsc::unbounded_channel::<(Instant, u64)>();
    let acks = tokio::spawn(async move { read_acks(&mut reader, sent_fragments).await });
    writer.write_all(&chunk(head)).await?;
    let mut fragment_bytes = 0;
    for piece in pieces {
        if paced {
            tokio::time::sleep_until(start + Duration::from_millis(piece.due_ms)).await;
        }
        writer.write_all(&chunk(&piece.bytes)).await?;
        fragment_bytes += piece.bytes.len() as u64;
        if piece.ends_fragment {
            let _ = sent.send((Instant::now(), std::mem::take(&mut fragment_bytes)));
        }
    }
    drop(sent);
    writer.write_all(b"0\r\n\r\n").await?;
    acks.await.map_err(io::Error::other)?
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.reserve(bytes.len() + 2);
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Reads until every fragment was acknowledged. The acks are found by their text, since parsing
/// them as JSON would make the load dearer than what it measures.
async fn read_acks(
    reader: &mut (impl AsyncReadExt + Unpin),
    mut sent: tokio::sync::mpsc::UnboundedReceiver<(Instant, u64)>,
) -> io::Result<Seen> {
    let mut seen = Seen::default();
    let mut buffer = Vec::new();
    let mut waiting = VecDeque::new();
    loop {
        let mut bytes = [0; 4096];
        let count = reader.read(&mut bytes).await?;
        let now = Instant::now();
        if count == 0 {
            return Ok(seen);
        }
        buffer.extend_from_slice(&bytes[..count]);
        let text = String::from_utf8_lossy(&buffer);
        if text.contains("\"ERROR\"") {
            return Err(io::Error::other(text.into_owned()));
        }
        let whole = text.rfind('}').map_or(0, |at| at + 1);
        for _ in text[..whole].matches("PERSISTED") {
            while let Ok(fragment) = sent.try_recv() {
                waiting.push_back(fragment);
            }
            let Some((at, bytes)) = waiting.pop_front() else { continue };
            seen.acks.push(now.saturating_duration_since(at));
            seen.bytes += bytes;
        }
        let ended = text.ends_with("0\r\n\r\n");
        buffer.drain(..whole);
        if ended {
            return Ok(seen);
        }
    }
}
