//! Any bytes as a track's CodecPrivate: no parser of codec data panics, whatever the codec.

#![no_main]

use bytes::Bytes;
use kinora_fuzz::media::codec::{aac, h264, h265};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let record = Bytes::copy_from_slice(data);
    if let Ok(config) = h264::Config::parse(&record) {
        assert!(config.rfc6381().starts_with("avc1."));
    }
    if let Ok(config) = h265::Config::parse(&record) {
        assert!(config.rfc6381().starts_with("hvc1."));
    }
    if let Ok(config) = aac::Config::parse(&record) {
        assert!(config.rfc6381().starts_with("mp4a.40."));
    }
});
