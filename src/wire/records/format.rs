//! A shape as the bytes of a body, and back.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most characters that are told of why a body is unreadable: it may quote what it found.
const MAX_REASON_CHARS: usize = 300;
/// CBOR's major type of maps, in the upper three bits of the first byte.
const CBOR_MAP: u8 = 5;

/// The two protocols, told apart by the content type. An answer has its request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/x-amz-json-1.1`
    Json,
    /// `application/x-amz-cbor-1.1`
    Cbor,
}

/// The bytes are not of the expected shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl Format {
    /// The format of a content type, whose parameters do not matter.
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        [Self::Json, Self::Cbor]
            .into_iter()
            .find(|format| essence.eq_ignore_ascii_case(format.content_type()))
    }

    /// What names the format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// Reads a shape; an empty body reads as one without members.
    ///
    /// # Errors
    /// Malformed, of other types, or followed by something else.
    pub fn read<T: DeserializeOwned + Default>(self, body: &[u8]) -> Result<T, Unreadable> {
        match self {
            Self::Json => read_json(body.trim_ascii()),
            Self::Cbor => read_cbor(body),
        }
    }

    /// Writes a shape.
    pub fn write(self, shape: &impl Serialize) -> Vec<u8> {
        const FITS: &str = "shapes have text keys only, and memory takes everything";
        match self {
            Self::Json => serde_json::to_vec(shape).expect(FITS),
            Self::Cbor => {
                let mut bytes = Vec::new();
                ciborium::into_writer(shape, &mut bytes).expect(FITS);
                bytes
            }
        }
    }
}

fn read_json<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Unreadable> {
    match body {
        [] => Ok(T::default()),
        // An array would be read as the members in their order.
        [first, ..] if *first != b'{' => Err(Unreadable("not a JSON object".to_owned())),
        object => serde_json::from_slice(object).map_err(unreadable),
    }
}

fn read_cbor<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Unreadable> {
    match body {
        [] => Ok(T::default()),
        [first, ..] if first >> 5 != CBOR_MAP => Err(Unreadable("not a CBOR map".to_owned())),
        mut map => {
            let shape = ciborium::from_reader(&mut map).map_err(unreadable)?;
            if map.is_empty() {
                Ok(shape)
            } else {
                Err(Unreadable("bytes after the CBOR map".to_owned()))
            }
        }
    }
}

fn unreadable(error: impl std::fmt::Display) -> Unreadable {
    Unreadable(error.to_string().chars().take(MAX_REASON_CHARS).collect())
}
