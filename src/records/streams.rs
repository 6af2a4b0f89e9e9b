//! What record streams exist, and their settings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::shard::{Reshard, ShardFilter, is_gone, is_listed};
use super::{LimitExceeded, RecordStreams, RecordsError, RetentionChange};
use crate::store::{CapacityMode, Distribution, RecordStreamInfo, ShardInfo};
use crate::types::{Millis, ServerTimestamp, ShardId, StreamId, StreamName};

/// Hours that a new stream keeps records, and the least that it may.
pub const MIN_RETENTION_HOURS: u32 = 24;
/// The most hours that a stream may keep records: a year.
pub const MAX_RETENTION_HOURS: u32 = 8760;
/// KiB of the largest record of a new stream, and the least that may be set.
pub const MIN_MAX_RECORD_KIB: u32 = 1024;
/// The most KiB of a record that may be set.
pub const MAX_MAX_RECORD_KIB: u32 = 10_240;
/// Shards that an on-demand stream begins with.
const ON_DEMAND_SHARDS: u32 = 4;
/// The most tags of a stream or a consumer.
const MAX_TAGS: usize = 50;
/// Changes of a stream's mode within a day.
const MODE_CHANGES_PER_DAY: usize = 2;

/// What a stream is created with. Whoever makes one has checked each value.
#[derive(Clone, Debug)]
pub struct NewRecordStream {
    /// Unique among record streams.
    pub name: StreamName,
    /// Shards of a provisioned stream; `None` is an on-demand stream.
    pub shards: Option<u32>,
    /// Up to 50.
    pub tags: BTreeMap<String, String>,
    /// KiB, from 1024 to 10240.
    pub max_record_kib: u32,
    /// MiB per second.
    pub warm_mibps: Option<u32>,
    /// What spreads records over its shards.
    pub distribution: Distribution,
}

/// Some of the streams.
#[derive(Clone, Debug)]
pub struct StreamPage {
    /// By name.
    pub streams: Vec<Arc<RecordStreamInfo>>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// Some of the shards of a stream.
#[derive(Clone, Debug)]
pub struct ShardPage {
    /// By id.
    pub shards: Vec<ShardInfo>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// How much there is, and may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLimits {
    /// Open shards of provisioned streams there may be.
    pub shards: u32,
    /// Open shards of provisioned streams there are.
    pub open_shards: u32,
    /// On-demand streams there may be.
    pub on_demand_streams_limit: u32,
    /// On-demand streams there are.
    pub on_demand_streams: u32,
}

impl RecordStreams {
    /// Creates a stream, which is there at once. Blocks for one sync.
    pub fn create(&self, new: NewRecordStream) -> Result<Arc<RecordStreamInfo>, RecordsError> {
        check_tags(&new.tags)?;
        let now = self.clock.now();
        let name = new.name.clone();
        self.store.record_catalog().create_stream(&name, |others, ids| {
            self.check_room(others, new.shards)?;
            let shards = new.shards.unwrap_or(ON_DEMAND_SHARDS);
            let mut info = begin(new, ids.take(), now);
            Reshard {
                stream: &mut info,
                now,
                new_log: &mut || ids.take(),
                end_of: &|_| unreachable!("a new stream has no shard to close"),
            }
            .begin(shards);
            Ok(info)
        })
    }

    /// Deletes a stream with all its records; with `consumers` also when it has some. Blocks for
    /// one sync.
    pub fn delete(&self, name: &StreamName, consumers: bool) -> Result<(), RecordsError> {
        let id = self.info(name)?.id;
        self.store.record_catalog().delete_stream(name, |info, queues| {
            if !queues.is_empty() {
                return Err(RecordsError::HasQueues(name.clone()));
            }
            if !info.consumers.is_empty() && !consumers {
                return Err(RecordsError::HasConsumers(name.clone()));
            }
            Ok(())
        })?;
        if let Some((_, live)) = self.live.remove(&id) {
            live.changed();
        }
        Ok(())
    }

    /// A stream's facts.
    pub fn info(&self, name: &StreamName) -> Result<Arc<RecordStreamInfo>, RecordsError> {
        let info = self.store.record_catalog().stream(name);
        info.ok_or_else(|| RecordsError::NoSuchStream(name.clone()))
    }

    /// Up to `limit` streams whose names sort after `after`.
    pub fn list(&self, after: Option<&StreamName>, limit: usize) -> StreamPage {
        let mut streams = self.store.record_catalog().streams();
        streams.retain(|info| after.is_none_or(|after| info.name > *after));
        let more = streams.len() > limit;
        streams.truncate(limit);
        StreamPage { streams, more }
    }

