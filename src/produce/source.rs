//! What a source of media tells the producer.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::media::mkv::Track;
use crate::types::ProducerTimestamp;

/// Events a source may be ahead of the producer; a full queue holds the source's pipeline back.
pub const MAX_WAITING_EVENTS: usize = 64;

/// One encoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFrame {
    /// `Track::number`.
    pub track: u64,
    /// When the frame is to be shown: for a camera when it was captured, for a file the file's
    /// start plus its position.
    pub time: ProducerTimestamp,
    /// The frame is decoded without others.
    pub keyframe: bool,
    /// As the track's codec puts it into MKV: length-prefixed NAL units, raw AAC.
    pub data: Bytes,
}

/// What a source says, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceEvent {
    /// So many tracks will be described.
    Expect(usize),
    /// A track, before its first frame and again when its parameters change.
    Track(Track),
    /// A frame; each track's come in decode order.
    Frame(SourceFrame),
    /// The track has no more frames.
    TrackEnd(u64),
    /// Nothing more comes.
    End,
    /// The source broke; nothing more comes.
    Failed(String),
}

/// A running source.
pub struct Source {
    /// What it says; nothing follows [`SourceEvent::End`] or [`SourceEvent::Failed`].
    pub events: mpsc::Receiver<SourceEvent>,
    /// It goes on whether or not anyone listens: when the spool is full the oldest fragments are
    /// given up. A source that is not live waits instead.
    pub live: bool,
    /// Ends it.
    pub control: Box<dyn SourceControl>,
}

/// Ends a running source.
pub trait SourceControl: Send {
    /// Asks for the end; what is in the encoders still comes, then [`SourceEvent::End`].
    fn stop(&mut self);
}

/// How long a source may take from [`SourceControl::stop`] to its last event.
pub const SOURCE_STOP_TIMEOUT: Duration = Duration::from_secs(3);
