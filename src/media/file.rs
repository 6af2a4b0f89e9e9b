//! Many stored fragments as one file: what writing MKV and writing MP4 have in common.

use bytes::Bytes;

use super::mkv::{Chunk, Track};
use super::{codec, mkv, mp4};
use crate::types::ProducerTimestamp;

/// Writes a file of some format. What [`add`](Self::add) gives is appended to the file;
/// [`finish`](Self::finish) gives the rest.
pub trait Writer: Send {
    /// The first bytes of the file.
    fn begin(&mut self) -> Bytes;

    /// Adds a fragment that begins at `at` on the file's timeline, which is the producer's clock with
    /// its gaps closed. Fragments come in the order of their times.
    ///
    /// # Errors
    /// The fragment does not go with those before it.
    fn add(&mut self, chunk: Chunk, at: ProducerTimestamp) -> Result<Vec<Bytes>, Error>;

    /// The end of the file; `end` is that of its last fragment on the file's timeline.
    ///
    /// # Errors
    /// What was added is too much for the format.
    fn finish(&mut self, end: ProducerTimestamp) -> Result<Finish, Error>;
}

/// What completes a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// To be appended.
    pub append: Bytes,
    /// To be written over what stands at these offsets.
    pub patches: Vec<(u64, Bytes)>,
}

/// Why fragments cannot become one file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A track means something else than before, which one file cannot say.
    #[error("the format of track {track} changes")]
    FormatChange {
        /// Its number.
        track: u64,
    },
    /// No track can be written in the format.
    #[error("none of its tracks can be written as MP4: {0}; MKV takes all")]
    NoTrack(codec::Error),
    /// More of something than the format, or we, hold.
    #[error("the file would have more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The most allowed.
        limit: usize,
    },
    /// The boxes cannot be written.
    #[error(transparent)]
    Mp4(#[from] mp4::Error),
}

/// Whether a track goes on as it began.
pub(super) fn is_same(known: &Track, track: &Track) -> bool {
    (&known.codec_id, &known.codec_private, known.codec_delay_ns)
        == (&track.codec_id, &track.codec_private, track.codec_delay_ns)
}

/// Leaves out what stands, in decode order, behind the first frame at or after `until` on the
/// producer's clock; a later frame with an earlier time may need one that is left out.
pub fn end_before(chunk: &mut Chunk, producer: ProducerTimestamp, until: ProducerTimestamp) {
    let limit = until.as_millis().saturating_sub(producer.as_millis());
    let mut ended = Vec::new();
    let offset = |frame: &mkv::Frame| offset_ms(chunk.scale, chunk.cluster_timecode, frame);
    let keep: Vec<bool> = chunk
        .frames
        .iter()
        .map(|frame| {
            if offset(frame) >= limit {
                ended.push(frame.track);
            }
            !ended.contains(&frame.track)
        })
        .collect();
    let mut keep = keep.into_iter();
    chunk.frames.retain(|_| keep.next().unwrap_or(false));
}

/// Leaves out what stands before the first video key frame at or after `from` on the producer's
/// clock, and sound before `from`. When the fragment then begins; `None` when nothing is left.
pub fn begin_at(
    chunk: &mut Chunk,
    producer: ProducerTimestamp,
    from: ProducerTimestamp,
) -> Option<ProducerTimestamp> {
    let limit = from.as_millis().saturating_sub(producer.as_millis());
    let is_video = |number: u64| {
        let mut tracks = chunk.tracks.iter();
        tracks.any(|t| t.number == number && matches!(t.kind, mkv::TrackKind::Video { .. }))
    };
    let offset = |frame: &mkv::Frame| offset_ms(chunk.scale, chunk.cluster_timecode, frame);
    let mut begun = Vec::new();
    let mut first = None;
    let keep: Vec<bool> = chunk
        .frames
        .iter()
        .map(|frame| {
            let begins = offset(frame) >= limit && (frame.keyframe || !is_video(frame.track));
            if begins && !begun.contains(&frame.track) {
                begun.push(frame.track);
                first = Some(first.map_or(offset(frame), |first: i64| first.min(offset(frame))));
            }
            begun.contains(&frame.track)
        })
        .collect();
    let mut keep = keep.into_iter();
    chunk.frames.retain(|_| keep.next().unwrap_or(false));
    first.map(|first| ProducerTimestamp::from_millis(producer.as_millis().saturating_add(first)))
}

/// When the earliest picture is shown (without pictures: the earliest sound), on the producer's clock.
/// Where pictures are reordered across key frames it stands before the fragment's own beginning, in
/// the place of those that the fragment before lacks.
pub fn earliest(chunk: &Chunk, producer: ProducerTimestamp) -> ProducerTimestamp {
    let is_video = |track: &&Track| matches!(track.kind, mkv::TrackKind::Video { .. });
    let video = chunk.tracks.iter().find(is_video).map(|track| track.number);
    let counts = |frame: &&mkv::Frame| video.is_none_or(|number| number == frame.track);
    let offset = |frame: &mkv::Frame| offset_ms(chunk.scale, chunk.cluster_timecode, frame);
    let first = chunk.frames.iter().filter(counts).map(offset).min().unwrap_or(0).min(0);
    ProducerTimestamp::from_millis(producer.as_millis().saturating_add(first))
}

/// Milliseconds from the cluster's time to a frame's.
pub(super) fn offset_ms(
    scale: crate::types::TimestampScale,
    cluster_timecode: u64,
    frame: &mkv::Frame,
) -> i64 {
    let ticks = i128::from(frame.timecode) - i128::from(cluster_timecode);
    let nanos = ticks * i128::from(scale.nanos());
    i64::try_from((nanos + 500_000).div_euclid(1_000_000)).unwrap_or(i64::MAX)
}
