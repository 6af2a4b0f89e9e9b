//! Where a reader of a shard stands.

use super::sequence::SequenceNumber;
use crate::types::{Millis, ServerTimestamp, ShardId, StreamId};

/// How long an iterator can be used after it was given out.
pub const ITERATOR_LIFE: Millis = Millis(300_000);

/// Where in a shard somebody wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// With the oldest record that is kept.
    TrimHorizon,
    /// With what arrives from now on.
    Latest,
    /// With the record of this number.
    At(SequenceNumber),
    /// With the one after it.
    After(SequenceNumber),
    /// With the first that arrived at or after this moment.
    Timestamp(ServerTimestamp),
}

/// A reader's position in a shard, as it is handed to the reader and back. Whoever hands it out
/// seals it, so that it can be trusted when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardIterator {
    /// The stream, which tells it from later ones of its name.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The index of the next record to read.
    pub next: u64,
    /// When it was given out.
    pub issued: ServerTimestamp,
}

impl ShardIterator {
    /// Bytes of an iterator.
    pub const BYTES: usize = 24;

    /// Whether its time is over.
    pub fn expired(&self, now: ServerTimestamp) -> bool {
        now.since(self.issued) > ITERATOR_LIFE
    }

    /// The iterator as bytes.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.stream.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.shard.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.next.to_be_bytes());
        bytes[16..].copy_from_slice(&self.issued.as_millis().to_be_bytes());
        bytes
    }

    /// Reads what [`ShardIterator::to_bytes`] wrote; `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (stream, rest) = bytes.split_first_chunk()?;
        let (shard, rest) = rest.split_first_chunk()?;
        let (next, rest) = rest.split_first_chunk()?;
        let issued = i64::from_be_bytes(rest.try_into().ok()?);
        Some(Self {
            stream: StreamId(u32::from_be_bytes(*stream)),
            shard: ShardId(u32::from_be_bytes(*shard)),
            next: u64::from_be_bytes(*next),
            issued: ServerTimestamp::from_millis(issued),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn iterators_survive_their_bytes(
            stream: u32, shard: u32, next: u64, issued: i64, more in 1usize..9
        ) {
            let issued = ServerTimestamp::from_millis(issued);
            let (stream, shard) = (StreamId(stream), ShardId(shard));
            let iterator = ShardIterator { stream, shard, next, issued };
            let bytes = iterator.to_bytes();
            prop_assert_eq!(ShardIterator::from_bytes(&bytes), Some(iterator));
            prop_assert_eq!(ShardIterator::from_bytes(&bytes[more..]), None);
        }

        #[test]
        fn iterator_lives_five_minutes(issued in 0i64..i64::MAX / 2) {
            let at = ServerTimestamp::from_millis;
            let (stream, shard) = (StreamId(1), ShardId(0));
            let iterator = ShardIterator { stream, shard, next: 1, issued: at(issued) };
            prop_assert!(!iterator.expired(at(issued + 300_000)));
            prop_assert!(iterator.expired(at(issued + 300_001)));
        }
    }
}
