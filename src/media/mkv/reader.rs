//! Reads an MKV body cut at any place.

use bytes::Bytes;

use super::{Error, Frame, Tag, Track};
use crate::types::TimestampScale;

/// One element of the body. The `raw` bytes of all events in a row are the body, verbatim.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Offset of `raw` in the body.
    pub at: u64,
    pub raw: Bytes,
    pub kind: EventKind,
}

/// What an event means. Elements come whole, except Segment and Cluster, whose start comes alone.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// An EBML head: a new document begins.
    EbmlHead {
        doc_type: String,
    },
    SegmentStart {
        size: Option<u64>,
    },
    Info {
        scale: TimestampScale,
    },
    Tracks(Vec<Track>),
    Tags(Vec<Tag>),
    ClusterStart {
        size: Option<u64>,
    },
    /// A cluster's Timecode, in ticks.
    ClusterTimecode(u64),
    /// A SimpleBlock or BlockGroup; more than one frame with lacing.
    Frames(Vec<Frame>),
    /// Anything else inside a cluster (Position, PrevSize, Void …).
    OtherInCluster {
        id: u32,
    },
    /// Anything else outside of clusters (SeekHead, Void, Cues, CRC-32 …).
    Other {
        id: u32,
    },
}

/// A push parser: bytes in at any split, whole elements out.
pub struct Reader {}

impl Reader {
    /// `max_element` bounds the bytes of one buffered element (a block, Tracks, Cues …).
    pub fn new(max_element: usize) -> Self {
        let _ = max_element;
        todo!()
    }

    /// Adds bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }

    /// The next whole element; `None` when more bytes are needed.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        todo!()
    }

    /// Bytes that wait for the rest of their element.
    pub fn buffered(&self) -> usize {
        todo!()
    }
}

/// A stored chunk, taken apart without copying.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    pub scale: TimestampScale,
    pub tracks: Vec<Track>,
    /// In the order of the file, which is decode order per track.
    pub frames: Vec<Frame>,
    pub tags: Vec<Tag>,
}

/// Takes a complete MKV file (one chunk) apart; frames are slices of `bytes`.
pub fn read_chunk(bytes: &Bytes) -> Result<Chunk, Error> {
    let _ = bytes;
    todo!()
}
