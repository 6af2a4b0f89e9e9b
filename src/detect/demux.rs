//! What GetMedia sends, taken apart into fragments and frames.
//!
//! Each fragment comes as an MKV document of its own, in which the service's tags stand: before the
//! cluster its number and both of its times, behind it how far this reader is behind.

use crate::media::mkv::{Error as MkvError, Event, EventKind, Reader, Tag, Track, TrackKind, kvs};
use crate::types::{FragmentNumber, ProducerTimestamp, ServerTimestamp, Timecode, TimestampScale};

use super::frame::{EncodedFrame, FragmentHead, FramePlace};

/// The largest element that is read: a frame has megabytes at most.
const MAX_ELEMENT: usize = 64 << 20;
/// The most frames of one track in a fragment: a minute at a thousand a second.
const MAX_FRAMES: u32 = 60_000;

/// One step through the media.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// A fragment begins.
    Begin(FragmentHead),
    /// A frame of its pictures.
    Frame(EncodedFrame),
    /// The fragment ends. What is not whole broke off, and may come again.
    End {
        /// Its number.
        number: FragmentNumber,
        /// Nothing of it is missing.
        whole: bool,
    },
}

/// Why nothing more can be read of this answer.
#[derive(Debug, thiserror::Error)]
pub enum DemuxError {
    /// What came is no Matroska.
    #[error("the media is no Matroska: {0}")]
    Media(#[from] MkvError),
    /// The service ended the answer with an error.
    #[error("the service ended the media: {code} ({id})")]
    Service {
        /// Its name.
        code: String,
        /// Its number, or a sentence.
        id: String,
    },
}

/// How the end of a fragment shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By the tags behind it, as in GetMedia: without them it broke off.
    Tagged,
    /// By the next one or the end, as in GetMediaForFragmentList: what is stored is whole.
    Next,
}

/// A push parser over GetMedia's answer.
#[derive(Debug)]
pub struct Demuxer {
    reader: Reader,
    ending: Ending,
    document: Document,
    /// What the last event gave beyond the part that was returned for it.
    ready: std::collections::VecDeque<Part>,
}

/// What is known of the document at hand.
#[derive(Debug)]
struct Document {
    scale: TimestampScale,
    video: Option<Track>,
    cluster: Option<u64>,
    number: Option<FragmentNumber>,
    server: ServerTimestamp,
    producer: Option<ProducerTimestamp>,
    frames: u32,
    begun: bool,
    error: Option<(String, String)>,
}

impl Document {
    fn new() -> Self {
        Self {
            scale: TimestampScale::MILLISECOND,
            video: None,
            cluster: None,
            number: None,
            server: ServerTimestamp::default(),
            producer: None,
            frames: 0,
            begun: false,
            error: None,
        }
    }
}

impl Demuxer {
    /// At the beginning of an answer.
    pub fn new(ending: Ending) -> Self {
        Self {
            reader: Reader::new(MAX_ELEMENT),
            ending,
            document: Document::new(),
            ready: std::collections::VecDeque::new(),
        }
    }

