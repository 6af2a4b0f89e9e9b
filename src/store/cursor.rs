//! Reading forward: from the archive into the live tail, and inside a fragment that grows.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::fragments::{FragmentInfo, MediaStream, ReadError, Start, TornFragment};
use super::index::{Found, Index, Record, Scope};
use super::log::entry::HEADER_BYTES;
use super::log::reader::header_of;
use super::streams::State;
use super::tail::{Fate, OpenFragment, Piece};
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp};

/// What is read of a stored fragment at once. Smaller ones are read, and verified, whole; of
/// larger ones a reader never holds more, and hears of damage at the end.
const PIECE_BYTES: u32 = 1 << 20;

/// A position in a stream that moves forward only.
#[derive(Debug)]
pub struct Cursor {
    stream: Arc<MediaStream>,
    /// Where it goes on.
    at: Start,
}

/// Where a cursor finds the next fragment.
enum Next {
    Open(Arc<OpenFragment>),
    Stored(Record),
}

impl Cursor {
    pub(super) fn new(stream: Arc<MediaStream>, start: Start) -> Self {
        Self { stream, at: start }
    }

    /// The next fragment by number, open or persisted; waits at the tail. After it is read (or
    /// dropped) the next call moves on. Fails with `StreamDeleted` when the stream goes away.
    pub async fn next(&mut self) -> Result<FragmentReader, ReadError> {
        let mut changes = self.stream.subscribe();
        loop {
            changes.borrow_and_update();
            match self.step()? {
                Some(Next::Open(open)) => {
                    return Ok(FragmentReader::of_open(self.stream.clone(), open, changes));
                }
                Some(Next::Stored(record)) => {
                    let stream = self.stream.clone();
                    match FragmentReader::of_stored(stream, record, changes.clone()).await {
                        // It expired just now: on to the next.
                        Err(ReadError::NotFound) => {}
                        outcome => return outcome,
                    }
                }
                // The sender lives as long as the stream, so waiting can not fail.
                None => drop(changes.changed().await),
            }
        }
    }

    /// Moves on to the next fragment, if there is one.
    fn step(&mut self) -> Result<Option<Next>, ReadError> {
        let next = match self.at {
            Start::Earliest | Start::Now => after(&self.stream, FragmentNumber::MIN),
            Start::After(number) => after(&self.stream, number),
            Start::Producer(time) => by_producer(&self.stream, time),
            Start::Server(time) => by_server(&self.stream, time),
        }?;
        if let Some(next) = &next {
            self.at = Start::After(next.number());
        }
        Ok(next)
    }
}

impl Next {
    fn number(&self) -> FragmentNumber {
        match self {
            Self::Open(open) => open.number,
            Self::Stored(record) => record.number,
        }
    }
}

/// What a look at a stream's state shows of its open fragments. The rows of the index are searched
/// after it, without the lock; they add nothing that began after the look.
struct Look<T> {
    /// What the memory part of the index has.
    recent: T,
    scope: Scope,
    /// An open fragment that covers the time.
    covering: Option<Arc<OpenFragment>>,
    /// The first open fragment behind the place.
    next: Option<Arc<OpenFragment>>,
}

fn look<T>(
    stream: &MediaStream,
    look: impl FnOnce(&State) -> Look<T>,
) -> Result<Look<T>, ReadError> {
    let state = stream.state();
    if state.deleted {
        return Err(ReadError::StreamDeleted);
    }
    Ok(look(&state))
}

fn after(stream: &MediaStream, number: FragmentNumber) -> Result<Option<Next>, ReadError> {
    let seen = look(stream, |state| {
        let mut open = state.open.range(number.counter()..).map(|(_, open)| open);
        let next = open.find(|open| open.number > number).cloned();
        let (recent, scope) = (state.recent.after(number), state.recent.scope());
        Look { recent, scope, covering: None, next }
    })?;
    let row = stream.rows().after(number, &seen.scope);
    let stored = seen.recent.into_iter().chain(row);
    let open = seen.next.into_iter().map(Next::Open);
    Ok(open.chain(stored.map(Next::Stored)).min_by_key(Next::number))
}

