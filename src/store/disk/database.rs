//! The index's database in a file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::FallocateFlags;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::read_cached_at;

/// A file whose reads do not hold up the other tasks of a runtime: the index is searched by
/// tasks, as it is nearly always in memory or in the page cache. Another process can not have it
/// open, as the data directory is locked.
#[derive(Debug)]
pub(super) struct DatabaseFile(File);

/// Opens or creates a database's file. Its name need not be durable: what it holds is derived.
pub(super) fn open(path: &Path) -> io::Result<DatabaseFile> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    Ok(DatabaseFile(file))
}

impl redb::StorageBackend for DatabaseFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if read_cached_at(&self.0, out, offset) {
            return Ok(());
        }
        let mut read = || self.0.read_exact_at(out, offset);
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            // The device's time is nobody else's: the other tasks go on on another thread.
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(read),
            _ => read(),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.len()?;
        if len <= before {
            return self.0.set_len(len);
        }
        // Reserved, so that "disk full" comes here, where nothing is at stake: a write that fails
        // leaves a database that has to be opened again, for which it has to write.
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), before, len - before) {
            Err(rustix::io::Errno::OPNOTSUPP) => self.0.set_len(len),
            reserved => Ok(reserved?),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
