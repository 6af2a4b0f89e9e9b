//! A whole MKV file of many fragments: with a duration, a date, and an index to seek by.

use bytes::Bytes;

use super::writer::{ebml_head, put_u64, put_uint, track_entry};
use super::{Chunk, Frame, Track, TrackKind, ids, simple_block};
use crate::media::ebml::{put, put_id};
use crate::media::file::{Error, Finish, Writer, is_same, offset_ms};
use crate::types::{Millis, ProducerTimestamp, TimestampScale};

/// Bytes that are kept free at the beginning for what is known only at the end: Info and Tracks.
const HEAD_ROOM: usize = 32 << 10;
/// An element's id and size with the widest size there is.
const WIDE_SIZE: usize = 8;
/// The most entries of the index.
const MAX_CUES: usize = 1_000_000;
/// From 1970 to 2001, where `DateUTC` counts from, in milliseconds.
const MKV_EPOCH_MS: i64 = 978_307_200_000;

/// Writes a file whose times begin at zero; `DateUTC` says when that was.
#[derive(Debug, Default)]
pub struct FileWriter {
    writing_app: String,
    tracks: Vec<Track>,
    /// Time of the latest frame of each track.
    latest_ms: Vec<i64>,
    /// Bytes of the file so far.
    len: u64,
    /// Where the Segment's content begins.
    segment_at: u64,
    /// When the first frame is.
    zero: Option<ProducerTimestamp>,
    /// Time in milliseconds, track, and place in the Segment of each fragment.
    cues: Vec<(u64, u64, u64)>,
}

impl FileWriter {
    /// `writing_app` names the program in the file.
    pub fn new(writing_app: String) -> Self {
        Self { writing_app, ..Self::default() }
    }

    fn admit(&mut self, tracks: &[Track]) -> Result<(), Error> {
        for track in tracks {
            match self.tracks.iter().find(|known| known.number == track.number) {
                Some(known) if is_same(known, track) => {}
                Some(_) => return Err(Error::FormatChange { track: track.number }),
                None => {
                    self.tracks.push(track.clone());
                    self.latest_ms.push(i64::MIN);
                }
            }
        }
        let entries: usize = self.tracks.iter().map(|track| track_entry(track).len()).sum();
        if entries > HEAD_ROOM / 2 {
            return Err(Error::TooMany { what: "bytes of tracks", limit: HEAD_ROOM / 2 });
        }
        Ok(())
    }

    /// Info, Tracks, the way to the index, and nothing up to the first cluster.
    fn head(&self, duration_ms: u64, cues_at: u64) -> Bytes {
        let mut out = Vec::with_capacity(HEAD_ROOM);
        let mut seek = Vec::with_capacity(32);
        put(&mut seek, ids::SEEK_ID, 1, &ids::CUES.to_be_bytes());
        put_u64(&mut seek, ids::SEEK_POSITION, cues_at);
        let mut seeks = Vec::with_capacity(40);
        put(&mut seeks, ids::SEEK, 1, &seek);
        put(&mut out, ids::SEEK_HEAD, 1, &seeks);

        let mut info = Vec::with_capacity(128);
        put_uint(&mut info, ids::TIMESTAMP_SCALE, TimestampScale::MILLISECOND.nanos().into());
        put(&mut info, ids::DURATION, 1, &(duration_ms as f64).to_be_bytes());
        let zero_ms = self.zero.map_or(0, ProducerTimestamp::as_millis);
        let date = zero_ms.saturating_sub(MKV_EPOCH_MS).saturating_mul(1_000_000);
        put(&mut info, ids::DATE_UTC, 1, &date.to_be_bytes());
        put(&mut info, ids::MUXING_APP, 1, self.writing_app.as_bytes());
        put(&mut info, ids::WRITING_APP, 1, self.writing_app.as_bytes());
        put(&mut out, ids::INFO, 2, &info);

        let mut tracks = Vec::with_capacity(512);
        for track in &self.tracks {
            put(&mut tracks, ids::TRACK_ENTRY, WIDE_SIZE, &track_entry(track));
        }
        put(&mut out, ids::TRACKS, WIDE_SIZE, &tracks);
        let left = HEAD_ROOM - out.len() - 1 - WIDE_SIZE;
        put(&mut out, ids::VOID, WIDE_SIZE, &vec![0; left]);
        out.into()
    }

    fn index(&self) -> Bytes {
        let mut cues = Vec::with_capacity(self.cues.len() * 24);
        for &(time, track, at) in &self.cues {
            let mut positions = Vec::with_capacity(16);
            put_uint(&mut positions, ids::CUE_TRACK, track);
            put_uint(&mut positions, ids::CUE_CLUSTER_POSITION, at);
            let mut point = Vec::with_capacity(32);
            put_uint(&mut point, ids::CUE_TIME, time);
            put(&mut point, ids::CUE_TRACK_POSITIONS, 1, &positions);
            put(&mut cues, ids::CUE_POINT, 1, &point);
        }
        let mut out = Vec::with_capacity(cues.len() + 12);
        put(&mut out, ids::CUES, WIDE_SIZE, &cues);
        out.into()
    }

