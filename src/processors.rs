//! Stream processors: which video stream is looked at for which faces, and how far that is.
//!
//! The work itself is done by a *runner*, a customer of the API in this process or anywhere else. It
//! asks what is wanted, and reports. Each start is a *generation*, so that what a runner of an earlier
//! start still has to say changes nothing.
//!
//! ```text
//!             start             report RUNNING            stop               report STOPPED,
//!   STOPPED ─────────▶ STARTING ──────────────▶ RUNNING ────────▶ STOPPING ──or 10 s of silence──▶ STOPPED
//!                                 report FAILED ─▶ FAILED, which can be started again
//! ```
//!
//! Here: facts, what may follow what, checkpoints. Not here: whether streams and collections exist,
//! HTTP and AWS (`api`), frames and faces (`detect`).

mod facts;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use facts::{Frames, NewProcessor, Options, Policy, Processor, Region, Start, Status};

use crate::clock::Clock;
use crate::store::{Change, DocumentError, Store};
use crate::types::{Millis, ServerTimestamp};

/// The documents of this module.
const KIND: &str = "stream-processor";
/// The most processors, as each costs a runner a thread.
pub const MAX_PROCESSORS: usize = 1000;
/// A processor that is to stop counts as stopped when nobody has reported for so long.
pub const SILENCE: Millis = Millis(10_000);
/// Checkpoints are made durable this often: each costs a sync, and a restart repeats what came after.
pub const CHECKPOINT_INTERVAL: Millis = Millis(5_000);
/// Characters of a runner's message that are kept.
const MAX_MESSAGE_CHARS: usize = 1000;

/// The stream processors of a store.
pub struct Processors {
    store: Arc<Store>,
    clock: Clock,
    /// What runners told last, by name.
    progress: Mutex<BTreeMap<String, Progress>>,
}

/// What a runner told last.
#[derive(Clone, Debug)]
struct Progress {
    generation: u64,
    reported: ServerTimestamp,
    lag_seconds: Option<f64>,
    frames: Frames,
    message: String,
    checkpoint: Option<String>,
    /// When the checkpoint was made durable.
    stored: ServerTimestamp,
}

/// A processor with what its runner told last.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The facts, with the newest checkpoint, and the status at this moment.
    pub facts: Processor,
    /// Seconds between the report and the frame that was looked at last.
    pub lag_seconds: Option<f64>,
    /// Frames of the present run.
    pub frames: Frames,
    /// When its runner reported last.
    pub reported: Option<ServerTimestamp>,
}

/// What a runner tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The start that it works on.
    pub generation: u64,
    /// How it is about that.
    pub outcome: Outcome,
    /// What else there is to say.
    pub message: String,
    /// The last fragment of which everything was delivered, if that changed.
    pub checkpoint: Option<String>,
    /// Seconds between now and the frame that was looked at last.
    pub lag_seconds: Option<f64>,
    /// Frames of this run.
    pub frames: Frames,
}

/// How a runner is about its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// At it.
    #[default]
    Running,
    /// Done, by request or because the run was to end here.
    Stopped,
    /// It cannot go on.
    Failed,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProcessorError {
    /// There is none of this name.
    #[error("there is no stream processor {0}")]
    NotFound(String),
    /// There is one of this name.
    #[error("the stream processor {0} already exists")]
    Exists(String),
    /// What is asked for does not go with its status.
    #[error("the stream processor {name} is {}", .status.name())]
    Busy {
        /// Its name.
        name: String,
        /// Its status.
        status: Status,
    },
    /// There are [`MAX_PROCESSORS`].
    #[error("there are {MAX_PROCESSORS} stream processors, which is the most")]
    Full,
    /// The store failed; nothing was changed.
    #[error("stream processors could not be changed: {0}")]
    Store(String),
}

impl Processors {
    /// The processors that a store knows.
    pub fn new(store: Arc<Store>, clock: Clock) -> Self {
        Self { store, clock, progress: Mutex::default() }
    }

    /// Creates a processor, which is stopped. Blocks for one sync.
    pub fn create(&self, new: NewProcessor) -> Result<Processor, ProcessorError> {
        let documents = self.store.documents();
        // Racing creates may exceed the bound by their number; the store has a bound of its own.
        if documents.list(KIND).len() >= MAX_PROCESSORS {
            return Err(ProcessorError::Full);
        }
        let facts = Processor::new(new, self.clock.now());
        let name = facts.name.clone();
        documents.update(KIND, &name, |now| match now {
            Some(_) => Err(ProcessorError::Exists(name.clone())),
            None => Ok((Change::Put(encode(&facts)?), facts.clone())),
        })
    }

    /// A processor by name.
    pub fn get(&self, name: &str) -> Result<Seen, ProcessorError> {
        let facts = self.store.documents().get(KIND, name);
        let facts = facts.ok_or_else(|| ProcessorError::NotFound(name.to_owned()))?;
        Ok(self.seen(decode(&facts)?))
    }

    /// All processors, by name.
    pub fn list(&self) -> Result<Vec<Seen>, ProcessorError> {
        let all = self.store.documents().list(KIND).into_iter();
        all.map(|(_, facts)| Ok(self.seen(decode(&facts)?))).collect()
    }

    /// Changes a processor's settings; its runner sees that soon. `change` can change neither its
    /// name nor its status. Blocks for one sync.
    pub fn update(
        &self,
        name: &str,
        change: impl FnOnce(&mut Processor),
    ) -> Result<Processor, ProcessorError> {
        let now = self.clock.now();
        self.change(name, |facts| {
            let before = facts.clone();
            change(facts);
            facts.keep_state_of(&before);
            facts.updated = now;
            Ok(())
        })
    }

