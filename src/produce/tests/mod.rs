//! The producer as a whole: the pure way from frames to bytes and back, and the upload loop
//! against a stand-in of the service that can break off, refuse and stay silent.

#[cfg(feature = "gstreamer")]
mod cameras;
mod pipeline;
mod service;
mod stand_in;

use bytes::Bytes;

use super::source::SourceFrame;
use crate::media::mkv::{Event, EventKind, Frame, Reader, Track, TrackKind, kvs};
use crate::types::ProducerTimestamp;

const VIDEO: u64 = 1;
const AUDIO: u64 = 2;
const START: i64 = 1_700_000_000_000;

fn video_track() -> Track {
    Track {
        number: VIDEO,
        kind: TrackKind::Video { width: 640, height: 360 },
        name: None,
        codec_id: "V_MPEG4/ISO/AVC".to_owned(),
        codec_private: Some(Bytes::from_static(&[1, 0x64, 0, 0x1e, 0xff])),
        codec_delay_ns: 0,
        default_duration_ns: None,
    }
}

fn audio_track() -> Track {
    let kind = TrackKind::Audio { sampling_hz: 48_000.0, channels: 2 };
    let codec_private = Some(Bytes::from_static(&[0x11, 0x90]));
    Track { number: AUDIO, kind, codec_id: "A_AAC".to_owned(), codec_private, ..video_track() }
}

/// A frame `at` milliseconds after [`START`].
fn frame(track: u64, at: i64, keyframe: bool) -> SourceFrame {
    let data = Bytes::from(format!("{track}/{at}/{keyframe}").into_bytes());
    SourceFrame { track, time: ProducerTimestamp::from_millis(START + at), keyframe, data }
}

/// A fragment as the service sees it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Received {
    timecode: u64,
    frames: Vec<Frame>,
}

impl Received {
    fn data(&self) -> Vec<Bytes> {
        self.frames.iter().map(|frame| frame.data.clone()).collect()
    }
}

/// Takes the bytes of one session and gives the fragments that ended.
struct Receiver {
    reader: Reader,
    open: Option<Received>,
}

/// What a session's bytes amount to.
enum Seen {
    Begun(u64),
    Ended(Received),
}

impl Receiver {
    fn new() -> Self {
        Self { reader: Reader::new(1 << 20), open: None }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<Seen> {
        self.reader.push(bytes);
        let mut seen = Vec::new();
        while let Some(event) = self.reader.next_event().expect("what we wrote is valid MKV") {
            self.on_event(event, &mut seen);
        }
        seen
    }

    fn on_event(&mut self, event: Event, seen: &mut Vec<Seen>) {
        match event.kind {
            EventKind::ClusterTimecode(timecode) => {
                assert_eq!(self.open, None, "each fragment is ended by its tag");
                self.open = Some(Received { timecode, frames: Vec::new() });
                seen.push(Seen::Begun(timecode));
            }
            EventKind::Frames(frames) => {
                self.open.as_mut().expect("a block is in a cluster").frames.extend(frames);
            }
            EventKind::Tags(tags) => {
                assert_eq!(tags[0].name, kvs::END_OF_FRAGMENT);
                seen.extend(self.open.take().map(Seen::Ended));
            }
            _ => {}
        }
    }
}