    /// Whether sound at this time stands behind the sound before it, and does not overlap it.
    fn goes_on(&mut self, number: u64, time_ms: u64) -> bool {
        let index = self.tracks.iter().position(|track| track.number == number);
        let Some(latest) = index.and_then(|index| self.latest_ms.get_mut(index)) else {
            return false;
        };
        let time_ms = i64::try_from(time_ms).unwrap_or(i64::MAX);
        let goes_on = time_ms >= *latest;
        *latest = time_ms.max(*latest);
        goes_on
    }

    fn is_video(&self, number: u64) -> bool {
        let mut tracks = self.tracks.iter();
        tracks.any(|t| t.number == number && matches!(t.kind, TrackKind::Video { .. }))
    }
}

impl Writer for FileWriter {
    fn begin(&mut self) -> Bytes {
        let mut out = Vec::with_capacity(HEAD_ROOM + 64);
        put(&mut out, ids::EBML, 1, &ebml_head());
        put_segment(&mut out, UNKNOWN_SIZE);
        self.segment_at = out.len() as u64;
        put(&mut out, ids::VOID, WIDE_SIZE, &vec![0; HEAD_ROOM - 1 - WIDE_SIZE]);
        self.len = out.len() as u64;
        out.into()
    }

    fn add(&mut self, chunk: Chunk, at: ProducerTimestamp) -> Result<Vec<Bytes>, Error> {
        self.admit(&chunk.tracks)?;
        if self.cues.len() == MAX_CUES {
            return Err(Error::TooMany { what: "fragments", limit: MAX_CUES });
        }
        // Sound may begin a little before the picture.
        let offset = |frame: &Frame| offset_ms(chunk.scale, chunk.cluster_timecode, frame);
        let lead = chunk.frames.iter().map(offset).min().unwrap_or(0).min(0);
        let zero = *self.zero.get_or_insert(at.minus(Millis(lead.unsigned_abs())));
        let time_ms = at.since(zero).0;
        let mut body = Vec::with_capacity(2 * chunk.frames.len() + 1);
        let mut timecode = Vec::with_capacity(12);
        put_uint(&mut timecode, ids::TIMESTAMP, time_ms);
        body.push(Bytes::from(timecode));
        let mut cue: Option<(u64, bool)> = None;
        for frame in chunk.frames {
            let offset = offset_ms(chunk.scale, chunk.cluster_timecode, &frame);
            // Before the file's beginning there is no time.
            let least = 0i64.saturating_sub_unsigned(time_ms);
            let Ok(offset) = i16::try_from(offset.max(least)) else { continue };
            let is_video = self.is_video(frame.track);
            if !is_video && !self.goes_on(frame.track, time_ms.saturating_add_signed(offset.into()))
            {
                continue;
            }
            if cue.is_none_or(|(_, video)| is_video && !video) {
                cue = Some((frame.track, is_video));
            }
            let keyframe = frame.keyframe || !is_video;
            body.push(simple_block(frame.track, offset, keyframe, frame.data.len()));
            body.push(frame.data);
        }
        if let Some((track, _)) = cue {
            self.cues.push((time_ms, track, self.len - self.segment_at));
        }
        let size: usize = body.iter().map(Bytes::len).sum();
        let mut head = Vec::with_capacity(12);
        put_id(&mut head, ids::CLUSTER);
        head.extend_from_slice(&wide_size(size as u64));
        self.len += (head.len() + size) as u64;
        body.insert(0, head.into());
        Ok(body)
    }

    fn finish(&mut self, end: ProducerTimestamp) -> Result<Finish, Error> {
        let cues_at = self.len - self.segment_at;
        let append = self.index();
        let duration_ms = self.zero.map_or(0, |zero| end.since(zero).0);
        let head = self.head(duration_ms, cues_at);
        let mut segment = Vec::with_capacity(12);
        put_segment(&mut segment, wide_size(cues_at + append.len() as u64));
        let segment_at = self.segment_at - segment.len() as u64;
        let patches = vec![(segment_at, segment.into()), (self.segment_at, head)];
        Ok(Finish { append, patches })
    }
}

/// A size that says nothing, in eight bytes.
const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

fn put_segment(out: &mut Vec<u8>, size: [u8; 8]) {
    put_id(out, ids::SEGMENT);
    out.extend_from_slice(&size);
}

/// A size in eight bytes; no file is as long as the marker's bit would need.
fn wide_size(size: u64) -> [u8; 8] {
    (size | 1 << 56).to_be_bytes()
}
