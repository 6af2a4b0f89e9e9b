//! Acknowledgements while a million small fragments expire, and without.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinora::store::{FormatId, MediaStream, Store};
use kinora::types::{Millis, ProducerTimestamp};

use crate::stats::{APPEND_BYTES, Latencies, directory, ms};
use crate::store_append::{create, open};

const EXPIRING: i64 = 1_000_000;
const CAMERAS: u32 = 60;
/// Between the fragments of a camera.
const EVERY: Duration = Duration::from_millis(200);
/// How long is measured without.
const TIME: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;

pub fn run() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let dir = directory()?;
    let store = Arc::new(open(&dir.path().join("data"))?);
    println!("| round | p99 ms without | p99 ms while expiring | ratio | s for all to expire |");
    println!("|---|---|---|---|---|");
    let mut all = (Latencies::default(), Latencies::default());
    for round in 0..ROUNDS {
        let cameras: Vec<_> = (0..CAMERAS)
            .map(|n| create(&store, &format!("camera-{round}-{n}")))
            .collect::<io::Result<_>>()?;
        let old = create(&store, &format!("old-{round}"))?;
        runtime.block_on(fill(&old));
        let mut without = runtime.block_on(load(&cameras, || std::thread::sleep(TIME)));
        let mut took = Duration::ZERO;
        let mut during = runtime.block_on(load(&cameras, || {
            let start = Instant::now();
            expire(&store, &format!("old-{round}"));
            took = start.elapsed();
        }));
        assert!(old.bounds().is_none(), "all of them expired");
        row(&round.to_string(), &mut without, &mut during, Some(took));
        all.0.0.extend(without.0);
        all.1.0.extend(during.0);
        for info in store.catalog().list("", None, usize::MAX) {
            store.catalog().delete(&info.arn, None).map_err(io::Error::other)?;
        }
        store.enforce_retention();
    }
    row("all", &mut all.0, &mut all.1, None);
    Ok(())
}

fn row(name: &str, without: &mut Latencies, during: &mut Latencies, took: Option<Duration>) {
    let (without, during) = (without.quantile(0.99), during.quantile(0.99));
    let took = took.map_or(String::new(), |took| format!("{:.1}", took.as_secs_f64()));
    let ratio = during.as_secs_f64() / without.as_secs_f64();
    println!("| {name} | {:.2} | {:.2} | {ratio:.2} | {took} |", ms(without), ms(during));
}

async fn fill(stream: &Arc<MediaStream>) {
    let head = Bytes::from_static(b"head");
    let mut last = None;
    for n in 0..EXPIRING {
        stream.ready().await;
        let at = ProducerTimestamp::from_millis(n * 1_000);
        let mut writer = stream.begin(head.clone(), at, FormatId(1));
        writer.push(Bytes::copy_from_slice(&n.to_le_bytes()));
        last = Some(writer.finish(Millis(1_000)));
    }
    if let Some(last) = last {
        last.await.expect("it is stored");
    }
}

/// Lets go of all that a stream has.
fn expire(store: &Store, name: &str) {
    let info = store.catalog().by_name(&name.parse().expect("a name")).expect("it exists");
    let nothing = |info: &mut kinora::store::StreamInfo| {
        info.max_bytes = Some(0);
        Ok::<_, kinora::store::CatalogError>(())
    };
    store.catalog().update(&info.arn, None, false, nothing).expect("it is changed");
    store.enforce_retention();
    store.empty_segments();
}

/// The cameras' acknowledgements for as long as `work` takes.
async fn load(cameras: &[Arc<MediaStream>], work: impl FnOnce()) -> Latencies {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..)
        .zip(cameras)
        .map(|(n, camera)| tokio::spawn(produce(camera.clone(), EVERY * n / CAMERAS, stop.clone())))
        .collect();
    tokio::task::block_in_place(work);
    stop.store(true, Ordering::Relaxed);
    let mut all = Latencies::default();
    for task in tasks {
        all.0.extend(task.await.unwrap_or_default().0);
    }
    all
}

async fn produce(camera: Arc<MediaStream>, offset: Duration, stop: Arc<AtomicBool>) -> Latencies {
    let cluster = Bytes::from(vec![0x5a; APPEND_BYTES]);
    let mut latencies = Latencies::default();
    let start = Instant::now() + offset;
    for n in 0.. {
        tokio::time::sleep_until((start + EVERY * n).into()).await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let at = ProducerTimestamp::from_millis(
            camera.bounds().map_or(0, |(_, newest)| newest.producer.as_millis() + 200),
        );
        let mut writer = camera.begin(Bytes::from_static(b"head"), at, FormatId(1));
        writer.push(cluster.clone());
        let begin = Instant::now();
        writer.finish(Millis(200)).await.expect("it is stored");
        latencies.0.push(begin.elapsed());
    }
    latencies
}
