//! Writes MKV the way the C producer SDK does: unknown-size Segment and Clusters.

use bytes::Bytes;

use super::{Head, Tag, Track, TrackKind, ids};
use crate::media::ebml::{put, put_id, put_vint};

/// A Segment's start of unknown size, as the C producer SDK writes it. It also replaces the start
/// of a sized Segment where only a part of the Segment is stored or sent.
pub const SEGMENT_START: [u8; 5] = [0x18, 0x53, 0x80, 0x67, UNKNOWN_SIZE];

const UNKNOWN_SIZE: u8 = 0xFF;

/// Bytes of the sizes that the C producer SDK writes in front of Tracks and what is in it, and the
/// service in front of its tags.
const WIDE: usize = 4;

/// EBML head, Segment start, Info and Tracks.
///
/// The same head always gives the same bytes: the SegmentUUID is zero, and a track's UID is its
/// number.
pub fn head(head: &Head) -> Bytes {
    let mut out = Vec::with_capacity(512);
    put(&mut out, ids::EBML, 1, &ebml_head());
    out.extend_from_slice(&SEGMENT_START);

    let mut info = Vec::with_capacity(96);
    put(&mut info, ids::SEGMENT_UUID, 1, &[0; 16]);
    put_u64(&mut info, ids::TIMESTAMP_SCALE, u64::from(head.scale.nanos()));
    put(&mut info, ids::MUXING_APP, 1, head.writing_app.as_bytes());
    put(&mut info, ids::WRITING_APP, 1, head.writing_app.as_bytes());
    put(&mut out, ids::INFO, 2, &info);

    let mut tracks = Vec::with_capacity(256);
    for track in &head.tracks {
        put(&mut tracks, ids::TRACK_ENTRY, WIDE, &track_entry(track));
    }
    put(&mut out, ids::TRACKS, WIDE, &tracks);
    out.into()
}

/// A Cluster's start of unknown size with its Timecode in ticks.
pub fn cluster(timecode: u64) -> Bytes {
    let mut out = Vec::with_capacity(18);
    put_id(&mut out, ids::CLUSTER);
    out.push(UNKNOWN_SIZE);
    put_u64(&mut out, ids::TIMESTAMP, timecode);
    // Zero, as in every stream whose clusters nobody seeks to (RFC 9559 5.1.3.2).
    put(&mut out, ids::POSITION, 1, &[0]);
    out.into()
}

/// A SimpleBlock's bytes up to the frame data, which follows uncopied. `offset` is the distance from
/// the cluster's Timecode in ticks.
pub fn simple_block(track: u64, offset: i16, keyframe: bool, data_len: usize) -> Bytes {
    let mut block = Vec::with_capacity(11);
    put_vint(&mut block, track, 1);
    block.extend_from_slice(&offset.to_be_bytes());
    block.push(if keyframe { 0x80 } else { 0 });

    let mut out = Vec::with_capacity(9 + block.len());
    put_id(&mut out, ids::SIMPLE_BLOCK);
    put_vint(&mut out, (block.len() + data_len) as u64, 8);
    out.extend_from_slice(&block);
    out.into()
}

/// A Tags element with one Tag that holds all the SimpleTags (4-byte sizes, as KVS inserts them).
pub fn tags(tags: &[Tag]) -> Bytes {
    let mut tag = Vec::with_capacity(tags.len() * 96);
    for Tag { name, value } in tags {
        let mut simple = Vec::with_capacity(name.len() + value.len() + 12);
        put(&mut simple, ids::TAG_NAME, WIDE, name.as_bytes());
        put(&mut simple, ids::TAG_STRING, WIDE, value.as_bytes());
        put(&mut tag, ids::SIMPLE_TAG, WIDE, &simple);
    }
    let mut all = Vec::with_capacity(tag.len() + 6);
    put(&mut all, ids::TAG, WIDE, &tag);
    let mut out = Vec::with_capacity(all.len() + 8);
    put(&mut out, ids::TAGS, WIDE, &all);
    out.into()
}

pub(super) fn ebml_head() -> Vec<u8> {
    let mut head = Vec::with_capacity(35);
    put(&mut head, ids::EBML_VERSION, 1, &[1]);
    put(&mut head, ids::EBML_READ_VERSION, 1, &[1]);
    put(&mut head, ids::EBML_MAX_ID_LENGTH, 1, &[4]);
    put(&mut head, ids::EBML_MAX_SIZE_LENGTH, 1, &[8]);
    put(&mut head, ids::DOC_TYPE, 1, b"matroska");
    put(&mut head, ids::DOC_TYPE_VERSION, 1, &[2]);
    put(&mut head, ids::DOC_TYPE_READ_VERSION, 1, &[2]);
    head
}

pub(super) fn track_entry(track: &Track) -> Vec<u8> {
    let mut entry = Vec::with_capacity(128);
    put_uint(&mut entry, ids::TRACK_NUMBER, track.number);
    put_u64(&mut entry, ids::TRACK_UID, track.number);
    let kind = match track.kind {
        TrackKind::Video { .. } => 1,
        TrackKind::Audio { .. } => 2,
        TrackKind::Other(kind) => kind,
    };
    put_uint(&mut entry, ids::TRACK_TYPE, kind);
    if let Some(name) = &track.name {
        put(&mut entry, ids::NAME, 1, name.as_bytes());
    }
    put(&mut entry, ids::CODEC_ID, 1, track.codec_id.as_bytes());
    if track.codec_delay_ns > 0 {
        put_uint(&mut entry, ids::CODEC_DELAY, track.codec_delay_ns);
    }
    if let Some(nanos) = track.default_duration_ns {
        put_uint(&mut entry, ids::DEFAULT_DURATION, nanos);
    }
    match track.kind {
        TrackKind::Video { width, height } => {
            let mut video = Vec::with_capacity(12);
            put_uint(&mut video, ids::PIXEL_WIDTH, u64::from(width));
            put_uint(&mut video, ids::PIXEL_HEIGHT, u64::from(height));
            put(&mut entry, ids::VIDEO, WIDE, &video);
        }
        TrackKind::Audio { sampling_hz, channels } => {
            let mut audio = Vec::with_capacity(16);
            put(&mut audio, ids::SAMPLING_FREQUENCY, 1, &sampling_hz.to_be_bytes());
            put_uint(&mut audio, ids::CHANNELS, u64::from(channels));
            put(&mut entry, ids::AUDIO, WIDE, &audio);
        }
        TrackKind::Other(_) => {}
    }
    if let Some(private) = &track.codec_private {
        put(&mut entry, ids::CODEC_PRIVATE, 1, private);
    }
    entry
}

/// An unsigned integer in as few bytes as it needs, but at least one.
pub(super) fn put_uint(out: &mut Vec<u8>, id: u32, value: u64) {
    let skip = (value.leading_zeros() / 8).min(7) as usize;
    put(out, id, 1, &value.to_be_bytes()[skip..]);
}

/// An unsigned integer in eight bytes.
pub(super) fn put_u64(out: &mut Vec<u8>, id: u32, value: u64) {
    put(out, id, 1, &value.to_be_bytes());
}
