//! What a producer is told.

use crate::media::mkv;
use crate::store::PersistError;
use crate::types::{FragmentNumber, Millis};

/// One acknowledgement: about which fragment, by its cluster's timecode in milliseconds, as the
/// producer wrote it, and by the number that it was given.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the members are the same in each variant and told above")]
pub enum Ack {
    /// The fragment's first frame arrived.
    Buffering { timecode_ms: i64, number: FragmentNumber },
    /// The fragment is complete, not yet durable.
    Received { timecode_ms: i64, number: FragmentNumber },
    /// The fragment is durable and findable under `number`. For a fragment that was re-sent after
    /// a reconnect this is the number under which it was stored the first time.
    Persisted { timecode_ms: i64, number: FragmentNumber },
    /// The fragment, or what should have become one, was refused; the connection ends.
    Error { timecode_ms: Option<i64>, number: Option<FragmentNumber>, refusal: Refusal },
    /// Nothing arrived for a while; the connection is still open.
    Idle,
}

/// Why a fragment or connection was refused: one variant per answer a producer can get. Members
/// say what was found and what would have been allowed.
#[allow(missing_docs, reason = "each variant's text names its members")]
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The upload could not be read to its end.
    #[error("the upload broke off: {0}")]
    ReadFailed(String),
    /// The connection brought fewer bytes than the minimum rate, or none at all.
    #[error("the upload is slower than {minimum} bytes per second")]
    TooSlow { minimum: u64 },
    /// The fragment has too many bytes.
    #[error("the fragment is larger than {limit} bytes")]
    FragmentTooLarge { limit: usize },
    /// The fragment has too many elements (blocks, and whatever else stands in it).
    #[error("the fragment has more than {limit} elements")]
    TooManyElements { limit: usize },
    /// The fragment lasts too long.
    #[error("the fragment is longer than {} ms", limit.0)]
    FragmentTooLong { limit: Millis },
    /// The connection was open for as long as it may.
    #[error("the connection reached its longest duration")]
    ConnectionTooLong,
    /// The fragment does not start after the one before it on this connection.
    #[error("the fragment's timecode {got_ms} ms is not after the previous one, {previous_ms} ms")]
    TimecodeNotAfterPrevious { previous_ms: i64, got_ms: i64 },
    /// The body is not Matroska that makes sense.
    #[error(transparent)]
    InvalidMkv(#[from] mkv::Error),
    /// The body is Matroska, but its elements stand where they must not.
    #[error("{0}")]
    InvalidOrder(&'static str),
    /// Start timestamp and timecode make no time between 1970 and 9999.
    #[error("the fragment's producer timestamp is out of range")]
    InvalidProducerTimestamp,
    /// The stream was deleted during the upload.
    #[error("the stream is not active any more")]
    StreamNotActive,
    /// The fragment has too many metadata tags, or one that is too long.
    #[error("the fragment's metadata exceeds its limits")]
    TooManyTags,
    /// A frame names a track that the head does not declare.
    #[error("a frame belongs to track {0}, which the head does not declare")]
    UnknownTrack(u64),
    /// A declared track has no frame in the fragment.
    #[error("track {0} has no frame in the fragment")]
    MissingFrames(u64),
    /// The head declares too many tracks.
    #[error("{got} tracks are more than the allowed {limit}")]
    TooManyTracks { got: usize, limit: usize },
    /// The store could not make the fragment durable.
    #[error(transparent)]
    NotPersisted(PersistError),
}
