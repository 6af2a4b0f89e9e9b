//! Blocks: SimpleBlock and BlockGroup, laced or not (RFC 9559 10).

use bytes::{Bytes, BytesMut};

use super::metadata::TrackRule;
use super::{Error, ErrorKind, Frame, ids};
use crate::media::ebml::{Element, Vint};
use crate::types::TimestampScale;

const KEYFRAME: u8 = 0x80;
const INVISIBLE: u8 = 0x08;
const LACING: u8 = 0x06;
const XIPH: u8 = 0x02;
const FIXED: u8 = 0x04;

/// A block taken apart in place: where its frames are, nothing copied.
#[derive(Debug)]
pub struct Block {
    track: u64,
    timecode: i64,
    keyframe: bool,
    invisible: bool,
    duration: Option<u64>,
    /// Offset of the first frame's data in the outermost element.
    data_at: usize,
    /// Bytes of the data of all frames.
    data_len: usize,
    /// Bytes of each frame; empty where there is no lacing, which costs no allocation.
    laced: Vec<usize>,
}

impl Block {
    /// Reads a SimpleBlock in a cluster that begins at `cluster` ticks.
    pub fn simple(element: &Element, cluster: i64) -> Result<Self, Error> {
        let (block, flags) = Self::read(element, element.header_len, cluster)?;
        Ok(Self { keyframe: flags & KEYFRAME != 0, ..block })
    }

    /// Reads a BlockGroup in a cluster that begins at `cluster` ticks; `None` when it holds only an
    /// encrypted or a virtual block.
    pub fn group(element: &Element, cluster: i64) -> Result<Option<Self>, Error> {
        let (mut block, mut keyframe, mut duration) = (None, true, None);
        for child in element.children() {
            let child = child?;
            match child.id {
                ids::BLOCK => {
                    let start = (child.at - element.at) as usize + child.header_len;
                    block = Some(Self::read(&child, start, cluster)?.0);
                }
                ids::BLOCK_DURATION => duration = Some(child.uint()?),
                ids::REFERENCE_BLOCK => keyframe = false,
                _ => {}
            }
        }
        Ok(block.map(|block| Self { keyframe, duration, ..block }))
    }

    /// Reads the structure that both kinds share; `start` is its offset in the outermost element.
    fn read(element: &Element, start: usize, cluster: i64) -> Result<(Self, u8), Error> {
        let error = |kind| Error { at: element.at, kind };
        let data = element.data;
        let track = Vint::read(data).ok_or_else(|| error(ErrorKind::InvalidBlock))?;
        let Some(&[high, low, flags]) = data.get(track.len..track.len + 3) else {
            return Err(error(ErrorKind::InvalidBlock));
        };
        let head = track.len + 3;
        let frames = &data[head..];
        let laces = lacing(flags, frames).ok_or_else(|| error(ErrorKind::InvalidLacing))?;
        let block = Self {
            track: track.value,
            timecode: cluster.saturating_add(i64::from(i16::from_be_bytes([high, low]))),
            keyframe: false,
            invisible: flags & INVISIBLE != 0,
            duration: None,
            data_at: start + head + laces.head,
            data_len: frames.len() - laces.head,
            laced: laces.sizes,
        };
        Ok((block, flags))
    }

    /// The number of the track it belongs to.
    pub fn track(&self) -> u64 {
        self.track
    }

    /// Appends the block's frames; the block's element begins at `start` of `bytes`.
    pub fn frames(
        self,
        bytes: &Bytes,
        start: usize,
        scale: TimestampScale,
        rule: Option<&TrackRule>,
        out: &mut Vec<Frame>,
    ) {
        let at = start + self.data_at;
        if self.laced.is_empty() {
            let data = restored(bytes.slice(at..at + self.data_len), rule);
            out.push(self.frame(self.timecode, self.duration, data));
            return;
        }
        let count = self.laced.len() as u64;
        let (mut at, duration) = (at, self.duration.map(|ticks| ticks / count));
        for (index, len) in (0..).zip(&self.laced) {
            let offset = lace_offset(index, duration, scale, rule);
            let data = restored(bytes.slice(at..at + len), rule);
            out.push(self.frame(self.timecode.saturating_add(offset), duration, data));
            at += len;
        }
    }

    fn frame(&self, timecode: i64, duration: Option<u64>, data: Bytes) -> Frame {
        let Self { track, keyframe, invisible, .. } = *self;
        Frame { track, timecode, keyframe, invisible, duration, data }
    }
}

/// How far behind the block's time a laced frame stands, in ticks.
fn lace_offset(
    index: u64,
    duration: Option<u64>,
    scale: TimestampScale,
    rule: Option<&TrackRule>,
) -> i64 {
    let tick = u128::from(scale.nanos());
    let ticks = match (rule.and_then(|rule| rule.default_duration_ns), duration) {
        (Some(nanos), _) => u128::from(index) * u128::from(nanos) / tick,
        (None, Some(ticks)) => u128::from(index) * u128::from(ticks),
        (None, None) => 0,
    };
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// The frame as the encoder made it: with the header that the muxer took off.
fn restored(data: Bytes, rule: Option<&TrackRule>) -> Bytes {
    match rule {
        Some(rule) if !rule.stripped.is_empty() => {
            let mut whole = BytesMut::with_capacity(rule.stripped.len() + data.len());
            whole.extend_from_slice(&rule.stripped);
            whole.extend_from_slice(&data);
            whole.freeze()
        }
        _ => data,
    }
}

/// The sizes of laced frames, and the bytes that say so.
struct Laces {
    head: usize,
    sizes: Vec<usize>,
}

/// Reads the lacing head of a block's data; `None` when its sizes do not add up.
fn lacing(flags: u8, data: &[u8]) -> Option<Laces> {
    if flags & LACING == 0 {
        return Some(Laces { head: 0, sizes: Vec::new() });
    }
    let (&last, rest) = data.split_first()?;
    let last = usize::from(last);
    if flags & LACING == FIXED {
        let count = last + 1;
        let sizes = vec![rest.len() / count; count];
        return rest.len().is_multiple_of(count).then_some(Laces { head: 1, sizes });
    }
    let (coded, mut sizes) =
        if flags & LACING == XIPH { xiph_sizes(rest, last) } else { ebml_sizes(rest, last) }?;
    let given = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size))?;
    sizes.push(rest.len().checked_sub(coded)?.checked_sub(given)?);
    Some(Laces { head: 1 + coded, sizes })
}

/// Xiph lacing (RFC 9559 10.3.2): each size but the last as a row of 255 and a rest.
fn xiph_sizes(data: &[u8], count: usize) -> Option<(usize, Vec<usize>)> {
    let (mut at, mut sizes) = (0, Vec::with_capacity(count + 1));
    for _ in 0..count {
        let mut size = 0;
        loop {
            let byte = *data.get(at)?;
            at += 1;
            size += usize::from(byte);
            if byte != 255 {
                break;
            }
        }
        sizes.push(size);
    }
    Some((at, sizes))
}

/// EBML lacing (RFC 9559 10.3.3): the first size, then differences.
fn ebml_sizes(data: &[u8], count: usize) -> Option<(usize, Vec<usize>)> {
    let (mut at, mut sizes) = (0, Vec::with_capacity(count + 1));
    let mut size = 0i64;
    for index in 0..count {
        let coded = Vint::read(data.get(at..)?)?;
        at += coded.len;
        // Sizes stay below 2^63: the sum of at most 255 differences of 56 bits.
        size = if index == 0 { coded.value as i64 } else { size + coded.signed() };
        sizes.push(usize::try_from(size).ok()?);
    }
    Some((at, sizes))
}
