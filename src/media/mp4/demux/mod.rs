//! Reads MP4 files (ISO/IEC 14496-12): plain and fragmented, H.264, H.265 and AAC.
//!
//! Here: from a body cut at any place to frames with their times. Not here: where a body that has to
//! be held meanwhile is kept (`ingest`), what becomes of the frames (`remux`).

mod boxes;
mod entry;
mod error;
mod fragment;
mod movie;
mod push;
mod samples;
#[cfg(test)]
mod tests;

pub use boxes::{BoxHeader, looks_like_mp4};
pub use error::{Error, ErrorKind};
pub use movie::{MAX_MOOV, Movie, MovieTrack};
pub use push::{Demuxer, Event};
pub use samples::{InTime, Sample};

use bytes::Bytes;

/// The most bytes one frame may have.
pub const MAX_SAMPLE: u32 = 32 << 20;

/// One frame of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Index of its track in [`Movie::tracks`].
    pub track: usize,
    /// When it is shown, in nanoseconds since the presentation's start; before it for what an edit
    /// list cuts off.
    pub time_ns: i64,
    /// Decoding can begin here.
    pub keyframe: bool,
    /// As the codec puts it into MP4, and into MKV alike.
    pub data: Bytes,
}
