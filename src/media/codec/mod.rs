//! What a track's CodecPrivate says: enough to describe the track to a player.
//!
//! Here: parameter sets, codec strings (RFC 6381), picture sizes, audio rates. Not here: frames;
//! they pass through untouched.

pub mod aac;
mod bits;
pub mod h264;
pub mod h265;

use bytes::Bytes;

use super::mkv;

/// A track's codec with its configuration record, parsed.
#[derive(Clone, Debug, PartialEq)]
pub enum Codec {
    /// H.264 with its `AVCDecoderConfigurationRecord`.
    H264(h264::Config),
    /// H.265 with its `HEVCDecoderConfigurationRecord`.
    H265(h265::Config),
    /// AAC with its `AudioSpecificConfig`.
    Aac(aac::Config),
}

/// Why a track cannot be described to a player.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The codec is none that can be packaged.
    #[error("the codec {codec_id} cannot be played")]
    Unsupported {
        /// Matroska's `CodecID`, as the producer wrote it.
        codec_id: String,
    },
    /// The track has no CodecPrivate.
    #[error("the track has no CodecPrivate")]
    Missing,
    /// The CodecPrivate is not what its codec demands.
    #[error("the CodecPrivate is invalid: {0}")]
    Invalid(#[from] Invalid),
}

/// What is wrong with a CodecPrivate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It ends before it is complete.
    #[error("it ends too early")]
    Truncated,
    /// It begins with a start code instead of a configuration record.
    #[error("it is an Annex B byte stream, not a configuration record")]
    AnnexB,
    /// `configurationVersion` is not 1.
    #[error("its configuration version is {0}, not 1")]
    Version(u8),
    /// It holds no sequence parameter set.
    #[error("it holds no sequence parameter set")]
    NoParameterSet,
    /// A sequence parameter set breaks its own syntax, or describes no picture.
    #[error("its sequence parameter set is malformed")]
    ParameterSet,
    /// The audio object type is no AAC that can be packaged.
    #[error("its audio object type is {0}")]
    AudioObjectType(u8),
    /// The sampling frequency is reserved or zero.
    #[error("its sampling frequency is reserved or zero")]
    SamplingFrequency,
}

/// Width and height of the visible picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Codec {
    /// Reads the codec of a Matroska track.
    pub fn of(track: &mkv::Track) -> Result<Self, Error> {
        let private = || match &track.codec_private {
            Some(bytes) if !bytes.is_empty() => Ok(bytes),
            _ => Err(Error::Missing),
        };
        match track.codec_id.as_str() {
            // The C SDK writes `V_MPEG/ISO/AVC` and Matroska demands `V_MPEG4/ISO/AVC`.
            "V_MPEG4/ISO/AVC" | "V_MPEG/ISO/AVC" => {
                Ok(Self::H264(h264::Config::parse(private()?)?))
            }
            "V_MPEGH/ISO/HEVC" | "V_MPEG/ISO/HEVC" => {
                Ok(Self::H265(h265::Config::parse(private()?)?))
            }
            // `A_AAC/MPEG4/LC` and its kind are Matroska's deprecated spellings.
            id if id == "A_AAC" || id.starts_with("A_AAC/") => {
                Ok(Self::Aac(aac::Config::parse(private()?)?))
            }
            id => Err(Error::Unsupported { codec_id: id.to_owned() }),
        }
    }

    /// The `codecs` parameter of RFC 6381, as in `CODECS="avc1.4d4029"`.
    pub fn rfc6381(&self) -> String {
        match self {
            Self::H264(config) => config.rfc6381(),
            Self::H265(config) => config.rfc6381(),
            Self::Aac(config) => config.rfc6381(),
        }
    }

    /// The configuration record, as the producer sent it.
    pub fn record(&self) -> &Bytes {
        match self {
            Self::H264(config) => &config.record,
            Self::H265(config) => &config.record,
            Self::Aac(config) => &config.record,
        }
    }

    /// The visible picture's size; `None` for audio.
    pub fn size(&self) -> Option<Size> {
        match self {
            Self::H264(config) => Some(config.size),
            Self::H265(config) => Some(config.size),
            Self::Aac(_) => None,
        }
    }

    /// Frames per second where the configuration tells.
    pub fn frame_rate(&self) -> Option<f64> {
        match self {
            Self::H264(config) => config.frame_rate,
            Self::H265(config) => config.frame_rate,
            Self::Aac(_) => None,
        }
    }

    /// Whether this is a picture.
    pub fn is_video(&self) -> bool {
        !matches!(self, Self::Aac(_))
    }
}

/// A configuration record for video begins with version 1, Annex B with a start code.
fn check_record_version(record: &[u8]) -> Result<(), Invalid> {
    match record {
        [0, 0, 1, ..] | [0, 0, 0, 1, ..] => Err(Invalid::AnnexB),
        [1, ..] => Ok(()),
        [version, ..] => Err(Invalid::Version(*version)),
        [] => Err(Invalid::Truncated),
    }
}

#[cfg(test)]
mod tests;
