//! The entries of the log as bytes; see `FORMAT.md`. No I/O here.

use crate::store::kept::Kept;
use crate::types::{FragmentNumber, ProducerTimestamp, ServerTimestamp, StreamId};

/// Bytes of an entry's header.
pub const HEADER_BYTES: usize = 128;
/// Entries start at multiples of this.
pub const ALIGNMENT: u64 = 64;
/// The largest body an entry may have; far above what ingest accepts as a fragment.
pub const MAX_BODY_BYTES: usize = 1 << 30;
/// Bytes of one record in a state entry.
pub const STATE_RECORD_BYTES: usize = 64;

const MAGIC: [u8; 4] = *b"KENT";
const CRC_AT: usize = HEADER_BYTES - 4;
const NO_SEQUENCE: u64 = u64::MAX;
/// What the field at 52 of a state's record says: a stream that has never had a fragment with a
/// sequence, one that has, and more of the stream before it.
const WITHOUT_LAST: u32 = 0;
const WITH_LAST: u32 = 1;
const MORE_RANGES: u32 = 2;
/// Ranges in one record that holds more of a stream.
const RANGES_PER_RECORD: usize = 2;

/// A place in the log: bytes since its beginning, over all segments that ever were.
pub type Lsn = u64;

/// A digest of what decoders must know beforehand (tracks, codec data). The store only compares
/// it: where it changes, players need a new init segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FormatId(pub u32);

/// An entry's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the entry lies.
    pub lsn: Lsn,
    /// All before this place was synced when the entry was written.
    pub durable: Lsn,
    /// Ties the entry to one use of its segment's file.
    pub salt: u32,
    /// What it says.
    pub kind: Kind,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fragment; the body is its chunk.
    Fragment(FragmentEntry),
    /// The stream's fragments before `keep_from` have expired, but for the ranges in the body (see
    /// [`Kept`]).
    Trim {
        /// The stream.
        stream: StreamId,
        /// The first counter of those that are all kept.
        keep_from: u64,
        /// Bytes of the body.
        len: u32,
        /// Checksum of the body.
        crc: u32,
    },
    /// A fragment that lies earlier in the log too, where space is to be freed; the body is the
    /// same. Only the position is new.
    Copy(FragmentEntry),
    /// Numbers of the stream up to `counter` may have been given out.
    Reserve {
        /// The stream.
        stream: StreamId,
        /// The largest counter that may have been given out.
        counter: u64,
    },
    /// What stood here was damaged and set aside; the body means nothing.
    Void {
        /// Bytes of the body.
        len: u32,
    },
    /// The body holds [`StateRecord`]s.
    State {
        /// Bytes of the body.
        len: u32,
        /// Checksum of the body.
        crc: u32,
    },
    /// The log goes on in the next segment.
    Seal,
    /// Carries only `durable`.
    Mark,
}

/// A fragment's facts as the log keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of FORMAT.md and FragmentInfo")]
pub struct FragmentEntry {
    pub stream: StreamId,
    pub number: FragmentNumber,
    pub producer: ProducerTimestamp,
    pub duration_ms: u32,
    pub format: FormatId,
    pub sequence: Option<u64>,
    pub breaks: u32,
    pub head_len: u32,
    pub cluster_len: u32,
    pub trailer_len: u32,
    pub cluster_crc: u32,
    pub body_crc: u32,
}

impl FragmentEntry {
    /// Bytes of the body.
    pub fn body_len(&self) -> u64 {
        u64::from(self.head_len) + u64::from(self.cluster_len) + u64::from(self.trailer_len)
    }
}

impl Kind {
    /// The trim that says what of a stream is kept, and its body.
    pub fn trim(stream: StreamId, kept: &Kept) -> (Self, Vec<u8>) {
        let body = kept.encode();
        let len = u32::try_from(body.len()).expect("the ranges of a stream are few");
        let trim = Self::Trim { stream, keep_from: kept.from, len, crc: crc32c::crc32c(&body) };
        (trim, body)
    }

    /// The fragment whose chunk the body is.
    pub fn fragment(&self) -> Option<FragmentEntry> {
        match self {
            Self::Fragment(fragment) | Self::Copy(fragment) => Some(*fragment),
            _ => None,
        }
    }
}

impl Header {
    /// Bytes of the body that follows.
    pub fn body_len(&self) -> u64 {
        match self.kind {
            Kind::Fragment(fragment) | Kind::Copy(fragment) => fragment.body_len(),
            Kind::Trim { len, .. } | Kind::State { len, .. } | Kind::Void { len } => u64::from(len),
            Kind::Reserve { .. } | Kind::Seal | Kind::Mark => 0,
        }
    }