    /// Up to `limit` shards that `filter` names and whose ids are larger than `after`.
    pub fn shards(
        &self,
        name: &StreamName,
        filter: Option<ShardFilter>,
        after: Option<ShardId>,
        limit: usize,
    ) -> Result<ShardPage, RecordsError> {
        let info = self.info(name)?;
        let now = self.clock.now();
        let behind = |shard: &&ShardInfo| after.is_none_or(|after| shard.id > after);
        let listed = info.shards.iter().filter(behind);
        let listed = listed.filter(|shard| is_listed(&info, shard, filter, now));
        let mut shards: Vec<_> = listed.take(limit.saturating_add(1)).cloned().collect();
        let more = shards.len() > limit;
        shards.truncate(limit);
        Ok(ShardPage { shards, more })
    }

    /// How much there is, and may be.
    pub fn account_limits(&self) -> AccountLimits {
        let streams = self.store.record_catalog().streams();
        AccountLimits {
            shards: self.options.max_open_shards,
            open_shards: provisioned_shards(&streams),
            on_demand_streams_limit: self.options.max_on_demand_streams,
            on_demand_streams: on_demand(&streams),
        }
    }

    /// Keeps records longer. Blocks for one sync.
    pub fn increase_retention(&self, name: &StreamName, hours: u32) -> Result<(), RecordsError> {
        self.set_retention(name, hours, RetentionChange::Increase)
    }

    /// Keeps records shorter; what is older goes. Blocks for one sync.
    pub fn decrease_retention(&self, name: &StreamName, hours: u32) -> Result<(), RecordsError> {
        self.set_retention(name, hours, RetentionChange::Decrease)
    }

    fn set_retention(
        &self,
        name: &StreamName,
        hours: u32,
        change: RetentionChange,
    ) -> Result<(), RecordsError> {
        self.update(name, |info| {
            let kept = info.retention_hours;
            let right_way = match change {
                RetentionChange::Increase => hours >= kept,
                RetentionChange::Decrease => hours <= kept,
            };
            if !right_way || !(MIN_RETENTION_HOURS..=MAX_RETENTION_HOURS).contains(&hours) {
                let stream = name.clone();
                return Err(RecordsError::Retention { stream, kept, asked: hours, change });
            }
            info.retention_hours = hours;
            Ok(())
        })
    }

    /// Changes who decides how many shards a stream has; the shards stay as they are. Twice a day
    /// at most. Blocks for one sync.
    pub fn set_mode(&self, name: &StreamName, mode: CapacityMode) -> Result<(), RecordsError> {
        let now = self.clock.now();
        let catalog = self.store.record_catalog();
        self.update(name, |info| {
            if info.mode == mode {
                return Ok(());
            }
            let has_queues = || catalog.queues().iter().any(|queue| queue.stream == info.id);
            if mode == CapacityMode::Provisioned && has_queues() {
                return Err(RecordsError::HasQueues(name.clone()));
            }
            let shards = u32::try_from(info.open_shards().count()).unwrap_or(u32::MAX);
            let asked = (mode == CapacityMode::Provisioned).then_some(shards);
            self.check_room(&catalog.streams(), asked)?;
            let limit = MODE_CHANGES_PER_DAY;
            if !within_a_day(&mut info.mode_changes, limit, now) {
                return Err(LimitExceeded::ModeChanges { limit }.into());
            }
            info.mode = mode;
            Ok(())
        })
    }

    /// Sets the largest record: KiB from 1024 to 10240, which the caller has checked. Blocks for
    /// one sync.
    pub fn set_max_record(&self, name: &StreamName, kib: u32) -> Result<(), RecordsError> {
        self.update(name, |info| {
            info.max_record_kib = kib.clamp(MIN_MAX_RECORD_KIB, MAX_MAX_RECORD_KIB);
            Ok(())
        })
    }

    /// Remembers the throughput that a stream should be warm for: nothing has to be warmed here.
    /// Blocks for one sync.
    pub fn set_warm_throughput(&self, name: &StreamName, mibps: u32) -> Result<(), RecordsError> {
        self.update(name, |info| {
            info.warm_mibps = Some(mibps);
            Ok(())
        })
    }

    /// Sets what spreads records over a stream's shards. Blocks for one sync.
    pub fn set_distribution(
        &self,
        name: &StreamName,
        to: Distribution,
    ) -> Result<(), RecordsError> {
        self.update(name, |info| {
            info.distribution = to;
            Ok(())
        })
    }

    /// Changes the metrics that are switched on for each shard; returns those before and after.
    /// Blocks for one sync.
    pub fn set_shard_metrics(
        &self,
        name: &StreamName,
        change: impl FnOnce(&mut BTreeSet<String>),
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), RecordsError> {
        let mut both = None;
        self.update(name, |info| {
            let before = info.shard_metrics.clone();
            change(&mut info.shard_metrics);
            both = Some((before, info.shard_metrics.clone()));
            Ok(())
        })?;
        Ok(both.unwrap_or_default())
    }

