//! What can be wrong with an MP4 body.

/// What is wrong with the bytes, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MP4 byte {at}: {kind}")]
pub struct Error {
    /// Offset of the offending box in the body.
    pub at: u64,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What can be wrong with an MP4 body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// A box is smaller than its own header, or reaches beyond the box around it.
    #[error("not a box")]
    InvalidBox,
    /// A box that must be held whole is larger than anyone needs.
    #[error("box {name} of {size} bytes is larger than {limit}")]
    BoxTooLarge {
        /// Its four letters.
        name: String,
        /// Bytes of it.
        size: u64,
        /// The most allowed.
        limit: u64,
    },
    /// A box does not hold what its kind demands.
    #[error("box {name} is malformed: {why}")]
    Malformed {
        /// Its four letters.
        name: &'static str,
        /// What the reader of boxes says.
        why: String,
    },
    /// A box that must be there is not.
    #[error("box {name} is missing")]
    Missing {
        /// Its four letters.
        name: &'static str,
    },
    /// The tables of a track do not fit one another.
    #[error("the sample tables of track {track} contradict one another")]
    Tables {
        /// `track_ID`.
        track: u32,
    },
    /// A frame has more bytes than one may have.
    #[error("a frame of {size} bytes is larger than {limit}")]
    SampleTooLarge {
        /// Bytes of it.
        size: u32,
        /// The most allowed.
        limit: u32,
    },
    /// More of something than anyone needs.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The most allowed.
        limit: usize,
    },
    /// There is neither video nor audio that can be taken.
    #[error("no track has a codec that is taken (H.264, H.265, AAC); there is {found}")]
    NoTrack {
        /// The codecs of the tracks, as the file names them.
        found: String,
    },
    /// The body ends in the middle of a box or a frame.
    #[error("the file ends too early")]
    Truncated,
    /// The body ends without an index of its frames.
    #[error("the file has no index (moov)")]
    NoMovie,
    /// A frame stands where the reader has been already.
    #[error("the frames of a fragment overlap")]
    Overlap,
}
