//! What readers of old data cost producers: acknowledgements with ten slow GetMedia readers of what
//! is no longer in memory, over those without.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ingest;
use crate::media;
use crate::server::Server;
use crate::stats::{Latencies, ms};

const READERS: usize = 10;
/// What each of them has to read, in seconds of media.
const OLD_SECONDS: u64 = 600;
const STREAMS: usize = 100;
const SECONDS: u64 = 8;
/// Runs with and without readers, in turn, since the machine's other load changes.
const ROUNDS: usize = 3;
/// A reader takes so much and then pauses: 2 MB/s.
const PIECE: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(32);
/// How long the readers read before acknowledgements are measured: at first their sockets' buffers
/// take megabytes at once, and they are not slow before those are full.
const FILL: Duration = Duration::from_secs(3);

pub fn run() -> io::Result<()> {
    println!("{STREAMS} cameras; {READERS} readers of old data at 2 MB/s each");
    let server = Server::start()?;
    let old = media::load(OLD_SECONDS, 1_000)?.whole_fragments();
    ingest::run(&server, "old", READERS, &old, false)?;
    let live = media::load(SECONDS, 1_000)?;
    let (mut alone, mut beside) = (Latencies::default(), Latencies::default());
    let mut read = 0;
    for round in 0..ROUNDS {
        let name = format!("alone-{round}");
        alone.0.extend(ingest::run(&server, &name, STREAMS, &live, true)?.acks.0);
        server.forget_pages()?;
        let over = Arc::new(AtomicBool::new(false));
        let readers = start_readers(&server, &over)?;
        std::thread::sleep(FILL);
        let name = format!("beside-{round}");
        beside.0.extend(ingest::run(&server, &name, STREAMS, &live, true)?.acks.0);
        over.store(true, Ordering::Relaxed);
        read += readers.join().map_err(|_| io::Error::other("a reader panicked"))??;
    }
    for (name, latencies) in [("alone", &mut alone), ("beside the readers", &mut beside)] {
        let (p50, p99) = (ms(latencies.quantile(0.5)), ms(latencies.quantile(0.99)));
        println!("acks {name}: p50 {p50:.2} ms, p99 {p99:.2} ms");
    }
    let ratio = |share: f64| ms(beside.clone().quantile(share)) / ms(alone.clone().quantile(share));
    println!(
        "with readers, who took {:.0} MB: p50 {:.2} x, p99 {:.2} x",
        read as f64 / 1e6,
        ratio(0.5),
        ratio(0.99)
    );
    Ok(())
}

type Readers = std::thread::JoinHandle<io::Result<u64>>;

/// The readers on a thread of their own; it ends with how many bytes they got.
fn start_readers(server: &Server, over: &Arc<AtomicBool>) -> io::Result<Readers> {
    let body = |at| {
        format!(r#"{{"StreamName":"old-{at}","StartSelector":{{"StartSelectorType":"EARLIEST"}}}}"#)
    };
    let requests: Vec<_> = (0..READERS).map(|at| server.request("/getMedia", &body(at))).collect();
    let (address, over) = (server.address, over.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(std::thread::spawn(move || {
        runtime.block_on(async {
            let total = Arc::new(AtomicU64::new(0));
            let readers: Vec<_> = requests
                .into_iter()
                .map(|request| {
                    let (over, total) = (over.clone(), total.clone());
                    tokio::spawn(async move {
                        let mut socket = TcpStream::connect(address).await?;
                        socket.write_all(request.as_bytes()).await?;
                        let mut piece = vec![0; PIECE];
                        while !over.load(Ordering::Relaxed) {
                            let read = socket.read(&mut piece).await?;
                            if read == 0 {
                                return Err(io::Error::other("a reader's answer ended"));
                            }
                            total.fetch_add(read as u64, Ordering::Relaxed);
                            tokio::time::sleep(PAUSE.mul_f64(read as f64 / PIECE as f64)).await;
                        }
                        io::Result::Ok(())
                    })
                })
                .collect();
            for reader in readers {
                reader.await??;
            }
            Ok(total.load(Ordering::Relaxed))
        })
    }))
}
