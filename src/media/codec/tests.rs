use bytes::Bytes;
use proptest::prelude::*;

use super::{Codec, Error, Invalid, Size, aac, h264, h265};
use crate::media::mkv::{Track, TrackKind};

/// x264, 1920x1080 (coded as 1088 lines) at 25 frames per second, High 4.0.
const AVCC_1080P: &str = "01640028ffe1001b67640028acd940780227e5c044000003000400000300c83c60c65801000668ebe3cb22c0fdf8f800";
/// The same, coded as interlaced fields.
const AVCC_1080I: &str = "01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000668fba3cb22c0fdf8f800";
/// x264, 640x360 at 30 frames per second, Constrained Baseline 3.0.
const AVCC_360P: &str =
    "0142c01effe100196742c01ed900a02ff970110000030001000003003c0f162e4801000568cb83cb20";
/// x264, 640x360, High 4:4:4 Predictive.
const AVCC_444: &str = "01f4001effe1001b67f4001e919b281405ff1380880000030008000003019078b16cb001000668ebe3c44844fff8f800";
/// x265, 1920x1080, Main 4.0, without its SEI.
const HVCC_1080P: &str = "01016000000090000000000078f000fcfdf8f800000f03a00001001840010c01ffff016000000300900000030000030078959809a10001002a420101016000000300900000030000030078a003c08010e596566924caf0168080000003008000000c84a2000100074401c172b46240";

fn record(hex: &str) -> Bytes {
    hex::decode(hex).expect("the fixture is hexadecimal").into()
}

fn track(codec_id: &str, codec_private: Option<Bytes>) -> Track {
    Track {
        number: 1,
        kind: TrackKind::Video { width: 0, height: 0 },
        name: None,
        codec_id: codec_id.to_owned(),
        codec_private,
        codec_delay_ns: 0,
        default_duration_ns: None,
    }
}

#[test]
fn h264_record_tells_codec_string_visible_size_and_frame_rate() {
    for (hex, codecs, width, height, rate) in [
        (AVCC_1080P, "avc1.640028", 1920, 1080, 25.0),
        (AVCC_1080I, "avc1.640028", 1920, 1080, 25.0),
        (AVCC_360P, "avc1.42c01e", 640, 360, 30.0),
        (AVCC_444, "avc1.f4001e", 640, 360, 25.0),
    ] {
        let codec = Codec::of(&track("V_MPEG4/ISO/AVC", Some(record(hex)))).expect("valid");
        assert_eq!(codec.rfc6381(), codecs);
        assert_eq!(codec.size(), Some(Size { width, height }), "{codecs}");
        assert_eq!(codec.frame_rate(), Some(rate), "{codecs}");
    }
}

#[test]
fn h265_record_tells_codec_string_and_visible_size() {
    let codec = Codec::of(&track("V_MPEGH/ISO/HEVC", Some(record(HVCC_1080P)))).expect("valid");
    assert_eq!(codec.rfc6381(), "hvc1.1.6.L120.90");
    assert_eq!(codec.size(), Some(Size { width: 1920, height: 1080 }));
    assert_eq!(codec.frame_rate(), None);
}

#[test]
fn aac_config_tells_rate_channels_and_frame_length_with_and_without_sbr() {
    for (hex, codecs, sample_rate, channels, samples_per_frame) in [
        ("1190", "mp4a.40.2", 48_000, 2, 1024),
        ("1208", "mp4a.40.2", 44_100, 1, 1024),
        ("1194", "mp4a.40.2", 48_000, 2, 960),
        // An explicit rate of 44101 Hz.
        ("17805622888000", "mp4a.40.2", 44_101, 1, 1024),
        // HE-AAC, hierarchical: 24 kHz core, 48 kHz out; then the same with parametric stereo.
        ("2b118800", "mp4a.40.5", 48_000, 2, 2048),
        ("eb098800", "mp4a.40.29", 48_000, 1, 2048),
        // HE-AAC, backward compatible.
        ("131056e598", "mp4a.40.5", 48_000, 2, 2048),
    ] {
        let config = aac::Config::parse(&record(hex)).expect(hex);
        assert_eq!(config.rfc6381(), codecs, "{hex}");
        assert_eq!(
            (config.sample_rate, config.channels, config.samples_per_frame),
            (sample_rate, channels, samples_per_frame),
            "{hex}"
        );
    }
}

#[test]
fn annex_b_in_place_of_a_record_is_named() {
    for start in [&b"\0\0\0\x01\x67\x42"[..], b"\0\0\x01\x67"] {
        let private = Some(Bytes::from_static(start));
        for id in ["V_MPEG4/ISO/AVC", "V_MPEGH/ISO/HEVC"] {
            let error = Codec::of(&track(id, private.clone()));
            assert_eq!(error, Err(Error::Invalid(Invalid::AnnexB)), "{id}");
        }
    }
}

#[test]
fn a_track_that_cannot_be_described_says_why() {
    let none = Codec::of(&track("V_MPEG4/ISO/AVC", None));
    assert_eq!(none, Err(Error::Missing));
    assert_eq!(Codec::of(&track("A_AAC", Some(Bytes::new()))), Err(Error::Missing));
    let g711 = Codec::of(&track("A_MS/ACM", None));
    assert_eq!(g711, Err(Error::Unsupported { codec_id: "A_MS/ACM".to_owned() }));
    let no_sps = Bytes::from_static(&[1, 66, 0, 30, 0xff, 0xe0, 0]);
    assert_eq!(h264::Config::parse(&no_sps), Err(Invalid::NoParameterSet));
    let celp = Bytes::from_static(&[8 << 3 | 1, 0x90]);
    assert_eq!(aac::Config::parse(&celp), Err(Invalid::AudioObjectType(8)));
}

#[test]
fn every_record_cut_short_is_refused_or_read_but_never_panics() {
    for hex in [AVCC_1080P, AVCC_444, HVCC_1080P] {
        let whole = record(hex);
        for end in 0..whole.len() {
            let cut = whole.slice(..end);
            let (_, _) = (h264::Config::parse(&cut), h265::Config::parse(&cut));
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let (_, _, _) = (
            h264::Config::parse(&bytes),
            h265::Config::parse(&bytes),
            aac::Config::parse(&bytes),
        );
    }

    #[test]
    fn damaged_parameter_sets_never_panic(
        hex in prop::sample::select(vec![AVCC_1080P, AVCC_1080I, AVCC_444, HVCC_1080P]),
        damage in prop::collection::vec((8usize..200, any::<u8>()), 1..8),
    ) {
        let mut bytes = record(hex).to_vec();
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let bytes = Bytes::from(bytes);
        let (_, _) = (h264::Config::parse(&bytes), h265::Config::parse(&bytes));
    }

    #[test]
    fn audio_config_with_any_rate_is_read_back(rate in 1u32..0x00ff_ffff, channels in 1u8..7) {
        // Type 2 (5 bits), index 15 (4), rate (24), channels (4), GASpecificConfig (3).
        let bits = (2u64 << 35 | 15 << 31 | u64::from(rate) << 7 | u64::from(channels) << 3) << 24;
        let config = aac::Config::parse(&Bytes::copy_from_slice(&bits.to_be_bytes()[..5]));
        let config = config.expect("a valid config");
        prop_assert_eq!((config.sample_rate, config.channels), (rate, channels));
    }
}
