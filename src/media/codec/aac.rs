//! AAC: `AudioSpecificConfig` (ISO/IEC 14496-3 1.6.2.1).

use bytes::Bytes;

use super::Invalid;
use super::bits::Bits;

/// What a player must know of an AAC track.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The `AudioSpecificConfig`, as the producer sent it.
    pub record: Bytes,
    /// The audio object type that is announced: 2 for LC, 5 with SBR, 29 with parametric stereo.
    pub object_type: u8,
    /// Samples per second of the decoded sound, SBR applied.
    pub sample_rate: u32,
    /// `channelConfiguration` as a number of channels; 0 where a program config element tells.
    pub channels: u8,
    /// Decoded samples that a frame holds, SBR applied.
    pub samples_per_frame: u32,
}

/// Samples per second by `samplingFrequencyIndex` (table 1.18).
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
const EXPLICIT_RATE: u32 = 15;
const TYPE_SBR: u8 = 5;
const TYPE_PS: u8 = 29;
/// `syncExtensionType`s of backward compatible signalling (1.6.5).
const SYNC_SBR: u32 = 0x2b7;
const SYNC_PS: u32 = 0x548;

impl Config {
    /// Reads a CodecPrivate.
    pub fn parse(record: &Bytes) -> Result<Self, Invalid> {
        let mut bits = Bits::new(record);
        let mut object_type = object_type(&mut bits).ok_or(Invalid::Truncated)?;
        let core_rate = sample_rate(&mut bits)?;
        let channels = match bits.take(4).ok_or(Invalid::Truncated)? {
            7 => 8,
            count @ 0..7 => count as u8,
            _ => 0,
        };
        let mut extension = None;
        let mut core_type = object_type;
        if matches!(object_type, TYPE_SBR | TYPE_PS) {
            extension = Some(sample_rate(&mut bits)?);
            core_type = self::object_type(&mut bits).ok_or(Invalid::Truncated)?;
        }
        // Main, LC, SSR and LTP are the types whose frames GASpecificConfig describes.
        if !matches!(core_type, 1..=4) {
            return Err(Invalid::AudioObjectType(core_type));
        }
        let core_samples = if bits.flag().ok_or(Invalid::Truncated)? { 960 } else { 1024 };
        if extension.is_none()
            && channels != 0
            && let Some((kind, rate)) = backward_compatible_extension(&mut bits)
        {
            object_type = kind;
            extension = Some(rate);
        }
        // SBR doubles the rate; a "downsampled" SBR announces the core's own.
        let sample_rate = extension.unwrap_or(core_rate);
        let doubled = extension.is_some_and(|rate| u64::from(rate) == 2 * u64::from(core_rate));
        let samples_per_frame = if doubled { 2 * core_samples } else { core_samples };
        Ok(Self { record: record.clone(), object_type, sample_rate, channels, samples_per_frame })
    }

    /// `mp4a.40.` and the audio object type.
    pub fn rfc6381(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    const ESCAPE: u32 = 31;
    match bits.take(5)? {
        ESCAPE => Some(32 + bits.take(6)? as u8),
        value => Some(value as u8),
    }
}

fn sample_rate(bits: &mut Bits<'_>) -> Result<u32, Invalid> {
    let rate = match bits.take(4).ok_or(Invalid::Truncated)? {
        EXPLICIT_RATE => bits.take(24).ok_or(Invalid::Truncated)?,
        index => *SAMPLE_RATES.get(index as usize).ok_or(Invalid::SamplingFrequency)?,
    };
    if rate == 0 { Err(Invalid::SamplingFrequency) } else { Ok(rate) }
}

/// SBR and PS announced behind the core's config, for decoders that know neither. Its absence and
/// whatever else may stand there are both fine.
fn backward_compatible_extension(bits: &mut Bits<'_>) -> Option<(u8, u32)> {
    if bits.flag()? {
        bits.skip(14)?; // coreCoderDelay
    }
    bits.flag()?; // extensionFlag
    if bits.take(11)? != SYNC_SBR || object_type(bits)? != TYPE_SBR || !bits.flag()? {
        return None;
    }
    let rate = sample_rate(bits).ok()?;
    let parametric = bits.remaining() >= 12 && bits.take(11)? == SYNC_PS && bits.flag()?;
    Some((if parametric { TYPE_PS } else { TYPE_SBR }, rate))
}
