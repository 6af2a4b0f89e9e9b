//! A database that is used as if it could be changed, over a file that stays as it is.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::DiskFile;
use crate::store::locked;

/// Changes are kept in pieces of so many bytes: redb's pages.
const PIECE: usize = 4096;

/// redb cannot look at a database that a crash left without repairing it first. Over this it may:
/// what it writes is kept in memory and forgotten. That is a few pages, as a repair and the making of
/// tables write what tells of free space, and no rows.
#[derive(Debug)]
pub struct Overlay {
    file: Arc<dyn DiskFile>,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    /// The length that redb gave it.
    len: u64,
    /// So much of the file is still seen; zeros follow.
    seen: u64,
    /// What was written over, by its number.
    pieces: BTreeMap<u64, Box<[u8; PIECE]>>,
}

impl Overlay {
    /// Nothing is changed yet.
    pub fn over(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.size()?;
        let changes = Changes { len, seen: len, pieces: BTreeMap::new() };
        Ok(Self { file, changes: Mutex::new(changes) })
    }
}

impl Changes {
    fn covers(&self, offset: u64, len: usize) -> io::Result<()> {
        let end = offset.checked_add(len as u64);
        let within = end.is_some_and(|end| end <= self.len);
        if within { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads what the file has, and zeros behind it.
    fn read_file(&self, file: &dyn DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = self.seen.saturating_sub(offset).min(out.len() as u64);
        let there = usize::try_from(there).map_err(io::Error::other)?;
        let (there, behind) = out.split_at_mut(there);
        behind.fill(0);
        if there.is_empty() { Ok(()) } else { file.read_at(there, offset) }
    }
}

impl redb::StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.changes).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = locked(&self.changes);
        changes.covers(offset, out.len())?;
        changes.read_file(&*self.file, offset, out)?;
        for part in parts(offset, out.len()) {
            if let Some(piece) = changes.pieces.get(&part.piece) {
                out[part.of_all].copy_from_slice(&piece[part.of_piece]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changes = locked(&self.changes);
        changes.len = len;
        changes.seen = changes.seen.min(len);
        // What is cut off reads as zeros should the file grow again.
        changes.pieces.split_off(&len.div_ceil(PIECE as u64));
        let cut = usize::try_from(len % PIECE as u64).map_err(io::Error::other)?;
        if let Some(piece) = changes.pieces.get_mut(&(len / PIECE as u64)) {
            piece[cut..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = locked(&self.changes);
        changes.covers(offset, data.len())?;
        for part in parts(offset, data.len()) {
            if !changes.pieces.contains_key(&part.piece) {
                let mut piece = Box::new([0; PIECE]);
                changes.read_file(&*self.file, part.piece * PIECE as u64, &mut *piece)?;
                changes.pieces.insert(part.piece, piece);
            }
            if let Some(piece) = changes.pieces.get_mut(&part.piece) {
                piece[part.of_piece].copy_from_slice(&data[part.of_all]);
            }
        }
        Ok(())
    }
}

/// What a range has in one piece.
struct Part {
    piece: u64,
    of_piece: std::ops::Range<usize>,
    of_all: std::ops::Range<usize>,
}

fn parts(offset: u64, len: usize) -> impl Iterator<Item = Part> {
    // Less than a piece, whatever the width of addresses.
    let first = (offset % PIECE as u64) as usize;
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = first + done;
        let (start, from) = (at % PIECE, done);
        let some = (PIECE - start).min(len - done);
        done += some;
        let piece = offset / PIECE as u64 + (at / PIECE) as u64;
        (some > 0).then(|| Part { piece, of_piece: start..start + some, of_all: from..done })
    })
}

#[cfg(test)]
mod tests {
    use redb::StorageBackend;

    use super::*;
    use crate::store::disk::{Disk, MemoryDisk};

    #[test]
    fn changes_are_read_back_and_the_file_stays_as_it_is() {
        let disk = MemoryDisk::new();
        let file = disk.create("f", 10_000).expect("room");
        file.write_at(&mut [io::IoSlice::new(&[7; 10_000])], 0).expect("written");
        let overlay = Overlay::over(file.clone()).expect("a file");
        let all = || {
            let mut all =
                vec![1; usize::try_from(overlay.len().expect("a length")).expect("small")];
            overlay.read(0, &mut all).expect("read");
            all
        };
        assert_eq!(all(), [7; 10_000]);

        // Over the border of two pieces, into the middle of one, and over the end of the file.
        let mut expected = vec![7; 10_000];
        overlay.write(4_000, &[8; 200]).expect("written");
        expected[4_000..4_200].fill(8);
        overlay.set_len(20_000).expect("longer");
        expected.resize(20_000, 0);
        overlay.write(9_990, &[9; 20]).expect("written");
        expected[9_990..10_010].fill(9);
        assert!(all() == expected);
        let mut some = [0; 3];
        overlay.read(4_095, &mut some).expect("read");
        assert_eq!(some, [8; 3]);

        // What was cut off does not come back.
        overlay.set_len(4_100).expect("shorter");
        overlay.set_len(20_000).expect("longer");
        expected[4_100..].fill(0);
        assert!(all() == expected);
        assert!(overlay.read(19_999, &mut some).is_err());
        assert!(overlay.write(u64::MAX, &some).is_err());
        let mut whole = [0; 10_000];
        file.read_at(&mut whole, 0).expect("read");
        assert_eq!(whole, [7; 10_000]);
    }
}
