//! The state of every stream: its index, its open fragments, where its numbers stand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use dashmap::DashMap;

use super::catalog::Pin;
use super::commit::Committer;
use super::fragments::MediaStream;
use super::index::{Index, Record};
use super::kept::Kept;
use super::log::entry::{Edge, EdgeFragment, FragmentEntry, Header, Kind, Lsn, StateRecord};
use super::log::recovery::Event;
use super::log::segment::Segments;
use super::tail::OpenFragment;
use crate::clock::Clock;
use crate::types::{FragmentNumber, Millis, ServerTimestamp, StreamId};

/// More than this between a fragment's end and the next one's start, or an overlap of more, is
/// a break of the stream.
const BREAK_MILLIS: Millis = Millis(50);
/// After an opening, numbers go on behind the next multiple of this after the largest that the log
/// knows, so that those which live readers saw of fragments that were never persisted do not come
/// again. Before more are shown, the log gets to know a larger one.
const COUNTER_STEP: u64 = 1000;

/// How many fragments are taken out of the index at once: the commit thread may want the lock.
pub const STEP_FRAGMENTS: usize = 256;

/// One stream's state, under its lock.
#[derive(Debug, Default)]
pub struct State {
    /// What is persisted.
    pub index: Index,
    /// What is being received, by counter, and may be seen by readers.
    pub open: BTreeMap<u64, Arc<OpenFragment>>,
    /// What is being received under numbers that the log does not know yet. Nobody may see them: a
    /// later opening could give them again.
    unreserved: BTreeMap<u64, Arc<OpenFragment>>,
    /// Whether a reservation is on its way to the log.
    reserving: bool,
    /// The stream is gone.
    pub deleted: bool,
    last_counter: u64,
    last_server: ServerTimestamp,
    /// The largest counter in the log, persisted or reserved. A later opening goes on behind
    /// [`reserved_by`] it.
    logged_counter: u64,
    persisted_server: ServerTimestamp,
    /// What has not expired.
    pub kept: Kept,
    /// How full the log is with it, and what expiry has to look at.
    pub space: StreamSpace,
    edge: Edge,
}

/// What a stream's fragments take of the log.
#[derive(Debug, Default)]
pub struct StreamSpace {
    /// All of them.
    pub bytes: u64,
    /// Those below [`Kept::from`]: what would have expired but for a pin.
    pub held_bytes: u64,
    /// The pins that expiry went by last.
    pub pins: Arc<[Pin]>,
    /// Whether some of those below [`Kept::from`] may have no reason to be kept any more.
    pub recheck: bool,
}

impl State {
    /// Takes the next number.
    pub fn next_number(&mut self, clock: &Clock) -> FragmentNumber {
        self.last_counter += 1;
        // The machine's clock may be set back; the stream's never is.
        self.last_server = self.last_server.max(clock.now());
        // The bits only make numbers hard to guess; uniqueness is the counter's.
        let random = getrandom::u32().unwrap_or_default();
        FragmentNumber::new(self.last_counter, self.last_server, random)
    }

    /// Takes in a fragment that begins. Returns the counter that has to be logged as given out,
    /// when it is time for that: early enough, usually, for nobody to notice.
    pub fn begin(&mut self, open: Arc<OpenFragment>) -> Option<u64> {
        let reserved = reserved_by(self.logged_counter);
        let counter = open.number.counter();
        let place = if counter <= reserved { &mut self.open } else { &mut self.unreserved };
        place.insert(counter, open);
        let due = counter + COUNTER_STEP / 2 > reserved && !self.reserving;
        self.reserving |= due;
        due.then_some(counter.max(reserved + 1))
    }

    /// The log has `counter`: shows what was held back for it.
    pub fn reserved(&mut self, counter: u64) {
        self.reserving = false;
        self.logged_counter = self.logged_counter.max(counter);
        let held_back = self.unreserved.split_off(&(reserved_by(self.logged_counter) + 1));
        let mut shown = std::mem::replace(&mut self.unreserved, held_back);
        self.open.append(&mut shown);
    }

    /// The log does not have it: the next fragment that begins asks again.
    pub fn reservation_failed(&mut self) {
        self.reserving = false;
    }

    /// Takes out a fragment that is no longer open.
    pub fn close(&mut self, number: FragmentNumber) -> Option<Arc<OpenFragment>> {
        let counter = number.counter();
        self.open.remove(&counter).or_else(|| self.unreserved.remove(&counter))
    }

    /// Takes out all open fragments.
    pub fn close_all(&mut self) -> impl Iterator<Item = Arc<OpenFragment>> {
        let open = std::mem::take(&mut self.open).into_values();
        open.chain(std::mem::take(&mut self.unreserved).into_values())
    }

