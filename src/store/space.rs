//! The space of the log: what is freed when the quota or the floor of free space is reached, and
//! the emptying of segments that are mostly dead.
//!
//! All streams share one log, so a segment holds fragments that expire at different times. One
//! that outlives the rest would keep a whole segment. Such fragments are appended again at the end
//! of the log, where the index finds them from then on, and the segment is free.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::commit::{Committer, Copy};
use super::fragments::MediaStream;
use super::index::Record;
use super::log::entry::{HEADER_BYTES, Header, Kind};
use super::log::reader::{Place, header_of};
use super::log::recovery::Window;
use super::log::segment::{ENTRIES_AT, Segment};
use super::retention::Rule;
use super::streams::Streams;
use crate::types::{Millis, ServerTimestamp, StreamId};

/// Segments that the log can take at once after each pass, so that a producer need not wait.
const HEADROOM_SEGMENTS: u64 = 2;
/// A segment whose live part is smaller is emptied. So what is copied is at most a third of what
/// is appended, and the log takes at most four times what is alive in it.
const SPARSE: u64 = 4;
/// What will expire by itself within this time is not copied.
const SOON: Millis = Millis(3_600_000);
/// How long a segment that could not be emptied yet is left alone.
const LOOK_AGAIN: Millis = Millis(600_000);
/// The part of a segment's bytes that one pass copies at most. There is a pass for each segment
/// that the log takes.
const COPIED_PER_PASS: u64 = 4;
/// Pauses between copies are so many times as long as copying: producers go first.
const PAUSE: u32 = 3;

/// What the log's space was used for since the store opened, and is at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpaceReport {
    /// Bytes of the segment files that hold fragments.
    pub used_bytes: u64,
    /// Bytes of all segment files.
    pub disk_bytes: u64,
    /// Fragments that went because of their stream's retention.
    pub expired: u64,
    /// Fragments that went because of the quota or the floor.
    pub evicted: u64,
    /// Fragments that were refused because nothing was left that may go.
    pub refused: u64,
    /// Bytes that were appended again so that their segment could be freed.
    pub copied_bytes: u64,
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Totals {
    pub expired: AtomicU64,
    pub evicted: AtomicU64,
    pub copied_bytes: AtomicU64,
}

/// Bytes that must be freed for the log to go on within its limits.
pub fn lacking(committer: &Committer) -> io::Result<u64> {
    let segments = &committer.segments;
    if !segments.is_limited() {
        return Ok(0);
    }
    while segments.room()? < 0 && segments.remove_free()? {}
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let headroom = signed(HEADROOM_SEGMENTS * segments.segment_bytes());
    let supply = segments.room()?.saturating_add(signed(segments.free_bytes()));
    Ok(u64::try_from(headroom.saturating_sub(supply)).unwrap_or(0))
}

/// The moment before which everything must go, over all streams, for segments of `lacking` bytes
/// to be freed; those whose newest is not after `gone` could not be. `None` when none is left.
pub fn horizon(
    committer: &Committer,
    lacking: u64,
    gone: ServerTimestamp,
) -> Option<ServerTimestamp> {
    let mut closed = committer.segments.closed(committer.recyclable_before());
    closed.retain(|segment| segment.newest() >= gone);
    closed.sort_by_key(|segment| segment.newest());
    let mut bytes = 0;
    let enough = closed.iter().find(|segment| {
        bytes += segment.file.len;
        bytes >= lacking
    });
    Some(enough.or(closed.last())?.newest().plus(Millis(1)))
}

/// A findable fragment.
type Live = (Arc<MediaStream>, Record);

/// Empties mostly dead segments.
pub struct Emptying<'a> {
    pub committer: &'a Committer,
    pub streams: &'a Streams,
    pub totals: &'a Totals,
    /// What of each stream is kept.
    pub rules: &'a BTreeMap<StreamId, Rule>,
    pub now: ServerTimestamp,
}

