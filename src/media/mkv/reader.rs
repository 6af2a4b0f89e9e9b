//! Reads an MKV body cut at any place.

use bytes::{Bytes, BytesMut};

use super::parser::{Content, Parser, Step};
use super::{Error, Frame, Tag, Track};
use crate::types::TimestampScale;

/// The least that is allocated at once.
const BLOCK: usize = 32 << 10;

/// The most that is allocated for an element on its mere word, before its bytes arrive.
const AHEAD: usize = 1 << 20;

/// One element of the body. The `raw` bytes of all events in a row are the body, verbatim.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Offset of `raw` in the body.
    pub at: u64,
    /// The element's bytes. Slices keep the allocation they lie in alive, with its other elements:
    /// copy what must outlive its fragment by far.
    pub raw: Bytes,
    /// What it means.
    pub kind: EventKind,
}

/// What an event means. Elements come whole, except Segment and Cluster, whose start comes alone.
///
/// An open Cluster ends at the next event that is neither a `ClusterTimecode` nor `Frames` nor
/// `OtherInCluster`, an open Segment at the next `SegmentStart` or `EbmlHead`.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// An EBML head: a new document begins.
    EbmlHead {
        /// `matroska` or `webm`; anything else is for the caller to judge.
        doc_type: String,
    },
    /// A Segment begins.
    SegmentStart {
        /// Bytes of its content; `None` when unknown.
        size: Option<u64>,
    },
    /// The segment's `Info`.
    Info {
        /// Length of a tick.
        scale: TimestampScale,
    },
    /// The segment's `Tracks`.
    Tracks(Vec<Track>),
    /// A `Tags` element, in the head, between clusters or at the end.
    Tags(Vec<Tag>),
    /// A Cluster begins.
    ClusterStart {
        /// Bytes of its content; `None` when unknown.
        size: Option<u64>,
    },
    /// A cluster's Timecode, in ticks; comes before its frames, and once.
    ClusterTimecode(u64),
    /// A SimpleBlock or BlockGroup; more than one frame with lacing.
    Frames(Vec<Frame>),
    /// Anything else inside a cluster (Position, PrevSize, Void …).
    OtherInCluster {
        /// The element.
        id: u32,
    },
    /// Anything else outside of clusters (SeekHead, Void, Cues, CRC-32 …).
    Other {
        /// The element.
        id: u32,
    },
}

/// A push parser: bytes in at any split, whole elements out.
///
/// [`push`](Self::push) some bytes, take events until there is none, and again. It holds the
/// unfinished element, at most `max_element` bytes, beside what was pushed last. CRC-32 elements are
/// not checked.
#[derive(Debug)]
pub struct Reader {
    parser: Parser,
    buffer: BytesMut,
    /// No element can be whole while fewer bytes than these are buffered.
    need: usize,
}

impl Reader {
    /// `max_element` bounds the bytes of one buffered element (a block, Tracks, Cues …).
    pub fn new(max_element: usize) -> Self {
        Self { parser: Parser::new(max_element), buffer: BytesMut::new(), need: 1 }
    }

    /// Adds bytes of the body: the one time they are copied, but for the start of an element that
    /// outgrows its allocation.
    pub fn push(&mut self, bytes: &[u8]) {
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < bytes.len() {
            let announced = self.need.saturating_sub(self.buffer.len()).min(AHEAD);
            self.buffer.reserve(bytes.len().max(announced).max(BLOCK));
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole element; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The bytes cannot be the start of a valid element here. Nothing is consumed then, and asking
    /// again gives the same error.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        if self.buffer.len() < self.need {
            return Ok(None);
        }
        let at = self.parser.at();
        let (len, content) = match self.parser.step(&self.buffer)? {
            Step::Need(need) => {
                self.need = need;
                return Ok(None);
            }
            Step::Found { len, content } => (len, content),
        };
        self.need = 1;
        let raw = self.buffer.split_to(len).freeze();
        let kind = match content {
            Content::Event(kind) => kind,
            Content::Block(block) => {
                let mut frames = Vec::with_capacity(1);
                self.parser.frames(block, &raw, 0, &mut frames);
                EventKind::Frames(frames)
            }
        };
        Ok(Some(Event { at, raw, kind }))
    }

    /// Bytes that wait for the rest of their element.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the body may end here: no element is cut, and a Cluster that announced its size is
    /// whole. A Cluster of unknown size may end behind any element.
    pub fn may_end(&self) -> bool {
        self.buffer.is_empty() && self.parser.cluster_is_whole()
    }
}
