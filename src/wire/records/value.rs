//! Values that JSON and CBOR write differently: bytes and moments.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ciborium::tag::Required;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::ServerTimestamp;

/// Tag keys and values.
pub type TagMap = BTreeMap<String, String>;

/// CBOR's tag of moments.
const EPOCH_TAG: u64 = 1;

/// Bytes: a base64 string in JSON, a byte string in CBOR. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Bytes);

/// A moment: seconds in JSON, in CBOR milliseconds under tag 1, where RFC 8949 means seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub ServerTimestamp);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Base64)
        } else {
            deserializer.deserialize_byte_buf(Raw)
        }
    }
}

/// Decodes where the text stands, which is most of a request, without a copy of it.
struct Base64;

impl Visitor<'_> for Base64 {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a base64 string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Blob, E> {
        STANDARD.decode(text).map(|bytes| Blob(bytes.into())).map_err(E::custom)
    }
}

struct Raw;

impl Visitor<'_> for Raw {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(Blob(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
        Ok(Blob(bytes.into()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            // Java's SDK cannot read an exponent here; below 10^16 none is written.
            serializer.serialize_f64(self.0.as_secs_f64())
        } else {
            Required::<i64, EPOCH_TAG>(self.0.as_millis()).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let seconds = f64::deserialize(deserializer)?;
            let at = ServerTimestamp::from_secs_f64(seconds);
            at.map(Self).ok_or_else(|| D::Error::custom("a moment out of range"))
        } else {
            // Skips the tag, so one without it is taken as well.
            i64::deserialize(deserializer).map(|ms| Self(ServerTimestamp::from_millis(ms)))
        }
    }
}

impl From<ServerTimestamp> for Timestamp {
    fn from(at: ServerTimestamp) -> Self {
        Self(at)
    }
}
