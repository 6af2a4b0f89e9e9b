//! The load: 720p30 H.264 of 1 Mbit/s with AAC, key frames one second apart, made by ffmpeg.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use kinora::media::mkv::{EventKind, Reader, Tag, cluster, kvs, simple_block, tags};

/// Seconds of media in the file; a longer run repeats it.
pub const SECONDS: u64 = 20;

/// A part of an upload and when it is due.
pub struct Piece {
    /// Milliseconds since the start of the media.
    pub due_ms: u64,
    /// Bytes of the body.
    pub bytes: Bytes,
    /// Whether a fragment is complete with these bytes.
    pub ends_fragment: bool,
}

/// The folder for generated load; kept between runs.
pub fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// Makes the file once and returns its path.
pub fn file(extension: &str) -> PathBuf {
    let path = folder().join(format!("load.{extension}"));
    if !path.exists() {
        let video = format!("testsrc2=size=1280x720:rate=30:duration={SECONDS}");
        let audio = format!("sine=frequency=440:sample_rate=48000:duration={SECONDS}");
        let status = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", &video])
            .args(["-f", "lavfi", "-i", &audio, "-c:v", "libx264", "-preset", "veryfast"])
            .args(["-b:v", "1M", "-maxrate", "1M", "-bufsize", "500k", "-g", "30"])
            .args(["-keyint_min", "30", "-sc_threshold", "0", "-bf", "0", "-pix_fmt", "yuv420p"])
            .args(["-c:a", "aac", "-b:a", "64k", "-cluster_time_limit", "1000"])
            .arg(&path)
            .status()
            .expect("ffmpeg is installed (make setup)");
        assert!(status.success(), "ffmpeg makes the load");
    }
    path
}

/// The file as an upload: its head, and `seconds` of fragments with an end-of-fragment tag each,
/// a piece per frame. Timecodes start at 0.
pub fn pieces(seconds: u64) -> (Bytes, Vec<Piece>) {
    let (head, frames) = read();
    let end = tags(&[Tag { name: kvs::END_OF_FRAGMENT.to_owned(), value: String::new() }]);
    let mut pieces: Vec<Piece> = Vec::new();
    for round in 0..seconds.div_ceil(SECONDS) {
        let base = round * SECONDS * 1000;
        for frame in frames.iter().take_while(|frame| base + frame.at_ms < seconds * 1000) {
            let due_ms = base + frame.at_ms;
            let mut bytes = Vec::new();
            if frame.starts_fragment {
                close(&mut pieces, &end);
                bytes.extend_from_slice(&cluster(due_ms));
            }
            bytes.extend(frame.block());
            pieces.push(Piece { due_ms, bytes: bytes.into(), ends_fragment: false });
        }
    }
    close(&mut pieces, &end);
    (head, pieces)
}

struct Block {
    at_ms: u64,
    starts_fragment: bool,
    track: u64,
    keyframe: bool,
    data: Bytes,
    /// Distance to its fragment's start.
    offset_ms: i16,
}

impl Block {
    fn block(&self) -> Vec<u8> {
        let head = simple_block(self.track, self.offset_ms, self.keyframe, self.data.len());
        [&head[..], &self.data].concat()
    }
}

fn close(pieces: &mut [Piece], end_of_fragment: &[u8]) {
    if let Some(last) = pieces.last_mut() {
        last.bytes = [&last.bytes[..], end_of_fragment].concat().into();
        last.ends_fragment = true;
    }
}

fn read() -> (Bytes, Vec<Block>) {
    let file = std::fs::read(file("mkv")).expect("the load is readable");
    let mut reader = Reader::new(1 << 24);
    reader.push(&file);
    let mut head = Vec::new();
    let mut frames: Vec<Block> = Vec::new();
    let mut start_ms = 0;
    while let Some(event) = reader.next_event().expect("the load is Matroska") {
        match event.kind {
            EventKind::EbmlHead { .. } | EventKind::Info { .. } | EventKind::Tracks(_) => {
                head.extend_from_slice(&event.raw);
            }
            EventKind::SegmentStart { .. } => {
                head.extend_from_slice(&[0x18, 0x53, 0x80, 0x67, 0xff]);
            }
            EventKind::Frames(blocks) => {
                for frame in blocks {
                    let at_ms = u64::try_from(frame.timecode).expect("a time after the start");
                    let starts_fragment = frame.track == 1 && frame.keyframe;
                    if starts_fragment {
                        start_ms = at_ms;
                    }
                    let offset_ms = i64::try_from(at_ms).expect("small") - start_ms as i64;
                    frames.push(Block {
                        at_ms,
                        starts_fragment,
                        track: frame.track,
                        keyframe: frame.keyframe,
                        data: frame.data,
                        offset_ms: i16::try_from(offset_ms).expect("within a fragment"),
                    });
                }
            }
            _ => {}
        }
    }
    let first = frames.iter().position(|frame| frame.starts_fragment).unwrap_or(0);
    (head.into(), frames.split_off(first))
}
