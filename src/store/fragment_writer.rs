//! Writing one fragment, from its first byte to its place in the queue of the commit thread.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::commit::Finished;
use super::fragments::{FragmentInfo, MediaStream, PersistError};
use super::log::entry::{FragmentEntry, MAX_BODY_BYTES};
use super::tail::{Fate, OpenFragment};
use super::twin;
use crate::types::{FragmentNumber, Millis};

/// An open fragment's writer. Dropping it gives the fragment up.
#[derive(Debug)]
pub struct FragmentWriter {
    stream: Arc<MediaStream>,
    open: Arc<OpenFragment>,
    cluster: Checked,
    trailer_len: usize,
    /// Runs over all bytes. Combining the checksums of the parts instead is arithmetic that costs
    /// several times as much as reading a usual cluster twice.
    body_crc: u32,
    finished: bool,
}

/// The length and the checksum of bytes that were pushed.
#[derive(Clone, Copy, Debug, Default)]
struct Checked {
    len: usize,
    crc: u32,
}

impl Checked {
    fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        self.crc = crc32c::crc32c_append(self.crc, bytes);
    }
}

impl FragmentWriter {
    pub(super) fn new(stream: Arc<MediaStream>, open: Arc<OpenFragment>) -> Self {
        let (cluster, body_crc) = (Checked::default(), crc32c::crc32c(&open.head));
        Self { stream, open, cluster, trailer_len: 0, body_crc, finished: false }
    }

    /// The number, fixed from the beginning.
    pub fn number(&self) -> FragmentNumber {
        self.open.number
    }

    /// Adds bytes of the cluster; readers at the tail see them at once. Not after
    /// [`FragmentWriter::push_trailer`].
    pub fn push(&mut self, cluster: Bytes) {
        debug_assert_eq!(self.trailer_len, 0, "the cluster lies in one piece");
        self.cluster.add(&cluster);
        self.show(cluster);
    }

    /// Adds bytes that follow the cluster (tags).
    pub fn push_trailer(&mut self, bytes: Bytes) {
        self.trailer_len += bytes.len();
        self.show(bytes);
    }

    /// Bytes so far, the head included.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty in a useful sense")]
    pub fn len(&self) -> usize {
        self.open.head.len() + self.cluster.len + self.trailer_len
    }

    /// Hands the fragment to the log; resolves once it is synced and findable. Dropping the
    /// future does not undo it. A fragment that is stored already (same producer time, format,
    /// cluster and trailer: a re-send after a reconnect) is not stored again: the result is the stored
    /// one's facts, whose number differs from [`FragmentWriter::number`].
    pub fn finish(
        mut self,
        duration: Millis,
    ) -> impl Future<Output = Result<FragmentInfo, PersistError>> + Send + 'static {
        self.finished = true;
        let (done, outcome) = oneshot::channel();
        self.hand_over(duration, done);
        async move {
            let lost = || PersistError::Poisoned("the commit thread ended".into());
            outcome.await.unwrap_or_else(|_| Err(lost()))
        }
    }

    fn show(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.body_crc = crc32c::crc32c_append(self.body_crc, &bytes);
            self.open.push(bytes);
            self.stream.wake();
        }
    }

    fn hand_over(
        &self,
        duration: Millis,
        done: oneshot::Sender<Result<FragmentInfo, PersistError>>,
    ) {
        let committer = self.stream.committer().clone();
        let compared_before = {
            // Under the lock, so that nothing from there on leaves the memory unnoticed.
            let state = self.stream.state();
            // What is durable before this position is findable below.
            let durable = committer.durable();
            self.open.compare_before(durable);
            drop(state);
            durable
        };
        let mut body = vec![self.open.head.clone()];
        body.extend(self.open.pieces());
        let (stream, entry) = (self.stream.clone(), self.entry(duration));
        let _held = committer.held.hold(entry.body_len());
        let finished = Finished { stream, entry, body, _held, compared_before, done };
        if self.stream.state().deleted {
            return finished.fail(PersistError::StreamDeleted);
        }
        if self.len() > MAX_BODY_BYTES {
            let limit = format!("a fragment may have {MAX_BODY_BYTES} bytes");
            return finished.fail(PersistError::NoSpace(limit));
        }
        let alike = self.stream.alike(&finished.entry);
        if alike.is_empty() {
            return committer.append(finished);
        }
        // Reading the stored one may take the device's time, which is nobody else's.
        let compare = move || {
            let before = alike.iter().filter(|record| record.lsn < compared_before);
            let twin = twin::find_stored(&committer.segments, &finished, before);
            // It may have expired while it was read.
            match twin.and_then(|twin| finished.stream.get(twin.number)) {
                Some(twin) => finished.stored_as(twin),
                None => committer.append(finished),
            }
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(compare)),
            Err(_) => compare(),
        }
    }

    fn entry(&self, duration: Millis) -> FragmentEntry {
        FragmentEntry {
            stream: self.stream.id(),
            number: self.open.number,
            producer: self.open.producer,
            duration_ms: u32::try_from(duration.0).unwrap_or(u32::MAX),
            format: self.open.format,
            sequence: None,
            breaks: 0,
            head_len: clamp(self.open.head.len()),
            cluster_len: clamp(self.cluster.len),
            trailer_len: clamp(self.trailer_len),
            cluster_crc: self.cluster.crc,
            body_crc: self.body_crc,
        }
    }
}

/// A length as the entry has it; one that does not fit is refused by its sum.
fn clamp(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Drop for FragmentWriter {
    fn drop(&mut self) {
        if !self.finished {
            self.stream.settle(self.open.number, Fate::GivenUp);
        }
    }
}
