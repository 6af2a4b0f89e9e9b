//! How a body is framed (RFC 9112, section 6): by its length, or in chunks.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use httparse::Status;

/// Bytes that a chunk's head, or a line of the trailers, may have.
const MAX_LINE: usize = 4 << 10;
/// Lines of trailers that are read; they say nothing to us.
const MAX_TRAILERS: usize = 64;

/// Takes payload out of what was read.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A body of known length: so many bytes are left.
    Sized(u64),
    /// A chunk's head comes next.
    Head,
    /// In a chunk: so many bytes are left.
    Chunk(u64),
    /// The line break behind a chunk comes next.
    ChunkEnd,
    /// Behind the last chunk; so many lines were read.
    Trailers(usize),
    End,
}

impl Framing {
    /// A body of `len` bytes.
    pub(super) fn sized(len: u64) -> Self {
        Self { state: if len == 0 { State::End } else { State::Sized(len) } }
    }

    /// A body in chunks.
    pub(super) fn chunked() -> Self {
        Self { state: State::Head }
    }

    /// Whether all of the body was taken.
    pub(super) fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Takes the next piece of payload off the front of `bytes`; `None` when that needs more
    /// bytes, or the body is at its end.
    ///
    /// # Errors
    /// `InvalidData` when the bytes are no chunk.
    pub(super) fn take(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Bytes>> {
        while !bytes.is_empty() {
            self.state = match self.state {
                State::Sized(left) => {
                    let (data, left) = split(bytes, left);
                    self.state = if left == 0 { State::End } else { State::Sized(left) };
                    return Ok(Some(data));
                }
                State::Chunk(left) => {
                    let (data, left) = split(bytes, left);
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    return Ok(Some(data));
                }
                State::Head => match httparse::parse_chunk_size(bytes) {
                    Ok(Status::Complete((len, size))) => {
                        bytes.advance(len);
                        if size == 0 { State::Trailers(0) } else { State::Chunk(size) }
                    }
                    Ok(Status::Partial) if bytes.len() < MAX_LINE => return Ok(None),
                    Ok(Status::Partial) | Err(_) => return Err(invalid("the head of a chunk")),
                },
                State::ChunkEnd => match bytes[..] {
                    [b'\r', b'\n', ..] => {
                        bytes.advance(2);
                        State::Head
                    }
                    [b'\r'] => return Ok(None),
                    _ => return Err(invalid("the end of a chunk")),
                },
                State::Trailers(lines) => match bytes.iter().position(|byte| *byte == b'\n') {
                    Some(len) => {
                        let empty = matches!(bytes[..len], [] | [b'\r']);
                        bytes.advance(len + 1);
                        match lines {
                            _ if empty => State::End,
                            MAX_TRAILERS => return Err(invalid("the trailers")),
                            lines => State::Trailers(lines + 1),
                        }
                    }
                    None if bytes.len() < MAX_LINE => return Ok(None),
                    None => return Err(invalid("the trailers")),
                },
                State::End => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// What is there of the `left` bytes, and how many are left then.
fn split(bytes: &mut BytesMut, left: u64) -> (Bytes, u64) {
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (bytes.split_to(len).freeze(), left - len as u64)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not valid"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `bytes` in pieces of `step`; the payload, what follows the body, and whether it is at
    /// its end.
    fn read(mut framing: Framing, bytes: &[u8], step: usize) -> io::Result<(Vec<u8>, bool)> {
        let (mut buffer, mut payload) = (BytesMut::new(), Vec::new());
        for piece in bytes.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(data) = framing.take(&mut buffer)? {
                assert!(!data.is_empty());
                payload.extend(data);
            }
        }
        Ok((payload, framing.is_at_end()))
    }

    proptest! {
        #[test]
        fn payload_survives_any_cut_into_chunks_and_reads(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            extension in prop_oneof![Just(""), Just(";name=value")],
            trailers in prop_oneof![Just(""), Just("checksum: 1\r\n")],
            step in 1..60usize,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:X}{extension}\r\n", chunk.len()).bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(format!("0\r\n{trailers}\r\n").bytes());
            let whole = read(Framing::chunked(), &body, step).expect("valid");
            prop_assert_eq!(whole, (chunks.concat(), true));
            let cut = read(Framing::chunked(), &body[..body.len() - 1], step).expect("valid");
            prop_assert_eq!(cut, (chunks.concat(), false), "the last byte belongs to it");
            let sized = read(Framing::sized(body.len() as u64), &body, step).expect("valid");
            prop_assert_eq!(sized, (body, true));
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'0'), Just(b'2'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..60,
            ),
            step in 1..9usize,
        ) {
            let _ = read(Framing::chunked(), &bytes, step);
        }
    }

    #[test]
    fn endless_heads_and_trailers_are_refused() {
        let long = vec![b'1'; 20];
        assert!(read(Framing::chunked(), &long, 20).is_err(), "a size beyond 64 bits");
        let extension = [b"1;".to_vec(), vec![b'a'; MAX_LINE]].concat();
        assert!(read(Framing::chunked(), &extension, 100).is_err());
        let trailer = [b"0\r\n".to_vec(), vec![b'a'; MAX_LINE]].concat();
        assert!(read(Framing::chunked(), &trailer, 100).is_err());
        let trailers = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(MAX_TRAILERS + 1)].concat();
        assert!(read(Framing::chunked(), &trailers, 100).is_err());
        assert!(
            read(Framing::chunked(), b"1\r\naa\r\n", 100).is_err(),
            "a chunk longer than it says"
        );
    }
}
