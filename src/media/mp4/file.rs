//! A whole MP4 file of many fragments, with its index at the end or in front.

use bytes::Bytes;
use mp4_atom::{
    Co64, Ctts, CttsEntry, Edts, Elst, ElstEntry, Encode, FourCC, Ftyp, Moov, Mvhd, Stbl, Stsc,
    StscEntry, Stss, Stsz, StszSamples, Stts, SttsEntry, Trak,
};

use super::{Anchor, Sample, samples, timescale};
use crate::media::codec::{self, Codec};
use crate::media::file::{Error, Finish, Writer, is_same};
use crate::media::mkv::{Chunk, Track, TrackKind};
use crate::types::ProducerTimestamp;

/// Ticks per second of the file's own clock.
const MOVIE_TIMESCALE: u32 = 1000;
/// From 1904, where MP4 counts from, to 1970, in seconds.
const MAC_EPOCH: u64 = 2_082_844_800;
/// The most frames of one track: a day at 200 a second. Each takes 16 bytes until the end.
const MAX_SAMPLES: usize = 20_000_000;
/// How far the first frame of sound of a fragment may be from where the last fragment's sound ends,
/// to be put there exactly.
const AUDIO_TOLERANCE_MS: u64 = 5;
/// Sound in front of the first picture that an edit list hides: the run-up of usual encoders of AAC.
const RUN_UP_MS: u64 = 100;

/// Writes a plain MP4 file.
#[derive(Debug, Default)]
pub struct FileWriter {
    lanes: Vec<Lane>,
    /// Why tracks were left out.
    refused: Option<codec::Error>,
    /// Bytes of the file so far, and where the header of `mdat` stands.
    len: u64,
    mdat_at: u64,
}

/// One track, with what its index will say.
#[derive(Debug)]
struct Lane {
    track: Track,
    codec: Codec,
    entries: Vec<Entry>,
    /// Where each run of frames stands, and how many there are.
    chunks: Vec<(u64, u32)>,
    /// Decode times in ticks.
    first: u64,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    size: u32,
    /// Ticks to the next frame.
    duration: u32,
    offset: i32,
    sync: bool,
}

impl FileWriter {
    fn lane(&mut self, track: &Track) -> Result<Option<usize>, Error> {
        if let Some(index) = self.lanes.iter().position(|lane| lane.track.number == track.number) {
            return match is_same(&self.lanes[index].track, track) {
                true => Ok(Some(index)),
                false => Err(Error::FormatChange { track: track.number }),
            };
        }
        match Codec::of(track) {
            Ok(codec) => {
                let (track, entries, chunks) = (track.clone(), Vec::new(), Vec::new());
                self.lanes.push(Lane { track, codec, entries, chunks, first: 0, last: 0 });
                Ok(Some(self.lanes.len() - 1))
            }
            Err(error) => {
                self.refused.get_or_insert(error);
                Ok(None)
            }
        }
    }

    /// The head of the same file with its index in front: what [`Writer::add`] gave follows it, and
    /// nothing else. Players can begin before they have all of it.
    ///
    /// # Errors
    /// What was added is too much for the format.
    pub fn front(&self) -> Result<Bytes, Error> {
        let mut moov = self.moov()?;
        let mut index = Vec::with_capacity(4096);
        moov.encode(&mut index).map_err(super::Error::from)?;
        // As long with other offsets, which have 64 bits each.
        let shift = index.len() as u64;
        for table in moov.trak.iter_mut().filter_map(|trak| trak.mdia.minf.stbl.co64.as_mut()) {
            table.entries.iter_mut().for_each(|offset| *offset += shift);
        }
        let mut front = ftyp();
        moov.encode(&mut front).map_err(super::Error::from)?;
        front.extend_from_slice(&mdat_head(self.len - self.mdat_at));
        Ok(front.into())
    }

    fn moov(&self) -> Result<Moov, Error> {
        let begun: Vec<&Lane> = self.lanes.iter().filter(|lane| !lane.entries.is_empty()).collect();
        let zero_ms = zero_ms(&begun);
        let traks: Vec<Trak> = (1..)
            .zip(&begun)
            .map(|(id, lane)| lane.trak(id, zero_ms))
            .collect::<Result<_, super::Error>>()?;
        let duration = traks.iter().map(|trak| trak.tkhd.duration).max().unwrap_or(0);
        let created = zero_ms / 1000 + MAC_EPOCH;
        Ok(Moov {
            mvhd: Mvhd {
                creation_time: created,
                modification_time: created,
                timescale: MOVIE_TIMESCALE,
                duration,
                next_track_id: traks.len() as u32 + 1,
                rate: 1.into(),
                volume: 1.into(),
                ..Mvhd::default()
            },
            trak: traks,
            ..Moov::default()
        })
    }
}

