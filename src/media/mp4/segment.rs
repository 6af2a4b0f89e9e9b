//! The media segment: `moof` and the head of its `mdat`, then the frames, uncopied.

use bytes::{BufMut, Bytes};
use mp4_atom::{Encode, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples};

use super::{Error, Sample, TRACK_ID};

/// A media segment as a gather list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// `moof` and the head of `mdat`.
    pub head: Bytes,
    /// The content of `mdat`, one slice per frame.
    pub frames: Vec<Bytes>,
}

/// ISO/IEC 14496-12 8.8.3.1: depends on no other sample.
const SYNC_SAMPLE: u32 = 2 << 24;
/// Depends on others; is no sync sample.
const OTHER_SAMPLE: u32 = 1 << 24 | 1 << 16;
const MDAT_HEAD: usize = 8;

impl Segment {
    /// Packages samples, in decode order and at least one. `sequence` grows from segment to
    /// segment (`mfhd`); gaps in it mean nothing.
    pub fn new(sequence: u32, samples: Vec<Sample>) -> Result<Self, Error> {
        let first = samples.first().ok_or_else(|| Error("no samples".to_owned()))?;
        let too_large = || Error("the frames exceed 2 GiB".to_owned());
        let payload: usize = samples.iter().map(|sample| sample.data.len()).sum();
        let mdat_size = u32::try_from(payload + MDAT_HEAD).map_err(|_| too_large())?;
        let mut moof = moof(sequence, first.decode_time, &samples);
        // The offset of the data is the size of the box that holds it; its own width is fixed.
        let mut head = Vec::with_capacity(128 + 16 * samples.len());
        moof.encode(&mut head)?;
        let offset = i32::try_from(head.len() + MDAT_HEAD).map_err(|_| too_large())?;
        moof.traf[0].trun[0].data_offset = Some(offset);
        head.clear();
        moof.encode(&mut head)?;
        head.put_u32(mdat_size);
        head.put_slice(b"mdat");
        let frames = samples.into_iter().map(|sample| sample.data).collect();
        Ok(Self { head: head.into(), frames })
    }

    /// Bytes of the segment.
    pub fn len(&self) -> usize {
        self.head.len() + self.frames.iter().map(Bytes::len).sum::<usize>()
    }

    /// Never: a segment has a head.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parts, one after the other.
    pub fn into_parts(self) -> Vec<Bytes> {
        let mut parts = self.frames;
        parts.insert(0, self.head);
        parts
    }
}

fn moof(sequence: u32, decode_time: u64, samples: &[Sample]) -> Moof {
    let duration = common(samples, |sample| sample.duration);
    let reordered = samples.iter().any(|sample| sample.composition_offset != 0);
    // All sync: audio. Only the first: a usual group of pictures. Each has a short form.
    let all_sync = samples.iter().all(|sample| sample.sync);
    let only_first_sync = samples[0].sync && !samples[1..].iter().any(|sample| sample.sync);
    let entry = |(index, sample): (usize, &Sample)| TrunEntry {
        duration: duration.is_none().then_some(sample.duration),
        size: u32::try_from(sample.data.len()).ok(),
        flags: (!all_sync && (!only_first_sync || index == 0)).then_some(if sample.sync {
            SYNC_SAMPLE
        } else {
            OTHER_SAMPLE
        }),
        cts: reordered.then_some(sample.composition_offset.into()),
    };
    let entries = samples.iter().enumerate().map(entry).collect();
    Moof {
        mfhd: Mfhd { sequence_number: sequence },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: TRACK_ID,
                default_sample_duration: duration,
                default_sample_flags: Some(if all_sync { SYNC_SAMPLE } else { OTHER_SAMPLE }),
                default_base_is_moof: true,
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt { base_media_decode_time: decode_time }),
            trun: vec![Trun { data_offset: Some(0), samples: TrunSamples::Explicit(entries) }],
            ..Traf::default()
        }],
    }
}

/// The value that all samples share, if they do.
fn common(samples: &[Sample], value: impl Fn(&Sample) -> u32) -> Option<u32> {
    let first = value(samples.first()?);
    samples.iter().all(|sample| value(sample) == first).then_some(first)
}
