//! Any bytes as messages of an event stream, in pieces: nothing panics, and what is read is written
//! as it was.

#![no_main]

use bytes::BytesMut;
use kinora_fuzz::pieces;
use kinora_fuzz::wire::event_stream::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (mut buffer, mut written) = (BytesMut::new(), Vec::new());
    for piece in pieces(data) {
        buffer.extend_from_slice(piece);
        loop {
            match Message::decode(&mut buffer) {
                Ok(Some(message)) => {
                    written.extend_from_slice(&message.encode().expect("it was read"));
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert_eq!(written, data[..written.len()]);
});
