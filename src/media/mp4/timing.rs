//! Times of samples: from Matroska's presentation times to MP4's decode times, offsets and
//! durations.
//!
//! Times are absolute: ticks since the Unix epoch on the producer's clock. A segment's bytes then
//! depend on nothing but its fragment, so they can be cached and shared by all players. With 64
//! bits, 90 kHz reaches beyond the year 6 million.
//!
//! Matroska has no decode times. Those of a fragment are its presentation times in rising order;
//! where frames are reordered, the composition offset may be negative (`trun` version 1), and no
//! edit list is needed.

use bytes::Bytes;

use crate::media::codec::Codec;
use crate::media::mkv;
use crate::types::{ProducerTimestamp, TimestampScale};

/// Ties a cluster to the producer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The producer's time at the cluster's timecode.
    pub producer: ProducerTimestamp,
    /// The cluster's timecode, in ticks of `scale`.
    pub cluster_timecode: u64,
    /// The segment's tick.
    pub scale: TimestampScale,
}

/// A frame with its times in ticks of the track's timescale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Ticks since the Unix epoch; larger than the preceding sample's.
    pub decode_time: u64,
    /// Ticks to the next sample; at least 1.
    pub duration: u32,
    /// Presentation time less decode time.
    pub composition_offset: i32,
    /// Decoding can begin here.
    pub sync: bool,
    /// The frame, uncopied.
    pub data: Bytes,
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;
/// Times beyond it are held back, so that sums never overflow.
const LAST_TICK: i128 = i64::MAX as i128;

/// The samples of one track of a fragment, in decode order. Frames without bytes are left out:
/// there is nothing in them to decode.
pub fn samples(
    track: &mkv::Track,
    codec: &Codec,
    frames: Vec<mkv::Frame>,
    anchor: Anchor,
) -> Vec<Sample> {
    let clock =
        TrackClock { anchor, delay_ns: track.codec_delay_ns, rate: super::timescale(codec) };
    let frames: Vec<_> = frames
        .into_iter()
        .filter(|frame| frame.track == track.number && !frame.data.is_empty())
        .collect();
    let presentation: Vec<u64> = frames.iter().map(|frame| clock.place(frame.timecode)).collect();
    let last = frames.last().and_then(|frame| clock.known_duration(frame, track));
    let (decode, last) = match codec {
        Codec::Aac(config) => audio_times(&presentation, config.samples_per_frame, &clock),
        Codec::H264(_) | Codec::H265(_) => {
            let decode = rising(&presentation);
            let last = last.or_else(|| median_step(&decode)).unwrap_or(clock.rate / FALLBACK_FPS);
            (decode, last)
        }
    };
    let audio = !codec.is_video();
    let sample = |(index, frame): (usize, mkv::Frame)| {
        let step = decode.get(index + 1).map(|next| next - decode[index]);
        let offset = if audio { 0 } else { presentation[index].wrapping_sub(decode[index]) as i64 };
        Sample {
            decode_time: decode[index],
            duration: step.map_or(last, |step| u32::try_from(step).unwrap_or(u32::MAX)).max(1),
            composition_offset: i32::try_from(offset).unwrap_or(0),
            sync: audio || frame.keyframe,
            data: frame.data,
        }
    };
    frames.into_iter().enumerate().map(sample).collect()
}

/// Frames per second that are assumed of a fragment with a single frame and no other hint.
const FALLBACK_FPS: u32 = 30;

/// Turns timecodes of one track into ticks since the epoch.
struct TrackClock {
    anchor: Anchor,
    delay_ns: u64,
    /// Ticks per second.
    rate: u32,
}

impl TrackClock {
    fn place(&self, timecode: i64) -> u64 {
        let since_cluster = i128::from(timecode) - i128::from(self.anchor.cluster_timecode);
        let nanos = i128::from(self.anchor.producer.as_millis()) * NANOS_PER_MILLI
            + since_cluster * i128::from(self.anchor.scale.nanos())
            - i128::from(self.delay_ns);
        // A wrong clock before 1970 cannot be written; such a fragment plays from the epoch.
        u64::try_from(self.ticks(nanos.max(0)).min(LAST_TICK)).unwrap_or(0)
    }

    /// Ticks of a time in nanoseconds, rounded to the nearest.
    fn ticks(&self, nanos: i128) -> i128 {
        (nanos * i128::from(self.rate) + NANOS_PER_SECOND / 2).div_euclid(NANOS_PER_SECOND)
    }

    /// What the container says of a frame's duration.
    fn known_duration(&self, frame: &mkv::Frame, track: &mkv::Track) -> Option<u32> {
        let block =
            frame.duration.map(|ticks| i128::from(ticks) * i128::from(self.anchor.scale.nanos()));
        let nanos = block.or(track.default_duration_ns.map(i128::from))?;
        u32::try_from(self.ticks(nanos)).ok().filter(|ticks| *ticks > 0)
    }
}

/// The times in rising order, equal ones pushed apart by one tick.
fn rising(times: &[u64]) -> Vec<u64> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let mut least = 0;
    for time in &mut sorted {
        *time = (*time).max(least);
        least = *time + 1;
    }
    sorted
}

/// The middle of the distances between neighbours.
fn median_step(times: &[u64]) -> Option<u32> {
    let mut steps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = steps.len() / 2;
    steps.sort_unstable();
    steps.get(middle).and_then(|step| u32::try_from(*step).ok())
}

/// Decode times of audio and the last frame's duration.
///
/// A frame holds a fixed number of samples, but its timecode is rounded (to milliseconds as a
/// rule). As long as frames are where a gapless run of them would be, give or take the rounding
/// and the drift of the producer's clock, they are put there exactly: players then neither drop
/// nor repeat samples. After a real gap the timecodes count again.
fn audio_times(
    presentation: &[u64],
    samples_per_frame: u32,
    clock: &TrackClock,
) -> (Vec<u64>, u32) {
    let tolerance = u64::from(clock.rate) * AUDIO_TOLERANCE_MS / 1000;
    let step = u64::from(samples_per_frame);
    let mut times = Vec::with_capacity(presentation.len());
    let mut ideal = None;
    let mut least = 0;
    for &time in presentation {
        let placed = match ideal {
            Some(ideal) if time.abs_diff(ideal) <= tolerance => ideal,
            _ => time.max(least),
        };
        times.push(placed);
        least = placed + 1;
        ideal = Some(placed + step);
    }
    (times, samples_per_frame)
}

/// How far an audio frame's timecode may be from its place in a gapless run.
const AUDIO_TOLERANCE_MS: u64 = 5;
