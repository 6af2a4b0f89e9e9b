//! The segment files: which hold the log, which are free for it to grow into.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::buffers::Buffers;
use super::entry::{ALIGNMENT, HEADER_BYTES, Lsn, u32_at, u64_at};
use crate::store::disk::{Disk, DiskFile};
use crate::store::locked;
use crate::types::ServerTimestamp;

/// Bytes before a segment's first entry.
pub const ENTRIES_AT: u64 = 4096;
/// Bytes of the segment header that mean something.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// What the seal takes, which every segment keeps room for.
pub const SEAL_BYTES: u64 = HEADER_BYTES as u64;

const MAGIC_USED: [u8; 7] = *b"KINSEG\0";
const MAGIC_FREE: [u8; 7] = *b"KINFREE";
const VERSION: u8 = 1;
const CRC_AT: usize = SEGMENT_HEADER_BYTES - 4;

/// A segment that holds a part of the log.
#[derive(Debug)]
pub struct Segment {
    /// The position of the file's first byte.
    pub base: Lsn,
    /// Ties entries to this use of the file.
    pub salt: u32,
    /// The file.
    pub file: FileRef,
    /// Findable fragments inside.
    live: AtomicU64,
    /// Bytes that these take.
    live_bytes: AtomicU64,
    /// The latest server time of a fragment inside, findable or not.
    newest: AtomicI64,
    /// Until when nobody needs to try to empty it.
    left_until: AtomicI64,
}

/// A segment file, whatever it holds.
#[derive(Clone, Debug)]
pub struct FileRef {
    /// Its name on the disk.
    pub name: String,
    /// Its length.
    pub len: u64,
    /// The file, open.
    pub file: Arc<dyn DiskFile>,
}

impl Segment {
    /// A segment nothing in which is findable yet.
    pub fn new(base: Lsn, salt: u32, file: FileRef) -> Self {
        let (live, live_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let never = || AtomicI64::new(ServerTimestamp::MIN.as_millis());
        Self { base, salt, file, live, live_bytes, newest: never(), left_until: never() }
    }

    /// Bytes of the findable fragments inside.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// Keeps the segment from being looked at until then.
    pub fn leave_until(&self, then: ServerTimestamp) {
        self.left_until.store(then.as_millis(), Ordering::Relaxed);
    }

    /// Whether it is not to be looked at.
    pub fn is_left_at(&self, now: ServerTimestamp) -> bool {
        now.as_millis() < self.left_until.load(Ordering::Relaxed)
    }

    /// The latest server time of a fragment that was findable in here.
    pub fn newest(&self) -> ServerTimestamp {
        ServerTimestamp::from_millis(self.newest.load(Ordering::Relaxed))
    }

    /// The position behind the file's last byte.
    pub fn end(&self) -> Lsn {
        self.base + self.file.len
    }

    /// Counts so many more findable fragments, of so many bytes of the log together.
    pub fn retain(&self, fragments: u64, bytes: u64, newest: ServerTimestamp) {
        self.live.fetch_add(fragments, Ordering::Relaxed);
        self.live_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.newest.fetch_max(newest.as_millis(), Ordering::Relaxed);
    }
}

/// What the first bytes of a segment file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentHeader {
    /// It holds a part of the log.
    Used { base: Lsn, salt: u32 },
    /// It was prepared, or used before, and may be used.
    Free,
    /// It was made by a later version.
    Unknown { version: u8 },
    /// Nothing that is valid.
    Invalid,
}

impl SegmentHeader {
    /// The header as bytes; those that can not be written are all zero.
    pub fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        match self {
            Self::Used { base, salt } => {
                bytes[..7].copy_from_slice(&MAGIC_USED);
                bytes[8..16].copy_from_slice(&base.to_le_bytes());
                bytes[16..20].copy_from_slice(&salt.to_le_bytes());
            }
            Self::Free => bytes[..7].copy_from_slice(&MAGIC_FREE),
            Self::Unknown { .. } | Self::Invalid => return bytes,
        }
        bytes[7] = VERSION;
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Self {
        if crc32c::crc32c(&bytes[..CRC_AT]) != u32_at(bytes, CRC_AT) {
            return Self::Invalid;
        }
        let used = bytes[..7] == MAGIC_USED;
        if !used && bytes[..7] != MAGIC_FREE {
            return Self::Invalid;
        }
        match bytes[7] {
            VERSION if used => Self::Used { base: u64_at(bytes, 8), salt: u32_at(bytes, 16) },
            VERSION => Self::Free,
            version => Self::Unknown { version },
        }
    }
}

/// All segment files of a store. Shared by the commit thread, the preparer and readers.
#[derive(Debug)]
pub struct Segments {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) limits: Limits,
    pub(super) buffers: Arc<Buffers>,
    table: Mutex<Table>,
    /// Wakes the preparer.
    pub(super) wanted: Condvar,
    /// Wakes who waits for a free segment.
    freed: Condvar,
}

