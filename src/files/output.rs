//! A file that is written under another name until it is whole.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 20;

/// A file on its way; removed when it is dropped before [`Output::commit`].
pub struct Output {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    committed: bool,
    bytes: u64,
}

impl Output {
    /// Begins `path`; what stands there stays until the file is whole.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let file = BufWriter::with_capacity(BUFFER, File::create(&partial)?);
        Ok(Self { path: path.to_owned(), partial, file, committed: false, bytes: 0 })
    }

    /// Appends.
    pub fn append(&mut self, pieces: &[Bytes]) -> std::io::Result<()> {
        for piece in pieces {
            self.file.write_all(piece)?;
            self.bytes += piece.len() as u64;
        }
        Ok(())
    }

    /// Bytes that were appended.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Overwrites what stands at some offsets, and gives the file its name.
    pub fn commit(mut self, patches: &[(u64, Bytes)]) -> std::io::Result<()> {
        self.file.flush()?;
        for (at, bytes) in patches {
            self.file.get_ref().write_all_at(bytes, *at)?;
        }
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.committed {
            // What cannot be removed is seen by its name to be no whole file.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}
