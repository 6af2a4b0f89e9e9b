use bytes::Bytes;
use mp4_atom::{Decode, Ftyp, Header, Moof, Moov, TrunSamples};
use proptest::prelude::*;

use super::{Anchor, Sample, Segment, init_segment, samples, timescale};
use crate::media::codec::Codec;
use crate::media::mkv::{Frame, Track, TrackKind};
use crate::types::{ProducerTimestamp, TimestampScale};

/// x264, 640x360 at 30 frames per second.
const AVCC: &str =
    "0142c01effe100196742c01ed900a02ff970110000030001000003003c0f162e4801000568cb83cb20";
/// LC, 48 kHz, stereo.
const AAC_48K: &str = "1190";
const START_MS: i64 = 1_795_309_233_060;

fn track(codec_id: &str, private: &str) -> (Track, Codec) {
    let track = Track {
        number: 1,
        kind: TrackKind::Other(0),
        name: None,
        codec_id: codec_id.to_owned(),
        codec_private: Some(hex::decode(private).expect("hexadecimal").into()),
        codec_delay_ns: 0,
        default_duration_ns: None,
    };
    let codec = Codec::of(&track).expect("a valid track");
    (track, codec)
}

fn video() -> (Track, Codec) {
    track("V_MPEG4/ISO/AVC", AVCC)
}

fn audio() -> (Track, Codec) {
    track("A_AAC", AAC_48K)
}

/// Frames of track 1 at these offsets from the cluster, in milliseconds, the first a key frame.
fn frames(offsets: &[i64]) -> Vec<Frame> {
    let frame = |(index, offset): (usize, &i64)| Frame {
        track: 1,
        timecode: START_MS + offset,
        keyframe: index == 0,
        invisible: false,
        duration: None,
        data: Bytes::from(vec![index as u8; index + 1]),
    };
    offsets.iter().enumerate().map(frame).collect()
}

fn anchor() -> Anchor {
    Anchor {
        producer: ProducerTimestamp::from_millis(START_MS),
        cluster_timecode: START_MS as u64,
        scale: TimestampScale::MILLISECOND,
    }
}

fn times(samples: &[Sample]) -> Vec<(i64, u32, i32)> {
    let start = START_MS * 90;
    let relative = |sample: &Sample| {
        (sample.decode_time as i64 - start, sample.duration, sample.composition_offset)
    };
    samples.iter().map(relative).collect()
}

#[test]
fn reordered_frames_are_decoded_in_file_order_and_shown_in_time_order() {
    let (track, codec) = video();
    let made = samples(&track, &codec, frames(&[0, 120, 40, 80]), anchor());
    let expected = [(0, 3600, 0), (3600, 3600, 7200), (7200, 3600, -3600), (10800, 3600, -3600)];
    assert_eq!(times(&made), expected);
    assert_eq!(
        made.iter().map(|sample| sample.sync).collect::<Vec<_>>(),
        [true, false, false, false]
    );
}

#[test]
fn last_duration_is_the_blocks_own_then_the_tracks_then_the_typical_one() {
    let (mut track, codec) = video();
    let mut frames = frames(&[0, 33, 66, 100, 140]);
    let last = |track: &Track, frames: &[Frame]| {
        samples(track, &codec, frames.to_vec(), anchor()).last().expect("samples").duration
    };
    assert_eq!(last(&track, &frames), 34 * 90);
    track.default_duration_ns = Some(50_000_000);
    assert_eq!(last(&track, &frames), 4500);
    frames[4].duration = Some(20);
    assert_eq!(last(&track, &frames), 1800);
    track.default_duration_ns = None;
    assert_eq!(samples(&track, &codec, frames[..1].to_vec(), anchor())[0].duration, 3000);
}

#[test]
fn frames_of_equal_time_keep_a_positive_duration() {
    let (track, codec) = video();
    let made = samples(&track, &codec, frames(&[0, 0, 0, 1]), anchor());
    assert_eq!(times(&made), [(0, 1, 0), (1, 1, -1), (2, 88, -2), (90, 1, 0)]);
}

#[test]
fn audio_times_snap_to_the_run_of_frames_and_follow_real_gaps() {
    let (track, codec) = audio();
    let made = samples(&track, &codec, frames(&[0, 21, 43, 64, 200, 221]), anchor());
    let start = START_MS as u64 * 48;
    let decode: Vec<_> = made.iter().map(|sample| sample.decode_time - start).collect();
    assert_eq!(decode, [0, 1024, 2048, 3072, 9600, 10624]);
    let durations: Vec<_> = made.iter().map(|sample| sample.duration).collect();
    assert_eq!(durations, [1024, 1024, 1024, 6528, 1024, 1024]);
    assert!(made.iter().all(|sample| sample.sync && sample.composition_offset == 0));
}

#[test]
fn codec_delay_moves_sound_earlier() {
    let (mut track, codec) = audio();
    track.codec_delay_ns = 21_333_333;
    let made = samples(&track, &codec, frames(&[0]), anchor());
    assert_eq!(made[0].decode_time, START_MS as u64 * 48 - 1024);
}

#[test]
fn time_counts_from_the_cluster_whatever_its_timecode() {
    let (track, codec) = video();
    let scale = TimestampScale::from_nanos(100_000).expect("valid");
    let mut frames = frames(&[0, 0]);
    frames[0].timecode = 500;
    frames[1].timecode = 900;
    let anchor = Anchor { cluster_timecode: 500, scale, ..anchor() };
    assert_eq!(
        times(&samples(&track, &codec, frames.clone(), anchor)),
        [(0, 3600, 0), (3600, 3600, 0)]
    );
}

