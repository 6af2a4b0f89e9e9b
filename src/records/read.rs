//! Reading a shard: where a reader begins, and what it gets next.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::iterator::{ShardIterator, StartingPosition};
use super::live::LiveShard;
use super::payload::{PartitionKey, Payload};
use super::sequence::SequenceNumber;
use super::shard::{children, is_gone, trim_horizon};
use super::{RecordStreams, RecordsError};
use crate::store::{self, ReadLimit, RecordStreamInfo, ShardInfo};
use crate::types::{HashRange, Millis, ServerTimestamp, ShardId, StreamName};

/// The most records of one answer.
pub const MAX_READ_RECORDS: usize = 10_000;
/// The most bytes of one answer, but for one record that is larger.
pub const MAX_READ_BYTES: usize = 10 << 20;

/// A record as readers get it. Shares the bytes of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub sequence: SequenceNumber,
    /// When it arrived.
    pub arrival: ServerTimestamp,
    /// What its producer chose; absent where the stream chose.
    pub partition_key: Option<PartitionKey>,
    /// What its producer gave.
    pub data: Bytes,
}

/// A shard that continues another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildShard {
    /// Its id.
    pub id: ShardId,
    /// Those that it continues.
    pub parents: Vec<ShardId>,
    /// The hash keys whose records it takes.
    pub range: HashRange,
}

/// What a reader gets.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In the order of their numbers; none when there is nothing new.
    pub records: Vec<Record>,
    /// Where to go on; `None` at the end of a closed shard.
    pub next: Option<ShardIterator>,
    /// How far the reader is behind the newest record; 0 at the tail.
    pub behind: Millis,
    /// At the end of a closed shard, those that continue it.
    pub children: Vec<ChildShard>,
}

/// What was found from an index on.
pub(super) struct Found {
    pub records: Vec<Record>,
    /// The index to go on with.
    pub next: u64,
    pub behind: Millis,
    /// The shards that go on, when this one has come to its end.
    pub ended: Option<Vec<ChildShard>>,
    /// Bytes of the records' payloads.
    pub bytes: u64,
}

impl RecordStreams {
    /// Where somebody begins to read who wants to begin at `position`.
    pub fn iterator(
        &self,
        stream: &StreamName,
        shard: ShardId,
        position: StartingPosition,
    ) -> Result<ShardIterator, RecordsError> {
        let (info, shard) = self.live_shard(stream, shard)?;
        let next = self.index_of(&info, &shard, position)?;
        Ok(ShardIterator { stream: info.id, shard: shard.info.id, next, issued: self.clock.now() })
    }

    /// Up to `limit` records from an iterator on, at most [`MAX_READ_RECORDS`]. At the tail, waits
    /// a moment for something to come.
    pub async fn read(&self, at: ShardIterator, limit: usize) -> Result<Batch, RecordsError> {
        let (name, shard) = self.place_of(at)?;
        if !shard.read_rate().call(self.clock.now()) {
            return Err(RecordsError::RateExceeded { stream: name, shard: at.shard });
        }
        let limit = limit.clamp(1, MAX_READ_RECORDS);
        let limit = ReadLimit { records: limit, bytes: MAX_READ_BYTES };
        let mut durable = shard.log.durable();
        let mut found = self.find(&name, &shard, at.next, limit).await?;
        if found.records.is_empty() && found.ended.is_none() {
            let news = durable.wait_for(|next| *next > found.next);
            let wait = Duration::from_millis(self.options.read_wait.0);
            if tokio::time::timeout(wait, news).await.is_ok() {
                found = self.find(&name, &shard, found.next, limit).await?;
            }
        }
        shard.read_rate().spend(found.bytes);
        let next = ShardIterator { next: found.next, issued: self.clock.now(), ..at };
        Ok(Batch {
            records: found.records,
            next: found.ended.is_none().then_some(next),
            behind: found.behind,
            children: found.ended.unwrap_or_default(),
        })
    }

    /// The newest records of a stream, newest first; of its shards, those that it has now.
    pub async fn newest(
        &self,
        stream: &StreamName,
        limit: usize,
    ) -> Result<Vec<Record>, RecordsError> {
        let (info, live) = self.live(stream)?;
        let shards = info.shards.iter().filter_map(|shard| live.shard(self, shard));
        let mut newest = Vec::new();
        for shard in shards {
            let mut next = shard.next().saturating_sub(limit as u64).max(1);
            while next < shard.next() {
                let read = ReadLimit { records: limit, bytes: MAX_READ_BYTES };
                let found = self.find(stream, &shard, next, read).await?;
                if found.next <= next {
                    break;
                }
                next = found.next;
                newest.extend(found.records);
            }
        }
        newest.sort_by_key(|record| std::cmp::Reverse((record.arrival, record.sequence.index())));
        newest.truncate(limit);
        Ok(newest)
    }

    /// Whether [`RecordStreams::read`] would read from an iterator, but for the shard's rate.
    pub fn check_read(&self, at: ShardIterator) -> Result<(), RecordsError> {
        self.place_of(at).map(drop)
    }

