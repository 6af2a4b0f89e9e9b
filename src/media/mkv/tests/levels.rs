//! Where elements may stand, and what ends what.

use super::*;

fn names(body: &[u8]) -> Vec<String> {
    events(body)
        .iter()
        .map(|kind| match kind {
            EventKind::Other { id } => format!("Other {id:X}"),
            EventKind::OtherInCluster { id } => format!("OtherInCluster {id:X}"),
            kind => {
                let debug = format!("{kind:?}");
                debug.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
            }
        })
        .collect()
}

fn misplaced(id: u32) -> ErrorKind {
    ErrorKind::Misplaced { id }
}

#[test]
fn cluster_of_unknown_size_ends_at_any_element_that_stands_higher() {
    for (id, after) in [
        (ids::TAGS, "Tags"),
        (ids::INFO, "Info"),
        (ids::TRACKS, "Tracks"),
        (ids::CUES, "Other 1C53BB6B"),
        (ids::SEEK_HEAD, "Other 114D9B74"),
        (ids::CHAPTERS, "Other 1043A770"),
        (ids::ATTACHMENTS, "Other 1941A469"),
        (ids::EBML, "EbmlHead"),
    ] {
        let next = element(id, &[]);
        let body = join(&[in_cluster(7), plain_block(0, 0x80, b"x"), next]);
        let start = ["EbmlHead", "SegmentStart", "ClusterStart", "ClusterTimecode", "Frames"];
        assert_eq!(names(&body)[..5], start, "{after}");
        assert_eq!(names(&body)[5..], [after]);
        let refused = join(&[body, plain_block(0, 0x80, b"x")]);
        assert_eq!(error(&refused).kind, misplaced(ids::SIMPLE_BLOCK), "{after}");
    }
}

#[test]
fn unknown_size_is_known_in_one_byte_and_in_eight() {
    let long = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let start = |id: u32| [&id.to_be_bytes()[..], &long].concat();
    let body = join(&[ebml_head(), start(ids::SEGMENT), start(ids::CLUSTER)]);
    let expected = [EventKind::SegmentStart { size: None }, EventKind::ClusterStart { size: None }];
    assert_eq!(events(&body)[1..], expected);
    assert_eq!(events(&in_cluster(0))[1..3], expected);
}

#[test]
fn sized_cluster_and_segment_end_where_they_say() {
    let cluster =
        element(ids::CLUSTER, &join(&[element(ids::TIMESTAMP, &[1]), plain_block(0, 0x80, b"x")]));
    let segment = element(ids::SEGMENT, &join(&[cluster.clone(), element(ids::TAGS, &[])]));
    let body = join(&[ebml_head(), segment, ebml_head(), unknown(ids::SEGMENT)]);
    let expected = [
        "EbmlHead",
        "SegmentStart",
        "ClusterStart",
        "ClusterTimecode",
        "Frames",
        "Tags",
        "EbmlHead",
        "SegmentStart",
    ];
    assert_eq!(names(&body), expected);
    let late = join(&[opened(), cluster, plain_block(0, 0x80, b"x")]);
    assert_eq!(error(&late).kind, misplaced(ids::SIMPLE_BLOCK));
}

#[test]
fn cluster_of_unknown_size_ends_with_its_sized_segment() {
    let cluster = join(&[unknown(ids::CLUSTER), element(ids::TIMESTAMP, &[1])]);
    let body = join(&[ebml_head(), element(ids::SEGMENT, &cluster), ebml_head()]);
    assert_eq!(names(&body)[4..], ["EbmlHead"]);
    let body = join(&[ebml_head(), element(ids::SEGMENT, &cluster), plain_block(0, 0, b"x")]);
    assert_eq!(error(&body).kind, misplaced(ids::SIMPLE_BLOCK));
}

#[test]
fn sized_container_is_not_ended_by_an_element_that_stands_higher() {
    let inner = join(&[element(ids::TIMESTAMP, &[1]), element(ids::TAGS, &[])]);
    let body = join(&[opened(), element(ids::CLUSTER, &inner)]);
    assert_eq!(error(&body).kind, misplaced(ids::TAGS));
    let body = join(&[ebml_head(), element(ids::SEGMENT, &ebml_head())]);
    assert_eq!(error(&body).kind, misplaced(ids::EBML));
}

