//! A queue's journal: a log of its own in the store, in which every change of the queue's state is
//! durable before a client hears of it.
//!
//! From time to time the whole state is appended as a snapshot; once that is durable, what lies
//! before it is trimmed. A snapshot has several records; one that a crash cut short is no
//! snapshot, and what was before it is still there.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::runtime::Handle;

use super::event::{
    Event, JournalRecord, MalformedRecord, decode, encode_changes, encode_snapshot,
};
use super::state::State;
use crate::store::{Append, PersistError, ReadLimit, RecordsError, ShardLog};

/// Bytes of changes after which a snapshot is made at the earliest.
const SNAPSHOT_AFTER: u64 = 1 << 20;
/// And so many times the bytes of the last snapshot: so snapshots cost at most half as much as
/// the changes themselves.
const SNAPSHOT_FACTOR: u64 = 2;
/// What recovery reads at once.
const READ: ReadLimit = ReadLimit { records: 4096, bytes: 4 << 20 };

/// The journal of one queue.
#[derive(Debug)]
pub struct Journal {
    log: Arc<ShardLog>,
    /// Bytes of changes since the last snapshot.
    changes: u64,
    /// Bytes of the last snapshot.
    snapshot: u64,
}

/// Why a queue's journal does not open.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It does not read.
    #[error("read a queue's journal: {0}")]
    Read(#[from] RecordsError),
    /// It was written by a later version of this program.
    #[error("a queue's journal has version {0}, which this program does not know")]
    Version(u8),
}

impl Journal {
    /// Reads a journal, and tells the state that it leads to. What of it is damaged is passed over
    /// and logged: records may then come again, or be counted less, but none is lost. Blocks.
    pub fn recover(log: Arc<ShardLog>) -> Result<(Self, State), RecoverError> {
        let mut recovery = Recovery::default();
        let mut from = 0;
        loop {
            let records = match log.read(from, READ) {
                Ok(records) => records,
                Err(error @ RecordsError::Damaged { last, .. }) => {
                    tracing::error!(%error, log = log.id().0, "a queue's journal is damaged");
                    from = last.saturating_add(1);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some(last) = records.last() else { break };
            from = last.index + 1;
            for record in &records {
                match recovery.read(&record.payload) {
                    Ok(()) => {}
                    Err(MalformedRecord::Version(version)) => {
                        return Err(RecoverError::Version(version));
                    }
                    Err(error) => {
                        let (log, index) = (log.id().0, record.index);
                        tracing::error!(%error, log, index, "a queue's journal is damaged");
                    }
                }
            }
        }
        let Recovery { state, changes, snapshot, .. } = recovery;
        Ok((Self { log, changes, snapshot }, state))
    }

    /// The log in which it lies.
    pub fn log(&self) -> &Arc<ShardLog> {
        &self.log
    }

    /// Appends changes that led to `state`, in the order of the calls. They are durable when what
    /// this returns resolves. A snapshot that is due is made too, if there is a runtime to wait for
    /// it.
    pub fn append(&mut self, events: &[Event], state: &State) -> Result<Append, PersistError> {
        let changes = encode_changes(events);
        self.changes += changes.len() as u64;
        let append = self.log.append(vec![changes])?;
        let due = self.changes >= SNAPSHOT_AFTER.max(SNAPSHOT_FACTOR * self.snapshot);
        if due && let Ok(runtime) = Handle::try_current() {
            runtime.spawn(trim_when_durable(self.log.clone(), self.snapshot(state)));
        }
        Ok(append)
    }

    fn snapshot(&mut self, state: &State) -> Vec<Result<Append, PersistError>> {
        let parts = encode_snapshot(state.snapshot());
        self.snapshot = parts.iter().map(|part| part.len() as u64).sum();
        self.changes = 0;
        // Each for itself, so that no entry of the log becomes large.
        parts.into_iter().map(|part| self.log.append(vec![part])).collect()
    }
}

/// Lets go of what lies before a snapshot. When a part of it is not stored, all stays, and the next
/// snapshot is made in its time.
async fn trim_when_durable(log: Arc<ShardLog>, parts: Vec<Result<Append, PersistError>>) {
    let stored = async { try_join_all(parts.into_iter().collect::<Result<Vec<_>, _>>()?).await };
    match stored.await {
        Ok(parts) => parts.first().into_iter().for_each(|first| log.trim(first.first)),
        Err(error) => tracing::warn!(%error, "a queue's snapshot was not stored"),
    }
}

/// What was read so far.
#[derive(Default)]
struct Recovery {
    state: State,
    changes: u64,
    snapshot: u64,
    /// A snapshot of which not all parts were read yet: the next part's number, its bytes so far,
    /// and the state so far.
    partial: Option<(u32, u64, State)>,
}

impl Recovery {
    fn read(&mut self, payload: &[u8]) -> Result<(), MalformedRecord> {
        match decode(payload)? {
            JournalRecord::Changes(events) => {
                self.changes += payload.len() as u64;
                events.into_iter().for_each(|event| self.state.apply(event));
            }
            JournalRecord::SnapshotPart { part, parts, events } => {
                let (next, bytes, mut state) = match self.partial.take() {
                    Some(partial) if part > 0 => partial,
                    _ => (0, 0, State::default()),
                };
                if next != part {
                    // Its beginning is missing: what was read before it stands.
                    return Ok(());
                }
                events.into_iter().for_each(|event| state.apply(event));
                let bytes = bytes + payload.len() as u64;
                if part + 1 == parts {
                    (self.state, self.snapshot, self.changes) = (state, bytes, 0);
                } else {
                    self.partial = Some((part + 1, bytes, state));
                }
            }
        }
        Ok(())
    }
}
