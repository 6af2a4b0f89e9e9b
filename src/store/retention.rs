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
use super::streams::{Dead, STEP_FRAGMENTS, State};
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
    let mut at = first(&mut stream.state(), rule);
    loop {
        let started = Instant::now();
        let (mut state, page) = stream.look_since(at, STEP_FRAGMENTS);
        if state.deleted {
            return Expired::default();
        }
        let step = Step::plan(&mut state, rule, at, &page);
        fragments += step.dead.fragments;
        let (last, end) = (step.last, step.end);
        step.apply(&mut state, stream.segments());
        if last {
            let (kind, body) = Kind::trim(stream.id(), state.kept());
            drop(state);
            if fragments == 0 {
                return Expired::default();
            }
            stream.wake();
            return Expired { fragments, trim: Some((kind, body.into())) };
        }
        drop(state);
        at = end;
        thread::sleep(started.elapsed());
    }
}

/// Some fragments in the order of their numbers, and what becomes of them.
struct Step {
    dead: Dead,
    kept: Kept,
    held_bytes: u64,
    /// The counter before which all was looked at.
    end: u64,
    /// Whether the rest is kept.
    last: bool,
}

impl Step {
    /// Looks at a page of fragments from the counter `at` on.
    fn plan(state: &mut State, rule: &Rule, at: u64, page: &[Record]) -> Self {
        let (old, space) = (state.kept(), &state.space);
        let crowded = old.below.len() >= MAX_RANGES;
        let mut excess = rule.max_bytes.map_or(0, |most| {
            // What pins hold is kept in addition.
            space.bytes.saturating_sub(space.held_bytes).saturating_sub(most)
        });
        let (mut held_bytes, mut end) = (space.held_bytes, at);
        let mut last = page.len() < STEP_FRAGMENTS;
        let mut dead = Dead::default();
        let mut fates: Vec<(u64, bool)> = Vec::with_capacity(page.len());
        for record in page {
            let (counter, bytes) = (record.counter(), record.log_bytes());
            let held = counter < old.from;
            if !held && record.server() >= rule.horizon && excess == 0 {
                last = true;
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
            if !lives {
                dead.fragments += 1;
                dead.bytes += bytes;
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
        let (alive, counters) = runs(&fates);
        dead.counters = counters;
        let kept = splice(old, at..end, &alive);
        state.space.recheck = recheck;
        Self { dead, kept, held_bytes, end, last }
    }

    fn apply(self, state: &mut State, segments: &Segments) {
        if self.kept != *state.kept() {
            state.expire(self.kept, &self.dead, self.held_bytes, segments);
        }
    }
}

/// Where to begin: what lies below [`Kept::from`] was looked at before, unless something changed.
fn first(state: &mut State, rule: &Rule) -> u64 {
    let space = &mut state.space;
    let again = std::mem::take(&mut space.recheck) || space.pins != rule.pins;
    space.pins = rule.pins.clone();
    if again { 0 } else { state.kept().from }
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