#[test]
fn new_ebml_head_forgets_scale_and_tracks() {
    let info = element(ids::INFO, &element(ids::TIMESTAMP_SCALE, &[100]));
    let lace = plain_block(0, 0x84, &[1, b'a', b'b']);
    let timed = tracks(&element(ids::DEFAULT_DURATION, &200u16.to_be_bytes()));
    let cluster = join(&[unknown(ids::CLUSTER), element(ids::TIMESTAMP, &[5]), lace]);
    let body = join(&[opened(), info, timed, cluster.clone(), opened(), cluster]);
    let timecodes: Vec<_> = frames(events(&body)).iter().map(|frame| frame.timecode).collect();
    assert_eq!(timecodes, [5, 7, 5, 5]);
}

#[test]
fn unknown_and_global_elements_stand_anywhere_behind_the_head() {
    let void = element(0xEC, &[0; 9]);
    let strange = element(0x4321, b"??");
    let body = join(&[
        ebml_head(),
        void.clone(),
        unknown(ids::SEGMENT),
        element(0xBF, &[1, 2, 3, 4]),
        strange.clone(),
        unknown(ids::CLUSTER),
        element(ids::TIMESTAMP, &[0]),
        strange,
        void,
        element(ids::ENCRYPTED_BLOCK, &[0; 20]),
        element(ids::POSITION, &[0]),
    ]);
    let expected = [
        "EbmlHead",
        "Other EC",
        "SegmentStart",
        "Other BF",
        "Other 4321",
        "ClusterStart",
        "ClusterTimecode",
        "OtherInCluster 4321",
        "OtherInCluster EC",
        "OtherInCluster AF",
        "OtherInCluster A7",
    ];
    assert_eq!(names(&body), expected);
}

#[test]
fn empty_clusters_are_clusters() {
    let body = join(&[
        in_cluster(1),
        element(ids::CLUSTER, &[]),
        element(ids::CLUSTER, &element(ids::TIMESTAMP, &[])),
        unknown(ids::CLUSTER),
        unknown(ids::CLUSTER),
    ]);
    let clusters = names(&body).iter().filter(|name| *name == "ClusterStart").count();
    assert_eq!(clusters, 5);
}

#[test]
fn timecode_comes_before_blocks_and_once() {
    let block = plain_block(0, 0x80, b"x");
    let start = join(&[opened(), unknown(ids::CLUSTER)]);
    let early = error(&join(&[start.clone(), block.clone()]));
    assert_eq!(early, Error { at: start.len() as u64, kind: ErrorKind::BlockBeforeTimecode });
    // The Timecode of the cluster before does not count.
    let second = join(&[in_cluster(1), unknown(ids::CLUSTER), block]);
    assert_eq!(error(&second).kind, ErrorKind::BlockBeforeTimecode);
    let twice = join(&[in_cluster(1), element(ids::TIMESTAMP, &[2])]);
    assert_eq!(error(&twice).kind, ErrorKind::SecondTimecode);
    let huge = join(&[start, element(ids::TIMESTAMP, &u64::MAX.to_be_bytes())]);
    assert_eq!(error(&huge).kind, ErrorKind::InvalidValue { id: ids::TIMESTAMP });
}

#[test]
fn body_that_is_no_mkv_is_refused_at_once() {
    assert_eq!(error(b"GET / HTTP/1.1"), Error { at: 0, kind: ErrorKind::NotEbml });
    assert_eq!(error(&[0, 0, 0, 0x18, b'f', b't', b'y', b'p']).kind, ErrorKind::InvalidId);
    assert_eq!(error(&unknown(ids::SEGMENT)).kind, ErrorKind::NotEbml);
    assert_eq!(error(&join(&[ebml_head(), vec![0xff]])).kind, ErrorKind::InvalidId);
    assert_eq!(error(&join(&[ebml_head(), vec![0xec, 0]])).kind, ErrorKind::InvalidSize);
    assert_eq!(error(&join(&[ebml_head(), unknown(ids::CLUSTER)])).kind, misplaced(ids::CLUSTER));
    assert_eq!(error(&join(&[opened(), plain_block(0, 0, b"")])).kind, misplaced(0xA3));
}

