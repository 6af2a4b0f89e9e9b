//! A record as it lies in its shard's log.
//!
//! Version (1 byte) ‖ flags (1) ‖ length of the partition key (2, little-endian) ‖ explicit hash key
//! (16, big-endian; flag 1) ‖ dedupe key (16; flag 2) ‖ partition key (flag 4) ‖ data, to the end.

use bytes::{BufMut, Bytes, BytesMut};

use super::dedupe::DedupeKey;
use crate::types::HashKey;

const VERSION: u8 = 1;
const HAS_HASH: u8 = 1;
const HAS_DEDUPE: u8 = 2;
const HAS_KEY: u8 = 4;
const FIXED_BYTES: usize = 4;
const HASH_BYTES: usize = 16;

/// A record's content. What was read shares the bytes of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What decides its shard, unless there is an explicit hash key. Absent only in streams that
    /// spread records by themselves.
    pub partition_key: Option<PartitionKey>,
    /// Decides its shard in place of the partition key.
    pub hash: Option<HashKey>,
    /// Tells the record from one that was put before.
    pub dedupe: Option<DedupeKey>,
    /// What the producer gave.
    pub data: Bytes,
}

/// A partition key. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionKey(Bytes);

/// A stored payload is not one that this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPayload {
    /// It was written by a later version of this program.
    #[error("a record of version {0}, which this program does not know")]
    Version(u8),
    /// It ends early, or its partition key is no text.
    #[error("a damaged record")]
    Damaged,
}

impl PartitionKey {
    /// The most bytes: 256 characters.
    pub const MAX_BYTES: usize = 1024;

    /// `None` when it is longer than [`Self::MAX_BYTES`].
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text: String = text.into();
        (text.len() <= Self::MAX_BYTES).then(|| Self(text.into()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("both constructors take nothing but UTF-8")
    }
}

impl Payload {
    /// Bytes that count for limits: those of the data and of the partition key.
    pub fn counted_bytes(&self) -> usize {
        self.data.len() + self.partition_key.as_ref().map_or(0, |key| key.0.len())
    }

    /// The bytes for the log.
    pub fn encode(&self) -> Bytes {
        let key = self.partition_key.as_ref().map_or(&[][..], |key| &key.0);
        let room = FIXED_BYTES + 2 * HASH_BYTES + key.len() + self.data.len();
        let mut bytes = BytesMut::with_capacity(room);
        let flag = |there: bool, flag: u8| if there { flag } else { 0 };
        bytes.put_u8(VERSION);
        bytes.put_u8(
            flag(self.hash.is_some(), HAS_HASH)
                | flag(self.dedupe.is_some(), HAS_DEDUPE)
                | flag(self.partition_key.is_some(), HAS_KEY),
        );
        bytes.put_u16_le(key.len() as u16); // At most PartitionKey::MAX_BYTES.
        if let Some(hash) = self.hash {
            bytes.put_u128(hash.0);
        }
        if let Some(dedupe) = self.dedupe {
            bytes.put_u128(dedupe.0);
        }
        bytes.put_slice(key);
        bytes.put_slice(&self.data);
        bytes.freeze()
    }

    /// Reads what [`Payload::encode`] wrote.
    pub fn decode(mut bytes: Bytes) -> Result<Self, InvalidPayload> {
        let &[version, flags, low, high] =
            bytes.first_chunk::<FIXED_BYTES>().ok_or(InvalidPayload::Damaged)?;
        if version != VERSION {
            return Err(InvalidPayload::Version(version));
        }
        let take = |len: usize, at: usize| -> Result<Bytes, InvalidPayload> {
            (bytes.len() >= at + len)
                .then(|| bytes.slice(at..at + len))
                .ok_or(InvalidPayload::Damaged)
        };
        let mut at = FIXED_BYTES;
        let mut number = |flag: u8| -> Result<Option<u128>, InvalidPayload> {
            if flags & flag == 0 {
                return Ok(None);
            }
            let raw = take(HASH_BYTES, at)?;
            at += HASH_BYTES;
            let raw = raw.first_chunk().ok_or(InvalidPayload::Damaged)?;
            Ok(Some(u128::from_be_bytes(*raw)))
        };
        let hash = number(HAS_HASH)?.map(HashKey);
        let dedupe = number(HAS_DEDUPE)?.map(DedupeKey);
        let key = take(usize::from(u16::from_le_bytes([low, high])), at)?;
        let data = bytes.split_off(at + key.len());
        if std::str::from_utf8(&key).is_err() {
            return Err(InvalidPayload::Damaged);
        }
        let partition_key = (flags & HAS_KEY != 0).then_some(PartitionKey(key));
        Ok(Self { partition_key, hash, dedupe, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_payload() -> impl Strategy<Value = Payload> {
        let key = proptest::option::of("\\PC{0,256}");
        let number = || proptest::option::of(any::<u128>());
        let data = proptest::collection::vec(any::<u8>(), 0..200);
        (key, number(), number(), data).prop_map(|(key, hash, dedupe, data)| Payload {
            partition_key: key.map(|key| PartitionKey::new(key).expect("up to 256 characters")),
            hash: hash.map(HashKey),
            dedupe: dedupe.map(DedupeKey),
            data: data.into(),
        })
    }

    #[test]
    fn record_of_a_later_version_is_named() {
        let later = Bytes::from_static(&[2, 0, 0, 0]);
        assert_eq!(Payload::decode(later), Err(InvalidPayload::Version(2)));
    }

    proptest! {
        #[test]
        fn payloads_survive_their_bytes(payload in any_payload()) {
            prop_assert_eq!(Payload::decode(payload.encode()), Ok(payload));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop(Payload::decode(bytes.into()));
        }

        #[test]
        fn payload_cut_in_its_fields_is_refused(key in "[a-z]{1,20}", cut in 0usize..40) {
            let partition_key = PartitionKey::new(key);
            let fields = [Some(HashKey(1)), None];
            for hash in fields {
                let payload = Payload { partition_key: partition_key.clone(), hash, dedupe: None, data: Bytes::new() };
                let whole = payload.encode();
                if cut < whole.len() {
                    prop_assert_eq!(Payload::decode(whole.slice(..cut)), Err(InvalidPayload::Damaged));
                }
            }
        }
    }
}
