//! The sample tables (`stbl`): where each frame stands and when. They are walked as they are, so an
//! index takes no more memory than its own bytes, give or take.

use mp4_atom::{Co64, Ctts, Stco, Stsc, StscEntry, Stss, Stsz, StszSamples, Stts};

use super::boxes::Child;
use super::movie::MovieTrack;
use super::{Error, ErrorKind, MAX_SAMPLE};

/// The most frames of one track: a week of 30 a second.
const MAX_SAMPLES: u32 = 20_000_000;

/// How far apart in time the tracks of a file may stand at one place of it, to be taken as it comes.
const MAX_SKEW_NS: i64 = 10_000_000_000;

/// One frame, before its bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Index of its track.
    pub track: usize,
    /// Where it stands in the body.
    pub at: u64,
    /// Bytes of it.
    pub size: u32,
    /// When it is decoded, in nanoseconds since the presentation's start.
    pub decode_ns: i64,
    /// When it is shown, likewise.
    pub time_ns: i64,
    /// Decoding can begin here.
    pub keyframe: bool,
}

/// The tables of one track; empty in a fragmented file.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    stts: Stts,
    ctts: Ctts,
    stsc: Stsc,
    stsz: Stsz,
    /// Absent: each frame is a sync sample.
    stss: Option<Stss>,
    chunks: Chunks,
    count: u32,
}

/// Where the chunks begin.
#[derive(Clone, Debug)]
enum Chunks {
    Short(Vec<u32>),
    Long(Vec<u64>),
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Short(Vec::new())
    }
}

impl Chunks {
    fn get(&self, index: usize) -> Option<u64> {
        match self {
            Self::Short(offsets) => offsets.get(index).map(|&at| u64::from(at)),
            Self::Long(offsets) => offsets.get(index).copied(),
        }
    }
}

impl Tables {
    /// Reads them, and checks that they say the same of how many frames there are.
    pub fn read(stbl: &Child, track: u32) -> Result<Self, Error> {
        let stsz: Stsz = stbl.need(b"stsz")?.read("stsz")?;
        let count = match &stsz.samples {
            StszSamples::Identical { count, .. } => *count,
            StszSamples::Different { sizes } => u32::try_from(sizes.len()).unwrap_or(u32::MAX),
        };
        if count > MAX_SAMPLES {
            let kind = ErrorKind::TooMany { what: "frames", limit: MAX_SAMPLES as usize };
            return Err(Error { at: stbl.at, kind });
        }
        let chunks = match stbl.find(b"co64")? {
            Some(co64) => Chunks::Long(co64.read::<Co64>("co64")?.entries),
            None => match stbl.find(b"stco")? {
                Some(stco) => Chunks::Short(stco.read::<Stco>("stco")?.entries),
                None => Chunks::default(),
            },
        };
        let tables = Self {
            stts: stbl.need(b"stts")?.read("stts")?,
            ctts: stbl.find(b"ctts")?.map_or(Ok(Ctts::default()), |ctts| ctts.read("ctts"))?,
            stsc: stbl.need(b"stsc")?.read("stsc")?,
            stsz,
            stss: stbl.find(b"stss")?.map(|stss| stss.read("stss")).transpose()?,
            chunks,
            count,
        };
        let contradiction = Error { at: stbl.at, kind: ErrorKind::Tables { track } };
        if tables.is_consistent() { Ok(tables) } else { Err(contradiction) }
    }

    /// Walking to the end meets no table that is too short.
    fn is_consistent(&self) -> bool {
        let timed: u64 = self.stts.entries.iter().map(|run| u64::from(run.sample_count)).sum();
        let rising =
            self.stsc.entries.windows(2).all(|pair| pair[0].first_chunk < pair[1].first_chunk);
        let placed = self.count == 0
            || (self.stsc.entries.first().is_some_and(|run| run.first_chunk == 1)
                && self.stsc.entries.iter().all(|run| run.samples_per_chunk > 0));
        timed >= u64::from(self.count) && rising && placed && self.chunks_hold_all()
    }

    fn chunks_hold_all(&self) -> bool {
        let chunks = match &self.chunks {
            Chunks::Short(offsets) => offsets.len(),
            Chunks::Long(offsets) => offsets.len(),
        } as u64;
        let mut held = 0u64;
        for (index, run) in self.stsc.entries.iter().enumerate() {
            // Chunks are counted from one.
            let before = |run: &StscEntry| u64::from(run.first_chunk).saturating_sub(1);
            let end = self.stsc.entries.get(index + 1).map_or(chunks, before).min(chunks);
            let chunks = end.saturating_sub(before(run));
            held = held.saturating_add(chunks.saturating_mul(run.samples_per_chunk.into()));
        }
        held >= u64::from(self.count)
    }

    /// How long each frame lasts, where all last equally long (the last one does not count).
    pub fn constant_step(&self) -> Option<u32> {
        let steps = &self.stts.entries;
        let first = steps.first()?;
        let rest = steps.get(1).map_or(0, |run| run.sample_count);
        (steps.len() == 1 || steps.len() == 2 && rest == 1).then_some(first.sample_delta)
    }

    fn size(&self, index: u32) -> Option<u32> {
        match &self.stsz.samples {
            StszSamples::Identical { size, .. } => Some(*size),
            StszSamples::Different { sizes } => sizes.get(index as usize).copied(),
        }
    }
}

/// Walks the frames of one track in their order.
#[derive(Clone, Debug, Default)]
struct Cursor {
    index: u32,
    chunk: usize,
    /// Frames of the chunk that were walked.
    in_chunk: u32,
    stsc: usize,
    /// Where the next frame stands, behind others of its chunk.
    at: u64,
    stts: Run,
    ctts: Run,
    stss: usize,
    decode: u64,
}

