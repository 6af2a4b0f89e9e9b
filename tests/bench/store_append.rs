//! The real store: durable ingest at full speed, and acknowledgements at a camera's pace.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinora::clock::Clock;
use kinora::store::{FormatId, MediaStream, NewStream, Options, Store};
use kinora::types::{Arn, Millis, ProducerTimestamp};

use crate::stats::{APPEND_BYTES, Latencies, bare_append, bare_overwrite, directory, ms};

/// Frames of a fragment: what a producer sends in a second.
const FRAMES: usize = 30;
const TIME: Duration = Duration::from_secs(4);

pub fn run() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!(
        "| load | p50 ms | p99 ms | worst ms | MB/s | p50 / bare append | p50 / bare overwrite |"
    );
    println!("|---|---|---|---|---|---|---|");
    for writers in [1, 16, 64] {
        // The second time goes over the segments of the first, as a store does that has run for
        // longer than its retention.
        let fresh = format!("{writers} writers, full speed, new segments");
        let recycled = format!("{writers} writers, full speed, recycled segments");
        measure(&fresh, Some(&recycled), &runtime, writers, None)?;
    }
    measure("300 cameras, one fragment a second each", None, &runtime, 300, Some(1))?;
    Ok(())
}

fn measure(
    name: &str,
    again: Option<&str>,
    runtime: &tokio::runtime::Runtime,
    writers: usize,
    per_second: Option<u32>,
) -> io::Result<()> {
    let dir = directory()?;
    let bare = (bare_append(dir.path())?.p50(), bare_overwrite(dir.path())?.p50());
    let store = open(&dir.path().join("data"))?;
    let passes = [Some(name), again];
    for (pass, name) in passes.into_iter().flatten().enumerate() {
        let streams: Vec<_> = (0..writers)
            .map(|n| create(&store, &format!("camera-{pass}-{n}")))
            .collect::<io::Result<_>>()?;
        let (mut latencies, time) = runtime.block_on(load(&streams, per_second));
        row(name, &mut latencies, time, bare);
        drop(streams);
        for info in store.catalog().list("", None, usize::MAX) {
            store.catalog().delete(&info.arn, None).map_err(io::Error::other)?;
        }
        store.enforce_retention();
    }
    Ok(())
}

async fn load(streams: &[Arc<MediaStream>], per_second: Option<u32>) -> (Latencies, Duration) {
    let start = Instant::now();
    let tasks: Vec<_> = (0..)
        .zip(streams)
        .map(|(n, stream)| {
            // Cameras begin their fragments at different times.
            let every = per_second.map(|rate| Duration::from_secs(1) / rate);
            let offset = every.unwrap_or_default() * n / streams.len() as u32;
            tokio::spawn(produce(stream.clone(), every, offset))
        })
        .collect();
    let mut all = Latencies::default();
    for task in tasks {
        all.0.extend(task.await.unwrap_or_default().0);
    }
    (all, start.elapsed())
}

async fn produce(stream: Arc<MediaStream>, every: Option<Duration>, offset: Duration) -> Latencies {
    let head = Bytes::from(vec![1; 500]);
    let frame = Bytes::from(vec![0x5a; APPEND_BYTES / FRAMES]);
    let mut latencies = Latencies::default();
    let start = Instant::now();
    tokio::time::sleep(offset).await;
    for n in 0.. {
        if start.elapsed() >= TIME {
            break;
        }
        if let Some(every) = every {
            let due = start + offset + every * n;
            tokio::time::sleep_until(due.into()).await;
        }
        stream.ready().await;
        let at = ProducerTimestamp::from_millis(i64::from(n) * 1_000);
        let mut writer = stream.begin(head.clone(), at, FormatId(1));
        (0..FRAMES).for_each(|_| writer.push(frame.clone()));
        let begin = Instant::now();
        if let Err(error) = writer.finish(Millis(1_000)).await {
            eprintln!("not persisted: {error}");
            break;
        }
        latencies.0.push(begin.elapsed());
    }
    latencies
}

fn row(name: &str, latencies: &mut Latencies, time: Duration, bare: (Duration, Duration)) {
    let bytes = (latencies.0.len() * APPEND_BYTES) as f64;
    let p50 = latencies.p50();
    println!(
        "| {name} | {:.2} | {:.2} | {:.1} | {:.0} | {:.1} | {:.1} |",
        ms(p50),
        ms(latencies.quantile(0.99)),
        ms(latencies.quantile(1.0)),
        bytes / 1e6 / time.as_secs_f64(),
        p50.as_secs_f64() / bare.0.as_secs_f64(),
        p50.as_secs_f64() / bare.1.as_secs_f64(),
    );
}

/// A store that keeps its expired segments.
pub fn open(dir: &Path) -> io::Result<Store> {
    // Enough spare segments that a second pass need not make any.
    let options = Options { spare_segments: 128, ..Options::default() };
    let (store, _) = Store::open(dir, options, Clock::system()).map_err(io::Error::other)?;
    Ok(store)
}

/// A stream with a day's retention.
pub fn create(store: &Store, name: &str) -> io::Result<Arc<MediaStream>> {
    let info = store.catalog().create(NewStream {
        arn: Arn {
            region: "us-east-1".into(),
            account: "000000000000".into(),
            name: name.parse().map_err(io::Error::other)?,
            created_ms: 0,
        },
        device_name: None,
        media_type: None,
        kms_key_id: None,
        retention_hours: 24,
        tags: Default::default(),
    });
    let info = info.map_err(io::Error::other)?;
    store.media(info.id).ok_or_else(|| io::Error::other("the stream is gone"))
}