    /// Starts a new run. One without a `start` goes on behind the checkpoint under the policy
    /// `complete`, and begins with what comes under `current`. Blocks for one sync.
    pub fn start(
        &self,
        name: &str,
        start: Option<Start>,
        stop_after_seconds: Option<u64>,
    ) -> Result<Processor, ProcessorError> {
        let now = self.clock.now();
        self.change(name, |facts| {
            if !matches!(facts.status, Status::Stopped | Status::Failed) {
                return Err(busy(facts));
            }
            facts.begin(start, stop_after_seconds, now);
            Ok(())
        })
    }

    /// Asks the present run to end; once more, or without a run, changes nothing but that a failed
    /// processor counts as stopped. Blocks for one sync.
    pub fn stop(&self, name: &str) -> Result<Processor, ProcessorError> {
        let now = self.clock.now();
        self.change(name, |facts| {
            facts.end(now);
            Ok(())
        })
    }

    /// Deletes a processor that does not run. Blocks for one sync.
    pub fn delete(&self, name: &str) -> Result<(), ProcessorError> {
        self.store.documents().update(KIND, name, |facts| {
            let facts = self.settled(facts, name)?;
            match facts.status {
                Status::Stopped | Status::Failed => Ok((Change::Delete, ())),
                _ => Err(busy(&facts)),
            }
        })?;
        self.progress().remove(name);
        Ok(())
    }

    /// Takes a runner's report; tells whether it should go on. Blocks for one sync when that changes
    /// the status, and for a checkpoint every few seconds.
    pub fn report(&self, name: &str, mut report: Report) -> Result<bool, ProcessorError> {
        report.message = report.message.chars().take(MAX_MESSAGE_CHARS).collect();
        let before = self.get(name)?.facts;
        if report.generation != before.generation || !before.status.has_runner() {
            return Ok(false);
        }
        let after = before.status.after(report.outcome);
        let store = self.note(name, &before, &report) || after != before.status;
        if !store {
            return Ok(after.is_wanted());
        }
        let checkpoint = self.progress().get(name).and_then(|told| told.checkpoint.clone());
        let facts = self.change(name, |facts| {
            // Somebody may have stopped, or stopped and started it meanwhile.
            if facts.generation == report.generation && facts.status.has_runner() {
                facts.status = facts.status.after(report.outcome);
                facts.checkpoint = checkpoint.or(facts.checkpoint.take());
                facts.message = report.message;
            }
            Ok(())
        })?;
        Ok(facts.generation == report.generation && facts.status.is_wanted())
    }

    /// Remembers what a runner told; tells whether its checkpoint has to be made durable.
    fn note(&self, name: &str, before: &Processor, report: &Report) -> bool {
        let now = self.clock.now();
        let mut progress = self.progress();
        let had = progress.get(name).filter(|told| told.generation == report.generation);
        let stored = had.map_or(ServerTimestamp::MIN, |told| told.stored);
        let checkpoint = report.checkpoint.clone().or_else(|| before.checkpoint.clone());
        let due = report.checkpoint.is_some() && now.since(stored) >= CHECKPOINT_INTERVAL;
        let told = Progress {
            generation: report.generation,
            reported: now,
            lag_seconds: report.lag_seconds.filter(|seconds| seconds.is_finite()),
            frames: report.frames,
            message: report.message.clone(),
            checkpoint,
            stored: if due { now } else { stored },
        };
        progress.insert(name.to_owned(), told);
        due
    }

    /// Changes the facts of a processor as they are at this moment.
    fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Processor) -> Result<(), ProcessorError>,
    ) -> Result<Processor, ProcessorError> {
        self.store.documents().update(KIND, name, |facts| {
            let mut facts = self.settled(facts, name)?;
            change(&mut facts)?;
            Ok((Change::Put(encode(&facts)?), facts))
        })
    }

    /// The facts in a document, as they are at this moment.
    fn settled(&self, facts: Option<&[u8]>, name: &str) -> Result<Processor, ProcessorError> {
        let facts = facts.ok_or_else(|| ProcessorError::NotFound(name.to_owned()))?;
        Ok(self.seen(decode(facts)?).facts)
    }

    /// Adds what its runner told, and lets silence end what is to stop.
    fn seen(&self, mut facts: Processor) -> Seen {
        let told = self.progress().get(&facts.name).cloned();
        let told = told.filter(|told| told.generation == facts.generation);
        let reported = told.as_ref().map(|told| told.reported);
        if let Some(told) = &told {
            facts.message.clone_from(&told.message);
            facts.checkpoint = told.checkpoint.clone().or(facts.checkpoint.take());
        }
        facts.settle(reported, self.clock.now());
        Seen {
            facts,
            lag_seconds: told.as_ref().and_then(|told| told.lag_seconds),
            frames: told.map_or_else(Frames::default, |told| told.frames),
            reported,
        }
    }

    fn progress(&self) -> MutexGuard<'_, BTreeMap<String, Progress>> {
        // Every critical section is one insertion, removal or look.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(facts: &Processor) -> ProcessorError {
    ProcessorError::Busy { name: facts.name.clone(), status: facts.status }
}

fn encode(facts: &Processor) -> Result<Vec<u8>, ProcessorError> {
    serde_json::to_vec(facts).map_err(|error| ProcessorError::Store(error.to_string()))
}

fn decode(facts: &[u8]) -> Result<Processor, ProcessorError> {
    serde_json::from_slice(facts).map_err(|error| ProcessorError::Store(error.to_string()))
}

impl From<DocumentError> for ProcessorError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Full(_) => Self::Full,
            error => Self::Store(error.to_string()),
        }
    }
}
