//! The index's database: what is in it, how it is opened, and how a batch is put into it.
//!
//! Derived from the log, so it may fail: then the store says so, and makes it anew when it opens.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use redb::{ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use super::Record;
use super::mover::{Batch, Removed, Unswept};
use super::rows::{RECORD_BYTES, decode, encode};
use crate::store::disk::Disk;
use crate::store::locked;
use crate::store::log::entry::{Lsn, STATE_RECORD_BYTES, StateRecord, u64_at};
use crate::store::log::segment::Segments;
use crate::types::{Millis, ServerTimestamp, StreamId};

/// Stream and counter → the record, see [`encode`].
pub const FRAGMENTS: TableDefinition<'_, (u32, u64), &[u8; RECORD_BYTES]> =
    TableDefinition::new("fragments");
/// Stream, producer time and counter → the duration in ms.
pub const TIMES: TableDefinition<'_, (u32, i64, u64), u32> = TableDefinition::new("times");
/// Stream → [`Saved`].
const STREAMS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("streams");
/// A segment's base → [`SegmentRows`].
const SEGMENTS: TableDefinition<'_, u64, (u32, u64, u64, i64)> = TableDefinition::new("segments");
/// [`VERSION`] and [`CHECKPOINT`].
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const VERSION: (&str, u64) = ("version", 1);
/// Before this position of the log, everything that is to be found has a row.
const CHECKPOINT: &str = "checkpoint";
/// Bytes of [`Saved`] before its state.
const SAVED_HEAD_BYTES: usize = 24;

/// The database of all streams' rows.
pub struct Database {
    disk: Arc<dyn Disk>,
    cache_bytes: usize,
    writing: Mutex<Option<redb::Database>>,
    /// What is read; exchanged after each commit.
    snapshot: RwLock<Option<Arc<Snapshot>>>,
    /// Why nothing it says is to be believed.
    failure: OnceLock<String>,
}

/// The rows as of one commit.
pub struct Snapshot {
    pub fragments: ReadOnlyTable<(u32, u64), &'static [u8; RECORD_BYTES]>,
    pub times: ReadOnlyTable<(u32, i64, u64), u32>,
}

/// What the database says when it opens.
#[derive(Debug, Default)]
pub struct Contents {
    /// The log is to be read from this position on.
    pub checkpoint: Lsn,
    /// Each stream at that position.
    pub streams: BTreeMap<StreamId, Saved>,
    /// The segments that rows point into, by base.
    pub segments: BTreeMap<Lsn, SegmentRows>,
}

/// What the rows that point into a segment are together.
#[derive(Clone, Copy, Debug)]
pub struct SegmentRows {
    salt: u32,
    rows: u64,
    /// Bytes of the log that their fragments take.
    bytes: u64,
    /// The largest server time that any row pointing there ever had.
    newest: ServerTimestamp,
}

/// What the index remembers of a stream besides its rows.
#[derive(Clone, Debug)]
pub struct Saved {
    /// As of the checkpoint.
    pub state: StateRecord,
    /// The longest fragment there ever was.
    pub longest: Millis,
    /// Bytes of the log that the fragments of its rows take, but for expired ones.
    pub bytes: u64,
    /// Bytes of those below [`Kept::from`](crate::store::kept::Kept::from).
    pub held_bytes: u64,
}

/// Why the index has to be made anew.
#[derive(Debug, PartialEq, Eq)]
pub struct StaleIndex(pub String);

impl Database {
    /// Opens the database that is there.
    ///
    /// # Errors
    /// It is missing, of another version, or damaged.
    pub fn open(disk: Arc<dyn Disk>, cache_bytes: usize) -> Result<(Self, Contents), StaleIndex> {
        let opened = guarded(|| {
            let database = disk.index(cache_bytes)?;
            let contents = Contents::read(&database)?;
            Ok((database, contents))
        });
        match opened {
            Ok((database, Some(contents))) => {
                let opened = Self::new(disk, cache_bytes, database);
                opened.map(|opened| (opened, contents)).map_err(StaleIndex)
            }
            Ok((_, None)) => Err(StaleIndex("there is none, or of another version".into())),
            Err(error) => Err(StaleIndex(format!("it does not open: {error}"))),
        }
    }

