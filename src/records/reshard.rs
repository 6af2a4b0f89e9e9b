//! Changes of a stream's shards, while it is written and read. They must not be called from a task,
//! as they block for those who put records.

use super::live::Routing;
use super::shard::{Reshard, ReshardError};
use super::streams::within_a_day;
use super::{LimitExceeded, RecordStreams, RecordsError};
use crate::store::{CapacityMode, RecordStreamInfo};
use crate::types::{HashKey, ShardId, StreamName};

/// Shards of a stream, open and closed ones. Closed ones go with their records, so only somebody who
/// splits and merges without end meets this.
const MAX_STREAM_SHARDS: usize = 10_000;
/// Scalings of a stream within a day.
const SCALINGS_PER_DAY: usize = 10;

impl RecordStreams {
    /// Splits a shard; the upper half begins at `at`. Blocks until what
    /// is being put is durable, and for one sync.
    pub fn split(
        &self,
        name: &StreamName,
        shard: ShardId,
        at: HashKey,
    ) -> Result<(), RecordsError> {
        self.reshard(name, |reshard| {
            self.check_more_shards(reshard.stream, 1)?;
            reshard.split(shard, at).map_err(|reason| refused(name, reason))
        })
    }

    /// Merges two adjacent shards. Blocks like a split.
    pub fn merge(
        &self,
        name: &StreamName,
        shard: ShardId,
        adjacent: ShardId,
    ) -> Result<(), RecordsError> {
        self.reshard(name, |reshard| {
            reshard.merge(shard, adjacent).map_err(|reason| refused(name, reason))
        })
    }

    /// Brings a stream to `target` open shards of one width; returns how many it had. To at most
    /// twice and at least half of them, ten times a day. Blocks like a split.
    pub fn scale(&self, name: &StreamName, target: u32) -> Result<u32, RecordsError> {
        let mut before = 0;
        self.reshard(name, |reshard| {
            let open = u32::try_from(reshard.stream.open_shards().count()).unwrap_or(u32::MAX);
            before = open;
            if target == 0 || target > open.saturating_mul(2) || target.saturating_mul(2) < open {
                return Err(RecordsError::Scale { stream: name.clone(), open, target });
            }
            self.check_more_shards(reshard.stream, target.saturating_sub(open))?;
            let limit = SCALINGS_PER_DAY;
            if !within_a_day(&mut reshard.stream.scalings, limit, reshard.now) {
                return Err(LimitExceeded::Scalings { limit }.into());
            }
            reshard.scale(target);
            Ok(())
        })?;
        Ok(before)
    }

    fn reshard(
        &self,
        name: &StreamName,
        change: impl FnOnce(&mut Reshard<'_>) -> Result<(), RecordsError>,
    ) -> Result<(), RecordsError> {
        let (_, live) = self.live(name)?;
        // From here on no put is under way, and none begins before this ends.
        let mut routing = live.routing.blocking_write();
        let now = self.clock.now();
        let end_of = |log| self.store.shard(log).map_or(1, |log| log.span().next);
        let info = self.store.record_catalog().update_stream(name, |stream, ids| {
            if stream.mode == CapacityMode::OnDemand {
                return Err(RecordsError::OnDemand(name.clone()));
            }
            if stream.shards.len() >= MAX_STREAM_SHARDS {
                return Err(LimitExceeded::StreamShards { limit: MAX_STREAM_SHARDS }.into());
            }
            let mut new_log = || ids.take();
            change(&mut Reshard { stream, now, new_log: &mut new_log, end_of: &end_of })
        });
        if let Err(RecordsError::Uncertain(_)) = info {
            // What would be put into a shard that proves to be closed, nobody would read.
            *routing = Routing::uncertain();
        }
        let info = info?;
        *routing = live.route(self, &info);
        drop(routing);
        live.changed();
        Ok(())
    }

    fn check_more_shards(&self, stream: &RecordStreamInfo, more: u32) -> Result<(), RecordsError> {
        let others = self.store.record_catalog().streams();
        if stream.mode == CapacityMode::Provisioned && more > 0 {
            self.check_room(&others, Some(more))?;
        }
        Ok(())
    }
}

fn refused(stream: &StreamName, reason: ReshardError) -> RecordsError {
    let stream = stream.clone();
    match reason {
        ReshardError::NoSuchShard(shard) => RecordsError::NoSuchShard { stream, shard },
        reason => RecordsError::Reshard { stream, reason },
    }
}
