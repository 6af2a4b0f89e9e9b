//! Finds what is valid when the store opens; see "What counts as written" in `FORMAT.md`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::entry::{ALIGNMENT, HEADER_BYTES, Header, Kind, Lsn, StateRecord};
use super::segment::{
    ENTRIES_AT, FileRef, Limits, SEAL_BYTES, SEGMENT_HEADER_BYTES, Segment, SegmentHeader, Segments,
};
use super::writer::Resume;
use crate::store::disk::{Disk, DiskFile};
use crate::store::kept::Kept;
use crate::types::StreamId;

/// What recovery tells of the log, in its order.
#[derive(Debug)]
pub enum Event {
    /// A fragment, a copy of one, or a reservation.
    Entry(Header),
    /// What of a stream has not expired, as far as it had not before.
    Trim(StreamId, Kept),
    /// What was known of every stream at this place.
    State(Vec<StateRecord>),
    /// So many bytes were read, of so many.
    Read {
        /// Up to here.
        bytes: u64,
        /// In all.
        of: u64,
    },
}

/// What recovery found.
#[derive(Debug)]
pub struct Recovered {
    /// Where appending goes on.
    pub resume: Resume,
    /// Bytes of the tail that were cut.
    pub torn_tail_bytes: u64,
    /// Damaged ranges, in words.
    pub damage: Vec<String>,
}

impl Recovered {
    /// The position behind the last entry.
    pub fn end(&self) -> Lsn {
        self.resume.active.as_ref().map_or(self.resume.next_base, |(_, end)| *end)
    }
}

/// Why the log can not be read.
#[derive(Debug)]
pub enum RecoverError {
    /// The operating system refused.
    Io(&'static str, io::Error),
    /// A segment was made by a later version.
    Version(u8),
}

/// The log's files as they are found.
#[derive(Debug)]
pub struct Log {
    /// The segments, those in use and, once the log is read, those that are free.
    pub segments: Arc<Segments>,
    used: Vec<Arc<Segment>>,
    free: Vec<FileRef>,
    damage: Vec<String>,
}

impl Log {
    /// Finds the segments by their headers.
    pub fn find(disk: Arc<dyn Disk>, limits: Limits) -> Result<Self, RecoverError> {
        let Files { mut used, free, last_serial, damage } = Files::read(&*disk)?;
        let segments = Arc::new(Segments::new(disk, limits, last_serial));
        used.sort_by_key(|segment| segment.base);
        for segment in &used {
            segments.adopt(&segment.file);
            segments.insert(segment.clone());
        }
        Ok(Self { segments, used, free, damage })
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Passes what is valid from position `from` on to `apply`, in order, and cuts the log's torn
    /// tail. With 0, that is the whole log.
    ///
    /// Everything before `from` is known to be durable. It is not even looked at, but for the
    /// segment in which `from` lies: that one is walked from its beginning, as any is.
    pub fn read(
        self,
        from: Lsn,
        mut apply: impl FnMut(&Segments, Event) -> io::Result<()>,
    ) -> Result<Recovered, RecoverError> {
        let Self { segments, used, free, damage } = self;
        let mut pass = Pass { segments, from, pending: VecDeque::new(), damage };
        let failed = |error| RecoverError::Io("read segment", error);
        let walked = || used.iter().filter(|segment| segment.end() > from);
        let of = walked().map(|segment| segment.file.len).sum();
        let mut bytes = 0;
        for segment in walked() {
            pass.segment(segment, &mut apply).map_err(failed)?;
            bytes += segment.file.len;
            apply(&pass.segments, Event::Read { bytes, of }).map_err(failed)?;
        }
        let next_base = used.last().map_or(0, |last| last.end());
        let tail = pass.finish(&used, &mut apply);
        let tail = tail.map_err(|error| RecoverError::Io("cut the tail", error))?;
        for file in free {
            pass.segments.adopt(&file);
            pass.segments.add_free(file).map_err(|e| RecoverError::Io("remove segment", e))?;
        }
        Ok(Recovered {
            resume: Resume { active: tail.active, next_base },
            torn_tail_bytes: tail.torn_bytes,
            damage: pass.damage,
        })
    }
}

/// The segment files, told apart.
struct Files {
    used: Vec<Arc<Segment>>,
    free: Vec<FileRef>,
    last_serial: u64,
    damage: Vec<String>,
}

impl Files {
    fn read(disk: &dyn Disk) -> Result<Self, RecoverError> {
        let mut files =
            Self { used: Vec::new(), free: Vec::new(), last_serial: 0, damage: Vec::new() };
        for name in disk.list().map_err(|e| RecoverError::Io("list segments", e))? {
            let serial = name.strip_suffix(".seg").unwrap_or(&name);
            let serial = u64::from_str_radix(serial, 16).unwrap_or(0);
            files.last_serial = files.last_serial.max(serial);
            files.add(disk, name)?;
        }
        Ok(files)
    }

