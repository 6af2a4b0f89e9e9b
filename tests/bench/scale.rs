//! The index at the size of a month: 30 days of 2-second fragments of ten streams.
//!
//! `KINORA_BENCH_FRAGMENTS` makes it smaller than 13 million. Bodies are tiny, so that the log
//! holds little but what the index is made of.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinora::clock::Clock;
use kinora::store::{FormatId, MediaStream, NewStream, Options, Order, Start, Store, StreamInfo};
use kinora::types::{Arn, FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp};

use crate::stats::{Latencies, directory, ms};

const FRAGMENTS: u64 = 13_000_000;
const STREAMS: u64 = 10;
/// Of each fragment.
const MILLIS: u64 = 2_000;
/// When the first begins, on both clocks.
const BEGIN: i64 = 1_700_000_000_000;
/// Of each kind.
const QUERIES: u64 = 20_000;
/// Fragments that expire at once while acknowledgements are measured.
const EXPIRING: u64 = 1_000_000;
/// Names what a child process is to do, and where.
const STEP: &str = "KINORA_BENCH_SCALE_STEP";
const DATA: &str = "KINORA_BENCH_SCALE_DATA";

pub fn run() -> io::Result<()> {
    let largest = std::env::var("KINORA_BENCH_FRAGMENTS").ok().and_then(|n| n.parse().ok());
    let largest = largest.unwrap_or(FRAGMENTS);
    // The small one shows what does not grow with the archive.
    for fragments in [largest / 20, largest] {
        let dir = directory()?;
        let data = dir.path().join("data");
        println!("\n### {fragments} fragments of {STREAMS} streams\n");
        step(&format!("fill {fragments}"), &data)?;
        let log = size(&data.join("log"))?;
        let index = data.join("index.redb");
        println!("log {} MB, index {} MB", log / 1_000_000, index.metadata()?.len() / 1_000_000);
        step("open after kill -9", &data)?;
        std::fs::remove_file(&index)?;
        step("rebuild", &data)?;
        step("expire", &data)?;
    }
    Ok(())
}

/// What this process is to do when it is a child of the benchmark.
pub fn child() -> Option<io::Result<()>> {
    let (step, data) = (std::env::var(STEP).ok()?, std::env::var_os(DATA)?);
    Some(run_step(&step, Path::new(&data)))
}

/// Runs a step in a process of its own, which ends by being killed.
fn step(step: &str, data: &Path) -> io::Result<()> {
    let mut child = Command::new(std::env::current_exe()?);
    let status = child.env(STEP, step).env(DATA, data).status()?;
    match std::os::unix::process::ExitStatusExt::signal(&status) {
        Some(9) => Ok(()),
        _ => Err(io::Error::other(format!("{step}: {status}"))),
    }
}

