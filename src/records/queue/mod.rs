//! Queues: competing consumers over one record stream, with dead letters.
//!
//! Each record of the stream is given to one receiver at a time, who acknowledges it, or gets it
//! again after its visibility timeout; after so many receives it becomes a dead letter, which only
//! the dead letters' own operations show. Delivery is at least once and unordered, over all
//! shards at once, parents and children alike. Acknowledging takes nothing from the stream, and
//! what expires there drops out of its queues.
//!
//! Here: who has which record, and that a crash does not make it forgotten. Not here: HTTP and ARNs
//! (`api`), the stream and its shards (`records`).
//!
//! - `place`: where a record lies; its id and its receipt handles
//! - `state`: the state machine, without clock and I/O
//! - `event`: its changes as bytes; `journal`: their log, snapshots, recovery
//! - `live`: one queue in operation
//! - `service`: all queues of the server

mod event;
mod journal;
mod live;
mod place;
mod service;
mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use live::MAX_WAIT;
pub use place::MAX_RECEIPT_CHARS;
pub use service::Queues;
pub use state::{Kind, MAX_IN_FLIGHT, MAX_UNSETTLED};

use crate::records::payload::{InvalidPayload, Payload};
use crate::store::{CatalogError, PersistError, QueueInfo, QueueStart, RecordsError};
use crate::types::{ServerTimestamp, StreamName};

/// The most records of one receive, and the most handles of one acknowledgement or change.
pub const MAX_ENTRIES: usize = 10;
/// The longest visibility timeout, in seconds.
pub const MAX_VISIBILITY_SECONDS: u32 = 43_200;
/// The visibility timeout of a queue whose creator named none.
pub const DEFAULT_VISIBILITY_SECONDS: u32 = 30;
/// The most receives after which a record can be made a dead letter.
pub const MAX_MAX_RECEIVES: u32 = 1000;
/// After how many receives a record becomes a dead letter when nothing else was said.
pub const DEFAULT_MAX_RECEIVES: u32 = 6;

/// What a queue is created with.
#[derive(Clone, Debug)]
pub struct NewQueue {
    /// Its name, unique among queues: 1 to 128 of `[a-zA-Z0-9_.-]`, as the API checks.
    pub name: String,
    /// The stream whose records it hands out.
    pub stream: StreamName,
    /// Where in the stream it begins.
    pub start: QueueStart,
    /// Its visibility timeout and dead letters.
    pub attributes: QueueAttributes,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What of a queue can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueAttributes {
    /// How long a received record stays hidden unless the receiver says otherwise; at most
    /// [`MAX_VISIBILITY_SECONDS`].
    pub visibility_seconds: u32,
    /// After how many receives a record becomes a dead letter, 1 to [`MAX_MAX_RECEIVES`]; `None`
    /// for never: it comes again until its retention ends.
    pub max_receives: Option<u32>,
}

/// What is to be received.
#[derive(Clone, Copy, Debug)]
pub struct Receive {
    /// Records, or dead letters.
    pub kind: Kind,
    /// How many at most, 1 to [`MAX_ENTRIES`].
    pub limit: usize,
    /// How long to wait when there are none; at most [`MAX_WAIT`] is waited.
    pub wait: Duration,
    /// How long what is received stays hidden from others; the queue's time when not given.
    pub visibility: Option<Duration>,
}

/// A record as a receiver gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRecord {
    /// Stands for this delivery; at most [`MAX_RECEIPT_CHARS`] long, and new at each receive.
    pub receipt_handle: String,
    /// The same at each delivery and in each queue: at most 64 of `[a-z0-9]`.
    pub record_id: String,
    /// Its partition key and data.
    pub record: Payload,
    /// When it arrived.
    pub arrival: ServerTimestamp,
    /// When it was first received; anew after it was restored.
    pub first_receive: ServerTimestamp,
    /// How often it was received, this time included; from 1 on after it was restored.
    pub receive_count: u32,
}

/// What of a queue is still to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueBacklog {
    /// Records that were not acknowledged, without dead letters.
    pub records: u64,
    /// Their bytes, of whole runs of the log where nobody received them yet.
    pub bytes: u64,
    /// Records with receivers now, dead letters among them.
    pub in_flight: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// When the oldest of `records` arrived.
    pub oldest: Option<ServerTimestamp>,
}

/// Why a queue does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no such queue.
    #[error("no such queue")]
    NotFound,
    /// There is no such stream.
    #[error("there is no record stream {0}")]
    StreamNotFound(StreamName),
    /// A queue has this name.
    #[error("the queue {0} already exists")]
    Exists(String),
    /// Queues are for on-demand streams, as on AWS: the service may then reshard as consumers need.
    #[error("the stream {0} is not an on-demand stream")]
    NotOnDemand(StreamName),
    /// The stream has as many queues and consumers as it may have.
    #[error("the stream {stream} has {limit} queues and consumers, which is the most")]
    TooManyReaders {
        /// The stream.
        stream: StreamName,
        /// How many it may have.
        limit: usize,
    },
    /// [`MAX_IN_FLIGHT`] records are with receivers, or [`MAX_UNSETTLED`] are not acknowledged.
    #[error("too many records of the queue are received and not acknowledged")]
    TooManyInFlight,
    /// Its facts could not be changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It was to begin with records that have not arrived yet.
    #[error("a queue cannot start at a time in the future")]
    StartsInFuture,
    /// Its state could not be made durable.
    #[error(transparent)]
    Persist(PersistError),
    /// Records could not be read.
    #[error(transparent)]
    Read(#[from] RecordsError),
    /// A record was written by a later version of this program.
    #[error(transparent)]
    Payload(InvalidPayload),
    /// Its journal could not be read.
    #[error(transparent)]
    Recover(#[from] journal::RecoverError),
}

/// Why one entry of a batch failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not a receipt handle of this queue, or one for the other kind of records.
    #[error("the receipt handle is not valid")]
    Malformed,
    /// The record was acknowledged, expired, or received again since.
    #[error("the receipt handle is not of the record's newest delivery")]
    Stale,
    /// It could not be made durable.
    #[error(transparent)]
    NotStored(PersistError),
}

impl From<PersistError> for QueueError {
    fn from(error: PersistError) -> Self {
        match error {
            // Its journal is deleted with it.
            PersistError::StreamDeleted => Self::NotFound,
            error => Self::Persist(error),
        }
    }
}

impl From<state::Stale> for EntryError {
    fn from(_: state::Stale) -> Self {
        Self::Stale
    }
}

impl From<&QueueInfo> for QueueAttributes {
    fn from(info: &QueueInfo) -> Self {
        Self { visibility_seconds: info.visibility_seconds, max_receives: info.max_receives }
    }
}
