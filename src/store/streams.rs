//! The state of every stream: its index, its open fragments, where its numbers stand.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::commit::Committer;
use super::fragments::MediaStream;
use super::index::{self, Contents, Database, Left, Mover, Recent, Record, Rows, Saved, States};
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

/// One stream's state, under its lock.
#[derive(Debug, Default)]
pub struct State {
    /// The part of the index that is in memory.
    pub recent: Recent,
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
    /// In the log. The counter is the largest there, persisted or reserved: a later opening goes
    /// on behind [`reserved_by`] it.
    persisted: Position,
    /// Where the live playlist stands, with what is about to be written.
    edge: Edge,
    /// As the database has it, or is about to.
    moved: Position,
    /// Rows before this counter are gone.
    swept: u64,
    /// Whether the database has something else.
    changed: bool,
}

/// How far a stream had come at some position of the log.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    counter: u64,
    server: ServerTimestamp,
    edge: Edge,
}

impl Position {
    /// Goes on behind a record.
    fn pass(&mut self, record: &Record) {
        self.counter = self.counter.max(record.number.counter());
        self.server = self.server.max(record.number.server_timestamp());
        if let Some(sequence) = record.sequence.filter(|at| *at >= self.edge.next_sequence) {
            let last = EdgeFragment {
                counter: record.number.counter(),
                end: record.producer.plus(record.duration()),
                format: record.format,
            };
            let (next_sequence, breaks) = (sequence + 1, record.breaks);
            self.edge = Edge { next_sequence, breaks, last: Some(last) };
        }
    }

    /// Goes on where a state entry says.
    fn follow(&mut self, state: &StateRecord) {
        self.counter = self.counter.max(state.last_counter);
        self.server = self.server.max(state.last_server);
        self.edge = state.edge;
    }

    fn record(&self, stream: StreamId, keep_from: u64) -> StateRecord {
        StateRecord {
            stream,
            keep_from,
            last_counter: self.counter,
            last_server: self.server,
            edge: self.edge,
        }
    }
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
        let reserved = reserved_by(self.persisted.counter);
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
        for position in [&mut self.persisted, &mut self.moved] {
            position.counter = position.counter.max(counter);
        }
        self.changed = true;
        let held_back = self.unreserved.split_off(&(reserved_by(self.persisted.counter) + 1));
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
            entry.breaks = self.recent.breaks_before(entry.number).unwrap_or(0);
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
        self.persisted.pass(&record);
        if self.recent.insert(record) {
            segments.retain(record.lsn);
        } else {
            self.moved.pass(&record);
        }
    }

    /// Makes the fragments before `keep_from` unfindable. What holds their space is let go at
    /// once where the database has no row of it, else once that row is gone.
    pub fn trim(&mut self, keep_from: u64, segments: &Segments) {
        for record in self.recent.trim(keep_from) {
            // It will never be moved, yet nothing that follows from it may be lost.
            self.moved.pass(&record);
            segments.release(record.lsn);
        }
        self.changed = true;
    }

    /// Those of the index that lie before `upto` in the log and have no row yet; they count as
    /// having one from now on. And the stream's state there, when it is news.
    pub fn take_unmoved(&mut self, id: StreamId, upto: Lsn) -> (Vec<Record>, Option<Saved>) {
        let records = self.recent.take_unmoved(upto);
        records.iter().for_each(|record| self.moved.pass(record));
        let changed = std::mem::take(&mut self.changed) || !records.is_empty();
        let state = self.moved.record(id, self.recent.keep_from());
        (records, changed.then_some(Saved { state, longest: self.recent.longest() }))
    }

    /// The counter before which there may be rows that have expired.
    pub fn unswept(&self) -> Option<u64> {
        let keep_from = self.recent.keep_from();
        (self.swept < keep_from).then_some(keep_from)
    }

    /// What lies before `checkpoint` has its row now, and those before `swept` are gone. `keep`
    /// stay in memory all the same, and so does what an open fragment may be compared with.
    pub fn moved(&mut self, swept: Option<u64>, keep: usize, checkpoint: Lsn) {
        self.swept = self.swept.max(swept.unwrap_or(0));
        let compared = self.all_open().map(|open| open.compared_before()).min();
        let from = checkpoint.min(compared.unwrap_or(Lsn::MAX));
        self.recent.evict(keep, from, self.first_open());
    }

    /// The smallest counter that is still being received: it will be persisted below larger ones.
    pub fn first_open(&self) -> u64 {
        self.all_open().map(|open| open.number.counter()).min().unwrap_or(u64::MAX)
    }

    fn all_open(&self) -> impl Iterator<Item = &Arc<OpenFragment>> {
        self.open.values().chain(self.unreserved.values())
    }

    fn recovered(saved: &Saved, newest: Option<Record>) -> Self {
        let mut state = Self::default();
        state.persisted.follow(&saved.state);
        (state.moved, state.edge) = (state.persisted, saved.state.edge);
        let StateRecord { last_counter, keep_from, .. } = saved.state;
        state.recent = Recent::behind_rows(newest, last_counter, keep_from, saved.longest);
        state
    }

    fn record(&self, stream: StreamId) -> StateRecord {
        let at = Position { edge: self.edge, ..self.persisted };
        at.record(stream, self.recent.keep_from())
    }

    fn recover_state(&mut self, state: &StateRecord, segments: &Segments) {
        self.persisted.follow(state);
        self.moved.follow(state);
        self.trim(state.keep_from, segments);
    }

    fn finish_recovery(&mut self) {
        self.edge = self.persisted.edge;
        self.last_counter = reserved_by(self.persisted.counter);
        self.last_server = self.persisted.server;
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
    mover: Arc<Mover>,
    clock: Clock,
}

