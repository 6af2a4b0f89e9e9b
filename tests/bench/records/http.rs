//! kinora's side: signed JSON requests over kept connections.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, RECORD_BYTES};
use crate::server::Server;

/// Shards take what comes, as the peers do.
pub const NO_SHARD_LIMITS: (&str, &str) = ("KINORA_RECORDS_SHARD_LIMITS", "off");

/// Creates a stream of so many shards.
pub fn create_stream(server: &Server, name: &str, shards: usize) -> io::Result<()> {
    let body = format!(r#"{{"StreamName":"{name}","ShardCount":{shards}}}"#);
    server.call_records("CreateStream", &body).map(drop)
}

/// A connection that sends one request again and again. It is signed once, since the server is what
/// is measured; the server verifies each.
pub struct Putter {
    connection: Connection,
    request: Vec<u8>,
}

impl Putter {
    /// Puts so many records at a time, with partition keys that spread over the shards.
    pub async fn connect(
        server: &Server,
        stream: &str,
        at: usize,
        records: usize,
    ) -> io::Result<Self> {
        let data = STANDARD.encode([b'x'; RECORD_BYTES]);
        let record = |n: usize| format!(r#""Data":"{data}","PartitionKey":"{at}-{n}""#);
        let (operation, body) = if records == 1 {
            ("PutRecord", format!(r#"{{"StreamName":"{stream}",{}}}"#, record(0)))
        } else {
            let all: Vec<_> = (0..records).map(|n| format!("{{{}}}", record(n))).collect();
            let all = all.join(",");
            ("PutRecords", format!(r#"{{"StreamName":"{stream}","Records":[{all}]}}"#))
        };
        let request = server.records_request(operation, &body, "keep-alive").into_bytes();
        Ok(Self { connection: Connection::open(server).await?, request })
    }
}

impl Client for Putter {
    async fn put(&mut self) -> io::Result<()> {
        self.connection.send(&self.request).await?;
        let answer = self.connection.answer().await?;
        if answer.windows(11).any(|bytes| bytes == b"\"ErrorCode\"") {
            return Err(io::Error::other(String::from_utf8_lossy(answer).into_owned()));
        }
        Ok(())
    }
}

/// A kept connection.
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(server: &Server) -> io::Result<Self> {
        let socket = TcpStream::connect(server.address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::new() })
    }

    pub async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.socket.write_all(request).await
    }

    /// Reads one answer of a stated length, which must be a success; its body.
    pub async fn answer(&mut self) -> io::Result<&[u8]> {
        self.buffer.clear();
        let head = self.head().await?;
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length
            .and_then(|length| length.trim().parse().ok())
            .ok_or_else(|| io::Error::other(text.clone()))?;
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        let body = &self.buffer[head..];
        if text.starts_with("http/1.1 200") {
            return Ok(body);
        }
        Err(io::Error::other(format!("{text}{}", String::from_utf8_lossy(body))))
    }

    /// Reads until a head is there; where it ends.
    pub async fn head(&mut self) -> io::Result<usize> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return Ok(at + 4);
            }
            self.read().await?;
        }
    }

    /// Reads some; all that was read since the last answer and not taken.
    pub async fn read(&mut self) -> io::Result<&mut Vec<u8>> {
        match self.socket.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(&mut self.buffer),
        }
    }

    /// Takes so many of the bytes that were read.
    pub fn taken(&mut self, bytes: usize) -> Vec<u8> {
        self.buffer.drain(..bytes).collect()
    }
}
