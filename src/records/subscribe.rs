//! SubscribeToShard: records are pushed to a consumer as they become durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::watch;

use super::consumers::ConsumerRef;
use super::iterator::StartingPosition;
use super::limits::PushRate;
use super::live::LiveShard;
use super::read::{ChildShard, Found, Record};
use super::sequence::SequenceNumber;
use super::{RecordStreams, RecordsError};
use crate::store::{CatalogError, ConsumerPositions, ReadLimit, RecordCatalog};
use crate::types::{Millis, ServerTimestamp, ShardId, StreamId, StreamName};

/// A consumer that subscribes again takes over from its earlier subscription, but not before that
/// is so old.
const TAKE_OVER_AFTER: Millis = Millis(5000);
/// What is pushed at once: little enough to be on its way soon.
const PUSH_LIMIT: ReadLimit = ReadLimit { records: 1000, bytes: 1 << 20 };

/// What a subscription gives.
#[derive(Clone, Debug)]
pub struct Push {
    /// In the order of their numbers; none to show that the subscription lives.
    pub records: Vec<Record>,
    /// A later subscription goes on after this; `None` at the end of a closed shard.
    pub continuation: Option<SequenceNumber>,
    /// How far the consumer is behind the newest record; 0 at the tail.
    pub behind: Millis,
    /// At the end of a closed shard, those that continue it.
    pub children: Vec<ChildShard>,
}

/// Why a subscription ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionEnd {
    /// The consumer subscribed anew.
    #[error("another subscription of the consumer took over")]
    TakenOver,
    /// The stream or the consumer is gone.
    #[error("the stream or the consumer is gone")]
    Gone,
    /// Reading failed.
    #[error(transparent)]
    Failed(RecordsError),
}

/// One consumer of one shard.
type Key = (StreamId, String, ShardId);

/// The subscriptions that are open, and how far consumers have come.
#[derive(Default)]
pub struct Subscriptions {
    open: DashMap<Key, Open>,
    /// The index that each consumer gets next, of each shard.
    positions: DashMap<Key, u64>,
    /// What of that is stored. Held while it is being stored.
    stored: Mutex<BTreeMap<StreamId, ConsumerPositions>>,
}

struct Open {
    since: ServerTimestamp,
    /// Turns true when another one takes over.
    taken_over: watch::Sender<bool>,
}

impl Subscriptions {
    /// The index that a consumer gets next of a shard, if it ever subscribed.
    pub fn position(&self, stream: StreamId, consumer: &str, shard: ShardId) -> Option<u64> {
        self.positions.get(&(stream, consumer.to_owned(), shard)).map(|next| *next)
    }

    /// Without open ones; how far consumers are, as the catalog has it.
    pub fn load(catalog: &RecordCatalog) -> Result<Self, CatalogError> {
        let stored = catalog.positions()?;
        let positions = stored.iter().flat_map(|(stream, ConsumerPositions(consumers))| {
            consumers.iter().flat_map(|(consumer, shards)| {
                let key = |shard: &u32| (*stream, consumer.clone(), ShardId(*shard));
                shards.iter().map(move |(shard, next)| (key(shard), *next))
            })
        });
        let positions = positions.collect();
        Ok(Self { open: DashMap::new(), positions, stored: Mutex::new(stored) })
    }

    /// Forgets how far those were who are gone, and stores the rest where it has changed. Blocks.
    pub fn store(&self, catalog: &RecordCatalog) -> Result<(), CatalogError> {
        self.positions.retain(|(stream, consumer, shard), _| {
            catalog.stream_by_id(*stream).is_some_and(|info| {
                let known = info.consumers.iter().any(|other| other.name == *consumer);
                known && info.shard(*shard).is_some()
            })
        });
        let mut now = BTreeMap::<_, ConsumerPositions>::new();
        for position in &self.positions {
            let (stream, consumer, shard) = position.key();
            let ConsumerPositions(consumers) = now.entry(*stream).or_default();
            consumers.entry(consumer.clone()).or_default().insert(shard.0, *position.value());
        }
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if *stored != now {
            catalog.store_positions(&now)?;
            *stored = now;
        }
        Ok(())
    }

    /// Begins a subscription, ending the one before; `None` when that is too young.
    fn begin(&self, key: &Key, now: ServerTimestamp) -> Option<watch::Receiver<bool>> {
        let (taken_over, receiver) = watch::channel(false);
        let mut entry = match self.open.entry(key.clone()) {
            dashmap::Entry::Vacant(entry) => {
                entry.insert(Open { since: now, taken_over });
                return Some(receiver);
            }
            dashmap::Entry::Occupied(entry) => entry,
        };
        if now.since(entry.get().since) < TAKE_OVER_AFTER {
            return None;
        }
        entry.insert(Open { since: now, taken_over }).taken_over.send_replace(true);
        Some(receiver)
    }
}

/// A consumer's subscription to a shard. Ends when it is dropped.
pub struct Subscription {
    streams: Arc<RecordStreams>,
    key: Key,
    consumer: ConsumerRef,
    shard: Arc<LiveShard>,
    next: u64,
    arrival: ServerTimestamp,
    until: ServerTimestamp,
    rate: PushRate,
    durable: watch::Receiver<u64>,
    changes: watch::Receiver<u64>,
    taken_over: watch::Receiver<bool>,
    ended: bool,
}