    /// Makes a new one in the place of whatever is there.
    pub fn create(disk: Arc<dyn Disk>, cache_bytes: usize) -> Result<Self, String> {
        disk.remove_index().map_err(|error| error.to_string())?;
        let database = guarded(|| {
            let database = disk.index(cache_bytes)?;
            let change = database.begin_write()?;
            change.open_table(FRAGMENTS)?;
            change.open_table(TIMES)?;
            change.open_table(STREAMS)?;
            change.open_table(SEGMENTS)?;
            let mut meta = change.open_table(META)?;
            meta.insert(VERSION.0, VERSION.1)?;
            meta.insert(CHECKPOINT, 0)?;
            drop(meta);
            change.commit()?;
            Ok(database)
        })?;
        Self::new(disk, cache_bytes, database)
    }

    fn new(disk: Arc<dyn Disk>, cache_bytes: usize, db: redb::Database) -> Result<Self, String> {
        let snapshot = guarded(|| Snapshot::of(&db))?;
        Ok(Self {
            disk,
            cache_bytes,
            writing: Mutex::new(Some(db)),
            snapshot: RwLock::new(Some(Arc::new(snapshot))),
            failure: OnceLock::new(),
        })
    }

    /// Searches the rows. One that fails once more after a commit that is under way finds
    /// `nothing`, and the index is not believed any more.
    pub fn read<T>(
        &self,
        nothing: T,
        search: impl Fn(&Snapshot) -> Result<T, redb::StorageError>,
    ) -> T {
        let try_once = || {
            let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone();
            snapshot.map(|snapshot| guarded(|| Ok(search(&snapshot)?))).transpose()
        };
        let found = try_once().or_else(|_| {
            // A commit that fails makes reads fail too, until it has opened the database again.
            drop(locked(&self.writing));
            try_once()
        });
        match found {
            Ok(found) => found.unwrap_or(nothing),
            Err(error) => {
                self.distrust(format!("read the index: {error}"));
                nothing
            }
        }
    }

    /// Puts a batch into the database, durably, and takes out up to `most` expired rows.
    ///
    /// # Errors
    /// It is as it was before, and a later commit may succeed; or it is not believed any more.
    pub fn commit(
        &self,
        batch: &Batch,
        before: Lsn,
        segments: &Segments,
        most: usize,
    ) -> Result<Removed, String> {
        let mut writing = locked(&self.writing);
        let Some(database) = &*writing else { return Err("it is closed".into()) };
        let committed = guarded(|| {
            let mut change = database.begin_write()?;
            // Without it, opening after a crash would read the whole database.
            change.set_quick_repair(true);
            let removed = write(&change, batch, segments, most)?;
            change.commit()?;
            Ok((removed, Snapshot::of(database)?))
        });
        match committed {
            Ok((removed, snapshot)) => {
                self.show(Some(Arc::new(snapshot)));
                Ok(removed)
            }
            Err(error) => {
                // After a failure that may pass, such as a full disk, redb is opened again.
                match self.reopen(&mut writing) {
                    Ok(checkpoint) if checkpoint == before => {}
                    Ok(other) => self.distrust(format!("the index is at {other}, not {before}")),
                    Err(error) => self.distrust(format!("open the index: {error}")),
                }
                Err(error)
            }
        }
    }

    fn reopen(&self, writing: &mut Option<redb::Database>) -> Result<Lsn, String> {
        // Readers wait here meanwhile, and nobody reads what the old one had.
        let mut shown = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        while shown.as_ref().is_some_and(|snapshot| Arc::strong_count(snapshot) > 1) {
            thread::sleep(Duration::from_millis(1));
        }
        let (database, contents, snapshot) = guarded(|| {
            *shown = None;
            *writing = None;
            let database = self.disk.index(self.cache_bytes)?;
            let contents = Contents::read(&database)?;
            let snapshot = Snapshot::of(&database)?;
            Ok((database, contents, snapshot))
        })?;
        *shown = Some(Arc::new(snapshot));
        *writing = Some(database);
        contents.map(|contents| contents.checkpoint).ok_or_else(|| "it is empty".into())
    }

    /// Believes nothing of it any more: it goes, and is made anew when the store opens again.
    pub fn distrust(&self, reason: String) {
        if self.failure.set(reason).is_ok() {
            // If that fails too, opening the store will find out.
            let _ = self.disk.remove_index();
        }
    }

