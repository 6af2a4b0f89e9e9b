//! The state of every stream: its index, its open fragments, where its numbers stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use dashmap::DashMap;

use super::commit::Committer;
use super::fragments::MediaStream;
use super::index::{Index, Record};
use super::log::entry::{Edge, EdgeFragment, FragmentEntry, StateRecord};
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
    keep_from: u64,
    edge: Edge,
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
            segments.retain(record.lsn);
        }
    }

    /// Makes the fragments before `keep_from` unfindable; returns how many there were.
    pub fn trim(&mut self, keep_from: u64, segments: &Segments) -> usize {
        self.keep_from = self.keep_from.max(keep_from);
        let expired = self.index.trim(keep_from);
        expired.iter().for_each(|record| segments.release(record.lsn));
        expired.len()
    }

    /// The smallest counter that began at `horizon` or later, when any is older than that.
    pub fn expired_before(&self, horizon: ServerTimestamp) -> Option<u64> {
        let (oldest, newest) = self.index.bounds()?;
        let keep_from = self.index.first_since(horizon);
        let keep_from = keep_from.unwrap_or(newest.number.counter() + 1);
        // What is still being received will be persisted below larger numbers, and has to stay.
        let open = self.open.keys().chain(self.unreserved.keys()).min();
        let keep_from = open.map_or(keep_from, |&open| keep_from.min(open));
        (oldest.number.counter() < keep_from).then_some(keep_from)
    }

    fn record(&self, stream: StreamId) -> StateRecord {
        StateRecord {
            stream,
            keep_from: self.keep_from,
            last_counter: self.logged_counter,
            last_server: self.persisted_server,
            edge: self.edge,
        }
    }

    fn recover_fragment(&mut self, record: Record, entry: &FragmentEntry, segments: &Segments) {
        if let Some(sequence) = entry.sequence {
            let last = Some(edge_fragment(entry));
            self.edge = Edge { next_sequence: sequence + 1, breaks: entry.breaks, last };
        }
        self.insert(record, segments);
    }

    fn recover_state(&mut self, record: &StateRecord, segments: &Segments) {
        self.edge = record.edge;
        self.logged_counter = self.logged_counter.max(record.last_counter);
        self.persisted_server = self.persisted_server.max(record.last_server);
        self.trim(record.keep_from, segments);
    }

    fn finish_recovery(&mut self) {
        self.last_counter = reserved_by(self.logged_counter);
        self.last_server = self.persisted_server;
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
        use super::log::entry::Kind;
        match event {
            Event::Entry(header) => match header.kind {
                Kind::Fragment(entry) => {
                    if let Some(state) = self.states.get_mut(&entry.stream) {
                        let record = Record::new(header.lsn, &entry);
                        state.recover_fragment(record, &entry, segments);
                    }
                }
                Kind::Trim { stream, keep_from } => {
                    if let Some(state) = self.states.get_mut(&stream) {
                        state.trim(keep_from, segments);
                    }
                }
                Kind::Reserve { stream, counter } => {
                    if let Some(state) = self.states.get_mut(&stream) {
                        state.reserved(counter);
                    }
                }
                Kind::State { .. } | Kind::Seal | Kind::Mark | Kind::Void { .. } => {}
            },
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
