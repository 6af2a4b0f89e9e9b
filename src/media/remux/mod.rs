//! Files as fragments: MKV, WebM and MP4 in, cut at any place; the MKV that PutMedia takes out, a
//! fragment at a time.
//!
//! Here: which format a body has, when its first frame was, and where it is cut. Not here: the bytes
//! of a file that has to be kept meanwhile, and what becomes of the fragments (`ingest`).

mod cutter;
#[cfg(test)]
mod tests;

pub use cutter::{CutLimits, Cutter, Item};

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::mkv::{self, EventKind, Track, TrackKind};
use super::mp4::demux::{self, Movie};
use crate::types::{ProducerTimestamp, Timecode, TimestampScale};

/// MKV whose times begin later than this counts them from the Unix epoch, as producers of Kinesis
/// Video Streams do: no film lasts 31 years.
const ABSOLUTE_FROM_NS: i64 = 1_000_000_000_000_000_000;
/// From 1970 to 2001, where `DateUTC` counts from, in nanoseconds.
const MKV_EPOCH_NS: i64 = 978_307_200_000_000_000;
/// Bytes that tell which format a body has.
const SNIFFED: usize = 8;

/// When a file's first frame was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this time, whatever the file says.
    At(ProducerTimestamp),
    /// When the file says; if it says nothing, then.
    EmbeddedOr(ProducerTimestamp),
    /// When the file says, and it must.
    Embedded,
}

/// What comes out of a file.
#[derive(Clone, Debug)]
pub enum Output {
    /// The bytes of one fragment, in pieces: a head where it differs from the last one, a cluster and
    /// the end-of-fragment tag.
    Fragment(Vec<Bytes>),
    /// Something that the sender should know, in a sentence.
    Note(String),
    /// The file has to be kept as a whole before its frames can be taken: see
    /// [`Remuxer::keep_file`]. Nothing more comes of pushing.
    KeepFile,
}

