//! Reads entries back.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::buffers::{Buffer, Buffers};
use super::entry::{HEADER_BYTES, Header, Lsn};
use super::segment::{Segment, Segments};

/// A place in a segment's file that stays readable, though not unchanged, when the segment is
/// recycled: check that the fragment is still indexed *after* reading.
#[derive(Clone, Debug)]
pub struct Place {
    segment: Arc<Segment>,
    offset: u64,
    buffers: Arc<Buffers>,
}

impl Place {
    /// Where the entry at `lsn` lies; `None` when its segment is gone.
    pub fn of(segments: &Segments, lsn: Lsn) -> Option<Self> {
        let (segment, offset) = segments.locate(lsn)?;
        Some(Self { segment, offset, buffers: segments.buffers.clone() })
    }

    /// The place `by` bytes further on.
    pub fn plus(self, by: u64) -> Self {
        Self { offset: self.offset + by, ..self }
    }

    /// Reads `len` bytes; blocks.
    pub fn read(&self, len: usize) -> io::Result<Bytes> {
        self.read_into(self.buffers.take(len))
    }

    /// Reads `len` bytes without keeping a runtime's worker waiting for the device: from the page
    /// cache at once, which is where live and recent fragments are, else on a blocking thread.
    /// (A hop to a blocking thread costs about as much as copying 100 KB.)
    pub async fn read_async(&self, len: usize) -> io::Result<Bytes> {
        let mut buffer = self.buffers.take(len);
        if self.segment.file.file.read_cached_at(buffer.bytes_mut(), self.offset) {
            return Ok(buffer.freeze());
        }
        let turn = self.buffers.turn().await;
        let place = self.clone();
        let read = move || {
            // It lasts as long as the read, also when nobody waits for that any more.
            let _turn = turn;
            place.read_into(buffer)
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }

    fn read_into(&self, mut buffer: Buffer) -> io::Result<Bytes> {
        self.segment.file.file.read_at(buffer.bytes_mut(), self.offset)?;
        Ok(buffer.freeze())
    }
}

/// Takes the header off an entry's bytes; `None` when it is not the one at `lsn`.
pub fn header_of(entry: &[u8], lsn: Lsn) -> Option<Header> {
    let bytes: &[u8; HEADER_BYTES] = entry.first_chunk()?;
    Header::decode(bytes).filter(|header| header.lsn == lsn)
}
