//! The frames of `application/vnd.amazon.eventstream`: messages of typed headers and a payload, each
//! with two checksums.
//!
//! A message reads `total length` ‖ `headers' length` ‖ `CRC of these eight bytes` ‖ headers ‖ payload ‖
//! `CRC of all before it`: big-endian numbers of 32 bits, CRC-32 as in zlib. A header reads
//! `length of the name (8 bits)` ‖ name ‖ `type (8 bits)` ‖ value.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The content type of answers made of messages.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// The largest message that clients take.
pub const MAX_MESSAGE_BYTES: usize = 24 << 20;
/// The largest headers that clients take, together.
pub const MAX_HEADERS_BYTES: usize = 128 << 10;

/// Two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// The type of a text.
const TYPE_STRING: u8 = 7;

/// One message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Names and values in their order.
    pub headers: Vec<(String, Header)>,
    /// What the headers say it is.
    pub payload: Bytes,
}

/// A header's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Header {
    /// Types 0 and 1.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Int(i32),
    /// Type 5.
    Long(i64),
    /// Type 6; at most 65535 bytes.
    Bytes(Bytes),
    /// Type 7; at most 65535 bytes.
    Text(String),
    /// Type 8: milliseconds since the epoch.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Larger than clients take, or smaller than the smallest.
    #[error("the lengths of the message are impossible")]
    Lengths,
    /// Damaged on the way.
    #[error("a checksum of the message does not match")]
    Checksum,
    /// Not of the form above.
    #[error("the headers of the message are malformed")]
    Headers,
}

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message or a header is larger than clients take")]
pub struct TooLarge;

impl Message {
    /// A message with headers of text, as all of ours are.
    pub fn new(headers: &[(&str, &str)], payload: impl Into<Bytes>) -> Self {
        let text = |&(name, value): &(&str, &str)| (name.into(), Header::Text(value.into()));
        Self { headers: headers.iter().map(text).collect(), payload: payload.into() }
    }

    /// The message as bytes.
    ///
    /// # Errors
    /// A name, a value, the headers or the whole is too large.
    pub fn encode(&self) -> Result<Bytes, TooLarge> {
        let mut headers = BytesMut::new();
        for (name, value) in &self.headers {
            put_name(&mut headers, name)?;
            put_value(&mut headers, value)?;
        }
        let total = PRELUDE_BYTES + headers.len() + self.payload.len() + CRC_BYTES;
        if headers.len() > MAX_HEADERS_BYTES || total > MAX_MESSAGE_BYTES {
            return Err(TooLarge);
        }
        let mut out = BytesMut::with_capacity(total);
        out.put_u32(u32::try_from(total).map_err(|_| TooLarge)?);
        out.put_u32(u32::try_from(headers.len()).map_err(|_| TooLarge)?);
        out.put_u32(crc32fast::hash(&out));
        out.put(headers);
        out.put_slice(&self.payload);
        out.put_u32(crc32fast::hash(&out));
        Ok(out.freeze())
    }

    /// Takes the next message off `bytes`; `None` until all of it is there.
    ///
    /// # Errors
    /// What is there can never become a message; `bytes` are as before.
    pub fn decode(bytes: &mut BytesMut) -> Result<Option<Self>, Malformed> {
        let Some(&[a, b, c, d, e, f, g, h, ref crc @ ..]) = bytes.get(..PRELUDE_BYTES) else {
            return Ok(None);
        };
        let total = u32::from_be_bytes([a, b, c, d]) as usize;
        let headers_len = u32::from_be_bytes([e, f, g, h]) as usize;
        if crc != crc32fast::hash(&bytes[..8]).to_be_bytes() {
            return Err(Malformed::Checksum);
        }
        let possible = total <= MAX_MESSAGE_BYTES
            && headers_len <= MAX_HEADERS_BYTES
            && PRELUDE_BYTES + headers_len + CRC_BYTES <= total;
        if !possible {
            return Err(Malformed::Lengths);
        }
        let Some(message) = bytes.get(..total) else { return Ok(None) };
        let (content, crc) = message.split_at(total - CRC_BYTES);
        if crc != crc32fast::hash(content).to_be_bytes() {
            return Err(Malformed::Checksum);
        }
        let headers = &content[PRELUDE_BYTES..PRELUDE_BYTES + headers_len];
        let headers = read_headers(headers).ok_or(Malformed::Headers)?;
        let mut message = bytes.split_to(total).freeze();
        message.truncate(total - CRC_BYTES);
        Ok(Some(Self { headers, payload: message.slice(PRELUDE_BYTES + headers_len..) }))
    }

    /// A header of text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|(header, value)| match value {
            Header::Text(text) if header == name => Some(text.as_str()),
            _ => None,
        })
    }
}

fn put_name(out: &mut BytesMut, name: &str) -> Result<(), TooLarge> {
    out.put_u8(u8::try_from(name.len()).map_err(|_| TooLarge)?);
    out.put_slice(name.as_bytes());
    Ok(())
}

fn put_value(out: &mut BytesMut, value: &Header) -> Result<(), TooLarge> {
    match value {
        Header::Bool(value) => out.put_u8(u8::from(!value)),
        Header::Byte(value) => {
            out.put_u8(2);
            out.put_i8(*value);
        }
        Header::Short(value) => {
            out.put_u8(3);
            out.put_i16(*value);
        }
        Header::Int(value) => {
            out.put_u8(4);
            out.put_i32(*value);
        }
        Header::Long(value) => {
            out.put_u8(5);
            out.put_i64(*value);
        }
        Header::Bytes(value) => put_sized(out, 6, value)?,
        Header::Text(value) => put_sized(out, TYPE_STRING, value.as_bytes())?,
        Header::Timestamp(value) => {
            out.put_u8(8);
            out.put_i64(*value);
        }
        Header::Uuid(value) => {
            out.put_u8(9);
            out.put_slice(value);
        }
    }
    Ok(())
}

