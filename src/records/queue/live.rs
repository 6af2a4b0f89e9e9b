//! One queue in operation: its state, kept durable by its journal, over the shards of its stream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::event::Event;
use super::journal::Journal;
use super::place::{Place, ReceiptKey};
use super::state::{Delivery, Kind, State};
use super::{EntryError, QueueBacklog, QueueError, QueueRecord, Receive};
use crate::clock::Clock;
use crate::records::payload::{InvalidPayload, Payload};
use crate::store::{
    Append, PersistError, QueueInfo, QueueStart, ReadLimit, RecordsError, ShardLog, Store,
    StoredRecord,
};
use crate::types::{Millis, ServerTimestamp, StreamId};

/// The longest that a receive waits for records.
pub const MAX_WAIT: Duration = Duration::from_secs(20);
/// Bytes of records that an answer has at most, and one record more. The rest comes with the next.
const MAX_ANSWER_BYTES: usize = 10 << 20;
/// How long a receive waits at most until it looks for shards that are new.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A queue in operation.
pub struct Queue {
    id: StreamId,
    stream: StreamId,
    receipts: ReceiptKey,
    store: Arc<Store>,
    clock: Clock,
    inner: Mutex<Inner>,
    /// Told when a record may have become visible other than by the passing of time.
    freed: Notify,
}

struct Inner {
    state: State,
    journal: Journal,
    /// When it was last looked up what of the shards has expired.
    looked: Option<Instant>,
}

impl Queue {
    /// The queue goes on from what its journal says. Blocks.
    pub fn open(info: &QueueInfo, store: Arc<Store>, clock: Clock) -> Result<Self, QueueError> {
        let log = store.shard(info.id).ok_or(QueueError::NotFound)?;
        let (journal, mut state) = Journal::recover(log)?;
        state.set_max_receives(info.max_receives);
        Ok(Self {
            id: info.id,
            stream: info.stream,
            receipts: ReceiptKey::new(info.receipt_key),
            store,
            clock,
            inner: Mutex::new(Inner { state, journal, looked: None }),
            freed: Notify::new(),
        })
    }

    /// Lets a new queue begin behind all that is there now.
    pub fn begin_at_tail(&self) {
        let mut events = Vec::new();
        let mut inner = self.inner();
        for log in self.shards() {
            inner.state.begin(log.id(), *log.durable().borrow(), &mut events);
        }
        // Should the machine stop before this is durable, it begins where its creation was.
        drop(inner.commit(&events));
    }

    /// The facts of the queue as they are now.
    pub fn info(&self) -> Result<Arc<QueueInfo>, QueueError> {
        self.store.record_catalog().queue(self.id).ok_or(QueueError::NotFound)
    }

    /// Its id in the catalog, and the name of its journal in the store.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Applies what was changed in the queue's facts: the newest ones, whoever comes last.
    pub fn reconfigure(&self) {
        let mut inner = self.inner();
        if let Ok(info) = self.info() {
            inner.state.set_max_receives(info.max_receives);
        }
    }

    /// Receives records; waits for some when there are none.
    pub async fn receive(&self, request: &Receive) -> Result<Vec<QueueRecord>, QueueError> {
        let until = Instant::now() + request.wait.min(MAX_WAIT);
        loop {
            // Watched from before the look, so that nothing comes unnoticed between the two.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            let shards = self.shards();
            let tails = shards.iter().map(|log| log.durable()).collect();

            let Round { found, unread } = self.receive_now(request, &shards).await?;
            let now = Instant::now();
            if !found.is_empty() || now >= until {
                return Ok(found);
            }
            let patience = LOOK_AGAIN.min(until - now);
            if unread {
                // They expired, or were put back for another reason: none to look again at once.
                self.inner().looked = None;
                tokio::time::sleep(patience).await;
                continue;
            }
            tokio::select! {
                () = freed => {}
                () = news(tails), if request.kind == Kind::Live => {}
                () = tokio::time::sleep(patience.min(self.until_next_visible())) => {}
            }
        }
    }