    fn add(&mut self, disk: &dyn Disk, name: String) -> Result<(), RecoverError> {
        let failed = |error| RecoverError::Io("open segment", error);
        let file = disk.open(&name).map_err(failed)?;
        let len = file.size().map_err(failed)?;
        let file = FileRef { name, len, file };
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        if len >= ENTRIES_AT {
            file.file.read_at(&mut bytes, 0).map_err(failed)?;
        }
        match SegmentHeader::decode(&bytes) {
            SegmentHeader::Used { base, salt } => {
                self.used.push(Arc::new(Segment::new(base, salt, file)));
            }
            SegmentHeader::Free => self.free.push(file),
            SegmentHeader::Unknown { version } => return Err(RecoverError::Version(version)),
            SegmentHeader::Invalid => match salvage(&file).map_err(failed)? {
                Some(segment) => {
                    self.damage.push(format!("segment {}: its header is damaged", file.name));
                    self.used.push(Arc::new(segment));
                }
                // It was being made when the process ended.
                None => disk.remove(&file.name).map_err(failed)?,
            },
        }
        Ok(())
    }
}

/// Reads a segment's base and salt off its entries. Only an entry that proves the segment's
/// header durable counts, as all of a segment's own do. Entries of an earlier use of the file may be
/// found this way, when its new header was being written: they had expired, and states of later
/// segments say so.
pub fn salvage(file: &FileRef) -> io::Result<Option<Segment>> {
    let mut at = ENTRIES_AT;
    while let Some((offset, header)) = find_header(&*file.file, at, file.len, |_, _| true)? {
        let base = header.lsn.checked_sub(offset);
        if let Some(base) = base.filter(|base| header.durable >= base + ENTRIES_AT) {
            return Ok(Some(Segment::new(base, header.salt, file.clone())));
        }
        at = offset + ALIGNMENT;
    }
    Ok(None)
}

/// One pass over the log. What is not yet proven durable waits in `pending`.
struct Pass {
    segments: Arc<Segments>,
    /// Entries before this position are known.
    from: Lsn,
    pending: VecDeque<Item>,
    damage: Vec<String>,
}

/// A stretch of the log.
enum Item {
    Entry(Header),
    /// No valid entry from here to the next item.
    Hole {
        at: Lsn,
        len: u64,
    },
}

struct Tail {
    active: Option<(Arc<Segment>, Lsn)>,
    torn_bytes: u64,
}

impl Pass {
    fn segment(
        &mut self,
        segment: &Segment,
        apply: &mut impl FnMut(&Segments, Event) -> io::Result<()>,
    ) -> io::Result<()> {
        // The header is written only after all before the segment was synced.
        self.prove(segment.base, apply)?;
        let (file, len) = (&*segment.file.file, segment.file.len);
        let fits = |offset: u64, header: &Header| {
            header.salt == segment.salt
                && header.lsn == segment.base + offset
                && header.end() <= segment.end()
        };
        let mut window = Window::default();
        let mut offset = ENTRIES_AT;
        while offset + HEADER_BYTES as u64 <= len {
            let valid = window.header(file, offset, len)?.filter(|header| fits(offset, header));
            let Some(header) = valid else {
                let next = find_header(file, offset + ALIGNMENT, len, fits)?;
                let end = next.map_or(len, |(next, _)| next);
                self.pending.push_back(Item::Hole { at: segment.base + offset, len: end - offset });
                offset = end;
                continue;
            };
            self.prove(header.durable, apply)?;
            self.pending.push_back(Item::Entry(header));
            if header.kind == Kind::Seal {
                return Ok(());
            }
            offset = header.end() - segment.base;
        }
        Ok(())
    }

