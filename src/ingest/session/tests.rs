use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::media::mkv::{Head, cluster, head, simple_block, tags};

fn track(number: u64, kind: TrackKind) -> Track {
    Track {
        number,
        kind,
        name: None,
        codec_id: "V_TEST".to_owned(),
        codec_private: None,
        codec_delay_ns: 0,
        default_duration_ns: None,
    }
}

const VIDEO: TrackKind = TrackKind::Video { width: 16, height: 16 };
const AUDIO: TrackKind = TrackKind::Audio { sampling_hz: 48_000.0, channels: 2 };

fn head_with(tracks: Vec<Track>) -> Bytes {
    let scale = TimestampScale::MILLISECOND;
    head(&Head { scale, writing_app: "test".to_owned(), tracks })
}

fn block(track: u64, offset: i16) -> Vec<u8> {
    let data = [track as u8; 24];
    [&simple_block(track, offset, offset == 0, data.len())[..], &data].concat()
}

/// Outputs with runs of cluster and trailer bytes joined, as the split decides how they are cut.
fn joined(outputs: Vec<Output>) -> Vec<Output> {
    let mut joined: Vec<Output> = Vec::new();
    for output in outputs {
        let merged = match (joined.last_mut(), &output) {
            (Some(Output::Cluster(before)), Output::Cluster(more))
            | (Some(Output::Trailer(before)), Output::Trailer(more)) => {
                *before = [&before[..], more].concat().into();
                true
            }
            _ => false,
        };
        if !merged {
            joined.push(output);
        }
    }
    joined
}

fn outputs_of(body: &[u8], pieces: &[usize]) -> Result<Vec<Output>, String> {
    let mut session = Session::new(TimecodeType::Absolute, Limits::default());
    let mut outputs = Vec::new();
    let mut rest = body;
    let mut lengths = pieces.iter().cycle();
    while !rest.is_empty() {
        let length = lengths.next().map_or(rest.len(), |&n| n.clamp(1, rest.len()));
        let (piece, tail) = rest.split_at(length);
        rest = tail;
        session.push(piece).map_err(|refusal| refusal.to_string())?;
        outputs.extend(std::iter::from_fn(|| session.next_output()));
    }
    session.finish().map_err(|refusal| refusal.to_string())?;
    outputs.extend(std::iter::from_fn(|| session.next_output()));
    Ok(joined(outputs))
}

fn durations(outputs: &[Output]) -> Vec<u64> {
    let duration = |output: &Output| match output {
        Output::Complete { duration } => Some(duration.0),
        _ => None,
    };
    outputs.iter().filter_map(duration).collect()
}

#[test]
fn fragment_lasts_to_the_end_of_its_last_video_frame() {
    let tracks = vec![track(1, VIDEO), track(2, AUDIO)];
    // B-frames: the last block of the file is not the last frame shown.
    let blocks = [block(1, 0), block(2, 5), block(1, 80), block(1, 40), block(2, 200)].concat();
    let body = [&head_with(tracks)[..], &cluster(1_000), &blocks].concat();
    assert_eq!(durations(&outputs_of(&body, &[]).expect("accepted")), [120]);
}

#[test]
fn single_frame_lasts_as_long_as_those_of_the_fragment_before() {
    let first = [&cluster(1_000)[..], &block(1, 0), &block(1, 40)].concat();
    let second = [&cluster(1_080)[..], &block(1, 0)].concat();
    let body = [&head_with(vec![track(1, VIDEO)])[..], &first, &second].concat();
    assert_eq!(durations(&outputs_of(&body, &[]).expect("accepted")), [80, 40]);
}

#[test]
fn empty_cluster_is_no_fragment() {
    let empty = cluster(1_000);
    let body = [&head_with(vec![track(1, VIDEO)])[..], &empty, &cluster(2_000), &block(1, 0)];
    let outputs = outputs_of(&body.concat(), &[]).expect("accepted");
    let begins = outputs.iter().filter(|output| matches!(output, Output::Begin { .. })).count();
    assert_eq!(begins, 1);
}

