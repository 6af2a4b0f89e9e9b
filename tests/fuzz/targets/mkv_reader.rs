//! Any bytes, cut anywhere: the MKV reader gives the same events, and their bytes are the body's.

#![no_main]

use bytes::Bytes;
use kinora_fuzz::media::mkv::{Error, Event, Reader, read_chunk};
use kinora_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

const MAX_ELEMENT: usize = 64 << 10;

fuzz_target!(|data: &[u8]| {
    let split = read(pieces(data));
    let whole = read(std::iter::once(data));
    assert_eq!(split, whole);
    let mut rest = data;
    for event in &split.0 {
        assert_eq!(event.at, (data.len() - rest.len()) as u64);
        rest = rest.strip_prefix(&event.raw[..]).expect("the event has the body's bytes");
    }
    let _ = read_chunk(&Bytes::copy_from_slice(data));
});

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Option<Error>) {
    let (mut reader, mut events) = (Reader::new(MAX_ELEMENT), Vec::new());
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(reader.buffered() <= MAX_ELEMENT);
    }
    (events, None)
}
