//! CMAF (ISO/IEC 23000-19): one track per file, an init segment and media segments.
//!
//! Here: boxes, and the times of samples. Not here: which fragments, playlists (`serve`).
//!
//! Beside it, MP4 files as people keep them: `demux` reads them, `file` writes them.

pub mod demux;
mod file;
mod init;
mod segment;
mod timing;

pub use file::FileWriter;
pub use init::init_segment;
pub use segment::Segment;
pub use timing::{Anchor, Sample, samples};

use super::codec::Codec;

/// Each file has one track, so its number inside the file says nothing.
const TRACK_ID: u32 = 1;
/// Ticks per second of video, as in MPEG systems: exact for all usual frame rates.
const VIDEO_TIMESCALE: u32 = 90_000;

/// Ticks per second of a track: 90 kHz for video, the sample rate for audio.
pub fn timescale(codec: &Codec) -> u32 {
    match codec {
        Codec::Aac(config) => config.sample_rate,
        Codec::H264(_) | Codec::H265(_) => VIDEO_TIMESCALE,
    }
}

/// The boxes that are written are in the range of their fields by construction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the track cannot be written as MP4: {0}")]
pub struct Error(String);

impl From<mp4_atom::Error> for Error {
    fn from(error: mp4_atom::Error) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests;
