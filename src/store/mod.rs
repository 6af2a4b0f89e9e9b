//! The embedded store: one log under every stream, an index derived from it, and a catalog of
//! what streams exist.
//!
//! Here: bytes plus times, durable and findable. Not here: what the bytes mean (`media`), HTTP,
//! JSON of any protocol.
//!
//! In reading order:
//! - `FORMAT.md`: every byte on the disk
//! - [`disk`]: what is needed of a disk; files, or memory that can crash
//! - `log`: the append-only segments
//! - `index`: a stream's persisted fragments; `tail`: its open ones; `streams`: both together
//! - `opening`: index and log put together when the store opens
//! - `commit`: the thread that makes many fragments durable with one sync; `twin`: re-sent ones
//! - `held`: how much media is held in memory before it is durable
//! - `fragments`: one stream; `fragment_writer`, `cursor`: how it is written and read
//! - `records`: one shard of records
//! - `catalog`: what streams and shards exist, of media and of records
//! - [`people`]: faces and whose they are, in a database of their own
//! - `kept`, `retention`: what of a stream has expired
//! - `space`: what goes when space runs out, and the freeing of segments
//! - [`check`]: verifies and repairs a store that nobody has open

mod background;
mod catalog;
pub mod check;
mod commit;
mod cursor;
pub mod disk;
mod fragment_writer;
mod fragments;
mod held;
mod index;
mod kept;
mod log;
mod opening;
pub mod people;
mod records;
mod recovering;
mod retention;
mod space;
mod streams;
mod tail;
mod twin;

#[cfg(test)]
mod tests;

pub use catalog::{
    CapacityMode, Closed, ConsumerInfo, ConsumerPositions, Distribution, LogIds, QueueInfo,
    QueueStart, RecordCatalog, RecordStreamInfo, ShardInfo,
};
pub use catalog::{Catalog, CatalogError, MAX_PINS, NewStream, Pin, StreamInfo, StreamStatus};
pub use catalog::{
    Change, DocumentError, Documents, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_KEY_BYTES,
    MAX_DOCUMENTS_BYTES, MAX_DOCUMENTS_OF_A_KIND,
};
pub use cursor::{Cursor, FragmentReader};
pub use fragment_writer::FragmentWriter;
pub use fragments::{
    Chunk, FragmentInfo, MediaStream, Order, PersistError, ReadError, Start, TornFragment,
};

pub use held::Receiving;
pub use log::entry::FormatId;
pub use records::{
    Append, Appended, Backlog, MAX_APPEND_BYTES, ReadLimit, RecordsError, ShardLog, ShardRetention,
    Span, StoredRecord,
};
pub use space::SpaceReport;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::types::{Millis, ServerTimestamp, StreamId};
use catalog::OpenedCatalog;
use commit::{Batch, Committer};
use disk::{Disk, FileDisk};
use held::HeldBytes;
use log::entry::Kind;
use log::recovery::RecoverError;
use log::segment::Limits;
use log::{prepare, writer::Writer};
use opening::Opened;
use records::Shards;
use retention::{Expired, Rule};
use space::Emptying;
use streams::Streams;

/// Bytes per second of appends above which free segments are not written beforehand: that would
/// write everything twice, just when the device is busiest.
const PREWRITE_BELOW: u64 = 128 << 20;
/// How long a fragment waits for a segment to be freed, where the limits allow no new one.
const SPACE_PATIENCE: Duration = Duration::from_secs(1);

/// What the store may use; every default is decided in `config.rs`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of one segment file.
    pub segment_bytes: u64,
    /// Segments made ahead of need; 0 makes each when it is needed, which is slower.
    pub prepared_segments: usize,
    /// Expired segments kept for re-use; more are deleted.
    pub spare_segments: usize,
    /// Bytes that may wait for the disk before [`MediaStream::ready`] makes producers wait.
    pub queue_bytes: u64,
    /// Bytes of media that may be held in memory before they are durable, over all producers; see
    /// [`MediaStream::receiving`].
    pub held_bytes: u64,
    /// Bytes of the newest records of all shards that are kept in memory for readers at the tail.
    pub record_cache_bytes: u64,
    /// How long a stream with a retention of zero hours keeps fragments for its live readers.
    pub unretained_keep: Millis,
    /// Bytes of the index that are kept in memory.
    pub index_cache_bytes: usize,
    /// Fragments that wait in memory to be put into the index's database at once.
    pub index_batch: usize,
    /// None of them waits longer.
    pub index_interval: Millis,
    /// The newest fragments of each stream that stay in memory besides.
    pub index_recent: usize,
    /// Bytes that all segment files may take together.
    pub quota: Option<u64>,
    /// Bytes that stay free on the disk; 0 is no floor.
    pub floor: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            prepared_segments: 2,
            spare_segments: 8,
            queue_bytes: 128 << 20,
            held_bytes: 512 << 20,
            record_cache_bytes: 64 << 20,
            unretained_keep: Millis(5 * 60_000),
            index_cache_bytes: 64 << 20,
            index_batch: 8192,
            index_interval: Millis(10_000),
            index_recent: 256,
            quota: None,
            floor: 0,
        }
    }
}

