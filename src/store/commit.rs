//! Group commit: one thread takes all fragments that are finished, writes them to the log, syncs
//! once, makes them findable and tells everybody.
//!
//! A thread of its own, with a better priority where allowed, because with busy cores it is the
//! wait for a time slice, not the disk, that makes an acknowledgement slow.

mod runs;

pub use runs::HeldRun;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::fragments::{FragmentInfo, MediaStream, PersistError};
use super::held::{Held, HeldBytes};
use super::index::Record;
use super::log::entry::{FragmentEntry, Kind, Lsn};
use super::log::segment::Segments;
use super::log::writer::Writer;
use super::records::{PlacedRun, ShardLog};
use super::streams::Streams;
use super::tail::Fate;
use super::twin;
use super::{locked, wait};

/// Bytes of media one sync makes durable at most, so that no acknowledgement waits for more.
const MAX_BATCH_BYTES: u64 = 32 << 20;
/// The commit thread's nice value, where the process may set it.
const NICE: i32 = -10;

/// The way to the commit thread.
#[derive(Debug)]
pub struct Committer {
    /// The log's files.
    pub segments: Arc<Segments>,
    queue: Mutex<Queue>,
    wanted: Condvar,
    /// Tells that the queue became shorter.
    room: Notify,
    queue_limit: u64,
    /// What producers have sent and is not durable.
    pub held: Arc<HeldBytes>,
    /// Whether producers wait although there is room.
    holding: AtomicBool,
    /// Why nothing is written any more.
    poison: OnceLock<String>,
    /// See [`Writer::recyclable_before`].
    recyclable_before: AtomicU64,
    durable: AtomicU64,
    /// Bytes of records that were handed over and are not settled.
    run_bytes: AtomicU64,
    /// Tells that the log took another segment, or found none.
    pub grown: Notify,
    /// Fragments that were refused for want of space.
    pub refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<Request>,
    /// Bytes that were handed over and are not settled.
    bytes: u64,
    closing: bool,
}

#[derive(Debug)]
enum Request {
    Fragment(Finished),
    Trims {
        trims: Vec<(Kind, Bytes)>,
        done: Done,
    },
    Copy {
        copy: Copy,
        done: Done,
    },
    Reserve {
        stream: Arc<MediaStream>,
        counter: u64,
    },
    /// The shard has records for a run. They are taken when the batch is made: all that came
    /// until then are one run.
    Run(Arc<ShardLog>),
}

/// Where a thread that waits is told of the outcome.
type Done = mpsc::SyncSender<Result<(), PersistError>>;

/// A persisted fragment that is to lie at the end of the log instead.
#[derive(Debug)]
pub struct Copy {
    /// Whose it is.
    pub stream: Arc<MediaStream>,
    /// Where it lies.
    pub record: Record,
    /// As it is there.
    pub entry: FragmentEntry,
    /// Head, cluster and trailer, verified.
    pub body: Bytes,
}

/// A complete fragment on its way into the log.
#[derive(Debug)]
pub struct Finished {
    /// Whose it is.
    pub stream: Arc<MediaStream>,
    /// All but `sequence` and `breaks`.
    pub entry: FragmentEntry,
    /// Head, cluster and trailer.
    pub body: Vec<Bytes>,
    /// Counts the body for as long as it is in memory.
    pub _held: Held,
    /// Stored fragments before this position are known not to be the same.
    pub compared_before: Lsn,
    /// Takes the outcome.
    pub done: oneshot::Sender<Result<FragmentInfo, PersistError>>,
}

impl Committer {
    /// A committer whose thread is not running yet.
    pub fn new(
        segments: Arc<Segments>,
        queue_limit: u64,
        held: Arc<HeldBytes>,
        durable: Lsn,
    ) -> Self {
        Self {
            segments,
            queue: Mutex::default(),
            wanted: Condvar::new(),
            room: Notify::new(),
            queue_limit,
            held,
            holding: AtomicBool::new(false),
            poison: OnceLock::new(),
            recyclable_before: AtomicU64::new(0),
            durable: AtomicU64::new(durable),
            run_bytes: AtomicU64::new(0),
            grown: Notify::new(),
            refused: AtomicU64::new(0),
        }
    }

    /// Hands over a fragment.
    pub fn append(&self, fragment: Finished) {
        self.push(Request::Fragment(fragment));
    }

    /// Asks for `counter` to be logged as given out, so that no later opening gives it again.
    pub fn reserve(&self, stream: Arc<MediaStream>, counter: u64) {
        self.push(Request::Reserve { stream, counter });
    }

