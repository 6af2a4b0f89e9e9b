//! Films that ffmpeg makes, and its own eyes on them beside ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use tempfile::TempDir;

use super::*;
use crate::media::mkv::{EventKind, Reader};
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp};
use crate::vision::picture::Window;

/// The most that a colour may differ from ffmpeg's on average, of 255: decoding to RGB rounds.
const MOST_OFF: f64 = 2.5;
/// The picture: bars of saturated colours.
const BARS: &str = "rgbtestsrc=rate=10:duration=0.5:size";

fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg").args(["-v", "error"]).args(arguments).output();
    let output = output.expect("`make setup` installs ffmpeg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A film of five pictures.
fn film(dir: &TempDir, size: &str, encoder: &[&str]) -> PathBuf {
    let file = dir.path().join("film.mkv");
    let bars = format!("{BARS}={size}");
    let path = file.display().to_string();
    ffmpeg(&[&["-f", "lavfi", "-i", &bars], encoder, &["-y", &path]].concat());
    file
}

/// The first track of a file, and its frames.
fn frames(file: &Path) -> (FragmentHead, Vec<EncodedFrame>) {
    let mut reader = Reader::new(16 << 20);
    reader.push(&std::fs::read(file).expect("the film is there"));
    let number = FragmentNumber::new(1, ServerTimestamp::from_millis(0), 0);
    let (server, producer) = (ServerTimestamp::from_millis(0), ProducerTimestamp::from_millis(0));
    let mut head = FragmentHead { number, server, producer, video: None };
    let mut encoded = Vec::new();
    while let Some(event) = reader.next_event().expect("it is sound") {
        match event.kind {
            EventKind::Tracks(tracks) => head.video = tracks.into_iter().next(),
            EventKind::Frames(frames) => encoded.extend(frames),
            _ => {}
        }
    }
    let place = |(index, frame): (usize, crate::media::mkv::Frame)| {
        let time = producer.plus(Millis(frame.timecode.unsigned_abs()));
        let place = FramePlace { fragment: number, server, producer, index: index as u32, time };
        EncodedFrame { place, keyframe: frame.keyframe, data: frame.data }
    };
    let encoded = encoded.into_iter().enumerate().map(place).collect();
    (head, encoded)
}

/// The last picture of a film, as ours.
fn seen(file: &Path) -> image::RgbImage {
    let (head, encoded) = frames(file);
    let (give, taken) = mpsc::channel();
    let taker = Box::new(move |frame| give.send(frame).is_ok());
    let mut decoder = Decoder::open(&head, taker).expect("it is decoded");
    for frame in encoded {
        decoder.feed(frame, true).expect("it is taken");
    }
    decoder.drain(|| true).expect("it is whole");
    assert_eq!(decoder.lost(), 0);
    drop(decoder);
    let last: DecodedFrame = taken.into_iter().last().expect("there are pictures");
    let picture = last.pixels.picture().expect("it is sound");
    let size = (picture.width(), picture.height());
    picture.cut(&Window::filling(size, size), (size.0 as u32, size.1 as u32))
}

/// How far the colours of ours are from ffmpeg's, on average.
fn off(file: &Path) -> f64 {
    let ours = seen(file);
    let path = file.display().to_string();
    let rgb = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
    let theirs = ffmpeg(&[&["-i", &path][..], &rgb].concat());
    let theirs = theirs.chunks(ours.as_raw().len()).next_back().expect("there are pictures");
    assert_eq!(theirs.len(), ours.as_raw().len(), "the sizes are the same");
    let sum: u64 = ours.iter().zip(theirs).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / theirs.len() as f64
}

/// Colours coded in this way, and a film that says so.
fn coded(format: &str, matrix: &str, range: &str) -> Vec<String> {
    let filter = format!("scale=out_color_matrix={matrix}:out_range={range},format={format}");
    let tags = ["-colorspace", matrix, "-color_range", range].map(str::to_owned);
    let matrix_of_file = if matrix == "bt601" { "smpte170m" } else { matrix };
    let tags = tags.map(|tag| if tag == "bt601" { matrix_of_file.to_owned() } else { tag });
    [&["-vf".to_owned(), filter][..], &tags].concat()
}

#[test]
fn colours_are_those_that_ffmpeg_sees_however_they_are_coded() {
    let dir = TempDir::new().expect("a folder");
    for (encoder, format, matrix, range, size) in [
        // Rows are padded to whole blocks, and none of these sizes has whole ones.
        ("libx264", "yuv420p", "bt601", "tv", "642x362"),
        ("libx264", "yuv420p", "bt709", "tv", "642x362"),
        ("libx264", "yuv420p", "bt709", "tv", "1286x722"),
        ("libx264", "yuv420p", "bt601", "pc", "642x362"),
        ("libx265", "yuv420p", "bt709", "tv", "642x362"),
        // Colours of full size, of half the width, and of ten bits.
        ("libx264", "yuv444p", "bt709", "tv", "641x361"),
        ("libx264", "yuv422p", "bt601", "tv", "642x361"),
        ("libx264", "yuv420p10le", "bt709", "tv", "642x362"),
        ("libx265", "yuv420p10le", "bt601", "tv", "642x362"),
    ] {
        let coding = coded(format, matrix, range);
        let coding: Vec<_> = coding.iter().map(String::as_str).collect();
        let quiet = ["-c:v", encoder, "-x265-params", "log-level=error"];
        let quiet = if encoder == "libx265" { &quiet[..] } else { &quiet[..2] };
        let film = film(&dir, size, &[&coding, quiet].concat());
        let off = off(&film);
        assert!(off < MOST_OFF, "{encoder} {format} {matrix} {range} {size}: {off}");
    }
}
