//! Frames to fragments to sessions, without a service.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::client::{Ack, AckKind};
use crate::produce::fragmenter::{FragmentLimits, Fragmenter, Piece};
use crate::produce::interleave::{Interleaved, Interleaver, Patience};
use crate::produce::source::SourceEvent;
use crate::produce::spool::{Applied, Next, Spool};
use crate::types::Millis;

fn fragmenter(tracks: Vec<Track>) -> Fragmenter {
    let limits =
        FragmentLimits { target: Millis(2000), max_duration: Millis(10_000), max_bytes: 10_000 };
    let mut fragmenter = Fragmenter::new(limits, "test".to_owned());
    fragmenter.set_tracks(tracks);
    fragmenter
}

fn cut(fragmenter: &mut Fragmenter, frames: &[SourceFrame]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    frames.iter().for_each(|frame| fragmenter.push(frame, &mut pieces));
    fragmenter.finish(&mut pieces);
    pieces
}

/// Offsets from [`START`] at which fragments begin.
fn beginnings(pieces: &[Piece]) -> Vec<i64> {
    let begin = |piece: &Piece| match piece {
        Piece::Begin { timecode, .. } => Some(*timecode as i64 - START),
        _ => None,
    };
    pieces.iter().filter_map(begin).collect()
}

fn order(events: Vec<SourceEvent>) -> Vec<Interleaved> {
    let mut interleaver = Interleaver::new(Patience::LIVE);
    let mut out = Vec::new();
    for event in events {
        interleaver.push(event);
        out.extend(std::iter::from_fn(|| interleaver.next_output()));
    }
    out
}

#[test]
fn fragment_begins_with_the_first_key_frame_after_its_length() {
    let mut fragmenter = fragmenter(vec![video_track()]);
    let frames: Vec<_> =
        (0..60).map(|n| frame(VIDEO, 100 + n * 100, n >= 2 && n % 5 == 2)).collect();
    let pieces = cut(&mut fragmenter, &frames);
    // Key frames every 500 ms from 300 on; 2-s fragments.
    assert_eq!(beginnings(&pieces), [300, 2300, 4300]);
    assert_eq!(fragmenter.irregular().skipped_frames, 2);
    assert_eq!(fragmenter.irregular().forced_cuts, 0);
}

#[test]
fn fragment_ends_at_the_service_limit_when_no_key_frame_comes() {
    let mut fragmenter = fragmenter(vec![video_track()]);
    let frames: Vec<_> = (0..150).map(|n| frame(VIDEO, n * 100, n == 0)).collect();
    assert_eq!(beginnings(&cut(&mut fragmenter, &frames)), [0, 10_000]);
    assert_eq!(fragmenter.irregular().forced_cuts, 1);
}

#[test]
fn audio_alone_is_cut_by_time() {
    let mut fragmenter = fragmenter(vec![audio_track()]);
    let frames: Vec<_> = (0..100).map(|n| frame(AUDIO, n * 50, true)).collect();
    assert_eq!(beginnings(&cut(&mut fragmenter, &frames)), [0, 1900, 3800]);
}

#[test]
fn track_that_ended_leaves_the_head_with_the_next_fragment_only() {
    let mut fragmenter = fragmenter(vec![video_track(), audio_track()]);
    let mut pieces = Vec::new();
    let key = |at| frame(VIDEO, at, true);
    [key(0), frame(AUDIO, 0, true)].iter().for_each(|f| fragmenter.push(f, &mut pieces));
    fragmenter.set_tracks(vec![video_track()]);
    [key(1000), key(2000)].iter().for_each(|f| fragmenter.push(f, &mut pieces));
    assert_eq!(beginnings(&pieces), [0, 2000]);
    let head = |piece: &Piece| match piece {
        Piece::Begin { head, .. } => Some(head.clone()),
        _ => None,
    };
    let heads: Vec<_> = pieces.iter().filter_map(head).collect();
    assert_ne!(heads[0], heads[1]);
}

