//! What a queue's journal says: changes of its state, as bytes.
//!
//! A journal record is `version (1)` ‖ `kind (1)` ‖ body, all integers little-endian:
//!
//! | kind | body |
//! |---|---|
//! | 0, changes | events |
//! | 1, part of a snapshot | part (u32, from 0) ‖ parts (u32) ‖ events that make the state from nothing |
//!
//! | event | tag | fields |
//! |---|---|---|
//! | `From` | 1 | shard u32, index u64 |
//! | `Unsettled` | 2 | shard u32, index u64, receives u32, bytes u32, first i64, visible i64, receipt u64, dead u8 |
//! | `Settled` | 3 | shard u32, index u64 |
//! | `Forgotten` | 4 | shard u32 |
//! | `Receipts` | 5 | next u64 |
//!
//! Each event says what is from now on, not what was done, so that applying one again, or on a
//! state that is ahead, does no harm.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::place::Place;
use crate::types::{ServerTimestamp, StreamId};

/// The version of the journal's records that this program writes, and the only one that it reads.
const VERSION: u8 = 1;
const CHANGES: u8 = 0;
const SNAPSHOT_PART: u8 = 1;
/// Bytes after which a snapshot's next part begins: a queue that holds many unsettled records must
/// not make a log entry that no segment has room for.
const PART_BYTES: usize = 256 << 10;

/// What is from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing of a shard below an index is the queue's: it starts there, or the rest expired.
    From {
        /// The shard's log.
        shard: StreamId,
        /// The first index that may be received.
        index: u64,
    },
    /// A record is not settled, and stands thus.
    Unsettled {
        /// Which record.
        place: Place,
        /// How it stands.
        standing: Standing,
    },
    /// A record was acknowledged.
    Settled(Place),
    /// A shard is gone, and with it all of its records.
    Forgotten(StreamId),
    /// The number that the next receipt gets.
    Receipts(u64),
}

/// How a record stands that somebody received, or that is to be received again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How often it was received since it came, or since it was restored.
    pub receives: u32,
    /// Bytes of it, as far as known: those of a record that nobody received yet are not.
    pub bytes: u32,
    /// When it was first received.
    pub first: ServerTimestamp,
    /// When it may be received again.
    pub visible: ServerTimestamp,
    /// The number of its newest receipt; 0 when there is none.
    pub receipt: u64,
    /// Whether it is a dead letter.
    pub dead: bool,
}

/// A record of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalRecord {
    /// Changes that were made together.
    Changes(Vec<Event>),
    /// A part of what the state was, numbered from 0, of so many.
    SnapshotPart {
        /// Its number.
        part: u32,
        /// How many there are.
        parts: u32,
        /// They make the state out of nothing.
        events: Vec<Event>,
    },
}

/// A journal record does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRecord {
    /// It was written by a later version of this program.
    #[error("version {0} is not known")]
    Version(u8),
    /// It is damaged.
    #[error("byte {0} is not what may stand there")]
    Byte(usize),
}

/// One journal record of changes.
pub fn encode_changes(events: &[Event]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_slice(&[VERSION, CHANGES]);
    events.iter().for_each(|event| event.encode(&mut bytes));
    bytes.freeze()
}

/// A snapshot as journal records; at least one.
pub fn encode_snapshot(events: impl Iterator<Item = Event>) -> Vec<Bytes> {
    let mut bodies = vec![BytesMut::new()];
    for event in events {
        if bodies.last().is_some_and(|body| body.len() >= PART_BYTES) {
            bodies.push(BytesMut::new());
        }
        if let Some(body) = bodies.last_mut() {
            event.encode(body);
        }
    }
    let parts = bodies.len() as u32;
    let encode = |(part, body): (u32, BytesMut)| {
        let mut bytes = BytesMut::with_capacity(body.len() + 10);
        bytes.put_slice(&[VERSION, SNAPSHOT_PART]);
        bytes.put_u32_le(part);
        bytes.put_u32_le(parts);
        bytes.put_slice(&body);
        bytes.freeze()
    };
    (0..).zip(bodies).map(encode).collect()
}

/// Reads a journal record.
pub fn decode(bytes: &[u8]) -> Result<JournalRecord, MalformedRecord> {
    let mut reader = Reader { rest: bytes, len: bytes.len() };
    match reader.u8()? {
        VERSION => {}
        other => return Err(MalformedRecord::Version(other)),
    }
    match reader.u8()? {
        CHANGES => Ok(JournalRecord::Changes(reader.events()?)),
        SNAPSHOT_PART => {
            let (part, parts) = (reader.u32()?, reader.u32()?);
            if part >= parts {
                return Err(reader.malformed());
            }
            Ok(JournalRecord::SnapshotPart { part, parts, events: reader.events()? })
        }
        _ => Err(MalformedRecord::Byte(1)),
    }
}

impl Event {
    fn encode(&self, bytes: &mut BytesMut) {
        match *self {
            Self::From { shard, index } => {
                bytes.put_u8(1);
                Place { shard, index }.encode(bytes);
            }
            Self::Unsettled { place, standing } => {
                bytes.put_u8(2);
                place.encode(bytes);
                bytes.put_u32_le(standing.receives);
                bytes.put_u32_le(standing.bytes);
                bytes.put_i64_le(standing.first.as_millis());
                bytes.put_i64_le(standing.visible.as_millis());
                bytes.put_u64_le(standing.receipt);
                bytes.put_u8(standing.dead.into());
            }
            Self::Settled(place) => {
                bytes.put_u8(3);
                place.encode(bytes);
            }
            Self::Forgotten(shard) => {
                bytes.put_u8(4);
                bytes.put_u32_le(shard.0);
            }
            Self::Receipts(next) => {
                bytes.put_u8(5);
                bytes.put_u64_le(next);
            }
        }
    }
}

