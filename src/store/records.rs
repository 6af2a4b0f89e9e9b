//! A shard of records as a typed view of the log.
//!
//! A shard is a stream of the log whose fragments are *runs*: the records that one commit took of
//! it, all durable with one sync, findable together, and of the same arrival. A run's counter is
//! the index of its last record, so indices need no table of their own, and retention, recovery and
//! the copying of what lives on need not know records.
//!
//! - `run`: a run as bytes
//! - `pending`: what waits for the commit thread
//! - `cache`: the newest runs in memory
//! - `read`: reading, from there or from the log; `lookup`: where in the log
//! - `table`: the shards that exist

mod cache;
mod lookup;
mod pending;
mod read;
mod run;
mod table;

pub use pending::{Append, PlacedRun};
pub use read::{ReadLimit, RecordsError, StoredRecord};
pub use table::Shards;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;

use super::commit::Committer;
use super::fragments::{MediaStream, PersistError};
use super::index::Record;
use super::locked;
use super::log::entry::Kind;
use super::log::segment::Segments;
use crate::types::{ServerTimestamp, StreamId};
use cache::{RunCache, Tail};
use pending::{Appends, Pending};
use run::{Framed, Run, first_of};

/// The most bytes of records that one append may bring, their lengths included.
pub const MAX_APPEND_BYTES: usize = 64 << 20;
/// How many runs are looked at to tell the exact bytes behind a reader.
const COUNTED_RUNS: usize = 4096;

/// Where records went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The index of the first; the others follow it without a gap.
    pub first: u64,
    /// When all of them arrived.
    pub arrival: ServerTimestamp,
}

/// What a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The index of the oldest record that is kept; `next` when there is none.
    pub first: u64,
    /// The index behind the newest durable record.
    pub next: u64,
    /// When the newest record arrived that is kept.
    pub newest: Option<ServerTimestamp>,
    /// Bytes of the log that it takes.
    pub bytes: u64,
}

/// What lies behind a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many records it has not read.
    pub records: u64,
    /// Bytes of the log that they take: of whole runs, and an estimate when they are many.
    pub bytes: u64,
    /// When the first of them arrived.
    pub oldest: Option<ServerTimestamp>,
}

/// How long a shard's records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardRetention {
    /// So many hours after their arrival, and shorter when the store's space runs out.
    Hours(u32),
    /// Until [`ShardLog::trim`] takes them.
    UntilTrimmed,
}

/// A shard's records. Shared by its producers and readers.
pub struct ShardLog {
    stream: Arc<MediaStream>,
    pending: Mutex<Pending>,
    cache: Arc<RunCache>,
    tail: Arc<Tail>,
    /// The index behind the newest durable record.
    next: watch::Sender<u64>,
    /// A [`ShardRetention`] as a row of the catalog has it.
    retention: AtomicU32,
}

impl ShardLog {
    pub(super) fn new(
        stream: Arc<MediaStream>,
        retention: ShardRetention,
        cache: Arc<RunCache>,
    ) -> Self {
        let (last, arrival) = stream.state().newest();
        let next = last + 1;
        Self {
            stream,
            pending: Mutex::new(Pending::new(next, arrival)),
            cache,
            tail: Arc::default(),
            next: watch::Sender::new(next),
            retention: AtomicU32::new(retention.encode()),
        }
    }

    /// The shard's id in the log.
    pub fn id(&self) -> StreamId {
        self.stream.id()
    }

    /// Waits while the log has more to write than the store may hold. Producers await it before
    /// each [`ShardLog::append`]: that is the store's backpressure.
    pub async fn ready(&self) -> Result<(), PersistError> {
        self.stream.ready().await;
        self.committer().accepts()
    }

    /// Appends records, of [`MAX_APPEND_BYTES`] at most, as one: all of them are stored, in this
    /// order and without others between them, or none is. Appends to a shard get their indices in
    /// the order of the calls. Needs no awaiting to be done, only to be known.
    ///
    /// # Errors
    /// At once when the store takes no more writes, the shard is gone, or it is too much; and from
    /// the future when it could not be made durable.
    pub fn append(self: &Arc<Self>, records: Vec<Bytes>) -> Result<Append, PersistError> {
        self.committer().accepts()?;
        let Some(bytes) = Framed::bytes_of(&records).filter(|bytes| *bytes <= MAX_APPEND_BYTES)
        else {
            let what = format!("one append may bring {MAX_APPEND_BYTES} bytes at most");
            return Err(PersistError::NoSpace(what));
        };
        if records.is_empty() {
            let (first, arrival) = (self.next_index(), self.stream.clock().now());
            return Ok(Append::ready(Appended { first, arrival }));
        }
        let framed = Framed::new(records, bytes);
        let held = self.committer().hold_run(bytes as u64);
        let (append, news) = self.pending().add(framed, held)?;
        if news {
            self.committer().append_run(self.clone());
        }
        Ok(append)
    }

