//! Appends entries to the active segment and makes them durable; used by one thread.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;

use super::entry::{ALIGNMENT, HEADER_BYTES, Header, Kind, Lsn, entry_bytes};
use super::segment::{
    ENTRIES_AT, FileRef, SEAL_BYTES, Segment, SegmentHeader, Segments, file_len_for,
};
use crate::store::disk::{BLOCK_BYTES, Blocks, DiskFile};

/// The log's end. Entries are placed one after the other and become durable together.
#[derive(Debug)]
pub struct Writer {
    segments: Arc<Segments>,
    active: Option<Active>,
    /// Where the next segment begins.
    next_base: Lsn,
    /// All before this position is synced.
    durable: Lsn,
    direct: Direct,
}

/// Where appending goes on after recovery.
#[derive(Debug)]
pub struct Resume {
    /// The segment that is not sealed, and the position in it where the next entry goes.
    pub active: Option<(Arc<Segment>, Lsn)>,
    /// Where the next segment begins.
    pub next_base: Lsn,
}

#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    /// Where the next entry goes.
    end: Lsn,
    /// Whether this run has placed a state in this segment.
    has_state: bool,
    /// What was placed since the last flush: bytes back to back, from `batch_at` on.
    batch: Vec<Bytes>,
    batch_at: Lsn,
}

static PADDING: [u8; ALIGNMENT as usize] = [0; ALIGNMENT as usize];
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// A batch from this size on is not written through the page cache: filling the cache would cost
/// more than all else, and what comes this fast is not watched live.
const DIRECT_BYTES: u64 = 1 << 20;
/// What is written at once of such a batch.
const DIRECT_STEP: usize = 1 << 20;

impl Writer {
    /// A writer that goes on where recovery says the log ends.
    pub fn new(segments: Arc<Segments>, resume: Resume) -> Self {
        let Resume { active, next_base } = resume;
        let durable = active.as_ref().map_or(next_base, |(_, end)| *end);
        let active = active.map(|(segment, end)| Active::new(segment, end));
        Self { segments, active, next_base, durable, direct: Direct::default() }
    }

    /// All before this position is durable.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Whether an entry with such a body has room, and a state need not come first.
    pub fn fits(&self, body_len: u64) -> bool {
        self.active.as_ref().is_some_and(|active| {
            let end = active.end + entry_bytes(body_len) + SEAL_BYTES;
            active.has_state && end <= active.segment.end()
        })
    }

    /// Whether a state of `state_len` bytes is due, and has room with such an entry behind it.
    pub fn fits_with_state(&self, state_len: u64, body_len: u64) -> bool {
        self.active.as_ref().is_some_and(|active| {
            let end = active.end + entry_bytes(state_len) + entry_bytes(body_len) + SEAL_BYTES;
            !active.has_state && end <= active.segment.end()
        })
    }

    /// Ends the active segment; flush after it.
    pub fn seal(&mut self) {
        if self.active.is_some() {
            self.place(Kind::Seal, []);
        }
    }

    /// Begins a segment that has room for a state of `state_len` bytes and then such an entry.
    /// The one before was sealed and flushed.
    ///
    /// The header is synced by itself, once per segment, so that the first entries can already
    /// prove it: if it is damaged later, they are found all the same.
    ///
    /// # Errors
    /// "No space" leaves the log as it was. After any other error nobody can tell what the file
    /// holds: the caller must not use the writer again.
    pub fn open_segment(&mut self, state_len: u64, body_len: u64) -> io::Result<()> {
        let needed = file_len_for(entry_bytes(state_len) + entry_bytes(body_len));
        let file = self.free_file(needed)?;
        let salt = getrandom::u32().map_err(io::Error::other)?;
        let base = self.next_base;
        let header = SegmentHeader::Used { base, salt }.encode();
        let written = file.file.write_at(&mut [IoSlice::new(&header)], 0);
        // Whatever went wrong, it is not the kind of error that leaves the log as it was.
        written.and_then(|()| file.file.sync()).map_err(io::Error::other)?;
        let segment = Arc::new(Segment::new(base, salt, file));
        self.next_base = segment.end();
        self.durable = base + ENTRIES_AT;
        self.segments.insert(segment.clone());
        self.active = Some(Active::new(segment, base + ENTRIES_AT));
        Ok(())
    }

    fn free_file(&self, needed: u64) -> io::Result<FileRef> {
        let usual = self.segments.limits.segment_bytes;
        if needed > usual {
            return self.segments.create(needed);
        }
        match self.segments.take_free() {
            Some(file) => Ok(file),
            None => self.segments.create(usual),
        }
    }