impl Streams {
    /// The streams that recovery found.
    pub fn new(recovered: Recovering, committer: Arc<Committer>, clock: Clock) -> Self {
        let mover = recovered.mover;
        let streams = Self { table: DashMap::new(), committer, mover, clock };
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
            self.mover.deleted(id);
        }
    }

    /// What moves records into the database.
    pub fn mover(&self) -> &Arc<Mover> {
        &self.mover
    }

    /// The body of a state entry: what is known of every stream.
    pub fn state(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for stream in self.all() {
            stream.state().record(stream.id()).encode(&mut body);
        }
        body
    }

    fn all(&self) -> Vec<Arc<MediaStream>> {
        let mut streams: Vec<_> = self.table.iter().map(|entry| entry.value().clone()).collect();
        streams.sort_by_key(|stream| stream.id());
        streams
    }

    fn add(&self, id: StreamId, state: State) {
        let (committer, clock) = (self.committer.clone(), self.clock.clone());
        let stream = MediaStream::new(id, state, committer, self.mover.clone(), clock);
        self.table.insert(id, Arc::new(stream));
    }
}

impl States for &Streams {
    fn each(&mut self, visit: &mut dyn FnMut(StreamId, &mut State)) {
        for stream in self.all() {
            visit(stream.id(), &mut stream.state());
        }
    }
}

/// Records that are moved at once while the log is read: many, as it may be long.
const RECOVERED_BATCH: usize = 128 << 10;
/// How often progress is logged.
const PROGRESS: Duration = Duration::from_secs(2);

/// The streams while the log is being read: those that the catalog knows.
#[derive(Debug)]
pub struct Recovering {
    states: Found,
    mover: Arc<Mover>,
    /// All before this position was taken in.
    upto: Lsn,
    /// Records that became findable since the last batch.
    fresh: usize,
    progress: Progress,
}

type Found = BTreeMap<StreamId, State>;

#[derive(Debug)]
struct Progress {
    begun: Instant,
    told: Instant,
    fragments: u64,
}

impl Recovering {
    /// Before the log is read, from the index's checkpoint on.
    pub fn new(
        known: impl Iterator<Item = StreamId>,
        database: Arc<Database>,
        contents: &Contents,
        limits: index::Limits,
    ) -> Self {
        let mut states = Found::new();
        for id in known {
            let saved = contents.streams.get(&id);
            let rows = Rows::new(database.clone(), id);
            let state = saved.map(|saved| State::recovered(saved, rows.last()));
            states.insert(id, state.unwrap_or_default());
        }
        let dead = contents.streams.keys().filter(|id| !states.contains_key(id));
        let mover = Mover::new(database, limits, contents.checkpoint, dead.copied().collect());
        let now = Instant::now();
        let progress = Progress { begun: now, told: now, fragments: 0 };
        Self { states, mover: Arc::new(mover), upto: contents.checkpoint, fresh: 0, progress }
    }

    /// Takes in what the log says next.
    pub fn apply(&mut self, segments: &Segments, event: Event) -> io::Result<()> {
        match event {
            Event::Entry(header) => self.entry(segments, &header),
            Event::State(records) => {
                for record in records {
                    if let Some(state) = self.states.get_mut(&record.stream) {
                        state.recover_state(&record, segments);
                    }
                }
            }
            Event::Read { bytes, of } => self.progress.tell(bytes, of),
        }
        if self.fresh >= RECOVERED_BATCH && self.move_all(segments) == Left::Everything {
            return Err(io::Error::other("the index takes nothing"));
        }
        Ok(())
    }

    /// Moves what was taken in into the database. If that fails, it stays in memory, and is tried
    /// again later.
    pub fn move_all(&mut self, segments: &Segments) -> Left {
        self.fresh = 0;
        let (mover, upto) = (self.mover.clone(), self.upto);
        mover.round(&mut self.states, segments, upto)
    }

    fn entry(&mut self, segments: &Segments, header: &Header) {
        self.upto = header.end();
        match header.kind {
            Kind::Fragment(entry) => {
                if let Some(state) = self.states.get_mut(&entry.stream) {
                    state.insert(Record::new(header.lsn, &entry), segments);
                    self.fresh += 1;
                    self.progress.fragments += 1;
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
        }
    }
}

impl States for Found {
    fn each(&mut self, visit: &mut dyn FnMut(StreamId, &mut State)) {
        self.iter_mut().for_each(|(&id, state)| visit(id, state));
    }
}

impl Progress {
    fn tell(&mut self, bytes: u64, of: u64) {
        if self.told.elapsed() < PROGRESS {
            return;
        }
        self.told = Instant::now();
        let rate = bytes as f64 / 1e6 / self.begun.elapsed().as_secs_f64();
        tracing::info!(
            percent = bytes * 100 / of.max(1),
            fragments = self.fragments,
            "reading the log for the index: {} of {} MB, {rate:.0} MB/s",
            bytes / 1_000_000,
            of / 1_000_000,
        );
    }
}
