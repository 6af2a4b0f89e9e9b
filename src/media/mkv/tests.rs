//! Tests that need more than one part of the module, and what they share.

mod blocks;
mod fixtures;
mod levels;
mod metadata;
mod properties;
mod writing;

use super::*;
use crate::media::ebml;

/// More than any element of the tests has.
const ROOMY: usize = 16 << 20;

/// Reads a body given in pieces; the events before an error, and the error.
fn read_pieces<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    max_element: usize,
) -> (Vec<Event>, Option<Error>) {
    let (mut reader, mut events) = (Reader::new(max_element), Vec::new());
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.next_event(), Err(error.clone()), "errors are lasting");
                    return (events, Some(error));
                }
            }
        }
        assert!(reader.buffered() <= max_element.max(12), "{} buffered", reader.buffered());
    }
    (events, None)
}

/// Reads a body that is pushed at once.
fn read(body: &[u8]) -> (Vec<Event>, Option<Error>) {
    read_pieces(std::iter::once(body), ROOMY)
}

/// Reads a valid body.
fn events(body: &[u8]) -> Vec<EventKind> {
    let (events, error) = read(body);
    assert_eq!(error, None);
    events.into_iter().map(|event| event.kind).collect()
}

/// Reads a body that has an error.
fn error(body: &[u8]) -> Error {
    read(body).1.expect("the body has an error")
}

fn frames(events: impl IntoIterator<Item = EventKind>) -> Vec<Frame> {
    let frames = events.into_iter().map(|kind| match kind {
        EventKind::Frames(frames) => frames,
        _ => Vec::new(),
    });
    frames.flatten().collect()
}

fn raw(events: &[Event]) -> Vec<u8> {
    events.iter().flat_map(|event| event.raw.iter().copied()).collect()
}

/// An element of known size.
fn element(id: u32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ebml::put(&mut out, id, 1, data);
    out
}

/// The start of an element of unknown size, coded in one byte.
fn unknown(id: u32) -> Vec<u8> {
    let mut out = Vec::new();
    ebml::put_id(&mut out, id);
    out.push(0xff);
    out
}

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn ebml_head() -> Vec<u8> {
    element(ids::EBML, &element(ids::DOC_TYPE, b"matroska"))
}

/// EBML head and the start of a Segment of unknown size.
fn opened() -> Vec<u8> {
    join(&[ebml_head(), unknown(ids::SEGMENT)])
}

/// [`opened`] and a Cluster of unknown size with a Timecode.
fn in_cluster(timecode: u8) -> Vec<u8> {
    join(&[opened(), unknown(ids::CLUSTER), element(ids::TIMESTAMP, &[timecode])])
}

/// A SimpleBlock of track 1 with the content after its head.
fn plain_block(offset: i16, flags: u8, content: &[u8]) -> Vec<u8> {
    element(ids::SIMPLE_BLOCK, &block(offset, flags, content))
}

fn block(offset: i16, flags: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = offset.to_be_bytes();
    [&[0x81, high, low, flags], content].concat()
}

/// A Tracks element with track 1, which has what `more` says beside number, type and codec.
fn tracks(more: &[u8]) -> Vec<u8> {
    let entry = join(&[
        element(ids::TRACK_NUMBER, &[1]),
        element(ids::TRACK_TYPE, &[2]),
        element(ids::CODEC_ID, b"A_AAC"),
        more.to_vec(),
    ]);
    element(ids::TRACKS, &element(ids::TRACK_ENTRY, &entry))
}

fn data(frames: &[Frame]) -> Vec<Bytes> {
    frames.iter().map(|frame| frame.data.clone()).collect()
}
