//! Acknowledgements of PutMedia: bytes of the answer in, acks out.
//!
//! The answer is a row of JSON objects without a wrapper. Servers separate them by `\n`, `\r\n` or
//! nothing, and HTTP may cut them anywhere, so objects are found by their braces.

use serde_json::Value;

/// The longest acknowledgement taken; AWS's have about 140 bytes.
pub const MAX_ACK_BYTES: usize = 4096;

/// One acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// What happened.
    pub kind: AckKind,
    /// The fragment's cluster timecode in milliseconds, as the producer wrote it; `None` when the
    /// server left it out or sent a negative one.
    pub timecode: Option<i64>,
    /// Decimal digits; `None` when left out or empty.
    pub fragment_number: Option<String>,
}

/// `EventType` of an acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckKind {
    /// The server has begun to receive the fragment.
    Buffering,
    /// The server has the whole fragment; it is not durable yet.
    Received,
    /// The fragment is durable.
    Persisted,
    /// The server refused the fragment or lost it; the session is over.
    Error {
        /// `ErrorId`, such as 4004; 0 when left out.
        id: u16,
        /// `ErrorCode`, such as `FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS`.
        code: String,
    },
    /// Keep-alive.
    Idle,
    /// An `EventType` this client does not know.
    Other(String),
}

/// The answer is not a row of acknowledgements.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// An object is longer than [`MAX_ACK_BYTES`].
    #[error("an acknowledgement is longer than {MAX_ACK_BYTES} bytes")]
    TooLong,
    /// An object is not an acknowledgement.
    #[error("not an acknowledgement: {0}")]
    Malformed(String),
}

/// Finds acknowledgements in an answer cut at any place. After an error the object is skipped and
/// reading can go on.
#[derive(Debug, Default)]
pub struct AckParser {
    /// Bytes that came and were not looked at yet.
    input: std::collections::VecDeque<u8>,
    /// The object that is being collected, from its opening brace.
    object: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The object outgrew the limit; the rest of it is passed over.
    too_long: bool,
}

impl AckParser {
    /// Adds bytes of the answer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend(bytes);
    }

    /// The next whole acknowledgement; `None` when more bytes are needed.
    pub fn next_ack(&mut self) -> Result<Option<Ack>, AckError> {
        while let Some(byte) = self.input.pop_front() {
            if self.take(byte) {
                let object = std::mem::take(&mut self.object);
                if std::mem::take(&mut self.too_long) {
                    return Err(AckError::TooLong);
                }
                return parse(&object).map(Some);
            }
        }
        Ok(None)
    }

    /// Feeds one byte; true when it ends an object.
    fn take(&mut self, byte: u8) -> bool {
        if self.depth == 0 && byte != b'{' {
            return false; // Between objects: line ends, or whatever else a proxy puts there.
        }
        if self.object.len() < MAX_ACK_BYTES {
            self.object.push(byte);
        } else {
            self.too_long = true;
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' => self.depth = self.depth.saturating_add(1),
            b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }
}

fn parse(object: &[u8]) -> Result<Ack, AckError> {
    let malformed = |why: &dyn std::fmt::Display| AckError::Malformed(why.to_string());
    let value: Value = serde_json::from_slice(object).map_err(|error| malformed(&error))?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let event = text("EventType").ok_or_else(|| malformed(&"EventType is missing"))?;
    let kind = match event {
        "BUFFERING" => AckKind::Buffering,
        "RECEIVED" => AckKind::Received,
        "PERSISTED" => AckKind::Persisted,
        "ERROR" => AckKind::Error {
            id: number(&value, "ErrorId").and_then(|id| u16::try_from(id).ok()).unwrap_or(0),
            code: text("ErrorCode").unwrap_or_default().to_owned(),
        },
        "IDLE" => AckKind::Idle,
        other => AckKind::Other(other.to_owned()),
    };
    Ok(Ack {
        kind,
        timecode: number(&value, "FragmentTimecode").filter(|&timecode| timecode >= 0),
        fragment_number: text("FragmentNumber").filter(|n| !n.is_empty()).map(str::to_owned),
    })
}

