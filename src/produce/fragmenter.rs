//! Cuts ordered frames into fragments: the bytes of an MKV head, then of clusters and blocks.
//!
//! A fragment is one cluster that begins with a video key frame (without video: by time) and is
//! closed by the end-of-fragment tag. Timecodes are absolute: milliseconds since the Unix epoch.

use bytes::Bytes;

use super::source::SourceFrame;
use crate::media::mkv::{self, Head, Tag, Track, TrackKind, kvs};
use crate::types::{Millis, TimestampScale};

/// A key frame that comes so much before the wanted length ends the fragment all the same: a
/// camera's two seconds are often 1.999.
pub const CUT_TOLERANCE: Millis = Millis(100);

/// Audio that outlives its video by no more than so long stays in the last fragment.
pub const AUDIO_TAIL: Millis = Millis(1000);

/// How fragments are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentLimits {
    /// A fragment ends with the first key frame after so long.
    pub target: Millis,
    /// A fragment ends here also without a key frame: the service refuses longer ones (ERROR 4002).
    pub max_duration: Millis,
    /// A fragment ends before so many bytes of frames (ERROR 4001).
    pub max_bytes: usize,
}

impl Default for FragmentLimits {
    fn default() -> Self {
        Self { target: Millis(2000), max_duration: Millis(19_000), max_bytes: 48 << 20 }
    }
}

/// What comes out, in order: `Begin`, `Data`…, `End`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A fragment begins.
    Begin {
        /// The MKV head that a session needs before it.
        head: Bytes,
        /// The cluster's timecode.
        timecode: u64,
    },
    /// Bytes of the fragment, from the cluster's start to the end-of-fragment tag.
    Data(Bytes),
    /// The fragment is whole.
    End {
        /// Presentation time of its latest frame.
        latest: u64,
    },
}

/// What was not sent as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Irregular {
    /// Frames before the first key frame, or of a track that is not declared yet.
    pub skipped_frames: u64,
    /// Fragments that had to begin without a key frame.
    pub forced_cuts: u64,
}

/// Frames in, pieces of fragments out.
#[derive(Debug)]
pub struct Fragmenter {
    limits: FragmentLimits,
    writing_app: String,
    tracks: Vec<Track>,
    head: Bytes,
    /// Tracks that hold from the next key frame on.
    pending: Option<Vec<Track>>,
    open: Option<Open>,
    irregular: Irregular,
}

#[derive(Debug)]
struct Open {
    timecode: u64,
    latest: u64,
    bytes: usize,
}

/// What a frame does to the open fragment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Continue,
    Begin,
    Skip,
}

impl Fragmenter {
    /// `writing_app` goes into the MKV head.
    pub fn new(limits: FragmentLimits, writing_app: String) -> Self {
        Self {
            limits,
            writing_app,
            tracks: Vec::new(),
            head: Bytes::new(),
            pending: None,
            open: None,
            irregular: Irregular::default(),
        }
    }

    /// The tracks from the next key frame on; the open fragment keeps its own.
    pub fn set_tracks(&mut self, tracks: Vec<Track>) {
        self.pending = (tracks != self.tracks).then_some(tracks);
        if self.open.is_none() {
            self.apply_pending();
        }
    }

    /// Adds a frame's pieces to `out`.
    pub fn push(&mut self, frame: &SourceFrame, out: &mut Vec<Piece>) {
        let time = u64::try_from(frame.time.as_millis()).unwrap_or(0);
        match self.verdict(frame, time) {
            Verdict::Continue => {}
            Verdict::Begin => {
                self.finish(out);
                self.begin(time, out);
                if !self.begins_fragment(frame) {
                    self.irregular.forced_cuts += 1;
                }
            }
            Verdict::Skip => {
                self.irregular.skipped_frames += 1;
                return;
            }
        }
        let Some(open) = &mut self.open else { return };
        let Some(offset) = offset(open.timecode, time) else { return };
        open.latest = open.latest.max(time);
        open.bytes += frame.data.len();
        let block = mkv::simple_block(frame.track, offset, frame.keyframe, frame.data.len());
        out.push(Piece::Data(block));
        out.push(Piece::Data(frame.data.clone()));
    }

    /// Ends the open fragment, at the end of the source or before a pause.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        if let Some(open) = self.open.take() {
            let name = kvs::END_OF_FRAGMENT.to_owned();
            out.push(Piece::Data(mkv::tags(&[Tag { name, value: String::new() }])));
            out.push(Piece::End { latest: open.latest });
            self.apply_pending();
        }
    }

    /// What was not sent as it came.
    pub fn irregular(&self) -> Irregular {
        self.irregular
    }

    fn begin(&mut self, timecode: u64, out: &mut Vec<Piece>) {
        out.push(Piece::Begin { head: self.head.clone(), timecode });
        out.push(Piece::Data(mkv::cluster(timecode)));
        self.open = Some(Open { timecode, latest: timecode, bytes: 0 });
    }

    fn apply_pending(&mut self) {
        let Some(tracks) = self.pending.take() else { return };
        self.head = mkv::head(&Head {
            scale: TimestampScale::MILLISECOND,
            writing_app: self.writing_app.clone(),
            tracks: tracks.clone(),
        });
        self.tracks = tracks;
    }

    fn verdict(&self, frame: &SourceFrame, time: u64) -> Verdict {
        let starts = self.begins_fragment(frame);
        let Some(open) = &self.open else {
            let declared = self.tracks.iter().any(|track| track.number == frame.track);
            return if starts && declared { Verdict::Begin } else { Verdict::Skip };
        };
        if starts && (self.new_track_waits() || self.is_long_enough(open, time)) {
            return Verdict::Begin;
        }
        if !self.tracks.iter().any(|track| track.number == frame.track) {
            return Verdict::Skip;
        }
        let too_long = time >= open.timecode.saturating_add(self.limits.max_duration.0);
        let too_large = open.bytes.saturating_add(frame.data.len()) > self.limits.max_bytes;
        if too_long || too_large || offset(open.timecode, time).is_none() {
            return Verdict::Begin;
        }
        Verdict::Continue
    }

    /// A fragment may begin here: with a video key frame, and without video anywhere. The tracks
    /// that hold from the next fragment on decide.
    fn begins_fragment(&self, frame: &SourceFrame) -> bool {
        let tracks = self.pending.as_ref().unwrap_or(&self.tracks);
        if !tracks.iter().any(is_video) {
            return true;
        }
        frame.keyframe && tracks.iter().any(|track| track.number == frame.track && is_video(track))
    }

    /// A track came or changed. One that ended is no reason to cut a fragment short.
    fn new_track_waits(&self) -> bool {
        self.pending.iter().flatten().any(|track| !self.tracks.contains(track))
    }

    /// The fragment has its length, or time has run backwards.
    fn is_long_enough(&self, open: &Open, time: u64) -> bool {
        let has_video = |tracks: &[Track]| tracks.iter().any(is_video);
        let video_ended =
            has_video(&self.tracks) && self.pending.as_ref().is_some_and(|next| !has_video(next));
        let tail = if video_ended { AUDIO_TAIL.0 } else { 0 };
        let target = self.limits.target.0.saturating_sub(CUT_TOLERANCE.0).max(1);
        time < open.timecode || time - open.timecode >= target.saturating_add(tail)
    }
}

fn is_video(track: &Track) -> bool {
    matches!(track.kind, TrackKind::Video { .. })
}

/// A block's offset in its cluster; `None` when 16 bits do not hold it.
fn offset(timecode: u64, time: u64) -> Option<i16> {
    let offset = i128::from(time) - i128::from(timecode);
    i16::try_from(offset).ok()
}
