//! Matroska (RFC 9559) as producers of Kinesis Video Streams write it.
//!
//! Here: tracks, clusters, blocks and tags; where elements may stand. Not here: how elements are
//! coded (`ebml`), what a fragment is and which limits it has (`ingest`).

mod block;
mod chunk;
mod error;
mod file;
mod ids;
pub mod kvs;
mod metadata;
mod parser;
mod place;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use chunk::{Chunk, read_chunk, read_track};
pub use error::{Error, ErrorKind};
pub use file::FileWriter;
pub use metadata::date_utc;
pub use reader::{Event, EventKind, Reader};
pub use writer::{SEGMENT_START, cluster, head, simple_block, tags};

use bytes::Bytes;

use crate::types::TimestampScale;

/// The most bytes of an EBML head, Info, Tracks or Tags; real ones have a few hundred.
pub const MAX_METADATA: usize = 1 << 20;

/// The most tracks one Tracks element may declare.
pub const MAX_TRACKS: usize = 64;

/// The most SimpleTags one Tags element may hold.
pub const MAX_TAGS: usize = 1024;

/// The most bytes that header stripping may take off each frame; muxers take one to four.
pub const MAX_STRIPPED_HEADER: usize = 64;

/// Kind of a track (Matroska `TrackType`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrackKind {
    /// Pictures.
    Video {
        /// Coded width in pixels; zero when the producer does not say.
        width: u32,
        /// Coded height in pixels; zero when the producer does not say.
        height: u32,
    },
    /// Sound.
    Audio {
        /// Samples per second; 8000 when the producer does not say (RFC 9559 5.1.4.1.29.1).
        sampling_hz: f64,
        /// Channels; one when the producer does not say.
        channels: u32,
    },
    /// Any other `TrackType`: subtitles, metadata …
    Other(u64),
}

/// One `TrackEntry`.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// What blocks name the track by; never zero.
    pub number: u64,
    /// What it carries.
    pub kind: TrackKind,
    /// For people.
    pub name: Option<String>,
    /// As written, e.g. `V_MPEG4/ISO/AVC`.
    pub codec_id: String,
    /// The decoder's set-up: avcC, hvcC, AudioSpecificConfig … A copy of its own, so that keeping a
    /// track does not keep the buffer it came in.
    pub codec_private: Option<Bytes>,
    /// Nanoseconds to subtract from each timestamp (audio priming), `CodecDelay`.
    pub codec_delay_ns: u64,
    /// Nanoseconds per frame where the producer says so.
    pub default_duration_ns: Option<u64>,
}

/// One frame of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of its track; whether that is declared is for the caller to check.
    pub track: u64,
    /// Cluster timecode plus the block's offset, in ticks of `scale`; presentation time. Later
    /// frames of a lace are placed by their duration where it is known, else all at the block's.
    pub timecode: i64,
    /// The SimpleBlock says so, or the BlockGroup refers to no other block.
    pub keyframe: bool,
    /// To be decoded, not shown.
    pub invisible: bool,
    /// Ticks, where a BlockGroup says so.
    pub duration: Option<u64>,
    /// The frame's bytes: a slice of the event's, uncopied; a copy only where the track's headers
    /// are stripped (`ContentCompAlgo` 3), with the header put back.
    pub data: Bytes,
}

/// One `SimpleTag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// `TagName`.
    pub name: String,
    /// `TagString`; empty when the tag has none.
    pub value: String,
}

/// Head of a segment, for the writer.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Length of a tick.
    pub scale: TimestampScale,
    /// The program that writes, for people.
    pub writing_app: String,
    /// The tracks, in the order to be written.
    pub tracks: Vec<Track>,
}
