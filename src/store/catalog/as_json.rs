//! How single facts are written in the catalog's JSON, for `serde(with)`.

use crate::types::{HashKey, HashRange, ServerTimestamp, ShardId, StreamId};

/// What reads and writes itself as text.
pub mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Shards by their ids.
pub mod as_text_list {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::ShardId;

    pub fn serialize<S: Serializer>(shards: &[ShardId], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(shards.iter().map(ShardId::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ShardId>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

/// Both ends, in decimal digits: JSON's numbers do not reach so far.
pub mod as_range {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{HashKey, HashRange};

    pub fn serialize<S: Serializer>(range: &HashRange, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq([range.start.to_string(), range.end.to_string()])
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<HashRange, D::Error> {
        let ends = <[String; 2]>::deserialize(from)?;
        let end = |text: &str| text.parse::<HashKey>().map_err(D::Error::custom);
        Ok(HashRange { start: end(&ends[0])?, end: end(&ends[1])? })
    }
}

/// An id of the log.
pub mod as_id {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::StreamId;

    pub fn serialize<S: Serializer>(id: &StreamId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(id.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<StreamId, D::Error> {
        u32::deserialize(from).map(StreamId)
    }
}

/// Milliseconds since the Unix epoch.
pub mod as_millis {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::ServerTimestamp;

    pub fn serialize<S: Serializer>(at: &ServerTimestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.as_millis())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ServerTimestamp, D::Error> {
        i64::deserialize(from).map(ServerTimestamp::from_millis)
    }
}

/// Several moments, each in milliseconds.
pub mod as_millis_list {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::ServerTimestamp;

    pub fn serialize<S: Serializer>(times: &[ServerTimestamp], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(times.iter().map(|at| at.as_millis()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<ServerTimestamp>, D::Error> {
        let times = Vec::<i64>::deserialize(from)?;
        Ok(times.into_iter().map(ServerTimestamp::from_millis).collect())
    }
}
