//! PutMedia: CPU per stream-second beside nginx-rtmp, ack latency beside a bare fdatasync, and
//! full speed beside a bare sequential write.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::load::{Seen, upload};
use super::media::{self, Piece};
use super::peers::Rtmp;
use super::server::Server;

/// Seconds of a real-time run.
const SECONDS: u64 = 12;
/// Streams of the comparison; ffmpeg, which feeds the peer, needs more CPU than either server.
const PEER_STREAMS: usize = 20;
const STREAMS: [usize; 2] = [20, 100];
const ACK_STREAMS: usize = 300;
const FULL_SPEED_CONNECTIONS: usize = 16;

/// Real-time streams: CPU against nginx-rtmp, then ack latency against the disk.
pub fn real_time() {
    println!("## ingest: 720p30 H.264 1 Mbit/s + AAC, fragments of 1 s, {SECONDS} s in real time");
    let peer = nginx_rtmp();
    println!("nginx-rtmp HLS + record, {PEER_STREAMS} streams: {peer:.2} CPU-ms per stream-second");
    for streams in STREAMS {
        let server = Server::start();
        let idle = server.resident();
        let before = server.cpu();
        let seen = run(&server, streams, SECONDS, true);
        let cpu = server.cpu() - before;
        let per_second = cpu.as_secs_f64() * 1e3 / (streams as u64 * SECONDS) as f64;
        let memory = server.resident().saturating_sub(idle) as f64 / streams as f64 / 1e6;
        println!(
            "kinora, durable and indexed, {streams} streams: {per_second:.2} CPU-ms per \
             stream-second = {:.2} x nginx-rtmp; {memory:.2} MB per stream; {} acks",
            per_second / peer,
            seen.acks.len()
        );
    }
}

/// Ack latency at many streams, as a ratio of the bare disk in the same run.
pub fn ack_latency() {
    println!("## ack: a fragment's last byte sent to PERSISTED read, {ACK_STREAMS} streams");
    let [bare_50, bare_99] = quantiles(bare_fdatasync());
    println!("bare 128-KiB append + fdatasync, one writer: p50 {bare_50:.2} ms, p99 {bare_99:.2} ms");
    let server = Server::start();
    let [p50, p99] = quantiles(run(&server, ACK_STREAMS, SECONDS, true).acks);
    println!(
        "kinora: p50 {p50:.2} ms = {:.1} x bare, p99 {p99:.2} ms = {:.1} x bare",
        p50 / bare_50,
        p99 / bare_99
    );
}

/// As fast as the server takes it.
pub fn full_speed() {
    println!("## full speed: {FULL_SPEED_CONNECTIONS} connections, durable");
    let bare = bare_sequential();
    println!("bare sequential write + fdatasync per 4 MiB: {bare:.0} MB/s");
    let server = Server::start();
    let start = std::time::Instant::now();
    let seen = run(&server, FULL_SPEED_CONNECTIONS, 1_200, false);
    let rate = seen.bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!("kinora: {rate:.0} MB/s = {:.2} x bare", rate / bare);
}

fn run(server: &Server, streams: usize, seconds: u64, paced: bool) -> Seen {
    let (head, pieces) = media::pieces(seconds);
    let pieces: Arc<Vec<Piece>> = Arc::new(if paced { pieces } else { whole_fragments(pieces) });
    (0..streams).for_each(|at| server.create_stream(&format!("load-{at}")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let uploads = (0..streams).map(|at| {
            let (head, pieces) = (head.clone(), pieces.clone());
            // Cameras do not start together.
            let start = Instant::now() + Duration::from_millis(at as u64 * 997 % 1000);
            async move {
                upload(server, &format!("load-{at}"), &head, &pieces, start, paced).await
            }
        });
        let mut all = Seen::default();
        for seen in futures_util::future::join_all(uploads).await {
            all.merge(seen.expect("the upload is accepted"));
        }
        all
    })
}

/// Joins the pieces of each fragment: at full speed a producer sends what it has.
fn whole_fragments(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut whole = Vec::new();
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(&piece.bytes);
        if piece.ends_fragment {
            let bytes = std::mem::take(&mut bytes).into();
            whole.push(Piece { due_ms: piece.due_ms, bytes, ends_fragment: true });
        }
    }
    whole
}

/// CPU milliseconds per stream-second of nginx-rtmp taking the same media.
fn nginx_rtmp() -> f64 {
    let peer = Rtmp::start();
    let pushers: Vec<_> = (0..PEER_STREAMS).map(|at| peer.push(&media::file("mkv"), at)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let before = peer.cpu();
    let start = std::time::Instant::now();
    std::thread::sleep(Duration::from_secs(SECONDS));
    let cpu = peer.cpu() - before;
    let elapsed = start.elapsed().as_secs_f64();
    drop(pushers);
    cpu.as_secs_f64() * 1e3 / (PEER_STREAMS as f64 * elapsed)
}

fn bare_fdatasync() -> Vec<Duration> {
    let mut file = tempfile::tempfile_in(media::folder()).expect("a file");
    let block = vec![0x5a; 128 << 10];
    let append = |_| {
        let start = std::time::Instant::now();
        file.write_all(&block).and_then(|()| file.sync_data()).expect("the disk writes");
        start.elapsed()
    };
    (0..400).map(append).collect()
}

fn bare_sequential() -> f64 {
    const BLOCKS: usize = 128;
    let mut file: File = tempfile::tempfile_in(media::folder()).expect("a file");
    let block = vec![0x5a; 4 << 20];
    let start = std::time::Instant::now();
    for _ in 0..BLOCKS {
        file.write_all(&block).and_then(|()| file.sync_data()).expect("the disk writes");
    }
    (BLOCKS * block.len()) as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// The median and the 99th percentile in milliseconds.
fn quantiles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times.get(index.min(times.len().saturating_sub(1))).map_or(0.0, Duration::as_secs_f64) * 1e3
    };
    [at(0.5), at(0.99)]
}