/// How segments are made and kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a segment file.
    pub segment_bytes: u64,
    /// Free segments the preparer makes ahead of need.
    pub prepared: usize,
    /// Free segments that are kept when expired ones come back.
    pub spare: usize,
    /// Bytes of all segment files together; more are not made.
    pub quota: Option<u64>,
    /// Bytes that stay free on the disk; no file is made at their cost.
    pub floor: u64,
    /// How long an append waits for a segment to be freed, where the two allow no new one.
    pub patience: Duration,
    /// Bytes per second of appends above which free segments are not written beforehand.
    pub prewrite_below: u64,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    used: BTreeMap<Lsn, Arc<Segment>>,
    pub(super) free: Vec<FileRef>,
    next_serial: u64,
    /// Bytes of all files, also of those that are being made or taken into use.
    file_bytes: u64,
    /// When the active segment was taken into use.
    taken: Option<Instant>,
    /// Whether the one before it lasted so shortly that prewriting others would slow appends.
    pub(super) hurried: bool,
    pub(super) stopping: bool,
}

impl Segments {
    /// No segments yet; recovery adds those it finds. New files are numbered from `next_serial`.
    pub fn new(disk: Arc<dyn Disk>, limits: Limits, next_serial: u64) -> Self {
        let smallest = ENTRIES_AT + 16 * SEAL_BYTES;
        let segment_bytes = limits.segment_bytes.max(smallest).next_multiple_of(ENTRIES_AT);
        let limits = Limits { segment_bytes, ..limits };
        let table = Mutex::new(Table { next_serial, ..Table::default() });
        let buffers = Arc::default();
        Self { disk, limits, buffers, table, wanted: Condvar::new(), freed: Condvar::new() }
    }

    /// Makes a segment part of the log.
    pub fn insert(&self, segment: Arc<Segment>) {
        locked(&self.table).used.insert(segment.base, segment);
    }

    /// The segment that holds a position, and the offset in its file.
    pub fn locate(&self, lsn: Lsn) -> Option<(Arc<Segment>, u64)> {
        let table = locked(&self.table);
        let (_, segment) = table.used.range(..=lsn).next_back()?;
        (lsn < segment.end()).then(|| (segment.clone(), lsn - segment.base))
    }

    /// Counts one more findable fragment, of so many bytes of the log, at `lsn`.
    pub fn retain(&self, lsn: Lsn, bytes: u64, server: ServerTimestamp) {
        if let Some((segment, _)) = self.locate(lsn) {
            segment.retain(1, bytes, server);
        }
    }

