//! Blocks, groups and lacing.

use super::*;

fn frames_of(block: Vec<u8>) -> Vec<Frame> {
    frames(events(&join(&[in_cluster(100), block])))
}

#[test]
fn simple_block_has_signed_offset_and_flags() {
    let [frame] = &frames_of(plain_block(-101, 0x88, b"picture"))[..] else {
        panic!("one frame");
    };
    assert_eq!((frame.track, frame.timecode), (1, -1));
    assert!(frame.keyframe && frame.invisible);
    assert_eq!(&frame.data[..], b"picture");
    let [frame] = &frames_of(plain_block(i16::MAX, 0, b""))[..] else { panic!("one frame") };
    assert_eq!(frame.timecode, 100 + 32_767);
    assert!(!frame.keyframe && !frame.invisible && frame.data.is_empty());
}

#[test]
fn block_group_is_a_keyframe_when_it_refers_to_nothing() {
    let block = element(ids::BLOCK, &block(3, 0, b"data"));
    let duration = element(ids::BLOCK_DURATION, &[40]);
    let key = frames_of(element(ids::BLOCK_GROUP, &join(&[block.clone(), duration])));
    assert_eq!((key[0].keyframe, key[0].duration, key[0].timecode), (true, Some(40), 103));
    assert_eq!(&key[0].data[..], b"data");
    let reference = element(ids::REFERENCE_BLOCK, &[0xd8]);
    let other = frames_of(element(ids::BLOCK_GROUP, &join(&[reference, block])));
    assert_eq!((other[0].keyframe, other[0].duration), (false, None));
    assert_eq!(&other[0].data[..], b"data");
}

#[test]
fn block_group_without_a_block_is_passed_over() {
    let body = join(&[in_cluster(0), element(ids::BLOCK_GROUP, &element(0x4321, b"?"))]);
    assert_eq!(events(&body)[4], EventKind::OtherInCluster { id: ids::BLOCK_GROUP });
}

#[test]
fn every_lacing_gives_its_frames() {
    // Frames of 300, 2 and 1 bytes in the variable kinds, of 2 bytes each in the fixed one.
    let (a, b, c) = (vec![b'a'; 300], vec![b'b'; 2], vec![b'c'; 1]);
    let all = join(&[a.clone(), b.clone(), c.clone()]);
    let xiph = [&[2, 255, 45, 2], &all[..]].concat();
    // 300 in two bytes; the difference −298 in two bytes, biased by 2^13 − 1.
    let difference = 0x4000u16 | (8191 - 298);
    let ebml = [&[2, 0x41, 0x2c], &difference.to_be_bytes()[..], &all].concat();
    for (flags, content) in [(0x82, xiph), (0x86, ebml)] {
        let frames = frames_of(plain_block(0, flags, &content));
        assert_eq!(data(&frames), [a.clone(), b.clone(), c.clone()], "{flags:x}");
        assert!(frames.iter().all(|frame| frame.keyframe && frame.timecode == 100));
    }
    let fixed = frames_of(plain_block(0, 0x84, b"\x02aabbcc"));
    assert_eq!(data(&fixed), ["aa", "bb", "cc"]);
    for flags in [0x82, 0x84, 0x86] {
        assert_eq!(data(&frames_of(plain_block(0, flags, b"\0alone"))), ["alone"]);
    }
}

#[test]
fn lacing_that_does_not_add_up_is_refused() {
    for (flags, content) in [
        (0x82, &b""[..]),
        (0x82, b"\x01"),
        (0x82, b"\x01\xff\xff"),
        (0x82, b"\x01\x05abcd"),
        (0x84, b"\x02abcd"),
        (0x86, b"\x01"),
        (0x86, b"\x01\x85abcd"),
        (0x86, b"\x02\x81\x80abcd"),
        (0x86, b"\x01\x00abcd"),
        (0x86, b"\x01\x01\xff\xff\xff\xff\xff\xff\xfe"),
    ] {
        let body = join(&[in_cluster(0), plain_block(0, flags, content)]);
        let at = in_cluster(0).len() as u64;
        assert_eq!(error(&body), Error { at, kind: ErrorKind::InvalidLacing }, "{content:x?}");
    }
}

#[test]
fn block_shorter_than_its_head_is_refused() {
    for short in [&[][..], &[0x81], &[0x81, 0, 0], &[0x40, 1, 0, 0], &[0x00, 0, 0, 0, 0]] {
        let body = join(&[in_cluster(0), element(ids::SIMPLE_BLOCK, short)]);
        assert_eq!(error(&body).kind, ErrorKind::InvalidBlock, "{short:x?}");
    }
}

#[test]
fn laced_frames_are_placed_by_the_duration_of_track_or_group() {
    let lace = |flags| block(0, flags, b"\x03abcd");
    let group = element(
        ids::BLOCK_GROUP,
        &join(&[element(ids::BLOCK, &lace(0x04)), element(ids::BLOCK_DURATION, &[80])]),
    );
    let timed: Vec<_> = frames_of(group).iter().map(|f| (f.timecode, f.duration)).collect();
    assert_eq!(timed, [(100, Some(20)), (120, Some(20)), (140, Some(20)), (160, Some(20))]);
    // 21 333 333 ns is what AAC at 48 kHz has: rounding must not add up.
    let duration = element(ids::DEFAULT_DURATION, &21_333_333u32.to_be_bytes());
    let body = join(&[
        opened(),
        tracks(&duration),
        unknown(ids::CLUSTER),
        element(ids::TIMESTAMP, &[100]),
        element(ids::SIMPLE_BLOCK, &lace(0x84)),
    ]);
    let timed: Vec<_> = frames(events(&body)).iter().map(|frame| frame.timecode).collect();
    assert_eq!(timed, [100, 121, 142, 163]);
}

fn body_of_encoded_track(encoding: &[u8]) -> Vec<u8> {
    let encodings = element(ids::CONTENT_ENCODINGS, &element(ids::CONTENT_ENCODING, encoding));
    join(&[
        opened(),
        tracks(&encodings),
        unknown(ids::CLUSTER),
        element(ids::TIMESTAMP, &[0]),
        plain_block(0, 0x84, b"\x01abcd"),
    ])
}

#[test]
fn stripped_headers_are_put_back() {
    let stripping = join(&[
        element(ids::CONTENT_COMP_ALGO, &[3]),
        element(ids::CONTENT_COMP_SETTINGS, &[0, 0, 1]),
    ]);
    let body = body_of_encoded_track(&element(ids::CONTENT_COMPRESSION, &stripping));
    let expected = [&b"\0\0\x01ab"[..], b"\0\0\x01cd"];
    assert_eq!(data(&frames(events(&body))), expected);
    let chunk = read_chunk(&body.into()).expect("a whole chunk");
    assert_eq!(data(&chunk.frames), expected);
}

#[test]
fn compressed_or_encrypted_tracks_are_refused() {
    let zlib = element(ids::CONTENT_COMPRESSION, &[]);
    let encrypted = element(ids::CONTENT_ENCODING_TYPE, &[1]);
    for encoding in [zlib, encrypted, Vec::new()] {
        let kind = error(&body_of_encoded_track(&encoding)).kind;
        assert_eq!(kind, ErrorKind::EncodedTrack { track: 1 });
    }
    let long = element(ids::CONTENT_COMP_SETTINGS, &[0; MAX_STRIPPED_HEADER + 1]);
    let kind = error(&body_of_encoded_track(&element(ids::CONTENT_COMPRESSION, &long))).kind;
    assert_eq!(kind, ErrorKind::InvalidValue { id: ids::CONTENT_COMP_SETTINGS });
}