    /// Why it is not believed any more, if so.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Closes it; searches find no rows any more.
    pub fn close(&self) {
        self.show(None);
        let database = locked(&self.writing).take();
        if let Err(error) = guarded(|| {
            drop(database);
            Ok(())
        }) {
            tracing::debug!(error, "the index did not close");
        }
    }

    fn show(&self, snapshot: Option<Arc<Snapshot>>) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Snapshot {
    fn of(database: &redb::Database) -> Result<Self, redb::Error> {
        let reading = database.begin_read()?;
        let (fragments, times) = (reading.open_table(FRAGMENTS)?, reading.open_table(TIMES)?);
        Ok(Self { fragments, times })
    }
}

impl Contents {
    /// Reads all but the rows; `None` when the database is new or of another version.
    fn read(database: &redb::Database) -> Result<Option<Self>, redb::Error> {
        let reading = database.begin_read()?;
        let meta = match reading.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if meta.get(VERSION.0)?.map(|version| version.value()) != Some(VERSION.1) {
            return Ok(None);
        }
        let checkpoint = meta.get(CHECKPOINT)?.map_or(0, |checkpoint| checkpoint.value());
        let mut contents = Self { checkpoint, ..Self::default() };
        for row in reading.open_table(STREAMS)?.iter()? {
            let (id, saved) = row?;
            contents
                .streams
                .extend(Saved::decode(saved.value()).map(|s| (StreamId(id.value()), s)));
        }
        for row in reading.open_table(SEGMENTS)?.iter()? {
            let (base, rows) = row?;
            contents.segments.insert(base.value(), SegmentRows::from_value(rows.value()));
        }
        Ok(Some(contents))
    }

    /// Whether the rows point into these segments; if so, the segments know how many do.
    pub fn fit(&self, segments: &Segments) -> Result<(), StaleIndex> {
        for (&base, of) in &self.segments {
            let segment = segments.locate(base).map(|(segment, _)| segment);
            let segment = segment.filter(|found| found.base == base && found.salt == of.salt);
            let segment = segment
                .ok_or_else(|| StaleIndex(format!("the log has no segment at {base} any more")))?;
            segment.retain(of.rows, of.bytes, of.newest);
        }
        Ok(())
    }
}

impl Saved {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SAVED_HEAD_BYTES + STATE_RECORD_BYTES);
        for word in [self.longest.0, self.bytes, self.held_bytes] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        self.state.encode(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, state) = bytes.split_at_checked(SAVED_HEAD_BYTES)?;
        let state = StateRecord::decode_all(state).pop()?;
        let (longest, bytes, held_bytes) = (u64_at(head, 0), u64_at(head, 8), u64_at(head, 16));
        Some(Self { state, longest: Millis(longest), bytes, held_bytes })
    }
}

impl SegmentRows {
    fn from_value((salt, rows, bytes, newest): (u32, u64, u64, i64)) -> Self {
        Self { salt, rows, bytes, newest: ServerTimestamp::from_millis(newest) }
    }

    fn value(&self) -> (u32, u64, u64, i64) {
        (self.salt, self.rows, self.bytes, self.newest.as_millis())
    }
}

/// What more points into each segment, and what less.
struct Deltas<'a> {
    segments: &'a Segments,
    by_base: BTreeMap<Lsn, Delta>,
}

struct Delta {
    salt: u32,
    rows: i64,
    bytes: i64,
    newest: ServerTimestamp,
}

impl<'a> Deltas<'a> {
    fn new(segments: &'a Segments) -> Self {
        Self { segments, by_base: BTreeMap::new() }
    }

    fn add(&mut self, record: &Record) {
        self.count(record, 1);
    }

    fn remove(&mut self, record: &Record) {
        self.count(record, -1);
    }

    fn count(&mut self, record: &Record, by: i64) {
        let Some((segment, _)) = self.segments.locate(record.lsn) else { return };
        let new = Delta { salt: segment.salt, rows: 0, bytes: 0, newest: ServerTimestamp::MIN };
        let delta = self.by_base.entry(segment.base).or_insert(new);
        delta.rows += by;
        delta.bytes += by * i64::try_from(record.log_bytes()).unwrap_or(i64::MAX);
        if by > 0 {
            delta.newest = delta.newest.max(record.server());
        }
    }

