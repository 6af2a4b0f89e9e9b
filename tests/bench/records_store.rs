//! Records in the store alone: appends to shards, each durable before the next of its producer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinora::store::{ShardLog, ShardRetention};

use crate::stats::{Latencies, directory, ms};
use crate::store_append::open;

const RECORD_BYTES: usize = 1024;
const SHARDS: usize = 4;
const TIME: Duration = Duration::from_secs(4);

pub fn run() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!(
        "| producers | records each | records/s | µs of CPU per record | p50 ms | p99 ms | records/s / bare appends |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (producers, records) in [(1, 1), (64, 1), (16, 500)] {
        measure(&runtime, producers, records)?;
    }
    Ok(())
}

fn measure(runtime: &tokio::runtime::Runtime, producers: usize, records: usize) -> io::Result<()> {
    let dir = directory()?;
    let bare = bare(dir.path(), records)?;
    let store = open(&dir.path().join("data"))?;
    let ids = store.catalog().create_shards(SHARDS, ShardRetention::Hours(24));
    let ids = ids.map_err(io::Error::other)?;
    let shards: Vec<_> = ids.iter().filter_map(|id| store.shard(*id)).collect();
    let (start, before) = (Instant::now(), cpu()?);
    let mut all = runtime.block_on(async {
        let shards = shards.iter().cycle().take(producers);
        let tasks: Vec<_> =
            shards.map(|shard| tokio::spawn(produce(shard.clone(), records))).collect();
        let mut all = Latencies::default();
        for task in tasks {
            all.0.extend(task.await.unwrap_or_default().0);
        }
        all
    });
    let stored = (all.0.len() * records) as f64;
    let rate = stored / start.elapsed().as_secs_f64();
    println!(
        "| {producers} | {records} | {rate:.0} | {:.1} | {:.2} | {:.2} | {:.1} |",
        (cpu()? - before).as_secs_f64() * 1e6 / stored,
        ms(all.p50()),
        ms(all.quantile(0.99)),
        rate / bare,
    );
    Ok(())
}

async fn produce(shard: Arc<ShardLog>, records: usize) -> Latencies {
    let record = Bytes::from(vec![0x5a; RECORD_BYTES]);
    let mut latencies = Latencies::default();
    let start = Instant::now();
    while start.elapsed() < TIME {
        let begin = Instant::now();
        let append = match shard.ready().await {
            Ok(()) => shard.append(vec![record.clone(); records]),
            Err(error) => Err(error),
        };
        let stored = match append {
            Ok(append) => append.await,
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            eprintln!("not stored: {error}");
            break;
        }
        latencies.0.push(begin.elapsed());
    }
    latencies
}

/// Records per second of one thread that appends as many at once to a growing file, and syncs.
fn bare(dir: &Path, records: usize) -> io::Result<f64> {
    const APPENDS: u64 = 300;
    let file = File::create(dir.join("bare-append"))?;
    let bytes = vec![0x5a; records * RECORD_BYTES];
    let start = Instant::now();
    for n in 0..APPENDS {
        file.write_all_at(&bytes, n * bytes.len() as u64)?;
        file.sync_data()?;
    }
    Ok((APPENDS as usize * records) as f64 / start.elapsed().as_secs_f64())
}

/// What this process has used of the processors.
fn cpu() -> io::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    // The kernel tells it in hundredths of a second.
    Ok(Duration::from_millis(ticks * 10))
}
