//! H.264: `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 5.3.3) and the sequence parameter set
//! (ITU-T H.264 7.3.2.1.1).

use bytes::Bytes;

use super::bits::{Bits, raw_byte_sequence, split, split_nal};
use super::{Invalid, Size, check_record_version};

/// What a player must know of an H.264 track.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The `avcC` record, as the producer sent it.
    pub record: Bytes,
    /// `AVCProfileIndication`.
    pub profile: u8,
    /// `profile_compatibility`: the constraint flags.
    pub compatibility: u8,
    /// `AVCLevelIndication`.
    pub level: u8,
    /// The visible picture.
    pub size: Size,
    /// Frames per second of the VUI, where it tells.
    pub frame_rate: Option<f64>,
}

impl Config {
    /// Reads a CodecPrivate.
    pub fn parse(record: &Bytes) -> Result<Self, Invalid> {
        check_record_version(record)?;
        let mut rest = &record[..];
        let head = split(&mut rest, 6).ok_or(Invalid::Truncated)?;
        if head[5] & 0x1f == 0 {
            return Err(Invalid::NoParameterSet);
        }
        let nal = split_nal(&mut rest).ok_or(Invalid::Truncated)?;
        let (size, frame_rate) = sequence_parameter_set(nal).ok_or(Invalid::ParameterSet)?;
        Ok(Self {
            record: record.clone(),
            profile: head[1],
            compatibility: head[2],
            level: head[3],
            size,
            frame_rate,
        })
    }

    /// `avc1.` and profile, constraints and level in hexadecimal.
    pub fn rfc6381(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.profile, self.compatibility, self.level)
    }
}

/// Profiles whose parameter set tells of chroma format and scaling (7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// Pixels along a side that are believed; level 6.2 ends far below.
const MAX_SIDE: u32 = 16_384;

/// The visible size and the VUI's frame rate.
fn sequence_parameter_set(nal: &[u8]) -> Option<(Size, Option<f64>)> {
    let raw = raw_byte_sequence(nal.get(1..)?);
    let mut bits = Bits::new(&raw);
    let profile = bits.take(8)?;
    bits.skip(16)?;
    bits.unsigned()?; // seq_parameter_set_id
    let mut chroma_format = 1;
    if HIGH_PROFILES.contains(&profile) {
        chroma_format = high_profile_fields(&mut bits)?;
    }
    bits.unsigned()?; // log2_max_frame_num_minus4
    picture_order_count(&mut bits)?;
    bits.unsigned()?; // max_num_ref_frames
    bits.flag()?; // gaps_in_frame_num_value_allowed_flag
    let width_mbs = bits.unsigned()?.checked_add(1)?;
    let height_units = bits.unsigned()?.checked_add(1)?;
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.flag()?; // mb_adaptive_frame_field_flag
    }
    bits.flag()?; // direct_8x8_inference_flag
    let field_factor = if frames_only { 1 } else { 2 };
    let mut width = width_mbs.checked_mul(16)?;
    let mut height = height_units.checked_mul(16 * field_factor)?;
    if bits.flag()? {
        let (crop_x, crop_y) = match chroma_format {
            1 => (2, 2 * field_factor),
            2 => (2, field_factor),
            _ => (1, field_factor),
        };
        width = crop(&mut bits, width, crop_x)?;
        height = crop(&mut bits, height, crop_y)?;
    }
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        return None;
    }
    // Cameras are known to write broken VUIs; the picture is fine without one.
    Some((Size { width, height }, frame_rate(&mut bits)))
}

/// The fields only high profiles have; returns `chroma_format_idc`, 0 where planes are separate.
fn high_profile_fields(bits: &mut Bits<'_>) -> Option<u32> {
    let mut chroma_format = bits.unsigned()?;
    let lists = if chroma_format == 3 { 12 } else { 8 };
    if chroma_format == 3 && bits.flag()? {
        chroma_format = 0;
    }
    bits.unsigned()?; // bit_depth_luma_minus8
    bits.unsigned()?; // bit_depth_chroma_minus8
    bits.flag()?; // qpprime_y_zero_transform_bypass_flag
    if bits.flag()? {
        for list in 0..lists {
            if bits.flag()? {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma_format)
}

/// 7.3.2.1.1.1: passes over a scaling list.
fn scaling_list(bits: &mut Bits<'_>, entries: usize) -> Option<()> {
    let mut last = 8i32;
    let mut next = 8i32;
    for _ in 0..entries {
        if next != 0 {
            next = last.checked_add(bits.signed()?)?.rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Passes over `pic_order_cnt_type` and what depends on it.
fn picture_order_count(bits: &mut Bits<'_>) -> Option<()> {
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => {
            bits.flag()?;
            bits.signed()?;
            bits.signed()?;
            let cycle = bits.unsigned()?;
            if cycle > 255 {
                return None;
            }
            for _ in 0..cycle {
                bits.signed()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// Takes the offsets of two opposite edges from `side`.
fn crop(bits: &mut Bits<'_>, side: u32, unit: u32) -> Option<u32> {
    let edges = bits.unsigned()?.checked_add(bits.unsigned()?)?;
    side.checked_sub(edges.checked_mul(unit)?)
}

/// The VUI's frame rate (annex E.1.1): two ticks make a frame.
fn frame_rate(bits: &mut Bits<'_>) -> Option<f64> {
    const EXTENDED_SAR: u32 = 255;
    if !bits.flag()? {
        return None;
    }
    if bits.flag()? && bits.take(8)? == EXTENDED_SAR {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.flag()?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.skip(4)?; // video_format, video_full_range_flag
        if bits.flag()? {
            bits.skip(24)?; // colour description
        }
    }
    if bits.flag()? {
        bits.unsigned()?;
        bits.unsigned()?;
    }
    if !bits.flag()? {
        return None;
    }
    let tick = bits.take(32)?;
    let scale = bits.take(32)?;
    let rate = f64::from(scale) / (2.0 * f64::from(tick));
    (tick > 0 && (1.0..=1000.0).contains(&rate)).then_some(rate)
}
