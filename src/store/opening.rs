//! Opens the index and reads the log from where the index ends; makes an index that is missing or
//! does not fit anew, from the whole log.

use std::sync::Arc;
use std::time::Instant;

use super::disk::Disk;
use super::index::{Contents, Database, Left, StaleIndex};
use super::log::recovery::Log;
use super::log::segment::{Limits, Segments};
use super::log::writer::Resume;
use super::recovering::Recovering;
use super::{OpenError, OpenReport, Options};
use crate::types::StreamId;

/// What was found.
pub struct Opened {
    /// The log's files.
    pub segments: Arc<Segments>,
    /// Where appending goes on.
    pub resume: Resume,
    /// The streams.
    pub recovering: Recovering,
    /// What it says to the caller.
    pub report: OpenReport,
}

/// Finds what there is of the streams that the catalog knows.
pub fn open(
    disk: Arc<dyn Disk>,
    options: &Options,
    limits: Limits,
    known: &[StreamId],
) -> Result<Opened, OpenError> {
    let mut index = Database::open(disk.clone(), options.index_cache_bytes);
    loop {
        let log = Log::find(disk.clone(), limits)?;
        let found = index.and_then(|(database, contents)| {
            contents.fit(&log.segments)?;
            Ok((database, contents))
        });
        let (found, stale) = match found {
            Ok(found) => (found, None),
            Err(stale) => (create(&disk, options)?, Some(stale)),
        };
        match read(log, found, stale, options, known)? {
            Ok(opened) => return Ok(opened),
            Err(stale) => index = Err(stale),
        }
    }
}

fn create(disk: &Arc<dyn Disk>, options: &Options) -> Result<(Database, Contents), OpenError> {
    let database = Database::create(disk.clone(), options.index_cache_bytes);
    Ok((database.map_err(OpenError::Index)?, Contents::default()))
}

/// Reads the log behind what the index has. The log may turn out not to go so far.
fn read(
    log: Log,
    (database, contents): (Database, Contents),
    stale: Option<StaleIndex>,
    options: &Options,
    known: &[StreamId],
) -> Result<Result<Opened, StaleIndex>, OpenError> {
    let begun = Instant::now();
    let rebuilt = stale.filter(|_| !log.is_empty()).map(|StaleIndex(reason)| reason);
    if let Some(reason) = &rebuilt {
        tracing::warn!(reason, "making the index anew from the log");
    }
    let segments = log.segments.clone();
    let (database, from) = (Arc::new(database), contents.checkpoint);
    let known = known.iter().copied();
    let mut recovering =
        Recovering::new(known, database.clone(), &contents, options.index_limits());
    let recovered = log.read(from, |segments, event| recovering.apply(segments, event))?;
    if recovered.end() < from {
        database.close();
        return Ok(Err(StaleIndex(format!("the log ends at {}, before it", recovered.end()))));
    }
    if recovering.move_all(&segments) == Left::Everything {
        tracing::warn!("what the log has that the index has not stays in memory for now");
    }
    let report = OpenReport {
        torn_tail_bytes: recovered.torn_tail_bytes,
        damage: recovered.damage,
        fragments: segments.fragments(),
        rebuilt,
    };
    if report.rebuilt.is_some() {
        let (fragments, bytes) = (report.fragments, segments.used_bytes());
        tracing::info!(fragments, bytes, seconds = begun.elapsed().as_secs(), "made the index");
    }
    Ok(Ok(Opened { segments, resume: recovered.resume, recovering, report }))
}
