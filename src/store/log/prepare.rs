//! Makes free segments ahead of need: a background thread writes their blocks once, because a
//! sync over blocks that were written before costs a fraction of one that makes the file grow.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::segment::{FileRef, Segments, write_free_header};
use crate::store::background::lower_priority;
use crate::store::disk::Blocks;
use crate::store::wait;

/// What is written at once, and synced at once: small, so that the commit thread's syncs do not
/// queue behind a large flush.
const STEP_BYTES: usize = 1 << 20;

/// Starts the thread; it ends after [`stop`].
pub fn start(segments: Arc<Segments>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("store-prepare".into()).spawn(move || run(&segments))
}

/// Tells the thread to end, soon.
pub fn stop(segments: &Segments) {
    segments.table().stopping = true;
    segments.wanted.notify_all();
}

fn run(segments: &Segments) {
    lower_priority();
    loop {
        let mut table = segments.table();
        while !table.stopping && table.free.len() >= segments.limits.prepared {
            table = wait(&segments.wanted, table);
        }
        if table.stopping {
            return;
        }
        drop(table);
        if let Err(error) = step(segments) {
            // Appends go on without: the commit thread makes its own segments, and tells the
            // producers when that fails too. Tried again when the next one is needed.
            if error.kind() == io::ErrorKind::StorageFull {
                tracing::debug!(%error, "no space to prepare a log segment");
            } else {
                tracing::warn!(%error, "could not prepare a log segment");
            }
            let table = segments.table();
            if !table.stopping {
                drop(wait(&segments.wanted, table));
            }
        }
    }
}

/// Makes a free segment when one is wanted. Simulations call it in place of the thread.
pub fn step(segments: &Segments) -> io::Result<()> {
    if segments.table().free.len() >= segments.limits.prepared {
        return Ok(());
    }
    let file = segments.create(segments.limits.segment_bytes)?;
    match prewrite(segments, &file) {
        Ok(true) => segments.add_free(file),
        Ok(false) => segments.remove(&file),
        Err(error) => {
            // The first error is the one worth reporting; a leftover goes at the next opening.
            let _ = segments.remove(&file);
            Err(error)
        }
    }
}

/// Writes every block once, or none of those left when the log grows too fast for it; `false`
/// when the store closes meanwhile.
fn prewrite(segments: &Segments, file: &FileRef) -> io::Result<bool> {
    let mut zeros = Blocks::zeroed(STEP_BYTES);
    let mut offset = 0;
    while offset < file.len {
        let table = segments.table();
        if table.stopping {
            return Ok(false);
        }
        if table.hurried {
            break;
        }
        drop(table);
        let step = (file.len - offset).min(STEP_BYTES as u64);
        zeros.resize(usize::try_from(step).unwrap_or(STEP_BYTES));
        // Not through the page cache: nobody reads them.
        file.file.write_blocks_at(&zeros, offset)?;
        file.file.sync()?;
        offset += step;
    }
    write_free_header(&*file.file)?;
    Ok(true)
}