    /// Adds bytes of the answer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    /// The next part; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The answer is of no further use.
    pub fn next_part(&mut self) -> Result<Option<Part>, DemuxError> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Ok(Some(part));
            }
            let Some(event) = self.reader.next_event()? else { return Ok(None) };
            self.take(event)?;
        }
    }

    /// The answer has ended: the end of the fragment at hand, if there is one.
    pub fn finish(&mut self) -> Option<Part> {
        let whole = self.ending == Ending::Next && self.reader.may_end();
        self.end(whole);
        self.ready.pop_front()
    }

    fn take(&mut self, event: Event) -> Result<(), DemuxError> {
        match event.kind {
            EventKind::EbmlHead { .. } => {
                self.end(self.ending == Ending::Next);
                self.document = Document::new();
            }
            EventKind::Info { scale } => self.document.scale = scale,
            EventKind::Tracks(tracks) => {
                let is_video = |track: &Track| matches!(track.kind, TrackKind::Video { .. });
                self.document.video = tracks.into_iter().find(is_video);
            }
            EventKind::ClusterTimecode(ticks) => self.document.cluster = Some(ticks),
            EventKind::Tags(tags) => self.read_tags(&tags)?,
            EventKind::Frames(frames) => {
                self.begin();
                let encoded = frames.into_iter().filter_map(|frame| self.document.place(frame));
                let encoded: Vec<_> = encoded.map(Part::Frame).collect();
                self.ready.extend(encoded);
            }
            _ => {}
        }
        Ok(())
    }

    fn read_tags(&mut self, tags: &[Tag]) -> Result<(), DemuxError> {
        let document = &mut self.document;
        let mut ends = false;
        for Tag { name, value } in tags {
            match name.as_str() {
                kvs::FRAGMENT_NUMBER => document.number = value.parse().ok(),
                kvs::SERVER_TIMESTAMP => {
                    document.server =
                        seconds(value, ServerTimestamp::from_secs_f64).unwrap_or_default();
                }
                kvs::PRODUCER_TIMESTAMP => {
                    document.producer = seconds(value, ProducerTimestamp::from_secs_f64);
                }
                kvs::CONTINUATION_TOKEN => ends = true,
                kvs::ERROR_CODE | kvs::EXCEPTION_ERROR_CODE => {
                    document.error.get_or_insert_default().0.clone_from(value);
                }
                kvs::ERROR_ID | kvs::EXCEPTION_MESSAGE => {
                    document.error.get_or_insert_default().1.clone_from(value);
                }
                _ => {}
            }
        }
        if let Some((code, id)) = document.error.take() {
            return Err(DemuxError::Service { code, id });
        }
        if ends {
            // Also a fragment without a frame is one that was seen.
            self.begin();
            self.end(true);
        }
        Ok(())
    }

    /// Tells the beginning once, when all is known of it.
    fn begin(&mut self) {
        let document = &mut self.document;
        let (Some(number), Some(producer), false) =
            (document.number, document.producer, document.begun)
        else {
            return;
        };
        document.begun = true;
        let (server, video) = (document.server, document.video.clone());
        self.ready.push_back(Part::Begin(FragmentHead { number, server, producer, video }));
    }

    fn end(&mut self, whole: bool) {
        if let (Some(number), true) = (self.document.number, self.document.begun) {
            self.document.begun = false;
            self.document.number = None;
            self.ready.push_back(Part::End { number, whole });
        }
    }
}

impl Document {
    /// The frame with its place; none when it is no picture, or of a fragment without a number.
    fn place(&mut self, frame: crate::media::mkv::Frame) -> Option<EncodedFrame> {
        let video = self.video.as_ref().filter(|track| track.number == frame.track);
        let (_, fragment, producer, cluster) =
            (video?, self.number?, self.producer?, self.cluster?);
        if !self.begun || frame.invisible || self.frames == MAX_FRAMES {
            return None;
        }
        let index = self.frames;
        self.frames += 1;
        let ticks = frame.timecode.saturating_sub_unsigned(cluster);
        let time = Timecode(ticks).since(producer, self.scale)?;
        let place = FramePlace { fragment, server: self.server, producer, index, time };
        Some(EncodedFrame { place, keyframe: frame.keyframe, data: frame.data })
    }
}

