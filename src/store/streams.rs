//! The state of every stream: its index, its open fragments, where its numbers stand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use dashmap::DashMap;

use super::catalog::Pin;
use super::commit::Committer;
use super::fragments::MediaStream;
use super::index::{Index, Mover, Recent, Record, Rows, Saved, States, Unswept};
use super::kept::Kept;
use super::log::entry::{Edge, EdgeFragment, FragmentEntry, Lsn, StateRecord};
use super::log::segment::Segments;
use super::recovering::Recovering;
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

/// How many fragments expire at once: the commit thread may want the lock.
pub const STEP_FRAGMENTS: usize = 256;

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
    /// How full the log is with it, and what expiry has to look at.
    pub space: StreamSpace,
    /// Of what is not in here, no rows are left.
    swept: Arc<Kept>,
    /// Whether the database has something else.
    changed: bool,
    /// How many came late: below others that were findable already.
    late: u64,
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

/// Findable fragments that are to go.
#[derive(Debug, Default)]
pub struct Dead {
    /// Their counters: of what was kept until now, all that is not any more.
    pub counters: Vec<Range<u64>>,
    /// How many there are.
    pub fragments: u64,
    /// Bytes of the log that they take.
    pub bytes: u64,
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

    fn record(&self, stream: StreamId, kept: &Kept) -> StateRecord {
        StateRecord {
            stream,
            kept: kept.clone(),
            last_counter: self.counter,
            last_server: self.server,
            edge: self.edge,
        }
    }
}

impl Dead {
    /// What goes when of `old` only `kept` stays, and the bytes below [`Kept::from`] that are left
    /// then of so many.
    pub fn between(
        old: &Kept,
        kept: &Kept,
        mut held_bytes: u64,
        index: &impl Index,
    ) -> (Self, u64) {
        let mut dead = Self { counters: kept.gaps().collect(), ..Self::default() };
        for range in old.within(0..kept.from) {
            let left: u64 = kept.within(range.clone()).map(|part| part.end - part.start).sum();
            if left == range.end - range.start && range.end <= old.from {
                continue;
            }
            for record in in_pages(index, range) {
                let (bytes, lives) = (record.log_bytes(), kept.contains(record.counter()));
                match (record.counter() < old.from, lives) {
                    (true, false) => held_bytes -= bytes,
                    (false, true) => held_bytes += bytes,
                    _ => {}
                }
                if !lives {
                    dead.fragments += 1;
                    dead.bytes += bytes;
                }
            }
        }
        (dead, held_bytes)
    }
}