    /// After every number that was given out.
    pub fn last_number(&self) -> FragmentNumber {
        FragmentNumber::new(self.last_counter, ServerTimestamp::MAX, u32::MAX)
    }

    /// Gives a fragment its place in the live playlist. Its entry is about to be written.
    pub fn take_sequence(&mut self, entry: &mut FragmentEntry) {
        let counter = entry.number.counter();
        if self.edge.last.is_some_and(|last| last.counter > counter) {
            entry.sequence = None;
            entry.breaks = self.index.before(entry.number).map_or(0, |before| before.breaks);
            return;
        }
        let broken = self.edge.last.is_some_and(|last| {
            let gap = entry.producer.since(last.end).max(last.end.since(entry.producer));
            gap > BREAK_MILLIS || last.format != entry.format
        });
        self.edge.breaks += u32::from(broken);
        entry.sequence = Some(self.edge.next_sequence);
        entry.breaks = self.edge.breaks;
        self.edge.next_sequence += 1;
        self.edge.last = Some(edge_fragment(entry));
    }

    /// Makes a durable fragment findable.
    pub fn insert(&mut self, record: Record, segments: &Segments) {
        let number = record.number;
        self.logged_counter = self.logged_counter.max(number.counter());
        self.persisted_server = self.persisted_server.max(number.server_timestamp());
        if self.index.insert(record) {
            segments.retain(record.lsn, record.log_bytes(), record.server());
            self.space.bytes += record.log_bytes();
            if record.counter() < self.kept.from {
                // It was being received while others of its age expired.
                self.space.held_bytes += record.log_bytes();
                self.space.recheck = true;
            }
        }
    }

    /// Makes the fragments with these counters unfindable; returns how many there were. What
    /// [`StreamSpace::held_bytes`] says of them is the caller's to put right.
    pub fn take(&mut self, counters: Range<u64>, segments: &Segments) -> u64 {
        let taken = self.index.take(counters);
        for record in &taken {
            segments.release(record.lsn, record.log_bytes());
            self.space.bytes -= record.log_bytes();
        }
        taken.len() as u64
    }

    /// The counters of those that are being received, in no order.
    pub fn receiving(&self, counters: Range<u64>) -> impl Iterator<Item = u64> {
        let held_back = self.unreserved.range(counters.clone());
        self.open.range(counters).chain(held_back).map(|(&counter, _)| counter)
    }

    /// The largest counter in the log, and the latest time there.
    pub fn newest(&self) -> (u64, ServerTimestamp) {
        (self.logged_counter, self.persisted_server)
    }

    /// Makes the fragments before this counter unfindable, whatever else of them was kept.
    pub fn keep_from(&mut self, counter: u64, segments: &Segments) {
        self.recover_kept(&Kept { from: counter, below: Vec::new() }, segments);
    }

    /// Takes some of a deleted stream's fragments; `false` when none were left.
    pub fn take_some(&mut self, segments: &Segments) -> bool {
        let last = self.index.since(0).take(STEP_FRAGMENTS).last().map(Record::counter);
        last.is_some_and(|last| self.take(0..last + 1, segments) > 0)
    }

    /// Tells where the log has a fragment from now on; `false` when it is not at `from` any more.
    pub fn relocate(&mut self, record: Record, to: Lsn, segments: &Segments) -> bool {
        let moved = self.index.relocate(record.number, record.lsn, to);
        if moved {
            segments.retain(to, record.log_bytes(), record.server());
            segments.release(record.lsn, record.log_bytes());
        }
        moved
    }

    fn record(&self, stream: StreamId) -> StateRecord {
        StateRecord {
            stream,
            kept: self.kept.clone(),
            last_counter: self.logged_counter,
            last_server: self.persisted_server,
            edge: self.edge,
        }
    }

    fn recover_fragment(&mut self, lsn: Lsn, entry: &FragmentEntry, segments: &Segments) {
        if let Some(sequence) = entry.sequence {
            let last = Some(edge_fragment(entry));
            self.edge = Edge { next_sequence: sequence + 1, breaks: entry.breaks, last };
        }
        self.insert(Record::new(lsn, entry), segments);
    }

    fn recover_copy(&mut self, lsn: Lsn, entry: &FragmentEntry, segments: &Segments) {
        match self.index.get(entry.number).copied() {
            Some(record) => drop(self.relocate(record, lsn, segments)),
            // The segment it was copied out of is gone, or it expired before it was copied.
            None if self.kept.contains(entry.number.counter()) => {
                self.insert(Record::new(lsn, entry), segments);
            }
            None => {}
        }
    }