#[test]
fn short_tail_of_audio_stays_with_the_last_video() {
    let mut fragmenter = fragmenter(vec![video_track(), audio_track()]);
    let mut pieces = Vec::new();
    fragmenter.push(&frame(VIDEO, 0, true), &mut pieces);
    fragmenter.set_tracks(vec![audio_track()]);
    for at in [1000, 2000, 2800, 4000] {
        fragmenter.push(&frame(AUDIO, at, true), &mut pieces);
    }
    assert_eq!(beginnings(&pieces), [0, 4000]);
}

#[test]
fn changed_parameters_begin_a_fragment_at_once() {
    let mut fragmenter = fragmenter(vec![video_track()]);
    let mut pieces = Vec::new();
    fragmenter.push(&frame(VIDEO, 0, true), &mut pieces);
    let codec_private = Some(Bytes::from_static(&[1, 0x4d, 0, 0x1f, 0xff]));
    fragmenter.set_tracks(vec![Track { codec_private, ..video_track() }]);
    fragmenter.push(&frame(VIDEO, 500, true), &mut pieces);
    assert_eq!(beginnings(&pieces), [0, 500]);
}

#[test]
fn audio_before_a_key_frame_stays_in_the_earlier_fragment() {
    let out = order(vec![
        SourceEvent::Expect(2),
        SourceEvent::Track(video_track()),
        SourceEvent::Track(audio_track()),
        SourceEvent::Frame(frame(VIDEO, 0, true)),
        SourceEvent::Frame(frame(VIDEO, 40, true)),
        SourceEvent::Frame(frame(AUDIO, 10, true)),
        SourceEvent::Frame(frame(AUDIO, 40, true)),
        SourceEvent::End,
    ]);
    let expected = [(VIDEO, 0), (AUDIO, 10), (VIDEO, 40), (AUDIO, 40)]
        .map(|(track, at)| Interleaved::Frame(frame(track, at, true)));
    assert_eq!(out[0], Interleaved::Tracks(vec![video_track(), audio_track()]));
    assert_eq!(out[1..], expected);
}

#[test]
fn silent_track_holds_the_others_up_only_for_a_moment() {
    let mut events = vec![
        SourceEvent::Expect(2),
        SourceEvent::Track(video_track()),
        SourceEvent::Track(audio_track()),
    ];
    events.extend((0..50).map(|n| SourceEvent::Frame(frame(VIDEO, n * 100, true))));
    let frames = order(events).len() - 1;
    assert_eq!(frames, 50, "once silent, audio is not waited for");
}

#[test]
fn track_that_is_announced_but_never_comes_does_not_block_the_head() {
    let mut events = vec![SourceEvent::Expect(2), SourceEvent::Track(video_track())];
    events.extend((0..50).map(|n| SourceEvent::Frame(frame(VIDEO, n * 100, true))));
    assert_eq!(order(events)[0], Interleaved::Tracks(vec![video_track()]));
}

fn fill(spool: &mut Spool, fragments: std::ops::Range<i64>) {
    let mut fragmenter = fragmenter(vec![video_track()]);
    let frames: Vec<_> = fragments.map(|n| frame(VIDEO, n * 2000, true)).collect();
    cut(&mut fragmenter, &frames).into_iter().for_each(|piece| spool.push(piece));
}

fn send_all(spool: &mut Spool) -> Vec<Received> {
    let mut receiver = Receiver::new();
    let mut ended = Vec::new();
    while let Some(Next::Bytes(bytes)) = spool.next_send() {
        for seen in receiver.push(&bytes) {
            if let Seen::Ended(fragment) = seen {
                ended.push(fragment);
            }
        }
    }
    ended
}

fn ack(kind: AckKind, timecode: Option<i64>) -> Ack {
    Ack { kind, timecode, fragment_number: None }
}

fn timecodes(fragments: &[Received]) -> Vec<i64> {
    fragments.iter().map(|fragment| fragment.timecode as i64 - START).collect()
}

#[test]
fn full_spool_gives_up_the_oldest_whole_fragments_of_a_live_source() {
    let mut spool = Spool::new(2000);
    fill(&mut spool, 0..20);
    assert!(spool.is_full());
    let dropped = spool.drop_oldest();
    assert!(dropped > 0 && spool.bytes() <= 2000);
    spool.begin_session();
    let rest = timecodes(&send_all(&mut spool));
    let expected: Vec<_> = (dropped as i64..20).map(|n| n * 2000).collect();
    assert_eq!(rest, expected);
    assert_eq!(spool.stats().dropped, dropped);
}

