use bytes::Bytes;

use super::{Description, Error, Rendition, TrackNumber, describe, media_segment};
use crate::media::codec::Invalid;
use crate::media::{mkv, mp4};
use crate::serve::fixtures::{START_MS, chunks, read_back};
use crate::store::Chunk;
use crate::types::TimestampScale;

/// x264, 640x360; its VUI tells 30 frames per second.
const AVCC: &str =
    "0142c01effe100196742c01ed900a02ff970110000030001000003003c0f162e4801000568cb83cb20";

fn video(number: u64) -> mkv::Track {
    track(number, "V_MPEG4/ISO/AVC", Some(hex::decode(AVCC).expect("hexadecimal")))
}

fn audio(number: u64) -> mkv::Track {
    track(number, "A_AAC", Some(vec![0x11, 0x90]))
}

fn track(number: u64, codec_id: &str, private: Option<Vec<u8>>) -> mkv::Track {
    mkv::Track {
        number,
        kind: mkv::TrackKind::Other(0),
        name: None,
        codec_id: codec_id.to_owned(),
        codec_private: private.map(Bytes::from),
        codec_delay_ns: 0,
        default_duration_ns: None,
    }
}

fn described(tracks: Vec<mkv::Track>) -> Description {
    let media = mkv::Chunk {
        scale: TimestampScale::MILLISECOND,
        cluster_timecode: 0,
        tracks,
        frames: Vec::new(),
        tags: Vec::new(),
    };
    describe(&media).expect("a description")
}

#[test]
fn presentation_is_the_first_video_with_the_first_sound() {
    let description = described(vec![audio(2), video(1), video(3), audio(4)]);
    let selection = description.select(true).expect("playable");
    assert_eq!(selection.main.number, TrackNumber(1));
    assert_eq!(selection.main.frame_rate, Some(30.0));
    assert_eq!(selection.audio.map(|track| track.number), Some(TrackNumber(2)));
    assert!(selection.track(TrackNumber(2)).is_some() && selection.track(TrackNumber(4)).is_none());
}

#[test]
fn sound_alone_is_a_presentation() {
    let description = described(vec![audio(1)]);
    let selection = description.select(true).expect("playable");
    assert_eq!((selection.main.number, selection.audio.is_none()), (TrackNumber(1), true));
}

#[test]
fn a_track_that_cannot_be_played_is_refused_or_passed_over() {
    let description = described(vec![video(1), track(2, "A_MS/ACM", Some(vec![0; 18]))]);
    let refused = description.select(true).expect_err("refused");
    assert!(
        matches!(&refused, Error::UnsupportedCodec { track: TrackNumber(2), codec_id } if codec_id == "A_MS/ACM"),
        "{refused}"
    );
    let selection = description.select(false).expect("the video plays");
    assert_eq!((selection.main.number, selection.audio.is_none()), (TrackNumber(1), true));
}

#[test]
fn nothing_to_play_says_why() {
    let missing = described(vec![track(2, "V_MPEG4/ISO/AVC", None)]);
    let error = missing.select(false).map(|_| ()).expect_err("not playable");
    assert!(matches!(error, Error::MissingCodecPrivate { track: TrackNumber(2) }), "{error}");
    let annex_b = described(vec![track(1, "V_MPEG4/ISO/AVC", Some(vec![0, 0, 0, 1, 0x67]))]);
    let error = annex_b.select(false).map(|_| ()).expect_err("not playable");
    assert!(
        matches!(
            error,
            Error::InvalidCodecPrivate { track: TrackNumber(1), reason: Invalid::AnnexB }
        ),
        "{error}"
    );
}

#[test]
fn frame_rate_is_measured_where_nothing_tells_it() {
    let mut media = mkv::Chunk {
        scale: TimestampScale::MILLISECOND,
        cluster_timecode: 0,
        tracks: vec![video(1)],
        frames: Vec::new(),
        tags: Vec::new(),
    };
    for timecode in [0, 120, 40, 80] {
        media.frames.push(mkv::Frame {
            track: 1,
            timecode,
            keyframe: timecode == 0,
            invisible: false,
            duration: None,
            data: Bytes::from_static(b"frame"),
        });
    }
    assert_eq!(super::measured_frame_rate(&media, &media.tracks[0]), Some(25.0));
    media.tracks[0].default_duration_ns = Some(20_000_000);
    assert_eq!(super::measured_frame_rate(&media, &media.tracks[0]), Some(50.0));
    media.frames.clear();
    media.tracks[0].default_duration_ns = None;
    assert_eq!(super::measured_frame_rate(&media, &media.tracks[0]), None);
}

#[test]
fn recorded_fragments_become_segments_frame_for_frame() {
    for (fixture, fragments, codecs) in [
        ("kvssink-h264_aac-two_tracks.mkv", 6, &["avc1.4d400d", "mp4a.40.2"][..]),
        ("kvssink-h264-metadata.mkv", 6, &["avc1.4d400d"]),
        ("cproducer-h264-bframes.mkv", 1, &["avc1.64000d"]),
        ("cproducer-h264-relative_tags.mkv", 2, &["avc1.64000d"]),
        ("mkvmerge-h264_aac-block_groups.mkv", 2, &["avc1.64000a", "mp4a.40.2"]),
    ] {
        let chunks = chunks(fixture);
        assert_eq!(chunks.len(), fragments, "{fixture}");
        for chunk in chunks {
            let media = mkv::read_chunk(&chunk.bytes).expect("valid");
            let description = describe(&media).expect("a description");
            let made: Vec<_> = description.playable.iter().map(|t| t.codec.rfc6381()).collect();
            assert_eq!(made, codecs, "{fixture}");
            for track in &description.playable {
                check_segment(fixture, &chunk, &media, track);
            }
        }
    }
}

/// A picture is shown exactly when the producer says, sound within the rounding of its times.
fn check_segment(fixture: &str, chunk: &Chunk, media: &mkv::Chunk, track: &Rendition) {
    let segment = media_segment(chunk, track.number).expect("a segment");
    let segment = segment.into_parts().concat();
    let shown = read_back(&segment);
    let frames: Vec<_> = media.frames.iter().filter(|f| f.track == track.number.0).collect();
    assert_eq!(shown.len(), frames.len(), "{fixture}");
    for ((time, data), frame) in shown.into_iter().zip(frames) {
        assert_eq!(data, frame.data, "{fixture}");
        let ticks = frame.timecode - media.cluster_timecode as i64;
        let offset_ms = (ticks * i64::from(media.scale.nanos())) as f64 / 1e6;
        let shown_ms = time as f64 * 1000.0 / f64::from(mp4::timescale(&track.codec));
        let distance = (shown_ms - START_MS as f64 - offset_ms).abs();
        let tolerance = if track.codec.is_video() { 0.02 } else { 5.0 };
        assert!(distance <= tolerance, "{fixture}: {shown_ms} is {distance} ms off");
    }
}

#[test]
fn a_track_the_fragment_does_not_have_is_not_found() {
    let chunk = chunks("cproducer-h264-bframes.mkv").remove(0);
    assert!(matches!(media_segment(&chunk, TrackNumber(2)), Err(Error::NotFound)));
}