    /// Places an entry at the end of the batch and returns its position.
    ///
    /// There is room: the caller asked `fits`, or opened a segment for it.
    pub fn place(&mut self, kind: Kind, body: impl IntoIterator<Item = Bytes>) -> Lsn {
        let active = self.active.as_mut().expect("the caller has made room");
        let (lsn, salt) = (active.end, active.segment.salt);
        let header = Header { lsn, durable: self.durable, salt, kind };
        active.has_state |= matches!(kind, Kind::State { .. });
        active.batch.push(Bytes::copy_from_slice(&header.encode()));
        active.batch.extend(body);
        active.end = header.end();
        let padding = header.end() - lsn - HEADER_BYTES as u64 - header.body_len();
        let padding = usize::try_from(padding).unwrap_or(0);
        active.batch.push(Bytes::from_static(&PADDING[..padding]));
        assert!(active.end <= active.segment.end(), "an entry lies in one segment");
        lsn
    }

    /// Writes and syncs what was placed; all before the returned position is durable then. After
    /// an error nobody can tell what the file holds: the caller must not use the writer again.
    pub fn flush(&mut self) -> io::Result<Lsn> {
        let Some(active) = &mut self.active else { return Ok(self.durable) };
        if active.batch.is_empty() {
            return Ok(self.durable);
        }
        let file = &*active.segment.file.file;
        let offset = active.batch_at - active.segment.base;
        if active.end - active.batch_at >= DIRECT_BYTES {
            self.direct.write(file, &active.batch, offset)?;
        } else {
            active.write_cached(file, offset)?;
        }
        file.sync()?;
        active.batch.clear();
        active.batch_at = active.end;
        self.durable = active.end;
        Ok(self.durable)
    }

    /// Forgets the active segment after its seal was flushed.
    pub fn leave_sealed(&mut self) {
        self.active = None;
        self.durable = self.next_base;
    }

    /// Before which position segments may go: the active segment's base, once a state in it is
    /// durable. Call after a flush.
    pub fn recyclable_before(&self) -> Lsn {
        match &self.active {
            Some(active) if active.has_state && active.batch.is_empty() => active.segment.base,
            _ => 0,
        }
    }
}

/// Writes past the page cache, from memory that is used again.
#[derive(Debug, Default)]
struct Direct {
    blocks: Option<Blocks>,
}

impl Direct {
    fn write(&mut self, file: &dyn DiskFile, batch: &[Bytes], offset: u64) -> io::Result<()> {
        let blocks = self.blocks.get_or_insert_with(|| Blocks::zeroed(DIRECT_STEP));
        blocks.resize(DIRECT_STEP);
        let mut filled = (offset % BLOCK_BYTES as u64) as usize;
        let mut at = offset - filled as u64;
        // The first block holds the end of what is durable already.
        file.read_at(&mut blocks.bytes_mut()[..filled], at)?;
        for mut bytes in batch.iter().map(|bytes| &bytes[..]) {
            while !bytes.is_empty() {
                let room = &mut blocks.bytes_mut()[filled..];
                let (now, later) = bytes.split_at(bytes.len().min(room.len()));
                room[..now.len()].copy_from_slice(now);
                filled += now.len();
                bytes = later;
                if filled == DIRECT_STEP {
                    file.write_blocks_at(blocks, at)?;
                    at += filled as u64;
                    filled = 0;
                }
            }
        }
        if filled > 0 {
            blocks.resize(filled);
            blocks.bytes_mut()[filled..].fill(0);
            file.write_blocks_at(blocks, at)?;
        }
        Ok(())
    }
}

impl Active {
    /// Writes the batch through the page cache, where live readers will find it. The last block is
    /// filled up with zeros: to write a part of one that is not in memory, the kernel reads it first.
    fn write_cached(&self, file: &dyn DiskFile, offset: u64) -> io::Result<()> {
        let end = (self.end - self.segment.base) as usize;
        let fill = &ZEROS[..end.next_multiple_of(BLOCK_BYTES) - end];
        let batch = self.batch.iter().map(|bytes| &bytes[..]).chain([fill]);
        let mut slices: Vec<_> = batch.map(IoSlice::new).collect();
        file.write_at(&mut slices, offset)
    }

    fn new(segment: Arc<Segment>, end: Lsn) -> Self {
        Self { segment, end, has_state: false, batch: Vec::new(), batch_at: end }
    }
}