    /// The stream and the shard of an iterator that can be used.
    fn place_of(&self, at: ShardIterator) -> Result<(StreamName, Arc<LiveShard>), RecordsError> {
        let now = self.clock.now();
        if at.expired(now) {
            return Err(RecordsError::ExpiredIterator { issued: at.issued, now });
        }
        let info = self.store.record_catalog().stream_by_id(at.stream);
        let name = info.ok_or(RecordsError::StaleIterator)?.name.clone();
        let (_, shard) = self.live_shard(&name, at.shard)?;
        Ok((name, shard))
    }

    /// Reads from an index on.
    pub(super) async fn find(
        &self,
        stream: &StreamName,
        shard: &LiveShard,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Found, RecordsError> {
        // Before the records: what is read then is all that a shard that is closed will ever have.
        let info = self.info(stream)?;
        let now = self.clock.now();
        let horizon = trim_horizon(&info, now);
        let mut next = from;
        let stored = loop {
            match shard.log.read_async(next, limit).await {
                // Only then: the index is not asked for what is new.
                Ok(stored) if stored.first().is_some_and(|first| first.arrival < horizon) => {
                    next = shard.log.seek(horizon).max(next + 1);
                }
                Ok(stored) => break stored,
                Err(store::RecordsError::Damaged { first, last }) => {
                    tracing::error!(%stream, shard = %shard.info.id, first, last, "damaged records");
                    next = last + 1;
                }
                Err(store::RecordsError::Deleted) => {
                    return Err(RecordsError::NoSuchStream(stream.clone()));
                }
                Err(error) => return Err(RecordsError::Unreadable(error.to_string())),
            }
        };
        let newest = stored.last().map(|record| (record.index, record.arrival));
        next = newest.map_or(next, |(index, _)| index + 1);
        if newest.is_none() && next < shard.next() {
            // All from here on has expired: the end of a closed shard is reached all the same.
            next = next.max(shard.log.span().first);
        }
        let tip = next >= shard.next();
        let behind = newest.map_or(Millis(0), |(_, arrival)| now.since(arrival));
        let closed = info.shard(shard.info.id).and_then(|shard| shard.closed);
        let ended = closed.is_some_and(|closed| next >= closed.end);
        let bytes = stored.iter().map(|record| record.payload.len() as u64).sum();
        Ok(Found {
            records: stored.into_iter().filter_map(|record| of(&shard.info, record)).collect(),
            next,
            behind: if tip { Millis(0) } else { behind },
            ended: ended.then(|| continued_by(&info, shard.info.id)),
            bytes,
        })
    }

    /// A shard in memory, with its stream's facts.
    pub(super) fn live_shard(
        &self,
        stream: &StreamName,
        id: ShardId,
    ) -> Result<(Arc<RecordStreamInfo>, Arc<LiveShard>), RecordsError> {
        let (info, live) = self.live(stream)?;
        let now = self.clock.now();
        let known = info.shard(id).filter(|shard| !is_gone(&info, shard, now));
        let shard = known.and_then(|shard| live.shard(self, shard));
        let missing = || RecordsError::NoSuchShard { stream: stream.clone(), shard: id };
        shard.map(|shard| (info, shard)).ok_or_else(missing)
    }

    /// The index of the first record that a reader gets who begins at `position`.
    pub(super) fn index_of(
        &self,
        info: &RecordStreamInfo,
        shard: &LiveShard,
        position: StartingPosition,
    ) -> Result<u64, RecordsError> {
        let own = |number: SequenceNumber| {
            let (stream, shard_id) = (info.name.clone(), shard.info.id);
            let foreign = RecordsError::ForeignSequenceNumber { stream, shard: shard_id };
            if shard.gave(info, number) { Ok(number.index()) } else { Err(foreign) }
        };
        Ok(match position {
            StartingPosition::TrimHorizon => shard.log.seek(trim_horizon(info, self.clock.now())),
            StartingPosition::Latest => shard.next(),
            StartingPosition::At(number) => own(number)?,
            StartingPosition::After(number) => own(number)?.saturating_add(1),
            StartingPosition::Timestamp(at) => shard.log.seek(at),
        })
    }
}

/// A record of a shard. One that this program can not read is left out, and told of.
fn of(shard: &ShardInfo, stored: store::StoredRecord) -> Option<Record> {
    match Payload::decode(stored.payload) {
        Ok(Payload { partition_key, data, .. }) => {
            let sequence = SequenceNumber::of(shard, stored.index, stored.arrival);
            Some(Record { sequence, arrival: stored.arrival, partition_key, data })
        }
        Err(error) => {
            tracing::error!(shard = %shard.id, index = stored.index, %error, "unreadable record");
            None
        }
    }
}

fn continued_by(info: &RecordStreamInfo, parent: ShardId) -> Vec<ChildShard> {
    let child = |shard: &ShardInfo| ChildShard {
        id: shard.id,
        parents: shard.parents.clone(),
        range: shard.range,
    };
    children(info, parent).map(child).collect()
}
