//! What of a stream has expired, and its taking out of the index; the log's space is `space`.

use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;

use super::catalog::{Pin, StreamInfo};
use super::fragments::MediaStream;
use super::index::Record;
use super::kept::Kept;
use super::log::entry::Kind;
use super::log::segment::Segments;
use super::records::ShardRetention;
use super::streams::{STEP_FRAGMENTS, State};
use crate::types::{Millis, ProducerTimestamp, ServerTimestamp};

const HOUR: Millis = Millis(3_600_000);
/// Ranges that pins may hold of a stream below what is kept anyway; where more would be needed,
/// what lies between them is kept too.
const MAX_RANGES: usize = 1024;

/// What of a stream is kept.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What the server began to receive before this moment has expired.
    pub horizon: ServerTimestamp,
    /// The oldest of what takes more of the log has expired.
    pub max_bytes: Option<u64>,
    /// What survives both; in order, none touching another.
    pub pins: Arc<[Pin]>,
}

impl Rule {
    /// A stream's rule at the moment. A stream with a retention of zero hours keeps its fragments
    /// for `unretained_keep`, for readers at the tail.
    pub fn new(info: &StreamInfo, now: ServerTimestamp, unretained_keep: Millis) -> Self {
        let age = match info.retention_hours {
            0 => unretained_keep,
            hours => Millis(HOUR.0 * u64::from(hours)),
        };
        let pins = Pin::merged(&info.pins);
        Self { horizon: now.minus(age), max_bytes: info.max_bytes, pins }
    }

    /// A shard's rule at the moment.
    pub fn of_shard(retention: ShardRetention, now: ServerTimestamp) -> Self {
        let (horizon, pins) = match retention {
            ShardRetention::Hours(hours) => {
                (now.minus(Millis(HOUR.0 * u64::from(hours))), Vec::new())
            }
            // Whoever trims it has nothing else to go by: no limit takes any of it.
            ShardRetention::UntilTrimmed => {
                let always = Pin { from: ProducerTimestamp::MIN, to: ProducerTimestamp::MAX };
                (ServerTimestamp::MIN, vec![always])
            }
        };
        Self { horizon, max_bytes: None, pins: pins.into() }
    }

    fn pins(&self, record: &Record) -> bool {
        let at = self.pins.partition_point(|pin| pin.to < record.producer);
        let end = record.producer.plus(record.duration());
        self.pins.get(at).is_some_and(|pin| pin.from <= record.producer || pin.from < end)
    }
}

/// What one pass took out of a stream.
#[derive(Debug, Default)]
pub struct Expired {
    /// How many.
    pub fragments: u64,
    /// What tells the log of it, so that they stay expired when the retention is raised again and
    /// the store reopened.
    pub trim: Option<(Kind, Bytes)>,
}

/// Makes a stream's expired fragments unfindable. In steps with pauses, so that a million of them
/// keep neither the commit thread nor a core from a producer.
pub fn expire(stream: &MediaStream, rule: &Rule) -> Expired {
    let mut fragments = 0;
    let mut at = None;
    loop {
        let started = Instant::now();
        let mut state = stream.state();
        let step = Step::plan(&mut state, rule, at);
        fragments += step.apply(&mut state, stream.segments());
        if step.last {
            let (kind, body) = Kind::trim(stream.id(), &state.kept);
            drop(state);
            if fragments == 0 {
                return Expired::default();
            }
            stream.wake();
            return Expired { fragments, trim: Some((kind, body.into())) };
        }
        drop(state);
        at = Some(step.counters.end);
        thread::sleep(started.elapsed());
    }
}

/// Some fragments in the order of their numbers, and what becomes of them.
struct Step {
    /// What was looked at.
    counters: Range<u64>,
    /// What has expired of it.
    dead: Vec<Range<u64>>,
    kept: Kept,
    held_bytes: u64,
    /// Whether the rest is kept.
    last: bool,
}

impl Step {
    /// Looks at some fragments from `at` on; at first, at those that may have expired.
    fn plan(state: &mut State, rule: &Rule, at: Option<u64>) -> Self {
        let at = at.unwrap_or_else(|| first(state, rule));
        let (old, space) = (&state.kept, &state.space);
        let crowded = old.below.len() >= MAX_RANGES;
        let mut excess = rule.max_bytes.map_or(0, |most| {
            // What pins hold is kept in addition.
            space.bytes.saturating_sub(space.held_bytes).saturating_sub(most)
        });
        let (mut held_bytes, mut end, mut last) = (space.held_bytes, at, true);
        let mut fates: Vec<(u64, bool)> = Vec::new();
        for record in state.index.since(at) {
            let (counter, bytes) = (record.counter(), record.log_bytes());
            let held = counter < old.from;
            if !held && record.server() >= rule.horizon && excess == 0 {
                break;
            }
            if fates.len() == STEP_FRAGMENTS {
                last = false;
                break;
            }
            let lives = crowded || rule.pins(record);
            match (held, lives) {
                (false, true) => held_bytes += bytes,
                (true, false) => held_bytes -= bytes,
                _ => {}
            }
            if !held {
                excess = excess.saturating_sub(bytes);
            }
            fates.push((counter, lives));
            end = counter + 1;
        }
        if last {
            end = end.max(old.from);
        }
        // What is being received belongs where it began, and is looked at again when it is there.
        let before = fates.len();
        fates.extend(state.receiving(at..end).map(|counter| (counter, true)));
        let recheck = space.recheck || fates.len() > before;
        fates.sort_unstable();
        let (alive, dead) = runs(&fates);
        let kept = splice(old, at..end, &alive);
        state.space.recheck = recheck;
        Self { counters: at..end, dead, kept, held_bytes, last }
    }

    /// Returns how many fragments it took out.
    fn apply(&self, state: &mut State, segments: &Segments) -> u64 {
        state.kept = self.kept.clone();
        state.space.held_bytes = self.held_bytes;
        self.dead.iter().map(|counters| state.take(counters.clone(), segments)).sum()
    }
}

/// Where to begin: what lies below [`Kept::from`] was looked at before, unless something changed.
fn first(state: &mut State, rule: &Rule) -> u64 {
    let space = &mut state.space;
    let again = std::mem::take(&mut space.recheck) || space.pins != rule.pins;
    space.pins = rule.pins.clone();
    if again { 0 } else { state.kept.from }
}

/// Sums up what lives and what does not, in order of the counters.
fn runs(fates: &[(u64, bool)]) -> (Kept, Vec<Range<u64>>) {
    let mut alive = Kept { from: u64::MAX, below: Vec::new() };
    let mut dead = Vec::new();
    for run in fates.chunk_by(|a, b| a.1 == b.1) {
        let (Some(&(first, lives)), Some(&(last, _))) = (run.first(), run.last()) else { continue };
        if lives {
            alive.keep(first..last + 1);
        } else {
            dead.push(first..last + 1);
        }
    }
    (alive, dead)
}

/// What is kept when of `counters` only what is `alive` is, as far as it was before.
fn splice(old: &Kept, counters: Range<u64>, alive: &Kept) -> Kept {
    let mut kept = Kept { from: old.from.max(counters.end), below: Vec::new() };
    for range in &old.below {
        kept.keep(range.start..range.end.min(counters.start));
    }
    for range in alive.and(old).below {
        kept.keep(range);
    }
    for range in &old.below {
        kept.keep(range.start.max(counters.end)..range.end);
    }
    kept
}