    async fn receive_now(
        &self,
        request: &Receive,
        shards: &[Arc<ShardLog>],
    ) -> Result<Round, QueueError> {
        let info = self.info()?;
        let default = Duration::from_secs(info.visibility_seconds.into());
        let visibility = millis(request.visibility.unwrap_or(default));
        self.ready().await?;

        let mut taken = self.take(request, shards)?;
        let read = read(&taken.places, shards).await?;
        let (found, append) = self.deliver(&mut taken, read, visibility);
        let unread = !taken.places.is_empty();
        drop(taken);
        durable(append).await?;
        Ok(Round { found, unread })
    }

    fn take(&self, request: &Receive, shards: &[Arc<ShardLog>]) -> Result<Taken<'_>, QueueError> {
        let mut events = Vec::new();
        let now = self.clock.now();
        let mut inner = self.inner();
        self.observe(&mut inner, shards, &mut events);
        let places = inner.state.take(request.kind, request.limit, now, &mut events);
        let full = places.is_empty() && inner.state.is_full();
        let taken = Taken { queue: self, places };
        // No answer depends on these alone.
        let append = inner.commit(&events);
        drop(inner);
        drop(append?);
        if full { Err(QueueError::TooManyInFlight) } else { Ok(taken) }
    }

    /// Tells the state which records there are. What expired is looked up now and then only, since
    /// that may have to wait for the disk; a record that expired meanwhile is not found when it is
    /// to be read.
    fn observe(&self, inner: &mut Inner, shards: &[Arc<ShardLog>], events: &mut Vec<Event>) {
        let look = inner.looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN);
        if look {
            inner.looked = Some(Instant::now());
        }
        for log in shards {
            let (id, end) = (log.id(), *log.durable().borrow());
            if end == u64::MAX {
                continue; // It was just deleted.
            }
            let known = inner.state.knows(id);
            if !known {
                let start = self.info().map_or(0, |info| starting_index(&info, log));
                inner.state.begin(id, start, events);
            }
            let first = if look || !known { log.span().first } else { 0 };
            inner.state.observe(id, first, end, events);
        }
        if inner.state.shards().count() != shards.len() {
            // Another receiver may know of newer shards: gone are those whose logs are.
            let gone = |id: &StreamId| self.store.shard(*id).is_none();
            let gone: Vec<_> = inner.state.shards().filter(gone).collect();
            gone.into_iter().for_each(|id| inner.state.forget(id, events));
        }
    }

    /// Makes deliveries of what was read. What else was taken is put back when `taken` is dropped.
    fn deliver(
        &self,
        taken: &mut Taken<'_>,
        read: Read,
        visibility: Millis,
    ) -> (Vec<QueueRecord>, Result<Option<Append>, PersistError>) {
        let mut events = Vec::new();
        let now = self.clock.now();
        let mut inner = self.inner();
        let mut found = Vec::new();
        for Found { place, bytes, arrival, record } in read.found {
            taken.places.retain(|other| *other != place);
            let delivery = inner.state.deliver(place, bytes, visibility, now, &mut events);
            found.extend(delivery.map(|delivery| self.answer(delivery, arrival, record)));
        }
        for place in read.damaged {
            taken.places.retain(|other| *other != place);
            inner.state.give_up(place, &mut events);
        }
        let append = inner.commit(&events);
        (found, append)
    }

    fn answer(&self, delivery: Delivery, arrival: ServerTimestamp, record: Payload) -> QueueRecord {
        QueueRecord {
            receipt_handle: self.receipts.seal(delivery.receipt),
            record_id: delivery.receipt.place.record_id(),
            record,
            arrival,
            first_receive: delivery.first,
            receive_count: delivery.receives,
        }
    }

    /// Acknowledges deliveries; the outcomes in the order of the handles.
    pub async fn acknowledge(
        &self,
        kind: Kind,
        handles: &[String],
    ) -> Result<Vec<Result<(), EntryError>>, QueueError> {
        let acknowledge = |state: &mut State, at: usize, events: &mut Vec<Event>| {
            let receipt = self.receipt(kind, &handles[at])?;
            state.acknowledge(receipt, events).map_err(EntryError::from)
        };
        self.change(handles.len(), acknowledge).await
    }

    /// Lets delivered records be visible again after a time from now; the outcomes in order.
    pub async fn set_visibility(
        &self,
        kind: Kind,
        entries: &[(String, Duration)],
    ) -> Result<Vec<Result<(), EntryError>>, QueueError> {
        let now = self.clock.now();
        let set_visibility = |state: &mut State, at: usize, events: &mut Vec<Event>| {
            let (handle, visibility) = &entries[at];
            let receipt = self.receipt(kind, handle)?;
            Ok(state.set_visibility(receipt, millis(*visibility), now, events)?)
        };
        let outcomes = self.change(entries.len(), set_visibility).await;
        self.freed.notify_waiters();
        outcomes
    }

    /// Puts dead letters back among the others; the outcomes in the order of the handles.
    pub async fn restore(
        &self,
        handles: &[String],
    ) -> Result<Vec<Result<(), EntryError>>, QueueError> {
        let restore = |state: &mut State, at: usize, events: &mut Vec<Event>| {
            let receipt = self.receipt(Kind::Dead, &handles[at])?;
            state.restore(receipt, events).map_err(EntryError::from)
        };
        let outcomes = self.change(handles.len(), restore).await;
        self.freed.notify_waiters();
        outcomes
    }

    /// Makes changes, all of them durable with one append.
    async fn change(
        &self,
        count: usize,
        change: impl Fn(&mut State, usize, &mut Vec<Event>) -> Result<(), EntryError>,
    ) -> Result<Vec<Result<(), EntryError>>, QueueError> {
        self.info()?;
        self.ready().await?;
        let (mut outcomes, append) = {
            let mut events = Vec::new();
            let mut inner = self.inner();
            let outcomes: Vec<_> =
                (0..count).map(|at| change(&mut inner.state, at, &mut events)).collect();
            (outcomes, inner.commit(&events))
        };
        if let Err(error) = durable(append).await {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
                *outcome = Err(EntryError::NotStored(error.clone()));
            }
        }
        Ok(outcomes)
    }

    fn receipt(&self, kind: Kind, handle: &str) -> Result<super::place::Receipt, EntryError> {
        let receipt = self.receipts.open(handle).ok_or(EntryError::Malformed)?;
        let same = receipt.dead == (kind == Kind::Dead);
        same.then_some(receipt).ok_or(EntryError::Malformed)
    }

    /// What was not acknowledged yet.
    pub fn backlog(&self) -> QueueBacklog {
        let shards = self.shards();
        let mut events = Vec::new();
        let mut inner = self.inner();
        inner.looked = None;
        self.observe(&mut inner, &shards, &mut events);
        let counts = inner.state.counts(self.clock.now(), &mut events);
        let mut backlog = QueueBacklog {
            records: counts.live as u64,
            bytes: counts.bytes,
            in_flight: counts.in_flight as u64,
            dead_letters: counts.dead as u64,
            oldest: None,
        };
        let unread: Vec<_> = inner.state.unread().collect();
        // They are found again if they do not become durable.
        drop(inner.commit(&events));
        drop(inner);
        for (id, next, oldest) in unread {
            let Some(log) = shards.iter().find(|log| log.id() == id) else { continue };
            let new = log.after(next.saturating_sub(1));
            backlog.records += new.records;
            backlog.bytes += new.bytes;
            let oldest = log.after(oldest.saturating_sub(1)).oldest;
            backlog.oldest = [backlog.oldest, oldest].into_iter().flatten().min();
        }
        backlog
    }

    /// The logs of the shards that the stream has now.
    fn shards(&self) -> Vec<Arc<ShardLog>> {
        let stream = self.store.record_catalog().stream_by_id(self.stream);
        let shards = stream.iter().flat_map(|stream| &stream.shards);
        shards.filter_map(|shard| self.store.shard(shard.log)).collect()
    }

    async fn ready(&self) -> Result<(), QueueError> {
        let log = self.inner().journal.log().clone();
        Ok(log.ready().await?)
    }

    fn until_next_visible(&self) -> Duration {
        let next = self.inner().state.next_visible().unwrap_or(ServerTimestamp::MAX);
        Duration::from_millis(next.since(self.clock.now()).0)
    }

    /// A thread that panicked inside leaves a state whose journal is behind it, as after a crash.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Appends changes to the journal, in the order in which they were made.
    fn commit(&mut self, events: &[Event]) -> Result<Option<Append>, PersistError> {
        if events.is_empty() {
            return Ok(None);
        }
        self.journal.append(events, &self.state).map(Some)
    }
}