/// A number, or a number written as a string, as some servers do.
fn number(value: &Value, key: &str) -> Option<i64> {
    let value = value.get(key)?;
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Vec<Result<Ack, AckError>> {
        let mut parser = AckParser::default();
        parser.push(bytes);
        std::iter::from_fn(|| parser.next_ack().transpose()).collect()
    }

    #[test]
    fn acks_are_read_as_aws_writes_them() {
        let number = "91343852333181481915235394203149336554319348843";
        let answer = format!(
            "{{\"EventType\":\"PERSISTED\",\"FragmentTimecode\":1597730826769,\
             \"FragmentNumber\":\"{number}\"}}\r\n{{\"EventType\":\"IDLE\"}}\n\
             {{\"EventType\":\"ERROR\",\"FragmentTimecode\":-1,\"FragmentNumber\":\"\",\
             \"ErrorCode\":\"INVALID_MKV_DATA\",\"ErrorId\":4006}}"
        );
        let acks: Vec<_> =
            read(answer.as_bytes()).into_iter().map(|ack| ack.expect("ack")).collect();
        let persisted = Ack {
            kind: AckKind::Persisted,
            timecode: Some(1_597_730_826_769),
            fragment_number: Some(number.to_owned()),
        };
        let idle = Ack { kind: AckKind::Idle, timecode: None, fragment_number: None };
        let kind = AckKind::Error { id: 4006, code: "INVALID_MKV_DATA".to_owned() };
        let error = Ack { kind, timecode: None, fragment_number: None };
        assert_eq!(acks, [persisted, idle, error]);
    }

    #[test]
    fn object_that_is_no_ack_is_reported_and_the_next_is_read() {
        let acks = read(br#"{"a":{"b":"}"}}{not json}{"EventType":"RECEIVED"}"#);
        assert!(matches!(
            &acks[..],
            [
                Err(AckError::Malformed(_)),
                Err(AckError::Malformed(_)),
                Ok(Ack { kind: AckKind::Received, .. })
            ]
        ));
    }

    #[test]
    fn endless_object_is_cut_off_and_memory_stays_bounded() {
        let mut parser = AckParser::default();
        parser.push(b"{\"EventType\":\"");
        for _ in 0..100 {
            parser.push(&[b'x'; 1000]);
            assert_eq!(parser.next_ack(), Ok(None));
        }
        assert!(parser.object.len() <= MAX_ACK_BYTES);
        parser.push(b"\"}{\"EventType\":\"IDLE\"}");
        assert_eq!(parser.next_ack(), Err(AckError::TooLong));
        assert!(matches!(parser.next_ack(), Ok(Some(Ack { kind: AckKind::Idle, .. }))));
    }

    fn any_kind() -> impl Strategy<Value = AckKind> {
        prop_oneof![
            Just(AckKind::Buffering),
            Just(AckKind::Received),
            Just(AckKind::Persisted),
            (any::<u16>(), ".{0,20}").prop_map(|(id, code)| AckKind::Error { id, code }),
            Just(AckKind::Idle),
        ]
    }

    fn any_ack() -> impl Strategy<Value = Ack> {
        (any_kind(), proptest::option::of(0..i64::MAX), proptest::option::of("[0-9]{1,128}"))
            .prop_map(|(kind, timecode, fragment_number)| Ack { kind, timecode, fragment_number })
    }

    fn write(ack: &Ack) -> String {
        let mut object = serde_json::Map::new();
        let event = match &ack.kind {
            AckKind::Buffering => "BUFFERING",
            AckKind::Received => "RECEIVED",
            AckKind::Persisted => "PERSISTED",
            AckKind::Error { id, code } => {
                object.insert("ErrorId".to_owned(), (*id).into());
                object.insert("ErrorCode".to_owned(), code.as_str().into());
                "ERROR"
            }
            AckKind::Idle => "IDLE",
            AckKind::Other(other) => other,
        };
        object.insert("EventType".to_owned(), event.into());
        if let Some(timecode) = ack.timecode {
            object.insert("FragmentTimecode".to_owned(), timecode.into());
        }
        if let Some(number) = &ack.fragment_number {
            object.insert("FragmentNumber".to_owned(), number.as_str().into());
        }
        Value::Object(object).to_string()
    }

    proptest! {
        #[test]
        fn answer_split_anywhere_gives_the_same_acks(
            acks in proptest::collection::vec((any_ack(), 0..3usize), 0..8),
            cuts in proptest::collection::vec(1..40usize, 1..20),
        ) {
            let ends = ["", "\n", "\r\n"];
            let answer: String =
                acks.iter().map(|(ack, end)| write(ack) + ends[*end]).collect();
            let mut parser = AckParser::default();
            let mut got = Vec::new();
            let (mut rest, mut cuts) = (answer.as_bytes(), cuts.iter().cycle());
            while !rest.is_empty() {
                let cut = cuts.next().map_or(1, |&cut| cut.min(rest.len()));
                parser.push(&rest[..cut]);
                rest = &rest[cut..];
                while let Some(ack) = parser.next_ack().expect("only whole acks were written") {
                    got.push(ack);
                }
            }
            let sent: Vec<_> = acks.into_iter().map(|(ack, _)| ack).collect();
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes);
        }
    }
}
