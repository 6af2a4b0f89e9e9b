use bytes::Bytes;

use super::*;
use crate::media::mkv::{Head, read_chunk};
use crate::types::Millis;

const LIMITS: CutLimits =
    CutLimits { target: Millis(2000), longest: Millis(19_000), bytes: 1 << 20 };
const MAX_ELEMENT: usize = 1 << 20;
const START: i64 = 1_714_564_800_000;

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

fn picture() -> Track {
    track(1, TrackKind::Video { width: 16, height: 16 })
}

fn sound() -> Track {
    track(2, TrackKind::Audio { sampling_hz: 48_000.0, channels: 1 })
}

/// Track, time in milliseconds, key frame.
type Line = (u64, i64, bool);

/// An MKV file with a cluster of its own for each frame.
fn file(tracks: Vec<Track>, lines: impl IntoIterator<Item = Line>) -> Vec<u8> {
    let scale = TimestampScale::MILLISECOND;
    let mut body = mkv::head(&Head { scale, writing_app: "test".to_owned(), tracks }).to_vec();
    for (track, time, keyframe) in lines {
        body.extend_from_slice(&mkv::cluster(u64::try_from(time).expect("not before zero")));
        body.extend_from_slice(&mkv::simple_block(track, 0, keyframe, 4));
        body.extend_from_slice(b"data");
    }
    body
}

fn remux(body: &[u8], start: Start) -> (Vec<Output>, Result<(), Error>) {
    let mut remuxer = Remuxer::new(start, LIMITS, MAX_ELEMENT);
    let mut outcome = Ok(());
    for piece in body.chunks(100) {
        outcome = outcome.and_then(|()| remuxer.push(piece));
    }
    let outcome = outcome.and_then(|()| remuxer.finish());
    (std::iter::from_fn(|| remuxer.next_output()).collect(), outcome)
}

/// Producer time of each fragment, and its frames as track and distance from there. A fragment
/// without a head of its own has that of the one before.
fn fragments(outputs: &[Output]) -> Vec<(u64, Vec<(u64, i64)>)> {
    let mut head = Bytes::new();
    let mut all = Vec::new();
    for output in outputs {
        let Output::Fragment(pieces) = output else { continue };
        let whole = pieces.concat();
        let at = whole.windows(4).position(|id| id == [0x1F, 0x43, 0xB6, 0x75]);
        let (before, cluster) = whole.split_at(at.expect("a cluster"));
        if !before.is_empty() {
            head = Bytes::copy_from_slice(before);
        }
        let chunk = read_chunk(&Bytes::from([&head[..], cluster].concat())).expect("a chunk");
        let timecode = chunk.cluster_timecode;
        let frames = chunk.frames.iter().map(|f| (f.track, f.timecode - timecode as i64));
        let frames: Vec<_> = frames.collect();
        for track in &chunk.tracks {
            assert!(
                frames.iter().any(|(number, _)| *number == track.number),
                "no frame: {track:?}"
            );
        }
        all.push((timecode, frames));
    }
    all
}

fn at_start() -> Start {
    Start::At(ProducerTimestamp::from_millis(START))
}

/// Ten pictures a second with a key frame each second, and sound.
fn film(from: i64, to: i64) -> Vec<Line> {
    let pictures = (from..to).step_by(100).map(|time| (1, time, time % 1000 == 0));
    let sounds = (from..to).step_by(50).map(|time| (2, time, true));
    let mut lines: Vec<Line> = pictures.chain(sounds).collect();
    lines.sort_by_key(|&(track, time, _)| (time, track));
    lines
}

#[test]
fn fragments_begin_with_key_frames_two_seconds_apart_and_hold_all_tracks() {
    let (outputs, outcome) = remux(&file(vec![picture(), sound()], film(0, 5000)), at_start());
    assert_eq!(outcome, Ok(()));
    let fragments = fragments(&outputs);
    let times: Vec<_> = fragments.iter().map(|(time, _)| time - START as u64).collect();
    assert_eq!(times, [0, 2000, 4000]);
    let counts: Vec<_> = fragments.iter().map(|(_, frames)| frames.len()).collect();
    assert_eq!(counts, [60, 60, 30]);
}

#[test]
fn start_is_the_first_picture_and_sound_may_begin_before_it() {
    let lines = [(2, 300, true), (1, 320, true), (2, 350, true), (1, 400, false)];
    let (outputs, outcome) = remux(&file(vec![picture(), sound()], lines), at_start());
    assert_eq!(outcome, Ok(()));
    let frames = vec![(2, -20), (1, 0), (2, 30), (1, 80)];
    assert_eq!(fragments(&outputs), [(START as u64, frames)]);
}