fn refusal_of(body: &[u8]) -> Refusal {
    let mut session = Session::new(TimecodeType::Absolute, Limits::default());
    body.chunks(60_000).find_map(|piece| session.push(piece).err()).expect("refused")
}

#[test]
fn endless_element_in_the_head_is_refused_before_it_is_held() {
    let head = head_with(vec![track(1, VIDEO)]);
    // A Void that announces 40 MB.
    let body = [&head[..], &[0xec, 0x12, 0x62, 0x5a, 0x00], &vec![0; 2 * HEAD_BYTES]].concat();
    let mut session = Session::new(TimecodeType::Absolute, Limits::default());
    let taken = body.chunks(1_000).take_while(|piece| session.push(piece).is_ok()).count();
    assert!(taken * 1_000 <= HEAD_BYTES, "{taken} kB were held");
}

#[test]
fn fragment_of_countless_tiny_elements_is_refused() {
    let voids = [0xec, 0x80].repeat(FRAGMENT_ELEMENTS + 1);
    let body = [&head_with(vec![track(1, VIDEO)])[..], &cluster(1), &block(1, 0), &voids].concat();
    assert!(matches!(refusal_of(&body), Refusal::TooManyElements { .. }));
}

#[test]
fn ticks_can_not_change_their_meaning_between_clusters() {
    let head = head_with(vec![track(1, VIDEO)]);
    let at = head.windows(4).position(|id| id == [0x15, 0x49, 0xa9, 0x66]).expect("an Info");
    let len = 6 + usize::from(head[at + 5]);
    let body = [&head[..], &cluster(1), &block(1, 0), &head[at..at + len]].concat();
    assert!(matches!(refusal_of(&body), Refusal::InvalidOrder(_)));
}

#[test]
fn claimed_length_of_a_frame_does_not_stretch_its_fragment() {
    let mut video = track(1, VIDEO);
    video.default_duration_ns = Some(u64::MAX);
    let body = [&head_with(vec![video])[..], &cluster(1), &block(1, 0)].concat();
    assert_eq!(durations(&outputs_of(&body, &[]).expect("accepted")), [20_000]);
}

#[test]
fn format_ignores_what_decoders_do_not_need() {
    let begin = |name: &str| {
        let mut video = track(1, VIDEO);
        video.name = Some(name.to_owned());
        let body = [&head_with(vec![video])[..], &cluster(1), &block(1, 0)].concat();
        match outputs_of(&body, &[]).expect("accepted").remove(0) {
            Output::Begin { format, .. } => format,
            other => panic!("not a begin: {other:?}"),
        }
    };
    assert_eq!(begin("front door"), begin("garden"));
}

proptest! {
    #[test]
    fn body_split_at_any_byte_gives_the_same_fragments(
        fragments in prop::collection::vec((1i16..5, any::<bool>(), any::<bool>()), 1..5),
        pieces in prop::collection::vec(1usize..200, 1..20),
    ) {
        let mut body = head_with(vec![track(1, VIDEO)]).to_vec();
        for (at, (frames, tagged, closed)) in fragments.iter().enumerate() {
            body.extend_from_slice(&cluster(1_000 + at as u64 * 1_000));
            (0..*frames).for_each(|frame| body.extend(block(1, frame * 40)));
            let tag = |name: &str| Tag { name: name.to_owned(), value: String::new() };
            if *tagged {
                body.extend_from_slice(&tags(&[tag("where")]));
            }
            if *closed {
                body.extend_from_slice(&tags(&[tag(kvs::END_OF_FRAGMENT)]));
            }
        }
        let whole = outputs_of(&body, &[]).expect("accepted");
        prop_assert_eq!(durations(&whole).len(), fragments.len());
        prop_assert_eq!(outputs_of(&body, &pieces).expect("accepted"), whole);
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        at in 0usize..200,
    ) {
        let mut body = head_with(vec![track(1, VIDEO)]).to_vec();
        body.extend_from_slice(&cluster(1_000));
        (0..4).for_each(|frame| body.extend(block(1, frame * 40)));
        let at = at.min(body.len());
        body.splice(at.., noise);
        let _ = outputs_of(&body, &[7]);
    }
}