    /// The checksum of the body; `None` for an entry without a body.
    pub fn body_crc(&self) -> Option<u32> {
        match self.kind {
            Kind::Fragment(fragment) | Kind::Copy(fragment) => Some(fragment.body_crc),
            Kind::Trim { crc, .. } | Kind::State { crc, .. } => Some(crc),
            Kind::Void { .. } | Kind::Reserve { .. } | Kind::Seal | Kind::Mark => None,
        }
    }

    /// Where the next entry starts.
    pub fn end(&self) -> Lsn {
        self.lsn + entry_bytes(self.body_len())
    }

    /// The header as bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &MAGIC);
        put(8, &self.lsn.to_le_bytes());
        put(16, &self.durable.to_le_bytes());
        put(24, &self.salt.to_le_bytes());
        let kind = match self.kind {
            Kind::Fragment(entry) | Kind::Copy(entry) => {
                let server = entry.number.server_timestamp().as_millis();
                put(28, &entry.stream.0.to_le_bytes());
                put(32, &entry.number.counter().to_le_bytes());
                put(40, &server.to_le_bytes());
                put(48, &random_of(entry.number).to_le_bytes());
                put(52, &entry.format.0.to_le_bytes());
                put(56, &entry.producer.as_millis().to_le_bytes());
                put(64, &entry.sequence.unwrap_or(NO_SEQUENCE).to_le_bytes());
                put(72, &entry.duration_ms.to_le_bytes());
                put(76, &entry.breaks.to_le_bytes());
                put(80, &entry.head_len.to_le_bytes());
                put(84, &entry.cluster_len.to_le_bytes());
                put(88, &entry.trailer_len.to_le_bytes());
                put(92, &entry.cluster_crc.to_le_bytes());
                put(96, &entry.body_crc.to_le_bytes());
                if matches!(self.kind, Kind::Copy(_)) { 8 } else { 1 }
            }
            Kind::Trim { stream, keep_from, len, crc } => {
                put(28, &stream.0.to_le_bytes());
                put(32, &keep_from.to_le_bytes());
                put(80, &len.to_le_bytes());
                put(96, &crc.to_le_bytes());
                2
            }
            Kind::State { len, crc } => {
                put(80, &len.to_le_bytes());
                put(96, &crc.to_le_bytes());
                3
            }
            Kind::Seal => 4,
            Kind::Mark => 5,
            Kind::Reserve { stream, counter } => {
                put(28, &stream.0.to_le_bytes());
                put(32, &counter.to_le_bytes());
                6
            }
            Kind::Void { len } => {
                put(80, &len.to_le_bytes());
                7
            }
        };
        bytes[4] = kind;
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` when the bytes are not a valid one.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        if bytes[..4] != MAGIC || crc32c::crc32c(&bytes[..CRC_AT]) != u32_at(bytes, CRC_AT) {
            return None;
        }
        let kind = match bytes[4] {
            1 => Kind::Fragment(decode_fragment(bytes)),
            2 => Kind::Trim {
                stream: StreamId(u32_at(bytes, 28)),
                keep_from: u64_at(bytes, 32),
                len: u32_at(bytes, 80),
                crc: u32_at(bytes, 96),
            },
            3 => Kind::State { len: u32_at(bytes, 80), crc: u32_at(bytes, 96) },
            4 => Kind::Seal,
            5 => Kind::Mark,
            6 => Kind::Reserve { stream: StreamId(u32_at(bytes, 28)), counter: u64_at(bytes, 32) },
            7 => Kind::Void { len: u32_at(bytes, 80) },
            8 => Kind::Copy(decode_fragment(bytes)),
            _ => return None,
        };
        let (lsn, durable) = (u64_at(bytes, 8), u64_at(bytes, 16));
        let header = Self { lsn, durable, salt: u32_at(bytes, 24), kind };
        let plausible = header.body_len() <= MAX_BODY_BYTES as u64 && durable <= lsn;
        plausible.then_some(header)
    }
}

/// Bytes an entry takes in the log, padding included.
pub fn entry_bytes(body_len: u64) -> u64 {
    (HEADER_BYTES as u64 + body_len).next_multiple_of(ALIGNMENT)
}

/// What a state entry says of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRecord {
    /// The stream.
    pub stream: StreamId,
    /// What has not expired.
    pub kept: Kept,
    /// The largest counter ever persisted or reserved.
    pub last_counter: u64,
    /// The largest server time ever persisted.
    pub last_server: ServerTimestamp,
    /// Where the live playlist stands.
    pub edge: Edge,
}

/// The end of a stream's live playlist: what the next fragment's `sequence` and `breaks` follow
/// from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// The sequence the next fragment gets.
    pub next_sequence: u64,
    /// Breaks so far.
    pub breaks: u32,
    /// The newest fragment that has a sequence.
    pub last: Option<EdgeFragment>,
}

/// What is remembered of the newest fragment that has a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeFragment {
    /// Its counter.
    pub counter: u64,
    /// Producer time at its end.
    pub end: ProducerTimestamp,
    /// Its format.
    pub format: FormatId,
}

impl StateRecord {
    /// Appends the record's bytes to a state's body.
    pub fn encode(&self, body: &mut Vec<u8>) {
        let last = self.edge.last;
        body.extend_from_slice(&self.stream.0.to_le_bytes());
        body.extend_from_slice(&last.map_or(0, |last| last.format.0).to_le_bytes());
        body.extend_from_slice(&self.kept.from.to_le_bytes());
        body.extend_from_slice(&self.last_counter.to_le_bytes());
        body.extend_from_slice(&self.last_server.as_millis().to_le_bytes());
        body.extend_from_slice(&self.edge.next_sequence.to_le_bytes());
        body.extend_from_slice(&last.map_or(0, |last| last.end.as_millis()).to_le_bytes());
        body.extend_from_slice(&self.edge.breaks.to_le_bytes());
        let marker = if last.is_some() { WITH_LAST } else { WITHOUT_LAST };
        body.extend_from_slice(&marker.to_le_bytes());
        body.extend_from_slice(&last.map_or(0, |last| last.counter).to_le_bytes());
        for ranges in self.kept.below.chunks(RANGES_PER_RECORD) {
            let mut record = [0; STATE_RECORD_BYTES];
            let mut put = |at: usize, value: &[u8]| {
                record[at..at + value.len()].copy_from_slice(value);
            };
            put(0, &self.stream.0.to_le_bytes());
            put(52, &MORE_RANGES.to_le_bytes());
            for (at, range) in ranges.iter().enumerate() {
                put(8 + at * 16, &range.start.to_le_bytes());
                put(16 + at * 16, &range.end.to_le_bytes());
            }
            body.extend_from_slice(&record);
        }
    }

    /// Reads all records of a state's body.
    pub fn decode_all(body: &[u8]) -> Vec<Self> {
        let mut streams: Vec<Self> = Vec::new();
        for bytes in body.chunks_exact(STATE_RECORD_BYTES) {
            match streams.last_mut() {
                Some(stream) if u32_at(bytes, 52) == MORE_RANGES => {
                    stream.kept.keep(u64_at(bytes, 8)..u64_at(bytes, 16));
                    stream.kept.keep(u64_at(bytes, 24)..u64_at(bytes, 32));
                }
                _ => streams.push(Self::decode(bytes)),
            }
        }
        streams
    }

    fn decode(bytes: &[u8]) -> Self {
        let last = (u32_at(bytes, 52) == WITH_LAST).then(|| EdgeFragment {
            counter: u64_at(bytes, 56),
            end: ProducerTimestamp::from_millis(u64_at(bytes, 40) as i64),
            format: FormatId(u32_at(bytes, 4)),
        });
        let (next_sequence, breaks) = (u64_at(bytes, 32), u32_at(bytes, 48));
        Self {
            stream: StreamId(u32_at(bytes, 0)),
            kept: Kept { from: u64_at(bytes, 8), below: Vec::new() },
            last_counter: u64_at(bytes, 16),
            last_server: ServerTimestamp::from_millis(u64_at(bytes, 24) as i64),
            edge: Edge { next_sequence, breaks, last },
        }
    }
}

/// The 32 bits at `at`; the caller's slice is long enough.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// The 64 bits at `at`; the caller's slice is long enough.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn decode_fragment(bytes: &[u8; HEADER_BYTES]) -> FragmentEntry {
    let server = ServerTimestamp::from_millis(u64_at(bytes, 40) as i64);
    let sequence = u64_at(bytes, 64);
    FragmentEntry {
        stream: StreamId(u32_at(bytes, 28)),
        number: FragmentNumber::new(u64_at(bytes, 32), server, u32_at(bytes, 48)),
        producer: ProducerTimestamp::from_millis(u64_at(bytes, 56) as i64),
        duration_ms: u32_at(bytes, 72),
        format: FormatId(u32_at(bytes, 52)),
        sequence: (sequence != NO_SEQUENCE).then_some(sequence),
        breaks: u32_at(bytes, 76),
        head_len: u32_at(bytes, 80),
        cluster_len: u32_at(bytes, 84),
        trailer_len: u32_at(bytes, 88),
        cluster_crc: u32_at(bytes, 92),
        body_crc: u32_at(bytes, 96),
    }
}

/// The number's random bits, which its public surface only shows as part of its bytes.
pub fn random_of(number: FragmentNumber) -> u32 {
    let bytes = number.to_bytes();
    u32::from_be_bytes([bytes[16], bytes[17], bytes[18], bytes[19]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_fragment() -> impl Strategy<Value = FragmentEntry> {
        let lengths = (0..1u32 << 20, 0..1u32 << 20, 0..1u32 << 20);
        let numbers = (any::<u64>(), 0..i64::MAX, any::<u32>());
        let facts = (any::<u32>(), any::<i64>(), any::<u32>(), any::<u32>(), any::<u32>());
        let checks = (proptest::option::of(0..u64::MAX), any::<u32>(), any::<u32>());
        (lengths, numbers, facts, checks).prop_map(|(lengths, number, facts, checks)| {
            let server = ServerTimestamp::from_millis(number.1);
            FragmentEntry {
                stream: StreamId(facts.0),
                number: FragmentNumber::new(number.0, server, number.2),
                producer: ProducerTimestamp::from_millis(facts.1),
                duration_ms: facts.2,
                format: FormatId(facts.3),
                sequence: checks.0,
                breaks: facts.4,
                head_len: lengths.0,
                cluster_len: lengths.1,
                trailer_len: lengths.2,
                cluster_crc: checks.1,
                body_crc: checks.2,
            }
        })
    }

    fn any_kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            any_fragment().prop_map(Kind::Fragment),
            any_fragment().prop_map(Kind::Copy),
            (any::<u32>(), any::<u64>(), 0..1u32 << 14, any::<u32>()).prop_map(
                |(id, keep_from, len, crc)| Kind::Trim {
                    stream: StreamId(id),
                    keep_from,
                    len,
                    crc
                }
            ),
            (any::<u32>(), any::<u64>())
                .prop_map(|(id, counter)| Kind::Reserve { stream: StreamId(id), counter }),
            (0..1u32 << 20).prop_map(|len| Kind::Void { len }),
            (0..1u32 << 20, any::<u32>()).prop_map(|(len, crc)| Kind::State { len, crc }),
            Just(Kind::Seal),
            Just(Kind::Mark),
        ]
    }

    proptest! {
        #[test]
        fn headers_survive_bytes_and_no_flipped_bit(
            kind in any_kind(),
            lsn in 0..u64::MAX / 2,
            back in 0..1_000_000u64,
            salt in any::<u32>(),
            bit in 0..HEADER_BYTES * 8,
        ) {
            let header = Header { lsn, durable: lsn.saturating_sub(back), salt, kind };
            let mut bytes = header.encode();
            prop_assert_eq!(Header::decode(&bytes), Some(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in any::<[u8; 32]>(), kind in any::<u8>()) {
            let mut header = [0; HEADER_BYTES];
            for (at, byte) in header.iter_mut().enumerate() {
                *byte = bytes[at % 32];
            }
            header[..4].copy_from_slice(&MAGIC);
            header[4] = kind;
            let crc = crc32c::crc32c(&header[..CRC_AT]);
            header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
            let _ = Header::decode(&header);
        }

        #[test]
        fn state_records_survive_bytes(
            words in any::<[u64; 4]>(), end in any::<i64>(), small in any::<[u32; 3]>(),
            has_last in any::<bool>(), ranges in 0..5u64,
        ) {
            let last = has_last.then_some(EdgeFragment {
                counter: words[0],
                end: ProducerTimestamp::from_millis(end),
                format: FormatId(small[0]),
            });
            let record = StateRecord {
                stream: StreamId(small[1]),
                kept: Kept { from: 100, below: (0..ranges).map(|n| n * 10..n * 10 + 5).collect() },
                last_counter: words[2],
                last_server: ServerTimestamp::from_millis(end),
                edge: Edge { next_sequence: words[3], breaks: small[2], last },
            };
            let mut body = Vec::new();
            record.encode(&mut body);
            prop_assert!(body.len().is_multiple_of(STATE_RECORD_BYTES));
            record.encode(&mut body);
            prop_assert_eq!(StateRecord::decode_all(&body), [record.clone(), record]);
        }
    }
}
