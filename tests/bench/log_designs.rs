//! Designs of a log for many writers who each wait for their append to be durable: one growing
//! file, one file of blocks that were written before (through the page cache, past it, past it with
//! each write durable by itself), a file per writer with a sync each or one of the file system for
//! all.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use kinora::store::disk::Blocks;
use rustix::fs::OFlags;

use crate::stats::{
    APPEND_BYTES, Latencies, bare_append, bare_overwrite, directory, ms, prewritten,
};

const TIME: Duration = Duration::from_secs(3);
/// The recycled log: writing goes round in it.
const RECYCLED_BYTES: u64 = 1 << 30;

/// How the recycled log is written, and whether a sync follows.
const RECYCLED: [(&str, OFlags, bool); 3] = [
    ("one log, recycled segments", OFlags::empty(), true),
    ("the same, O_DIRECT", OFlags::DIRECT, true),
    ("the same, O_DIRECT and O_DSYNC", OFlags::DIRECT.union(OFlags::DSYNC), false),
];

/// One file for all.
struct Log {
    file: File,
    /// Where writing begins at the front again.
    wrap: u64,
    /// Whether a write is durable only after a sync.
    sync: bool,
}

pub fn run() -> io::Result<()> {
    let dir = directory()?;
    println!(
        "| design, 128-KiB appends | writers | p50 ms | p99 ms | worst ms | MB/s | p50 / bare append | p50 / bare overwrite |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for writers in [16, 64] {
        let mut append = bare_append(dir.path())?;
        let mut overwrite = bare_overwrite(dir.path())?;
        let bare = (append.p50(), overwrite.p50());
        row("bare append + fdatasync", 1, &mut append, bare);
        row("bare overwrite + fdatasync", 1, &mut overwrite, bare);
        let file = File::create(dir.path().join("growing"))?;
        let growing = Log { file, wrap: u64::MAX, sync: true };
        row("one growing log", writers, &mut group_commit(&growing, writers)?, bare);
        drop(growing);
        std::fs::remove_file(dir.path().join("growing"))?;
        let path = dir.path().join("recycled");
        drop(prewritten(&path, RECYCLED_BYTES)?);
        for (name, flags, sync) in RECYCLED {
            let file = OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(&path);
            // Not every file system can.
            let Ok(file) = file else { continue };
            let log = Log { file, wrap: RECYCLED_BYTES, sync };
            row(name, writers, &mut group_commit(&log, writers)?, bare);
        }
        std::fs::remove_file(&path)?;
        row("file per stream", writers, &mut file_each(dir.path(), writers)?, bare);
        row("file per stream, syncfs for all", writers, &mut sync_all(dir.path(), writers)?, bare);
    }
    Ok(())
}

fn row(name: &str, writers: usize, latencies: &mut Latencies, bare: (Duration, Duration)) {
    let total: Duration = latencies.0.iter().sum();
    let bytes = (latencies.0.len() * APPEND_BYTES) as f64;
    let rate = bytes / 1e6 / (total.as_secs_f64() / writers as f64);
    let p50 = latencies.p50();
    println!(
        "| {name} | {writers} | {:.2} | {:.2} | {:.1} | {rate:.0} | {:.1} | {:.1} |",
        ms(p50),
        ms(latencies.quantile(0.99)),
        ms(latencies.quantile(1.0)),
        p50.as_secs_f64() / bare.0.as_secs_f64(),
        p50.as_secs_f64() / bare.1.as_secs_f64(),
    );
}

/// All writers hand their appends to one thread, which syncs once for all that wait.
fn group_commit(log: &Log, writers: usize) -> io::Result<Latencies> {
    let (requests, queue) = channel();
    thread::scope(|scope| {
        let commit = scope.spawn(move || commit(log, &queue));
        let writers: Vec<_> = (0..writers)
            .map(|_| {
                let requests = requests.clone();
                scope.spawn(move || write_until_over(|| hand_over(&requests)))
            })
            .collect();
        drop(requests);
        let latencies = join(writers)?;
        commit.join().map_err(|_| io::Error::other("the commit thread panicked"))??;
        Ok(latencies)
    })
}

fn hand_over(requests: &Sender<Sender<()>>) -> io::Result<()> {
    let (done, outcome) = channel();
    requests.send(done).map_err(io::Error::other)?;
    outcome.recv().map_err(io::Error::other)
}

fn commit(log: &Log, queue: &Receiver<Sender<()>>) -> io::Result<()> {
    let bytes = Blocks::zeroed(APPEND_BYTES);
    let mut offset = 0;
    while let Ok(first) = queue.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(queue.try_iter()).collect();
        for _ in &batch {
            log.file.write_all_at(bytes.bytes(), offset % log.wrap)?;
            offset += APPEND_BYTES as u64;
        }
        if log.sync {
            log.file.sync_data()?;
        }
        // A writer that is gone does not wait.
        for done in &batch {
            let _ = done.send(());
        }
    }
    Ok(())
}

/// Every writer syncs its own growing file.
fn file_each(dir: &Path, writers: usize) -> io::Result<Latencies> {
    let bytes = vec![0x5a; APPEND_BYTES];
    let files = (0..writers).map(|n| File::create(dir.join(format!("stream-{n}"))));
    let files = files.collect::<io::Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let write = |file: &File| {
            let mut offset = 0;
            write_until_over(|| {
                file.write_all_at(&bytes, offset)?;
                offset += APPEND_BYTES as u64;
                file.sync_data()
            })
        };
        join(files.iter().map(|file| scope.spawn(move || write(file))).collect())
    })
}

/// Every writer has a file of its own, and one thread syncs them all at once.
fn sync_all(dir: &Path, writers: usize) -> io::Result<Latencies> {
    let bytes = vec![0x5a; APPEND_BYTES];
    let directory = File::open(dir)?;
    let (requests, queue) = channel::<Sender<()>>();
    let write = |n: usize, requests: Sender<Sender<()>>| {
        let file = File::create(dir.join(format!("stream-{n}")))?;
        let mut offset = 0;
        write_until_over(|| {
            file.write_all_at(&bytes, offset)?;
            offset += APPEND_BYTES as u64;
            hand_over(&requests)
        })
    };
    let write = &write;
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(first) = queue.recv() {
                let batch: Vec<_> = std::iter::once(first).chain(queue.try_iter()).collect();
                // A writer whose answer does not come stops, and that is told.
                if rustix::fs::syncfs(&directory).is_err() {
                    return;
                }
                for done in &batch {
                    let _ = done.send(());
                }
            }
        });
        let writers = (0..writers).map(|n| {
            let requests = requests.clone();
            scope.spawn(move || write(n, requests))
        });
        let writers = writers.collect();
        drop(requests);
        join(writers)
    })
}

fn write_until_over(mut append: impl FnMut() -> io::Result<()>) -> io::Result<Latencies> {
    let (start, mut latencies) = (Instant::now(), Latencies::default());
    while start.elapsed() < TIME {
        let begin = Instant::now();
        append()?;
        latencies.0.push(begin.elapsed());
    }
    Ok(latencies)
}

fn join(
    writers: Vec<thread::ScopedJoinHandle<'_, io::Result<Latencies>>>,
) -> io::Result<Latencies> {
    let mut all = Latencies::default();
    for writer in writers {
        let latencies = writer.join().map_err(|_| io::Error::other("a writer panicked"))??;
        all.0.extend(latencies.0);
    }
    Ok(all)
}