    /// Logs what expired of some streams; blocks until it is durable, with one sync for all.
    pub fn trim(&self, trims: Vec<(Kind, Bytes)>) -> Result<(), PersistError> {
        self.and_wait(|done| Request::Trims { trims, done })
    }

    /// Logs what expired of a stream, without waiting for it.
    pub fn trim_later(&self, kind: Kind, body: Bytes) {
        let (done, _) = mpsc::sync_channel(1);
        self.push(Request::Trims { trims: vec![(kind, body)], done });
    }

    /// Appends a fragment again; blocks until it is durable and found in its new place. One that
    /// expired meanwhile is not found in either.
    pub fn copy(&self, copy: Copy) -> Result<(), PersistError> {
        self.and_wait(|done| Request::Copy { copy, done })
    }

    fn and_wait(&self, request: impl FnOnce(Done) -> Request) -> Result<(), PersistError> {
        let (done, outcome) = mpsc::sync_channel(1);
        self.push(request(done));
        outcome.recv().unwrap_or_else(|_| Err(closed()))
    }

    /// Waits until the queue holds less than its limit.
    pub async fn ready(&self) {
        loop {
            let room = self.room.notified();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }

    fn has_room(&self) -> bool {
        let queue = locked(&self.queue);
        let held = self.holding.load(Ordering::Acquire) && self.poison.get().is_none();
        let bytes = queue.bytes + self.run_bytes.load(Ordering::Acquire);
        queue.closing || (bytes < self.queue_limit && !held)
    }

    /// Why nothing is written any more, if so.
    pub fn poisoned(&self) -> Option<String> {
        self.poison.get().cloned()
    }

    /// Writes nothing any more, for this reason or an earlier one, which is returned.
    pub fn poison(&self, reason: String) -> String {
        let first = self.poison.get_or_init(|| {
            tracing::error!(reason, "the store stops accepting writes until it is opened again");
            reason
        });
        first.clone()
    }

    /// Makes producers wait, or go on: what they send can not be held in memory for ever.
    pub fn hold(&self, hold: bool) {
        if self.holding.swap(hold, Ordering::AcqRel) && !hold {
            self.room.notify_waiters();
        }
    }

    /// Fails when nothing is written any more.
    pub fn accepts(&self) -> Result<(), PersistError> {
        self.poisoned().map_or(Ok(()), |reason| Err(PersistError::Poisoned(reason)))
    }

    /// Segments before this position may go once nothing in them is findable.
    pub fn recyclable_before(&self) -> Lsn {
        self.recyclable_before.load(Ordering::Acquire)
    }

    /// All before this position is durable, and findable if it is to be found.
    pub fn durable(&self) -> Lsn {
        self.durable.load(Ordering::Acquire)
    }

    /// Lets the thread end once the queue is empty.
    pub fn close(&self) {
        locked(&self.queue).closing = true;
        self.wanted.notify_all();
    }

    /// Takes nothing more, and fails what is queued: nobody is there to write it.
    pub fn abandon(&self) {
        self.close();
        let left = std::mem::take(&mut locked(&self.queue).requests);
        left.into_iter().for_each(|request| request.fail(closed()));
        self.room.notify_waiters();
    }

    fn push(&self, request: Request) {
        let mut queue = locked(&self.queue);
        if queue.closing {
            drop(queue);
            return request.fail(closed());
        }
        queue.bytes += request.bytes();
        queue.requests.push_back(request);
        drop(queue);
        self.wanted.notify_one();
    }

    /// Hands over again what was not done in one go.
    fn push_rest(&self, request: Request) {
        locked(&self.queue).requests.push_back(request);
    }

    /// Waits for requests; `false` when there will be no more.
    fn wait_for_requests(&self) -> bool {
        let mut queue = locked(&self.queue);
        while queue.requests.is_empty() {
            if queue.closing {
                return false;
            }
            queue = wait(&self.wanted, queue);
        }
        true
    }

    /// The requests of the next batch, and their bytes.
    fn take(&self) -> (Vec<Request>, u64) {
        let mut queue = locked(&self.queue);
        let (mut requests, mut bytes, mut run_bytes) = (Vec::new(), 0, 0);
        while bytes + run_bytes < MAX_BATCH_BYTES {
            let Some(request) = queue.requests.pop_front() else { break };
            bytes += request.bytes();
            run_bytes += request.run_bytes();
            requests.push(request);
        }
        (requests, bytes)
    }

    fn settled(&self, bytes: u64) {
        locked(&self.queue).bytes -= bytes;
        self.room.notify_waiters();
    }
}

fn closed() -> PersistError {
    PersistError::Poisoned("the store is closed".into())
}

impl Request {
    /// Bytes that [`Queue::bytes`] counts.
    fn bytes(&self) -> u64 {
        match self {
            Self::Fragment(fragment) => fragment.entry.body_len(),
            Self::Copy { copy, .. } => copy.entry.body_len(),
            Self::Reserve { .. } | Self::Trims { .. } | Self::Run(_) => 0,
        }
    }