/// Why a file cannot be taken, or not to its end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// It is no format that is taken.
    #[error("the body is {found}; expected a file in Matroska (MKV), WebM or MP4 form")]
    NotMedia {
        /// What it looks like.
        found: &'static str,
    },
    /// It is broken Matroska.
    #[error(transparent)]
    Mkv(#[from] mkv::Error),
    /// It is broken MP4, or has no codec that is taken.
    #[error(transparent)]
    Mp4(#[from] demux::Error),
    /// Matroska without video and audio.
    #[error("the file has neither a video nor an audio track")]
    NoTrack,
    /// It ends in the middle.
    #[error("the file ends too early, in the middle of an element")]
    Truncated,
    /// It has no frame.
    #[error("the file has no frame that decoding could begin with")]
    NoFrame,
    /// It does not say when it was made.
    #[error("the file does not say when it was recorded: give its start")]
    NoTime,
    /// A later frame has an earlier time, further back than frames are reordered.
    #[error("the file's times run backwards, {seconds:.3} s after its beginning")]
    Backwards {
        /// Where, counted from the first frame.
        seconds: f64,
    },
}

/// Turns one file into fragments.
///
/// [`push`](Self::push) some bytes and take outputs until there is none; then
/// [`finish`](Self::finish), and take the last ones.
pub struct Remuxer {
    format: Format,
    start: Start,
    max_element: usize,
    cutter: Cutter,
    outputs: VecDeque<Output>,
}

enum Format {
    /// Not known yet; what came so far.
    Unknown(Vec<u8>),
    Mkv(Box<Mkv>),
    Mp4(Box<demux::Demuxer>),
    /// An MP4 file that is kept, with its index if that came first.
    Kept {
        demuxer: Box<demux::Demuxer>,
        movie: Option<Arc<Movie>>,
    },
}

struct Mkv {
    reader: mkv::Reader,
    scale: TimestampScale,
    date_ns: Option<i64>,
    /// Matroska's numbers of the tracks that are taken.
    numbers: Vec<u64>,
}

impl Remuxer {
    /// For one file; `max_element` bounds the bytes of one MKV element.
    pub fn new(start: Start, limits: CutLimits, max_element: usize) -> Self {
        Self {
            format: Format::Unknown(Vec::new()),
            start,
            max_element,
            cutter: Cutter::new(limits),
            outputs: VecDeque::new(),
        }
    }

    /// Takes more of the file.
    ///
    /// # Errors
    /// It cannot be taken; the outputs that are there are good.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.format {
            Format::Unknown(start) => {
                start.extend_from_slice(bytes);
                if start.len() < SNIFFED {
                    return Ok(());
                }
                let start = std::mem::take(start);
                self.format = self.recognise(&start)?;
                self.push(&start)
            }
            Format::Mkv(mkv) => {
                mkv.reader.push(bytes);
                self.read_mkv()
            }
            Format::Mp4(demuxer) => {
                demuxer.push(bytes);
                self.read_mp4()
            }
            Format::Kept { demuxer, .. } => {
                demuxer.push(bytes);
                Ok(())
            }
        }
    }

    /// The file is over.
    ///
    /// # Errors
    /// It ends too early. What was cut off is not handed out: it may end in the middle of a picture.
    pub fn finish(&mut self) -> Result<(), Error> {
        match &self.format {
            Format::Unknown(start) if start.is_empty() => {
                return Err(Error::NotMedia { found: "empty" });
            }
            Format::Unknown(_) => return Err(Error::NotMedia { found: "a few bytes long" }),
            Format::Mkv(mkv) if !mkv.reader.may_end() => return Err(Error::Truncated),
            Format::Mp4(demuxer) => demuxer.finish()?,
            Format::Mkv(_) | Format::Kept { .. } => {}
        }
        self.cutter.finish();
        self.cut()?;
        if self.cutter.has_cut() { Ok(()) } else { Err(Error::NoFrame) }
    }

    /// What to do next.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the last frame so far ends, on the producer's clock.
    pub fn end(&self) -> Option<ProducerTimestamp> {
        self.cutter.end_ms().map(ProducerTimestamp::from_millis)
    }

    /// After [`Output::KeepFile`]: offset in the file of the first byte to keep, the bytes from there
    /// that came already, and the index if that stands in front of them.
    pub fn keep_file(&mut self) -> Option<(u64, Bytes, Option<Arc<Movie>>)> {
        let Format::Kept { demuxer, movie } = &mut self.format else { return None };
        let demuxer = std::mem::take(&mut **demuxer);
        Some((demuxer.at(), demuxer.into_rest(), movie.clone()))
    }

    /// Begins to take frames of a file that was kept.
    ///
    /// # Errors
    /// It does not say when it was made, and must.
    pub fn begin_kept(&mut self, movie: &Movie) -> Result<(), Error> {
        self.declare(movie);
        self.anchor(movie.created_ms)
    }

    /// Takes a frame of a kept file.
    ///
    /// # Errors
    /// Those of [`Remuxer::push`].
    pub fn push_kept(&mut self, sample: &demux::Sample, data: Bytes) -> Result<(), Error> {
        let demux::Sample { track, time_ns, keyframe, .. } = *sample;
        self.cutter.push(track, Item { time_ns, keyframe, data });
        self.cut()
    }

    fn recognise(&self, start: &[u8]) -> Result<Format, Error> {
        const EBML: [u8; 4] = [0x1A, 0x45, 0xDF, 0xA3];
        if start.starts_with(&EBML) {
            let reader = mkv::Reader::new(self.max_element);
            let scale = TimestampScale::MILLISECOND;
            let mkv = Mkv { reader, scale, date_ns: None, numbers: Vec::new() };
            return Ok(Format::Mkv(Box::new(mkv)));
        }
        if demux::looks_like_mp4(start) {
            return Ok(Format::Mp4(Box::default()));
        }
        let found = match start {
            [0x47, ..] => "MPEG-TS (\"kinora import\" takes it)",
            [b'R', b'I', b'F', b'F', ..] => "AVI or WAV (\"kinora import\" takes it)",
            [b'O', b'g', b'g', b'S', ..] => "Ogg (\"kinora import\" takes it)",
            [b'F', b'L', b'V', ..] => "FLV (\"kinora import\" takes it)",
            [0, 0, 1, ..] | [0, 0, 0, 1, ..] => "a bare H.264 or MPEG stream",
            [b'<', ..] | [b'{', ..] => "a text",
            _ => "of an unknown kind",
        };
        Err(Error::NotMedia { found })
    }

    fn read_mkv(&mut self) -> Result<(), Error> {
        loop {
            let Format::Mkv(mkv) = &mut self.format else { return Ok(()) };
            let Some(event) = mkv.reader.next_event()? else { return Ok(()) };
            match event.kind {
                EventKind::Info { scale } => {
                    mkv.scale = scale;
                    mkv.date_ns = mkv::date_utc(&event.raw);
                }
                EventKind::Tracks(tracks) => self.take_tracks(tracks)?,
                EventKind::Frames(frames) => {
                    let (scale, numbers) = (mkv.scale, mkv.numbers.clone());
                    for frame in frames {
                        let index = numbers.iter().position(|number| *number == frame.track);
                        let Some(index) = index else { continue };
                        let time_ns = Timecode(frame.timecode).nanos(scale).unwrap_or(i64::MAX);
                        self.anchor_mkv(time_ns)?;
                        let mkv::Frame { keyframe, data, .. } = frame;
                        self.cutter.push(index, Item { time_ns, keyframe, data });
                    }
                    self.cut()?;
                }
                _ => {}
            }
        }
    }

    fn take_tracks(&mut self, tracks: Vec<Track>) -> Result<(), Error> {
        let Format::Mkv(mkv) = &mut self.format else { return Ok(()) };
        let (taken, left): (Vec<_>, Vec<_>) =
            tracks.into_iter().partition(|track| !matches!(track.kind, TrackKind::Other(_)));
        if taken.is_empty() {
            return Err(Error::NoTrack);
        }
        mkv.numbers = taken.iter().map(|track| track.number).collect();
        self.note_left(left.iter().map(|track| track.codec_id.clone()).collect());
        // A second document in the same body may have other tracks.
        self.cutter.finish();
        self.cut()?;
        self.cutter.set_tracks(taken);
        Ok(())
    }

    fn anchor_mkv(&mut self, first_ns: i64) -> Result<(), Error> {
        if self.cutter.is_anchored() {
            return Ok(());
        }
        let Format::Mkv(mkv) = &self.format else { return Ok(()) };
        let absolute = (first_ns >= ABSOLUTE_FROM_NS).then_some(0);
        let date = mkv.date_ns.map(|ns| ns.saturating_add(MKV_EPOCH_NS).div_euclid(1_000_000));
        self.anchor(absolute.or(date.filter(|&ms| ms > 0)))
    }

    fn read_mp4(&mut self) -> Result<(), Error> {
        loop {
            let Format::Mp4(demuxer) = &mut self.format else { return Ok(()) };
            match demuxer.next_event()? {
                None => return Ok(()),
                Some(demux::Event::Movie(movie)) => self.declare(&movie),
                Some(demux::Event::Frame(frame)) => {
                    let embedded = demuxer.embedded_ms();
                    if !self.cutter.is_anchored() {
                        self.anchor(embedded)?;
                    }
                    let demux::Frame { track, time_ns, keyframe, data } = frame;
                    self.cutter.push(track, Item { time_ns, keyframe, data });
                    self.cut()?;
                }
                Some(demux::Event::KeepFile) => {
                    let demuxer = std::mem::take(demuxer);
                    let movie = demuxer.movie();
                    self.format = Format::Kept { demuxer, movie };
                    self.outputs.push_back(Output::KeepFile);
                    return Ok(());
                }
            }
        }
    }

    fn declare(&mut self, movie: &Movie) {
        if self.cutter.has_tracks() {
            return;
        }
        self.note_left(movie.refused.clone());
        self.cutter.set_tracks(movie.tracks.iter().map(|track| track.track.clone()).collect());
    }

    fn note_left(&mut self, codecs: Vec<String>) {
        if !codecs.is_empty() {
            let note = format!("left out, since it is not taken: {}", codecs.join(", "));
            self.outputs.push_back(Output::Note(note));
        }
    }

    /// `zero_ms` is the file's own word of when its time zero was.
    fn anchor(&mut self, zero_ms: Option<i64>) -> Result<(), Error> {
        match (self.start, zero_ms) {
            (Start::At(first), _) | (Start::EmbeddedOr(first), None) => {
                self.cutter.anchor_first(first.as_millis());
            }
            (Start::EmbeddedOr(_) | Start::Embedded, Some(zero_ms)) => {
                self.cutter.anchor_zero(zero_ms);
            }
            (Start::Embedded, None) => return Err(Error::NoTime),
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), Error> {
        while let Some(fragment) = self.cutter.next_fragment()? {
            self.outputs.push_back(Output::Fragment(fragment));
        }
        Ok(())
    }
}