fn run_step(step: &str, data: &Path) -> io::Result<()> {
    if step == "rebuild" {
        tracing_subscriber::fmt().with_writer(io::stderr).with_target(false).init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match step.split_once(' ') {
        Some(("fill", fragments)) => {
            let fragments = fragments.parse().map_err(io::Error::other)?;
            runtime.block_on(fill(data, fragments))?;
        }
        _ => {
            let (store, clock) = open(data, step)?;
            match step {
                "expire" => runtime.block_on(expire(Arc::new(store), &clock))?,
                "rebuild" => {}
                _ => runtime.block_on(query(&store))?,
            }
        }
    }
    let this = rustix::process::getpid();
    rustix::process::kill_process(this, rustix::process::Signal::KILL)?;
    Ok(())
}

/// Sends all fragments without waiting for each to be durable.
async fn fill(data: &Path, fragments: u64) -> io::Result<()> {
    let begun = Instant::now();
    let clock = Clock::simulated(ServerTimestamp::from_millis(BEGIN));
    // What waits is counted by its bytes, and these are few.
    let options = Options { queue_bytes: 1 << 20, ..Options::default() };
    let (store, _) = Store::open(data, options, clock.clone()).map_err(io::Error::other)?;
    let streams: Vec<_> = (0..STREAMS).map(|n| create(&store, n)).collect::<io::Result<_>>()?;
    let (mut told, mut last) = (Instant::now(), None);
    for n in 0..fragments {
        let stream = &streams[(n % STREAMS) as usize];
        if n % 64 == 0 {
            stream.ready().await;
        }
        last = Some(send(stream, BEGIN + (n / STREAMS * MILLIS) as i64));
        if n % STREAMS == STREAMS - 1 {
            clock.advance(Millis(MILLIS));
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("{} % written", n * 100 / fragments);
        }
    }
    if let Some(last) = last {
        last.await.map_err(io::Error::other)?;
    }
    println!("written in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn send(
    stream: &Arc<MediaStream>,
    producer: i64,
) -> impl Future<Output = Result<kinora::store::FragmentInfo, kinora::store::PersistError>> + use<>
{
    let head = Bytes::from_static(b"head of the file");
    let mut writer = stream.begin(head, ProducerTimestamp::from_millis(producer), FormatId(1));
    writer.push(Bytes::from_static(b"the cluster of a small fragment"));
    writer.finish(Millis(MILLIS))
}

fn open(data: &Path, step: &str) -> io::Result<(Store, Clock)> {
    // Far behind the last: what is written here comes after it.
    let clock = Clock::simulated(ServerTimestamp::from_millis(BEGIN + 400 * 86_400_000));
    let begun = Instant::now();
    let opened = Store::open(data, Options::default(), clock.clone());
    let (store, report) = opened.map_err(io::Error::other)?;
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = store.used_bytes() as f64;
    print!("{step}: {seconds:.2} s, {} fragments", report.fragments);
    match report.rebuilt {
        Some(reason) => println!(
            "; index made anew ({reason}): {:.0} MB/s, {:.0} fragments/s, {}",
            bytes / 1e6 / seconds,
            report.fragments as f64 / seconds,
            memory()?
        ),
        None => println!(", {}", memory()?),
    }
    Ok((store, clock))
}

async fn query(store: &Store) -> io::Result<()> {
    let streams: Vec<_> = (0..STREAMS).map(|n| media(store, n)).collect::<io::Result<_>>()?;
    let (oldest, newest) = streams[0].bounds().ok_or_else(|| io::Error::other("it is empty"))?;
    let span = newest.server().since(oldest.server()).0;
    let numbers: Vec<_> = places(span, 1_000).map(|at| number_at(&streams[0], at)).collect();
    println!("\n| query, warm | p50 µs | p99 µs | worst µs |");
    println!("|---|---|---|---|");
    let producer = |at| ProducerTimestamp::from_millis(BEGIN + at as i64);
    let server = |at| ServerTimestamp::from_millis(BEGIN + at as i64);
    let by_producer =
        |at, ms| Order::Producer { from: producer(at), to: producer(at).plus(Millis(ms)) };
    let by_server = |at, ms| Order::Server { from: server(at), to: server(at).plus(Millis(ms)) };
    measure("get, by number", span, &streams[..1], |stream, at| {
        stream.get(numbers[at as usize % numbers.len()]).is_some()
    });
    measure("first at a producer time", span, &streams, |stream, at| {
        !stream.list(by_producer(at, 60_000), None, 1).is_empty()
    });
    measure("first at a server time", span, &streams, |stream, at| {
        !stream.list(by_server(at, 60_000), None, 1).is_empty()
    });
    measure("5 minutes by producer time", span - 300_000, &streams, |stream, at| {
        stream.list(by_producer(at, 300_000), None, 1_000).len() >= 150
    });
    measure("oldest and newest", span, &streams, |stream, _| stream.bounds().is_some());
    measure("live window of 10", span, &streams, |stream, _| stream.newest(10).len() == 10);
    for (name, start) in [("producer", true), ("server", false)] {
        let mut latencies = Latencies::default();
        for at in places(span, QUERIES) {
            let start =
                if start { Start::Producer(producer(at)) } else { Start::Server(server(at)) };
            let begun = Instant::now();
            streams[0].cursor(start).next().await.map_err(io::Error::other)?;
            latencies.0.push(begun.elapsed());
        }
        row(&format!("cursor at a {name} time, and its fragment read"), &mut latencies);
    }
    println!("\nafter the queries: {}\n", memory()?);
    Ok(())
}

fn measure(
    name: &str,
    span: u64,
    streams: &[Arc<MediaStream>],
    found: impl Fn(&MediaStream, u64) -> bool,
) {
    let mut latencies = Latencies::default();
    // The first round warms.
    for round in 0..2 {
        latencies.0.clear();
        for (n, at) in places(span, QUERIES).enumerate() {
            let stream = &streams[n % streams.len()];
            let begun = Instant::now();
            let found = found(stream, at);
            latencies.0.push(begun.elapsed());
            assert!(found, "{name} at {at} in round {round}");
        }
    }
    row(name, &mut latencies);
}

/// Acknowledgements while nothing else happens, and while very many fragments expire.
async fn expire(store: Arc<Store>, clock: &Clock) -> io::Result<()> {
    let stream = media(&store, 0)?;
    let (oldest, newest) = stream.bounds().ok_or_else(|| io::Error::other("it is empty"))?;
    let mut quiet = acks(&stream, clock, || false).await?;
    let stored = newest.server().since(oldest.server()).0 / MILLIS * STREAMS;
    let expiring = EXPIRING.min(stored / 2);
    let age = clock.now().since(oldest.server()).0 - expiring / STREAMS * MILLIS;
    for info in store.catalog().list("", None, usize::MAX) {
        let change = |info: &mut StreamInfo| {
            info.retention_hours = u32::try_from(age / 3_600_000).unwrap_or(u32::MAX);
            Ok::<_, kinora::store::CatalogError>(())
        };
        store.catalog().update(&info.arn, None, false, change).map_err(io::Error::other)?;
    }
    let used = store.used_bytes();
    let begun = Instant::now();
    let enforcing = {
        let store = store.clone();
        tokio::task::spawn_blocking(move || store.enforce_retention())
    };
    let mut busy = acks(&stream, clock, || !enforcing.is_finished()).await?;
    enforcing.await?;
    println!(
        "{expiring} fragments expire in {:.1} s, {} MB free: ack p50 {:.2} → {:.2} ms, p99 {:.2} → {:.2} ms\n",
        begun.elapsed().as_secs_f64(),
        (used - store.used_bytes()) / 1_000_000,
        ms(quiet.p50()),
        ms(busy.p50()),
        ms(quiet.quantile(0.99)),
        ms(busy.quantile(0.99)),
    );
    Ok(())
}

/// 200 a second, for five seconds and as long as `more`.
async fn acks(
    stream: &Arc<MediaStream>,
    clock: &Clock,
    more: impl Fn() -> bool,
) -> io::Result<Latencies> {
    let (mut latencies, begun) = (Latencies::default(), Instant::now());
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while begun.elapsed() < Duration::from_secs(5) || more() {
        ticks.tick().await;
        clock.advance(Millis(5));
        let start = Instant::now();
        send(stream, clock.now().as_millis()).await.map_err(io::Error::other)?;
        latencies.0.push(start.elapsed());
    }
    Ok(latencies)
}

fn row(name: &str, latencies: &mut Latencies) {
    let micros = |share| latencies.quantile(share).as_secs_f64() * 1e6;
    let [p50, p99, worst] = [0.5, 0.99, 1.0].map(micros);
    println!("| {name} | {p50:.1} | {p99:.1} | {worst:.0} |");
}

/// Places all over a span, the same ones each time.
fn places(span: u64, count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(move |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % span.max(1))
}

fn number_at(stream: &MediaStream, at: u64) -> FragmentNumber {
    let from = ServerTimestamp::from_millis(BEGIN + at as i64);
    let found = stream.list(Order::Server { from, to: ServerTimestamp::MAX }, None, 1);
    found.first().map_or(FragmentNumber::MIN, |info| info.number)
}

fn name(n: u64) -> String {
    format!("camera-{n}")
}

fn create(store: &Store, n: u64) -> io::Result<Arc<MediaStream>> {
    let arn = Arn {
        region: "us-east-1".into(),
        account: "000000000000".into(),
        name: name(n).parse().map_err(io::Error::other)?,
        created_ms: 0,
    };
    let info = store.catalog().create(NewStream {
        arn,
        device_name: None,
        media_type: None,
        kms_key_id: None,
        retention_hours: 24 * 1_000,
        tags: Default::default(),
    });
    info.map_err(io::Error::other)?;
    media(store, n)
}

fn media(store: &Store, n: u64) -> io::Result<Arc<MediaStream>> {
    let known = store.catalog().by_name(&name(n).parse().map_err(io::Error::other)?);
    let stream = known.and_then(|info| store.media(info.id));
    stream.ok_or_else(|| io::Error::other("the stream is gone"))
}

/// What the process has in memory now, and the most it had.
fn memory() -> io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
        kib / 1024
    };
    Ok(format!("{} MiB resident, at most {}", mib("VmRSS:"), mib("VmHWM:")))
}

fn size(dir: &Path) -> io::Result<u64> {
    std::fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
