//! Matroska as producers of Kinesis Video Streams write it.

pub mod kvs;
mod reader;
mod writer;

pub use reader::{Chunk, Event, EventKind, Reader, read_chunk};
pub use writer::{cluster, head, simple_block, tags};

use bytes::Bytes;

use crate::types::TimestampScale;

/// What is wrong with the bytes, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MKV byte {at}: {kind}")]
pub struct Error {
    /// Offset of the offending element in the body.
    pub at: u64,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What can be wrong with an MKV body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    #[error("not an element id")]
    InvalidId,
}

/// Kind of a track (Matroska `TrackType`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrackKind {
    Video { width: u32, height: u32 },
    Audio { sampling_hz: f64, channels: u32 },
    Other(u64),
}

/// One `TrackEntry`.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    pub number: u64,
    pub kind: TrackKind,
    pub name: Option<String>,
    /// As written, e.g. `V_MPEG4/ISO/AVC`.
    pub codec_id: String,
    pub codec_private: Option<Bytes>,
    /// Nanoseconds to subtract from each timestamp (audio priming), `CodecDelay`.
    pub codec_delay_ns: u64,
    /// Nanoseconds per frame where the producer says so.
    pub default_duration_ns: Option<u64>,
}

/// One frame of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub track: u64,
    /// Cluster timecode plus the block's offset, in ticks of `scale`; presentation time.
    pub timecode: i64,
    pub keyframe: bool,
    pub invisible: bool,
    /// Ticks, where a BlockGroup says so.
    pub duration: Option<u64>,
    /// The frame's bytes: a slice of the event's, uncopied.
    pub data: Bytes,
}

/// One `SimpleTag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub name: String,
    pub value: String,
}

/// Head of a segment, for the writer.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub scale: TimestampScale,
    pub writing_app: String,
    pub tracks: Vec<Track>,
}