impl Emptying<'_> {
    /// Copies as much as one pass may. Blocks.
    pub fn run(&self) {
        let segment_bytes = self.committer.segments.segment_bytes();
        let mut budget = (segment_bytes / COPIED_PER_PASS) as i64;
        for segment in self.sparse() {
            let Some(live) = self.worth(&segment) else {
                segment.leave_until(self.now.plus(LOOK_AGAIN));
                continue;
            };
            for (stream, record) in live {
                if budget <= 0 || self.committer.poisoned().is_some() {
                    return;
                }
                let (started, bytes) = (Instant::now(), record.log_bytes());
                if let Err(error) = self.copy(stream, record) {
                    tracing::warn!(%error, segment = segment.file.name, "could not empty a segment");
                    segment.leave_until(self.now.plus(LOOK_AGAIN));
                    break;
                }
                self.totals.copied_bytes.fetch_add(bytes, Ordering::Relaxed);
                budget -= bytes as i64;
                thread::sleep(started.elapsed() * PAUSE);
            }
        }
    }

    fn copy(&self, stream: Arc<MediaStream>, record: Record) -> io::Result<()> {
        let place =
            Place::of(&self.committer.segments, record.lsn).ok_or(io::ErrorKind::NotFound)?;
        let bytes = place.read(HEADER_BYTES + record.size as usize)?;
        let entry = header_of(&bytes, record.lsn).and_then(|header| header.kind.fragment());
        let body = bytes.slice(HEADER_BYTES..);
        let entry = entry.filter(|entry| entry.body_crc == crc32c::crc32c(&body));
        let entry = entry.ok_or(io::ErrorKind::InvalidData)?;
        self.committer.copy(Copy { stream, record, entry, body }).map_err(io::Error::other)
    }

    /// The segments that are mostly dead, the emptiest first.
    fn sparse(&self) -> Vec<Arc<Segment>> {
        let mut closed = self.committer.segments.closed(self.committer.recyclable_before());
        closed.retain(|segment| {
            let live = segment.live_bytes();
            live > 0 && live <= segment.file.len / SPARSE && !segment.is_left_at(self.now)
        });
        closed.sort_by_key(|segment| segment.live_bytes());
        closed
    }

    /// All that is alive in a segment; `None` when some of it can not be read, or will go soon.
    fn worth(&self, segment: &Segment) -> Option<Vec<Live>> {
        let mut all = Vec::new();
        let mut bytes = 0;
        let mut offset = ENTRIES_AT;
        let mut window = Window::default();
        while let Some(header) = header_at(segment, offset, &mut window) {
            offset = header.end() - segment.base;
            if header.kind == Kind::Seal {
                break;
            }
            let Some((stream, record)) = self.alive(&header) else { continue };
            if !self.stays(&stream, &record) {
                return None;
            }
            bytes += record.log_bytes();
            all.push((stream, record));
        }
        // What lies behind damage is not found, and keeps the segment.
        (bytes >= segment.live_bytes()).then_some(all)
    }

    /// The fragment whose place in the log this is.
    fn alive(&self, header: &Header) -> Option<Live> {
        let entry = header.kind.fragment()?;
        let stream = self.streams.get(entry.stream)?;
        let record = stream.findable(entry.number).ok()?;
        (record.lsn == header.lsn).then_some((stream, record))
    }

    /// Whether a fragment will live on for a while.
    fn stays(&self, stream: &MediaStream, record: &Record) -> bool {
        let Some(rule) = self.rules.get(&stream.id()) else { return false };
        let state = stream.state();
        if record.counter() < state.kept().from {
            return true;
        }
        let own = state.space.bytes.saturating_sub(state.space.held_bytes);
        let full = |most: u64| own > most / 4 * 3;
        record.server() >= rule.horizon.plus(SOON) && !rule.max_bytes.is_some_and(full)
    }
}

/// A segment's entry at an offset, if it is valid.
fn header_at(segment: &Segment, offset: u64, window: &mut Window) -> Option<Header> {
    let (file, len) = (&*segment.file.file, segment.file.len);
    if offset + HEADER_BYTES as u64 > len {
        return None;
    }
    let header = window.header(file, offset, len).ok().flatten()?;
    (header.salt == segment.salt && header.lsn == segment.base + offset).then_some(header)
}