impl Place {
    fn encode(self, bytes: &mut BytesMut) {
        bytes.put_u32_le(self.shard.0);
        bytes.put_u64_le(self.index);
    }
}

/// Reads fields, and tells where one is missing.
struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

impl Reader<'_> {
    fn events(&mut self) -> Result<Vec<Event>, MalformedRecord> {
        let mut events = Vec::new();
        while !self.rest.is_empty() {
            events.push(self.event()?);
        }
        Ok(events)
    }

    fn event(&mut self) -> Result<Event, MalformedRecord> {
        let tag_at = self.malformed();
        Ok(match self.u8()? {
            1 => {
                let Place { shard, index } = self.place()?;
                Event::From { shard, index }
            }
            2 => Event::Unsettled { place: self.place()?, standing: self.standing()? },
            3 => Event::Settled(self.place()?),
            4 => Event::Forgotten(StreamId(self.u32()?)),
            5 => Event::Receipts(self.u64()?),
            _ => return Err(tag_at),
        })
    }

    fn place(&mut self) -> Result<Place, MalformedRecord> {
        Ok(Place { shard: StreamId(self.u32()?), index: self.u64()? })
    }

    fn standing(&mut self) -> Result<Standing, MalformedRecord> {
        Ok(Standing {
            receives: self.u32()?,
            bytes: self.u32()?,
            first: self.time()?,
            visible: self.time()?,
            receipt: self.u64()?,
            dead: self.flag()?,
        })
    }

    fn flag(&mut self) -> Result<bool, MalformedRecord> {
        let at = self.malformed();
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(at),
        }
    }

    fn time(&mut self) -> Result<ServerTimestamp, MalformedRecord> {
        let millis = self.rest.try_get_i64_le().map_err(|_| self.malformed())?;
        Ok(ServerTimestamp::from_millis(millis))
    }

    fn u8(&mut self) -> Result<u8, MalformedRecord> {
        self.rest.try_get_u8().map_err(|_| self.malformed())
    }

    fn u32(&mut self) -> Result<u32, MalformedRecord> {
        self.rest.try_get_u32_le().map_err(|_| self.malformed())
    }

    fn u64(&mut self) -> Result<u64, MalformedRecord> {
        self.rest.try_get_u64_le().map_err(|_| self.malformed())
    }

    fn malformed(&self) -> MalformedRecord {
        MalformedRecord::Byte(self.len - self.rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places() -> impl Strategy<Value = Place> {
        let place = |(shard, index)| Place { shard: StreamId(shard), index };
        any::<(u32, u64)>().prop_map(place)
    }

    fn standings() -> impl Strategy<Value = Standing> {
        any::<(u32, u32, i64, i64, u64, bool)>().prop_map(|fields| {
            let (receives, bytes, first, visible, receipt, dead) = fields;
            let at = ServerTimestamp::from_millis;
            Standing { receives, bytes, first: at(first), visible: at(visible), receipt, dead }
        })
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            places().prop_map(|Place { shard, index }| Event::From { shard, index }),
            (places(), standings())
                .prop_map(|(place, standing)| Event::Unsettled { place, standing }),
            places().prop_map(Event::Settled),
            any::<u32>().prop_map(|shard| Event::Forgotten(StreamId(shard))),
            any::<u64>().prop_map(Event::Receipts),
        ]
    }

    proptest! {
        #[test]
        fn changes_read_as_they_were_written(events in prop::collection::vec(events(), 0..20)) {
            let bytes = encode_changes(&events);
            prop_assert_eq!(decode(&bytes), Ok(JournalRecord::Changes(events)));
        }

        #[test]
        fn cut_or_altered_record_never_panics(
            events in prop::collection::vec(events(), 0..6), cut: usize, at: usize, bit in 0..8u8,
        ) {
            let mut bytes = encode_changes(&events).to_vec();
            let cut = cut % bytes.len();
            let whole = decode(&bytes[..cut]);
            prop_assert!(!matches!(whole, Err(MalformedRecord::Byte(at)) if at > cut));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert_ne!(decode(&bytes), Ok(JournalRecord::Changes(events)));
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn record_of_a_later_version_is_told_from_a_damaged_one() {
        assert_eq!(decode(&[2, 0]), Err(MalformedRecord::Version(2)));
        assert_eq!(decode(&[1, 0, 9]), Err(MalformedRecord::Byte(2)));
        assert_eq!(decode(&[1]), Err(MalformedRecord::Byte(1)));
    }

    #[test]
    fn large_snapshot_comes_in_parts_that_hold_all_of_it() {
        let settled = |index| Event::Settled(Place { shard: StreamId(3), index });
        let all: Vec<_> = (0..50_000).map(settled).collect();
        let parts = encode_snapshot(all.iter().copied());
        assert_eq!(parts.len(), 3);
        let mut read = Vec::new();
        for (wanted, bytes) in (0..).zip(&parts) {
            assert!(bytes.len() < PART_BYTES + 100);
            match decode(bytes) {
                Ok(JournalRecord::SnapshotPart { part, parts: 3, events }) if part == wanted => {
                    read.extend(events);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(read, all);
    }
}
