//! Putting records: which shard takes each, whether it may, and what it is called then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, watch};

use super::dedupe::{DedupeKey, DedupeWindow, Known};
use super::live::{LiveShard, Routing};
use super::payload::Payload;
use super::sequence::SequenceNumber;
use super::shard::hash_of;
use super::{RecordStreams, RecordsError};
use crate::store::{
    self, Append, CapacityMode, Distribution, PersistError, ReadLimit, RecordStreamInfo, ShardInfo,
    ShardLog, Store,
};
use crate::types::{HashKey, Millis, ServerTimestamp, ShardId, StreamName};

/// Records of one request.
pub const MAX_BATCH_RECORDS: usize = 500;
/// Bytes of their data and partition keys.
pub const MAX_BATCH_BYTES: usize = 10 << 20;
/// Of so many records for each dedupe key that is remembered, the keys are read back after a start.
const READ_BACK_RECORDS: usize = 16;
/// What of them is read at once.
const READ_BACK_STEP: ReadLimit = ReadLimit { records: 10_000, bytes: 4 << 20 };

/// Where a record is, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The shard that has it.
    pub shard: ShardId,
    /// Its number there.
    pub sequence: SequenceNumber,
}

/// Why one record of several was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its shard has taken as much as it may in the last second.
    #[error("the rate of {0} is exceeded")]
    RateExceeded(ShardId),
    /// The store did not take it.
    #[error("{0}")]
    Unavailable(String),
}

impl RecordStreams {
    /// Puts up to [`MAX_BATCH_RECORDS`] records of [`MAX_BATCH_BYTES`], each on its own: some may be
    /// refused; of the others, those of one shard are stored in their order. The shards of on-demand
    /// streams have no rate. What was begun goes on when the caller goes away.
    pub async fn put(
        &self,
        stream: &StreamName,
        records: Vec<Payload>,
    ) -> Result<Vec<Result<Placed, Refused>>, RecordsError> {
        let (info, live) = self.live(stream)?;
        check(&info, &records)?;
        let routing = live.routing.clone();
        if let Some(shard) = routing.read().await.any() {
            let ready = shard.log.ready().await;
            ready.map_err(|error| unavailable(stream, &error))?;
        }
        let putting = self.putting(&info);
        let routing = routing.read_owned().await;
        if routing.is_uncertain() {
            let why = "whether the stream's shards were changed is known after a restart";
            return Err(RecordsError::Unavailable(format!("stream {stream}: {why}")));
        }
        // Until now the stream may have got other shards; from here on it has those of the routing.
        let info = self.store.record_catalog().stream_by_id(info.id);
        let info = info.ok_or_else(|| RecordsError::NoSuchStream(stream.clone()))?;
        let put = tokio::spawn(async move { putting.run(info, routing, records).await });
        put.await.map_err(|error| RecordsError::Unavailable(error.to_string()))
    }

    /// Puts one record; its number is larger than `after`, a number of an earlier record of the
    /// stream with the same hash key.
    pub async fn put_one(
        &self,
        stream: &StreamName,
        record: Payload,
        after: Option<SequenceNumber>,
    ) -> Result<Placed, RecordsError> {
        self.check_after(stream, after)?;
        let placed = self.put(stream, vec![record]).await?.pop();
        placed.map_or_else(
            || Err(RecordsError::Unavailable("nothing was put".to_owned())),
            |placed| {
                placed.map_err(|refused| match refused {
                    Refused::RateExceeded(shard) => {
                        RecordsError::RateExceeded { stream: stream.clone(), shard }
                    }
                    Refused::Unavailable(why) => RecordsError::Unavailable(why),
                })
            },
        )
    }

    /// Whether records would be put, but for the rates of shards: what [`RecordStreams::put_one`]
    /// and, without `after`, [`RecordStreams::put`] refuse as a whole.
    pub fn check_put(
        &self,
        stream: &StreamName,
        records: &[Payload],
        after: Option<SequenceNumber>,
    ) -> Result<(), RecordsError> {
        self.check_after(stream, after)?;
        check(&*self.info(stream)?, records)
    }

    /// Numbers of a stream grow with the indices of a shard, and from parents to children: nothing
    /// has to be done for an order that clients ask for, if they ask for one that this stream gave.
    fn check_after(
        &self,
        stream: &StreamName,
        after: Option<SequenceNumber>,
    ) -> Result<(), RecordsError> {
        let Some(after) = after else { return Ok(()) };
        let (info, live) = self.live(stream)?;
        let own = match info.shard(after.shard()).and_then(|shard| live.shard(self, shard)) {
            Some(shard) => shard.gave(&info, after),
            None => after.shard().0 < info.next_shard,
        };
        let foreign = || RecordsError::ForeignSequenceNumber {
            stream: info.name.clone(),
            shard: after.shard(),
        };
        own.then_some(()).ok_or_else(foreign)
    }

