//! Identifiers, clocks and units that every layer shares. Each clock and each number has its own
//! type, so that two of them cannot be swapped by accident.

mod fragment_number;
mod name;
mod people;
mod shard;
mod time;

pub use fragment_number::{FragmentNumber, ParseFragmentNumberError};
pub use name::{Arn, ArnError, InvalidStreamName, StreamId, StreamName};
pub use people::{
    CollectionId, FaceId, ImageId, InvalidCollectionId, InvalidUuid, PersonId, SightingId,
};
pub use shard::{HashKey, HashRange, InvalidHashKey, InvalidShardId, ShardId};
pub use time::{Millis, ProducerTimestamp, ServerTimestamp, Timecode, TimestampScale};
