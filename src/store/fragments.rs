//! A media stream as a typed view of the log: fragments by number and by both clocks, the open
//! ones included.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::watch;

use super::commit::Committer;
use super::cursor::Cursor;
use super::fragment_writer::FragmentWriter;
use super::held::Receiving;
use super::index::{Index, Recent, Record, Rows};
use super::locked;
use super::log::entry::{FormatId, FragmentEntry, HEADER_BYTES};
use super::log::reader::{Place, header_of};
use super::log::segment::Segments;
use super::streams::State;
use super::tail::{Fate, OpenFragment};
use crate::clock::Clock;
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp, StreamId};

/// What the index knows of a persisted fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentInfo {
    /// Unique in the stream, and growing in the order in which fragments began.
    pub number: FragmentNumber,
    /// When it starts on the producer's clock.
    pub producer: ProducerTimestamp,
    /// How long it is.
    pub duration: Millis,
    /// Bytes of the chunk: head, cluster and what follows it.
    pub size: u32,
    /// What decoders must know beforehand.
    pub format: FormatId,
    /// Position in the live playlist: counts, without gaps, the fragments that were persisted in
    /// the order of their numbers. `None` for one that came after a larger number was persisted.
    pub sequence: Option<u64>,
    /// How many breaks the stream had up to and including this fragment's start: a gap or overlap
    /// of producer time of more than 50 ms, or another format, counted along `sequence`.
    pub breaks: u32,
}

impl FragmentInfo {
    /// When the server began to receive it.
    pub fn server(&self) -> ServerTimestamp {
        self.number.server_timestamp()
    }
}

/// A persisted fragment: a complete MKV file in one piece of memory.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// What the index knows of it.
    pub info: FragmentInfo,
    /// Head, cluster and what follows it.
    pub bytes: Bytes,
    /// `bytes[..head_len]` is the head (EBML, Segment, Info, Tracks).
    pub head_len: usize,
    /// `bytes[head_len..head_len + cluster_len]` is the cluster; the rest follows it (tags).
    pub cluster_len: usize,
}

/// Where a cursor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest retained fragment.
    Earliest,
    /// The next fragment that begins.
    Now,
    /// The first fragment with a larger number.
    After(FragmentNumber),
    /// The fragment that covers this producer time, else the next one after it.
    Producer(ProducerTimestamp),
    /// The fragment that covers this server time, else the next one after it.
    Server(ServerTimestamp),
}

/// A range of one clock, both ends included, over the *starts* of fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// On the producer's clock.
    Producer {
        /// The first start.
        from: ProducerTimestamp,
        /// The last start.
        to: ProducerTimestamp,
    },
    /// On the server's clock.
    Server {
        /// The first start.
        from: ServerTimestamp,
        /// The last start.
        to: ServerTimestamp,
    },
}

impl Order {
    /// What of the range is left behind a fragment of it, which is still to be skipped by number.
    pub fn rest(self, listed: &FragmentInfo) -> Self {
        match self {
            Self::Producer { to, .. } => Self::Producer { from: listed.producer, to },
            Self::Server { to, .. } => Self::Server { from: listed.server(), to },
        }
    }
}

/// Why a fragment could not be made durable. Nothing of it is visible afterwards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersistError {
    /// A write or sync failed before; the store accepts no writes until it is reopened.
    #[error("the store stopped accepting writes: {0}")]
    Poisoned(String),
    /// The disk is full, or the fragment larger than the log takes. Others may fit, later.
    #[error("no space left: {0}")]
    NoSpace(String),
    /// The stream went away.
    #[error("the stream was deleted")]
    StreamDeleted,
}

/// Why a stored fragment could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such number, or it expired.
    #[error("the fragment is not stored (any more)")]
    NotFound,
    /// What was read is not what was written.
    #[error("the stored fragment is damaged: {0}")]
    Damaged(String),
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io {
        /// What was tried.
        context: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The stream went away.
    #[error("the stream was deleted")]
    StreamDeleted,
}

/// An open fragment was given up (its connection broke) after some of it had been read.
#[derive(Debug, thiserror::Error)]
pub enum TornFragment {
    /// It will never be complete, or it had been stored before under another number.
    #[error("the fragment was given up before it was complete")]
    Abandoned,
    /// What was persisted could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One stream's fragments. Shared by its producers and readers.
pub struct MediaStream {
    id: StreamId,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    rows: Rows,
    committer: Arc<Committer>,
    clock: Clock,
}

impl MediaStream {
    pub(super) fn new(
        id: StreamId,
        state: State,
        rows: Rows,
        committer: Arc<Committer>,
        clock: Clock,
    ) -> Self {
        let (state, changes) = (Mutex::new(state), watch::Sender::new(0));
        Self { id, state, changes, rows, committer, clock }
    }

