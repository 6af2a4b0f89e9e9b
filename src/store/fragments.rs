//! A media stream as a typed view of the log: fragments by number and by both clocks, the open
//! ones included.

use std::sync::Arc;

use bytes::Bytes;

use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp, StreamId};

/// A digest of what decoders must know beforehand (tracks, codec data). The store only compares
/// it: where it changes, players need a new init segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FormatId(pub u32);

/// What the index knows of a persisted fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentInfo {
    pub number: FragmentNumber,
    pub producer: ProducerTimestamp,
    pub duration: Millis,
    /// Bytes of the chunk: head, cluster and what follows it.
    pub size: u32,
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
    pub info: FragmentInfo,
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
    Producer { from: ProducerTimestamp, to: ProducerTimestamp },
    Server { from: ServerTimestamp, to: ServerTimestamp },
}

/// Why a fragment could not be made durable. Nothing of it is visible afterwards.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PersistError {
    /// A write or sync failed before; the store accepts no writes until it is reopened.
    #[error("the store stopped accepting writes: {0}")]
    Poisoned(String),
    #[error("no space left: {0}")]
    NoSpace(String),
    #[error("the stream was deleted")]
    StreamDeleted,
}

/// Why a stored fragment could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the fragment is not stored (any more)")]
    NotFound,
    #[error("the stored fragment is damaged: {0}")]
    Damaged(String),
    #[error("{context}: {source}")]
    Io { context: String, source: std::io::Error },
    #[error("the stream was deleted")]
    StreamDeleted,
}

/// An open fragment was given up (its connection broke) after some of it had been read.
#[derive(Debug, thiserror::Error)]
pub enum TornFragment {
    #[error("the fragment was given up before it was complete")]
    Abandoned,
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One stream's fragments. Shared by its producers and readers.
pub struct MediaStream {}

impl MediaStream {
    /// The stream's id in the log.
    pub fn id(&self) -> StreamId {
        todo!()
    }

    /// Takes the next number and opens a fragment: readers at the tail see it begin at once.
    /// `head` is what makes the chunk a complete file by itself.
    pub fn begin(
        self: &Arc<Self>,
        head: Bytes,
        producer: ProducerTimestamp,
        format: FormatId,
    ) -> FragmentWriter {
        let _ = (head, producer, format);
        todo!()
    }

    /// A persisted fragment's facts.
    pub fn get(&self, number: FragmentNumber) -> Option<FragmentInfo> {
        let _ = number;
        todo!()
    }

    /// Reads a persisted fragment and verifies its checksum.
    pub async fn read(&self, number: FragmentNumber) -> Result<Chunk, ReadError> {
        let _ = number;
        todo!()
    }

    /// Up to `limit` persisted fragments whose start lies in `range`, in the order of that clock
    /// (ties by number), skipping those up to and including `after` in that same order.
    pub fn list(
        &self,
        range: Order,
        after: Option<FragmentNumber>,
        limit: usize,
    ) -> Vec<FragmentInfo> {
        let _ = (range, after, limit);
        todo!()
    }

    /// The newest `limit` fragments that have a `sequence`, oldest first: the live window.
    pub fn newest(&self, limit: usize) -> Vec<FragmentInfo> {
        let _ = limit;
        todo!()
    }

    /// The oldest and the newest persisted fragment by number; `None` while there is none.
    pub fn bounds(&self) -> Option<(FragmentInfo, FragmentInfo)> {
        todo!()
    }

    /// Waits until something changed after `seen` (fragment begun, grown, persisted, given up,
    /// stream deleted); returns the new mark. Start with 0.
    pub async fn changed(&self, seen: u64) -> u64 {
        let _ = seen;
        todo!()
    }

    /// A reader from `start` on, through the archive into the live tail, by fragment number.
    pub fn cursor(self: &Arc<Self>, start: Start) -> Cursor {
        let _ = start;
        todo!()
    }
}

/// An open fragment's writer. Dropping it gives the fragment up.
pub struct FragmentWriter {}

impl FragmentWriter {
    /// The number, fixed from the beginning.
    pub fn number(&self) -> FragmentNumber {
        todo!()
    }

    /// Adds bytes of the cluster; readers at the tail see them at once.
    pub fn push(&mut self, cluster: Bytes) {
        let _ = cluster;
        todo!()
    }

    /// Adds bytes that follow the cluster (tags).
    pub fn push_trailer(&mut self, bytes: Bytes) {
        let _ = bytes;
        todo!()
    }

    /// Bytes so far, the head included.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Hands the fragment to the log; resolves once it is synced and findable. Dropping the
    /// future does not undo it. A fragment that is stored already (same producer time, format and
    /// cluster bytes: a re-send after a reconnect) is not stored again: the result is the stored
    /// one's facts, whose number differs from [`FragmentWriter::number`].
    pub fn finish(
        self,
        duration: Millis,
    ) -> impl Future<Output = Result<FragmentInfo, PersistError>> + Send + 'static {
        let _ = duration;
        async { todo!() }
    }
}

/// A position in a stream that moves forward only.
pub struct Cursor {}

impl Cursor {
    /// The next fragment by number, open or persisted; waits at the tail. After it is read (or
    /// dropped) the next call moves on. Fails with `StreamDeleted` when the stream goes away.
    pub async fn next(&mut self) -> Result<FragmentReader, ReadError> {
        todo!()
    }
}

/// One fragment being read, which may still be open.
pub struct FragmentReader {}

impl FragmentReader {
    pub fn number(&self) -> FragmentNumber {
        todo!()
    }

    pub fn producer(&self) -> ProducerTimestamp {
        todo!()
    }

    pub fn server(&self) -> ServerTimestamp {
        self.number().server_timestamp()
    }

    /// The chunk's head.
    pub fn head(&self) -> &Bytes {
        todo!()
    }

    /// More of the cluster and what follows it, in order; waits while the fragment is open.
    /// `None` only once it is complete **and persisted**. Holds no memory of an open fragment
    /// longer than the writer does: after the persist it goes on reading from the log.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, TornFragment> {
        todo!()
    }

    /// The persisted facts, once `next_piece` returned `None`.
    pub fn info(&self) -> Option<FragmentInfo> {
        todo!()
    }
}