/// When the presentation begins, in milliseconds: with the picture, where sound begins so little
/// before it that it is the decoder's run-up; else with whatever comes first.
fn zero_ms(lanes: &[&Lane]) -> u64 {
    let first = |lane: &&Lane| lane.movie_time(lane.first);
    let earliest = lanes.iter().map(first).min().unwrap_or(0);
    let picture = lanes.iter().find(|lane| lane.codec.is_video()).map(first);
    picture.filter(|picture| picture - earliest <= RUN_UP_MS).unwrap_or(earliest)
}

impl Writer for FileWriter {
    fn begin(&mut self) -> Bytes {
        let mut out = ftyp();
        self.mdat_at = out.len() as u64;
        out.extend_from_slice(&mdat_head(MDAT_HEAD));
        self.len = out.len() as u64;
        out.into()
    }

    fn add(&mut self, chunk: Chunk, at: ProducerTimestamp) -> Result<Vec<Bytes>, Error> {
        let Chunk { scale, cluster_timecode, tracks, frames, .. } = chunk;
        let anchor = Anchor { producer: at, cluster_timecode, scale };
        let mut out = Vec::with_capacity(frames.len());
        for track in &tracks {
            let Some(index) = self.lane(track)? else { continue };
            let lane = &mut self.lanes[index];
            let samples = samples(track, &lane.codec, frames.clone(), anchor);
            let before = out.len();
            lane.add(samples, self.len, &mut out)?;
            self.len += out[before..].iter().map(|data: &Bytes| data.len() as u64).sum::<u64>();
        }
        match &self.refused {
            Some(error) if self.lanes.is_empty() => Err(Error::NoTrack(error.clone())),
            _ => Ok(out),
        }
    }

    fn finish(&mut self, _: ProducerTimestamp) -> Result<Finish, Error> {
        let mut append = Vec::with_capacity(4096);
        self.moov()?.encode(&mut append).map_err(super::Error::from)?;
        let mdat = Bytes::copy_from_slice(&mdat_head(self.len - self.mdat_at));
        Ok(Finish { append: append.into(), patches: vec![(self.mdat_at, mdat)] })
    }
}

fn ftyp() -> Vec<u8> {
    let brands: [&[u8; 4]; 3] = [b"isom", b"iso2", b"mp41"];
    let ftyp = Ftyp {
        major_brand: b"isom".into(),
        minor_version: 512,
        compatible_brands: brands.map(FourCC::from).to_vec(),
    };
    let mut out = Vec::with_capacity(64);
    ftyp.encode(&mut out).expect("a short list of brands is within any limit");
    out
}

/// Bytes of the header of an `mdat` with a 64-bit size.
const MDAT_HEAD: u64 = 16;

fn mdat_head(size: u64) -> [u8; MDAT_HEAD as usize] {
    let mut head = *b"\0\0\0\x01mdat\0\0\0\0\0\0\0\0";
    head[8..].copy_from_slice(&size.to_be_bytes());
    head
}

impl Lane {
    /// Adds a fragment's samples, whose data will stand at `at`.
    fn add(&mut self, samples: Vec<Sample>, at: u64, out: &mut Vec<Bytes>) -> Result<(), Error> {
        if self.entries.len() + samples.len() > MAX_SAMPLES {
            return Err(Error::TooMany { what: "frames of a track", limit: MAX_SAMPLES });
        }
        let shift = samples.first().map_or(0, |first| self.shift(first.decode_time));
        let mut count = 0;
        for sample in samples {
            let decode = sample.decode_time.saturating_add_signed(shift);
            match self.entries.last_mut() {
                None => self.first = decode,
                // A frame that overlaps what is there already is left out.
                Some(_) if decode <= self.last => continue,
                Some(last) => {
                    last.duration = u32::try_from(decode - self.last).unwrap_or(u32::MAX);
                }
            }
            let size = u32::try_from(sample.data.len()).unwrap_or(u32::MAX);
            let Sample { duration, composition_offset: offset, sync, data, .. } = sample;
            self.entries.push(Entry { size, duration, offset, sync });
            self.last = decode;
            out.push(data);
            count += 1;
        }
        if count > 0 {
            self.chunks.push((at, count));
        }
        Ok(())
    }