fn put_sized(out: &mut BytesMut, kind: u8, value: &[u8]) -> Result<(), TooLarge> {
    out.put_u8(kind);
    out.put_u16(u16::try_from(value.len()).map_err(|_| TooLarge)?);
    out.put_slice(value);
    Ok(())
}

fn read_headers(mut rest: &[u8]) -> Option<Vec<(String, Header)>> {
    let mut headers = Vec::new();
    while rest.has_remaining() {
        let name_len = rest.try_get_u8().ok()?;
        let name = text(take(&mut rest, usize::from(name_len))?)?;
        headers.push((name, read_value(&mut rest)?));
    }
    Some(headers)
}

fn read_value(rest: &mut &[u8]) -> Option<Header> {
    Some(match rest.try_get_u8().ok()? {
        0 => Header::Bool(true),
        1 => Header::Bool(false),
        2 => Header::Byte(rest.try_get_i8().ok()?),
        3 => Header::Short(rest.try_get_i16().ok()?),
        4 => Header::Int(rest.try_get_i32().ok()?),
        5 => Header::Long(rest.try_get_i64().ok()?),
        6 => Header::Bytes(Bytes::copy_from_slice(take_sized(rest)?)),
        TYPE_STRING => Header::Text(text(take_sized(rest)?)?),
        8 => Header::Timestamp(rest.try_get_i64().ok()?),
        9 => Header::Uuid(take(rest, 16)?.try_into().ok()?),
        _ => return None,
    })
}

fn take_sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = rest.try_get_u16().ok()?;
    take(rest, usize::from(len))
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    rest.split_off(..len)
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const INITIAL: &str = "0000007200000060ab820d9e0b3a6576656e742d74797065070010696e697469616c2d726573706f6e73650d3a636f6e74656e742d7479706507001a6170706c69636174696f6e2f782d616d7a2d6a736f6e2d312e310d3a6d6573736167652d747970650700056576656e747b7dacae6b7d";

    fn decoded(bytes: &[u8]) -> Result<Option<Message>, Malformed> {
        Message::decode(&mut BytesMut::from(bytes))
    }

    #[test]
    fn messages_are_what_aws_clients_expect() {
        let empty = hex::decode("000000100000000005c248eb7d98c8ff").expect("hex");
        assert_eq!(Message::default().encode().as_deref(), Ok(&empty[..]));
        assert_eq!(decoded(&empty), Ok(Some(Message::default())));

        let headers = [
            (":event-type", "initial-response"),
            (":content-type", "application/x-amz-json-1.1"),
            (":message-type", "event"),
        ];
        let initial = Message::new(&headers, &b"{}"[..]);
        let bytes = hex::decode(INITIAL).expect("hex");
        assert_eq!(initial.encode().as_deref(), Ok(&bytes[..]));
        assert_eq!(decoded(&bytes), Ok(Some(initial.clone())));
        assert_eq!(initial.text(":event-type"), Some("initial-response"));
    }

    #[test]
    fn damaged_message_is_refused() {
        let good = hex::decode(INITIAL).expect("hex");
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert!(decoded(&bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn message_that_clients_would_not_take_is_not_written() {
        let payload = vec![0; MAX_MESSAGE_BYTES];
        assert_eq!(Message::new(&[], payload).encode(), Err(TooLarge));
        let long = "x".repeat(1 << 16);
        assert_eq!(Message::new(&[("a", &long)], "").encode(), Err(TooLarge));
        assert_eq!(Message::new(&[(&long[..256], "")], "").encode(), Err(TooLarge));
    }

    fn any_header() -> impl Strategy<Value = Header> {
        prop_oneof![
            any::<bool>().prop_map(Header::Bool),
            any::<i8>().prop_map(Header::Byte),
            any::<i16>().prop_map(Header::Short),
            any::<i32>().prop_map(Header::Int),
            any::<i64>().prop_map(Header::Long),
            vec(any::<u8>(), 0..40).prop_map(|bytes| Header::Bytes(bytes.into())),
            any::<String>().prop_map(Header::Text),
            any::<i64>().prop_map(Header::Timestamp),
            any::<[u8; 16]>().prop_map(Header::Uuid),
        ]
    }

    proptest! {
        #[test]
        fn messages_in_a_row_come_back_wherever_the_bytes_are_cut(
            messages in vec((vec(("[a-z:-]{0,20}", any_header()), 0..4), vec(any::<u8>(), 0..60)), 1..4),
            cut in 1usize..50,
        ) {
            let messages: Vec<_> = messages
                .into_iter()
                .map(|(headers, payload)| Message { headers, payload: payload.into() })
                .collect();
            let (mut buffer, mut got, mut sent) = (BytesMut::new(), Vec::new(), Vec::new());
            for message in &messages {
                sent.extend_from_slice(&message.encode().expect("small"));
            }
            for piece in sent.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(message) = Message::decode(&mut buffer).expect("ours") {
                    got.push(message);
                }
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(got, messages);
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decoded(&bytes);
        }
    }
}