#[test]
fn tracks_are_declared_only_where_they_have_frames() {
    // Sound ends with the first fragment, and the picture stops a long time before the end.
    let mut lines = film(0, 2000);
    lines.extend((2000..6000).step_by(100).map(|time| (1, time, time % 1000 == 0)));
    let (outputs, outcome) = remux(&file(vec![picture(), sound()], lines), at_start());
    assert_eq!(outcome, Ok(()));
    let with_sound: Vec<bool> = fragments(&outputs)
        .iter()
        .map(|(_, frames)| frames.iter().any(|(track, _)| *track == 2))
        .collect();
    assert_eq!(with_sound, [true, false, false]);
}

#[test]
fn sound_goes_on_where_pictures_are_missing() {
    let mut lines = film(0, 2000);
    lines.extend((2000..60_000).step_by(50).map(|time| (2, time, true)));
    lines.extend(film(60_000, 62_000));
    let (outputs, outcome) = remux(&file(vec![picture(), sound()], lines.clone()), at_start());
    assert_eq!(outcome, Ok(()));
    let fragments = fragments(&outputs);
    let frames: usize = fragments.iter().map(|(_, frames)| frames.len()).sum();
    assert_eq!(frames, lines.len(), "nothing is lost");
    for (time, frames) in &fragments {
        let longest = frames.iter().map(|(_, offset)| *offset).max().expect("frames");
        assert!(longest <= LIMITS.longest.0 as i64, "{time}: {longest} ms");
    }
}

#[test]
fn long_group_of_pictures_is_cut_without_a_key_frame() {
    let lines = (0..50_000).step_by(100).map(|time| (1, time, time == 0));
    let (outputs, outcome) = remux(&file(vec![picture()], lines), at_start());
    assert_eq!(outcome, Ok(()));
    let times: Vec<_> = fragments(&outputs).iter().map(|(time, _)| time - START as u64).collect();
    assert_eq!(times, [0, 19_000, 38_000]);
}

#[test]
fn pictures_before_the_first_key_frame_are_left_out() {
    let lines = [(1, 0, false), (1, 100, false), (1, 200, true), (1, 300, false)];
    let (outputs, outcome) = remux(&file(vec![picture()], lines), at_start());
    assert_eq!(outcome, Ok(()));
    assert_eq!(fragments(&outputs), [(START as u64, vec![(1, 0), (1, 100)])]);
}

#[test]
fn absolute_times_are_taken_as_the_files_own_time() {
    let lines = film(0, 1000).into_iter().map(|(track, time, key)| (track, time + START, key));
    let body = file(vec![picture(), sound()], lines);
    for start in [Start::Embedded, Start::EmbeddedOr(ProducerTimestamp::from_millis(5))] {
        let (outputs, outcome) = remux(&body, start);
        assert_eq!(outcome, Ok(()));
        assert_eq!(fragments(&outputs)[0].0, START as u64);
    }
}

#[test]
fn file_without_a_time_of_its_own_begins_now_or_is_refused() {
    let body = file(vec![picture()], film(0, 500).into_iter().filter(|line| line.0 == 1));
    let now = ProducerTimestamp::from_millis(START + 7);
    let (outputs, outcome) = remux(&body, Start::EmbeddedOr(now));
    assert_eq!((outcome, fragments(&outputs)[0].0), (Ok(()), START as u64 + 7));
    let (_, outcome) = remux(&body, Start::Embedded);
    assert_eq!(outcome, Err(Error::NoTime));
}

#[test]
fn what_cannot_be_taken_says_why() {
    let lines = [(1, 5000, true), (1, 9000, true), (1, 1000, true)];
    let body = file(vec![picture()], lines);
    let (_, outcome) = remux(&body, at_start());
    assert_eq!(outcome, Err(Error::Backwards { seconds: 4.0 }));
    let (outputs, outcome) = remux(&body[..body.len() - 1], at_start());
    assert_eq!((outputs.len(), outcome), (1, Err(Error::Truncated)), "what was cut before stays");
    let text = [(b"\x47 a row of packets".to_vec(), "MPEG-TS (\"kinora import\" takes it)")];
    for (body, found) in text {
        assert_eq!(remux(&body, at_start()).1, Err(Error::NotMedia { found }));
    }
    let subtitles = file(vec![track(1, TrackKind::Other(17))], []);
    assert_eq!(remux(&subtitles, at_start()).1, Err(Error::NoTrack));
}