/// An open store. All its methods may be called from any thread. Dropping it closes it.
pub struct Store {
    catalog: Catalog,
    record_catalog: RecordCatalog,
    documents: Documents,
    streams: Arc<Streams>,
    shards: Arc<Shards>,
    committer: Arc<Committer>,
    /// The preparer and the commit thread.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What moves records into the index's database.
    moving: Mutex<Option<JoinHandle<()>>>,
    disk: Arc<dyn Disk>,
    options: Options,
    clock: Clock,
    /// Held during a pass over what has expired.
    keeping: Mutex<()>,
    totals: space::Totals,
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io {
        /// What was tried.
        context: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Two processes must not write one log.
    #[error("another process has the data directory open")]
    Locked,
    /// The store was written by a later version of this program.
    #[error("the log has format version {0}, which this program does not know")]
    Version(u8),
    /// The catalog's database does not open.
    #[error("open the catalog: {0}")]
    Catalog(String),
    /// The index's database can not be made.
    #[error("make the index: {0}")]
    Index(String),
}

/// What opening found and did.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// Bytes of an unacknowledged tail that were cut.
    pub torn_tail_bytes: u64,
    /// Damaged ranges in the middle of the log, in words.
    pub damage: Vec<String>,
    /// Fragments and runs of records found; those that expired just before may be among them.
    pub fragments: u64,
    /// Why the index was made anew from the log, if it was.
    pub rebuilt: Option<String>,
}

impl Store {
    /// Opens or creates the store in `dir`, recovering from a crash. Blocks; takes the lock file.
    pub fn open(
        dir: &Path,
        options: Options,
        clock: Clock,
    ) -> Result<(Self, OpenReport), OpenError> {
        Self::open_on(Arc::new(FileDisk::new(dir)), options, clock)
    }

