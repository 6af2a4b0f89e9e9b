//! The init segment: `ftyp` and a `moov` without samples.

use bytes::Bytes;
use mp4_atom::{
    Atom, Audio, Avc1, Avcc, Dinf, Dref, Encode, FourCC, Ftyp, Hdlr, Hvc1, Hvcc, Mdhd, Mdia, Minf,
    Moov, Mp4a, Mvex, Mvhd, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd, esds,
};

use super::{Error, TRACK_ID, timescale};
use crate::media::codec::{Codec, Size, aac};

/// `ftyp` and `moov` that describe one track. `channels` is the container's word, for an AAC
/// config that leaves the channels to a program config element.
pub fn init_segment(codec: &Codec, channels: u32) -> Result<Bytes, Error> {
    let mut bytes = Vec::with_capacity(1024);
    let brands: [&[u8; 4]; 4] = [b"iso6", b"cmfc", b"mp41", b"dash"];
    let ftyp = Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: brands.map(FourCC::from).to_vec(),
    };
    ftyp.encode(&mut bytes)?;
    moov(codec, channels)?.encode(&mut bytes)?;
    Ok(bytes.into())
}

fn moov(codec: &Codec, channels: u32) -> Result<Moov, Error> {
    Ok(Moov {
        mvhd: Mvhd {
            timescale: timescale(codec),
            next_track_id: TRACK_ID + 1,
            rate: 1.into(),
            volume: 1.into(),
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex {
                track_id: TRACK_ID,
                default_sample_description_index: 1,
                ..Trex::default()
            }],
        }),
        trak: vec![trak(codec, channels)?],
        ..Moov::default()
    })
}

pub(super) fn trak(codec: &Codec, channels: u32) -> Result<Trak, Error> {
    let size = codec.size().unwrap_or(Size { width: 0, height: 0 });
    Ok(Trak {
        tkhd: Tkhd {
            track_id: TRACK_ID,
            enabled: true,
            in_movie: true,
            volume: if codec.is_video() { 0 } else { 1 }.into(),
            width: side(size.width).into(),
            height: side(size.height).into(),
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd {
                timescale: timescale(codec),
                language: "und".to_owned(),
                ..Mdhd::default()
            },
            hdlr: Hdlr {
                handler: if codec.is_video() { b"vide" } else { b"soun" }.into(),
                name: String::new(),
            },
            minf: minf(codec, channels)?,
        },
        ..Trak::default()
    })
}

fn minf(codec: &Codec, channels: u32) -> Result<Minf, Error> {
    Ok(Minf {
        vmhd: codec.is_video().then(Vmhd::default),
        smhd: (!codec.is_video()).then(Smhd::default),
        dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
        stbl: Stbl {
            stsd: Stsd { codecs: vec![sample_entry(codec, channels)?] },
            stco: Some(Stco::default()),
            ..Stbl::default()
        },
        ..Minf::default()
    })
}

fn sample_entry(codec: &Codec, channels: u32) -> Result<mp4_atom::Codec, Error> {
    Ok(match codec {
        Codec::H264(config) => Avc1 {
            visual: visual(config.size),
            avcc: Avcc::decode_body(&mut &config.record[..])?,
            ..Avc1::default()
        }
        .into(),
        Codec::H265(config) => Hvc1 {
            visual: visual(config.size),
            hvcc: Hvcc::decode_body(&mut &config.record[..])?,
            ..Hvc1::default()
        }
        .into(),
        Codec::Aac(config) => mp4a(config, channels).into(),
    })
}

fn visual(size: Size) -> Visual {
    Visual {
        data_reference_index: 1,
        width: side(size.width),
        height: side(size.height),
        ..Visual::default()
    }
}

/// The codec's parser bounds a side below 16 bits.
fn side(pixels: u32) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX)
}

fn mp4a(config: &aac::Config, channels: u32) -> Mp4a {
    /// `objectTypeIndication` of MPEG-4 audio (ISO/IEC 14496-1 table 5).
    const MPEG4_AUDIO: u8 = 0x40;
    /// `streamType` of sound (table 6).
    const AUDIO_STREAM: u8 = 5;
    let channels = if config.channels == 0 { channels } else { config.channels.into() };
    Mp4a {
        audio: Audio {
            data_reference_index: 1,
            channel_count: u16::try_from(channels).unwrap_or(u16::MAX),
            sample_size: 16,
            // The field ends at 65 535 Hz; above it players read the AudioSpecificConfig.
            sample_rate: u16::try_from(config.sample_rate).unwrap_or(0).into(),
        },
        esds: mp4_atom::Esds {
            es_desc: esds::EsDescriptor {
                es_id: 0,
                dec_config: esds::DecoderConfig {
                    object_type_indication: MPEG4_AUDIO,
                    stream_type: AUDIO_STREAM,
                    dec_specific: Some(esds::DecoderSpecific {
                        raw: config.record.to_vec(),
                        ..esds::DecoderSpecific::default()
                    }),
                    ..esds::DecoderConfig::default()
                },
                ..esds::EsDescriptor::default()
            },
        },
        btrt: None,
        taic: None,
    }
}
