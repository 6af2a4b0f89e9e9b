//! What a record stream is divided by: shards, and the hash keys that decide between them.

use std::fmt;
use std::str::FromStr;

/// A shard's id within its stream: `shardId-000000000000`. Ids grow and are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

/// The text is not a shard's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a shard's id reads shardId- and twelve digits")]
pub struct InvalidShardId;

/// Where a record's partition key falls: 0 to 2¹²⁸−1, in decimal digits on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(pub u128);

/// The text is not a hash key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash key is a decimal number from 0 to 2^128-1 without leading zeros")]
pub struct InvalidHashKey;

/// The hash keys of a shard: both ends are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashRange {
    /// The lowest.
    pub start: HashKey,
    /// The highest, not below the lowest.
    pub end: HashKey,
}

const SHARD_PREFIX: &str = "shardId-";
const SHARD_DIGITS: usize = 12;

impl HashKey {
    /// The highest there is.
    pub const MAX: Self = Self(u128::MAX);
}

impl HashRange {
    /// Every hash key.
    pub const ALL: Self = Self { start: HashKey(0), end: HashKey::MAX };

    /// Whether a key lies in the range.
    pub fn contains(&self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }

    /// Whether `next` begins where this range ends.
    pub fn touches(&self, next: &Self) -> bool {
        self.end.0.checked_add(1) == Some(next.start.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SHARD_PREFIX}{:0SHARD_DIGITS$}", self.0)
    }
}

impl FromStr for ShardId {
    type Err = InvalidShardId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(SHARD_PREFIX).ok_or(InvalidShardId)?;
        if digits.len() != SHARD_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidShardId);
        }
        digits.parse().map(Self).map_err(|_| InvalidShardId)
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for HashKey {
    type Err = InvalidHashKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        if !plain || (text.len() > 1 && text.starts_with('0')) {
            return Err(InvalidHashKey);
        }
        text.parse().map(Self).map_err(|_| InvalidHashKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shard_id_is_written_as_aws_writes_it() {
        assert_eq!(ShardId(7).to_string(), "shardId-000000000007");
        assert_eq!("shardId-000000000007".parse(), Ok(ShardId(7)));
        for text in ["", "shardId-7", "shardId-00000000000x", "shardId-999999999999", "7"] {
            assert_eq!(text.parse::<ShardId>(), Err(InvalidShardId), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_hash_key_is_refused() {
        assert_eq!("0".parse(), Ok(HashKey(0)));
        assert_eq!("340282366920938463463374607431768211455".parse(), Ok(HashKey::MAX));
        for text in ["", "-1", "+1", "01", "340282366920938463463374607431768211456", "1e3"] {
            assert_eq!(text.parse::<HashKey>(), Err(InvalidHashKey), "{text}");
        }
    }

    proptest! {
        #[test]
        fn ids_and_keys_survive_text(id in any::<u32>(), key in any::<u128>()) {
            prop_assert_eq!(ShardId(id).to_string().parse(), Ok(ShardId(id)));
            prop_assert_eq!(HashKey(key).to_string().parse(), Ok(HashKey(key)));
        }
    }
}