    fn recover_kept(&mut self, kept: &Kept, segments: &Segments) {
        self.kept = self.kept.and(kept);
        let gaps: Vec<_> = self.kept.gaps().collect();
        for gap in gaps {
            self.take(gap, segments);
        }
        let below = self.index.since(0).take_while(|record| record.counter() < self.kept.from);
        self.space.held_bytes = below.map(Record::log_bytes).sum();
    }

    fn recover_state(&mut self, record: &StateRecord, segments: &Segments) {
        self.edge = record.edge;
        self.logged_counter = self.logged_counter.max(record.last_counter);
        self.persisted_server = self.persisted_server.max(record.last_server);
        self.recover_kept(&record.kept, segments);
    }

    fn finish_recovery(&mut self) {
        self.last_counter = reserved_by(self.logged_counter);
        self.last_server = self.persisted_server;
        self.space.recheck = true;
    }
}

/// Up to where a counter in the log lets numbers be given out.
fn reserved_by(counter: u64) -> u64 {
    (counter / COUNTER_STEP + 1) * COUNTER_STEP
}

fn edge_fragment(entry: &FragmentEntry) -> EdgeFragment {
    EdgeFragment {
        counter: entry.number.counter(),
        end: entry.producer.plus(Millis(u64::from(entry.duration_ms))),
        format: entry.format,
    }
}

/// The table of live streams.
#[derive(Debug)]
pub struct Streams {
    table: DashMap<StreamId, Arc<MediaStream>>,
    committer: Arc<Committer>,
    clock: Clock,
}

impl Streams {
    /// The streams that recovery found.
    pub fn new(recovered: Recovering, committer: Arc<Committer>, clock: Clock) -> Self {
        let streams = Self { table: DashMap::new(), committer, clock };
        for (id, mut state) in recovered.states {
            state.finish_recovery();
            streams.add(id, state);
        }
        streams
    }

    /// A new stream.
    pub fn create(&self, id: StreamId) {
        self.add(id, State::default());
    }

    /// A stream that was not deleted.
    pub fn get(&self, id: StreamId) -> Option<Arc<MediaStream>> {
        self.table.get(&id).map(|stream| stream.clone())
    }

    /// Makes a stream's fragments unreachable and fails its readers and writers.
    pub fn delete(&self, id: StreamId) {
        if let Some((_, stream)) = self.table.remove(&id) {
            stream.delete();
        }
    }

    /// The body of a state entry: what is known of every stream.
    pub fn state(&self) -> Vec<u8> {
        let mut streams: Vec<_> = self.table.iter().map(|entry| entry.value().clone()).collect();
        streams.sort_by_key(|stream| stream.id());
        let mut body = Vec::new();
        for stream in streams {
            stream.state().record(stream.id()).encode(&mut body);
        }
        body
    }

    fn add(&self, id: StreamId, state: State) {
        let stream = MediaStream::new(id, state, self.committer.clone(), self.clock.clone());
        self.table.insert(id, Arc::new(stream));
    }
}

/// The streams while the log is being read: those that the catalog knows.
#[derive(Debug)]
pub struct Recovering {
    states: BTreeMap<StreamId, State>,
}

impl Recovering {
    /// Before the log is read.
    pub fn new(known: impl Iterator<Item = StreamId>) -> Self {
        Self { states: known.map(|id| (id, State::default())).collect() }
    }

    /// Takes in what the log says next.
    pub fn apply(&mut self, segments: &Segments, event: Event) {
        match event {
            Event::Entry(Header { kind: Kind::Reserve { stream, counter }, .. }) => {
                if let Some(state) = self.states.get_mut(&stream) {
                    state.reserved(counter);
                }
            }
            Event::Entry(Header { lsn, kind, .. }) => {
                let Some(entry) = kind.fragment() else { return };
                match self.states.get_mut(&entry.stream) {
                    Some(state) if matches!(kind, Kind::Copy(_)) => {
                        state.recover_copy(lsn, &entry, segments);
                    }
                    Some(state) => state.recover_fragment(lsn, &entry, segments),
                    None => {}
                }
            }
            Event::Trim(stream, kept) => {
                if let Some(state) = self.states.get_mut(&stream) {
                    state.recover_kept(&kept, segments);
                }
            }
            Event::State(records) => {
                for record in records {
                    if let Some(state) = self.states.get_mut(&record.stream) {
                        state.recover_state(&record, segments);
                    }
                }
            }
        }
    }

    /// Findable fragments.
    pub fn fragments(&self) -> u64 {
        self.states.values().map(|state| state.index.len() as u64).sum()
    }
}
