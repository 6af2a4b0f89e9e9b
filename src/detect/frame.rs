//! A frame on its way through the stages.

use bytes::Bytes;

use crate::media::mkv::Track;
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp};
use crate::vision::picture::Picture;

/// Where a frame comes from. Both of its clocks stay with it to the finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// The fragment that it is in.
    pub fragment: FragmentNumber,
    /// When the server received the fragment.
    pub server: ServerTimestamp,
    /// When the fragment begins on the producer's clock.
    pub producer: ProducerTimestamp,
    /// How many frames of its track come before it in the fragment, in the order of decoding.
    pub index: u32,
    /// When the frame was, on the producer's clock.
    pub time: ProducerTimestamp,
}

impl FramePlace {
    /// How far into the fragment the frame is.
    pub fn offset(&self) -> Millis {
        self.time.since(self.producer)
    }

    /// When the server received it, about: a live fragment arrives as it is filmed.
    pub fn arrival(&self) -> ServerTimestamp {
        self.server.plus(self.offset())
    }
}

/// What is known of a fragment when it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct FragmentHead {
    /// Its number.
    pub number: FragmentNumber,
    /// When the server received it.
    pub server: ServerTimestamp,
    /// When it begins on the producer's clock.
    pub producer: ProducerTimestamp,
    /// Its first track of pictures, if it has one.
    pub video: Option<Track>,
}

/// A frame as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFrame {
    /// Where it comes from.
    pub place: FramePlace,
    /// It can be decoded by itself.
    pub keyframe: bool,
    /// Its bytes.
    pub data: Bytes,
}

/// What a decoder made of a frame, as it lies in the decoder's memory.
pub trait Pixels: Send {
    /// It as a picture; none when its bytes are too few for its size.
    fn picture(&self) -> Option<Picture<'_>>;
}

/// A frame that can be looked at.
pub struct DecodedFrame {
    /// Where it comes from.
    pub place: FramePlace,
    /// What is to be seen.
    pub pixels: Box<dyn Pixels>,
}