    fn putting(&self, info: &RecordStreamInfo) -> Putting {
        let Self { store, clock, options, .. } = self;
        let (window, keys) = (options.dedupe_window, options.dedupe_keys);
        let limited = info.mode == CapacityMode::Provisioned;
        Putting { store: store.clone(), now: clock.now(), limited, window, keys }
    }
}

fn check(info: &RecordStreamInfo, records: &[Payload]) -> Result<(), RecordsError> {
    let limit = info.max_record_kib as usize * 1024;
    for (at, record) in records.iter().enumerate() {
        let bytes = record.counted_bytes();
        if bytes > limit {
            return Err(RecordsError::RecordTooLarge { at, bytes, limit });
        }
        let needs_key = info.distribution == Distribution::PartitionKey && record.hash.is_none();
        if needs_key && record.partition_key.is_none() {
            return Err(RecordsError::NoPartitionKey { at });
        }
    }
    let bytes = records.iter().map(Payload::counted_bytes).sum();
    if records.len() > MAX_BATCH_RECORDS || (records.len() > 1 && bytes > MAX_BATCH_BYTES) {
        return Err(RecordsError::BatchTooLarge { records: records.len(), bytes });
    }
    Ok(())
}

fn unavailable(stream: &StreamName, error: &PersistError) -> RecordsError {
    match error {
        PersistError::StreamDeleted => RecordsError::NoSuchStream(stream.clone()),
        other => RecordsError::Unavailable(other.to_string()),
    }
}

/// What one put needs.
struct Putting {
    store: Arc<Store>,
    now: ServerTimestamp,
    /// An on-demand stream has no shards to add when they are too slow, so they take what comes.
    limited: bool,
    window: Millis,
    keys: usize,
}

/// What becomes of one record.
enum Fate {
    Refused(Refused),
    /// It is the n-th of the records that its shard's append takes.
    Appended(usize),
    /// It was put before.
    Known(Known),
}

/// The records of a put that one shard takes.
struct Group {
    shard: Arc<LiveShard>,
    /// Each with its place in the request.
    records: Vec<(usize, Payload)>,
}

/// A group whose append is on its way.
struct Underway {
    shard: Arc<LiveShard>,
    fates: Vec<(usize, Fate)>,
    append: Result<Append, PersistError>,
    /// Keys to be settled, with the place of their record in the append, and who waits for it.
    keys: Vec<(DedupeKey, usize, watch::Sender<Option<SequenceNumber>>)>,
}

type Outcome = Result<Placed, Refused>;

impl Putting {
    async fn run(
        self,
        info: Arc<RecordStreamInfo>,
        routing: OwnedRwLockReadGuard<Routing>,
        records: Vec<Payload>,
    ) -> Vec<Outcome> {
        let gone = || Err(Refused::Unavailable("the stream was deleted".to_owned()));
        let mut outcomes: Vec<Outcome> = records.iter().map(|_| gone()).collect();
        let mut underway = Vec::new();
        for group in grouped(&routing, records) {
            if group.records.iter().any(|(_, record)| record.dedupe.is_some())
                && let Err(error) = self.read_back(&info, &group.shard).await
            {
                let refused = Refused::Unavailable(error);
                let places = group.records.iter().map(|(place, _)| *place);
                places.for_each(|place| outcomes[place] = Err(refused.clone()));
                continue;
            }
            underway.push(self.append(group));
        }
        for group in underway {
            for (place, outcome) in group.finish().await {
                outcomes[place] = outcome;
            }
        }
        // Not before: a reshard must find all of it in the log.
        drop(routing);
        outcomes
    }

