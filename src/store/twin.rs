//! Recognises a fragment that was sent before: producers re-send after a reconnect what was not
//! acknowledged to them, and some of that was stored all the same.
//!
//! The same fragment has the same producer time, format, cluster and trailer, compared byte by
//! byte; a checksum only says where to look. Heads differ from one connection to the next (a random
//! SegmentUID, say), and what of them matters to decoders is the format.

use super::commit::Finished;
use super::index::Record;
use super::log::entry::{FormatId, HEADER_BYTES};
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
    let lengths = |fragment: &Finished| (fragment.entry.cluster_len, fragment.entry.trailer_len);
    let alike = key(a) == key(b) && lengths(a) == lengths(b);
    alike && behind_head_is(a, &b.body.get(1..).unwrap_or_default().concat())
}

/// The stored fragment that is the same, among those that look so. Blocks to read them.
pub fn find_stored<'a>(
    segments: &Segments,
    fragment: &Finished,
    mut alike: impl Iterator<Item = &'a Record>,
) -> Option<Record> {
    alike.find(|record| stored_is_same(segments, record, fragment)).copied()
}

fn stored_is_same(segments: &Segments, record: &Record, fragment: &Finished) -> bool {
    let len = HEADER_BYTES + record.size as usize;
    let stored = Place::of(segments, record.lsn).map(|place| place.read(len));
    // What can not be read is no reason to refuse a good copy.
    let Some(Ok(stored)) = stored else { return false };
    let header = header_of(&stored, record.lsn);
    let Some(entry) = header.and_then(|header| header.kind.fragment()) else { return false };
    if entry.cluster_len != fragment.entry.cluster_len {
        return false;
    }
    let Some(stored) = stored.get(HEADER_BYTES + entry.head_len as usize..) else { return false };
    behind_head_is(fragment, stored)
}

/// Compares all that follows the head, which is the first piece.
fn behind_head_is(fragment: &Finished, mut bytes: &[u8]) -> bool {
    let same = fragment.body.iter().skip(1).all(|piece| {
        let rest = bytes.strip_prefix(&piece[..]);
        bytes = rest.unwrap_or_default();
        rest.is_some()
    });
    same && bytes.is_empty()
}
