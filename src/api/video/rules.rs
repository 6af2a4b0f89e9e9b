//! The bounds of arguments (service model of KVS, 2017-09-30), each with its message.

use std::collections::BTreeMap;

use crate::api::{ApiError, ErrorKind};

/// Ten years, in hours.
const MAX_RETENTION_HOURS: u32 = 87_600;
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY_CHARS: usize = 128;
const MAX_TAG_VALUE_CHARS: usize = 256;
/// Keys that only AWS may set.
const RESERVED_KEY_PREFIX: &str = "aws:";

/// The value of a member that must be there.
pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::invalid(format!("{member} must be given.")))
}

/// A retention in hours.
pub(in crate::api) fn retention_hours(hours: i64) -> Result<u32, ApiError> {
    u32::try_from(hours).ok().filter(|hours| *hours <= MAX_RETENTION_HOURS).ok_or_else(|| {
        ApiError::invalid(format!(
            "DataRetentionInHours must be from 0 to {MAX_RETENTION_HOURS}; it would be {hours}."
        ))
    })
}

/// Checks `DeviceName`: 1 to 128 of `[a-zA-Z0-9_.-]`.
pub(super) fn device_name(name: &str) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let holds = (1..=128).contains(&name.len()) && name.bytes().all(allowed);
    check(holds, "DeviceName must have 1 to 128 characters of [a-zA-Z0-9_.-].")
}

/// Checks `MediaType`: `video/h264`, or several joined by commas; 1 to 128 characters.
pub(super) fn media_type(text: &str) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte);
    let word = |word: &str| !word.is_empty() && word.bytes().all(allowed);
    let one =
        |text: &str| text.split_once('/').is_some_and(|(kind, name)| word(kind) && word(name));
    let holds = (1..=128).contains(&text.len()) && text.split(',').all(one);
    check(holds, "MediaType must read like video/h264 or video/h264,audio/aac.")
}

/// Checks `KmsKeyId`: 1 to 2048 characters.
pub(super) fn kms_key_id(text: &str) -> Result<(), ApiError> {
    check((1..=2048).contains(&text.len()), "KmsKeyId must have 1 to 2048 characters.")
}

/// Checks `CurrentVersion`: 1 to 64 of `[a-zA-Z0-9]`.
pub(super) fn version(text: &str) -> Result<(), ApiError> {
    let holds = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    check(holds, "CurrentVersion must have 1 to 64 characters of [a-zA-Z0-9].")
}

/// Checks `DefaultStorageTier`.
pub(super) fn storage_tier(text: &str) -> Result<(), ApiError> {
    check(matches!(text, "HOT" | "WARM"), "DefaultStorageTier must be HOT or WARM.")
}

/// Checks tags that are to be set; none at all is an error of the operations that set them.
pub(super) fn tags(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    tags_fit(tags)?;
    for (key, value) in tags {
        tag_key(key)?;
        let chars = value.chars().count();
        check(
            chars <= MAX_TAG_VALUE_CHARS && value.chars().all(tag_char),
            "A tag's value must have up to 256 letters, digits, spaces or characters of _.:/=+-@.",
        )?;
    }
    Ok(())
}

/// Checks one to fifty keys of tags that are to be removed.
pub(super) fn tag_keys(keys: &[String]) -> Result<(), ApiError> {
    check((1..=MAX_TAGS).contains(&keys.len()), "TagKeyList must have from 1 to 50 keys.")?;
    keys.iter().try_for_each(|key| tag_key(key))
}

/// Checks how many tags a stream would have.
pub(super) fn tags_fit(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.len() <= MAX_TAGS {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorKind::TagsPerResourceExceededLimit,
        format!("A stream can have up to {MAX_TAGS} tags; it would have {}.", tags.len()),
    ))
}

fn tag_key(key: &str) -> Result<(), ApiError> {
    check(
        (1..=MAX_TAG_KEY_CHARS).contains(&key.chars().count()) && key.chars().all(tag_char),
        "A tag's key must have 1 to 128 letters, digits, spaces or characters of _.:/=+-@.",
    )?;
    check(
        !key.to_ascii_lowercase().starts_with(RESERVED_KEY_PREFIX),
        "Keys of tags that begin with aws: are reserved.",
    )
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`, where line breaks and tabs are no separators.
fn tag_char(c: char) -> bool {
    let separator = c.is_whitespace() && !c.is_control();
    c.is_alphabetic() || c.is_numeric() || separator || "_.:/=+-@".contains(c)
}

fn check(holds: bool, message: &'static str) -> Result<(), ApiError> {
    if holds { Ok(()) } else { Err(ApiError::invalid(message)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_told_from_other_text() {
        for text in ["video/h264", "video/h264,audio/aac", "application/x-matroska+1.0"] {
            assert_eq!(media_type(text), Ok(()), "{text}");
        }
        for text in ["", "video", "video/", "/h264", "video/h264,", "a/b/c", "video/h 264"] {
            assert!(media_type(text).is_err(), "{text}");
        }
    }

    #[test]
    fn retention_is_bounded_at_both_ends() {
        assert_eq!(retention_hours(0), Ok(0));
        assert_eq!(retention_hours(87_600), Ok(87_600));
        for hours in [-1, 87_601, i64::MAX, i64::MIN] {
            assert!(retention_hours(hours).is_err(), "{hours}");
        }
    }

    #[test]
    fn tags_are_held_to_the_model() {
        let check = |key: &str, value: &str| tags(&BTreeMap::from([(key.into(), value.into())]));
        assert_eq!(check("Ort der Kamera", "Tür-3 @ Küche"), Ok(()));
        assert_eq!(check("k", ""), Ok(()));
        for (key, value) in [("", "v"), ("aws:x", "v"), ("AWS:x", "v"), ("a#", "v"), ("a", "\n")] {
            assert!(check(key, value).is_err(), "{key:?}={value:?}");
        }
        assert!(check(&"k".repeat(129), "v").is_err());
        assert!(check("k", &"v".repeat(257)).is_err());
        let many = (0..51).map(|n| (n.to_string(), String::new())).collect();
        let kind = tags(&many).map_err(|error| error.kind);
        assert_eq!(kind, Err(ErrorKind::TagsPerResourceExceededLimit));
    }
}
