//! Recognises a fragment that was sent before: producers re-send after a reconnect what was not
//! acknowledged to them, and some of that was stored all the same.
//!
//! The same fragment has the same producer time, format and cluster, compared byte by byte; a
//! checksum only says where to look.

use std::ops::Range;

use super::commit::Finished;
use super::fragments::{FormatId, FragmentInfo};
use super::index::Record;
use super::log::entry::{HEADER_BYTES, Kind, Lsn};
use super::log::reader::{Place, header_of};
use super::log::segment::Segments;
use crate::types::{ProducerTimestamp, StreamId};

/// What two fragments that are the same have in common.
pub type Key = (StreamId, ProducerTimestamp, FormatId, u32);

/// A fragment's key.
pub fn key(fragment: &Finished) -> Key {
    let entry = &fragment.entry;
    (fragment.stream.id(), entry.producer, entry.format, entry.cluster_crc)
}

/// Whether two fragments in memory are the same.
pub fn same(a: &Finished, b: &Finished) -> bool {
    let alike = key(a) == key(b) && a.entry.cluster_len == b.entry.cluster_len;
    alike && cluster_is(a, &cluster(b).concat())
}

/// The stored fragment that is the same, among those that lie in `range`. Blocks to read it.
pub fn find_stored(
    segments: &Segments,
    fragment: &Finished,
    range: Range<Lsn>,
) -> Option<FragmentInfo> {
    let candidates = fragment.stream.alike(&fragment.entry);
    let mut in_range = candidates.iter().filter(|record| range.contains(&record.lsn));
    let twin = in_range.find(|record| stored_is_same(segments, record, fragment))?;
    // It may have expired while it was read.
    fragment.stream.get(twin.number)
}

fn stored_is_same(segments: &Segments, record: &Record, fragment: &Finished) -> bool {
    let len = HEADER_BYTES + record.size as usize;
    let stored = Place::of(segments, record.lsn).map(|place| place.read(len));
    // What can not be read is no reason to refuse a good copy.
    let Some(Ok(stored)) = stored else { return false };
    let Some(Kind::Fragment(entry)) = header_of(&stored, record.lsn).map(|header| header.kind)
    else {
        return false;
    };
    let start = HEADER_BYTES + entry.head_len as usize;
    let Some(stored) = stored.get(start..start + entry.cluster_len as usize) else { return false };
    cluster_is(fragment, stored)
}

fn cluster_is(fragment: &Finished, mut bytes: &[u8]) -> bool {
    let same = cluster(fragment).into_iter().all(|piece| {
        let rest = bytes.strip_prefix(piece);
        bytes = rest.unwrap_or_default();
        rest.is_some()
    });
    same && bytes.is_empty()
}

/// The pieces of the cluster: what lies between the head, which is one piece, and the trailer.
fn cluster(fragment: &Finished) -> Vec<&[u8]> {
    let mut left = fragment.entry.cluster_len as usize;
    let pieces = fragment.body.iter().skip(1);
    pieces
        .map(|piece| {
            let piece = &piece[..piece.len().min(left)];
            left -= piece.len();
            piece
        })
        .take_while(|piece| !piece.is_empty())
        .collect()
}