/// The fragment that covers `time`, the one that started last if several do, else the next after.
///
/// How long an open fragment will be is not known: it covers what could have been received since
/// it began. Once it is persisted its true duration decides.
fn by_producer(stream: &MediaStream, time: ProducerTimestamp) -> Result<Option<Next>, ReadError> {
    let now = stream.clock().now();
    let covers = |open: &&Arc<OpenFragment>| {
        let so_far = elapsed(open, now);
        open.producer == time || (open.producer < time && time < open.producer.plus(so_far))
    };
    let start = |open: &&Arc<OpenFragment>| (open.producer, open.number);
    let seen = look(stream, |state| Look {
        recent: state.recent.seek_producer(time),
        scope: state.recent.scope(),
        covering: state.open.values().filter(covers).max_by_key(start).cloned(),
        next: state.open.values().filter(|open| open.producer > time).min_by_key(start).cloned(),
    })?;
    let found = stream.rows().seek_producer(time, &seen.scope).join_by_producer(seen.recent);
    if let Some(next) = covering(found, seen.covering, |r| r.producer, |open| open.producer) {
        return Ok(Some(next));
    }
    let Found::Next(record) = found else { return Ok(seen.next.map(Next::Open)) };
    let open = seen.next.filter(|open| start(&open) < (record.producer, record.number));
    Ok(Some(open.map_or(Next::Stored(record), Next::Open)))
}

/// Like [`by_producer`], on the server's clock, in whose order the numbers are.
fn by_server(stream: &MediaStream, time: ServerTimestamp) -> Result<Option<Next>, ReadError> {
    let now = stream.clock().now();
    let server = |open: &Arc<OpenFragment>| open.number.server_timestamp();
    let covers = |open: &&Arc<OpenFragment>| {
        server(open) == time
            || (server(open) < time && time < server(open).plus(elapsed(open, now)))
    };
    let seen = look(stream, |state| Look {
        recent: state.recent.seek_server(time),
        scope: state.recent.scope(),
        covering: state.open.values().rfind(covers).cloned(),
        next: state.open.values().find(|open| server(open) > time).cloned(),
    })?;
    let found = stream.rows().seek_server(time, &seen.scope).join_by_server(seen.recent);
    let record_start = |r: &Record| r.number.server_timestamp();
    if let Some(next) = covering(found, seen.covering, record_start, |open| server(open)) {
        return Ok(Some(next));
    }
    let Found::Next(record) = found else { return Ok(seen.next.map(Next::Open)) };
    let open = seen.next.filter(|open| open.number < record.number);
    Ok(Some(open.map_or(Next::Stored(record), Next::Open)))
}

fn elapsed(open: &OpenFragment, now: ServerTimestamp) -> Millis {
    now.since(open.number.server_timestamp())
}

fn covering<T: Ord>(
    found: Found,
    open: Option<Arc<OpenFragment>>,
    record_start: impl Fn(&Record) -> T,
    open_start: impl Fn(&Arc<OpenFragment>) -> T,
) -> Option<Next> {
    match (found, open) {
        (Found::Covers(record), Some(open)) if open_start(&open) > record_start(&record) => {
            Some(Next::Open(open))
        }
        (Found::Covers(record), _) => Some(Next::Stored(record)),
        (_, Some(open)) => Some(Next::Open(open)),
        (_, None) => None,
    }
}

/// One fragment being read, which may still be open.
#[derive(Debug)]
pub struct FragmentReader {
    stream: Arc<MediaStream>,
    number: FragmentNumber,
    producer: ProducerTimestamp,
    head: Bytes,
    /// Bytes behind the head that were read.
    read: u64,
    source: Source,
    changes: watch::Receiver<u64>,
}

#[derive(Debug)]
enum Source {
    /// The next piece of an open fragment.
    Open { fragment: Arc<OpenFragment>, next: usize },
    /// The rest of a stored fragment, verified.
    Whole { rest: Bytes, info: FragmentInfo },
    /// A stored fragment; with the checksum so far and as it should be, if all comes from there.
    Stored { record: Record, check: Option<(u32, u32)> },
    /// All was read.
    Done(FragmentInfo),
}

impl FragmentReader {
    fn of_open(
        stream: Arc<MediaStream>,
        fragment: Arc<OpenFragment>,
        changes: watch::Receiver<u64>,
    ) -> Self {
        let (number, producer, head) = (fragment.number, fragment.producer, fragment.head.clone());
        let source = Source::Open { fragment, next: 0 };
        Self { stream, number, producer, head, read: 0, source, changes }
    }

    async fn of_stored(
        stream: Arc<MediaStream>,
        record: Record,
        changes: watch::Receiver<u64>,
    ) -> Result<Self, ReadError> {
        let Record { number, producer, .. } = record;
        let (head, source) = if record.size <= PIECE_BYTES {
            let chunk = stream.read(number).await?;
            let rest = chunk.bytes.slice(chunk.head_len..);
            (chunk.bytes.slice(..chunk.head_len), Source::Whole { rest, info: chunk.info })
        } else {
            let (head, crc) = read_head(&stream, &record).await?;
            let check = Some((crc32c::crc32c(&head), crc));
            (head, Source::Stored { record, check })
        };
        Ok(Self { stream, number, producer, head, read: 0, source, changes })
    }

