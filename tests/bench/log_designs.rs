//! Three designs of a log for many writers who each wait for their append to be durable:
//! one growing file, one file of blocks that were written before, a file per writer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::stats::{
    APPEND_BYTES, Latencies, bare_append, bare_overwrite, directory, ms, prewritten,
};

const TIME: Duration = Duration::from_secs(3);
/// The recycled log: writing goes round in it.
const RECYCLED_BYTES: u64 = 1 << 30;

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
        let growing = File::create(dir.path().join("growing"))?;
        row("one growing log", writers, &mut group_commit(&growing, u64::MAX, writers)?, bare);
        drop(growing);
        std::fs::remove_file(dir.path().join("growing"))?;
        let recycled = prewritten(&dir.path().join("recycled"), RECYCLED_BYTES)?;
        let mut latencies = group_commit(&recycled, RECYCLED_BYTES, writers)?;
        row("one log, recycled segments", writers, &mut latencies, bare);
        std::fs::remove_file(dir.path().join("recycled"))?;
        row("file per stream", writers, &mut file_each(dir.path(), writers)?, bare);
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
fn group_commit(file: &File, wrap: u64, writers: usize) -> io::Result<Latencies> {
    let (requests, queue) = channel();
    thread::scope(|scope| {
        let commit = scope.spawn(move || commit(file, wrap, &queue));
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

fn commit(file: &File, wrap: u64, queue: &Receiver<Sender<()>>) -> io::Result<()> {
    let bytes = vec![0x5a; APPEND_BYTES];
    let mut offset = 0;
    while let Ok(first) = queue.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(queue.try_iter()).collect();
        for _ in &batch {
            file.write_all_at(&bytes, offset % wrap)?;
            offset += APPEND_BYTES as u64;
        }
        file.sync_data()?;
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
