//! Names of collections of faces and of what is in them.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ServerTimestamp;

/// A collection's name: 1 to 255 of `[a-zA-Z0-9_.-]`, unique in its server. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionId(Arc<str>);

/// The text is not the name of a collection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a collection's id has 1 to 255 characters of [a-zA-Z0-9_.-]")]
pub struct InvalidCollectionId;

/// The text is not an id of the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 32 hexadecimal digits in groups of 8-4-4-4-12")]
pub struct InvalidUuid;

impl CollectionId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CollectionId {
    type Err = InvalidCollectionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let valid = (1..=255).contains(&text.len()) && text.bytes().all(allowed);
        if valid { Ok(Self(text.into())) } else { Err(InvalidCollectionId) }
    }
}

impl Borrow<str> for CollectionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuids {
    ($($(#[$doc:meta])* $name:ident,)*) => { $(
        $(#[$doc])*
        ///
        /// A UUID of version 7: it begins with the time, so that ids sort by it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id of what began at a time, told from others of that time by random bits.
            pub fn new(at: ServerTimestamp, random: u128) -> Self {
                Self(uuid(at, random))
            }

            /// The id as it is stored.
            pub const fn from_u128(id: u128) -> Self {
                Self(id)
            }

            /// The id as it is stored.
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// The time that it was made for.
            pub fn created(self) -> ServerTimestamp {
                ServerTimestamp::from_millis((self.0 >> 80) as i64)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidUuid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                read_uuid(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    )* };
}

uuids! {
    /// Names a person of a collection, known or not.
    PersonId,
    /// Names an enrolled face.
    FaceId,
    /// Names a picture that faces were enrolled from.
    ImageId,
    /// Names one time that somebody was seen.
    SightingId,
}

/// 48 bits of time, 4 of version, 12 random, 2 of variant, 62 random (RFC 9562, 5.7).
fn uuid(at: ServerTimestamp, random: u128) -> u128 {
    const RANDOM: u128 = (0xfff << 64) | ((1 << 62) - 1);
    const VERSION_AND_VARIANT: u128 = (7 << 76) | (0b10 << 62);
    let millis = u128::from(at.as_millis().max(0).unsigned_abs()) & ((1 << 48) - 1);
    (millis << 80) | VERSION_AND_VARIANT | (random & RANDOM)
}

fn write_uuid(id: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = format!("{id:032x}");
    let (a, rest) = digits.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    write!(f, "{a}-{b}-{c}-{d}-{e}")
}

fn read_uuid(text: &str) -> Result<u128, InvalidUuid> {
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths = groups.iter().map(|group| group.len());
    if !lengths.eq([8, 4, 4, 4, 12]) || !groups.iter().all(hex) {
        return Err(InvalidUuid);
    }
    u128::from_str_radix(&groups.concat(), 16).map_err(|_| InvalidUuid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn id_is_a_uuid_that_tells_its_time() {
        let at = ServerTimestamp::from_millis(1_795_308_137_662);
        let id = FaceId::new(at, u128::MAX);
        let text = id.to_string();
        assert_eq!((&text[14..15], &text[19..20]), ("7", "b"), "{text}");
        assert_eq!(id.created(), at);
        let later = FaceId::new(ServerTimestamp::from_millis(1_795_308_137_663), 0);
        assert!(id < later && text < later.to_string(), "ids sort by time");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in
            ["", "x", "0199a6b7-0000-7000-8000-00000000000", "+199a6b7-0000-7000-8000-000000000000"]
        {
            assert_eq!(text.parse::<PersonId>(), Err(InvalidUuid), "{text}");
        }
        for name in ["", "a b", "ä", "a/b", "a:b", &"x".repeat(256)] {
            assert_eq!(name.parse::<CollectionId>(), Err(InvalidCollectionId), "{name}");
        }
    }

    proptest! {
        #[test]
        fn id_reads_back_from_its_text(id: u128) {
            let id = SightingId::from_u128(id);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = text.parse::<FaceId>();
        }
    }
}
