//! The streams while the log is being read.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::index::{self, Contents, Database, Index, Left, Mover, Recent, Record, Rows, States};
use super::kept::Kept;
use super::log::entry::{FragmentEntry, Header, Kind, Lsn};
use super::log::recovery::Event;
use super::log::segment::Segments;
use super::streams::{Dead, State};
use crate::types::StreamId;

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

type Found = BTreeMap<StreamId, Stream>;

/// One stream.
#[derive(Debug)]
struct Stream {
    state: State,
    rows: Rows,
}

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
            let state =
                saved.map(|saved| State::recovered(saved, rows.last(), contents.checkpoint));
            states.insert(id, Stream { state: state.unwrap_or_default(), rows });
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
            Event::Trim(stream, kept) => {
                if let Some(stream) = self.states.get_mut(&stream) {
                    stream.keep(&kept, segments);
                }
            }
            Event::State(records) => {
                for record in records {
                    if let Some(stream) = self.states.get_mut(&record.stream) {
                        stream.state.follow(&record);
                        stream.keep(&record.kept, segments);
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

    /// The streams, and what moves their records.
    pub fn into_parts(self) -> (impl Iterator<Item = (StreamId, State)>, Arc<Mover>) {
        (self.states.into_iter().map(|(id, stream)| (id, stream.state)), self.mover)
    }

    fn entry(&mut self, segments: &Segments, header: &Header) {
        self.upto = header.end();
        if let Kind::Reserve { stream, counter } = header.kind
            && let Some(stream) = self.states.get_mut(&stream)
        {
            stream.state.reserved(counter);
        }
        let Some(entry) = header.kind.fragment() else { return };
        let Some(stream) = self.states.get_mut(&entry.stream) else { return };
        match header.kind {
            Kind::Copy(_) => stream.copied(header.lsn, &entry, segments),
            _ => stream.state.insert(Record::new(header.lsn, &entry), segments),
        }
        self.fresh += 1;
        self.progress.fragments += 1;
    }
}

impl Stream {
    /// A fragment was appended again.
    fn copied(&mut self, lsn: Lsn, entry: &FragmentEntry, segments: &Segments) {
        match self.find(entry.number) {
            Some(record) => drop(self.state.relocate(record, lsn, segments)),
            // The segment it was copied out of is gone, or it expired before it was copied.
            None if self.state.kept().contains(entry.number.counter()) => {
                self.state.insert(Record::new(lsn, entry), segments);
            }
            None => {}
        }
    }

    /// Takes out what is not `kept`.
    fn keep(&mut self, kept: &Kept, segments: &Segments) {
        let old = self.state.kept().clone();
        let kept = old.and(kept);
        if kept != old {
            let held_bytes = self.state.space.held_bytes;
            let (dead, held_bytes) = Dead::between(&old, &kept, held_bytes, self);
            self.state.expire(kept, &dead, held_bytes, segments);
        }
    }
}

impl Index for Stream {
    fn recent<T>(&self, look: impl FnOnce(&Recent) -> T) -> T {
        look(&self.state.recent)
    }

    fn rows(&self) -> &Rows {
        &self.rows
    }
}

impl States for Found {
    fn each(&mut self, visit: &mut dyn FnMut(StreamId, &mut State)) {
        self.iter_mut().for_each(|(&id, stream)| visit(id, &mut stream.state));
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
