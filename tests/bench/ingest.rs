//! PutMedia: CPU per stream-second beside nginx-rtmp, ack latency beside a bare fdatasync, and
//! full speed beside a bare sequential write.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::load::{Seen, upload};
use crate::media::{self, Load};
use crate::peers::Rtmp;
use crate::server::Server;
use crate::stats::{Latencies, bare_append, bare_overwrite, directory, ms};

/// Seconds of a real-time run.
const SECONDS: u64 = 12;
/// What of it is watched: when all streams have begun and none has ended.
const WARM_UP: Duration = Duration::from_secs(3);
const WATCHED: Duration = Duration::from_secs(8);
/// Streams of the comparison; ffmpeg, which feeds the peer, needs more CPU than either server.
const PEER_STREAMS: usize = 20;
const STREAMS: [usize; 3] = [20, 100, 300];
const ACK_STREAMS: usize = 300;
const ONE_CORE_STREAMS: usize = 500;
const FULL_SPEED_CONNECTIONS: usize = 16;
/// What each of those connections sends, in seconds of media.
const FULL_SPEED_SECONDS: u64 = 1_200;
const FRAGMENT_MS: u64 = 1_000;

/// Real-time streams: CPU and memory against nginx-rtmp.
pub fn real_time() -> io::Result<()> {
    println!("720p30 H.264 of 1 Mbit/s + AAC, fragments of 1 s, {SECONDS} s in real time");
    let load = media::load(SECONDS, FRAGMENT_MS)?;
    let peer = nginx_rtmp()?;
    println!("nginx-rtmp, not synced, {PEER_STREAMS} streams: {peer:.2} CPU-ms per stream-second");
    for streams in STREAMS {
        let server = Server::start()?;
        let idle = server.resident()?;
        let (cpu, seen) = std::thread::scope(|scope| {
            let watch = scope.spawn(|| cpu_at_work(&server));
            let seen = run(&server, "load", streams, &load, true)?;
            let cpu = watch.join().map_err(|_| io::Error::other("the watch panicked"))??;
            io::Result::Ok((cpu, seen))
        })?;
        let per_second = ms(cpu) / (streams as u64 * WATCHED.as_secs()) as f64;
        let memory = server.resident()?.saturating_sub(idle) as f64 / streams as f64;
        println!(
            "kinora, durable and indexed, {streams} streams: {per_second:.2} CPU-ms per \
             stream-second = {:.2} x nginx-rtmp; {:.2} MiB beside {:.0} MiB; {} acks",
            per_second / peer,
            memory / f64::from(1 << 20),
            idle as f64 / f64::from(1 << 20),
            seen.acks.0.len()
        );
    }
    Ok(())
}

/// Ack latency at many streams, as a ratio of the bare disk in the same run.
pub fn acks() -> io::Result<()> {
    println!("from a fragment's last byte sent to its PERSISTED read, {ACK_STREAMS} streams");
    let load = media::load(SECONDS, FRAGMENT_MS)?;
    let dir = directory()?;
    let (mut append, mut overwrite) = (bare_append(dir.path())?, bare_overwrite(dir.path())?);
    let server = Server::start()?;
    let mut acks = run(&server, "load", ACK_STREAMS, &load, true)?.acks;
    drop(server);
    // The machine's other load changes: half before, half after.
    append.0.extend(bare_append(dir.path())?.0);
    overwrite.0.extend(bare_overwrite(dir.path())?.0);
    let quantiles =
        |latencies: &mut Latencies| (ms(latencies.quantile(0.5)), ms(latencies.quantile(0.99)));
    let (append, overwrite) = (quantiles(&mut append), quantiles(&mut overwrite));
    let (p50, p99) = quantiles(&mut acks);
    for (what, bare) in [("append", append), ("overwrite", overwrite)] {
        println!("bare 128-KiB {what} + fdatasync: p50 {:.2} ms, p99 {:.2} ms", bare.0, bare.1);
    }
    println!(
        "kinora: p50 {p50:.2} ms = {:.1} x append = {:.1} x overwrite; \
         p99 {p99:.2} ms = {:.1} x append = {:.1} x overwrite",
        p50 / append.0,
        p50 / overwrite.0,
        p99 / append.1,
        p99 / overwrite.1,
    );
    Ok(())
}

