//! Names of streams: what users choose, what AWS prints, and what the log stores.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A stream's name: 1 to 256 of `[a-zA-Z0-9_.-]`, unique in its server. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

/// The text is not a stream name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream name has 1 to 256 characters of [a-zA-Z0-9_.-]")]
pub struct InvalidStreamName;

/// Names a stream inside the log; never reused, so a deleted stream's entries stay dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// The Amazon Resource Name of a stream: `arn:aws:kinesisvideo:REGION:ACCOUNT:stream/NAME/CREATED`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arn {
    /// `us-east-1` unless configured.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// The stream's name.
    pub name: StreamName,
    /// Creation time in milliseconds, which tells a stream from an earlier one of its name.
    pub created_ms: i64,
}

/// The text is not the ARN of a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream ARN reads arn:aws:kinesisvideo:REGION:ACCOUNT:stream/NAME/CREATION-TIME")]
pub struct ArnError;

impl StreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = InvalidStreamName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if (1..=256).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidStreamName)
        }
    }
}

impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, account, name, created_ms } = self;
        write!(f, "arn:aws:kinesisvideo:{region}:{account}:stream/{name}/{created_ms}")
    }
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().ok_or(ArnError);
        let (prefix, partition, service) = (part()?, part()?, part()?);
        let (region, account, resource) = (part()?, part()?, part()?);
        if prefix != "arn" || !partition.starts_with("aws") || service != "kinesisvideo" {
            return Err(ArnError);
        }
        let resource = resource.strip_prefix("stream/").ok_or(ArnError)?;
        let (name, created) = resource.split_once('/').ok_or(ArnError)?;
        if region.is_empty() || account.is_empty() || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ArnError);
        }
        Ok(Self {
            region: region.to_owned(),
            account: account.to_owned(),
            name: name.parse().map_err(|_| ArnError)?,
            created_ms: created.parse().map_err(|_| ArnError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arn_survives_text() {
        let text = "arn:aws:kinesisvideo:us-east-1:111122223333:stream/front.door_1/1551924009774";
        let arn: Arn = text.parse().expect("a valid ARN");
        assert_eq!(arn.name.as_str(), "front.door_1");
        assert_eq!(arn.created_ms, 1_551_924_009_774);
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn what_is_no_name_or_arn_is_refused() {
        for name in ["", "a b", "ä", "a/b", &"x".repeat(257)] {
            assert_eq!(name.parse::<StreamName>(), Err(InvalidStreamName), "{name}");
        }
        for arn in [
            "",
            "arn:aws:s3:::x",
            "arn:aws:kinesisvideo:r:1:stream/x",
            "arn:aws:kinesisvideo:r:x:stream/x/1",
        ] {
            assert_eq!(arn.parse::<Arn>(), Err(ArnError), "{arn}");
        }
    }
}
