//! NATS JetStream on files: publishing with an answer. It syncs its files every two minutes, not
//! before it answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, RECORD_BYTES};
use crate::peers::{free_port, wait_for};
use crate::server::Process;
use crate::stats::directory;

const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

/// A NATS server; killed when dropped.
pub struct Nats {
    process: Process,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

/// A connection that publishes to one stream.
pub struct Publisher {
    socket: TcpStream,
    request: Vec<u8>,
    records: usize,
    buffer: Vec<u8>,
}

impl Nats {
    /// Starts it on a free port and the disk under test.
    pub fn start() -> io::Result<Self> {
        let dir = directory()?;
        let port = free_port()?;
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("nats-server")
            .env("PATH", format!("{path}:/usr/sbin"))
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(std::path::absolute(dir.path())?)
            .stderr(Stdio::null())
            .spawn()?;
        let process = Process(child);
        wait_for("nats-server", port)?;
        Ok(Self { process, address: (Ipv4Addr::LOCALHOST, port).into(), _dir: dir })
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Creates a stream of its own for one subject.
    pub async fn create_stream(&self, name: &str) -> io::Result<()> {
        let config = format!(
            r#"{{"name":"{name}","subjects":["{name}"],"storage":"file","retention":"limits"}}"#
        );
        let subject = format!("$JS.API.STREAM.CREATE.{name}");
        let mut client = self.client(&subject, config.as_bytes(), 1).await?;
        client.put().await
    }

    /// A connection that publishes so many records at a time.
    pub async fn connect(&self, stream: &str, records: usize) -> io::Result<Publisher> {
        self.client(stream, &[b'x'; RECORD_BYTES], records).await
    }

    async fn client(&self, subject: &str, data: &[u8], records: usize) -> io::Result<Publisher> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        socket.write_all(CONNECT).await?;
        let inbox = format!("_INBOX.{}", socket.local_addr()?.port());
        socket.write_all(format!("SUB {inbox} 1\r\n").as_bytes()).await?;
        let mut one = format!("PUB {subject} {inbox} {}\r\n", data.len()).into_bytes();
        one.extend_from_slice(data);
        one.extend_from_slice(b"\r\n");
        Ok(Publisher { socket, request: one.repeat(records), records, buffer: Vec::new() })
    }
}

impl Publisher {
    /// Takes the next line, without what ends it.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<_> = self.buffer.drain(..=at).collect();
                line.truncate(at.saturating_sub(1));
                return Ok(line);
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Client for Publisher {
    async fn put(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.request).await?;
        let mut answers = 0;
        while answers < self.records {
            let line = self.line().await?;
            if line.starts_with(b"MSG") {
                let answer = self.line().await?;
                if answer.windows(7).any(|bytes| bytes == b"\"error\"") {
                    return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
                }
                answers += 1;
            } else if line == b"PING" {
                self.socket.write_all(b"PONG\r\n").await?;
            } else if line.starts_with(b"-ERR") {
                return Err(io::Error::other(String::from_utf8_lossy(&line).into_owned()));
            }
        }
        Ok(())
    }
}
