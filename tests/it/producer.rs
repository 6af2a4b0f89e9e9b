//! A PutMedia client for tests: it sends a body in the pieces it is told to and reports each HTTP
//! chunk of the response by itself, because producers parse one ack per chunk.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use kinora::types::FragmentNumber;
use serde_json::Value;

use crate::support::Server;

/// How long a test waits for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One ack as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack(pub Value);

impl Ack {
    pub fn event(&self) -> &str {
        self.0["EventType"].as_str().expect("an ack has an EventType")
    }

    pub fn timecode(&self) -> i64 {
        self.0["FragmentTimecode"].as_i64().expect("the ack has a timecode")
    }

    pub fn number(&self) -> FragmentNumber {
        let text = self.0["FragmentNumber"].as_str().expect("the ack has a number");
        text.parse().expect("a fragment number")
    }

    pub fn error_id(&self) -> u64 {
        self.0["ErrorId"].as_u64().expect("an ERROR ack has an id")
    }
}

/// An open PutMedia connection.
pub struct Producer {
    socket: TcpStream,
    acks: mpsc::Receiver<Ack>,
    /// Acks that came, and were not asked for yet.
    seen: VecDeque<Ack>,
    pub status: u16,
}

/// What a producer says in its request head.
#[derive(Clone)]
pub struct Head {
    pub stream: String,
    pub timecode_type: &'static str,
    pub start: String,
    pub acks: bool,
}

impl Head {
    pub fn absolute(stream: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            timecode_type: "ABSOLUTE",
            start: "1795308137.662".to_owned(),
            acks: true,
        }
    }

    pub fn relative(stream: &str, start: &str) -> Self {
        Self { timecode_type: "RELATIVE", start: start.to_owned(), ..Self::absolute(stream) }
    }
}

impl Producer {
    /// Sends the request head and waits for the response's head, as no body has been sent yet.
    pub fn connect(server: &Server, head: &Head) -> Self {
        let socket = TcpStream::connect(server.authority()).expect("the server listens");
        socket.set_nodelay(true).expect("a TCP socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        let acks_wanted = if head.acks { "1" } else { "0" };
        // The C producer's head: no port in Host, hop-by-hop headers signed, hash of nothing.
        let headers = [
            ("connection", "keep-alive"),
            ("host", "127.0.0.1"),
            ("transfer-encoding", "chunked"),
            ("user-agent", "AWS-PRODUCER-SDK-KVS/1.6.4"),
            ("x-amzn-fragment-acknowledgment-required", acks_wanted),
            ("x-amzn-fragment-timecode-type", head.timecode_type),
            ("x-amzn-producer-start-timestamp", head.start.as_str()),
            ("x-amzn-stream-name", head.stream.as_str()),
        ];
        let signed = server.sign("/putMedia", &headers);
        let mut request = String::from("POST /putMedia HTTP/1.1\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        for (name, value) in signed {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("content-type: application/json\r\n\r\n");
        (&socket).write_all(request.as_bytes()).expect("the server reads");
        let mut reader = BufReader::new(socket.try_clone().expect("a TCP socket"));
        let (status, chunked) = read_head(&mut reader);
        let (sender, acks) = mpsc::channel();
        std::thread::spawn(move || {
            if !chunked {
                let mut body = Vec::new();
                let _ = reader.read_to_end(&mut body);
                return;
            }
            while let Some(chunk) = read_chunk(&mut reader) {
                assert!(chunk.len() < 1024, "an ack is shorter than a producer's buffer");
                let value = serde_json::from_slice(&chunk).expect("one JSON object per chunk");
                if sender.send(Ack(value)).is_err() {
                    return;
                }
            }
        });
        Self { socket, acks, seen: VecDeque::new(), status }
    }

    /// Sends body bytes as one HTTP chunk; false once the connection is broken. That is not an
    /// error here: the server may have refused the body already.
    pub fn send(&mut self, body: &[u8]) -> bool {
        if body.is_empty() {
            return true;
        }
        let mut chunk = format!("{:x}\r\n", body.len()).into_bytes();
        chunk.extend_from_slice(body);
        chunk.extend_from_slice(b"\r\n");
        self.socket.write_all(&chunk).is_ok()
    }

    /// Whether an ERROR ack has come; those before it stay to be read.
    pub fn is_refused(&mut self) -> bool {
        self.seen.extend(self.acks.try_iter());
        self.seen.iter().any(|ack| ack.event() == "ERROR")
    }

    /// Ends the body in order.
    pub fn finish(&mut self) {
        let _ = self.socket.write_all(b"0\r\n\r\n");
    }

    /// Cuts the connection.
    pub fn cut(self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// The next ack; `None` once the response ended.
    pub fn ack(&mut self) -> Option<Ack> {
        loop {
            match self.seen.pop_front() {
                Some(ack) if ack.event() == "IDLE" => continue,
                Some(ack) => return Some(ack),
                None => {}
            }
            match self.acks.recv_timeout(PATIENCE) {
                Ok(ack) if ack.event() == "IDLE" => {}
                Ok(ack) => return Some(ack),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("no ack came in time"),
            }
        }
    }

    /// All acks until the response ends.
    pub fn remaining_acks(&mut self) -> Vec<Ack> {
        std::iter::from_fn(|| self.ack()).collect()
    }
}

/// Sends one whole body in pieces of `piece` bytes and returns its acks.
pub fn put_media(server: &Server, head: &Head, body: &[u8], piece: usize) -> Vec<Ack> {
    let mut producer = Producer::connect(server, head);
    assert_eq!(producer.status, 200, "PutMedia is accepted");
    let _ = body.chunks(piece).all(|piece| producer.send(piece));
    producer.finish();
    producer.remaining_acks()
}

/// The acks of one kind, in order.
pub fn of_kind<'a>(acks: &'a [Ack], event: &str) -> Vec<&'a Ack> {
    acks.iter().filter(|ack| ack.event() == event).collect()
}

fn read_head(reader: &mut impl BufRead) -> (u16, bool) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status line");
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let mut chunked = false;
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a header line");
        if line.trim().is_empty() {
            return (status, chunked);
        }
        chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
    }
}

fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let size = usize::from_str_radix(line.trim(), 16).ok().filter(|&size| size > 0)?;
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk).ok()?;
    chunk.truncate(size);
    Some(chunk)
}
