//! What is kept, and what consumers have not read yet.
//!
//! Readers with iterators are nobody in particular, so only consumers have a backlog here.

use super::live::LiveShard;
use super::{RecordStreams, RecordsError};
use crate::store::{Backlog, RecordStreamInfo};
use crate::types::{ServerTimestamp, ShardId, StreamName};

/// What a stream keeps, and how far its consumers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamBacklog {
    /// What each shard keeps, by id.
    pub shards: Vec<ShardBacklog>,
    /// What each consumer has not read yet.
    pub consumers: Vec<ConsumerBacklog>,
}

/// What a shard keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardBacklog {
    /// The shard.
    pub shard: ShardId,
    /// Whether it takes records.
    pub open: bool,
    /// Records.
    pub records: u64,
    /// Bytes of the log.
    pub bytes: u64,
    /// When the oldest arrived.
    pub oldest: Option<ServerTimestamp>,
}

/// What a consumer has not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerBacklog {
    /// Its name.
    pub consumer: String,
    /// Of each shard, by id.
    pub shards: Vec<(ShardId, Backlog)>,
}

impl ConsumerBacklog {
    /// That of all shards together.
    pub fn total(&self) -> Backlog {
        let add = |sum: Backlog, (_, shard): &(ShardId, Backlog)| Backlog {
            records: sum.records + shard.records,
            bytes: sum.bytes + shard.bytes,
            oldest: sum.oldest.into_iter().chain(shard.oldest).min(),
        };
        self.shards.iter().fold(Backlog::default(), add)
    }
}

impl RecordStreams {
    /// What a stream keeps, and how far its consumers are. A consumer has read what was pushed to
    /// it, and what a subscription of its own passed over by where it began; one that never
    /// subscribed to a shard has before it what arrived since it was registered. After a crash it
    /// may be shown further behind than it is, by what it read since [`RecordStreams::tidy`].
    pub fn backlog(&self, stream: &StreamName) -> Result<StreamBacklog, RecordsError> {
        let (info, live) = self.live(stream)?;
        let shards: Vec<_> =
            info.shards.iter().filter_map(|shard| live.shard(self, shard)).collect();
        let kept = |shard: &LiveShard| {
            let (span, behind) = (shard.log.span(), shard.log.after(0));
            ShardBacklog {
                shard: shard.info.id,
                open: info.shard(shard.info.id).is_some_and(|shard| shard.closed.is_none()),
                records: behind.records,
                bytes: span.bytes,
                oldest: behind.oldest,
            }
        };
        let of_consumer = |name: &str, created| ConsumerBacklog {
            consumer: name.to_owned(),
            shards: shards
                .iter()
                .map(|shard| (shard.info.id, self.behind(&info, name, created, shard)))
                .collect(),
        };
        Ok(StreamBacklog {
            shards: shards.iter().map(|shard| kept(shard)).collect(),
            consumers: info
                .consumers
                .iter()
                .map(|consumer| of_consumer(&consumer.name, consumer.created))
                .collect(),
        })
    }

    fn behind(
        &self,
        info: &RecordStreamInfo,
        consumer: &str,
        created: ServerTimestamp,
        shard: &LiveShard,
    ) -> Backlog {
        let known = self.subscriptions.position(info.id, consumer, shard.info.id);
        let next = known.unwrap_or_else(|| shard.log.seek(created));
        shard.log.after(next.saturating_sub(1))
    }
}
