//! The writer and the service's tags: exact bytes, and back through the reader.

use super::*;
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp, TimestampScale};

fn camera() -> Track {
    Track {
        number: 1,
        kind: TrackKind::Video { width: 640, height: 360 },
        name: Some("camera".to_owned()),
        codec_id: "V_MPEG4/ISO/AVC".to_owned(),
        codec_private: Some(Bytes::from_static(&[1, 0x4d, 0x40, 0x0d])),
        codec_delay_ns: 0,
        default_duration_ns: Some(33_333_333),
    }
}

fn microphone() -> Track {
    Track {
        number: 200,
        kind: TrackKind::Audio { sampling_hz: 48_000.0, channels: 2 },
        name: None,
        codec_id: "A_AAC".to_owned(),
        codec_private: None,
        codec_delay_ns: 21_333_333,
        default_duration_ns: None,
    }
}

fn two_tracks() -> Head {
    let scale = TimestampScale::from_nanos(100_000).expect("valid");
    Head { scale, writing_app: "test".to_owned(), tracks: vec![camera(), microphone()] }
}

#[test]
fn head_begins_as_the_c_producers_does() {
    let capture = fixtures::bytes("kvssink-h264_aac-two_tracks.mkv");
    let written = writer::head(&two_tracks());
    // EBML head, Segment start, id of Info.
    assert_eq!(written[..49], capture[..49]);
    assert_eq!(written[40 + 5..49], ids::INFO.to_be_bytes());
}

#[test]
fn head_survives_the_reader() {
    let head = two_tracks();
    let expected = [
        EventKind::EbmlHead { doc_type: "matroska".to_owned() },
        EventKind::SegmentStart { size: None },
        EventKind::Info { scale: head.scale },
        EventKind::Tracks(head.tracks.clone()),
    ];
    assert_eq!(events(&writer::head(&head)), expected);
}

#[test]
fn cluster_and_block_are_laid_out_as_the_c_producers() {
    let cluster = writer::cluster(0x01a2_00b8_6a9a);
    assert_eq!(hex::encode(&cluster), "1f43b675ffe788000001a200b86a9aa78100");
    let block = writer::simple_block(1, 0, true, 3594);
    assert_eq!(hex::encode(&block), "a30100000000000e0e81000080");
    let block = writer::simple_block(200, -2, false, 0);
    assert_eq!(hex::encode(&block), "a3010000000000000540c8fffe00");
}

#[test]
fn tags_have_four_byte_sizes_as_the_service_writes_them() {
    let tag = Tag { name: "k".to_owned(), value: "v2".to_owned() };
    let bytes = writer::tags(std::slice::from_ref(&tag));
    let expected =
        "1254c367 1000001b 7373 10000015 67c8 1000000f 45a3 10000001 6b 4487 10000002 7632";
    assert_eq!(hex::encode(&bytes), expected.replace(' ', ""));
    let body = join(&[opened(), bytes.to_vec()]);
    assert_eq!(events(&body)[2], EventKind::Tags(vec![tag]));
}

fn pairs(tags: Bytes) -> Vec<(String, String)> {
    match events(&join(&[opened(), tags.to_vec()])).pop() {
        Some(EventKind::Tags(tags)) => tags.into_iter().map(|tag| (tag.name, tag.value)).collect(),
        other => panic!("not Tags: {other:?}"),
    }
}

#[test]
fn consumers_get_number_and_times_before_and_token_behind() {
    let server = ServerTimestamp::from_millis(1_511_852_109_126);
    let producer = ProducerTimestamp::from_millis(5_000);
    let number = FragmentNumber::new(7, server, 9);
    let text = number.to_string();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let identity = [
        pair("AWS_KINESISVIDEO_FRAGMENT_NUMBER", &text),
        pair("AWS_KINESISVIDEO_SERVER_TIMESTAMP", "1511852109.126"),
        pair("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", "5.000"),
    ];
    assert_eq!(pairs(kvs::leading_tags(number, server, producer)), identity);
    let listed = pairs(kvs::fragment_list_tags(number, server, producer));
    assert_eq!(listed[..3], identity);
    assert_eq!(listed[4], pair("AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP", "5.000"));
    let trailing = [
        pair("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", "12"),
        pair("AWS_KINESISVIDEO_CONTINUATION_TOKEN", &text),
    ];
    assert_eq!(pairs(kvs::trailing_tags(Millis(12), number)), trailing);
    let error = [
        pair("AWS_KINESISVIDEO_FRAGMENT_NUMBER", &text),
        pair("AWS_KINESISVIDEO_ERROR_CODE", "INTERNAL_ERROR"),
        pair("AWS_KINESISVIDEO_ERROR_ID", "5000"),
    ];
    assert_eq!(pairs(kvs::error_tags(Some(number), "INTERNAL_ERROR", 5000)), error);
    assert_eq!(pairs(kvs::error_tags(None, "INTERNAL_ERROR", 5000)), error[1..]);
}

#[test]
fn producers_may_use_the_reserved_prefix_for_control_tags_only() {
    assert!(kvs::is_reserved("AWS_KINESISVIDEO_FRAGMENT_NUMBER"));
    assert!(kvs::is_reserved("AWS_KINESISVIDEO"));
    assert!(!kvs::is_reserved(kvs::END_OF_FRAGMENT));
    assert!(!kvs::is_reserved("temperature"));
}

#[test]
fn chunk_with_a_sized_segment_and_trailing_tags_is_read() {
    let cluster = join(&[
        writer::cluster(50).to_vec(),
        writer::simple_block(1, -5, true, 3).to_vec(),
        b"abc".to_vec(),
    ]);
    let token = Tag { name: kvs::CONTINUATION_TOKEN.to_owned(), value: "9".to_owned() };
    let plain = join(&[
        writer::head(&two_tracks()).to_vec(),
        cluster,
        writer::tags(std::slice::from_ref(&token)).to_vec(),
    ]);
    let start = plain.windows(5).position(|five| five == SEGMENT_START).expect("a Segment");
    for size in [0x81, 0x40] {
        // A size far too small, and one far too large, of the body the chunk was cut from.
        let mut bytes = plain.clone();
        let sized: &[u8] = if size == 0x81 { &[0x81] } else { &[0x40, 0xff] };
        bytes.splice(start + 4..start + 5, sized.iter().copied());
        let chunk = read_chunk(&bytes.into()).expect("a whole chunk");
        assert_eq!((chunk.frames[0].timecode, &chunk.frames[0].data[..]), (45, &b"abc"[..]));
        assert_eq!(chunk.tags, std::slice::from_ref(&token));
        assert_eq!(chunk.tracks, two_tracks().tracks);
        assert_eq!(chunk.scale, two_tracks().scale);
    }
}

#[test]
fn chunk_that_is_cut_or_holds_two_documents_is_refused() {
    let whole = join(&[in_cluster(1), plain_block(0, 0x80, b"abc")]);
    let at = in_cluster(1).len() as u64;
    let cut = Bytes::from(whole[..whole.len() - 1].to_vec());
    assert_eq!(read_chunk(&cut), Err(Error { at, kind: ErrorKind::Truncated }));
    let twice = Bytes::from(whole.repeat(2));
    let kind = ErrorKind::Misplaced { id: ids::EBML };
    assert_eq!(read_chunk(&twice), Err(Error { at: whole.len() as u64, kind }));
}
