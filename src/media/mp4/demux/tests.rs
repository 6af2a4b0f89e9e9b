use std::sync::Arc;

use bytes::Bytes;
use mp4_atom::{Decode, Encode};
use proptest::prelude::*;

use super::*;
use crate::media::file::Writer;
use crate::media::mkv::{self, Track, TrackKind};
use crate::media::mp4::FileWriter;
use crate::types::{ProducerTimestamp, TimestampScale};

/// x264, 640x360, Constrained Baseline 3.0.
const AVCC: &str =
    "0142c01effe100196742c01ed900a02ff970110000030001000003003c0f162e4801000568cb83cb20";
/// AAC-LC, 48 kHz, stereo.
const ASC: &str = "1190";
const START_MS: i64 = 1_714_564_800_000;

fn record(hex: &str) -> Option<Bytes> {
    Some(hex::decode(hex).expect("hexadecimal").into())
}

fn tracks() -> Vec<Track> {
    let track = |number, kind, codec_id: &str, private| Track {
        number,
        kind,
        name: None,
        codec_id: codec_id.to_owned(),
        codec_private: record(private),
        codec_delay_ns: 0,
        default_duration_ns: None,
    };
    vec![
        track(1, TrackKind::Video { width: 640, height: 360 }, "V_MPEG4/ISO/AVC", AVCC),
        track(2, TrackKind::Audio { sampling_hz: 48_000.0, channels: 2 }, "A_AAC", ASC),
    ]
}

/// One-second fragments of ten pictures and ten frames of sound.
fn chunks(count: u64) -> impl Iterator<Item = (mkv::Chunk, ProducerTimestamp)> {
    (0..count).map(|n| {
        let frame = |i: u64, track: u64| mkv::Frame {
            track,
            timecode: (1000 * n + 100 * i) as i64,
            keyframe: i == 0 || track == 2,
            invisible: false,
            duration: None,
            data: Bytes::from(vec![(10 * n + i) as u8; 5 + 3 * i as usize + track as usize]),
        };
        let chunk = mkv::Chunk {
            scale: TimestampScale::MILLISECOND,
            cluster_timecode: 1000 * n,
            tracks: tracks(),
            frames: (0..10).flat_map(|i| [frame(i, 1), frame(i, 2)]).collect(),
            tags: Vec::new(),
        };
        (chunk, ProducerTimestamp::from_millis(START_MS + 1000 * n as i64))
    })
}

