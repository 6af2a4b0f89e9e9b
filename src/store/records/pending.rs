//! Records on their way into the log: they wait in their shard until the commit thread takes them,
//! all that are there at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::run::{Framed, Run};
use super::{Appended, ShardLog};
use crate::store::commit::HeldRun;
use crate::store::fragments::PersistError;
use crate::store::index::Record;
use crate::store::log::entry::{FragmentEntry, Lsn};
use crate::store::log::segment::Segments;
use crate::types::ServerTimestamp;

/// A run takes no further append that would make it larger than this: a reader of one record
/// reads, and verifies, the whole run.
const MAX_RUN_BYTES: usize = 4 << 20;

/// Resolves when the records are durable and readers find them. Dropping it does not undo the
/// append.
#[derive(Debug)]
#[must_use = "nobody else is told when the append failed"]
pub struct Append(oneshot::Receiver<Outcome>);

type Outcome = Result<Appended, PersistError>;

impl Append {
    /// One that is decided.
    pub(super) fn ready(appended: Appended) -> Self {
        let (done, append) = oneshot::channel();
        // The receiver is right here.
        drop(done.send(Ok(appended)));
        Self(append)
    }
}

impl Future for Append {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let gone = |_| Err(PersistError::Poisoned("the commit thread ended".into()));
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or_else(gone))
    }
}

/// What waits in a shard, under its lock.
#[derive(Debug)]
pub struct Pending {
    appends: Vec<Waiting>,
    /// Bytes of them.
    bytes: usize,
    /// Whether the commit thread has been told.
    queued: bool,
    /// The index of the next record that is placed in the log.
    next: u64,
    /// When the newest run arrived.
    arrival: ServerTimestamp,
    /// The shard is gone.
    deleted: bool,
}

#[derive(Debug)]
struct Waiting {
    framed: Framed,
    _held: HeldRun,
    done: oneshot::Sender<Outcome>,
}

impl Pending {
    /// Nothing waits; `next` and `arrival` go on from what recovery found.
    pub fn new(next: u64, arrival: ServerTimestamp) -> Self {
        let (appends, bytes) = (Vec::new(), 0);
        Self { appends, bytes, queued: false, next, arrival, deleted: false }
    }

    /// Adds records; with it, whether the commit thread is to be told.
    pub fn add(&mut self, framed: Framed, held: HeldRun) -> Result<(Append, bool), PersistError> {
        if self.deleted {
            return Err(PersistError::StreamDeleted);
        }
        let (done, append) = oneshot::channel();
        self.bytes += framed.bytes;
        self.appends.push(Waiting { framed, _held: held, done });
        let news = !std::mem::replace(&mut self.queued, true);
        Ok((Append(append), news))
    }

    /// Bytes of the next run, about.
    pub fn run_bytes(&self) -> usize {
        self.bytes.min(MAX_RUN_BYTES)
    }

    /// Takes the appends of the next run. The commit thread is to come again when
    /// [`Pending::is_queued`] after it.
    pub fn take(&mut self) -> Appends {
        let mut appends = std::mem::take(&mut self.appends);
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            let first = bytes == 0;
            bytes += waiting.framed.bytes;
            first || bytes <= MAX_RUN_BYTES
        };
        let count = appends.iter().take_while(fits).count();
        self.appends = appends.split_off(count);
        let taken = Appends(appends);
        self.bytes -= taken.bytes();
        self.queued = !self.appends.is_empty();
        taken
    }

    /// Whether the commit thread has been told of what is there.
    pub fn is_queued(&self) -> bool {
        self.queued
    }

    /// Whether the shard is gone.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Takes everything, for good.
    pub fn delete(&mut self) -> Appends {
        self.deleted = true;
        self.take_all()
    }

    /// Takes everything.
    pub fn take_all(&mut self) -> Appends {
        (self.queued, self.bytes) = (false, 0);
        Appends(std::mem::take(&mut self.appends))
    }

    /// Gives records the next indices, and their time.
    pub fn place(&mut self, records: u32, now: ServerTimestamp) -> (u64, ServerTimestamp) {
        self.next += u64::from(records);
        // The machine's clock may be set back; the shard's never is.
        self.arrival = self.arrival.max(now);
        (self.next - 1, self.arrival)
    }
}

/// Appends that share one run.
#[derive(Debug)]
pub struct Appends(Vec<Waiting>);

impl Appends {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.0.iter().map(|waiting| waiting.framed.bytes).sum()
    }

    fn records(&self) -> u32 {
        self.0.iter().map(|waiting| waiting.framed.records).sum()
    }

    /// Tells all that they are not stored.
    pub fn fail(self, error: &PersistError) {
        for waiting in self.0 {
            // Dropping the future does not undo the append.
            drop(waiting.done.send(Err(error.clone())));
        }
    }

    /// Tells all where their records are.
    fn stored(self, run: &Run) {
        let mut first = run.first();
        for waiting in self.0 {
            let Waiting { framed, _held, done } = waiting;
            let appended = Appended { first, arrival: run.arrival };
            first += u64::from(framed.records);
            // Whoever hears of it finds its memory free.
            drop((framed, _held));
            drop(done.send(Ok(appended)));
        }
    }
}

/// A run that is placed in the log and not durable yet.
#[derive(Debug)]
pub struct PlacedRun {
    shard: Arc<ShardLog>,
    run: Run,
    entry: FragmentEntry,
    appends: Appends,
}

impl PlacedRun {
    /// Gives the appends, of which there is one at least, their indices. All of them are durable
    /// and visible together, or none.
    pub fn new(shard: Arc<ShardLog>, mut appends: Appends) -> Self {
        let records = appends.records();
        let (last, arrival) = shard.place(records);
        let pieces = appends.0.iter_mut().flat_map(|append| append.framed.pieces.drain(..));
        let run = Run { last, records, arrival, pieces: pieces.collect() };
        let entry = run.entry(shard.id());
        Self { shard, run, entry, appends }
    }

    /// What goes into the log.
    pub fn entry(&self) -> FragmentEntry {
        self.entry
    }

    /// The run's bytes.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.run.pieces.iter().cloned()
    }

    /// It is durable at `lsn`: readers find it, and then its producers are told.
    pub fn publish(self, lsn: Lsn, segments: &Segments) {
        let Self { shard, run, entry, appends } = self;
        let run = Arc::new(run);
        if shard.publish(Record::new(lsn, &entry), run.clone(), segments) {
            appends.stored(&run);
        } else {
            appends.fail(&PersistError::StreamDeleted);
        }
    }

    /// It could not be made durable.
    pub fn fail(self, error: &PersistError) {
        self.appends.fail(error);
    }
}
