//! Following what comes to a stream, over all its shards, for the server itself: at no shard's rate.

use std::collections::HashMap;

use super::{MAX_READ_BYTES, Record, RecordStreams, RecordsError};
use crate::store::ReadLimit;
use crate::types::{ServerTimestamp, ShardId, StreamId, StreamName};

/// How far somebody has followed a stream.
pub struct Tail {
    /// What arrived before is not followed.
    since: ServerTimestamp,
    /// The index that comes next, of each shard. A stream that is made anew has another id.
    next: HashMap<(StreamId, ShardId), u64>,
}

impl Tail {
    /// Of what arrives from this moment on.
    pub fn new(since: ServerTimestamp) -> Self {
        Self { since, next: HashMap::new() }
    }
}

impl RecordStreams {
    /// What came to a stream behind `tail`, which moves on; about `limit` records at most. Does not
    /// wait for any.
    pub async fn follow(
        &self,
        stream: &StreamName,
        tail: &mut Tail,
        limit: usize,
    ) -> Result<Vec<Record>, RecordsError> {
        let (info, live) = self.live(stream)?;
        tail.next.retain(|(id, shard), _| *id == info.id && info.shard(*shard).is_some());
        let mut records = Vec::new();
        for facts in &info.shards {
            let Some(shard) = live.shard(self, facts) else { continue };
            let since = tail.since;
            let next = tail.next.entry((info.id, facts.id));
            let next = next.or_insert_with(|| shard.log.seek(since));
            if *next >= shard.next() || records.len() >= limit {
                continue;
            }
            let rest = ReadLimit { records: limit - records.len(), bytes: MAX_READ_BYTES };
            let found = self.find(stream, &shard, *next, rest).await?;
            *next = found.next;
            records.extend(found.records);
        }
        Ok(records)
    }
}
