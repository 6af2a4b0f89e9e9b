//! Takes stored chunks apart.

use bytes::Bytes;

use super::parser::{Content, Parser, Step};
use super::{Error, ErrorKind, EventKind, Frame, Tag, Track, ids};
use crate::types::TimestampScale;

/// A stored chunk, taken apart without copying.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Length of a tick.
    pub scale: TimestampScale,
    /// The cluster's Timecode, in ticks; 0 before it is told.
    pub cluster_timecode: u64,
    /// The declared tracks.
    pub tracks: Vec<Track>,
    /// In the order of the file, which is decode order per track.
    pub frames: Vec<Frame>,
    /// All SimpleTags in the order of the file, before and after the cluster.
    pub tags: Vec<Tag>,
}

/// Takes a complete MKV file (one chunk) apart; frames are slices of `bytes`, whose payload is not
/// looked at.
///
/// A chunk is cut out of a longer body, so the size of its Segment, if it has one, counts as
/// unknown.
///
/// # Errors
/// Those of [`Reader::next_event`](super::Reader::next_event), `Truncated` when the last element
/// or a sized Cluster is cut, and `Misplaced` for a second EBML head.
pub fn read_chunk(bytes: &Bytes) -> Result<Chunk, Error> {
    read(bytes, |_| true)
}

/// Like [`read_chunk`], with the frames of one track alone.
///
/// # Errors
/// Those of [`read_chunk`].
pub fn read_track(bytes: &Bytes, track: u64) -> Result<Chunk, Error> {
    read(bytes, |number| number == track)
}

fn read(bytes: &Bytes, wanted: impl Fn(u64) -> bool) -> Result<Chunk, Error> {
    let mut chunk = Chunk {
        scale: TimestampScale::MILLISECOND,
        cluster_timecode: 0,
        tracks: Vec::new(),
        frames: Vec::new(),
        tags: Vec::new(),
    };
    let mut parser = Parser::new(usize::MAX);
    let mut at = 0;
    while at < bytes.len() {
        let error = |kind| Error { at: at as u64, kind };
        let Step::Found { len, content } = parser.step(&bytes[at..])? else {
            return Err(error(ErrorKind::Truncated));
        };
        match content {
            Content::Block(block) if wanted(block.track()) => {
                parser.frames(block, bytes, at, &mut chunk.frames);
            }
            Content::Block(_) => {}
            Content::Event(EventKind::EbmlHead { .. }) if at > 0 => {
                return Err(error(ErrorKind::Misplaced { id: ids::EBML }));
            }
            Content::Event(EventKind::SegmentStart { .. }) => parser.forget_segment_size(),
            Content::Event(EventKind::Info { scale }) => chunk.scale = scale,
            Content::Event(EventKind::ClusterTimecode(ticks)) => chunk.cluster_timecode = ticks,
            Content::Event(EventKind::Tracks(tracks)) => chunk.tracks = tracks,
            Content::Event(EventKind::Tags(tags)) => chunk.tags.extend(tags),
            Content::Event(_) => {}
        }
        at += len;
    }
    if !parser.cluster_is_whole() {
        return Err(Error { at: at as u64, kind: ErrorKind::Truncated });
    }
    Ok(chunk)
}
