//! By how much the limits of space are exceeded while fragments come as fast as they can.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinora::clock::Clock;
use kinora::store::{FormatId, MediaStream, Options, Store};
use kinora::types::{Millis, ProducerTimestamp};

use crate::stats::{APPEND_BYTES, directory};
use crate::store_append::create;

const CAMERAS: usize = 16;
const TIME: Duration = Duration::from_secs(15);
const SEGMENT: u64 = 64 << 20;
/// What all segment files may take.
const QUOTA: u64 = 16 * SEGMENT;
/// What one of the streams may take.
const MAX_BYTES: u64 = SEGMENT / 2;

pub fn run() -> io::Result<()> {
    let dir = directory()?;
    let options = Options { segment_bytes: SEGMENT, quota: Some(QUOTA), ..Options::default() };
    let (store, _) = Store::open(&dir.path().join("data"), options, Clock::system())
        .map_err(io::Error::other)?;
    let store = Arc::new(store);
    let limited = create(&store, "limited")?;
    let info = store.catalog().by_name(&"limited".parse().expect("a name")).expect("it exists");
    let limit = |info: &mut kinora::store::StreamInfo| {
        info.max_bytes = Some(MAX_BYTES);
        Ok::<_, kinora::store::CatalogError>(())
    };
    store.catalog().update(&info.arn, None, false, limit).map_err(io::Error::other)?;
    let mut cameras = vec![limited.clone()];
    for n in 1..CAMERAS {
        cameras.push(create(&store, &format!("camera-{n}"))?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stop = Arc::new(AtomicBool::new(false));
    let keeper = runtime.spawn(keep(store.clone()));
    let producers: Vec<_> =
        cameras.into_iter().map(|camera| runtime.spawn(produce(camera, stop.clone()))).collect();
    let (mut most_of_one, mut most_of_all) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < TIME {
        most_of_one = limited.stored_bytes().max(most_of_one);
        most_of_all = store.space().disk_bytes.max(most_of_all);
        std::thread::sleep(Duration::from_millis(1));
    }
    stop.store(true, Ordering::Relaxed);
    let mut bytes = 0;
    for producer in producers {
        bytes += runtime.block_on(producer).map_err(io::Error::other)?;
    }
    keeper.abort();
    let over = |most: u64, limit: u64| most.saturating_sub(limit) as f64 / SEGMENT as f64;
    println!(
        "{:.0} MB/s; over the limit, in segments: a stream's bytes {:.2}, all files {:.2}",
        bytes as f64 / 1e6 / TIME.as_secs_f64(),
        over(most_of_one, MAX_BYTES),
        over(most_of_all, QUOTA),
    );
    let space = store.space();
    println!("{} expired, {} evicted, {} refused", space.expired, space.evicted, space.refused);
    Ok(())
}

/// What the server does when the log has grown.
async fn keep(store: Arc<Store>) {
    loop {
        store.grown().await;
        let store = store.clone();
        let pass = move || {
            store.enforce_retention();
            store.empty_segments();
        };
        if tokio::task::spawn_blocking(pass).await.is_err() {
            return;
        }
    }
}

async fn produce(camera: Arc<MediaStream>, stop: Arc<AtomicBool>) -> u64 {
    let cluster = Bytes::from(vec![0x5a; APPEND_BYTES]);
    let mut bytes = 0;
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        camera.ready().await;
        let at = ProducerTimestamp::from_millis(n * 1_000);
        let mut writer = camera.begin(Bytes::from_static(b"head"), at, FormatId(1));
        writer.push(cluster.clone());
        if writer.finish(Millis(1_000)).await.is_ok() {
            bytes += APPEND_BYTES as u64;
        }
    }
    bytes
}