    /// The stream's id in the log.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Waits while the log has more to write than the store may hold. Producers await it before
    /// each [`MediaStream::begin`]: that is the store's backpressure.
    pub async fn ready(&self) {
        self.committer.ready().await;
    }

    /// A producer's share of the memory for media that is not durable. Whoever receives media keeps
    /// one per connection, tells it what it holds, and awaits [`Receiving::room`] before it reads
    /// more: that bounds what all open fragments together take.
    pub fn receiving(&self) -> Receiving {
        self.committer.held.receiving()
    }

    /// Takes the next number and opens a fragment: readers at the tail see it begin at
    /// once (after an opening: once the log knows that the number is given out).
    /// `head` is what makes the chunk a complete file by itself.
    pub fn begin(
        self: &Arc<Self>,
        head: Bytes,
        producer: ProducerTimestamp,
        format: FormatId,
    ) -> FragmentWriter {
        let mut state = self.state();
        let number = state.next_number(&self.clock);
        let open = Arc::new(OpenFragment::new(number, producer, format, head));
        let to_reserve = if state.deleted {
            open.settle(Fate::StreamDeleted);
            None
        } else {
            state.begin(open.clone())
        };
        drop(state);
        if let Some(counter) = to_reserve {
            self.committer.reserve(self.clone(), counter);
        }
        self.wake();
        FragmentWriter::new(self.clone(), open)
    }

    /// A persisted fragment's facts.
    pub fn get(&self, number: FragmentNumber) -> Option<FragmentInfo> {
        self.find(number).map(|record| record.info())
    }

    /// Reads a persisted fragment and verifies its checksum.
    pub async fn read(&self, number: FragmentNumber) -> Result<Chunk, ReadError> {
        let (record, entry) = self
            .read_entry(number, |record| 0..HEADER_BYTES as u64 + u64::from(record.size))
            .await?;
        let damaged = |what: &str| ReadError::Damaged(format!("fragment {number}: {what}"));
        let header = header_of(&entry, record.lsn).ok_or_else(|| damaged("header"))?;
        let facts = header.kind.fragment().ok_or_else(|| damaged("kind"))?;
        let bytes = entry.slice(HEADER_BYTES..);
        if facts.body_len() != bytes.len() as u64 || crc32c::crc32c(&bytes) != facts.body_crc {
            return Err(damaged("checksum"));
        }
        let (head_len, cluster_len) = (facts.head_len as usize, facts.cluster_len as usize);
        Ok(Chunk { info: record.info(), bytes, head_len, cluster_len })
    }

    /// Up to `limit` persisted fragments whose start lies in `range`, in the order of that clock
    /// (ties by number), skipping those up to and including `after` in that same order. Once
    /// `after` has expired nothing tells its producer time: pages repeat nothing when each lists
    /// the [`Order::rest`] of the one before.
    pub fn list(
        &self,
        range: Order,
        after: Option<FragmentNumber>,
        limit: usize,
    ) -> Vec<FragmentInfo> {
        self.page(range, after, limit)
    }

    /// The newest `limit` fragments that have a `sequence`, oldest first: the live window.
    pub fn newest(&self, limit: usize) -> Vec<FragmentInfo> {
        self.live(limit)
    }

    /// The oldest and the newest persisted fragment by number; `None` while there is none.
    pub fn bounds(&self) -> Option<(FragmentInfo, FragmentInfo)> {
        self.ends().map(|(oldest, newest)| (oldest.info(), newest.info()))
    }

    /// Bytes of the log that the persisted fragments take.
    pub fn stored_bytes(&self) -> u64 {
        self.state().space.bytes
    }

    /// Waits until something changed after `seen` (fragment begun, grown, persisted, given up,
    /// stream deleted); returns the new mark. Start with 0.
    pub async fn changed(&self, seen: u64) -> u64 {
        let mut changes = self.subscribe();
        // The sender lives as long as `self`, so waiting can not fail.
        changes.wait_for(|mark| *mark > seen).await.map_or(seen, |mark| *mark)
    }

