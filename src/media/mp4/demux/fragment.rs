//! A movie fragment (`moof`): the frames of the `mdat` behind it (ISO/IEC 14496-12 8.8).

use mp4_atom::{Prft, Tfdt, Tfhd, Trun};

use super::boxes::Child;
use super::movie::{Movie, MovieTrack};
use super::samples::{Sample, check_size};
use super::{Error, ErrorKind};

/// The most frames of one fragment: half an hour of 50 a second.
const MAX_FRAGMENT_SAMPLES: usize = 100_000;

/// `sample_is_non_sync_sample` (8.8.3.1).
const NON_SYNC: u32 = 1 << 16;

/// Reads the content of a `moof` box that stands at `at`; its frames as they stand in the body.
/// `decode` holds each track's decode time behind the fragment before it.
pub fn read(
    content: &[u8],
    at: u64,
    movie: &Movie,
    decode: &mut [u64],
) -> Result<Vec<Sample>, Error> {
    let moof = Child { name: *b"moof", at, content };
    let mut samples = Vec::new();
    // Without a flag of its own a track's data begins behind that of the track before (8.8.7.1).
    let mut data_at = at;
    for traf in moof.children(0) {
        let traf = traf?;
        if traf.name == *b"traf" {
            data_at = run_track(&traf, at, data_at, movie, decode, &mut samples)?;
        }
    }
    samples.sort_by_key(|sample| sample.at);
    Ok(samples)
}

/// Adds a track's frames; where its data ends.
fn run_track(
    traf: &Child,
    moof_at: u64,
    data_at: u64,
    movie: &Movie,
    decode: &mut [u64],
    samples: &mut Vec<Sample>,
) -> Result<u64, Error> {
    let tfhd: Tfhd = traf.need(b"tfhd")?.read("tfhd")?;
    let base = match tfhd.base_data_offset {
        Some(base) => base,
        None if tfhd.default_base_is_moof => moof_at,
        None => data_at,
    };
    let index = movie.tracks.iter().position(|track| track.id == tfhd.track_id);
    let mut run = index.map(|index| TrackRun { index, track: &movie.tracks[index], tfhd: &tfhd });
    if let (Some(run), Some(tfdt)) = (&run, traf.find(b"tfdt")?) {
        decode[run.index] = tfdt.read::<Tfdt>("tfdt")?.base_media_decode_time;
    }
    let mut next = base;
    for trun in traf.children(0) {
        let child = trun?;
        if child.name != *b"trun" {
            continue;
        }
        let trun: Trun = child.read("trun")?;
        if samples.len() + trun.samples.len() > MAX_FRAGMENT_SAMPLES {
            let kind = ErrorKind::TooMany { what: "frames", limit: MAX_FRAGMENT_SAMPLES };
            return Err(Error { at: child.at, kind });
        }
        if let Some(offset) = trun.data_offset {
            next = base.saturating_add_signed(offset.into());
        }
        // Frames of a track that is left out only move the place.
        next = match &mut run {
            Some(run) => run.add(&trun, next, &mut decode[run.index], samples)?,
            None => {
                let size = tfhd.default_sample_size.unwrap_or_default();
                let sizes = trun.samples.iter().map(|entry| u64::from(entry.size.unwrap_or(size)));
                sizes.fold(next, u64::saturating_add)
            }
        };
    }
    Ok(next)
}

struct TrackRun<'a> {
    index: usize,
    track: &'a MovieTrack,
    tfhd: &'a Tfhd,
}

impl TrackRun<'_> {
    /// Adds the frames of one run that begins at `at`; where it ends.
    fn add(
        &self,
        trun: &Trun,
        mut at: u64,
        decode: &mut u64,
        samples: &mut Vec<Sample>,
    ) -> Result<u64, Error> {
        let (tfhd, trex) = (self.tfhd, &self.track.defaults);
        let duration = tfhd.default_sample_duration.unwrap_or(trex.default_sample_duration);
        let default_size = tfhd.default_sample_size.unwrap_or(trex.default_sample_size);
        let flags = tfhd.default_sample_flags.unwrap_or(trex.default_sample_flags);
        for entry in trun.samples.iter() {
            let size = entry.size.unwrap_or(default_size);
            let decoded = i64::try_from(*decode).unwrap_or(i64::MAX);
            let shown = decoded.saturating_add(entry.cts.unwrap_or_default());
            samples.push(check_size(Sample {
                track: self.index,
                at,
                size,
                decode_ns: self.track.clock.place(decoded),
                time_ns: self.track.clock.place(shown),
                keyframe: entry.flags.unwrap_or(flags) & NON_SYNC == 0,
            })?);
            at = at.saturating_add(size.into());
            *decode = decode.saturating_add(entry.duration.unwrap_or(duration).into());
        }
        Ok(at)
    }
}

/// What a `prft` box says of the presentation's start, in milliseconds since the Unix epoch
/// (8.16.5); `None` when it speaks of a track that is not there.
pub fn reference_ms(prft: &Child, movie: &Movie) -> Result<Option<i64>, Error> {
    /// From 1900, where NTP counts from, to 1970, in seconds.
    const NTP_EPOCH: i128 = 2_208_988_800;
    let prft: Prft = prft.read("prft")?;
    let track = movie.tracks.iter().find(|track| track.id == prft.reference_track_id);
    let Some(track) = track else { return Ok(None) };
    let ntp_ns = (i128::from(prft.ntp_timestamp) * 1_000_000_000) >> 32;
    let media = i64::try_from(prft.media_time).unwrap_or(i64::MAX);
    let zero_ns = ntp_ns - NTP_EPOCH * 1_000_000_000 - i128::from(track.clock.place(media));
    // Rounded, since NTP's fractions of a second are binary.
    let millis = i64::try_from((zero_ns + 500_000).div_euclid(1_000_000)).ok();
    Ok(millis.filter(|&millis| millis > 0))
}