/// What one look found.
struct Round {
    found: Vec<QueueRecord>,
    /// Whether there are records that were not read.
    unread: bool,
}

/// Records that are reserved for a receiver; what is left of them when it is dropped is put back,
/// as when the receiver goes away.
struct Taken<'a> {
    queue: &'a Queue,
    places: Vec<Place>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.places.is_empty() {
            return;
        }
        let mut inner = self.queue.inner();
        self.places.drain(..).for_each(|place| inner.state.put_back(place));
        drop(inner);
        self.queue.freed.notify_waiters();
    }
}

/// What reading found of the records that were taken; of the others it found nothing.
#[derive(Default)]
struct Read {
    found: Vec<Found>,
    /// What will never be readable.
    damaged: Vec<Place>,
}

struct Found {
    place: Place,
    /// Bytes of it in the log.
    bytes: usize,
    arrival: ServerTimestamp,
    record: Payload,
}

impl Read {
    fn add(&mut self, shard: StreamId, stored: StoredRecord) -> Result<(), QueueError> {
        let StoredRecord { index, arrival, payload } = stored;
        let (place, bytes) = (Place { shard, index }, payload.len());
        match Payload::decode(payload) {
            Ok(record) => self.found.push(Found { place, bytes, arrival, record }),
            Err(InvalidPayload::Damaged) => {
                tracing::error!(?place, "a queue passes over a damaged record");
                self.damaged.push(place);
            }
            Err(error @ InvalidPayload::Version(_)) => return Err(QueueError::Payload(error)),
        }
        Ok(())
    }
}