    /// Everything before `durable` had been synced: entries there count, holes are damage.
    fn prove(
        &mut self,
        durable: Lsn,
        apply: &mut impl FnMut(&Segments, Event) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(item) = self.pending.pop_front() {
            match item {
                Item::Entry(header) if header.lsn < durable => self.accept(header, apply)?,
                Item::Hole { at, len } if at < durable => {
                    self.damage.push(format!("log position {at}: {len} bytes are damaged"));
                }
                later => {
                    self.pending.push_front(later);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn accept(
        &mut self,
        header: Header,
        apply: &mut impl FnMut(&Segments, Event) -> io::Result<()>,
    ) -> io::Result<()> {
        if header.lsn < self.from {
            return Ok(());
        }
        match header.kind {
            Kind::Fragment(_) | Kind::Copy(_) | Kind::Reserve { .. } => {
                apply(&self.segments, Event::Entry(header))
            }
            Kind::Trim { stream, keep_from, .. } => match self.body(&header)? {
                Some(body) => {
                    let kept = Kept::decode(keep_from, &body);
                    apply(&self.segments, Event::Trim(stream, kept))
                }
                // What it told of comes back, and expires again.
                None => {
                    self.damage.push(format!("log position {}: trim damaged", header.lsn));
                    Ok(())
                }
            },
            Kind::State { .. } => match self.body(&header)? {
                Some(body) => {
                    let records = StateRecord::decode_all(&body);
                    apply(&self.segments, Event::State(records))
                }
                None => {
                    self.damage.push(format!("log position {}: state damaged", header.lsn));
                    Ok(())
                }
            },
            Kind::Seal | Kind::Mark | Kind::Void { .. } => Ok(()),
        }
    }

    /// Decides what is not proven: whole entries up to the first that is not are kept, the rest
    /// is cut, and made such that it can not come back.
    fn finish(
        &mut self,
        used: &[Arc<Segment>],
        apply: &mut impl FnMut(&Segments, Event) -> io::Result<()>,
    ) -> io::Result<Tail> {
        let Some(last) = used.last() else { return Ok(Tail { active: None, torn_bytes: 0 }) };
        // The process may have died between a write and its sync: what is read here may be in the
        // page cache only, and from here on it counts as durable.
        for segment in used.iter().rev().take_while(|segment| self.is_pending(segment)) {
            segment.file.file.sync()?;
        }
        let mut sealed = false;
        let mut end = last.end();
        while let Some(item) = self.pending.pop_front() {
            let whole = match &item {
                Item::Entry(header) => self.body(header)?.is_some(),
                Item::Hole { .. } => false,
            };
            match item {
                Item::Entry(header) if whole => {
                    sealed = header.kind == Kind::Seal;
                    end = header.end();
                    self.accept(header, apply)?;
                }
                cut => {
                    end = cut.at();
                    self.pending.push_front(cut);
                    sealed = false;
                    break;
                }
            }
        }
        let torn_bytes = self.cut(end)?;
        let room = end >= last.base && end + SEAL_BYTES <= last.end();
        let active = (!sealed && room).then(|| (last.clone(), end));
        Ok(Tail { active, torn_bytes })
    }

    fn is_pending(&self, segment: &Segment) -> bool {
        self.pending.front().is_some_and(|first| first.at() < segment.end())
    }

    /// Wipes the headers of the entries from `end` on, all of which lie in the last segment, as a
    /// segment is synced before the next one begins. Returns how many bytes they spanned.
    fn cut(&mut self, end: Lsn) -> io::Result<u64> {
        let mut span = 0;
        let mut wiped = None;
        for item in self.pending.drain(..) {
            let Item::Entry(header) = item else { continue };
            let Some((segment, offset)) = self.segments.locate(header.lsn) else { continue };
            segment.file.file.write_at(&mut [IoSlice::new(&[0; HEADER_BYTES])], offset)?;
            wiped = Some(segment);
            span = header.end() - end;
        }
        if let Some(segment) = wiped {
            segment.file.file.sync()?;
        }
        Ok(span)
    }

    /// An entry's body, if it is whole.
    fn body(&self, header: &Header) -> io::Result<Option<Vec<u8>>> {
        let Some((segment, offset)) = self.segments.locate(header.lsn) else { return Ok(None) };
        let mut body = vec![0; usize::try_from(header.body_len()).map_err(io::Error::other)?];
        segment.file.file.read_at(&mut body, offset + HEADER_BYTES as u64)?;
        let crc = header.body_crc();
        Ok(crc.is_none_or(|crc| crc == crc32c::crc32c(&body)).then_some(body))
    }
}

impl Item {
    fn at(&self) -> Lsn {
        match self {
            Self::Entry(header) => header.lsn,
            Self::Hole { at, .. } => *at,
        }
    }
}

/// Searches for a valid header that `fits`, from `from` on.
pub fn find_header(
    file: &dyn DiskFile,
    from: u64,
    len: u64,
    fits: impl Fn(u64, &Header) -> bool,
) -> io::Result<Option<(u64, Header)>> {
    let mut window = Window::of(SEARCH_WINDOW);
    let mut offset = from;
    while offset + HEADER_BYTES as u64 <= len {
        if let Some(header) =
            window.header(file, offset, len)?.filter(|header| fits(offset, header))
        {
            return Ok(Some((offset, header)));
        }
        offset += ALIGNMENT;
    }
    Ok(None)
}

/// What is read at once while walking from header to header, when they are far apart.
const WALK_WINDOW: usize = 4 << 10;
/// What is read at once at most: while looking at every possible place, and where small entries
/// lie close together.
const SEARCH_WINDOW: usize = 1 << 20;

/// A stretch of a file in memory. The longer somebody goes on without a jump, the more is read
/// ahead for him; the file system itself reads nothing ahead.
pub struct Window {
    bytes: Vec<u8>,
    at: u64,
    size: usize,
    least: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self::of(WALK_WINDOW)
    }
}

impl Window {
    fn of(least: usize) -> Self {
        Self { bytes: Vec::new(), at: 0, size: least, least }
    }

    /// The header at `offset`, when there is a valid one; `offset + HEADER_BYTES <= len`.
    pub fn header(
        &mut self,
        file: &dyn DiskFile,
        offset: u64,
        len: u64,
    ) -> io::Result<Option<Header>> {
        let end = self.at + self.bytes.len() as u64;
        if offset < self.at || offset + HEADER_BYTES as u64 > end {
            let near = end > 0 && (self.at..end + self.size as u64).contains(&offset);
            self.size = if near { (self.size * 2).min(SEARCH_WINDOW) } else { self.least };
            let size = usize::try_from(len - offset).unwrap_or(self.size).min(self.size);
            self.bytes.resize(size, 0);
            self.at = offset;
            file.read_at(&mut self.bytes, offset)?;
        }
        let start = usize::try_from(offset - self.at).map_err(io::Error::other)?;
        let bytes = self.bytes.get(start..).and_then(|bytes| bytes.first_chunk::<HEADER_BYTES>());
        Ok(bytes.and_then(Header::decode))
    }
}