#[test]
fn refused_fragment_is_not_sent_again_but_its_successors_are() {
    let mut spool = Spool::new(1 << 20);
    fill(&mut spool, 0..4);
    spool.begin_session();
    send_all(&mut spool);
    let persisted = ack(AckKind::Persisted, Some(START));
    assert_eq!(spool.apply(&persisted), Applied::Confirmed);
    let kind = AckKind::Error { id: 4006, code: String::new() };
    let refused = Applied::Refused { timecode: Some((START + 2000) as u64) };
    assert_eq!(spool.apply(&ack(kind, Some(START + 2000))), refused);
    spool.begin_session();
    assert_eq!(timecodes(&send_all(&mut spool)), [4000, 6000]);
}

#[test]
fn error_without_a_timecode_means_the_first_fragment_that_was_not_received() {
    let mut spool = Spool::new(1 << 20);
    fill(&mut spool, 0..3);
    spool.begin_session();
    send_all(&mut spool);
    spool.apply(&ack(AckKind::Received, Some(START)));
    let kind = AckKind::Error { id: 4006, code: String::new() };
    let refused = Applied::Refused { timecode: Some((START + 2000) as u64) };
    assert_eq!(spool.apply(&ack(kind, None)), refused);
    spool.begin_session();
    assert_eq!(timecodes(&send_all(&mut spool)), [0, 4000], "received is not durable");
}

#[test]
fn trouble_of_the_service_keeps_every_fragment() {
    for id in [4000, 4003, 4008, 4501, 5000, 5001, 4999, 0] {
        let mut spool = Spool::new(1 << 20);
        fill(&mut spool, 0..3);
        spool.begin_session();
        send_all(&mut spool);
        let kind = AckKind::Error { id, code: String::new() };
        assert_eq!(spool.apply(&ack(kind, Some(START))), Applied::Resend, "{id}");
        assert_eq!(spool.len(), 3);
    }
}

#[test]
fn open_fragment_that_is_refused_is_given_up_whole() {
    let mut spool = Spool::new(1 << 20);
    let mut fragmenter = fragmenter(vec![video_track()]);
    let mut pieces = Vec::new();
    fragmenter.push(&frame(VIDEO, 0, true), &mut pieces);
    pieces.drain(..).for_each(|piece| spool.push(piece));
    spool.begin_session();
    send_all(&mut spool);
    let kind = AckKind::Error { id: 4001, code: String::new() };
    spool.apply(&ack(kind, Some(START)));
    for frame in [frame(VIDEO, 100, false), frame(VIDEO, 3000, true)] {
        fragmenter.push(&frame, &mut pieces);
    }
    fragmenter.finish(&mut pieces);
    pieces.drain(..).for_each(|piece| spool.push(piece));
    spool.begin_session();
    let sent = send_all(&mut spool);
    assert_eq!(timecodes(&sent), [3000]);
    assert_eq!(spool.len(), 1);
}

#[test]
fn time_that_runs_backwards_goes_into_a_new_session() {
    let mut spool = Spool::new(1 << 20);
    fill(&mut spool, 3..5);
    fill(&mut spool, 0..2);
    spool.begin_session();
    assert_eq!(timecodes(&send_all(&mut spool)), [6000, 8000]);
    assert_eq!(spool.next_send(), None, "the session is over");
    for at in [6000, 8000] {
        spool.apply(&ack(AckKind::Persisted, Some(START + at)));
    }
    spool.begin_session();
    assert_eq!(timecodes(&send_all(&mut spool)), [0, 2000]);
}

