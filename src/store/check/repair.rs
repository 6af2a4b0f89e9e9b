//! Sets aside what cannot be read, so that the store opens and nobody stumbles over it again.
//! Nothing is deleted: what is overwritten or left out is kept in `aside/` first.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};

use super::catalog::{LostStream, ReadCatalog, rewrite};
use super::walk::{Broken, Walked};
use super::{CheckError, Range, failed};
use crate::store::disk::Disk;
use crate::store::log::entry::{HEADER_BYTES, Header, Kind, MAX_BODY_BYTES};
use crate::store::log::segment::{ENTRIES_AT, SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use crate::types::StreamId;

/// What the names of set-aside ranges of the log begin with; their positions follow.
const RANGE: &str = "log-";

/// A repair under way.
pub struct Repair<'a> {
    disk: &'a dyn Disk,
    done: &'a mut Vec<String>,
}

impl<'a> Repair<'a> {
    /// Nothing is done yet; what will be is told to `done`.
    pub fn new(disk: &'a dyn Disk, done: &'a mut Vec<String>) -> Self {
        Self { disk, done }
    }

    /// Writes the catalog anew when it is damaged or lacks streams.
    pub fn catalog(
        &mut self,
        catalog: &ReadCatalog,
        lost: &BTreeMap<StreamId, LostStream>,
    ) -> Result<(), CheckError> {
        if catalog.damage.is_none() && lost.is_empty() {
            return Ok(());
        }
        self.forget_index()?;
        match self.disk.move_catalog_aside() {
            Ok(()) => self.done.push("the damaged catalog was moved to aside/".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("move the catalog aside", error)),
        }
        rewrite(self.disk, catalog, lost)?;
        let (kept, made_up) = (catalog.streams.len() + catalog.records.len(), lost.len());
        self.done.push(format!(
            "a new catalog has the {kept} streams that could be read, and {made_up} under made-up \
             names: their names, tags and retention are lost, as the log does not hold them"
        ));
        Ok(())
    }

    /// Makes the damaged parts of the log harmless.
    pub fn log(&mut self, walked: &Walked) -> Result<(), CheckError> {
        if walked.headless.len() + walked.useless.len() + walked.broken.len() > 0 {
            self.forget_index()?;
        }
        for segment in &walked.headless {
            self.restore_header(segment)
                .map_err(|e| failed(&format!("restore the header of {}", segment.file.name), e))?;
        }
        for (file, _) in &walked.useless {
            self.disk
                .move_aside(&file.name)
                .map_err(|e| failed(&format!("move {} aside", file.name), e))?;
            self.done.push(format!("{} was moved to aside/", file.name));
        }
        for broken in &walked.broken {
            self.void(broken).map_err(|e| {
                failed(&format!("set aside a part of {}", broken.segment.file.name), e)
            })?;
        }
        Ok(())
    }

    /// Remembers where fragments are missing of which there is nothing to set aside, so that they
    /// are not reported for ever.
    pub fn remember(&mut self, missing: &[Range]) -> Result<(), CheckError> {
        let known = ranges_set_aside(self.disk)?;
        let mut marked: Vec<&Range> = Vec::new();
        for range in missing {
            let within = |known: &Range| known.start < range.end && range.start < known.end;
            if range.is_empty() || known.iter().any(within) || marked.contains(&range) {
                continue;
            }
            self.disk
                .keep_aside(&name_of(range), &[])
                .map_err(|e| failed("note in aside/ what is missing", e))?;
            self.done.push(format!(
                "nothing is left of the log's positions {} to {}; the gap is noted in aside/",
                range.start, range.end
            ));
            marked.push(range);
        }
        Ok(())
    }

    /// Moves the database of people away, for the server to begin a new one: unlike streams, people
    /// can be found nowhere else.
    pub fn people(&mut self) -> Result<(), CheckError> {
        let moved = self.disk.move_people_aside();
        let name = moved.map_err(|e| failed("move the database of people aside", e))?;
        self.done.push(format!(
            "the damaged database of people was moved to aside/{name}: the server starts without the \
             collections, people and faces that are in it"
        ));
        Ok(())
    }

    /// The index knows what the log was: it goes before the log changes, and is made anew when the
    /// store opens.
    fn forget_index(&self) -> Result<(), CheckError> {
        self.disk.remove_index().map_err(|error| failed("remove the index", error))
    }

    fn restore_header(&mut self, segment: &Segment) -> io::Result<()> {
        let file = &*segment.file.file;
        let mut old = [0; SEGMENT_HEADER_BYTES];
        file.read_at(&mut old, 0)?;
        self.disk.keep_aside(&format!("{}-header", segment.file.name), &old)?;
        let (base, salt) = (segment.base, segment.salt);
        let header = SegmentHeader::Used { base, salt }.encode();
        file.write_at(&mut [IoSlice::new(&header)], 0)?;
        file.sync()?;
        self.done.push(format!("{}: its header was restored", segment.file.name));
        Ok(())
    }

    /// Keeps the bytes of a range, and writes entries over it that say that it is void.
    fn void(&mut self, broken: &Broken) -> io::Result<()> {
        let Broken { segment, range, .. } = broken;
        let file = &*segment.file.file;
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut old = vec![0; len];
        file.read_at(&mut old, range.start - segment.base)?;
        self.disk.keep_aside(&name_of(range), &old)?;
        for header in voids(segment, range) {
            let offset = header.lsn - segment.base;
            file.write_at(&mut [IoSlice::new(&header.encode())], offset)?;
        }
        file.sync()?;
        let name = &segment.file.name;
        self.done.push(format!("{name}: {len} bytes were copied to aside/ and marked as void"));
        Ok(())
    }
}

/// The entries that cover a range, as far as it has room for them.
fn voids(segment: &Segment, range: &Range) -> Vec<Header> {
    let mut voids = Vec::new();
    let mut at = range.start;
    while range.end - at >= HEADER_BYTES as u64 {
        let room = range.end - at - HEADER_BYTES as u64;
        // In whole steps of the alignment, so that the entry ends where the next one begins.
        let room = room.min(MAX_BODY_BYTES as u64) / 64 * 64;
        let len = u32::try_from(room).unwrap_or(0);
        let durable = segment.base + ENTRIES_AT;
        let (lsn, salt, kind) = (at, segment.salt, Kind::Void { len });
        let header = Header { lsn, durable, salt, kind };
        at = header.end();
        voids.push(header);
    }
    voids
}

/// The ranges of the log that earlier repairs set aside.
pub fn ranges_set_aside(disk: &dyn Disk) -> Result<Vec<Range>, CheckError> {
    let names = disk.list_aside().map_err(|e| failed("list aside/", e))?;
    Ok(names.iter().filter_map(|name| range_of(name)).collect())
}

fn name_of(range: &Range) -> String {
    format!("{RANGE}{:016x}-{:016x}", range.start, range.end)
}

fn range_of(name: &str) -> Option<Range> {
    let (from, to) = name.strip_prefix(RANGE)?.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    Some(hex(from)?..hex(to.get(..16)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ranges_say_which() {
        assert_eq!(range_of(&name_of(&(4096..1 << 40))), Some(4096..1 << 40));
        assert_eq!(range_of("log-0000000000000010-0000000000000020.2"), Some(16..32));
        for name in ["", "log-", "log-1-2", "catalog.redb", "log-zz-0000000000000020"] {
            assert_eq!(range_of(name), None, "{name}");
        }
    }
}