impl RecordStreams {
    /// Subscribes a consumer to a shard. A newer subscription takes over from an older one; one that
    /// is younger than five seconds is left alone.
    pub fn subscribe(
        self: &Arc<Self>,
        consumer: &ConsumerRef,
        shard: ShardId,
        position: StartingPosition,
    ) -> Result<Subscription, RecordsError> {
        let (_, live) = self.live(&consumer.stream)?;
        let changes = live.changes.subscribe();
        let (info, shard) = self.live_shard(&consumer.stream, shard)?;
        consumer.find(&info)?;
        let next = self.index_of(&info, &shard, position)?;
        let now = self.clock.now();
        let key = (info.id, consumer.name.clone(), shard.info.id);
        let lately = || RecordsError::SubscribedLately {
            consumer: consumer.name.clone(),
            shard: shard.info.id,
        };
        let taken_over = self.subscriptions.begin(&key, now).ok_or_else(lately)?;
        self.subscriptions.positions.insert(key.clone(), next);
        Ok(Subscription {
            streams: self.clone(),
            key,
            consumer: consumer.clone(),
            next,
            arrival: shard.info.created,
            until: now.plus(self.options.subscription),
            rate: PushRate::new(self.options.shard_limits, now),
            durable: shard.log.durable(),
            changes,
            taken_over,
            shard,
            ended: false,
        })
    }

    /// A stream's name by its id.
    fn name_of(&self, id: StreamId) -> Option<StreamName> {
        self.store.record_catalog().stream_by_id(id).map(|info| info.name.clone())
    }
}

impl Subscription {
    /// What comes next; waits for it. `None` when the subscription's time is over, or after the end
    /// of a closed shard. May be dropped and called again: nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Push, SubscriptionEnd>> {
        let keepalive = self.streams.clock.now().plus(self.streams.options.keepalive);
        loop {
            let now = self.streams.clock.now();
            if self.ended || now >= self.until {
                return None;
            }
            if let Err(end) = self.check() {
                self.ended = true;
                return Some(Err(end));
            }
            self.durable.borrow_and_update();
            self.changes.borrow_and_update();
            let pause = self.rate.wait(now);
            if pause == Millis(0) {
                match self.find().await {
                    Ok(found) if found.ended.is_some() || !found.records.is_empty() => {
                        return Some(Ok(self.push(found)));
                    }
                    Ok(found) => self.next = found.next,
                    Err(error) => {
                        self.ended = true;
                        return Some(Err(SubscriptionEnd::Failed(error)));
                    }
                }
            }
            if now >= keepalive {
                return Some(Ok(self.keepalive()));
            }
            self.wait(pause, keepalive.min(self.until).since(now)).await;
        }
    }

    fn check(&self) -> Result<(), SubscriptionEnd> {
        if *self.taken_over.borrow() {
            return Err(SubscriptionEnd::TakenOver);
        }
        let same = self.streams.name_of(self.key.0).is_some();
        if !same || self.streams.consumer(&self.consumer).is_err() {
            return Err(SubscriptionEnd::Gone);
        }
        Ok(())
    }

    async fn find(&self) -> Result<Found, RecordsError> {
        self.streams.find(&self.consumer.stream, &self.shard, self.next, PUSH_LIMIT).await
    }

    fn push(&mut self, found: Found) -> Push {
        self.rate.spend(found.bytes);
        self.next = found.next;
        self.arrival = found.records.last().map_or(self.arrival, |record| record.arrival);
        self.ended = found.ended.is_some();
        self.streams.subscriptions.positions.insert(self.key.clone(), self.next);
        Push {
            records: found.records,
            continuation: (!self.ended).then(|| self.continuation()),
            behind: found.behind,
            children: found.ended.unwrap_or_default(),
        }
    }

    fn keepalive(&self) -> Push {
        // Only the rate keeps a consumer from what is there.
        let waiting = self.next < self.shard.next();
        let oldest = waiting.then(|| self.shard.log.after(self.next.saturating_sub(1)).oldest);
        let now = self.streams.clock.now();
        Push {
            records: Vec::new(),
            continuation: Some(self.continuation()),
            behind: oldest.flatten().map_or(Millis(0), |oldest| now.since(oldest)),
            children: Vec::new(),
        }
    }

    /// The number of the record before the next one, whether this subscription gave it or not.
    fn continuation(&self) -> SequenceNumber {
        SequenceNumber::of(&self.shard.info, self.next.saturating_sub(1), self.arrival)
    }

    /// Waits for news, or until a pause for the rate is over.
    async fn wait(&mut self, pause: Millis, most: Millis) {
        let paused = pause > Millis(0);
        let most = if paused { pause.min(most) } else { most };
        let news = async {
            tokio::select! {
                changed = self.durable.changed(), if !paused => drop(changed),
                changed = self.changes.changed() => drop(changed),
                changed = self.taken_over.changed() => drop(changed),
            }
        };
        // At least a millisecond, the clock's step.
        let most = Duration::from_millis(most.0.max(1));
        drop(tokio::time::timeout(most, news).await);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mine = |open: &Open| open.taken_over.subscribe().same_channel(&self.taken_over);
        self.streams.subscriptions.open.remove_if(&self.key, |_, open| mine(open));
    }
}