    /// What brings sound that follows the last fragment's, give or take the rounding of its time,
    /// exactly behind it.
    fn shift(&self, decode: u64) -> i64 {
        let Some(last) = self.entries.last().filter(|_| !self.codec.is_video()) else { return 0 };
        let expected = self.last + u64::from(last.duration);
        let tolerance = u64::from(timescale(&self.codec)) * AUDIO_TOLERANCE_MS / 1000;
        if decode.abs_diff(expected) > tolerance { 0 } else { expected as i64 - decode as i64 }
    }

    /// A time of the track in milliseconds.
    fn movie_time(&self, ticks: u64) -> u64 {
        let millis = u128::from(ticks) * u128::from(MOVIE_TIMESCALE)
            / u128::from(timescale(&self.codec).max(1));
        u64::try_from(millis).unwrap_or(u64::MAX)
    }

    fn trak(&self, id: u32, zero_ms: u64) -> Result<Trak, super::Error> {
        let channels = match self.track.kind {
            TrackKind::Audio { channels, .. } => channels,
            _ => 0,
        };
        let mut trak = super::init::trak(&self.codec, channels)?;
        let last = self.entries.last().map_or(0, |entry| u64::from(entry.duration));
        let length = self.last - self.first + last;
        let begin_ms = self.movie_time(self.first);
        let delay = begin_ms.saturating_sub(zero_ms);
        let hidden = zero_ms.saturating_sub(begin_ms) * u64::from(timescale(&self.codec)) / 1000;
        let shown = self.movie_time(length.saturating_sub(hidden));
        trak.tkhd.track_id = id;
        trak.tkhd.duration = delay + shown;
        trak.mdia.mdhd.duration = length;
        let edit = |segment_duration, media_time| ElstEntry {
            segment_duration,
            media_time,
            media_rate: 1.into(),
        };
        let wait = (delay > 0).then(|| edit(delay, None));
        let entries: Vec<_> = wait.into_iter().chain([edit(shown, Some(hidden))]).collect();
        if delay > 0 || hidden > 0 {
            trak.edts = Some(Edts { elst: Some(Elst { entries }) });
        }
        let stsd = std::mem::take(&mut trak.mdia.minf.stbl.stsd);
        trak.mdia.minf.stbl = Stbl { stsd, ..self.tables() };
        Ok(trak)
    }

    fn tables(&self) -> Stbl {
        let mut stts: Vec<SttsEntry> = Vec::new();
        let mut ctts: Vec<CttsEntry> = Vec::new();
        for entry in &self.entries {
            match stts.last_mut() {
                Some(run) if run.sample_delta == entry.duration => run.sample_count += 1,
                _ => stts.push(SttsEntry { sample_count: 1, sample_delta: entry.duration }),
            }
            match ctts.last_mut() {
                Some(run) if run.sample_offset == i64::from(entry.offset) => run.sample_count += 1,
                _ => {
                    ctts.push(CttsEntry { sample_count: 1, sample_offset: entry.offset.into() });
                }
            }
        }
        let mut stsc: Vec<StscEntry> = Vec::new();
        for (number, &(_, count)) in (1..).zip(&self.chunks) {
            if stsc.last().is_none_or(|run| run.samples_per_chunk != count) {
                stsc.push(StscEntry {
                    first_chunk: number,
                    samples_per_chunk: count,
                    sample_description_index: 1,
                });
            }
        }
        let all_sync = self.entries.iter().all(|entry| entry.sync);
        let sync = (1..).zip(&self.entries).filter(|(_, entry)| entry.sync);
        let reordered = ctts.iter().any(|run| run.sample_offset != 0);
        Stbl {
            stts: Stts { entries: stts },
            ctts: reordered.then_some(Ctts { entries: ctts }),
            stss: (!all_sync).then(|| Stss { entries: sync.map(|(number, _)| number).collect() }),
            stsc: Stsc { entries: stsc },
            stsz: Stsz {
                samples: StszSamples::Different {
                    sizes: self.entries.iter().map(|entry| entry.size).collect(),
                },
            },
            co64: Some(Co64 { entries: self.chunks.iter().map(|&(at, _)| at).collect() }),
            ..Stbl::default()
        }
    }
}
