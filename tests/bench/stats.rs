//! Latencies, and the bare disk operations they are compared with.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What one append carries: a second of 720p at 1 Mbit/s.
pub const APPEND_BYTES: usize = 128 << 10;

/// How long single operations took.
#[derive(Clone, Default)]
pub struct Latencies(pub Vec<Duration>);

impl Latencies {
    /// The value below which `share` of them lie.
    pub fn quantile(&mut self, share: f64) -> Duration {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// Half of them took at most this long.
    pub fn p50(&mut self) -> Duration {
        self.quantile(0.5)
    }
}

/// Milliseconds, for a table.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A directory on the disk under test: `KINORA_BENCH_DIR`, or the build directory.
pub fn directory() -> io::Result<tempfile::TempDir> {
    let parent = std::env::var_os("KINORA_BENCH_DIR").unwrap_or_else(|| "target".into());
    tempfile::Builder::new().prefix("bench-").tempdir_in(Path::new(&parent))
}

/// One thread that appends to a growing file and syncs.
pub fn bare_append(dir: &Path) -> io::Result<Latencies> {
    bare(&File::create(dir.join("bare-append"))?)
}

/// One thread that overwrites blocks that were written before, and syncs.
pub fn bare_overwrite(dir: &Path) -> io::Result<Latencies> {
    bare(&prewritten(&dir.join("bare-overwrite"), 64 << 20)?)
}

/// A file of `len` bytes whose blocks were all written.
pub fn prewritten(path: &Path, len: u64) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..len).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn bare(file: &File) -> io::Result<Latencies> {
    const APPENDS: u64 = 500;
    let bytes = vec![0x5a; APPEND_BYTES];
    let mut latencies = Latencies::default();
    for n in 0..APPENDS {
        let start = Instant::now();
        file.write_all_at(&bytes, n * APPEND_BYTES as u64)?;
        file.sync_data()?;
        latencies.0.push(start.elapsed());
    }
    Ok(latencies)
}
