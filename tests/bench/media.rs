//! The load: 720p30 H.264 of 1 Mbit/s with AAC, key frames one second apart, made by ffmpeg.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use kinora::media::mkv::{EventKind, Reader, Tag, cluster, kvs, simple_block, tags};

/// Seconds of media in the file; a longer run repeats it.
pub const SECONDS: u64 = 20;
/// The video's number in the file.
pub const VIDEO_TRACK: u64 = 1;

/// A whole upload, cut into HTTP chunks beforehand so that the load itself is cheap.
#[derive(Clone)]
pub struct Load {
    /// EBML head to Tracks.
    pub head: Bytes,
    /// What follows.
    pub pieces: Vec<Piece>,
}

/// A part of an upload and when it is due.
#[derive(Clone)]
pub struct Piece {
    /// Milliseconds since the start of the media.
    pub due_ms: u64,
    /// Bytes of the body as one HTTP chunk.
    pub chunk: Bytes,
    /// How many of these are media.
    pub media_bytes: u64,
    /// Whether a fragment is complete with these bytes.
    pub ends_fragment: bool,
}

/// The file, made at the first call and kept between runs.
pub fn file() -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("load.mkv");
    if !path.exists() {
        let video = format!("testsrc2=size=1280x720:rate=30:duration={SECONDS}");
        let audio = format!("sine=frequency=440:sample_rate=48000:duration={SECONDS}");
        let unfinished = folder.join("unfinished.mkv");
        let status = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", &video])
            .args(["-f", "lavfi", "-i", &audio, "-c:v", "libx264", "-preset", "veryfast"])
            .args(["-b:v", "1M", "-maxrate", "1M", "-bufsize", "500k", "-g", "30"])
            .args(["-keyint_min", "30", "-sc_threshold", "0", "-bf", "0", "-pix_fmt", "yuv420p"])
            .args(["-c:a", "aac", "-b:a", "64k"])
            .arg(&unfinished)
            .status()?;
        assert!(status.success(), "ffmpeg makes the load");
        std::fs::rename(unfinished, &path)?;
    }
    Ok(path)
}

/// `seconds` of the file as an upload: fragments of `fragment_ms` with an end-of-fragment tag
/// each, a piece per frame, timecodes from 0 on.
pub fn load(seconds: u64, fragment_ms: u64) -> io::Result<Load> {
    let (head, blocks) = read()?;
    let end = tags(&[Tag { name: kvs::END_OF_FRAGMENT.to_owned(), value: String::new() }]);
    let mut pieces: Vec<(u64, Vec<u8>, bool)> = Vec::new();
    let mut fragment_at = 0;
    for round in 0..seconds.div_ceil(SECONDS) {
        let base = round * SECONDS * 1000;
        for block in blocks.iter().take_while(|block| base + block.at_ms < seconds * 1000) {
            let due_ms = base + block.at_ms;
            let mut bytes = Vec::new();
            let is_key = block.track == VIDEO_TRACK && block.keyframe;
            if pieces.is_empty() || is_key && due_ms >= fragment_at + fragment_ms {
                close(&mut pieces, &end);
                fragment_at = due_ms;
                bytes.extend_from_slice(&cluster(due_ms));
            }
            bytes.extend(block.encode(due_ms - fragment_at)?);
            pieces.push((due_ms, bytes, false));
        }
    }
    close(&mut pieces, &end);
    let pieces = pieces.into_iter().map(|(due_ms, bytes, ends)| Piece::new(due_ms, &bytes, ends));
    Ok(Load { head: chunk(&head), pieces: pieces.collect() })
}

impl Load {
    /// Joins the pieces of each fragment: at full speed a producer sends what it has.
    pub fn whole_fragments(self) -> Self {
        let mut whole = Vec::new();
        let (mut chunks, mut media_bytes) = (Vec::new(), 0);
        for piece in self.pieces {
            chunks.extend_from_slice(&piece.chunk);
            media_bytes += piece.media_bytes;
            if piece.ends_fragment {
                let chunk = std::mem::take(&mut chunks).into();
                let media_bytes = std::mem::take(&mut media_bytes);
                whole.push(Piece { chunk, media_bytes, ..piece });
            }
        }
        Self { head: self.head, pieces: whole }
    }
}

impl Piece {
    fn new(due_ms: u64, bytes: &[u8], ends_fragment: bool) -> Self {
        Self { due_ms, chunk: chunk(bytes), media_bytes: bytes.len() as u64, ends_fragment }
    }
}

fn chunk(bytes: &[u8]) -> Bytes {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat().into()
}

fn close(pieces: &mut [(u64, Vec<u8>, bool)], end_of_fragment: &[u8]) {
    if let Some((_, bytes, ends)) = pieces.last_mut() {
        bytes.extend_from_slice(end_of_fragment);
        *ends = true;
    }
}

struct Block {
    at_ms: u64,
    track: u64,
    keyframe: bool,
    data: Bytes,
}

impl Block {
    fn encode(&self, offset_ms: u64) -> io::Result<Vec<u8>> {
        let offset = i16::try_from(offset_ms).map_err(io::Error::other)?;
        let head = simple_block(self.track, offset, self.keyframe, self.data.len());
        Ok([&head[..], &self.data].concat())
    }
}

/// The file's head, and its blocks from the first key frame on.
fn read() -> io::Result<(Vec<u8>, Vec<Block>)> {
    let mut reader = Reader::new(1 << 24);
    reader.push(&std::fs::read(file()?)?);
    let mut head = Vec::new();
    let mut blocks = Vec::new();
    while let Some(event) = reader.next_event().map_err(io::Error::other)? {
        match event.kind {
            EventKind::EbmlHead { .. } | EventKind::Info { .. } | EventKind::Tracks(_) => {
                head.extend_from_slice(&event.raw);
            }
            EventKind::SegmentStart { .. } => {
                head.extend_from_slice(&kinora::media::mkv::SEGMENT_START);
            }
            EventKind::Frames(frames) => blocks.extend(frames.into_iter().map(|frame| Block {
                at_ms: u64::try_from(frame.timecode).unwrap_or(0),
                track: frame.track,
                keyframe: frame.keyframe,
                data: frame.data,
            })),
            _ => {}
        }
    }
    let is_start = |block: &Block| block.track == VIDEO_TRACK && block.keyframe;
    let first = blocks.iter().position(is_start).unwrap_or(0);
    Ok((head, blocks.split_off(first)))
}