async fn read(places: &[Place], shards: &[Arc<ShardLog>]) -> Result<Read, QueueError> {
    let mut read = Read::default();
    let mut room = MAX_ANSWER_BYTES;
    let follows = |a: &Place, b: &Place| a.shard == b.shard && a.index + 1 == b.index;
    for run in places.chunk_by(follows) {
        let Some(&first) = run.first().filter(|_| room > 0) else { break };
        let Some(log) = shards.iter().find(|log| log.id() == first.shard) else { continue };
        match log.read_async(first.index, ReadLimit { records: run.len(), bytes: room }).await {
            Ok(records) => {
                // From the oldest one that is kept, where the run begins before that.
                let last = run.last().map_or(first.index, |last| last.index);
                for record in records.into_iter().filter(|record| record.index <= last) {
                    room = room.saturating_sub(record.payload.len());
                    read.add(first.shard, record)?;
                }
            }
            Err(error @ RecordsError::Damaged { last, .. }) => {
                tracing::error!(%error, log = log.id().0, "a queue passes over damaged records");
                read.damaged.extend(run.iter().filter(|place| place.index <= last));
            }
            // The queue forgets the shard when it looks the next time.
            Err(RecordsError::Deleted) => {}
            Err(error @ RecordsError::Io { .. }) => return Err(error.into()),
        }
    }
    Ok(read)
}

/// Where in a shard a queue begins that does not know it yet.
fn starting_index(info: &QueueInfo, log: &ShardLog) -> u64 {
    match info.start {
        QueueStart::TrimHorizon => log.span().first,
        QueueStart::Latest => log.seek(info.created),
        QueueStart::At(at) => log.seek(at),
    }
}

/// Resolves when one of the shards has new records; never when there are none.
async fn news(mut tails: Vec<watch::Receiver<u64>>) {
    if tails.is_empty() {
        std::future::pending::<()>().await;
    }
    // A shard that went away is news too.
    let _ = select_all(tails.iter_mut().map(|tail| Box::pin(tail.changed()))).await;
}

async fn durable(append: Result<Option<Append>, PersistError>) -> Result<(), PersistError> {
    match append? {
        Some(append) => append.await.map(drop),
        None => Ok(()),
    }
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
