//! Moves records from memory into the database, and takes expired rows out of it: in the
//! background, a bounded transaction at a time, so that nobody waits for it.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Record;
use super::database::{Database, Saved};
use crate::store::background;
use crate::store::commit::Committer;
use crate::store::kept::Kept;
use crate::store::locked;
use crate::store::log::entry::Lsn;
use crate::store::log::segment::Segments;
use crate::store::streams::{State, Streams};
use crate::types::{Millis, StreamId};

/// Expired rows that one transaction takes out. Many, as each transaction costs the device two
/// syncs, of which producers' syncs that come at the same time are late by milliseconds.
pub const EXPIRED_ROWS: usize = 1 << 16;
/// The pause after a transaction that left expired rows is so many times as long.
const PAUSE: u32 = 4;
/// So many batches may wait in memory before producers wait: when the database takes none, or not
/// as many as come.
const WAITING_BATCHES: usize = 64;

/// When records move.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many that have no row are a batch.
    pub batch: usize,
    /// No record waits longer.
    pub interval: Millis,
    /// Fragments of each stream that stay in memory when they have a row.
    pub recent: usize,
    /// Expired rows that one transaction takes out at most.
    pub expired: usize,
}

/// All streams' states, one after the other.
pub trait States {
    /// Visits each under its lock.
    fn each(&mut self, visit: &mut dyn FnMut(StreamId, &mut State));
}

/// What one transaction changes.
#[derive(Debug, Default)]
pub struct Batch {
    /// New rows.
    pub rows: Vec<(StreamId, Record)>,
    /// The streams they belong to.
    pub saved: Vec<Saved>,
    /// The streams of which rows have expired.
    pub expired: Vec<Unswept>,
    /// Those of them that were deleted.
    pub dead: Vec<StreamId>,
    /// All before this position is in the database then.
    pub checkpoint: Lsn,
}

/// A stream that has rows which expired.
#[derive(Debug)]
pub struct Unswept {
    /// Which.
    pub stream: StreamId,
    /// What is kept of it.
    pub kept: Arc<Kept>,
    /// The counters that were kept when rows were last taken out, and are not any more.
    pub gaps: Vec<Range<u64>>,
}

/// What a transaction made of the rows that were there.
#[derive(Debug, Default)]
pub struct Removed {
    /// Where the log has the expired ones that were taken out, and had those that now say another
    /// place; and how many bytes.
    pub places: Vec<(Lsn, u64)>,
    /// The streams that have no more expired ones.
    pub finished: Vec<StreamId>,
}

/// What moves the records.
#[derive(Debug)]
pub struct Mover {
    database: Arc<Database>,
    limits: Limits,
    work: Mutex<Work>,
    signal: Mutex<Signal>,
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    /// What the database did not take, and will be offered again.
    refused: Option<Batch>,
    /// What the database has.
    checkpoint: Lsn,
    /// Deleted streams that may have rows.
    dead: Vec<StreamId>,
}

#[derive(Debug, Default)]
struct Signal {
    /// Records that became findable since the last batch.
    fresh: usize,
    /// Records in memory, but for those that stay there.
    waiting: usize,
    /// There may be expired rows.
    expired: bool,
    stopping: bool,
}

/// What is left after a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// More rows have expired.
    Expired,
    /// The database took nothing.
    Everything,
}

impl Mover {
    /// Moves into a database that has all before `checkpoint`, and takes the rows of `dead`
    /// streams out of it.
    pub fn new(
        database: Arc<Database>,
        limits: Limits,
        checkpoint: Lsn,
        dead: Vec<StreamId>,
    ) -> Self {
        let work = Mutex::new(Work { refused: None, checkpoint, dead });
        Self { database, limits, work, signal: Mutex::default(), wanted: Condvar::new() }
    }

    /// Where it moves to.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Starts the thread; it ends after [`Mover::stop`].
    pub fn start(
        self: &Arc<Self>,
        streams: Arc<Streams>,
        committer: Arc<Committer>,
    ) -> io::Result<JoinHandle<()>> {
        let mover = self.clone();
        thread::Builder::new().name("store-index".into()).spawn(move || {
            background::lower_priority();
            while mover.wait() {
                mover.work_off(&streams, &committer);
            }
            mover.round(&mut &*streams, &committer.segments, committer.durable());
        })
    }

    /// Lets the thread move what there is, and end.
    pub fn stop(&self) {
        locked(&self.signal).stopping = true;
        self.wanted.notify_all();
    }

    /// So many records became findable. Waits for nothing.
    pub fn published(&self, records: usize, committer: &Committer) {
        let mut signal = locked(&self.signal);
        signal.fresh += records;
        signal.waiting += records;
        if signal.fresh >= self.limits.batch {
            self.wanted.notify_all();
        }
        committer.hold(signal.waiting > self.most_waiting());
    }