    fn write(self, change: &redb::WriteTransaction) -> Result<(), redb::Error> {
        let mut table = change.open_table(SEGMENTS)?;
        for (base, delta) in self.by_base {
            let known = table.get(base)?.map(|rows| SegmentRows::from_value(rows.value()));
            let known = known.unwrap_or(SegmentRows {
                salt: delta.salt,
                rows: 0,
                bytes: 0,
                newest: ServerTimestamp::MIN,
            });
            let now = SegmentRows {
                rows: known.rows.saturating_add_signed(delta.rows),
                bytes: known.bytes.saturating_add_signed(delta.bytes),
                newest: known.newest.max(delta.newest),
                ..known
            };
            match now.rows {
                0 => drop(table.remove(base)?),
                _ => drop(table.insert(base, now.value())?),
            }
        }
        Ok(())
    }
}

fn write(
    change: &redb::WriteTransaction,
    batch: &Batch,
    segments: &Segments,
    most: usize,
) -> Result<Removed, redb::Error> {
    let (mut deltas, mut removed) = (Deltas::new(segments), Removed::default());
    insert(change, batch, &mut deltas, &mut removed)?;
    remove(change, batch, most, &mut deltas, &mut removed)?;
    deltas.write(change)?;
    let mut streams = change.open_table(STREAMS)?;
    for saved in &batch.saved {
        streams.insert(saved.state.stream.0, &*saved.encode())?;
    }
    for dead in batch.dead.iter().filter(|dead| removed.finished.contains(dead)) {
        streams.remove(dead.0)?;
    }
    change.open_table(META)?.insert(CHECKPOINT, batch.checkpoint)?;
    Ok(removed)
}

/// In the order of each table's keys: neighbours share a page. One that was copied within the log
/// has a row already.
fn insert(
    change: &redb::WriteTransaction,
    batch: &Batch,
    deltas: &mut Deltas<'_>,
    removed: &mut Removed,
) -> Result<(), redb::Error> {
    let mut rows: Vec<_> = batch.rows.iter().collect();
    rows.sort_by_key(|(stream, record)| (stream.0, record.counter()));
    let mut fragments = change.open_table(FRAGMENTS)?;
    for (stream, record) in &rows {
        let key = (stream.0, record.counter());
        if let Some(before) = fragments.insert(key, &encode(record))? {
            let before = decode(record.counter(), before.value());
            deltas.remove(&before);
            removed.places.push((before.lsn, before.log_bytes()));
        }
        deltas.add(record);
    }
    let key = |stream: &StreamId, record: &Record| {
        (stream.0, record.producer.as_millis(), record.counter())
    };
    rows.sort_unstable_by_key(|(stream, record)| key(stream, record));
    let mut times = change.open_table(TIMES)?;
    for (stream, record) in &rows {
        times.insert(key(stream, record), record.duration_ms)?;
    }
    Ok(())
}

fn remove(
    change: &redb::WriteTransaction,
    batch: &Batch,
    most: usize,
    deltas: &mut Deltas<'_>,
    removed: &mut Removed,
) -> Result<(), redb::Error> {
    let (mut fragments, mut times) = (change.open_table(FRAGMENTS)?, change.open_table(TIMES)?);
    let mut left = most;
    for Unswept { stream, gaps, .. } in &batch.expired {
        let mut rows = Vec::new();
        for gap in gaps {
            for row in fragments.range((stream.0, gap.start)..(stream.0, gap.end))?.take(left) {
                let (key, value) = row?;
                rows.push(decode(key.value().1, value.value()));
                left -= 1;
            }
        }
        for record in &rows {
            let counter = record.counter();
            fragments.remove((stream.0, counter))?;
            times.remove((stream.0, record.producer.as_millis(), counter))?;
            deltas.remove(record);
            removed.places.push((record.lsn, record.log_bytes()));
        }
        if left > 0 {
            removed.finished.push(*stream);
        }
    }
    Ok(())
}

/// Runs what may fail, or panic: redb panics over some damage to its file.
pub fn guarded<T>(run: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("its file is damaged".into()),
    }
}
