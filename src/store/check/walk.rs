//! Reads the log from end to end: every header, every body. Follows the same rules as recovery
//! (see "What counts as written" in `FORMAT.md`), but reads all bodies and writes nothing.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::{CheckError, CheckReport, Damage, Note, Progress, Range, failed};
use crate::store::disk::{Disk, DiskFile};
use crate::store::log::entry::{ALIGNMENT, HEADER_BYTES, Header, Kind, Lsn, StateRecord};
use crate::store::log::recovery::{Window, find_header, salvage};
use crate::store::log::segment::{
    ENTRIES_AT, FileRef, SEGMENT_HEADER_BYTES, Segment, SegmentHeader,
};

/// What is read of a body at once.
const PIECE_BYTES: usize = 1 << 20;
/// Files are made in whole blocks of this; another length is that of a file that was cut.
const FILE_BLOCK: u64 = 4096;

/// Takes what the walk finds, in the order of the log.
pub trait Visitor {
    /// An entry; when it is not `whole`, its body is not what was written.
    fn entry(&mut self, header: &Header, whole: bool);

    /// A whole state.
    fn state(&mut self, at: Lsn, records: &[StateRecord]);
}

/// What the walk found out about the files.
#[derive(Debug, Default)]
pub struct Walked {
    /// Segment files that hold a part of the log.
    pub segments: usize,
    /// Bytes that were read.
    pub bytes: u64,
    /// What cannot be read.
    pub broken: Vec<Broken>,
    /// Segments whose own header is damaged, and could be restored from their entries.
    pub headless: Vec<Arc<Segment>>,
    /// Files that are of no use, and why.
    pub useless: Vec<(FileRef, String)>,
    unfinished: usize,
    torn_bytes: u64,
    cut: Vec<(String, u64)>,
}

/// A range of a segment that cannot be read.
#[derive(Debug)]
pub struct Broken {
    /// Where it lies.
    pub segment: Arc<Segment>,
    /// Its positions in the log.
    pub range: Range,
    what: &'static str,
}

/// Walks the whole log.
pub fn walk(
    disk: &dyn Disk,
    visitor: &mut dyn Visitor,
    progress: &mut dyn FnMut(Progress),
) -> Result<Walked, CheckError> {
    let mut walked = Walked::default();
    let segments = used_segments(disk, &mut walked)?;
    walked.segments = segments.len();
    let total = segments.iter().map(|segment| segment.file.len).sum();
    let (pending, buffer) = (VecDeque::new(), vec![0; PIECE_BYTES]);
    let mut walk = Walk { walked, visitor, progress, total, pending, buffer };
    for segment in &segments {
        walk.segment(segment);
    }
    walk.finish();
    Ok(walk.walked)
}

impl Walked {
    /// Adds what was found to a report.
    pub fn tell(&self, report: &mut CheckReport) {
        for broken in &self.broken {
            report.damage.push(Damage::Log {
                segment: broken.segment.file.name.clone(),
                offset: broken.range.start - broken.segment.base,
                len: broken.range.end - broken.range.start,
                what: broken.what,
            });
        }
        let mut add = |segment: &str, what: String| {
            report.damage.push(Damage::Segment { segment: segment.to_owned(), what });
        };
        for segment in &self.headless {
            let what = "its header is damaged; what it holds could be told from its entries";
            add(&segment.file.name, what.to_owned());
        }
        self.useless.iter().for_each(|(file, what)| add(&file.name, what.clone()));
        for (name, len) in &self.cut {
            add(name, format!("it was cut: {len} bytes are no length that a segment is made with"));
        }
        if self.torn_bytes > 0 {
            report.notes.push(Note::TornTail { bytes: self.torn_bytes });
        }
        if self.unfinished > 0 {
            report.notes.push(Note::Unfinished { files: self.unfinished });
        }
    }
}

/// The segments that hold a part of the log, in its order.
fn used_segments(disk: &dyn Disk, walked: &mut Walked) -> Result<Vec<Arc<Segment>>, CheckError> {
    let mut names = disk.list().map_err(|e| failed("list segments", e))?;
    names.sort();
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for name in names {
        let file = disk.open(&name).map_err(|e| failed(&format!("open {name}"), e))?;
        let len = file.size().map_err(|e| failed(&format!("open {name}"), e))?;
        let file = FileRef { name, len, file };
        let Some(segment) = segment_of(file, walked)? else { continue };
        let overlap =
            |other: &&Arc<Segment>| other.base < segment.end() && segment.base < other.end();
        match segments.iter().find(overlap) {
            Some(other) => {
                let what = format!("it holds the same part of the log as {}", other.file.name);
                walked.useless.push((segment.file.clone(), what));
            }
            None => segments.push(segment),
        }
    }
    segments.sort_by_key(|segment| segment.base);
    Ok(segments)
}

fn segment_of(file: FileRef, walked: &mut Walked) -> Result<Option<Arc<Segment>>, CheckError> {
    if !file.len.is_multiple_of(FILE_BLOCK) {
        walked.cut.push((file.name.clone(), file.len));
    }
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    if file.len >= ENTRIES_AT
        && let Err(error) = file.file.read_at(&mut bytes, 0)
    {
        walked.useless.push((file, format!("it cannot be read: {error}")));
        return Ok(None);
    }
    match SegmentHeader::decode(&bytes) {
        SegmentHeader::Used { base, salt } => Ok(Some(Arc::new(Segment::new(base, salt, file)))),
        SegmentHeader::Free => Ok(None),
        SegmentHeader::Unknown { version } => {
            Err(CheckError::Version { segment: file.name, version })
        }
        SegmentHeader::Invalid => match salvage(&file) {
            Ok(Some(segment)) => {
                let segment = Arc::new(segment);
                walked.headless.push(segment.clone());
                Ok(Some(segment))
            }
            Ok(None) => {
                walked.unfinished += 1;
                Ok(None)
            }
            Err(error) => {
                walked.useless.push((file, format!("it cannot be read: {error}")));
                Ok(None)
            }
        },
    }
}