    /// Hands what may be put to the log.
    fn append(&self, group: Group) -> Underway {
        let Group { shard, records } = group;
        let (mut fates, mut payloads, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let window = shard.dedupe.get().map(locked);
        let (mut window, mut rate) = (window, shard.write_rate());
        for (place, record) in records {
            let key = record.dedupe.zip(window.as_mut());
            if let Some(known) = key.as_ref().and_then(|(key, window)| window.find(*key, self.now))
            {
                fates.push((place, Fate::Known(known.clone())));
                continue;
            }
            if self.limited && !rate.take(record.counted_bytes() as u64, self.now) {
                let refused = Refused::RateExceeded(shard.info.id);
                fates.push((place, Fate::Refused(refused)));
                continue;
            }
            if let Some((key, window)) = key {
                let (tell, pending) = watch::channel(None);
                window.insert(key, Known::Pending(pending), self.now);
                keys.push((key, payloads.len(), tell));
            }
            fates.push((place, Fate::Appended(payloads.len())));
            payloads.push(record.encode());
        }
        drop((window, rate));
        let append = shard.log.append(payloads);
        Underway { shard, fates, append, keys }
    }

    /// Reads the dedupe keys of the newest records of a shard, and of those that it continues.
    async fn read_back(&self, info: &RecordStreamInfo, shard: &LiveShard) -> Result<(), String> {
        let read = || async {
            let from = self.now.minus(self.window);
            let mut found = Vec::new();
            let (mut lineage, mut seen) = (vec![shard.info.id], BTreeSet::new());
            while let Some(id) = lineage.pop() {
                // Those that were split and merged again are met by way of both halves.
                let Some(info_of) = info.shard(id).filter(|_| seen.insert(id)) else { continue };
                if info_of.closed.is_none_or(|closed| closed.at >= from)
                    && let Some(log) = self.store.shard(info_of.log)
                {
                    read_keys(info_of, &log, from, self.keys, &mut found).await?;
                    lineage.extend(&info_of.parents);
                }
            }
            found.sort_by_key(|(arrival, ..)| *arrival);
            let mut window = DedupeWindow::new(self.window, self.keys);
            for (arrival, key, number) in found {
                window.insert(key, Known::Stored(number), arrival);
            }
            Ok(Mutex::new(window))
        };
        shard.dedupe.get_or_try_init(read).await.map(drop)
    }
}

async fn read_keys(
    shard: &ShardInfo,
    log: &ShardLog,
    from: ServerTimestamp,
    keys: usize,
    found: &mut Vec<(ServerTimestamp, DedupeKey, SequenceNumber)>,
) -> Result<(), String> {
    let newest = log.span().next.saturating_sub((keys * READ_BACK_RECORDS) as u64);
    let mut next = log.seek(from).max(newest);
    loop {
        let records = match log.read_async(next, READ_BACK_STEP).await {
            Ok(records) => records,
            // Whoever retries one of them puts it anew.
            Err(store::RecordsError::Damaged { last, .. }) => {
                next = last + 1;
                continue;
            }
            Err(error) => return Err(error.to_string()),
        };
        let Some(last) = records.last() else { return Ok(()) };
        next = last.index + 1;
        for record in records {
            let key = Payload::decode(record.payload).ok().and_then(|payload| payload.dedupe);
            if let Some(key) = key {
                let number = SequenceNumber::of(shard, record.index, record.arrival);
                found.push((record.arrival, key, number));
            }
        }
    }
}

/// Which shard takes which of the records; each keeps its place.
fn grouped(routing: &Routing, records: Vec<Payload>) -> Vec<Group> {
    let mut groups = BTreeMap::<ShardId, Group>::new();
    for (place, record) in records.into_iter().enumerate() {
        let key = record.partition_key.as_ref();
        let hash = record.hash.or_else(|| key.map(|key| hash_of(key.as_str())));
        // A name is known to one shard only: without a key, the name decides.
        let hash = hash.or_else(|| record.dedupe.map(|name| HashKey(name.0)));
        let shard = hash.map_or_else(|| routing.next(), |hash| routing.shard(hash));
        // A stream always has a shard for each key, unless it is being deleted.
        let Some(shard) = shard else { continue };
        let new = || Group { shard: shard.clone(), records: Vec::new() };
        groups.entry(shard.info.id).or_insert_with(new).records.push((place, record));
    }
    groups.into_values().collect()
}

impl Underway {
    async fn finish(self) -> Vec<(usize, Outcome)> {
        let appended = match self.append {
            Ok(append) => append.await,
            Err(error) => Err(error),
        };
        let info = &self.shard.info;
        let number = |nth: usize| {
            let appended = appended.as_ref().ok()?;
            Some(SequenceNumber::of(info, appended.first + nth as u64, appended.arrival))
        };
        for (key, nth, tell) in self.keys {
            if let Some(window) = self.shard.dedupe.get() {
                locked(window).settle(key, number(nth));
            }
            tell.send_replace(number(nth));
        }
        let refused = |error: &PersistError| Refused::Unavailable(error.to_string());
        let mut outcomes = Vec::with_capacity(self.fates.len());
        for (place, fate) in self.fates {
            let outcome = match fate {
                Fate::Refused(refused) => Err(refused),
                Fate::Appended(nth) => match (&appended, number(nth)) {
                    (Ok(_), Some(sequence)) => Ok(Placed { shard: info.id, sequence }),
                    (Err(error), _) => Err(refused(error)),
                    (Ok(_), None) => continue,
                },
                Fate::Known(known) => earlier(known).await,
            };
            outcomes.push((place, outcome));
        }
        outcomes
    }
}

/// Where the record is that was put first.
async fn earlier(known: Known) -> Outcome {
    let number = match known {
        Known::Stored(number) => Some(number),
        Known::Pending(mut pending) => {
            let settled = pending.wait_for(Option::is_some).await;
            settled.ok().and_then(|number| *number)
        }
    };
    let placed = number.map(|sequence| Placed { shard: sequence.shard(), sequence });
    let lost = || Refused::Unavailable("the first record of this name was not stored".to_owned());
    placed.ok_or_else(lost)
}

fn locked(window: &Mutex<DedupeWindow>) -> MutexGuard<'_, DedupeWindow> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}
