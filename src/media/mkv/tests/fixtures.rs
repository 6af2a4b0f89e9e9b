//! What real producers and muxers wrote, against what ffprobe says is in it.
//!
//! `media-fixtures/NAME.packets` has a line per frame: track index, presentation time in ticks,
//! bytes, key frame, Adler-32. `KINORA_REWRITE_GOLDENS=1` writes these files anew with ffprobe.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::*;
use crate::types::TimestampScale;

const REWRITE: &str = "KINORA_REWRITE_GOLDENS";

/// The one that must be refused.
const ZLIB: &str = "mkvmerge-h264-zlib.mkv";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("media-fixtures")
}

pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).expect("a fixture")
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the folder of fixtures");
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.expect("a folder entry").file_name().into_string().ok())
        .filter(|name| name.ends_with(".mkv"))
        .collect();
    names.sort();
    assert!(names.len() >= 19, "fixtures are missing");
    names
}

/// All fixtures that the reader accepts.
pub fn accepted() -> impl Iterator<Item = (String, Vec<u8>)> {
    names().into_iter().filter(|name| name != ZLIB).map(|name| (name.clone(), bytes(&name)))
}

#[test]
fn fixtures_are_those_of_the_list() {
    let list = std::fs::read_to_string(folder().join("SHA256SUMS")).expect("the list");
    let lines: Vec<_> = names()
        .iter()
        .map(|name| format!("{}  {name}\n", hex::encode(Sha256::digest(bytes(name)))))
        .collect();
    assert_eq!(lines.concat(), list);
}

#[test]
fn frames_are_those_that_ffprobe_sees() {
    for (name, body) in accepted() {
        let golden = folder().join(name.replace(".mkv", ".packets"));
        if std::env::var_os(REWRITE).is_some() {
            std::fs::write(&golden, ffprobe(&folder().join(&name))).expect("write the golden");
        }
        let expected = std::fs::read_to_string(&golden).expect("a golden");
        assert_eq!(packets(&events(&body)), expected, "{name}");
    }
}

#[test]
fn body_split_anywhere_gives_the_same_events_and_its_own_bytes() {
    for (name, body) in accepted() {
        let (whole, error) = read(&body);
        assert_eq!((error, raw(&whole) == body), (None, true), "{name}");
        for size in [1, 2, 3, 7, 188, 4096, 65_536] {
            let (pieces, error) = read_pieces(body.chunks(size), ROOMY);
            assert_eq!(error, None, "{name} in pieces of {size}");
            assert!(pieces == whole, "{name} in pieces of {size}");
        }
        let mut at = 0;
        for event in &whole {
            assert_eq!(event.at, at, "{name}");
            at += event.raw.len() as u64;
        }
    }
}

#[test]
fn file_read_as_a_chunk_gives_the_same_frames_uncopied() {
    for (name, body) in accepted() {
        let body = Bytes::from(body);
        let chunk = read_chunk(&body).expect("a whole file");
        assert!(chunk.frames == frames(events(&body)), "{name}");
        assert!(chunk.frames.iter().all(|frame| lies_in(&frame.data, &body)), "{name}");
    }
}

#[test]
fn frames_of_events_are_slices_of_their_bytes() {
    for (name, body) in accepted() {
        for event in read(&body).0 {
            if let EventKind::Frames(frames) = event.kind {
                assert!(frames.iter().all(|frame| lies_in(&frame.data, &event.raw)), "{name}");
            }
        }
    }
}

fn lies_in(slice: &Bytes, whole: &Bytes) -> bool {
    let (slice, whole) = (slice.as_ptr_range(), whole.as_ptr_range());
    whole.start <= slice.start && slice.end <= whole.end
}

#[test]
fn compressed_frames_of_mkvmerge_are_refused() {
    assert_eq!(error(&bytes(ZLIB)).kind, ErrorKind::EncodedTrack { track: 1 });
}

#[test]
fn metadata_of_kvssink_comes_as_tags() {
    let kinds = events(&bytes("kvssink-h264-metadata.mkv"));
    let tags = kinds.iter().filter_map(|kind| match kind {
        EventKind::Tags(tags) => Some(tags),
        _ => None,
    });
    let tags: Vec<_> = tags.flatten().map(|tag| tag.name.as_str()).collect();
    assert!(tags.len() > 1, "{tags:?}");
    assert_eq!(tags.last(), Some(&kvs::END_OF_FRAGMENT));
}

#[test]
fn codec_delay_of_opus_is_read() {
    let kinds = events(&bytes("ffmpeg-opus-codec_delay.mkv"));
    let delays: Vec<_> = declared(&kinds).iter().map(|track| track.codec_delay_ns).collect();
    assert_eq!(delays, [6_500_000]);
}

fn declared(kinds: &[EventKind]) -> &[Track] {
    let tracks = kinds.iter().find_map(|kind| match kind {
        EventKind::Tracks(tracks) => Some(tracks),
        _ => None,
    });
    tracks.expect("Tracks")
}

/// The frames in the form of the goldens.
fn packets(kinds: &[EventKind]) -> String {
    let tracks = declared(kinds);
    let scale = kinds.iter().find_map(|kind| match kind {
        EventKind::Info { scale } => Some(*scale),
        _ => None,
    });
    let tick = u64::from(scale.unwrap_or(TimestampScale::MILLISECOND).nanos());
    let line = |frame: &Frame| {
        let index = tracks.iter().position(|track| track.number == frame.track).expect("declared");
        // ffprobe's times are those after the decoder's delay.
        let delay = (tracks[index].codec_delay_ns + tick / 2) / tick;
        let pts = frame.timecode - delay as i64;
        // ffprobe marks all sound as key frames, GStreamer none.
        let sound = matches!(tracks[index].kind, TrackKind::Audio { .. });
        let key = if frame.keyframe || sound { 'K' } else { '_' };
        format!("{index} {pts} {} {key} {:08x}\n", frame.data.len(), adler32(&frame.data))
    };
    frames(kinds.to_vec()).iter().map(line).collect()
}

fn ffprobe(file: &Path) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_packets", "-show_data_hash", "adler32"])
        .args(["-show_entries", "packet=stream_index,pts,size,flags,data_hash"])
        .args(["-of", "compact=p=0:nk=1"])
        .arg(file)
        .output()
        .expect("run ffprobe");
    let text = String::from_utf8(output.stdout).expect("ASCII");
    let line = |line: &str| {
        let fields: Vec<_> = line.split('|').collect();
        let [index, pts, size, flags, .., hash] = fields[..] else { panic!("too short: {line}") };
        let hash = hash.trim_start_matches("adler32:");
        format!("{index} {pts} {size} {} {hash}\n", &flags[..1])
    };
    // Side data, such as samples to skip, breaks the line.
    text.replace("\n|", "|").lines().map(line).collect()
}

/// The checksum of RFC 1950 8.2, which ffprobe knows and which is short.
fn adler32(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((1u32, 0u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    (b << 16) | a
}
