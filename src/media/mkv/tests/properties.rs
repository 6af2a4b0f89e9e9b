//! Properties over generated bodies and over bytes of any kind.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::types::TimestampScale;

/// What the writer is asked to write: a cluster's timecode and its frames.
type Cluster = (u32, Vec<(u64, i16, bool, Vec<u8>)>);

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let data = prop::collection::vec(any::<u8>(), 0..40);
    let frame = (1u64..300, any::<i16>(), any::<bool>(), data);
    (any::<u32>(), prop::collection::vec(frame, 0..5))
}

fn written(clusters: &[Cluster]) -> (Vec<u8>, Vec<Frame>) {
    let scale = TimestampScale::MILLISECOND;
    let head = Head { scale, writing_app: "test".to_owned(), tracks: Vec::new() };
    let (mut body, mut frames) = (writer::head(&head).to_vec(), Vec::new());
    for (timecode, blocks) in clusters {
        body.extend_from_slice(&writer::cluster(u64::from(*timecode)));
        for (track, offset, keyframe, data) in blocks {
            let start = writer::simple_block(*track, *offset, *keyframe, data.len());
            body.extend_from_slice(&start);
            body.extend_from_slice(data);
            frames.push(Frame {
                track: *track,
                timecode: i64::from(*timecode) + i64::from(*offset),
                keyframe: *keyframe,
                invisible: false,
                duration: None,
                data: Bytes::copy_from_slice(data),
            });
        }
    }
    (body, frames)
}

/// Small fixtures, one of each kind, to be damaged.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    fixtures::accepted().map(|(_, body)| body).filter(|body| body.len() < 25_000).collect()
});

/// Reads in pieces of `sizes` in turn and at once: both must give the same, with the body's bytes.
fn check(body: &[u8], sizes: &[usize], max_element: usize) {
    let mut rest = body;
    let mut turn = sizes.iter().cycle();
    let pieces = std::iter::from_fn(|| {
        let (piece, tail) =
            rest.split_at((*turn.next()?).clamp(1, rest.len().max(1)).min(rest.len()));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    });
    let (split, split_error) = read_pieces(pieces, max_element);
    let (whole, error) = read_whole(body, max_element);
    assert_eq!(error, split_error);
    assert!(split == whole);
    assert!(body.starts_with(&raw(&split)));
}

/// As [`read`], but a body pushed at once may be larger than what is allowed to wait.
fn read_whole(body: &[u8], max_element: usize) -> (Vec<Event>, Option<Error>) {
    let (mut reader, mut events) = (Reader::new(max_element), Vec::new());
    reader.push(body);
    loop {
        match reader.next_event() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
}

fn any_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..4, 1usize..600], 1..8)
}

proptest! {
    #[test]
    fn frames_survive_writer_and_reader_at_every_split(
        clusters in prop::collection::vec(any_cluster(), 0..4),
        size in 1usize..20,
    ) {
        let (body, expected) = written(&clusters);
        for cut in 0..body.len() {
            let (head, tail) = body.split_at(cut);
            let (events, error) = read_pieces([head, tail].into_iter(), ROOMY);
            prop_assert_eq!(error, None);
            prop_assert_eq!(&raw(&events), &body);
            prop_assert_eq!(&frames(events.into_iter().map(|event| event.kind)), &expected);
        }
        check(&body, &[size], ROOMY);
        let chunk = read_chunk(&body.into()).expect("a whole chunk");
        prop_assert_eq!(chunk.frames, expected);
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        inside in any::<bool>(),
        sizes in any_sizes(),
    ) {
        let body = if inside { join(&[in_cluster(1), bytes]) } else { bytes };
        check(&body, &sizes, 300);
        let _ = read_chunk(&body.into());
    }

    #[test]
    fn damaged_files_are_read_or_refused(
        body in select(&SEEDS[..]),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..12),
        near in any::<bool>(),
        cut in any::<Index>(),
        sizes in any_sizes(),
    ) {
        let mut body = body;
        // The headers are a small part of a file, and the part where damage tells.
        let range = if near { body.len().min(600) } else { body.len() };
        for (at, value) in damage {
            body[at.index(range)] = value;
        }
        body.truncate(body.len() - cut.index(body.len()) / 8);
        check(&body, &sizes, 8192);
        let _ = read_chunk(&body.into());
    }
}