/// A place in a table of runs.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    entry: usize,
    used: u32,
}

impl Run {
    /// The entry that the next frame falls into, given the entries' lengths.
    fn next(&mut self, length: impl Fn(usize) -> Option<u32>) -> Option<usize> {
        while length(self.entry)? <= self.used {
            *self = Self { entry: self.entry + 1, used: 0 };
        }
        self.used += 1;
        Some(self.entry)
    }
}

impl Cursor {
    fn next(&mut self, track: usize, movie: &MovieTrack) -> Option<Sample> {
        let tables = &movie.tables;
        if self.index >= tables.count {
            return None;
        }
        let size = tables.size(self.index)?;
        let run = tables.stsc.entries.get(self.stsc)?;
        if self.in_chunk == 0 {
            self.at = tables.chunks.get(self.chunk)?;
        }
        let at = self.at;
        self.at = self.at.saturating_add(size.into());
        self.in_chunk += 1;
        if self.in_chunk == run.samples_per_chunk {
            (self.chunk, self.in_chunk) = (self.chunk + 1, 0);
            let next = tables.stsc.entries.get(self.stsc + 1);
            if next.is_some_and(|run| run.first_chunk as usize == self.chunk + 1) {
                self.stsc += 1;
            }
        }
        let (stts, ctts) = (&tables.stts.entries, &tables.ctts.entries);
        let step = self.stts.next(|entry| stts.get(entry).map(|run| run.sample_count))?;
        let offset = self.ctts.next(|entry| ctts.get(entry).map(|run| run.sample_count));
        let offset = offset.map_or(0, |entry| ctts[entry].sample_offset);
        let decode = i64::try_from(self.decode).unwrap_or(i64::MAX);
        self.decode = self.decode.saturating_add(stts[step].sample_delta.into());
        self.index += 1;
        Some(Sample {
            track,
            at,
            size,
            decode_ns: movie.clock.place(decode),
            time_ns: movie.clock.place(decode.saturating_add(offset)),
            keyframe: self.is_sync(tables),
        })
    }

    /// Of the frame that was walked last; `stss` counts from one, in rising order.
    fn is_sync(&mut self, tables: &Tables) -> bool {
        let Some(stss) = &tables.stss else { return true };
        while stss.entries.get(self.stss).is_some_and(|&number| number < self.index) {
            self.stss += 1;
        }
        stss.entries.get(self.stss) == Some(&self.index)
    }
}

/// Merges the tracks' frames; the rest of the tables is needed with each step.
#[derive(Clone, Debug)]
struct Merge {
    cursors: Vec<Cursor>,
    heads: Vec<Option<Sample>>,
}

impl Merge {
    fn new(tracks: &[MovieTrack]) -> Self {
        let mut cursors = vec![Cursor::default(); tracks.len()];
        let heads = cursors.iter_mut().enumerate().map(|(i, c)| c.next(i, &tracks[i])).collect();
        Self { cursors, heads }
    }

    fn next<K: Ord>(
        &mut self,
        tracks: &[MovieTrack],
        key: impl Fn(&Sample) -> K,
    ) -> Option<Sample> {
        let heads = self.heads.iter().flatten();
        let first = *heads.min_by_key(|sample| (key(sample), sample.track))?;
        let track = first.track;
        self.heads[track] = self.cursors[track].next(track, &tracks[track]);
        Some(first)
    }
}

/// The frames as they stand in the file.
#[derive(Clone, Debug)]
pub struct InFile(Merge);

impl InFile {
    pub(super) fn new(tracks: &[MovieTrack]) -> Self {
        Self(Merge::new(tracks))
    }

    pub(super) fn next(&mut self, tracks: &[MovieTrack]) -> Option<Sample> {
        self.0.next(tracks, |sample| sample.at)
    }
}

/// The frames in the order of their decoding.
#[derive(Clone, Debug)]
pub struct InTime(Merge);

impl InTime {
    pub(super) fn new(tracks: &[MovieTrack]) -> Self {
        Self(Merge::new(tracks))
    }

    /// The next frame of the movie that this was made of.
    ///
    /// # Errors
    /// A frame is larger than [`MAX_SAMPLE`].
    pub fn next(&mut self, movie: &super::Movie) -> Result<Option<Sample>, Error> {
        let sample = self.0.next(&movie.tracks, |sample| sample.decode_ns);
        sample.map(check_size).transpose()
    }
}

/// Refuses a frame that is too large to be held.
pub(super) fn check_size(sample: Sample) -> Result<Sample, Error> {
    if sample.size > MAX_SAMPLE {
        let kind = ErrorKind::SampleTooLarge { size: sample.size, limit: MAX_SAMPLE };
        return Err(Error { at: sample.at, kind });
    }
    Ok(sample)
}

/// Whether, taken as they stand in the file, frames neither go back in it nor wait for another track
/// by more than `MAX_SKEW_NS`.
pub(super) fn is_interleaved(tracks: &[MovieTrack]) -> bool {
    let mut merge = Merge::new(tracks);
    let mut end = 0;
    while let Some(sample) = merge.next(tracks, |sample| sample.at) {
        if sample.at < end {
            return false;
        }
        end = sample.at.saturating_add(sample.size.into());
        let others = merge.heads.iter().flatten().map(|head| head.decode_ns).min();
        if others.is_some_and(|next| sample.decode_ns.saturating_sub(next) > MAX_SKEW_NS) {
            return false;
        }
    }
    true
}