#[test]
fn only_segment_and_cluster_may_have_an_unknown_size() {
    for id in [ids::TAGS, ids::CUES, 0xEC, 0x4321] {
        let body = join(&[opened(), unknown(id)]);
        assert_eq!(error(&body).kind, ErrorKind::UnknownSize { id });
    }
    assert_eq!(error(&unknown(ids::EBML)).kind, ErrorKind::UnknownSize { id: ids::EBML });
}

#[test]
fn element_beyond_its_parent_is_refused_before_its_bytes_arrive() {
    let beyond = ErrorKind::BeyondParent { id: ids::SIMPLE_BLOCK };
    let inner = join(&[element(ids::TIMESTAMP, &[1]), vec![0xa3, 0x88, 0x81]]);
    let body = join(&[opened(), element(ids::CLUSTER, &inner)]);
    assert_eq!(error(&body), Error { at: body.len() as u64 - 3, kind: beyond });
    let cluster = join(&[ids::CLUSTER.to_be_bytes().to_vec(), vec![0x85], vec![0; 4]]);
    let body = join(&[ebml_head(), element(ids::SEGMENT, &cluster)]);
    assert_eq!(error(&body).kind, ErrorKind::BeyondParent { id: ids::CLUSTER });
    let head = element(ids::EBML, &[0x42, 0x82, 0x88, b'm']);
    assert_eq!(error(&head).kind, ErrorKind::BeyondParent { id: ids::DOC_TYPE });
}

#[test]
fn element_above_the_limit_is_refused_by_its_header() {
    let body = join(&[opened(), vec![0xec, 0x10, 0x00, 0x10, 0x00]]);
    let (seen, error) = read_pieces(body.chunks(1), 4096);
    assert_eq!(seen.len(), 2);
    let kind = ErrorKind::ElementTooLarge { id: 0xEC, size: 4096, limit: 4096 };
    assert_eq!(error, Some(Error { at: opened().len() as u64, kind }));
    let (_, error) = read_pieces(std::iter::once(&body[..]), 4096 + 5);
    assert_eq!(error, None);
    // Metadata has a limit of its own.
    let body = join(&[opened(), ids::TAGS.to_be_bytes().to_vec(), vec![0x10, 0x20, 0, 0]]);
    let kind = ErrorKind::ElementTooLarge { id: ids::TAGS, size: 0x20_0000, limit: MAX_METADATA };
    assert_eq!(super::error(&body).kind, kind);
}

#[test]
fn large_block_in_small_pushes_is_read_in_linear_time() {
    let picture = vec![0x5a; 10 << 20];
    let body = join(&[in_cluster(0), plain_block(0, 0x80, &picture)]);
    // Copying or parsing what waits once per push would move 250 TB here.
    let mut reader = Reader::new(ROOMY);
    let mut found = Vec::new();
    for byte in body.chunks(1) {
        reader.push(byte);
        while let Some(event) = reader.next_event().expect("valid") {
            found.push(event.kind);
        }
    }
    assert_eq!(frames(found)[0].data, picture);
}

#[test]
fn body_may_end_where_no_element_and_no_sized_cluster_is_cut() {
    let block = plain_block(0, 0x80, b"x");
    let sized = element(ids::CLUSTER, &join(&[element(ids::TIMESTAMP, &[1]), block.clone()]));
    let body = join(&[opened(), sized.clone(), unknown(ids::CLUSTER), element(ids::TAGS, &[])]);
    let mut reader = Reader::new(ROOMY);
    let mut ends = Vec::new();
    for (at, byte) in (1..).zip(body.chunks(1)) {
        reader.push(byte);
        while reader.next_event().expect("valid").is_some() {}
        if reader.may_end() {
            ends.push(at);
        }
    }
    let head = ebml_head().len();
    let cluster = opened().len() + sized.len();
    assert_eq!(ends, [head, head + 5, cluster, cluster + 5, cluster + 10]);
    let cut = Bytes::from(body[..cluster - block.len()].to_vec());
    let kind = ErrorKind::Truncated;
    assert_eq!(read_chunk(&cut), Err(Error { at: cut.len() as u64, kind }));
}
