//! What can be wrong with an MKV body.

use crate::media::ebml;

/// What is wrong with the bytes, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MKV byte {at}: {kind}")]
pub struct Error {
    /// Offset of the offending element in the body.
    pub at: u64,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What can be wrong with an MKV body. Ids are printed as the Matroska standard prints them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The id is longer than four bytes or reserved.
    #[error("not an element id")]
    InvalidId,
    /// The size is longer than eight bytes.
    #[error("not an element size")]
    InvalidSize,
    /// Only a Segment and a Cluster may have an unknown size.
    #[error("element {id:#X} has an unknown size")]
    UnknownSize {
        /// The element.
        id: u32,
    },
    /// An element reaches beyond the end of the element around it.
    #[error("element {id:#X} reaches beyond its parent's end")]
    BeyondParent {
        /// The inner element; zero when even its header is cut.
        id: u32,
    },
    /// A number of a wrong length, or out of range.
    #[error("element {id:#X} has no valid value")]
    InvalidValue {
        /// The element that holds it.
        id: u32,
    },
    /// An element has more bytes than the reader may hold at once.
    #[error("element {id:#X} of {size} bytes is larger than {limit}")]
    ElementTooLarge {
        /// The element.
        id: u32,
        /// Bytes of its content.
        size: u64,
        /// The most bytes allowed for it, header included.
        limit: usize,
    },
    /// More of an element than anyone needs.
    #[error("more than {limit} elements {id:#X}")]
    TooMany {
        /// The repeated element.
        id: u32,
        /// The most allowed.
        limit: usize,
    },
    /// The body does not begin with an EBML head.
    #[error("the body does not begin with an EBML head")]
    NotEbml,
    /// A known element where it may not stand, such as a block outside of a Cluster.
    #[error("element {id:#X} may not stand here")]
    Misplaced {
        /// The element.
        id: u32,
    },
    /// The bytes end in the middle of an element. Only [`read_chunk`](super::read_chunk) says so; a
    /// [`Reader`](super::Reader) waits for more.
    #[error("the bytes end inside of an element")]
    Truncated,
    /// A Cluster has a block before its Timecode.
    #[error("a block stands before its cluster's timecode")]
    BlockBeforeTimecode,
    /// A Cluster has two Timecodes.
    #[error("a cluster has a second timecode")]
    SecondTimecode,
    /// A block is too short for its own head.
    #[error("not a block")]
    InvalidBlock,
    /// The sizes of a block's laced frames do not add up.
    #[error("the frames of a laced block do not fit into it")]
    InvalidLacing,
    /// A TrackEntry has no number, or number zero.
    #[error("a track has no number")]
    TrackWithoutNumber,
    /// A TrackEntry has no CodecID.
    #[error("track {track} has no codec")]
    TrackWithoutCodec {
        /// The track's number.
        track: u64,
    },
    /// A track's frames are encrypted, or compressed by other means than header stripping.
    #[error("track {track} is compressed or encrypted")]
    EncodedTrack {
        /// The track's number.
        track: u64,
    },
}

impl From<ebml::ErrorKind> for ErrorKind {
    fn from(kind: ebml::ErrorKind) -> Self {
        match kind {
            ebml::ErrorKind::InvalidId => Self::InvalidId,
            ebml::ErrorKind::InvalidSize => Self::InvalidSize,
            ebml::ErrorKind::UnknownSize { id } => Self::UnknownSize { id },
            ebml::ErrorKind::BeyondParent { id } => Self::BeyondParent { id },
            ebml::ErrorKind::InvalidValue { id } => Self::InvalidValue { id },
        }
    }
}

impl From<ebml::Error> for Error {
    fn from(error: ebml::Error) -> Self {
        Self { at: error.at, kind: error.kind.into() }
    }
}
