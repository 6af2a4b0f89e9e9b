//! The server as a process of its own, started on a free port; its CPU time is read from the
//! system.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora::clock::Clock;
use kinora::wire::sigv4::{self, Credentials, Request, Target};

use rustix::fs::Advice;

use crate::stats::directory;

/// A running `kinora serve`; killed when dropped.
pub struct Server {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    credentials: Credentials,
    data: tempfile::TempDir,
}

/// A child that does not outlive its value.
pub struct Process(pub Child);

impl Server {
    /// Starts the server, or that in `KINORA_BENCH_SERVER`, on a new data directory on the disk
    /// under test.
    pub fn start() -> io::Result<Self> {
        Self::start_configured(&[])
    }

    /// Starts the server with settings, as the variables that carry them.
    pub fn start_configured(settings: &[(&str, &str)]) -> io::Result<Self> {
        let mut command = Command::new(binary());
        command.envs(settings.iter().copied());
        Self::start_with(command)
    }

    /// Starts the server such that it has one core and no other.
    pub fn start_on_core(core: usize) -> io::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &core.to_string()]).arg(binary());
        Self::start_with(command)
    }

    fn start_with(mut command: Command) -> io::Result<Self> {
        let data = directory()?;
        let child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut process = Process(child);
        let stdout = process.0.stdout.take().ok_or_else(|| io::Error::other("stdout is piped"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().rsplit('/').next().unwrap_or_default();
        let address = address.parse().map_err(|_| io::Error::other(format!("started: {line}")))?;
        let credentials = credentials(data.path())?;
        Ok(Self { process, address, credentials, data })
    }

    /// CPU time that the server used so far, of all its threads.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.process.cpu()
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// A signed PutMedia request head as the C producer sends it.
    pub fn put_media_head(&self, stream: &str) -> Vec<u8> {
        let headers = [
            ("connection", "keep-alive"),
            ("host", "127.0.0.1"),
            ("transfer-encoding", "chunked"),
            ("x-amzn-fragment-acknowledgment-required", "1"),
            ("x-amzn-fragment-timecode-type", "RELATIVE"),
            ("x-amzn-producer-start-timestamp", START_TIMESTAMP),
            ("x-amzn-stream-name", stream),
        ];
        let mut head = self.head("/putMedia", VIDEO, &headers, sigv4::EMPTY_PAYLOAD);
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Takes what the server stored out of the page cache.
    pub fn forget_pages(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.data.path().join("log"))? {
            let file = File::open(entry?.path())?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
        }
        Ok(())
    }

    /// Sends a signed JSON request; the answer's body.
    pub fn call(&self, operation: &str, body: &str) -> io::Result<String> {
        let answer = self.exchange(&self.request(operation, body))?;
        String::from_utf8(answer).map_err(io::Error::other)
    }

    /// A signed JSON request.
    pub fn request(&self, operation: &str, body: &str) -> String {
        let headers = [("connection", "close"), ("host", "127.0.0.1")];
        let hash = sigv4::payload_hash(body.as_bytes());
        let mut request = self.head(operation, VIDEO, &headers, &hash);
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        request
    }

    /// A signed JSON request of Kinesis Data Streams; `connection` is `close` or `keep-alive`.
    pub fn records_request(&self, operation: &str, body: &str, connection: &str) -> String {
        let target = format!("Kinesis_20131202.{operation}");
        let headers = [
            ("connection", connection),
            ("content-type", "application/x-amz-json-1.1"),
            ("host", "127.0.0.1"),
            ("x-amz-target", &target),
        ];
        let hash = sigv4::payload_hash(body.as_bytes());
        let mut request = self.head("/", RECORDS, &headers, &hash);
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        request
    }

    /// Sends a request of Kinesis Data Streams; the answer's body.
    pub fn call_records(&self, operation: &str, body: &str) -> io::Result<String> {
        let answer = self.exchange(&self.records_request(operation, body, "close"))?;
        String::from_utf8(answer).map_err(io::Error::other)
    }

    /// Creates a stream that keeps what it gets.
    pub fn create_stream(&self, name: &str) -> io::Result<()> {
        let body = format!(r#"{{"StreamName":"{name}","DataRetentionInHours":24}}"#);
        self.call("/createStream", &body).map(drop)
    }

    /// The body at an address that needs no signature.
    pub fn get(&self, path: &str) -> io::Result<Vec<u8>> {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
    }

    /// Puts nothing to a native address.
    pub fn put(&self, path: &str) -> io::Result<()> {
        let Credentials { access_key, secret, .. } = &self.credentials;
        let pair = STANDARD.encode(format!("{access_key}:{secret}"));
        let head = format!("PUT {path} HTTP/1.1\r\nhost: a\r\nauthorization: Basic {pair}");
        let rest = "connection: close\r\ncontent-length: 0\r\n\r\n";
        self.exchange(&format!("{head}\r\n{rest}")).map(drop)
    }

    /// The file with the root key.
    pub fn credentials_file(&self) -> PathBuf {
        self.data.path().join("credentials")
    }

    fn exchange(&self, request: &str) -> io::Result<Vec<u8>> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(0);
        if !answer.starts_with(b"HTTP/1.1 200") {
            let text = String::from_utf8_lossy(&answer).into_owned();
            return Err(io::Error::other(format!("{request}\n{text}")));
        }
        Ok(answer.split_off(head + 4))
    }

    /// A signed request head without the empty line that ends it.
    fn head(&self, path: &str, service: &str, headers: &[(&str, &str)], hash: &str) -> String {
        let now = Clock::system().now();
        let request = Request { method: "POST", path, query: "", headers };
        let target = Target { region: "us-east-1", service };
        let signed = sigv4::sign_headers(&request, hash, &self.credentials, target, now);
        let mut head = format!("POST {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        for (name, value) in signed {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }
}

/// Names of the services, as signatures have them.
const VIDEO: &str = "kinesisvideo";
const RECORDS: &str = "kinesis";

/// When all uploads start on the producers' clocks.
pub const START_TIMESTAMP: &str = "1795308000";

/// Linux counts in hundredths of a second for every program (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
/// Where the times stand, its own and those of its children, behind the program's name in `/proc/PID/stat` (proc(5)).
const UTIME: usize = 11;
const STIME: usize = 12;
const CUTIME: usize = 13;
const CSTIME: usize = 14;

impl Process {
    /// CPU time that the process used so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu(&self.0.id().to_string())
    }
}

/// CPU time that a process, or this one ("self"), used so far.
pub fn cpu(process: &str) -> io::Result<Duration> {
    ticks(process, [UTIME, STIME])
}

/// CPU time that children of this process used which it has waited for.
pub fn cpu_of_children() -> io::Result<Duration> {
    ticks("self", [CUTIME, CSTIME])
}

fn ticks(process: &str, fields: [usize; 2]) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let texts: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| texts.get(at).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    Ok(TICK * fields.into_iter().map(ticks).sum())
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server just built, or another build of it to compare with.
fn binary() -> OsString {
    let built = || env!("CARGO_BIN_EXE_kinora").into();
    std::env::var_os("KINORA_BENCH_SERVER").unwrap_or_else(built)
}

fn credentials(data: &Path) -> io::Result<Credentials> {
    let file = std::fs::read_to_string(data.join("credentials"))?;
    let value = |key: &str| {
        let line = file.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once('=')?.1.trim().to_owned())
    };
    let missing = || io::Error::other("the credentials file is not complete");
    Ok(Credentials {
        access_key: value("aws_access_key_id").ok_or_else(missing)?,
        secret: value("aws_secret_access_key").ok_or_else(missing)?,
        session_token: None,
    })
}