    /// A stream's fragments expired.
    pub fn expired(&self) {
        locked(&self.signal).expired = true;
        self.wanted.notify_all();
    }

    /// A stream was deleted.
    pub fn deleted(&self, stream: StreamId) {
        locked(&self.work).dead.push(stream);
        self.expired();
    }

    /// Takes out all rows that have expired, so that their segments can be recycled. Blocks.
    pub fn sweep(&self, streams: &Streams, committer: &Committer) {
        while self.paced(streams, committer) == Left::Expired {}
    }

    /// Waits until there is something to do; `false` when the thread should end.
    fn wait(&self) -> bool {
        let deadline = Instant::now() + Duration::from_millis(self.limits.interval.0);
        let mut signal = locked(&self.signal);
        while !signal.stopping && !signal.expired && signal.fresh < self.limits.batch {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.wanted.wait_timeout(signal, left);
            signal = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        (signal.fresh, signal.expired) = (0, false);
        !signal.stopping
    }

    fn work_off(&self, mut streams: &Streams, committer: &Committer) {
        loop {
            let left = self.paced(streams, committer);
            let mut waiting = 0;
            streams.each(&mut |_, state| {
                waiting += state.recent.len().saturating_sub(self.limits.recent);
            });
            let mut signal = locked(&self.signal);
            signal.waiting = waiting;
            committer.hold(signal.waiting > self.most_waiting());
            if left != Left::Expired || signal.stopping {
                return;
            }
        }
    }

    fn most_waiting(&self) -> usize {
        self.limits.batch.saturating_mul(WAITING_BATCHES)
    }

    /// One transaction, and if more are to follow a pause: the device and the processor are there
    /// for what is acknowledged.
    fn paced(&self, mut streams: &Streams, committer: &Committer) -> Left {
        let start = Instant::now();
        let left = self.round(&mut streams, &committer.segments, committer.durable());
        if let Some(failure) = self.database.failure() {
            committer.poison(format!("{failure}; it is made anew when the store opens again"));
        }
        if left == Left::Expired {
            thread::sleep(start.elapsed() * PAUSE);
        }
        left
    }

    /// Moves what lies before `upto` in the log, where everything is findable, in one
    /// transaction.
    pub fn round(&self, states: &mut dyn States, segments: &Segments, upto: Lsn) -> Left {
        let work = &mut *locked(&self.work);
        if self.database.failure().is_some() {
            return Left::Everything;
        }
        let batch = self.collect(work, states, upto);
        if batch.is_empty(work.checkpoint) {
            return Left::Nothing;
        }
        match self.database.commit(&batch, work.checkpoint, segments, self.limits.expired) {
            Ok(removed) => self.committed(work, &batch, &removed, states, segments),
            Err(error) => {
                tracing::warn!(error, "the index takes nothing; trying again");
                work.refused = Some(batch);
                Left::Everything
            }
        }
    }

    fn collect(&self, work: &mut Work, states: &mut dyn States, upto: Lsn) -> Batch {
        let mut batch = work.refused.take().unwrap_or_default();
        batch.checkpoint = upto.max(work.checkpoint);
        batch.expired.clear();
        states.each(&mut |id, state| {
            let (records, saved) = state.take_unmoved(id, upto);
            if let Some(saved) = saved {
                batch.saved.retain(|known| known.state.stream != id);
                batch.saved.push(saved);
            }
            batch.rows.extend(records.into_iter().map(|record| (id, record)));
            batch.expired.extend(state.unswept(id));
        });
        batch.dead = work.dead.clone();
        batch.expired.extend(work.dead.iter().map(|&id| Unswept::everything(id)));
        batch
    }

    fn committed(
        &self,
        work: &mut Work,
        batch: &Batch,
        removed: &Removed,
        states: &mut dyn States,
        segments: &Segments,
    ) -> Left {
        work.checkpoint = batch.checkpoint;
        work.dead.retain(|dead| !removed.finished.contains(dead));
        removed.places.iter().for_each(|&(lsn, bytes)| segments.release(lsn, bytes));
        let finished = |id| {
            let swept = batch.expired.iter().find(|unswept| unswept.stream == id);
            swept.filter(|_| removed.finished.contains(&id)).map(|unswept| unswept.kept.clone())
        };
        states.each(&mut |id, state| {
            state.moved(finished(id), self.limits.recent, batch.checkpoint);
        });
        match batch.expired.len() == removed.finished.len() {
            true => Left::Nothing,
            false => Left::Expired,
        }
    }
}

impl Unswept {
    fn everything(stream: StreamId) -> Self {
        let kept = Kept { from: u64::MAX, below: Vec::new() };
        let gaps = kept.gaps().collect();
        Self { stream, kept: Arc::new(kept), gaps }
    }
}

impl Batch {
    fn is_empty(&self, checkpoint: Lsn) -> bool {
        self.rows.is_empty() && self.expired.is_empty() && self.checkpoint == checkpoint
    }
}
