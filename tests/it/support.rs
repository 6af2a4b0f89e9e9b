//! A server of its own for a test, and ways to talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use kinora::wire::sigv4::{Credentials, Request, Target};
use tempfile::TempDir;

/// How clients in tests are configured; the server accepts any region.
pub const TARGET: Target<'static> = Target { region: "us-west-2", service: "kinesisvideo" };

/// A free port of the system's choice.
const ANY_PORT: &str = "127.0.0.1:0";

/// How long a server may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The built `kinora serve` on a free port and a fresh data directory, killed when dropped.
pub struct Server {
    child: Child,
    dir: TempDir,
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    /// The root key.
    pub credentials: Credentials,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Server {
    /// With authentication, as users get it.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more arguments for `kinora serve`.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), arguments)
    }

    /// With settings, as the variables that carry them.
    pub fn start_configured(settings: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.envs(settings.iter().copied());
        Self::launch(command, tempfile::tempdir().expect("a directory"), ANY_PORT, &[])
    }

    /// With a process whose writes [`Server::limit_files`] can make fail.
    pub fn start_limitable() -> Self {
        // A process that ignores the signal gets the error instead, and `exec` keeps that.
        let mut command = command_of("sh");
        let program = env!("CARGO_BIN_EXE_kinora");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", program]);
        Self::launch(command, tempfile::tempdir().expect("a directory"), ANY_PORT, &[])
    }

    /// Lets every write of the server behind so many bytes of a file fail from now on.
    pub fn limit_files(&self, bytes: u64) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let limit = rustix::process::Rlimit { current: Some(bytes), maximum: Some(bytes) };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit)
            .expect("our own child");
    }

    /// On a data directory that exists.
    pub fn start_in(dir: TempDir, arguments: &[&str]) -> Self {
        Self::launch(command(), dir, ANY_PORT, arguments)
    }

    /// On a data directory that exists, with settings as the variables that carry them.
    pub fn start_with_settings_in(dir: TempDir, settings: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.envs(settings.iter().copied());
        Self::launch(command, dir, ANY_PORT, &[])
    }

    /// On the data directory and the port that another server had.
    #[cfg(feature = "gstreamer")]
    pub fn start_again(dir: TempDir, authority: &str) -> Self {
        Self::launch(command(), dir, authority, &[])
    }

    fn launch(mut command: Command, dir: TempDir, listen: &str, arguments: &[&str]) -> Self {
        let mut child = command
            // Small segment files, since every server of every test prepares some.
            .env("KINORA_STORE_SEGMENT_BYTES", "4194304")
            .env("RUST_LOG", std::env::var("RUST_LOG").as_deref().unwrap_or("warn"))
            .args(["serve", "--listen", listen, "--data"])
            .arg(dir.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let endpoint = line.trim().strip_prefix("kinora listening on ").expect(&line).to_owned();
        let credentials = read_credentials(&dir.path().join("credentials"));
        Self { child, dir, endpoint, credentials }
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        self.dir.path()
    }

    /// `127.0.0.1:PORT`.
    pub fn authority(&self) -> &str {
        self.endpoint.split_once("://").expect("a URL").1
    }

    /// Bytes of memory the server has in use (Linux's VmRSS).
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kilobytes.and_then(|text| text.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// A metric's value.
    pub fn metric(&self, name: &str) -> f64 {
        let answer = self.get_with_key("/metrics");
        let mut lines = answer.text().lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no metric {name}: {answer:?}"))
    }

    /// Runs `kinora key …` on this server's keys; its standard output.
    pub fn key(&self, arguments: &[&str]) -> String {
        let output = command().arg("key").args(arguments).arg("--data").arg(self.data()).output();
        let output = output.expect("kinora key runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    }

    /// How the server ended, if it does so within `patience`.
    pub fn exit_status(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.child.try_wait().expect("our own child");
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks the server to stop, and gives the directory back for another start.
    pub fn stop(mut self) -> (ExitStatus, TempDir) {
        self.terminate();
        let status = self.exit_status(STOP_TIMEOUT).expect("the server stops");
        (status, self.take_dir())
    }

    /// Ends the server as a crash would, and gives the directory back for another start.
    pub fn kill_9(mut self) -> TempDir {
        self.child.kill().expect("it runs");
        self.child.wait().expect("our own child");
        self.take_dir()
    }

    /// On a data directory in a place that the test made, such as a small disk.
    pub fn start_at(path: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.envs(settings.iter().copied());
        Self::launch(command, tempfile::tempdir_in(path).expect("a directory"), ANY_PORT, &[])
    }

    fn take_dir(&mut self) -> TempDir {
        let fresh = tempfile::tempdir().expect("a directory");
        std::mem::replace(&mut self.dir, fresh)
    }

    /// Calls an AWS operation with a JSON body, signed as boto3 does.
    pub fn call(&self, path: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/json"), ("host", self.authority())];
        self.call_with(path, &headers, body)
    }

    /// Calls an AWS operation with other headers, all of them signed.
    pub fn call_with(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = Request { method: "POST", path, query: "", headers };
        self.send(&request, &self.sign_body(path, headers, body), body)
    }

    /// Sends a request as it stands, with more headers and a body of known length.
    pub fn send(&self, request: &Request<'_>, added: &[(&str, String)], body: &str) -> Answer {
        let Request { method, path, query, headers } = request;
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let mut text = format!("{method} {path}{query} HTTP/1.1\r\n");
        for (name, value) in *headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        for (name, value) in added {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let chunked = headers.iter().any(|(name, _)| *name == "transfer-encoding");
        if chunked {
            text.push_str(&format!("\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
        } else {
            text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        }
        self.exchange(text.as_bytes())
    }

    /// Writes raw bytes to a new connection and reads one answer of known length.
    pub fn exchange(&self, bytes: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(self.authority()).expect("connects");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a valid time");
        socket.write_all(bytes).expect("writes");
        read_answer(&mut BufReader::new(socket))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The status and the AWS error's name.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.header("x-amzn-errortype").unwrap_or("none"))
    }
}

/// Reads a head and as much of a body as its length says.
fn read_answer(from: &mut impl BufRead) -> Answer {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(from.read_line(&mut head).expect("a head"), 0, "closed after {head:?}");
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut answer = Answer { status, head, body: Vec::new() };
    let length = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    from.take(length).read_to_end(&mut answer.body).expect("a body");
    answer
}

/// A small generator of the same numbers for the same seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// `kinora` without settings of the machine that runs the tests.
pub fn command() -> Command {
    command_of(env!("CARGO_BIN_EXE_kinora"))
}

fn command_of(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KINORA_")) {
        command.env_remove(name);
    }
    command
}

fn read_credentials(path: &Path) -> Credentials {
    let text = std::fs::read_to_string(path).expect("the first start writes credentials");
    let value = |key: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(" = "));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).expect(key)
    };
    Credentials {
        access_key: value("aws_access_key_id"),
        secret: value("aws_secret_access_key"),
        session_token: None,
    }
}
