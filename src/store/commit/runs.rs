//! Records on their way through the commit thread: each batch takes of every shard what waits there,
//! as one run.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Batch, Committer, Request};
use crate::store::held::Held;
use crate::store::log::entry::Kind;
use crate::store::records::{PlacedRun, ShardLog};

/// Bytes of records on their way into the log; they count until this is dropped.
#[derive(Debug)]
pub struct HeldRun {
    committer: Arc<Committer>,
    bytes: u64,
    _held: Held,
}

impl Drop for HeldRun {
    fn drop(&mut self) {
        // Who waits for room is woken once the whole batch is settled.
        self.committer.run_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Committer {
    /// Counts bytes of records as handed over, until the result is dropped.
    pub fn hold_run(self: &Arc<Self>, bytes: u64) -> HeldRun {
        self.run_bytes.fetch_add(bytes, Ordering::AcqRel);
        HeldRun { committer: self.clone(), bytes, _held: self.held.hold(bytes) }
    }

    /// Tells that records wait in a shard; the shard is told the outcome.
    pub fn append_run(&self, shard: Arc<ShardLog>) {
        self.push(Request::Run(shard));
    }
}

impl Batch {
    /// Takes a run of what waits in a shard.
    pub(super) fn place_run(&mut self, shard: Arc<ShardLog>) {
        let (appends, more) = shard.take();
        if more {
            self.committer.push_rest(Request::Run(shard.clone()));
        }
        if appends.is_empty() {
            return;
        }
        if let Err(error) = self.make_room(appends.bytes() as u64) {
            self.count_refused(&error);
            return appends.fail(&error);
        }
        let run = PlacedRun::new(shard, appends);
        let lsn = self.writer.place(Kind::Fragment(run.entry()), run.pieces());
        self.runs.push((run, lsn));
    }
}