/// Video in decode order with two B-frames between references, and audio, merged by arrival.
fn any_source() -> impl Strategy<Value = Vec<SourceEvent>> {
    let gops = prop::collection::vec(1..8usize, 1..8);
    (gops, any::<bool>(), 0..80i64).prop_map(|(gops, audio, audio_delay)| {
        let mut timed = Vec::new();
        let mut at = 0;
        for groups in gops {
            timed.push((at, frame(VIDEO, at, true)));
            for _ in 0..groups {
                for (decode, show) in [(1, 3), (2, 1), (3, 2)] {
                    timed.push((at + decode * 40, frame(VIDEO, at + show * 40, false)));
                }
                at += 120;
            }
            at += 40;
        }
        if audio {
            timed.extend((0..at / 21).map(|n| (n * 21 + audio_delay, frame(AUDIO, n * 21, true))));
        }
        timed.sort_by_key(|(arrival, _)| *arrival);
        let mut events = vec![SourceEvent::Expect(1 + usize::from(audio))];
        events.push(SourceEvent::Track(video_track()));
        events.extend(audio.then(|| SourceEvent::Track(audio_track())));
        events.extend(timed.into_iter().map(|(_, frame)| SourceEvent::Frame(frame)));
        events.push(SourceEvent::End);
        events
    })
}

/// One session of a service: how many bytes reach it, how many fragments it confirms.
fn any_session() -> impl Strategy<Value = (usize, usize)> {
    (0..3000usize, 0..4usize)
}

proptest! {
    #[test]
    fn every_frame_becomes_durable_once_in_order_however_sessions_break(
        events in any_source(),
        sessions in prop::collection::vec(any_session(), 0..12),
        frames_between in 1..40usize,
    ) {
        let limits = FragmentLimits { target: Millis(300), ..FragmentLimits::default() };
        let mut fragmenter = Fragmenter::new(limits, "test".to_owned());
        let mut interleaver = Interleaver::new(Patience::LIVE);
        let mut spool = Spool::new(usize::MAX);
        let mut durable = BTreeMap::new();
        let mut sent = Vec::new();
        let mut sessions = sessions.into_iter();

        for (index, event) in events.into_iter().enumerate() {
            let ended = event == SourceEvent::End;
            interleaver.push(event);
            let mut pieces = Vec::new();
            while let Some(output) = interleaver.next_output() {
                match output {
                    Interleaved::Tracks(tracks) => fragmenter.set_tracks(tracks),
                    Interleaved::Frame(frame) => {
                        fragmenter.push(&frame, &mut pieces);
                        sent.push(frame.data);
                    }
                }
            }
            if ended {
                fragmenter.finish(&mut pieces);
            }
            pieces.into_iter().for_each(|piece| spool.push(piece));
            if index % frames_between == 0
                && let Some((bytes, confirmed)) = sessions.next()
            {
                run_session(&mut spool, &mut durable, bytes, confirmed);
            }
        }
        for (bytes, confirmed) in sessions {
            run_session(&mut spool, &mut durable, bytes, confirmed);
        }
        run_session(&mut spool, &mut durable, usize::MAX, usize::MAX);

        prop_assert!(spool.is_empty());
        let got: Vec<Bytes> = durable.values().flat_map(Received::data).collect();
        prop_assert_eq!(got, sent);
    }
}

/// Lets a service see the first `limit` bytes of a session and confirm `confirm` fragments.
fn run_session(
    spool: &mut Spool,
    durable: &mut BTreeMap<u64, Received>,
    mut limit: usize,
    mut confirm: usize,
) {
    spool.begin_session();
    let mut receiver = Receiver::new();
    let mut last = None;
    while let Some(next) = spool.next_send() {
        let Next::Bytes(bytes) = next else { panic!("tracks and time go on as they began") };
        let reached = bytes.len().min(limit);
        limit -= reached;
        for seen in receiver.push(&bytes[..reached]) {
            let fragment = match seen {
                Seen::Begun(timecode) => {
                    assert!(last < Some(timecode), "timecodes grow within a session");
                    last = Some(timecode);
                    continue;
                }
                Seen::Ended(fragment) => fragment,
            };
            let first = &fragment.frames[0];
            assert!(first.track == VIDEO && first.keyframe, "a fragment begins with a key frame");
            if confirm > 0 {
                confirm -= 1;
                let timecode = i64::try_from(fragment.timecode).expect("a time of this century");
                assert_eq!(durable.insert(fragment.timecode, fragment), None, "stored once");
                let applied = spool.apply(&ack(AckKind::Persisted, Some(timecode)));
                assert_eq!(applied, Applied::Confirmed, "what was sent whole can be confirmed");
            }
        }
    }
}
