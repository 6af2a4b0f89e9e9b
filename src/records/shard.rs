//! How a stream's hash keys are divided, and how that changes: pure.
//!
//! Shards are only ever split in two or merged in twos, so each has at most two parents and two
//! children, as readers that follow the lineage expect.

use md5::{Digest, Md5};

use crate::store::{Closed, RecordStreamInfo, ShardInfo};
use crate::types::{HashKey, HashRange, Millis, ServerTimestamp, ShardId, StreamId};

/// The hash key of a partition key.
pub fn hash_of(partition_key: &str) -> HashKey {
    HashKey(u128::from_be_bytes(Md5::digest(partition_key).into()))
}

/// The ranges of `count` shards, all of one width but for the last.
pub fn uniform_ranges(count: u32) -> Vec<HashRange> {
    let parts = u128::from(count.max(1));
    // 2¹²⁸ / parts, rounded down: one more than (2¹²⁸ − 1) / parts where it divides evenly.
    let width = (u128::MAX / parts).wrapping_add(u128::from(parts.is_power_of_two()));
    let start = |part: u128| width.wrapping_mul(part);
    let end = |part| if part + 1 == parts { u128::MAX } else { start(part + 1) - 1 };
    (0..parts).map(|part| range(start(part), end(part))).collect()
}

fn range(start: u128, end: u128) -> HashRange {
    HashRange { start: HashKey(start), end: HashKey(end) }
}

/// Why shards were not split or merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReshardError {
    /// The stream has no such shard.
    #[error("there is no {0}")]
    NoSuchShard(ShardId),
    /// It was split or merged before.
    #[error("{0} is closed")]
    Closed(ShardId),
    /// Both halves must have a hash key to spare: `start + 1 < at < end`.
    #[error("{at} does not lie inside of {shard}")]
    SplitOutside {
        /// The shard to split.
        shard: ShardId,
        /// The hash keys it has.
        range: HashRange,
        /// Where it was to be split.
        at: HashKey,
    },
    /// Their hash keys do not touch.
    #[error("{0} and {1} are not adjacent")]
    NotAdjacent(ShardId, ShardId),
}

/// One change of a stream's shards.
pub struct Reshard<'a> {
    /// The stream.
    pub stream: &'a mut RecordStreamInfo,
    /// The present.
    pub now: ServerTimestamp,
    /// Makes the log of a new shard.
    pub new_log: &'a mut dyn FnMut() -> StreamId,
    /// The index after the last record of a log; nothing may be added to it any more.
    pub end_of: &'a dyn Fn(StreamId) -> u64,
}

