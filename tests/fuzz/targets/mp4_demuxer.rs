//! Any bytes, cut anywhere, as an MP4 file: the demuxer gives the same frames and holds no more than
//! its bounds, and an index by itself can be walked to its end.

#![no_main]

use bytes::Bytes;
use kinora_fuzz::media::mp4::demux::{Demuxer, Error, Event, Frame, Movie};
use kinora_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

/// Frames that are walked of an index: a small one can claim millions.
const WALKED: usize = 10_000;

fuzz_target!(|data: &[u8]| {
    let split = read(pieces(data));
    let whole = read(std::iter::once(data));
    assert_eq!(split, whole);
    let frames: usize = split.0.iter().map(|frame| frame.data.len()).sum();
    assert!(frames <= data.len(), "each byte belongs to one frame at most");
    if let Ok(movie) = Movie::read(&Bytes::copy_from_slice(data), 0) {
        let mut samples = movie.in_time();
        let mut walked = 0;
        while walked < WALKED && matches!(samples.next(&movie), Ok(Some(_))) {
            walked += 1;
        }
    }
});

/// The frames, the error, and whether the file has to be kept.
type Outcome = (Vec<Frame>, Option<Error>, bool);

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let (mut demuxer, mut frames) = (Demuxer::default(), Vec::new());
    for piece in pieces {
        demuxer.push(piece);
        loop {
            match demuxer.next_event() {
                Ok(Some(Event::Frame(frame))) => frames.push(frame),
                Ok(Some(Event::Movie(_))) => {}
                Ok(Some(Event::KeepFile)) => return (frames, None, true),
                Ok(None) => break,
                Err(error) => return (frames, Some(error), false),
            }
        }
    }
    (frames, demuxer.finish().err(), false)
}