    /// Bytes that [`Committer::hold_run`] counts, about: more may come until they are taken.
    fn run_bytes(&self) -> u64 {
        if let Self::Run(shard) = self { shard.run_bytes() } else { 0 }
    }

    fn fail(self, error: PersistError) {
        match self {
            Self::Fragment(fragment) => fragment.fail(error),
            Self::Reserve { stream, .. } => stream.reservation_failed(),
            Self::Run(shard) => shard.fail(&error),
            // Nobody listens when the caller gave up waiting.
            Self::Trims { done, .. } | Self::Copy { done, .. } => drop(done.send(Err(error))),
        }
    }
}

impl Finished {
    /// Tells the producer, and the readers of the open fragment, that it is not stored.
    pub fn fail(self, error: PersistError) {
        self.stream.settle(self.entry.number, Fate::GivenUp);
        self.tell(Err(error));
    }

    /// Tells the producer that it is stored already, under another number.
    pub fn stored_as(self, twin: FragmentInfo) {
        self.stream.settle(self.entry.number, Fate::GivenUp);
        self.tell(Ok(twin));
    }

    fn tell(self, outcome: Result<FragmentInfo, PersistError>) {
        let Self { body, _held, done, .. } = self;
        // Whoever hears of it finds its memory free.
        drop((body, _held));
        // Dropping the future does not undo the persist.
        drop(done.send(outcome));
    }
}

/// Lets nobody wait for a thread that is gone: it also ends by a panic, which is our own mistake,
/// and then what it had placed fails with its channels, and what is queued fails here.
struct Ending(Arc<Committer>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.poison.get_or_init(|| "the commit thread panicked".into());
        }
        self.0.abandon();
    }
}

/// What the thread does, a batch at a time: what is placed in the log and not durable yet.
pub struct Batch {
    committer: Arc<Committer>,
    writer: Writer,
    streams: Arc<Streams>,
    placed: Vec<Placed>,
    /// Where in `placed` a fragment that looks the same is.
    by_key: HashMap<twin::Key, usize>,
    copies: Vec<(Copy, Lsn)>,
    runs: Vec<(PlacedRun, Lsn)>,
    /// Who waits for what was placed.
    told: Vec<Done>,
    /// Waiting for a free segment was in vain, and would be again.
    starved: bool,
    reserved: Vec<(Arc<MediaStream>, u64)>,
}

struct Placed {
    fragment: Finished,
    lsn: Lsn,
    /// The same fragment sent again before the first one was durable.
    twins: Vec<Finished>,
}

impl Batch {
    /// Nothing is placed yet.
    pub fn new(committer: Arc<Committer>, writer: Writer, streams: Arc<Streams>) -> Self {
        Self {
            committer,
            writer,
            streams,
            placed: Vec::new(),
            by_key: HashMap::new(),
            reserved: Vec::new(),
            copies: Vec::new(),
            runs: Vec::new(),
            told: Vec::new(),
            starved: false,
        }
    }

    /// Starts the thread; it ends after [`Committer::close`].
    pub fn start(self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("store-commit".into()).spawn(move || {
            let thread = Some(rustix::thread::gettid());
            // Most processes may not; the store works all the same.
            let _ = rustix::process::setpriority_process(thread, NICE);
            let _ending = Ending(self.committer.clone());
            self.run();
        })
    }

    fn run(mut self) {
        while self.committer.wait_for_requests() {
            self.step();
        }
        self.finish();
    }

    /// Makes durable what is queued, one batch of it, and tells the outcomes. `false` when there
    /// was nothing to do. Simulations call it in place of the thread, when their schedule says.
    pub fn step(&mut self) -> bool {
        let (requests, bytes) = self.committer.take();
        if requests.is_empty() {
            return false;
        }
        for request in requests {
            self.place(request);
        }
        self.flush_or_poison();
        self.committer.settled(bytes);
        true
    }

