//! What is in memory of a stream that is written or read: which shard takes a hash key, and how fast
//! each shard may go.
//!
//! A put holds the routing, for reading, until its records are durable. A change of shards holds it
//! for writing: so when a shard is closed, all its records are in its log, and none comes after.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use tokio::sync::{OnceCell, RwLock, watch};

use super::dedupe::DedupeWindow;
use super::limits::{ReadRate, WriteRate};
use super::sequence::SequenceNumber;
use super::{Options, RecordStreams, RecordsError};
use crate::clock::Clock;
use crate::store::{RecordStreamInfo, ShardInfo, ShardLog, Store};
use crate::types::{HashKey, ShardId, StreamName};

/// A stream in memory.
pub struct LiveStream {
    /// Which shard takes what.
    pub routing: Arc<RwLock<Routing>>,
    /// Every shard that somebody asked for.
    shards: DashMap<ShardId, Arc<LiveShard>>,
    /// Changes with the stream's facts, so that those who wait look again.
    pub changes: watch::Sender<u64>,
}

/// The open shards in the order of their hash keys.
#[derive(Default)]
pub struct Routing {
    open: Vec<Arc<LiveShard>>,
    /// Whether nobody knows which shards are open.
    uncertain: bool,
    /// Where the next record goes that has no key.
    turn: AtomicUsize,
}

/// A shard in memory.
pub struct LiveShard {
    /// As it was when it was first asked for. That it is closed is told by the stream's facts.
    pub info: ShardInfo,
    /// Its records.
    pub log: Arc<ShardLog>,
    write_rate: Mutex<WriteRate>,
    read_rate: Mutex<ReadRate>,
    /// Read back from the log when the first record with a dedupe key comes.
    pub dedupe: OnceCell<Mutex<DedupeWindow>>,
}

impl Routing {
    /// The routing of a stream of which nobody knows the open shards: takes nothing.
    pub fn uncertain() -> Self {
        Self { uncertain: true, ..Self::default() }
    }

    /// Whether nobody knows the open shards.
    pub fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    /// The shard that takes a hash key.
    pub fn shard(&self, key: HashKey) -> Option<&Arc<LiveShard>> {
        let behind = self.open.partition_point(|shard| shard.info.range.start <= key);
        self.open.get(behind.checked_sub(1)?)
    }

    /// Any shard.
    pub fn any(&self) -> Option<&Arc<LiveShard>> {
        self.open.first()
    }

    /// Any shard, each in its turn.
    pub fn next(&self) -> Option<&Arc<LiveShard>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.open.get(turn % self.open.len().max(1))
    }
}

impl LiveShard {
    /// The index behind the newest durable record.
    pub fn next(&self) -> u64 {
        *self.log.durable().borrow()
    }

    /// Whether a number is one that clients have of this shard: its starting one, one of a record
    /// that was acknowledged, or its ending one. A reader who began behind them would miss records.
    pub fn gave(&self, info: &RecordStreamInfo, number: SequenceNumber) -> bool {
        let ending = || info.shard(self.info.id).and_then(SequenceNumber::ending);
        number.belongs_to(&self.info) && (number.index() < self.next() || ending() == Some(number))
    }

    /// What may be put.
    pub fn write_rate(&self) -> MutexGuard<'_, WriteRate> {
        self.write_rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be read.
    pub fn read_rate(&self) -> MutexGuard<'_, ReadRate> {
        self.read_rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveStream {
    /// A stream as the catalog has it.
    pub fn new(records: &RecordStreams, info: &RecordStreamInfo) -> Self {
        let live = Self {
            routing: Arc::default(),
            shards: DashMap::new(),
            changes: watch::Sender::new(0),
        };
        let routing = live.route(records, info);
        Self { routing: Arc::new(RwLock::new(routing)), ..live }
    }

    /// The routing of a stream with these facts.
    pub fn route(&self, records: &RecordStreams, info: &RecordStreamInfo) -> Routing {
        let mut open: Vec<_> =
            info.open_shards().filter_map(|shard| self.shard(records, shard)).collect();
        open.sort_by_key(|shard| shard.info.range.start);
        Routing { open, ..Routing::default() }
    }

    /// A shard; `None` when it is gone.
    pub fn shard(&self, records: &RecordStreams, info: &ShardInfo) -> Option<Arc<LiveShard>> {
        if let Some(shard) = self.shards.get(&info.id) {
            return Some(shard.clone());
        }
        let shard = LiveShard::new(&records.store, &records.clock, &records.options, info)?;
        Some(self.shards.entry(info.id).or_insert_with(|| Arc::new(shard)).clone())
    }

    /// Forgets shards that the stream does not have any more.
    pub fn forget_gone(&self, info: &RecordStreamInfo) {
        self.shards.retain(|id, _| info.shard(*id).is_some());
    }

    /// Wakes those who wait.
    pub fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl LiveShard {
    fn new(store: &Store, clock: &Clock, options: &Options, info: &ShardInfo) -> Option<Self> {
        let now = clock.now();
        Some(Self {
            info: info.clone(),
            log: store.shard(info.log)?,
            write_rate: Mutex::new(WriteRate::new(options.shard_limits, now)),
            read_rate: Mutex::new(ReadRate::new(options.shard_limits, now)),
            dedupe: OnceCell::new(),
        })
    }
}

impl RecordStreams {
    /// A stream in memory, with its facts.
    pub(super) fn live(
        &self,
        name: &StreamName,
    ) -> Result<(Arc<RecordStreamInfo>, Arc<LiveStream>), RecordsError> {
        let info = self.info(name)?;
        if let Some(live) = self.live.get(&info.id) {
            return Ok((info, live.clone()));
        }
        let entry = self.live.entry(info.id);
        // Asked again under the entry's lock: what is made here is found by the next reshard.
        let info = self.info(name)?;
        if info.id != *entry.key() {
            return Err(RecordsError::NoSuchStream(name.clone()));
        }
        let live = entry.or_insert_with(|| Arc::new(LiveStream::new(self, &info))).clone();
        Ok((info, live))
    }
}
