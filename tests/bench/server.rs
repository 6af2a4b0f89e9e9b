//! The release binary as a benchmark's peer: started on a free port, its CPU time read from the
//! system.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kinora::clock::Clock;
use kinora::wire::sigv4::{self, Credentials, Request, Target};

/// A running `kinora serve`; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    credentials: Credentials,
    _data: tempfile::TempDir,
}

impl Server {
    /// Starts the server on a new data directory beside the build, so on the same disk.
    pub fn start() -> Self {
        let data = tempfile::tempdir_in(super::media::folder()).expect("a folder for the data");
        let mut child = Command::new(env!("CARGO_BIN_EXE_kinora"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let address = line.trim().rsplit('/').next().and_then(|at| at.parse().ok());
        let credentials = credentials(data.path());
        Self { child, address: address.expect("an address"), credentials, _data: data }
    }

    /// CPU time that the server used so far, of all its threads.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a VmRSS line");
        let kib = line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
        kib.expect("a number") * 1024
    }

    /// A signed PutMedia request head as the C producer sends it.
    pub fn put_media_head(&self, stream: &str) -> Vec<u8> {
        let headers = [
            ("connection", "keep-alive"),
            ("host", "127.0.0.1"),
            ("transfer-encoding", "chunked"),
            ("x-amzn-fragment-acknowledgment-required", "1"),
            ("x-amzn-fragment-timecode-type", "RELATIVE"),
            ("x-amzn-producer-start-timestamp", "1795308000.000"),
            ("x-amzn-stream-name", stream),
        ];
        self.head("POST", "/putMedia", &headers, sigv4::EMPTY_PAYLOAD)
    }

    /// A signed JSON request of the control plane.
    pub fn call(&self, operation: &str, body: &str) -> String {
        use std::io::{Read, Write};
        let headers = [("connection", "close"), ("host", "127.0.0.1")];
        let hash = sigv4::payload_hash(body.as_bytes());
        let mut request = self.head("POST", operation, &headers, &hash);
        request.truncate(request.len() - 2);
        request.extend_from_slice(format!("content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let mut socket = std::net::TcpStream::connect(self.address).expect("the server listens");
        socket.write_all(&request).expect("the server reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("the server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{operation}: {answer}");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    pub fn create_stream(&self, name: &str) {
        let body = format!(r#"{{"StreamName":"{name}","DataRetentionInHours":24}}"#);
        self.call("/createStream", &body);
    }

    fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], hash: &str) -> Vec<u8> {
        let now = Clock::system().now();
        let request = Request { method, path, query: "", headers };
        let target = Target { region: "us-east-1", service: "kinesisvideo" };
        let signed = sigv4::sign_headers(&request, hash, &self.credentials, target, now);
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        for (name, value) in signed {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of one process.
pub fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64((ticks(11) + ticks(12)) as f64 / per_second as f64)
}

fn credentials(data: &Path) -> Credentials {
    let file = std::fs::read_to_string(data.join("credentials")).expect("a credentials file");
    let value = |key: &str| {
        let line = file.lines().find(|line| line.starts_with(key)).expect("the key is there");
        line.split('=').nth(1).expect("a value").trim().to_owned()
    };
    Credentials {
        access_key: value("aws_access_key_id"),
        secret: value("aws_secret_access_key"),
        session_token: None,
    }
}