struct Walk<'a> {
    walked: Walked,
    visitor: &'a mut dyn Visitor,
    progress: &'a mut dyn FnMut(Progress),
    total: u64,
    /// What is not proven to have been synced yet.
    pending: VecDeque<Item>,
    buffer: Vec<u8>,
}

struct Item {
    segment: Arc<Segment>,
    range: Range,
    /// `None`: no valid header is here.
    entry: Option<(Header, Body)>,
}

enum Body {
    Whole(Option<Vec<StateRecord>>),
    Damaged,
}

impl Walk<'_> {
    fn segment(&mut self, segment: &Arc<Segment>) {
        // The header is written only after all before the segment was synced.
        self.prove(segment.base);
        let (file, len) = (&*segment.file.file, segment.file.len);
        let fits = |offset: u64, header: &Header| {
            header.salt == segment.salt
                && header.lsn == segment.base + offset
                && header.end() <= segment.end()
        };
        let mut window = Window::default();
        let mut offset = ENTRIES_AT;
        while offset + HEADER_BYTES as u64 <= len {
            // What the device does not give back is as lost as what has other bytes.
            let valid = window.header(file, offset, len).ok().flatten();
            let Some(header) = valid.filter(|header| fits(offset, header)) else {
                let next = find_header(file, offset + ALIGNMENT, len, fits).ok().flatten();
                let end = next.map_or(len, |(next, _)| next);
                let range = segment.base + offset..segment.base + end;
                self.pending.push_back(Item { segment: segment.clone(), range, entry: None });
                offset = end;
                continue;
            };
            self.prove(header.durable);
            let body = self.body(segment, &header);
            let (range, sealed) = (header.lsn..header.end(), header.kind == Kind::Seal);
            let entry = Some((header, body));
            offset = range.end - segment.base;
            self.pending.push_back(Item { segment: segment.clone(), range, entry });
            (self.progress)(Progress { done: self.walked.bytes + offset, total: self.total });
            if sealed {
                break;
            }
        }
        self.walked.bytes += len;
        (self.progress)(Progress { done: self.walked.bytes, total: self.total });
    }

    /// Everything before `durable` had been synced: what cannot be read there is damage.
    fn prove(&mut self, durable: Lsn) {
        while self.pending.front().is_some_and(|item| item.range.start < durable) {
            let Some(item) = self.pending.pop_front() else { return };
            self.settle(item);
        }
    }

    /// Whole entries up to the first that is not count; nobody was told of the rest.
    fn finish(&mut self) {
        while let Some(item) = self.pending.pop_front() {
            match item.entry {
                Some((_, Body::Whole(_))) => self.settle(item),
                _ => {
                    let entries = self.pending.iter().filter(|item| item.entry.is_some());
                    let entries = entries.map(|item| item.range.end).next_back();
                    let end = item.entry.is_some().then_some(item.range.end);
                    let end = entries.or(end).unwrap_or(item.range.start);
                    self.walked.torn_bytes = end - item.range.start;
                    return self.pending.clear();
                }
            }
        }
    }

    fn settle(&mut self, item: Item) {
        let Item { segment, range, entry } = item;
        let what = match entry {
            Some((header, Body::Whole(state))) => {
                self.visitor.entry(&header, true);
                if let Some(records) = state {
                    self.visitor.state(header.lsn, &records);
                }
                return;
            }
            Some((header, Body::Damaged)) => {
                self.visitor.entry(&header, false);
                "the checksum of an entry's body does not fit"
            }
            None => "there is no valid entry",
        };
        self.walked.broken.push(Broken { segment, range, what });
    }

    fn body(&mut self, segment: &Segment, header: &Header) -> Body {
        let at = header.lsn - segment.base + HEADER_BYTES as u64;
        let (len, wanted) = (header.body_len(), header.body_crc());
        let Some(wanted) = wanted else { return Body::Whole(None) };
        if matches!(header.kind, Kind::State { .. }) {
            let state = read_state(&*segment.file.file, at, len, wanted);
            return state.map_or(Body::Damaged, |records| Body::Whole(Some(records)));
        }
        match self.checksum(&*segment.file.file, at, len) {
            Ok(crc) if crc == wanted => Body::Whole(None),
            _ => Body::Damaged,
        }
    }

    fn checksum(&mut self, file: &dyn DiskFile, at: u64, len: u64) -> io::Result<u32> {
        let (mut crc, mut done) = (0, 0);
        while done < len {
            let piece = (len - done).min(PIECE_BYTES as u64);
            let piece = &mut self.buffer[..usize::try_from(piece).unwrap_or(PIECE_BYTES)];
            file.read_at(piece, at + done)?;
            crc = crc32c::crc32c_append(crc, piece);
            done += piece.len() as u64;
        }
        Ok(crc)
    }
}

fn read_state(file: &dyn DiskFile, at: u64, len: u64, wanted: u32) -> Option<Vec<StateRecord>> {
    let mut body = vec![0; usize::try_from(len).ok()?];
    file.read_at(&mut body, at).ok()?;
    (crc32c::crc32c(&body) == wanted).then(|| StateRecord::decode_all(&body))
}