    /// Changes a stream's tags; with more than 50, nothing is changed. Blocks for one sync.
    pub fn set_tags(
        &self,
        name: &StreamName,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<(), RecordsError> {
        self.update(name, |info| {
            change(&mut info.tags);
            check_tags(&info.tags)
        })
    }

    /// Sets or removes a stream's resource policy, which is kept and not enforced. Blocks for one
    /// sync.
    pub fn set_policy(&self, name: &StreamName, to: Option<String>) -> Result<(), RecordsError> {
        self.update(name, |info| {
            info.policy = to;
            Ok(())
        })
    }

    /// Drops shards whose records have all expired, and stores how far consumers are. To be called
    /// now and then. Blocks.
    pub fn tidy(&self) -> Result<(), RecordsError> {
        let now = self.clock.now();
        let catalog = self.store.record_catalog();
        for info in catalog.streams() {
            if info.shards.iter().any(|shard| is_gone(&info, shard, now)) {
                let dropped = self.update(&info.name, |info| {
                    let shards = std::mem::take(&mut info.shards);
                    let gone = |shard: &ShardInfo| is_gone(info, shard, now);
                    info.shards = shards.into_iter().filter(|shard| !gone(shard)).collect();
                    Ok(())
                });
                match dropped {
                    Ok(()) | Err(RecordsError::NoSuchStream(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self.subscriptions.store(catalog)?)
    }

    /// Changes a stream's facts.
    pub(super) fn update(
        &self,
        name: &StreamName,
        change: impl FnOnce(&mut RecordStreamInfo) -> Result<(), RecordsError>,
    ) -> Result<(), RecordsError> {
        self.info(name)?;
        let info = self.store.record_catalog().update_stream(name, |info, _| change(info))?;
        if let Some(live) = self.live.get(&info.id) {
            live.forget_gone(&info);
            live.changed();
        }
        Ok(())
    }

    /// Whether there is room for a provisioned stream of so many shards, or for an on-demand one.
    pub(super) fn check_room(
        &self,
        streams: &[Arc<RecordStreamInfo>],
        shards: Option<u32>,
    ) -> Result<(), LimitExceeded> {
        let Some(asked) = shards else {
            let limit = self.options.max_on_demand_streams;
            let full = on_demand(streams) >= limit;
            return if full { Err(LimitExceeded::OnDemandStreams { limit }) } else { Ok(()) };
        };
        let limit = self.options.max_open_shards;
        let open = provisioned_shards(streams);
        if open.saturating_add(asked) > limit {
            return Err(LimitExceeded::OpenShards { limit, open, asked });
        }
        Ok(())
    }
}

fn begin(new: NewRecordStream, id: StreamId, now: ServerTimestamp) -> RecordStreamInfo {
    let provisioned = new.shards.is_some();
    RecordStreamInfo {
        id,
        name: new.name,
        created: now,
        mode: if provisioned { CapacityMode::Provisioned } else { CapacityMode::OnDemand },
        retention_hours: MIN_RETENTION_HOURS,
        max_record_kib: new.max_record_kib.clamp(MIN_MAX_RECORD_KIB, MAX_MAX_RECORD_KIB),
        warm_mibps: new.warm_mibps,
        distribution: new.distribution,
        shard_metrics: BTreeSet::new(),
        tags: new.tags,
        policy: None,
        consumers: Vec::new(),
        shards: Vec::new(),
        next_shard: 0,
        scalings: Vec::new(),
        mode_changes: Vec::new(),
    }
}

/// Notes that something is done now, unless it was `limit` times within the last day.
pub(super) fn within_a_day(
    times: &mut Vec<ServerTimestamp>,
    limit: usize,
    now: ServerTimestamp,
) -> bool {
    let day_ago = now.minus(Millis(24 * 3_600_000));
    times.retain(|time| *time > day_ago);
    let allowed = times.len() < limit;
    if allowed {
        times.push(now);
    }
    allowed
}

pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), RecordsError> {
    if tags.len() > MAX_TAGS {
        return Err(LimitExceeded::Tags { limit: MAX_TAGS }.into());
    }
    Ok(())
}

fn provisioned_shards(streams: &[Arc<RecordStreamInfo>]) -> u32 {
    let provisioned = streams.iter().filter(|info| info.mode == CapacityMode::Provisioned);
    let shards: usize = provisioned.map(|info| info.open_shards().count()).sum();
    u32::try_from(shards).unwrap_or(u32::MAX)
}

fn on_demand(streams: &[Arc<RecordStreamInfo>]) -> u32 {
    let streams = streams.iter().filter(|info| info.mode == CapacityMode::OnDemand).count();
    u32::try_from(streams).unwrap_or(u32::MAX)
}