    /// Like [`Store::open`], on any disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        clock: Clock,
    ) -> Result<(Self, OpenReport), OpenError> {
        if !disk.lock().map_err(|source| failed("lock the data directory", source))? {
            return Err(OpenError::Locked);
        }
        let limits = options.limits();
        let opened = Self::open_idle(disk.clone(), options, limits, clock);
        let opened = opened.and_then(|(store, work, report)| {
            store.start(work)?;
            Ok((store, report))
        });
        if opened.is_err() {
            disk.unlock();
        }
        opened
    }

    /// Opens a store on a locked disk; the work of its threads is its caller's to do.
    fn open_idle(
        disk: Arc<dyn Disk>,
        options: Options,
        limits: Limits,
        clock: Clock,
    ) -> Result<(Self, Batch, OpenReport), OpenError> {
        let opened = OpenedCatalog::open(&*disk).map_err(OpenError::Catalog)?;
        let OpenedCatalog { database, streams: known, records: known_records, .. } = opened;
        let OpenedCatalog { shards, documents, .. } = opened;
        let ids = known.iter().map(|info| info.id).chain(shards.iter().map(|(id, _)| *id));
        let Opened { segments, resume, recovering, report } =
            opening::open(disk.clone(), &options, limits, &ids.collect::<Vec<_>>())?;

        let writer = Writer::new(segments.clone(), resume);
        let durable = writer.durable();
        let held = Arc::new(HeldBytes::new(options.held_bytes));
        let committer =
            Arc::new(Committer::new(segments.clone(), options.queue_bytes, held, durable));
        let streams = Arc::new(Streams::new(recovering, committer.clone(), clock.clone()));
        let shards = Arc::new(Shards::new(shards, streams.clone(), options.record_cache_bytes));
        let database = Arc::new(database);
        let catalog = Catalog::new(database.clone(), known, streams.clone(), shards.clone());
        let record_catalog = RecordCatalog::new(database.clone(), known_records, shards.clone());
        let documents = Documents::new(database, documents);
        let store = Self {
            catalog,
            record_catalog,
            documents,
            streams: streams.clone(),
            shards,
            committer: committer.clone(),
            threads: Mutex::default(),
            moving: Mutex::default(),
            disk,
            options,
            clock,
            keeping: Mutex::default(),
            totals: space::Totals::default(),
        };
        Ok((store, Batch::new(committer, writer, streams), report))
    }

    /// Starts the threads. Dropping the store ends the first, should the second not start.
    fn start(&self, work: Batch) -> Result<(), OpenError> {
        let thread_failed = |source| failed("start a thread", source);
        let prepare = prepare::start(self.committer.segments.clone()).map_err(thread_failed)?;
        locked(&self.threads).push(prepare);
        let commit = work.start().map_err(thread_failed)?;
        locked(&self.threads).push(commit);
        let mover = self.streams.mover();
        let moving = mover.start(self.streams.clone(), self.committer.clone());
        *locked(&self.moving) = Some(moving.map_err(thread_failed)?);
        Ok(())
    }

    /// What streams exist.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What record streams and queues exist.
    pub fn record_catalog(&self) -> &RecordCatalog {
        &self.record_catalog
    }

    /// Opens the database of people, or makes it; nobody else may have it open. Blocks.
    pub fn open_people(&self) -> Result<people::PeopleStore, people::PeopleStoreError> {
        people::PeopleStore::open(&*self.disk)
    }

    /// Small facts of other modules, durable beside the catalog.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// The media of a stream that the catalog knows; `None` after its deletion.
    pub fn media(&self, id: StreamId) -> Option<Arc<MediaStream>> {
        self.streams.get(id)
    }

    /// The records of a shard that the catalog knows; `None` after its deletion.
    pub fn shard(&self, id: StreamId) -> Option<Arc<ShardLog>> {
        self.shards.get(id)
    }

    /// Applies each stream's and shard's retention and the store's limits once: what goes is unfindable at
    /// once, and segments that hold nothing live any more are recycled. Blocks, for a while when
    /// much has expired; producers are not held up by it.
    pub fn enforce_retention(&self) {
        background::run(|| self.enforce_limits());
    }

    fn enforce_limits(&self) {
        let _keeping = locked(&self.keeping);
        let rules = self.rules(self.clock.now());
        let mut trims = Vec::new();
        for (&id, rule) in &rules {
            let expired = self.expire(id, rule, &mut trims);
            self.totals.expired.fetch_add(expired, Ordering::Relaxed);
        }
        self.recycle();
        if let Err(error) = self.evict(&rules, &mut trims) {
            tracing::warn!(%error, "could not tell what space is left");
        }
        // Not before segments are freed: the commit thread may wait for one.
        if !trims.is_empty()
            && let Err(error) = self.committer.trim(trims)
        {
            // They may be findable again after a restart, and then expire again.
            tracing::warn!(%error, "could not log what expired");
        }
    }

    /// Copies what still lives in mostly dead segments to the end of the log, and frees those;
    /// as much as may be copied after the log has grown by a segment. Blocks.
    pub fn empty_segments(&self) {
        let now = self.clock.now();
        let rules = self.rules(now);
        let (committer, streams, totals) = (&self.committer, &self.streams, &self.totals);
        background::run(|| {
            Emptying { committer, streams, totals, rules: &rules, now }.run();
            self.recycle();
        });
    }

    /// Resolves when the log has taken another segment: time for [`Store::enforce_retention`].
    pub async fn grown(&self) {
        self.committer.grown.notified().await;
    }

    /// What of each stream is kept.
    fn rules(&self, now: ServerTimestamp) -> BTreeMap<StreamId, Rule> {
        let keep = self.options.unretained_keep;
        let streams = self.catalog.list("", None, usize::MAX).into_iter();
        let streams = streams.map(|info| (info.id, Rule::new(&info, now, keep)));
        let shards = self.shards.all().into_iter();
        let shards = shards.map(|shard| (shard.id(), Rule::of_shard(shard.retention(), now)));
        streams.chain(shards).collect()
    }

    fn expire(&self, id: StreamId, rule: &Rule, trims: &mut Vec<(Kind, Bytes)>) -> u64 {
        let Some(stream) = self.media(id) else { return 0 };
        let Expired { fragments, trim } = retention::expire(&stream, rule);
        trims.extend(trim);
        if let Some(shard) = self.shards.get(id).filter(|_| fragments > 0) {
            shard.forget_expired();
        }
        fragments
    }

    /// Lets the oldest unpinned fragments of all streams go until the log is within its limits.
    fn evict(
        &self,
        rules: &BTreeMap<StreamId, Rule>,
        trims: &mut Vec<(Kind, Bytes)>,
    ) -> std::io::Result<()> {
        let (mut gone, mut evicted) = (ServerTimestamp::MIN, 0);
        loop {
            let lacking = space::lacking(&self.committer)?;
            if lacking == 0 {
                break;
            }
            let Some(horizon) = space::horizon(&self.committer, lacking, gone) else {
                tracing::error!(lacking, "space runs out, and no fragment may go for it");
                break;
            };
            for (&id, rule) in rules {
                let rule = Rule { horizon: rule.horizon.max(horizon), ..rule.clone() };
                evicted += self.expire(id, &rule, trims);
            }
            self.recycle();
            gone = horizon;
        }
        if evicted > 0 {
            tracing::warn!(fragments = evicted, "the oldest went, as space ran out");
            self.totals.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
        Ok(())
    }

    fn recycle(&self) {
        if self.poisoned().is_some() {
            return;
        }
        self.streams.mover().sweep(&self.streams, &self.committer);
        match self.committer.segments.recycle(self.committer.recyclable_before()) {
            Ok(0) => {}
            Ok(segments) => tracing::debug!(segments, "log segments recycled"),
            Err(error) => tracing::warn!(%error, "could not recycle log segments"),
        }
    }

    /// What the log takes, and what went for it.
    pub fn space(&self) -> SpaceReport {
        let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SpaceReport {
            used_bytes: self.used_bytes(),
            disk_bytes: self.committer.segments.disk_bytes(),
            expired: total(&self.totals.expired),
            evicted: total(&self.totals.evicted),
            refused: total(&self.committer.refused),
            copied_bytes: total(&self.totals.copied_bytes),
        }
    }

    /// Why the store refuses writes since a failed write or sync, if it does.
    pub fn poisoned(&self) -> Option<String> {
        self.committer.poisoned()
    }

    /// Bytes of the segment files that hold fragments; free ones not counted.
    pub fn used_bytes(&self) -> u64 {
        self.committer.segments.used_bytes()
    }

    /// Bytes of media that producers have sent and that are not durable yet.
    pub fn held_bytes(&self) -> u64 {
        self.committer.held.bytes()
    }

    /// Waits until all that was handed over is synced, and stops the commit thread. Blocks.
    /// Later writes fail; reading goes on.
    pub fn close(&self) {
        self.committer.close();
        prepare::stop(&self.committer.segments);
        let threads = std::mem::take(&mut *locked(&self.threads));
        join(threads);
        // After the commit thread: then the index has everything, and the next opening is short.
        self.streams.mover().stop();
        join(locked(&self.moving).take());
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of the store panicked");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
        // What is queued holds its stream, and that the queue: without a thread nobody ends that.
        self.committer.abandon();
        self.streams.mover().database().close();
        self.disk.unlock();
    }
}

impl Options {
    fn limits(&self) -> Limits {
        Limits {
            segment_bytes: self.segment_bytes,
            prepared: self.prepared_segments,
            spare: self.spare_segments,
            quota: self.quota,
            floor: self.floor,
            patience: SPACE_PATIENCE,
            prewrite_below: PREWRITE_BELOW,
        }
    }

    fn index_limits(&self) -> index::Limits {
        index::Limits {
            batch: self.index_batch,
            interval: self.index_interval,
            recent: self.index_recent,
            expired: index::EXPIRED_ROWS,
        }
    }
}

impl From<RecoverError> for OpenError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Io(what, source) => failed(what, source),
            RecoverError::Version(version) => Self::Version(version),
        }
    }
}

fn failed(context: &str, source: std::io::Error) -> OpenError {
    OpenError::Io { context: context.to_owned(), source }
}

/// Locks. A thread that panicked inside leaves data that is as good as before: every critical
/// section here is complete or does not change anything.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for `condvar`; see [`locked`].
fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
