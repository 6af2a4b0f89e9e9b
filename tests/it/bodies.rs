//! Small PutMedia bodies made with our own MKV writer.

use bytes::Bytes;
use kinora::media::mkv::{self, Head, Tag, Track, TrackKind, kvs};
use kinora::types::TimestampScale;

/// A time in 2026 that the small bodies start at, in milliseconds.
pub const START_MS: u64 = 1_795_308_000_000;

pub fn video(number: u64) -> Track {
    Track {
        number,
        kind: TrackKind::Video { width: 640, height: 360 },
        name: None,
        codec_id: "V_MPEG4/ISO/AVC".to_owned(),
        codec_private: None,
        codec_delay_ns: 0,
        default_duration_ns: None,
    }
}

pub fn head_of(tracks: Vec<Track>) -> Bytes {
    let writing_app = "kinora tests".to_owned();
    mkv::head(&Head { scale: TimestampScale::MILLISECOND, writing_app, tracks })
}

/// A head with one video track.
pub fn head() -> Bytes {
    head_of(vec![video(1)])
}

pub fn block(track: u64, offset: i16, keyframe: bool, data: &[u8]) -> Vec<u8> {
    let mut block = mkv::simple_block(track, offset, keyframe, data.len()).to_vec();
    block.extend_from_slice(data);
    block
}

/// A cluster of ten frames, a tenth of a second apart, `frame_bytes` each.
pub fn fragment(timecode_ms: u64, frame_bytes: usize) -> Vec<u8> {
    let mut cluster = mkv::cluster(timecode_ms).to_vec();
    for frame in 0..10u8 {
        let seed = timecode_ms.wrapping_mul(31).wrapping_add(u64::from(frame));
        let data: Vec<u8> = (0..frame_bytes as u64).map(|at| (seed + at * 7) as u8).collect();
        cluster.extend(block(1, i16::from(frame) * 100, frame == 0, &data));
    }
    cluster
}

/// A head and `count` fragments of one second each.
pub fn body(count: u64, frame_bytes: usize) -> Vec<u8> {
    let mut body = head().to_vec();
    (0..count).for_each(|at| body.extend(fragment(START_MS + at * 1000, frame_bytes)));
    body
}

pub fn tag(name: &str, value: &str) -> Bytes {
    mkv::tags(&[Tag { name: name.to_owned(), value: value.to_owned() }])
}

pub fn end_of_fragment() -> Bytes {
    tag(kvs::END_OF_FRAGMENT, "")
}

/// A video track that players accept: baseline H.264 of 640x360.
pub fn playable_video(number: u64) -> Track {
    let avcc = [
        1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 10, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf,
        0xe5, 0x80, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80,
    ];
    Track { codec_private: Some(Bytes::copy_from_slice(&avcc)), ..video(number) }
}