/// A plain file, with its index at the end.
fn plain(count: u64) -> Vec<u8> {
    let mut writer = FileWriter::default();
    let mut file = writer.begin().to_vec();
    for (chunk, at) in chunks(count) {
        for piece in writer.add(chunk, at).expect("fits") {
            file.extend_from_slice(&piece);
        }
    }
    let finish = writer.finish(ProducerTimestamp::from_millis(START_MS)).expect("fits");
    file.extend_from_slice(&finish.append);
    for (at, bytes) in finish.patches {
        file[at as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    file
}

/// The whole boxes of a file.
fn boxes(mut file: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut all = Vec::new();
    while let Some(header) = BoxHeader::read(file).expect("boxes") {
        let len = header.len + header.content.expect("a size") as usize;
        all.push((header.name, &file[..len]));
        file = &file[len..];
    }
    all
}

/// The same file with its index in front, as `faststart` makes it.
fn faststart(count: u64) -> Vec<u8> {
    let file = plain(count);
    let all = boxes(&file);
    let find = |name| all.iter().find(|(found, _)| found == name).expect("the box is there").1;
    let (ftyp, mdat, moov) = (find(b"ftyp"), find(b"mdat"), find(b"moov"));
    let shift = moov.len() as u64;
    let mut index = mp4_atom::Moov::decode(&mut &moov[..]).expect("an index");
    for trak in &mut index.trak {
        let chunks = trak.mdia.minf.stbl.co64.iter_mut().flat_map(|co64| &mut co64.entries);
        chunks.for_each(|at| *at += shift);
    }
    let mut moov = Vec::new();
    index.encode(&mut moov).expect("it was read");
    assert_eq!(moov.len() as u64, shift);
    [ftyp, &moov, mdat].concat()
}

/// What came of a body in pieces: frames, an error, and whether it has to be kept.
fn read(body: &[u8], piece: usize) -> (Vec<Frame>, Result<(), Error>, bool) {
    let mut demuxer = Demuxer::default();
    let mut frames = Vec::new();
    for piece in body.chunks(piece.max(1)) {
        demuxer.push(piece);
        loop {
            match demuxer.next_event() {
                Ok(Some(Event::Frame(frame))) => frames.push(frame),
                Ok(Some(Event::Movie(_))) => {}
                Ok(Some(Event::KeepFile)) => return (frames, Ok(()), true),
                Ok(None) => break,
                Err(error) => return (frames, Err(error), false),
            }
        }
    }
    (frames, demuxer.finish(), false)
}

#[test]
fn frames_come_back_as_they_were_written() {
    let (frames, outcome, _) = read(&faststart(3), usize::MAX);
    assert_eq!(outcome, Ok(()));
    for (index, track) in [(0, 1), (1, 2)] {
        let written: Vec<_> = chunks(3)
            .flat_map(|(chunk, _)| chunk.frames)
            .filter(|frame| frame.track == track)
            .map(|frame| (frame.timecode * 1_000_000, frame.keyframe, frame.data))
            .collect();
        let read: Vec<_> = frames
            .iter()
            .filter(|frame| frame.track == index)
            .map(|frame| (frame.time_ns, frame.keyframe, frame.data.clone()))
            .collect();
        assert_eq!(read, written);
    }
}

#[test]
fn tracks_and_creation_time_are_those_of_the_writer() {
    let file = faststart(1);
    let mut demuxer = Demuxer::default();
    demuxer.push(&file);
    let Ok(Some(Event::Movie(movie))) = demuxer.next_event() else { panic!("no index") };
    assert_eq!(demuxer.embedded_ms(), Some(START_MS));
    for (read, written) in movie.tracks.iter().zip(tracks()) {
        assert_eq!(read.track.codec_id, written.codec_id);
        assert_eq!(read.track.codec_private, written.codec_private);
        assert_eq!(read.track.kind, written.kind);
    }
}

#[test]
fn body_split_at_any_byte_gives_the_same_frames() {
    let file = faststart(2);
    let whole = read(&file, usize::MAX);
    for piece in [1, 2, 3, 7, 64, 1000] {
        assert_eq!(read(&file, piece), whole, "in pieces of {piece}");
    }
}

#[test]
fn index_behind_the_frames_asks_for_the_file_and_finds_the_same_frames() {
    let file = plain(2);
    assert_eq!(read(&file, 100), (Vec::new(), Ok(()), true));
    let all = boxes(&file);
    let (_, moov) = all.iter().find(|(name, _)| name == b"moov").expect("an index");
    let movie = Arc::new(Movie::read(&Bytes::copy_from_slice(&moov[8..]), 0).expect("an index"));
    let mut samples = movie.in_time();
    let mut count = 0;
    let mut before = i64::MIN;
    while let Some(sample) = samples.next(&movie).expect("small frames") {
        assert!(sample.decode_ns >= before, "in the order of decoding");
        let frame = &file[sample.at as usize..][..sample.size as usize];
        assert!(frame.iter().all(|byte| *byte == frame[0]), "exactly one frame's bytes");
        (count, before) = (count + 1, sample.decode_ns);
    }
    assert_eq!(count, 40);
}

#[test]
fn file_cut_anywhere_is_no_whole_file() {
    let file = faststart(2);
    for len in 1..file.len() {
        let (frames, outcome, _) = read(&file[..len], usize::MAX);
        assert!(outcome.is_err(), "cut at {len}: {} frames", frames.len());
    }
}

#[test]
fn body_without_a_codec_that_is_taken_names_what_it_has() {
    let mut file = faststart(1);
    for at in 0..file.len() - 4 {
        if [b"avc1", b"mp4a"].iter().any(|name| file[at..at + 4] == name[..]) {
            file[at..at + 4].copy_from_slice(b"fake");
        }
    }
    let (_, outcome, _) = read(&file, usize::MAX);
    let found = "fake, fake".to_owned();
    assert_eq!(outcome.map_err(|error| error.kind), Err(ErrorKind::NoTrack { found }));
}

proptest! {
    #[test]
    fn damaged_file_is_read_or_refused_the_same_however_it_is_split(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        piece in 1usize..300,
    ) {
        let mut file = faststart(2);
        for (at, value) in damage {
            let at = at.index(file.len());
            file[at] = value;
        }
        prop_assert_eq!(read(&file, piece), read(&file, usize::MAX));
    }

    #[test]
    fn arbitrary_boxes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut file = b"\0\0\0\x08ftyp\0\0\x01\x98moov".to_vec();
        file.extend_from_slice(&bytes);
        let _ = read(&file, 64);
        let _ = Movie::read(&Bytes::from(bytes), 0);
    }
}
