//! The index of a file (`moov`): its tracks, where their frames are and when they are shown.

use bytes::Bytes;
use mp4_atom::{Elst, Mdhd, Mvhd, Tkhd, Trex};

use super::boxes::Child;
use super::samples::{self, InFile, InTime, Tables};
use super::{Error, ErrorKind, entry};
use crate::media::mkv::{self, MAX_TRACKS};

/// The most bytes of an index: twelve hours of video with sound have about 30 MiB.
pub const MAX_MOOV: u64 = 64 << 20;

/// From 1904 to 1970, in seconds.
const MAC_EPOCH: u64 = 2_082_844_800;

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Movie {
    /// The tracks that can be taken.
    pub tracks: Vec<MovieTrack>,
    /// The codecs of those that cannot.
    pub refused: Vec<String>,
    /// When it was made, as far as it says: milliseconds since the Unix epoch.
    pub created_ms: Option<i64>,
    /// More frames follow in fragments (`mvex`).
    pub fragmented: bool,
}

/// One track.
#[derive(Clone, Debug)]
pub struct MovieTrack {
    /// The track as Matroska describes it; its number is its index plus one.
    pub track: mkv::Track,
    /// `track_ID`.
    pub(super) id: u32,
    pub(super) clock: TrackClock,
    pub(super) defaults: Trex,
    pub(super) tables: Tables,
}

/// Turns a track's composition times into times of the presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackClock {
    /// Ticks per second; not zero.
    timescale: u32,
    /// The composition time that the edit list begins with.
    begins_at: u64,
    /// How long the presentation waits for the track.
    delay_ns: i64,
}

impl TrackClock {
    /// Nanoseconds since the presentation's start.
    pub fn place(&self, composition: i64) -> i64 {
        let ticks = i128::from(composition) - i128::from(self.begins_at);
        let nanos = ticks * 1_000_000_000 / i128::from(self.timescale);
        i64::try_from(nanos).unwrap_or(i64::MAX).saturating_add(self.delay_ns)
    }
}

impl Movie {
    /// Reads the content of a `moov` box that stands at `at`.
    pub fn read(content: &Bytes, at: u64) -> Result<Self, Error> {
        let moov = Child { name: *b"moov", at, content };
        let mvhd: Mvhd = moov.need(b"mvhd")?.read("mvhd")?;
        let defaults = match moov.find(b"mvex")? {
            Some(mvex) => Some(track_defaults(&mvex)?),
            None => None,
        };
        let (mut tracks, mut refused) = (Vec::new(), Vec::new());
        for child in moov.children(0) {
            let child = child?;
            if child.name != *b"trak" {
                continue;
            }
            if tracks.len() + refused.len() == MAX_TRACKS {
                let kind = ErrorKind::TooMany { what: "tracks", limit: MAX_TRACKS };
                return Err(Error { at: child.at, kind });
            }
            let defaults = defaults.as_deref().unwrap_or_default();
            match track(&child, tracks.len() as u64 + 1, &mvhd, defaults)? {
                Ok(track) => tracks.push(track),
                Err(codec) => refused.push(codec),
            }
        }
        if tracks.is_empty() {
            let found =
                if refused.is_empty() { "none at all".to_owned() } else { refused.join(", ") };
            return Err(Error { at, kind: ErrorKind::NoTrack { found } });
        }
        let created = mvhd.creation_time.checked_sub(MAC_EPOCH).filter(|&seconds| seconds > 0);
        Ok(Self {
            tracks,
            refused,
            created_ms: created.and_then(|seconds| i64::try_from(seconds.checked_mul(1000)?).ok()),
            fragmented: defaults.is_some(),
        })
    }

    /// The frames that the index itself knows, as they stand in the file.
    pub(super) fn in_file(&self) -> InFile {
        InFile::new(&self.tracks)
    }

    /// The frames that the index itself knows, in the order of their decoding.
    pub fn in_time(&self) -> InTime {
        InTime::new(&self.tracks)
    }

    /// Whether its frames can be taken as they come: they stand in the file in about the order of
    /// their times.
    pub fn is_interleaved(&self) -> bool {
        samples::is_interleaved(&self.tracks)
    }
}

fn track_defaults(mvex: &Child) -> Result<Vec<Trex>, Error> {
    let mut all = Vec::new();
    for child in mvex.children(0) {
        let child = child?;
        if child.name == *b"trex" && all.len() < MAX_TRACKS {
            all.push(child.read::<Trex>("trex")?);
        }
    }
    Ok(all)
}

/// Reads a track; `Err` holds the codec's name when it is none that is taken.
fn track(
    trak: &Child,
    number: u64,
    mvhd: &Mvhd,
    defaults: &[Trex],
) -> Result<Result<MovieTrack, String>, Error> {
    let id = trak.need(b"tkhd")?.read::<Tkhd>("tkhd")?.track_id;
    let mdia = trak.need(b"mdia")?;
    let mdhd = mdia.need(b"mdhd")?;
    let timescale = mdhd.read::<Mdhd>("mdhd")?.timescale;
    if timescale == 0 {
        return Err(mdhd.malformed("mdhd", "its timescale is zero"));
    }
    let minf = mdia.need(b"minf")?;
    let entry = match entry::read(&minf, &mdia.need(b"hdlr")?)? {
        Ok(entry) => entry,
        Err(codec) => return Ok(Err(codec)),
    };
    let tables = Tables::read(&minf.need(b"stbl")?, id)?;
    let is_video = matches!(entry.kind, mkv::TrackKind::Video { .. });
    let frame_ns = tables.constant_step().map(|ticks| {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(timescale);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    });
    let track = mkv::Track {
        number,
        kind: entry.kind,
        name: None,
        codec_id: entry.codec_id.to_owned(),
        codec_private: Some(entry.record),
        codec_delay_ns: 0,
        default_duration_ns: frame_ns.filter(|&nanos| nanos > 0 && is_video),
    };
    let clock = clock(trak, timescale, mvhd.timescale)?;
    let defaults = defaults.iter().find(|trex| trex.track_id == id).cloned().unwrap_or_default();
    Ok(Ok(MovieTrack { track, id, clock, defaults, tables }))
}

/// The simple cases of edit lists (8.6.6), which are nearly all there are: the track begins later
/// than the presentation, and what stands in front of some composition time is not shown.
fn clock(trak: &Child, timescale: u32, movie_timescale: u32) -> Result<TrackClock, Error> {
    let mut clock = TrackClock { timescale, begins_at: 0, delay_ns: 0 };
    let Some(edts) = trak.find(b"edts")? else { return Ok(clock) };
    let Some(elst) = edts.find(b"elst")? else { return Ok(clock) };
    for edit in elst.read::<Elst>("elst")?.entries {
        match edit.media_time {
            None => {
                let nanos = i128::from(edit.segment_duration) * 1_000_000_000
                    / i128::from(movie_timescale.max(1));
                let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
                clock.delay_ns = clock.delay_ns.saturating_add(nanos);
            }
            Some(begins_at) => {
                clock.begins_at = begins_at;
                break;
            }
        }
    }
    Ok(clock)
}
