//! H.265: `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 8.3.3) and the head of the sequence
//! parameter set (ITU-T H.265 7.3.2.2).

use std::fmt::Write;

use bytes::Bytes;

use super::bits::{Bits, raw_byte_sequence, split, split_nal};
use super::{Invalid, Size, check_record_version};

/// What a player must know of an H.265 track.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The `hvcC` record, as the producer sent it.
    pub record: Bytes,
    /// `general_profile_space`, 0 to 3.
    pub profile_space: u8,
    /// `general_profile_idc`, 5 bits.
    pub profile: u8,
    /// `general_tier_flag`: the high tier.
    pub high_tier: bool,
    /// `general_profile_compatibility_flags`, the first flag in the highest bit.
    pub compatibility: u32,
    /// `general_constraint_indicator_flags`.
    pub constraints: [u8; 6],
    /// `general_level_idc`: thirty times the level.
    pub level: u8,
    /// The visible picture.
    pub size: Size,
    /// `avgFrameRate` in frames per second, where the record tells.
    pub frame_rate: Option<f64>,
}

/// `nal_unit_type` of a sequence parameter set (H.265 table 7-1).
const NAL_SPS: u8 = 33;
/// Bytes of the record in front of its arrays, their count included.
const RECORD_HEAD: usize = 23;
/// Pixels along a side that are believed; level 6.2 ends far below.
const MAX_SIDE: u32 = 16_384;

impl Config {
    /// Reads a CodecPrivate.
    pub fn parse(record: &Bytes) -> Result<Self, Invalid> {
        check_record_version(record)?;
        let mut rest = &record[..];
        let head = split(&mut rest, RECORD_HEAD).ok_or(Invalid::Truncated)?;
        let nal = first_sps(rest, head[22])?;
        let frame_rate = f64::from(u16::from_be_bytes([head[19], head[20]])) / 256.0;
        let mut constraints = [0; 6];
        constraints.copy_from_slice(&head[6..12]);
        Ok(Self {
            record: record.clone(),
            profile_space: head[1] >> 6,
            profile: head[1] & 0x1f,
            high_tier: head[1] & 0x20 != 0,
            compatibility: u32::from_be_bytes([head[2], head[3], head[4], head[5]]),
            constraints,
            level: head[12],
            size: sequence_parameter_set(nal).ok_or(Invalid::ParameterSet)?,
            frame_rate: (frame_rate >= 1.0).then_some(frame_rate),
        })
    }

    /// `hvc1.` and profile, compatibility, tier, level and constraints (14496-15 annex E.3).
    pub fn rfc6381(&self) -> String {
        let space = ["", "A", "B", "C"][usize::from(self.profile_space & 3)];
        let tier = if self.high_tier { 'H' } else { 'L' };
        let compatibility = self.compatibility.reverse_bits();
        let Self { profile, level, .. } = self;
        let mut text = format!("hvc1.{space}{profile}.{compatibility:X}.{tier}{level}");
        let used = self.constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for byte in &self.constraints[..used] {
            let _infallible = write!(text, ".{byte:X}");
        }
        text
    }
}

/// The first sequence parameter set in the record's arrays.
fn first_sps(mut rest: &[u8], arrays: u8) -> Result<&[u8], Invalid> {
    for _ in 0..arrays {
        let head = split(&mut rest, 3).ok_or(Invalid::Truncated)?;
        let is_sps = head[0] & 0x3f == NAL_SPS;
        for _ in 0..u16::from_be_bytes([head[1], head[2]]) {
            let nal = split_nal(&mut rest).ok_or(Invalid::Truncated)?;
            if is_sps {
                return Ok(nal);
            }
        }
    }
    Err(Invalid::NoParameterSet)
}

/// The visible size.
fn sequence_parameter_set(nal: &[u8]) -> Option<Size> {
    let raw = raw_byte_sequence(nal.get(2..)?);
    let mut bits = Bits::new(&raw);
    bits.skip(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.take(3)?; // sps_max_sub_layers_minus1
    bits.flag()?; // sps_temporal_id_nesting_flag
    profile_tier_level(&mut bits, sub_layers)?;
    bits.unsigned()?; // sps_seq_parameter_set_id
    let mut chroma_format = bits.unsigned()?;
    if chroma_format == 3 && bits.flag()? {
        chroma_format = 0;
    }
    let mut width = bits.unsigned()?;
    let mut height = bits.unsigned()?;
    if bits.flag()? {
        let (unit_x, unit_y) = match chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        width = conformance_window(&mut bits, width, unit_x)?;
        height = conformance_window(&mut bits, height, unit_y)?;
    }
    let valid = 1..=MAX_SIDE;
    (valid.contains(&width) && valid.contains(&height)).then_some(Size { width, height })
}

/// 7.3.3: passes over the general part and those of the sub-layers.
fn profile_tier_level(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    const PROFILE_BITS: usize = 88;
    const LEVEL_BITS: usize = 8;
    bits.skip(PROFILE_BITS + LEVEL_BITS)?;
    let mut present = Vec::with_capacity(7);
    for _ in 0..sub_layers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers as usize))?;
    }
    for (profile, level) in present {
        let length = if profile { PROFILE_BITS } else { 0 } + if level { LEVEL_BITS } else { 0 };
        bits.skip(length)?;
    }
    Some(())
}

/// Takes the offsets of two opposite edges from `side`.
fn conformance_window(bits: &mut Bits<'_>, side: u32, unit: u32) -> Option<u32> {
    let edges = bits.unsigned()?.checked_add(bits.unsigned()?)?;
    side.checked_sub(edges.checked_mul(unit)?)
}
