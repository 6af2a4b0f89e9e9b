//! A run as bytes: the records of one shard that one commit took, each behind its length. See
//! `FORMAT.md`. No I/O here.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::read::{ReadLimit, StoredRecord};
use crate::store::log::entry::{FormatId, FragmentEntry};
use crate::types::{FragmentNumber, ProducerTimestamp, ServerTimestamp, StreamId};

/// Bytes in front of each record: its length.
pub const PREFIX_BYTES: usize = 4;
/// Larger records are not copied. Copying smaller ones costs less than to write and to free each
/// by itself, and lets go of the request they came in, of which they may be a small part.
const COPIED_BYTES: usize = 16 << 10;

/// Records with their lengths, as they go into a run.
#[derive(Debug)]
pub struct Framed {
    /// The bytes. A length lies in one piece, and so does a record.
    pub pieces: Vec<Bytes>,
    /// All of them.
    pub bytes: usize,
    /// How many records.
    pub records: u32,
}

impl Framed {
    /// How many bytes the records take in a run; `None` where that is more than it can hold.
    pub fn bytes_of(records: &[Bytes]) -> Option<usize> {
        let sum = |sum: usize, record: &Bytes| sum.checked_add(PREFIX_BYTES + record.len());
        let bytes = records.iter().try_fold(0, sum)?;
        u32::try_from(bytes).ok().map(|_| bytes)
    }

    /// Puts each record behind its length. `bytes` is what [`Framed::bytes_of`] tells of them.
    pub fn new(records: Vec<Bytes>, bytes: usize) -> Self {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let uncopied = records.iter().map(Bytes::len).filter(|len| *len > COPIED_BYTES);
        let mut copied = BytesMut::with_capacity(bytes - uncopied.sum::<usize>());
        let mut pieces = Vec::new();
        for record in records {
            copied.put_u32_le(u32::try_from(record.len()).unwrap_or(u32::MAX));
            if record.len() > COPIED_BYTES {
                pieces.push(copied.split().freeze());
                pieces.push(record);
            } else {
                copied.extend_from_slice(&record);
            }
        }
        if !copied.is_empty() {
            pieces.push(copied.freeze());
        }
        Self { pieces, bytes, records: count }
    }
}

/// A run in memory: just written, or read back.
#[derive(Debug)]
pub struct Run {
    /// The index of its last record.
    pub last: u64,
    /// How many records it has; never zero.
    pub records: u32,
    /// When all of them arrived.
    pub arrival: ServerTimestamp,
    /// A length lies in one piece, and so does a record.
    pub pieces: Vec<Bytes>,
}

/// The bytes are not as many records as they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Run {
    /// The facts of the run as the log keeps them: those of a fragment that is all cluster.
    pub fn entry(&self, shard: StreamId) -> FragmentEntry {
        let crc = self.pieces.iter().fold(0, |crc, piece| crc32c::crc32c_append(crc, piece));
        FragmentEntry {
            stream: shard,
            number: FragmentNumber::new(self.last, self.arrival, 0),
            producer: ProducerTimestamp::from_millis(self.arrival.as_millis()),
            duration_ms: 0,
            format: FormatId(0),
            sequence: None,
            breaks: self.records,
            head_len: 0,
            cluster_len: u32::try_from(self.bytes()).expect("a run is much smaller than 4 GiB"),
            trailer_len: 0,
            cluster_crc: crc,
            body_crc: crc,
        }
    }

    /// The index of its first record.
    pub fn first(&self) -> u64 {
        first_of(self.last, self.records)
    }

    /// All bytes.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Adds the records from index `from` on to `found` while the limit allows; the first record of
    /// all is always allowed.
    pub fn read(&self, from: u64, limit: ReadLimit, found: &mut Found) -> Result<(), Malformed> {
        let mut frames = Frames { piece: Bytes::new(), rest: self.pieces.iter() };
        let mut index = self.first();
        while index < from && index <= self.last {
            frames.skip()?;
            index += 1;
        }
        while index <= self.last && found.has_room(limit) {
            let payload = frames.next()?;
            if !found.add(StoredRecord { index, arrival: self.arrival, payload }, limit) {
                return Ok(());
            }
            index += 1;
        }
        Ok(())
    }
}

/// The index of the first record of a run.
pub fn first_of(last: u64, records: u32) -> u64 {
    last.saturating_sub(u64::from(records)) + 1
}

/// What a read has found so far.
#[derive(Debug, Default)]
pub struct Found {
    pub records: Vec<StoredRecord>,
    bytes: usize,
}

impl Found {
    /// Whether another record may be looked at.
    pub fn has_room(&self, limit: ReadLimit) -> bool {
        self.records.is_empty() || (self.records.len() < limit.records && self.bytes < limit.bytes)
    }

    /// `false` when the record would be too much, and was not taken.
    fn add(&mut self, record: StoredRecord, limit: ReadLimit) -> bool {
        let bytes = self.bytes.saturating_add(record.payload.len());
        let fits = self.records.is_empty() || bytes <= limit.bytes;
        if fits {
            self.bytes = bytes;
            self.records.push(record);
        } else {
            self.bytes = limit.bytes;
        }
        fits
    }
}

/// Takes a run apart.
struct Frames<'a> {
    piece: Bytes,
    rest: std::slice::Iter<'a, Bytes>,
}

impl Frames<'_> {
    fn next(&mut self) -> Result<Bytes, Malformed> {
        let len = self.enter()?;
        Ok(self.piece.split_to(len))
    }

    fn skip(&mut self) -> Result<(), Malformed> {
        let len = self.enter()?;
        self.piece.advance(len);
        Ok(())
    }

    /// Goes to the next record, whose length is returned, and which lies in the piece.
    fn enter(&mut self) -> Result<usize, Malformed> {
        self.next_piece_if_at_end();
        let len = self.piece.try_get_u32_le().map_err(|_| Malformed)?;
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        if len > 0 {
            self.next_piece_if_at_end();
        }
        if len > self.piece.len() { Err(Malformed) } else { Ok(len) }
    }

    fn next_piece_if_at_end(&mut self) {
        while self.piece.is_empty() {
            let Some(next) = self.rest.next() else { return };
            self.piece = next.clone();
        }
    }
}

#[cfg(test)]
mod tests;