fn seconds<T>(text: &str, of: impl Fn(f64) -> Option<T>) -> Option<T> {
    text.parse().ok().and_then(of)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::media::mkv::{self, Head};
    use crate::types::Millis;

    fn number(counter: u64) -> FragmentNumber {
        FragmentNumber::new(counter, ServerTimestamp::from_millis(9_000), 7)
    }

    fn track(number: u64, kind: TrackKind, codec_id: &str) -> Track {
        Track {
            number,
            kind,
            name: None,
            codec_id: codec_id.to_owned(),
            codec_private: None,
            codec_delay_ns: 0,
            default_duration_ns: None,
        }
    }

    /// A fragment as GetMedia sends it, of pictures 40 ms apart with sound between them.
    fn fragment(counter: u64, frames: i16, tail: bool) -> Vec<u8> {
        let video = TrackKind::Video { width: 640, height: 360 };
        let audio = TrackKind::Audio { sampling_hz: 8000.0, channels: 1 };
        let head = Head {
            scale: TimestampScale::MILLISECOND,
            writing_app: "test".to_owned(),
            tracks: vec![track(1, audio, "A_AAC"), track(2, video, "V_MPEG4/ISO/AVC")],
        };
        let producer = ProducerTimestamp::from_millis(5_000);
        let mut out = mkv::head(&head).to_vec();
        out.extend(kvs::leading_tags(
            number(counter),
            ServerTimestamp::from_millis(9_000),
            producer,
        ));
        let mut blocks = Vec::new();
        for at in 0..frames {
            for track in [1, 2] {
                blocks.extend(mkv::simple_block(track, at * 40, at == 0, 3));
                blocks.extend([at as u8; 3]);
            }
        }
        out.extend(mkv::cluster(1_234_000));
        out.extend(blocks);
        if tail {
            out.extend(kvs::trailing_tags(Millis(0), number(counter)));
        }
        out
    }

    fn parts(bytes: &[u8], split: usize, ending: Ending) -> Vec<Part> {
        let mut demuxer = Demuxer::new(ending);
        let mut parts = Vec::new();
        for piece in bytes.chunks(split.max(1)) {
            demuxer.push(piece);
            while let Some(part) = demuxer.next_part().expect("it is sound") {
                parts.push(part);
            }
        }
        parts.extend(demuxer.finish());
        parts
    }

    fn ends(parts: &[Part]) -> Vec<(FragmentNumber, bool)> {
        let end = |part: &Part| match part {
            Part::End { number, whole } => Some((*number, *whole)),
            _ => None,
        };
        parts.iter().filter_map(end).collect()
    }

    #[test]
    fn frames_keep_their_fragments_number_and_both_times() {
        let parts = parts(&fragment(4, 3, true), usize::MAX, Ending::Tagged);
        let Part::Begin(head) = &parts[0] else { panic!("{parts:?}") };
        assert_eq!(head.number, number(4));
        assert_eq!(head.video.as_ref().map(|track| track.number), Some(2));
        let Part::Frame(last) = &parts[3] else { panic!("{parts:?}") };
        assert_eq!(last.place.index, 2);
        assert_eq!(last.place.time, ProducerTimestamp::from_millis(5_080));
        assert_eq!(last.place.arrival(), ServerTimestamp::from_millis(9_080));
        assert_eq!(last.data, Bytes::from_static(&[2; 3]));
        assert_eq!(ends(&parts), [(number(4), true)]);
        assert_eq!(parts.len(), 5);
    }

    #[test]
    fn a_fragment_without_its_last_tags_broke_off() {
        let mut bytes = fragment(1, 2, false);
        bytes.extend(fragment(2, 2, true));
        bytes.extend(fragment(3, 1, false));
        let ended = ends(&parts(&bytes, usize::MAX, Ending::Tagged));
        assert_eq!(ended, [(number(1), false), (number(2), true), (number(3), false)]);
        let listed = ends(&parts(&bytes, usize::MAX, Ending::Next));
        assert_eq!(listed, [(number(1), true), (number(2), true), (number(3), true)]);
    }

    #[test]
    fn an_error_in_the_media_is_told() {
        let mut demuxer = Demuxer::new(Ending::Tagged);
        demuxer.push(&fragment(1, 1, true));
        demuxer.push(&kvs::error_tags(None, "InternalError", 5000));
        let mut last = demuxer.next_part();
        while let Ok(Some(_)) = last {
            last = demuxer.next_part();
        }
        assert!(matches!(last, Err(DemuxError::Service { code, .. }) if code == "InternalError"));
    }

    proptest! {
        #[test]
        fn media_split_at_any_byte_gives_the_same_parts(split in 1usize..400) {
            let mut bytes = fragment(1, 4, true);
            bytes.extend(fragment(2, 2, true));
            let whole = parts(&bytes, usize::MAX, Ending::Tagged);
            prop_assert_eq!(parts(&bytes, split, Ending::Tagged), whole);
        }
    }
}