    /// Ends the log in order, once the queue is empty and closed.
    pub fn finish(mut self) {
        // Proves the last entries, so that damage to them will be told from a torn tail.
        if self.committer.poisoned().is_none() && self.make_room(0).is_ok() {
            self.writer.place(Kind::Mark, []);
            self.flush_or_poison();
        }
    }

    fn place(&mut self, request: Request) {
        if let Some(reason) = self.committer.poisoned() {
            return request.fail(PersistError::Poisoned(reason));
        }
        match request {
            Request::Fragment(fragment) => self.place_fragment(fragment),
            Request::Run(shard) => self.place_run(shard),
            Request::Reserve { stream, counter } => match self.make_room(0) {
                Ok(()) => {
                    self.writer.place(Kind::Reserve { stream: stream.id(), counter }, []);
                    self.reserved.push((stream, counter));
                }
                Err(_) => stream.reservation_failed(),
            },
            Request::Trims { trims, done } => {
                let placed = trims.into_iter().try_for_each(|(kind, body)| {
                    self.make_room_at_once(body.len() as u64)?;
                    self.writer.place(kind, [body]);
                    Ok(())
                });
                self.tell(done, placed);
            }
            Request::Copy { copy, done } => {
                let placed = self.make_room_at_once(copy.entry.body_len()).map(|()| {
                    let lsn = self.writer.place(Kind::Copy(copy.entry), [copy.body.clone()]);
                    self.copies.push((copy, lsn));
                });
                self.tell(done, placed);
            }
        }
    }

    /// Tells the outcome: a failure now, success when it is durable.
    fn tell(&mut self, done: Done, placed: Result<(), PersistError>) {
        match placed {
            Ok(()) => self.told.push(done),
            // Nobody listens when the caller gave up waiting.
            Err(error) => drop(done.send(Err(error))),
        }
    }

    fn place_fragment(&mut self, mut fragment: Finished) {
        let key = twin::key(&fragment);
        let like = self.by_key.get(&key).and_then(|&at| self.placed.get_mut(at));
        if let Some(placed) = like.filter(|placed| twin::same(&placed.fragment, &fragment)) {
            placed.twins.push(fragment);
            return;
        }
        // What was persisted since the fragment's producer looked is in the page cache still.
        if let Some(twin) = self.find_fresh_twin(&fragment) {
            return fragment.stored_as(twin);
        }
        if let Err(error) = self.make_room(fragment.entry.body_len()) {
            self.count_refused(&error);
            return fragment.fail(error);
        }
        if !fragment.stream.take_sequence(&mut fragment.entry) {
            return fragment.fail(PersistError::StreamDeleted);
        }
        let lsn = self.writer.place(Kind::Fragment(fragment.entry), fragment.body.iter().cloned());
        self.by_key.insert(key, self.placed.len());
        self.placed.push(Placed { fragment, lsn, twins: Vec::new() });
    }

    fn count_refused(&self, error: &PersistError) {
        let full = matches!(error, PersistError::NoSpace(_));
        self.committer.refused.fetch_add(full.into(), Ordering::Relaxed);
    }

    fn find_fresh_twin(&self, fragment: &Finished) -> Option<FragmentInfo> {
        let alike = fragment.stream.alike_since(&fragment.entry);
        let fresh = alike.iter().filter(|record| record.lsn >= fragment.compared_before);
        let twin = twin::find_stored(&self.committer.segments, fragment, fresh)?;
        // It may have expired while it was read.
        let still = fragment.stream.alike_since(&fragment.entry);
        still.contains(&twin).then(|| twin.info())
    }

    /// Like [`Batch::make_room`], for the thread that frees segments: waiting for one would be
    /// waiting for whom it is done for.
    fn make_room_at_once(&mut self, body_len: u64) -> Result<(), PersistError> {
        let starved = std::mem::replace(&mut self.starved, true);
        let made = self.make_room(body_len);
        self.starved = starved;
        made
    }

