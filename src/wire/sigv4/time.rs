//! The date format of signatures: `20260102T030405Z`.

use crate::types::ServerTimestamp;

const FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// An instant as `X-Amz-Date` writes it, whole seconds. Outside the years 0 to 9999 it is the
/// epoch, which no signature is valid at.
pub fn amz_date(at: ServerTimestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(at.as_millis())
        .ok()
        .filter(|time| *time >= jiff::Timestamp::UNIX_EPOCH)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime(FORMAT).to_string()
}

/// Reads `X-Amz-Date`; `None` when it is not exactly of its form.
pub fn parse_amz_date(text: &str) -> Option<ServerTimestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i16> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0i16, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i16::from(digit - b'0'))
        })
    };
    let small = |from: usize| number(from, from + 2).and_then(|value| i8::try_from(value).ok());
    let time = jiff::civil::DateTime::new(
        number(0, 4)?,
        small(4)?,
        small(6)?,
        small(9)?,
        small(11)?,
        small(13)?,
        0,
    );
    let time = time.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(ServerTimestamp::from_millis(time.as_millisecond()))
}
