//! Redis streams: XADD, with the append-only file synced before each answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, RECORD_BYTES};
use crate::peers::{free_port, wait_for};
use crate::server::Process;
use crate::stats::directory;

/// A Redis server; killed when dropped.
pub struct Redis {
    process: Process,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

/// A connection that adds to one stream.
pub struct Adder {
    socket: TcpStream,
    request: Vec<u8>,
    records: usize,
    buffer: Vec<u8>,
}

impl Redis {
    /// Starts it on a free port and the disk under test.
    pub fn start() -> io::Result<Self> {
        let dir = directory()?;
        let port = free_port()?;
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(std::path::absolute(dir.path())?)
            .stdout(Stdio::null())
            .spawn()?;
        let process = Process(child);
        wait_for("redis-server", port)?;
        Ok(Self { process, address: (Ipv4Addr::LOCALHOST, port).into(), _dir: dir })
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A connection that adds so many records at a time.
    pub async fn connect(&self, stream: &str, records: usize) -> io::Result<Adder> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let mut one = Vec::new();
        let data = vec![b'x'; RECORD_BYTES];
        one.extend_from_slice(b"*5\r\n");
        for word in [b"XADD", stream.as_bytes(), b"*", b"d", &data] {
            one.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            one.extend_from_slice(word);
            one.extend_from_slice(b"\r\n");
        }
        Ok(Adder { socket, request: one.repeat(records), records, buffer: Vec::new() })
    }
}

impl Client for Adder {
    async fn put(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.request).await?;
        self.buffer.clear();
        let mut answers = 0;
        let mut seen = 0;
        // Each answer is two lines: a length and the entry's id.
        while answers < 2 * self.records {
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answers += self.buffer[seen..].iter().filter(|&&byte| byte == b'\n').count();
            seen = self.buffer.len();
        }
        if self.buffer.starts_with(b"$") {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&self.buffer).into_owned()))
    }
}
