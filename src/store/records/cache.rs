//! The newest runs of each shard in memory, so that readers at the tail need no disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::run::Run;
use crate::store::locked;

/// The part of the cache that one shard may take.
const SHARE: u64 = 4;
/// What a run costs beside its bytes, about.
const RUN_OVERHEAD: u64 = 256;
/// How many runs that are gone the order may remember, beside as many as there are.
const FORGOTTEN: usize = 64;

/// One bound over the newest runs of all shards.
#[derive(Debug)]
pub struct RunCache {
    limit: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    runs: usize,
    /// Which run came when, the oldest first; some may be gone already.
    order: VecDeque<(Arc<Tail>, u64)>,
}

/// One shard's newest runs. None is missing between them and behind them.
#[derive(Debug, Default)]
pub struct Tail {
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    runs: VecDeque<Arc<Run>>,
    bytes: u64,
}

/// What a shard's tail lost.
#[derive(Debug, Default)]
struct Gone {
    bytes: u64,
    runs: usize,
}

impl RunCache {
    /// Holds up to `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, held: Mutex::default() }
    }

    /// Adds a shard's newest run; the oldest ones of that shard, or of all, go for it.
    pub fn add(&self, tail: &Arc<Tail>, run: Arc<Run>) {
        let (last, bytes) = (run.last, cost(&run));
        let mut held = locked(&self.held);
        held.bytes += bytes;
        held.runs += 1;
        held.order.push_back((tail.clone(), last));
        held.lost(tail.push(run, self.limit / SHARE));
        while held.bytes > self.limit {
            let Some((tail, last)) = held.order.pop_front() else { break };
            held.lost(tail.drop_until(last));
        }
        held.forget();
    }

    /// Lets go of a shard's runs up to the one that ends with `last`.
    pub fn drop_until(&self, tail: &Tail, last: u64) {
        let mut held = locked(&self.held);
        held.lost(tail.drop_until(last));
        held.forget();
    }
}

impl Held {
    fn lost(&mut self, gone: Gone) {
        self.bytes -= gone.bytes;
        self.runs -= gone.runs;
    }

    fn forget(&mut self) {
        if self.order.len() > 2 * self.runs + FORGOTTEN {
            self.order.retain(|(tail, last)| tail.first_end().is_some_and(|end| end <= *last));
        }
    }
}

impl Tail {
    /// Up to `most` runs from the one on that holds the record of this index; `None` when that
    /// is older than what is here.
    pub fn from(&self, index: u64, most: usize) -> Option<Vec<Arc<Run>>> {
        let runs = &locked(&self.runs).runs;
        runs.front().filter(|run| run.first() <= index)?;
        let at = runs.partition_point(|run| run.last < index);
        Some(runs.range(at..).take(most).cloned().collect())
    }

    /// Adds the newest run; older ones go for it, or even itself.
    fn push(&self, run: Arc<Run>, limit: u64) -> Gone {
        let mut runs = locked(&self.runs);
        runs.bytes += cost(&run);
        runs.runs.push_back(run);
        let mut gone = Gone::default();
        while runs.bytes > limit {
            runs.drop_oldest(&mut gone);
        }
        gone
    }

    fn drop_until(&self, last: u64) -> Gone {
        let mut runs = locked(&self.runs);
        let mut gone = Gone::default();
        while runs.runs.front().is_some_and(|run| run.last <= last) {
            runs.drop_oldest(&mut gone);
        }
        gone
    }

    fn first_end(&self) -> Option<u64> {
        locked(&self.runs).runs.front().map(|run| run.last)
    }
}

impl Runs {
    fn drop_oldest(&mut self, gone: &mut Gone) {
        if let Some(run) = self.runs.pop_front() {
            self.bytes -= cost(&run);
            gone.bytes += cost(&run);
            gone.runs += 1;
        }
    }
}

fn cost(run: &Run) -> u64 {
    run.bytes() as u64 + RUN_OVERHEAD
}