    /// Makes sure that an entry with such a body has room in the active segment, and that a
    /// state is in front of it.
    ///
    /// "No space" is certain here: a segment's space is reserved when its file is created, and
    /// nothing was written for the entry. So that one is refused, and appending goes on when
    /// retention has freed a segment. Any other failure, and a write that finds no space after
    /// all, leaves a file in a state nobody knows, and ends all writing.
    fn make_room(&mut self, body_len: u64) -> Result<(), PersistError> {
        if self.writer.fits(body_len) {
            return Ok(());
        }
        let state = self.streams.state();
        if self.writer.fits_with_state(state.len() as u64, body_len) {
            self.place_state(state);
            return Ok(());
        }
        self.writer.seal();
        self.flush_or_poison();
        if let Some(reason) = self.committer.poisoned() {
            return Err(PersistError::Poisoned(reason));
        }
        self.writer.leave_sealed();
        let opened = self.open_segment(body_len);
        // There may be another one to free now, ahead of need.
        self.committer.grown.notify_one();
        match opened {
            Ok(state) => {
                self.place_state(state);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                tracing::error!(%error, "no space for another log segment");
                Err(PersistError::NoSpace(error.to_string()))
            }
            Err(error) => Err(self.poison(format!("create segment: {error}"))),
        }
    }

    /// Opens a segment, and tells the state that goes first. Where the limits leave no space for
    /// one, waits once for another to be freed, which is then in the making.
    fn open_segment(&mut self, body_len: u64) -> io::Result<Vec<u8>> {
        loop {
            let state = self.streams.state();
            match self.writer.open_segment(state.len() as u64, body_len) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull && self.may_wait() => {
                    self.starved = true;
                    self.committer.grown.notify_one();
                    self.committer.segments.wait_for_free();
                }
                opened => {
                    self.starved &= opened.is_err();
                    return opened.map(|()| state);
                }
            }
        }
    }

    fn may_wait(&self) -> bool {
        !self.starved && self.committer.segments.is_limited()
    }

    fn place_state(&mut self, state: Vec<u8>) {
        let len = u32::try_from(state.len()).unwrap_or(u32::MAX);
        let kind = Kind::State { len, crc: crc32c::crc32c(&state) };
        self.writer.place(kind, [Bytes::from(state)]);
    }

    /// Makes durable what was placed, and then findable, and then tells.
    fn flush_or_poison(&mut self) {
        self.by_key.clear();
        if self.committer.poisoned().is_some() {
            // Never tried again: after a failed sync the kernel may call the next one a success
            // without having written anything.
            return;
        }
        match self.writer.flush() {
            Ok(durable) => {
                let recyclable = self.writer.recyclable_before();
                self.committer.recyclable_before.fetch_max(recyclable, Ordering::AcqRel);
                let published = self.placed.len() + self.runs.len() + self.copies.len();
                for (stream, counter) in self.reserved.drain(..) {
                    stream.reserved(counter);
                }
                for placed in self.placed.drain(..) {
                    publish(placed, &self.committer.segments);
                }
                for (run, lsn) in self.runs.drain(..) {
                    run.publish(lsn, &self.committer.segments);
                }
                for (copy, lsn) in self.copies.drain(..) {
                    let mut state = copy.stream.state();
                    // One that expired meanwhile stays so: a trim that says so is in the log, or
                    // the state that comes with the next segment.
                    state.relocate(copy.record, lsn, &self.committer.segments);
                }
                self.committer.durable.store(durable, Ordering::Release);
                self.streams.mover().published(published, &self.committer);
                self.told.drain(..).for_each(|done| drop(done.send(Ok(()))));
            }
            Err(error) => {
                let full = error.kind() == io::ErrorKind::StorageFull;
                let poisoned = self.poison(format!("append to the log: {error}"));
                let told = if full { PersistError::NoSpace(error.to_string()) } else { poisoned };
                for placed in self.placed.drain(..) {
                    let all = std::iter::once(placed.fragment).chain(placed.twins);
                    all.for_each(|fragment| fragment.fail(told.clone()));
                }
                self.runs.drain(..).for_each(|(run, _)| run.fail(&told));
                self.reserved.drain(..).for_each(|(stream, _)| stream.reservation_failed());
                self.copies.clear();
                self.told.drain(..).for_each(|done| drop(done.send(Err(told.clone()))));
            }
        }
    }

    fn poison(&self, reason: String) -> PersistError {
        PersistError::Poisoned(self.committer.poison(reason))
    }
}

fn publish(placed: Placed, segments: &Segments) {
    let Placed { fragment, lsn, twins } = placed;
    let record = Record::new(lsn, &fragment.entry);
    if fragment.stream.publish(record, segments) {
        let info = record.info();
        twins.into_iter().for_each(|twin| twin.stored_as(info));
        fragment.tell(Ok(info));
    } else {
        let all = std::iter::once(fragment).chain(twins);
        all.for_each(|fragment| fragment.fail(PersistError::StreamDeleted));
    }
}