    /// Counts one findable fragment, of so many bytes of the log, at `lsn` less.
    pub fn release(&self, lsn: Lsn, bytes: u64) {
        if let Some((segment, _)) = self.locate(lsn) {
            segment.live.fetch_sub(1, Ordering::Relaxed);
            segment.live_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Takes a free segment if one is ready.
    pub fn take_free(&self) -> Option<FileRef> {
        let mut table = locked(&self.table);
        let now = Instant::now();
        let lasted = table.taken.replace(now).map(|before| now - before);
        let at_rate = self.limits.segment_bytes as f64 / self.limits.prewrite_below as f64;
        table.hurried = lasted.is_some_and(|lasted| lasted.as_secs_f64() < at_rate);
        let file = table.free.pop();
        drop(table);
        self.wanted.notify_all();
        file
    }

    /// Bytes of a segment file.
    pub fn segment_bytes(&self) -> u64 {
        self.limits.segment_bytes
    }

    /// Whether there is a quota or a floor; without, the log grows until the disk is full.
    pub fn is_limited(&self) -> bool {
        self.limits.quota.is_some() || self.limits.floor > 0
    }

    /// Bytes by which the files may grow together; negative where they take too much.
    pub fn room(&self) -> io::Result<i64> {
        let free = self.disk.free_bytes()?;
        Ok(self.limits.room(free, locked(&self.table).file_bytes))
    }

    /// Removes the free segment that came back first.
    pub fn remove_free(&self) -> io::Result<bool> {
        let mut table = locked(&self.table);
        if table.free.is_empty() {
            return Ok(false);
        }
        let file = table.free.remove(0);
        drop(table);
        self.remove(&file)?;
        Ok(true)
    }

    /// Removes a file that is not in use.
    pub fn remove(&self, file: &FileRef) -> io::Result<()> {
        self.disk.remove(&file.name)?;
        locked(&self.table).file_bytes -= file.len;
        Ok(())
    }

    /// Counts a file that was there when the store opened.
    pub fn adopt(&self, file: &FileRef) {
        locked(&self.table).file_bytes += file.len;
    }

    /// Bytes of the free segments, which appends may use without more of the disk.
    pub fn free_bytes(&self) -> u64 {
        locked(&self.table).free.iter().map(|file| file.len).sum()
    }

    /// The segments before `active`, which nothing is appended to any more.
    pub fn closed(&self, active: Lsn) -> Vec<Arc<Segment>> {
        locked(&self.table).used.range(..active).map(|(_, segment)| segment.clone()).collect()
    }

    /// Waits until a segment is free, or until patience is over.
    pub fn wait_for_free(&self) {
        let deadline = Instant::now() + self.limits.patience;
        let mut table = locked(&self.table);
        while table.free.is_empty() && !table.stopping {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.freed.wait_timeout(table, left);
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives back a free segment; the file goes when there are enough.
    pub fn add_free(&self, file: FileRef) -> io::Result<()> {
        let most = self.limits.spare.max(self.limits.prepared);
        let mut table = locked(&self.table);
        if file.len == self.limits.segment_bytes && table.free.len() < most {
            table.free.push(file);
            drop(table);
            self.freed.notify_all();
            return Ok(());
        }
        drop(table);
        self.remove(&file)
    }

    /// Creates a file of `len` bytes. "No space" also where the limits leave none.
    pub fn create(&self, len: u64) -> io::Result<FileRef> {
        let free = self.disk.free_bytes()?;
        let name = {
            let mut table = locked(&self.table);
            if self.limits.room(free, table.file_bytes) < signed(len) {
                let text = "the quota or the floor of free space is reached";
                return Err(io::Error::new(io::ErrorKind::StorageFull, text));
            }
            table.file_bytes += len;
            table.next_serial += 1;
            format!("{:08x}.seg", table.next_serial)
        };
        match self.disk.create(&name, len) {
            Ok(file) => Ok(FileRef { name, len, file }),
            Err(error) => {
                locked(&self.table).file_bytes -= len;
                Err(error)
            }
        }
    }

    /// Frees the segments before `active` that hold nothing findable. Blocks for their syncs.
    pub fn recycle(&self, active: Lsn) -> io::Result<usize> {
        let dead: Vec<_> = {
            let mut table = locked(&self.table);
            let dead: Vec<_> = table
                .used
                .range(..active)
                .filter(|(_, segment)| segment.live.load(Ordering::Relaxed) == 0)
                .map(|(&base, _)| base)
                .collect();
            dead.iter().filter_map(|base| table.used.remove(base)).collect()
        };
        for segment in &dead {
            // From here on its entries are no part of the log, whatever happens next.
            write_free_header(&*segment.file.file)?;
            self.add_free(segment.file.clone())?;
        }
        Ok(dead.len())
    }

    /// Bytes of all segment files.
    pub fn disk_bytes(&self) -> u64 {
        locked(&self.table).file_bytes
    }

    /// Bytes of the segments that hold the log.
    pub fn used_bytes(&self) -> u64 {
        locked(&self.table).used.values().map(|segment| segment.file.len).sum()
    }

    /// Findable fragments in all of them, and expired ones that the index still has.
    pub fn fragments(&self) -> u64 {
        let table = locked(&self.table);
        table.used.values().map(|segment| segment.live.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.table)
    }
}

impl Limits {
    fn room(&self, free: u64, file_bytes: u64) -> i64 {
        let above_floor = signed(free) - signed(self.floor);
        above_floor.min(signed(self.quota.unwrap_or(u64::MAX)) - signed(file_bytes))
    }
}

/// Sizes are compared where one may lie beyond the other.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Declares a file free, durably.
pub(super) fn write_free_header(file: &dyn DiskFile) -> io::Result<()> {
    file.write_at(&mut [IoSlice::new(&SegmentHeader::Free.encode())], 0)?;
    file.sync()
}

/// The length of a segment file that has room for entries of `bytes`, header and seal.
pub fn file_len_for(bytes: u64) -> u64 {
    (ENTRIES_AT + bytes + SEAL_BYTES).next_multiple_of(ENTRIES_AT)
}

const _: () = assert!(ENTRIES_AT.is_multiple_of(ALIGNMENT) && SEAL_BYTES.is_multiple_of(ALIGNMENT));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn segment_headers_survive_bytes_and_no_flipped_bit(
            base in any::<u64>(), salt in any::<u32>(), bit in 0..SEGMENT_HEADER_BYTES * 8,
        ) {
            let header = SegmentHeader::Used { base, salt };
            let mut bytes = header.encode();
            prop_assert_eq!(SegmentHeader::decode(&bytes), header);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(SegmentHeader::decode(&bytes), SegmentHeader::Invalid);
        }
    }

    #[test]
    fn segment_of_a_later_version_is_told_apart_from_damage() {
        let mut bytes = SegmentHeader::Used { base: 1, salt: 2 }.encode();
        bytes[7] = 9;
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), SegmentHeader::Unknown { version: 9 });
    }
}