#[test]
fn init_segment_describes_its_track() {
    for (track, codec) in [video(), audio()] {
        let bytes = init_segment(&codec, 2).expect("an init segment");
        let mut rest = &bytes[..];
        Ftyp::decode(&mut rest).expect("ftyp");
        let moov = Moov::decode(&mut rest).expect("moov");
        assert!(rest.is_empty());
        let trak = &moov.trak[0];
        assert_eq!(trak.mdia.mdhd.timescale, timescale(&codec));
        assert_eq!(moov.mvex.expect("mvex").trex[0].track_id, trak.tkhd.track_id);
        let private = track.codec_private.expect("a CodecPrivate");
        let verbatim = bytes.windows(private.len()).any(|window| window == private);
        assert!(verbatim, "{} is not passed on as it came", track.codec_id);
    }
}

/// Takes a segment apart again: its `moof`, and the frames its `trun` points to.
fn read_back(bytes: &[u8]) -> (Moof, Vec<Bytes>) {
    let mut rest = bytes;
    let moof = Moof::decode(&mut rest).expect("moof");
    let mdat = Header::decode(&mut rest).expect("mdat");
    assert_eq!((mdat.kind, mdat.size), (b"mdat".into(), Some(rest.len())));
    let trun = &moof.traf[0].trun[0];
    let mut at = usize::try_from(trun.data_offset.expect("an offset")).expect("not negative");
    let mut frames = Vec::new();
    for entry in &trun.samples {
        let end = at + entry.size.expect("a size") as usize;
        frames.push(Bytes::copy_from_slice(&bytes[at..end]));
        at = end;
    }
    assert_eq!(at, bytes.len());
    (moof, frames)
}

fn contiguous(segment: Segment) -> Bytes {
    segment.into_parts().concat().into()
}

#[test]
fn segment_points_to_its_frames_and_tells_its_place_in_time() {
    let (track, codec) = video();
    let frames = frames(&[0, 33, 67]);
    let segment =
        Segment::new(7, samples(&track, &codec, frames.clone(), anchor())).expect("a segment");
    assert_eq!(segment.frames[1].as_ptr(), frames[1].data.as_ptr(), "frames are not copied");
    let length = segment.len();
    let bytes = contiguous(segment);
    assert_eq!(bytes.len(), length);
    let (moof, data) = read_back(&bytes);
    assert_eq!(data, frames.iter().map(|frame| frame.data.clone()).collect::<Vec<_>>());
    assert_eq!(moof.mfhd.sequence_number, 7);
    let tfdt = moof.traf[0].tfdt.as_ref().expect("tfdt");
    assert_eq!(tfdt.base_media_decode_time, START_MS as u64 * 90);
    let TrunSamples::Explicit(entries) = &moof.traf[0].trun[0].samples else {
        panic!("sizes are explicit");
    };
    assert!(entries[0].flags.is_some() && entries[1].flags.is_none(), "first_sample_flags");
    assert!(entries.iter().all(|entry| entry.cts.is_none()), "no offsets without reordering");
}

#[test]
fn no_samples_make_no_segment() {
    assert!(Segment::new(1, Vec::new()).is_err());
}

proptest! {
    #[test]
    fn any_timecodes_give_rising_decode_times_that_add_up(
        timecodes in prop::collection::vec(any::<i64>(), 1..50),
        scale in 1u64..2_000_000_000,
        producer in any::<i64>(),
        cluster in any::<u64>(),
        delay in any::<u64>(),
        sound in any::<bool>(),
    ) {
        let (mut track, codec) = if sound { audio() } else { video() };
        track.codec_delay_ns = delay;
        let mut frames = frames(&vec![0; timecodes.len()]);
        frames.iter_mut().zip(&timecodes).for_each(|(frame, &timecode)| frame.timecode = timecode);
        let anchor = Anchor {
            producer: ProducerTimestamp::from_millis(producer),
            cluster_timecode: cluster,
            scale: TimestampScale::from_nanos(scale).unwrap_or(TimestampScale::MILLISECOND),
        };
        let made = samples(&track, &codec, frames.clone(), anchor);
        prop_assert_eq!(made.len(), frames.len());
        for pair in made.windows(2) {
            prop_assert!(pair[0].decode_time < pair[1].decode_time);
            let distance = pair[1].decode_time - pair[0].decode_time;
            prop_assert_eq!(u64::from(pair[0].duration), distance.min(u32::MAX.into()));
        }
        prop_assert!(made.iter().all(|sample| sample.duration > 0));
        let (moof, _) = read_back(&contiguous(Segment::new(1, made).expect("a segment")));
        prop_assert_eq!(moof.traf.len(), 1);
    }

    #[test]
    fn presentation_times_survive_reordering(offsets in prop::collection::hash_set(0i64..20_000, 1..50)) {
        let (track, codec) = video();
        let offsets: Vec<_> = offsets.into_iter().collect();
        let made = samples(&track, &codec, frames(&offsets), anchor());
        for (sample, offset) in made.iter().zip(&offsets) {
            let shown = sample.decode_time as i64 + i64::from(sample.composition_offset);
            prop_assert_eq!(shown, (START_MS + offset) * 90);
        }
    }
}