    /// The number, fixed from the beginning.
    pub fn number(&self) -> FragmentNumber {
        self.number
    }

    /// When it starts on the producer's clock.
    pub fn producer(&self) -> ProducerTimestamp {
        self.producer
    }

    /// When the server began to receive it.
    pub fn server(&self) -> ServerTimestamp {
        self.number().server_timestamp()
    }

    /// The chunk's head.
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// More of the cluster and what follows it, in order; waits while the fragment is open.
    /// `None` only once it is complete **and persisted**. Holds no memory of an open fragment
    /// longer than the writer does: after the persist it goes on reading from the log.
    /// Dropping the future loses nothing.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, TornFragment> {
        loop {
            match &mut self.source {
                Source::Open { fragment, next } => {
                    self.changes.borrow_and_update();
                    match fragment.piece(*next) {
                        Piece::Bytes(bytes) => {
                            *next += 1;
                            self.read += bytes.len() as u64;
                            return Ok(Some(bytes));
                        }
                        Piece::Nothing(Fate::Open) => drop(self.changes.changed().await),
                        Piece::Nothing(Fate::Persisted(info)) => self.go_on_in_log(info)?,
                        Piece::Nothing(Fate::GivenUp) => return Err(TornFragment::Abandoned),
                        Piece::Nothing(Fate::StreamDeleted) => {
                            return Err(ReadError::StreamDeleted.into());
                        }
                    }
                }
                Source::Whole { rest, info } => {
                    let rest = std::mem::take(rest);
                    self.source = Source::Done(*info);
                    if !rest.is_empty() {
                        return Ok(Some(rest));
                    }
                }
                Source::Stored { .. } => return self.read_stored().await,
                Source::Done(_) => return Ok(None),
            }
        }
    }

    /// The persisted facts, once `next_piece` returned `None`.
    pub fn info(&self) -> Option<FragmentInfo> {
        match self.source {
            Source::Done(info) => Some(info),
            _ => None,
        }
    }

    fn go_on_in_log(&mut self, info: FragmentInfo) -> Result<(), ReadError> {
        let end = u64::from(info.size);
        self.source = if self.head.len() as u64 + self.read == end {
            Source::Done(info)
        } else {
            Source::Stored { record: self.stream.findable(self.number)?, check: None }
        };
        Ok(())
    }

    async fn read_stored(&mut self) -> Result<Option<Bytes>, TornFragment> {
        let Source::Stored { record, check } = &mut self.source else { return Ok(None) };
        let at = self.head.len() as u64 + self.read;
        let left = u64::from(record.size).saturating_sub(at).min(u64::from(PIECE_BYTES));
        if left == 0 {
            if check.is_some_and(|(got, wanted)| got != wanted) {
                let what = format!("fragment {}: checksum", self.number);
                return Err(ReadError::Damaged(what).into());
            }
            self.source = Source::Done(record.info());
            return Ok(None);
        }
        let bytes = read_part(&self.stream, record, at, left).await?;
        if let Some((crc, _)) = check {
            *crc = crc32c::crc32c_append(*crc, &bytes);
        }
        self.read += left;
        Ok(Some(bytes))
    }
}

/// Reads a stored fragment's head and the checksum its body should have.
async fn read_head(stream: &MediaStream, record: &Record) -> Result<(Bytes, u32), ReadError> {
    let (record, header) = stream.read_entry(record.number, |_| 0..HEADER_BYTES as u64).await?;
    let header = header_of(&header, record.lsn);
    let Some(entry) = header.and_then(|header| header.kind.fragment()) else {
        return Err(ReadError::Damaged(format!("fragment {}: header", record.number)));
    };
    let head = read_part(stream, &record, 0, u64::from(entry.head_len.min(record.size))).await?;
    Ok((head, entry.body_crc))
}

/// Reads `len` bytes of a stored fragment's body.
async fn read_part(
    stream: &MediaStream,
    record: &Record,
    from: u64,
    len: u64,
) -> Result<Bytes, ReadError> {
    let from = HEADER_BYTES as u64 + from;
    let (_, bytes) = stream.read_entry(record.number, |_| from..from + len).await?;
    Ok(bytes)
}