/// As fast as the server takes it.
pub fn full_speed() -> io::Result<()> {
    println!("{FULL_SPEED_CONNECTIONS} connections, every fragment acknowledged");
    let load = media::load(FULL_SPEED_SECONDS, FRAGMENT_MS)?.whole_fragments();
    let before = bare_sequential()?;
    let server = Server::start()?;
    let start = std::time::Instant::now();
    let seen = run(&server, "load", FULL_SPEED_CONNECTIONS, &load, false)?;
    let elapsed = start.elapsed();
    let cpu = server.cpu()?;
    drop(server);
    let bare = (before + bare_sequential()?) / 2.0;
    println!("bare sequential write, fdatasync every 4 MiB: {bare:.0} MB/s");
    let rate = seen.bytes as f64 / 1e6 / elapsed.as_secs_f64();
    println!(
        "kinora: {rate:.0} MB/s = {:.2} x bare; {:.2} CPU-ms per MB, {:.1} cores",
        rate / bare,
        ms(cpu) / (seen.bytes as f64 / 1e6),
        cpu.as_secs_f64() / elapsed.as_secs_f64(),
    );
    Ok(())
}

/// The server with one core for very many cameras, the load with another.
pub fn one_core() -> io::Result<()> {
    println!("{ONE_CORE_STREAMS} cameras of 1 Mbit/s, the server on one core, {SECONDS} s");
    let load = media::load(SECONDS, FRAGMENT_MS)?;
    let server = Server::start_on_core(0)?;
    // The threads that are started from here on inherit it.
    let mut others = rustix::thread::sched_getaffinity(None)?;
    others.unset(0);
    rustix::thread::sched_setaffinity(None, &others)?;
    let (cpu, mut seen) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| cpu_at_work(&server));
        let seen = run(&server, "load", ONE_CORE_STREAMS, &load, true)?;
        let cpu = watch.join().map_err(|_| io::Error::other("the watch panicked"))??;
        io::Result::Ok((cpu, seen))
    })?;
    let late = seen.acks.0.iter().filter(|ack| ack.as_millis() > u128::from(FRAGMENT_MS)).count();
    println!(
        "{} acks: p50 {:.1} ms, p99 {:.1} ms, worst {:.0} ms; {late} came later than the next \
         fragment; {:.2} of the core in use",
        seen.acks.0.len(),
        ms(seen.acks.quantile(0.5)),
        ms(seen.acks.quantile(0.99)),
        ms(seen.acks.quantile(1.0)),
        cpu.as_secs_f64() / WATCHED.as_secs_f64(),
    );
    Ok(())
}

/// Uploads `load` to that many new streams of the server at once, called `name-0` and so on.
pub fn run(
    server: &Server,
    name: &str,
    streams: usize,
    load: &Load,
    paced: bool,
) -> io::Result<Seen> {
    (0..streams).try_for_each(|at| server.create_stream(&format!("{name}-{at}")))?;
    let load = Arc::new(load.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let uploads: Vec<_> = (0..streams)
            .map(|at| {
                // Cameras do not start together.
                let start = Instant::now() + Duration::from_millis(at as u64 * 997 % 1000);
                let head = server.put_media_head(&format!("{name}-{at}"));
                tokio::spawn(upload(server.address, head, load.clone(), start, paced))
            })
            .collect();
        let mut all = Seen::default();
        for seen in uploads {
            all.merge(seen.await??);
        }
        Ok(all)
    })
}

/// What the server uses while all streams send; what its start cost is not counted.
fn cpu_at_work(server: &Server) -> io::Result<Duration> {
    std::thread::sleep(WARM_UP);
    let before = server.cpu()?;
    std::thread::sleep(WATCHED);
    Ok(server.cpu()? - before)
}

/// CPU milliseconds per stream-second of nginx-rtmp taking the same media.
fn nginx_rtmp() -> io::Result<f64> {
    let peer = Rtmp::start()?;
    let file = media::file()?;
    let pushers: Vec<_> =
        (0..PEER_STREAMS).map(|at| peer.push(&file, at)).collect::<Result<_, _>>()?;
    std::thread::sleep(WARM_UP);
    let before = peer.cpu()?;
    std::thread::sleep(WATCHED);
    let cpu = peer.cpu()? - before;
    let recording = peer.recordings()?;
    assert_eq!(recording, PEER_STREAMS, "nginx-rtmp records every stream");
    drop(pushers);
    Ok(ms(cpu) / (PEER_STREAMS as u64 * WATCHED.as_secs()) as f64)
}

/// MB/s.
fn bare_sequential() -> io::Result<f64> {
    const BLOCKS: usize = 128;
    let dir = directory()?;
    let mut file = File::create(dir.path().join("bare"))?;
    let block = vec![0x5a; 4 << 20];
    let start = std::time::Instant::now();
    for _ in 0..BLOCKS {
        file.write_all(&block)?;
        file.sync_data()?;
    }
    Ok((BLOCKS * block.len()) as f64 / 1e6 / start.elapsed().as_secs_f64())
}