/// The fragments of a range of counters, read a page at a time.
fn in_pages(index: &impl Index, counters: Range<u64>) -> impl Iterator<Item = Record> {
    let mut at = counters.start;
    let pages = std::iter::from_fn(move || {
        let page = index.since(at, STEP_FRAGMENTS);
        at = page.last()?.counter() + 1;
        Some(page)
    });
    pages.flatten().take_while(move |record| record.counter() < counters.end)
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

    /// What has not expired.
    pub fn kept(&self) -> &Kept {
        self.recent.kept()
    }

    /// How many fragments came late: while this stays, no fragment appears between others.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Makes a durable fragment findable.
    pub fn insert(&mut self, record: Record, segments: &Segments) {
        self.persisted.pass(&record);
        let late = self.recent.is_late(record.counter());
        if !self.recent.insert(record) {
            return self.moved.pass(&record);
        }
        self.late += u64::from(late);
        segments.retain(record.lsn, record.log_bytes(), record.server());
        self.space.bytes += record.log_bytes();
        if record.counter() < self.kept().from {
            // It was being received while others of its age expired.
            self.space.held_bytes += record.log_bytes();
            self.space.recheck = true;
        }
    }

    /// Makes the dead unfindable, and what is left `kept`. What holds the space of the dead is let
    /// go at once where the database has no row of it, else once that row is gone.
    pub fn expire(&mut self, kept: Kept, dead: &Dead, held_bytes: u64, segments: &Segments) {
        for record in self.recent.keep(kept, &dead.counters) {
            // It will never be moved, yet nothing that follows from it may be lost.
            self.moved.pass(&record);
            segments.release(record.lsn, record.log_bytes());
        }
        self.space.bytes -= dead.bytes;
        self.space.held_bytes = held_bytes;
        self.changed = true;
    }

    /// Makes all fragments unfindable, and closes those that are open.
    pub fn delete(&mut self, segments: &Segments) -> impl Iterator<Item = Arc<OpenFragment>> {
        self.deleted = true;
        let nothing = Kept { from: u64::MAX, below: Vec::new() };
        let (counters, bytes) = (nothing.gaps().collect(), self.space.bytes);
        let dead = Dead { counters, bytes, fragments: 0 };
        self.expire(nothing, &dead, 0, segments);
        self.close_all()
    }

    /// The counters of those that are being received, in no order.
    pub fn receiving(&self, counters: Range<u64>) -> impl Iterator<Item = u64> {
        let held_back = self.unreserved.range(counters.clone());
        self.open.range(counters).chain(held_back).map(|(&counter, _)| counter)
    }

    /// The largest counter in the log, and the latest time there.
    pub fn newest(&self) -> (u64, ServerTimestamp) {
        (self.persisted.counter, self.persisted.server)
    }

    /// Tells where the log has a fragment from now on; `false` when it is not there any more.
    pub fn relocate(&mut self, record: Record, to: Lsn, segments: &Segments) -> bool {
        let Some(has_row) = self.recent.relocate(record, to) else { return false };
        segments.retain(to, record.log_bytes(), record.server());
        if !has_row {
            // Else the old place goes when the row says the new one.
            segments.release(record.lsn, record.log_bytes());
        }
        true
    }

    /// Those of the index that lie before `upto` in the log and have no row yet; they count as
    /// having one from now on. And the stream's state there, when it is news.
    pub fn take_unmoved(&mut self, id: StreamId, upto: Lsn) -> (Vec<Record>, Option<Saved>) {
        let records = self.recent.take_unmoved(upto);
        records.iter().for_each(|record| self.moved.pass(record));
        let changed = std::mem::take(&mut self.changed) || !records.is_empty();
        (records, changed.then(|| self.saved(id)))
    }

    /// What goes with the rows.
    fn saved(&self, id: StreamId) -> Saved {
        let StreamSpace { mut bytes, mut held_bytes, .. } = self.space;
        for record in self.recent.without_row() {
            bytes -= record.log_bytes();
            if record.counter() < self.kept().from {
                held_bytes -= record.log_bytes();
            }
        }
        let state = self.moved.record(id, self.kept());
        Saved { state, longest: self.recent.longest(), bytes, held_bytes }
    }

    /// What may have rows though it has expired.
    pub fn unswept(&mut self, stream: StreamId) -> Option<Unswept> {
        let kept = self.recent.kept();
        if *kept == self.swept {
            return None;
        }
        let was_kept = |gap: &Range<u64>| self.swept.within(gap.clone()).next().is_some();
        let gaps: Vec<_> = kept.gaps().filter(was_kept).collect();
        if gaps.is_empty() {
            self.swept = kept.clone();
            return None;
        }
        Some(Unswept { stream, kept: kept.clone(), gaps })
    }

    /// What lies before `checkpoint` has its row now, and none are left of what is not in `swept`.
    /// `keep` stay in memory all the same, and so does what an open fragment may be compared with.
    pub fn moved(&mut self, swept: Option<Arc<Kept>>, keep: usize, checkpoint: Lsn) {
        self.swept = swept.unwrap_or_else(|| self.swept.clone());
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

    /// As it was at the position `moved` of the log, with `newest` the last of its rows.
    pub fn recovered(saved: &Saved, newest: Option<Record>, moved: Lsn) -> Self {
        let mut state = Self::default();
        state.persisted.follow(&saved.state);
        (state.moved, state.edge) = (state.persisted, saved.state.edge);
        state.space.bytes = saved.bytes;
        state.space.held_bytes = saved.held_bytes;
        state.recent = Recent::behind_rows(newest, saved, moved);
        state
    }

    fn record(&self, stream: StreamId) -> StateRecord {
        let at = Position { edge: self.edge, ..self.persisted };
        at.record(stream, self.kept())
    }

    /// Goes on where a state entry of the log says, but for what it says of expiry.
    pub fn follow(&mut self, state: &StateRecord) {
        self.persisted.follow(state);
        self.moved.follow(state);
        self.changed = true;
    }

    /// All of the log was taken in.
    fn finish_recovery(&mut self) {
        self.edge = self.persisted.edge;
        self.last_counter = reserved_by(self.persisted.counter);
        self.last_server = self.persisted.server;
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
    mover: Arc<Mover>,
    clock: Clock,
}

impl Streams {
    /// The streams that recovery found.
    pub fn new(recovered: Recovering, committer: Arc<Committer>, clock: Clock) -> Self {
        let (states, mover) = recovered.into_parts();
        let streams = Self { table: DashMap::new(), committer, mover, clock };
        for (id, mut state) in states {
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
        let rows = Rows::new(self.mover.database().clone(), id);
        let stream = MediaStream::new(id, state, rows, self.committer.clone(), self.clock.clone());
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