    /// A reader from `start` on, through the archive into the live tail, by fragment number.
    pub fn cursor(self: &Arc<Self>, start: Start) -> Cursor {
        let start = match start {
            Start::Now => Start::After(self.state().last_number()),
            other => other,
        };
        Cursor::new(self.clone(), start)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn segments(&self) -> &Segments {
        &self.committer.segments
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The index's record of a fragment; why there is none otherwise.
    pub(super) fn findable(&self, number: FragmentNumber) -> Result<Record, ReadError> {
        if self.state().deleted {
            return Err(ReadError::StreamDeleted);
        }
        self.find(number).ok_or(ReadError::NotFound)
    }

    /// Reads a part of a fragment's entry, and tells where the log had it.
    pub(super) async fn read_entry(
        &self,
        number: FragmentNumber,
        part: impl Fn(&Record) -> Range<u64>,
    ) -> Result<(Record, Bytes), ReadError> {
        let mut record = self.findable(number)?;
        loop {
            let part = part(&record);
            let len = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
            let bytes = match Place::of(self.segments(), record.lsn) {
                Some(place) => place.plus(part.start).read_async(len).await,
                None => Err(std::io::ErrorKind::NotFound.into()),
            };
            // The segment may have been used again meanwhile: then the index no longer has the
            // fragment, or has it where it was copied to.
            let now = self.findable(number)?;
            if now.lsn == record.lsn {
                return Ok((record, bytes.map_err(|error| read_failed(number, error))?));
            }
            record = now;
        }
    }

    /// The stored fragments that may be the same as one that is not stored yet.
    pub(super) fn alike(&self, entry: &FragmentEntry) -> Vec<Record> {
        alike(self.at(entry.producer), entry)
    }

    /// Those of them that became findable since the fragment was handed over: they are all in
    /// memory still, see [`OpenFragment::compared_before`].
    pub(super) fn alike_since(&self, entry: &FragmentEntry) -> Vec<Record> {
        alike(self.state().recent.at(entry.producer), entry)
    }

    /// Gives a fragment that is about to be written its place in the live playlist; `false` when
    /// the stream is gone.
    pub(super) fn take_sequence(&self, entry: &mut FragmentEntry) -> bool {
        let mut state = self.state();
        if !state.deleted {
            state.take_sequence(entry);
        }
        !state.deleted
    }

    /// Makes a durable fragment findable, and the open one it was go: in one step, so that no
    /// reader sees both or neither. `false` when the stream is gone.
    pub(super) fn publish(&self, record: Record, segments: &Segments) -> bool {
        let mut state = self.state();
        if state.deleted {
            return false;
        }
        state.insert(record, segments);
        if let Some(open) = state.close(record.number) {
            open.settle(Fate::Persisted(record.info()));
        }
        drop(state);
        self.wake();
        true
    }

    /// The log knows that numbers up to `counter` are given out.
    pub(super) fn reserved(&self, counter: u64) {
        self.state().reserved(counter);
        self.wake();
    }

    /// The log could not be told.
    pub(super) fn reservation_failed(&self) {
        self.state().reservation_failed();
    }

    /// Ends an open fragment that will not be persisted.
    pub(super) fn settle(&self, number: FragmentNumber, fate: Fate) {
        if let Some(open) = self.state().close(number) {
            open.settle(fate);
        }
        self.wake();
    }

    /// Makes all fragments unreachable, and fails readers and writers.
    pub(super) fn delete(&self) {
        let mut state = self.state();
        state.delete(self.segments()).for_each(|open| open.settle(Fate::StreamDeleted));
        drop(state);
        self.wake();
    }

    /// Up to `limit` fragments with this counter or a larger one, by number, and the state in
    /// which there are no others between them.
    pub(super) fn look_since(
        &self,
        counter: u64,
        limit: usize,
    ) -> (MutexGuard<'_, State>, Vec<Record>) {
        loop {
            let late = self.state().late();
            let page = self.since(counter, limit);
            let state = self.state();
            if state.late() == late {
                return (state, page);
            }
        }
    }

    pub(super) fn committer(&self) -> &Arc<Committer> {
        &self.committer
    }

    /// Wakes all that wait for the stream.
    pub(super) fn wake(&self) {
        self.changes.send_if_modified(|mark| {
            *mark += 1;
            // Nobody to wake is the usual case, with every frame. Whoever comes meanwhile looks
            // at the stream after subscribing, and so sees what changed.
            self.changes.receiver_count() > 0
        });
    }
}

impl Index for MediaStream {
    fn recent<T>(&self, look: impl FnOnce(&Recent) -> T) -> T {
        look(&self.state().recent)
    }

    fn rows(&self) -> &Rows {
        &self.rows
    }
}

impl fmt::Debug for MediaStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaStream").field("id", &self.id).finish_non_exhaustive()
    }
}

fn alike(mut records: Vec<Record>, entry: &FragmentEntry) -> Vec<Record> {
    records.retain(|r| r.format == entry.format && r.cluster_crc == entry.cluster_crc);
    records
}

pub(super) fn read_failed(number: FragmentNumber, source: std::io::Error) -> ReadError {
    ReadError::Io { context: format!("read fragment {number}"), source }
}