    /// The index of the first record that arrived at this moment or later; the next index when
    /// there is none.
    pub fn seek(&self, at: ServerTimestamp) -> u64 {
        let next = self.next_index();
        let run = self.stream.first_since(at);
        run.map_or(next, |run| first_of(run.number.counter(), run.breaks))
    }

    /// What is there.
    pub fn span(&self) -> Span {
        let next = self.next_index();
        let bounds = self.stream.bounds();
        Span {
            first: bounds.map_or(next, |(run, _)| first_of(run.number.counter(), run.breaks)),
            next,
            newest: bounds.map(|(_, run)| run.server()),
            bytes: self.stream.stored_bytes(),
        }
    }

    /// What a reader has still to read that has read all up to the record with this index; 0 for
    /// one that has read none.
    pub fn after(&self, index: u64) -> Backlog {
        let span = self.span();
        let from = span.first.max(index.saturating_add(1));
        if from >= span.next {
            return Backlog::default();
        }
        let records = span.next - from;
        let runs = self.stream.fragments_from(from, COUNTED_RUNS);
        let oldest = runs.first().map(Record::server);
        let bytes = if runs.len() < COUNTED_RUNS {
            runs.iter().map(Record::log_bytes).sum()
        } else {
            let part = u128::from(span.bytes) * u128::from(records);
            u64::try_from(part / u128::from(span.next - span.first)).unwrap_or(u64::MAX)
        };
        Backlog { records, bytes, oldest }
    }

    /// Tells the index behind the newest durable record, at each change: for waiting at the tail.
    /// It becomes `u64::MAX` when the shard is deleted.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// Lets go of the records before this index, as far as whole runs are. That is durable a moment
    /// later: after a crash they may be there again.
    pub fn trim(&self, before: u64) {
        // What is still to come would be gone at the next opening.
        self.stream.keep_from(before.min(self.next_index()));
        self.forget_expired();
        let kept = self.stream.state().kept().clone();
        let (kind, body) = Kind::trim(self.id(), &kept);
        self.committer().trim_later(kind, body.into());
    }

    /// How long records are kept.
    pub fn retention(&self) -> ShardRetention {
        ShardRetention::decode(self.retention.load(Ordering::Acquire))
    }

    pub(super) fn set_retention(&self, retention: ShardRetention) {
        self.retention.store(retention.encode(), Ordering::Release);
    }

    /// Bytes that the commit thread would take, about.
    pub(super) fn run_bytes(&self) -> u64 {
        self.pending().run_bytes() as u64
    }

    /// Takes what waits, as one run at most; whether there is more.
    pub(super) fn take(&self) -> (Appends, bool) {
        let mut pending = self.pending();
        let appends = pending.take();
        (appends, pending.is_queued())
    }

    /// Fails all that waits.
    pub(super) fn fail(&self, error: &PersistError) {
        let waiting = self.pending().take_all();
        waiting.fail(error);
    }

    /// Gives records their indices, the last of which is returned, and their arrival.
    fn place(&self, records: u32) -> (u64, ServerTimestamp) {
        let now = self.stream.clock().now();
        self.pending().place(records, now)
    }

    /// Makes a durable run findable; `false` when the shard is gone.
    fn publish(&self, record: Record, run: Arc<Run>, segments: &Segments) -> bool {
        let next = run.last + 1;
        if !self.stream.publish(record, segments) {
            return false;
        }
        let pending = self.pending();
        // What is added behind a deletion would stay for ever.
        if !pending.is_deleted() {
            self.cache.add(&self.tail, run);
            self.next.send_replace(next);
        }
        !pending.is_deleted()
    }

    /// The index may have lost runs: memory loses them too.
    pub(super) fn forget_expired(&self) {
        let first = self.span().first;
        self.cache.drop_until(&self.tail, first.saturating_sub(1));
    }

    /// Makes all records unreachable, and fails producers and readers.
    pub(super) fn delete(&self) {
        let waiting = self.pending().delete();
        waiting.fail(&PersistError::StreamDeleted);
        self.stream.delete();
        self.cache.drop_until(&self.tail, u64::MAX);
        self.next.send_replace(u64::MAX);
    }

    fn next_index(&self) -> u64 {
        *self.next.borrow()
    }

    fn committer(&self) -> &Arc<Committer> {
        self.stream.committer()
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        locked(&self.pending)
    }
}

impl fmt::Debug for ShardLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardLog").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl ShardRetention {
    /// As the catalog keeps it: hours, and 0 for those that are trimmed.
    pub(super) fn encode(self) -> u32 {
        match self {
            Self::Hours(hours) => hours.max(1),
            Self::UntilTrimmed => 0,
        }
    }

    /// The reverse of [`ShardRetention::encode`].
    pub(super) fn decode(hours: u32) -> Self {
        if hours == 0 { Self::UntilTrimmed } else { Self::Hours(hours) }
    }
}