impl Reshard<'_> {
    /// The first shards of a new stream.
    pub fn begin(&mut self, count: u32) {
        for range in uniform_ranges(count) {
            self.open(range, Vec::new(), 0);
        }
    }

    /// Splits a shard; the upper half begins at `at`.
    pub fn split(&mut self, id: ShardId, at: HashKey) -> Result<(), ReshardError> {
        let HashRange { start, end } = self.open_shard(id)?.range;
        if at.0 <= start.0.saturating_add(1) || at >= end {
            let range = HashRange { start, end };
            return Err(ReshardError::SplitOutside { shard: id, range, at });
        }
        self.split_at(id, at);
        Ok(())
    }

    /// Merges two shards.
    pub fn merge(&mut self, id: ShardId, adjacent: ShardId) -> Result<(), ReshardError> {
        let (one, other) = (self.open_shard(id)?.range, self.open_shard(adjacent)?.range);
        if !one.touches(&other) && !other.touches(&one) {
            return Err(ReshardError::NotAdjacent(id, adjacent));
        }
        self.join(id, adjacent);
        Ok(())
    }

    /// Brings the stream to `count` open shards of one width, by splits and merges. Shards that
    /// lie between have no records and are closed already.
    pub fn scale(&mut self, count: u32) {
        let targets = uniform_ranges(count);
        let before: Vec<_> =
            self.stream.open_shards().map(|shard| (shard.id, shard.range)).collect();
        for (id, range) in before {
            let inside = |start: &HashKey| range.start < *start && range.contains(*start);
            let bounds: Vec<_> = targets.iter().map(|target| target.start).filter(inside).collect();
            self.split_at_all(id, &bounds);
        }
        for target in targets {
            let mut pieces: Vec<_> = self.stream.open_shards().collect();
            pieces.retain(|shard| target.contains(shard.range.start));
            pieces.sort_by_key(|shard| shard.range.start);
            let mut pieces =
                pieces.into_iter().map(|shard| shard.id).collect::<Vec<_>>().into_iter();
            let first = pieces.next();
            pieces.fold(first, |merged, piece| merged.map(|merged| self.join(merged, piece)));
        }
    }

    /// Splits at each of several bounds, the middle one first.
    fn split_at_all(&mut self, id: ShardId, bounds: &[HashKey]) {
        let middle = bounds.len() / 2;
        if let Some(&bound) = bounds.get(middle) {
            let (lower, upper) = self.split_at(id, bound);
            self.split_at_all(lower, &bounds[..middle]);
            self.split_at_all(upper, &bounds[middle + 1..]);
        }
    }

    fn split_at(&mut self, id: ShardId, at: HashKey) -> (ShardId, ShardId) {
        let closed = self.close(id);
        let HashRange { start, end } = closed.range;
        let lower = range(start.0, at.0 - 1);
        let lower = self.open(lower, vec![id], closed.epoch + 1);
        (lower, self.open(range(at.0, end.0), vec![id], closed.epoch + 1))
    }

    fn join(&mut self, id: ShardId, adjacent: ShardId) -> ShardId {
        let (one, other) = (self.close(id), self.close(adjacent));
        let start = one.range.start.min(other.range.start);
        let end = one.range.end.max(other.range.end);
        let epoch = one.epoch.max(other.epoch) + 1;
        self.open(HashRange { start, end }, vec![id, adjacent], epoch)
    }

    fn open_shard(&self, id: ShardId) -> Result<&ShardInfo, ReshardError> {
        let shard = self.stream.shard(id).ok_or(ReshardError::NoSuchShard(id))?;
        if shard.closed.is_some() { Err(ReshardError::Closed(id)) } else { Ok(shard) }
    }

    fn open(&mut self, range: HashRange, parents: Vec<ShardId>, least_epoch: u64) -> ShardId {
        let id = ShardId(self.stream.next_shard);
        self.stream.next_shard += 1;
        let seconds = u64::try_from(self.now.as_millis() / 1000).unwrap_or(0);
        self.stream.shards.push(ShardInfo {
            id,
            log: (self.new_log)(),
            parents,
            range,
            epoch: seconds.max(least_epoch),
            created: self.now,
            closed: None,
        });
        id
    }

    fn close(&mut self, id: ShardId) -> ShardInfo {
        let at = self.stream.shards.binary_search_by_key(&id, |shard| shard.id);
        let at = at.expect("callers close what they found open");
        let shard = &mut self.stream.shards[at];
        shard.closed = Some(Closed { at: self.now, end: (self.end_of)(shard.log) });
        shard.clone()
    }
}

/// Which shards a listing is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardFilter {
    /// Those that take records.
    AtLatest,
    /// Those that took records at the oldest moment that is kept.
    AtTrimHorizon,
    /// Those and all since.
    FromTrimHorizon,
    /// Those that took records at a moment.
    AtTimestamp(ServerTimestamp),
    /// Those and all since.
    FromTimestamp(ServerTimestamp),
    /// Those with larger ids.
    After(ShardId),
}

/// The oldest moment from which a stream keeps records.
pub fn trim_horizon(stream: &RecordStreamInfo, now: ServerTimestamp) -> ServerTimestamp {
    let kept = Millis(u64::from(stream.retention_hours) * 3_600_000);
    now.minus(kept).max(stream.created)
}

/// Whether all records of a shard have expired, so that it is no more.
pub fn is_gone(stream: &RecordStreamInfo, shard: &ShardInfo, now: ServerTimestamp) -> bool {
    let kept = Millis(u64::from(stream.retention_hours) * 3_600_000);
    shard.closed.is_some_and(|closed| closed.at < now.minus(kept))
}

/// Whether a listing with `filter` names a shard.
pub fn is_listed(
    stream: &RecordStreamInfo,
    shard: &ShardInfo,
    filter: Option<ShardFilter>,
    now: ServerTimestamp,
) -> bool {
    let horizon = trim_horizon(stream, now);
    let from = |at: ServerTimestamp| shard.closed.is_none_or(|closed| closed.at > at);
    let open_at = |at: ServerTimestamp| shard.created <= at && from(at);
    let passes = match filter {
        None => true,
        Some(ShardFilter::AtLatest) => shard.closed.is_none(),
        Some(ShardFilter::AtTrimHorizon) => open_at(horizon),
        Some(ShardFilter::FromTrimHorizon) => from(horizon),
        Some(ShardFilter::AtTimestamp(at)) => open_at(at.max(horizon)),
        Some(ShardFilter::FromTimestamp(at)) => from(at.max(horizon)),
        Some(ShardFilter::After(id)) => shard.id > id,
    };
    passes && !is_gone(stream, shard, now)
}

/// The shards that continue `parent`, by id.
pub fn children(stream: &RecordStreamInfo, parent: ShardId) -> impl Iterator<Item = &ShardInfo> {
    stream.shards.iter().filter(move |shard| shard.parents.contains(&parent))
}

#[cfg(test)]
mod tests;
