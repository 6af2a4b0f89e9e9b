//! What the store needs of a disk, as a small trait: real files here, and in memory with crashes
//! and faults in [`MemoryDisk`], so that a crash is a test.
//!
//! The only place that opens the store's files.

mod blocks;
mod database;
mod memory;
mod overlay;

pub use blocks::{BLOCK_BYTES, Blocks};
pub(super) use memory::MemoryDatabase;
pub use memory::{Faults, MemoryDisk};
pub(super) use overlay::Overlay;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, OFlags};
use rustix::io::ReadWriteFlags;

/// The file of the catalog's database.
const CATALOG: &str = "catalog.redb";
const INDEX_FILE: &str = "index.redb";
/// The file of the database of people.
const PEOPLE_FILE: &str = "people.redb";

/// Where a store lives.
pub trait Disk: Send + Sync + std::fmt::Debug + 'static {
    /// Makes the place ready and takes it for this process alone; `false` when another has it.
    fn lock(&self) -> io::Result<bool>;

    /// Lets another process have it.
    fn unlock(&self);

    /// Opens or creates the catalog's database.
    fn catalog(&self) -> Result<redb::Database, redb::DatabaseError>;

    /// Opens or creates the index's database, which keeps up to `cache_bytes` in memory.
    fn index(&self, cache_bytes: usize) -> Result<redb::Database, redb::DatabaseError>;

    /// Removes the index's database, if there is one. One that is open may go on.
    fn remove_index(&self) -> io::Result<()>;

    /// Opens or creates the database of people, which keeps up to `cache_bytes` in memory.
    fn people(&self, cache_bytes: usize) -> Result<redb::Database, redb::DatabaseError>;

    /// Opens the file of the database of people to read it alone; `None` when there is none.
    fn read_people(&self) -> io::Result<Option<Arc<dyn DiskFile>>>;

    /// The bytes of the catalog's database; `None` when there is none.
    fn read_catalog(&self) -> io::Result<Option<Vec<u8>>>;

    /// The names of all segment files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a segment file.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates a segment file of `len` zero bytes whose space is reserved and whose name is
    /// durable. Leaves nothing behind when it fails.
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a segment file; readers that have it open may go on.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Keeps bytes under a name of their own where the store never looks, durably.
    fn keep_aside(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Moves a segment file to where the store never looks, durably.
    fn move_aside(&self, name: &str) -> io::Result<()>;

    /// Moves the catalog's database there; the next [`Disk::catalog`] makes an empty one.
    fn move_catalog_aside(&self) -> io::Result<()>;

    /// Moves the database of people there, and tells its name there; the next [`Disk::people`]
    /// makes an empty one.
    fn move_people_aside(&self) -> io::Result<String>;

    /// The names of all that was set aside.
    fn list_aside(&self) -> io::Result<Vec<String>>;

    /// Bytes that the process may still take of the disk. A disk that can not tell has room.
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// A file, of a segment most often. All methods may be called at the same time from several threads.
pub trait DiskFile: Send + Sync + std::fmt::Debug + 'static {
    /// Bytes of the file; a segment's are fixed at its creation.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Like [`DiskFile::read_at`] when that needs no waiting for the device; `false` when it
    /// would, or when it can not be told.
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> bool;

    /// Writes all of `slices`, one after the other, from `offset` on.
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Writes `blocks` at `offset`, a multiple of [`BLOCK_BYTES`], and keeps no copy in memory for
    /// readers: for what is much, or is not read soon.
    fn write_blocks_at(&self, blocks: &Blocks, offset: u64) -> io::Result<()>;

    /// Makes all that was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of a file system.
#[derive(Debug)]
pub struct FileDisk {
    dir: PathBuf,
    /// Held open, and so locked, for as long as the disk lives.
    lock: std::sync::Mutex<Option<File>>,
}

impl FileDisk {
    /// A disk in `dir`, which need not exist yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), lock: std::sync::Mutex::new(None) }
    }

    fn segment(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(name)
    }

    /// Where things are set aside, made if it is new.
    fn aside(&self) -> io::Result<PathBuf> {
        let aside = self.dir.join("aside");
        create_dirs(&aside)?;
        Ok(aside)
    }

    /// A name in `aside` that nothing has yet: nothing there is ever replaced.
    fn free_aside(&self, name: &str) -> io::Result<PathBuf> {
        let aside = self.aside()?;
        let mut path = aside.join(name);
        for more in 2.. {
            if !path.try_exists()? {
                break;
            }
            path = aside.join(format!("{name}.{more}"));
        }
        Ok(path)
    }

    /// Moves a file, and tells its name in `aside`.
    fn move_to_aside(&self, from: &Path, name: &str) -> io::Result<String> {
        let to = self.free_aside(name)?;
        fs::rename(from, &to)?;
        sync_dir(&self.dir.join("aside"))?;
        sync_dir(from.parent().unwrap_or(&self.dir))?;
        Ok(to.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    fn create_sized(&self, path: &Path, len: u64) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        // Reserving the space here makes "disk full" an error of creation, where nothing is at
        // stake, and not one of a write.
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(len)?,
            Err(error) => return Err(error.into()),
        }
        file.sync_all()?;
        sync_dir(&self.dir.join("log"))?;
        Ok(file)
    }
}

impl Disk for FileDisk {
    fn lock(&self) -> io::Result<bool> {
        create_dirs(&self.dir.join("log"))?;
        let file = File::create(self.dir.join("LOCK"))?;
        match file.try_lock() {
            Ok(()) => {
                *super::locked(&self.lock) = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) {
        *super::locked(&self.lock) = None;
    }

    fn catalog(&self) -> Result<redb::Database, redb::DatabaseError> {
        let path = self.dir.join(CATALOG);
        let database = redb::Database::create(path)?;
        sync_dir(&self.dir).map_err(redb::StorageError::from)?;
        Ok(database)
    }

    fn index(&self, cache_bytes: usize) -> Result<redb::Database, redb::DatabaseError> {
        let file = database::open(&self.dir.join(INDEX_FILE)).map_err(redb::StorageError::from)?;
        redb::Database::builder().set_cache_size(cache_bytes).create_with_backend(file)
    }

    fn remove_index(&self) -> io::Result<()> {
        match fs::remove_file(self.dir.join(INDEX_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn people(&self, cache_bytes: usize) -> Result<redb::Database, redb::DatabaseError> {
        let path = self.dir.join(PEOPLE_FILE);
        let database = redb::Database::builder().set_cache_size(cache_bytes).create(path)?;
        sync_dir(&self.dir).map_err(redb::StorageError::from)?;
        Ok(database)
    }

    fn read_people(&self) -> io::Result<Option<Arc<dyn DiskFile>>> {
        match File::open(self.dir.join(PEOPLE_FILE)) {
            Ok(file) => Ok(Some(Arc::new(SegmentFile { file, direct: None }))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_catalog(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.dir.join(CATALOG)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.dir.join("log"))?
            .map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(names.into_iter().filter(|name| name.ends_with(".seg")).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.segment(name);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Arc::new(SegmentFile::new(file, &path)))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.segment(name);
        match self.create_sized(&path, len) {
            Ok(file) => Ok(Arc::new(SegmentFile::new(file, &path))),
            Err(error) => {
                // The first error is the one worth reporting.
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.segment(name))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.dir)?;
        // Without what the file system reserves for its administrator.
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn keep_aside(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create_new(self.free_aside(name)?)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        sync_dir(&self.dir.join("aside"))
    }

    fn move_aside(&self, name: &str) -> io::Result<()> {
        self.move_to_aside(&self.segment(name), name).map(drop)
    }

    fn move_catalog_aside(&self) -> io::Result<()> {
        self.move_to_aside(&self.dir.join(CATALOG), CATALOG).map(drop)
    }

    fn move_people_aside(&self) -> io::Result<String> {
        self.move_to_aside(&self.dir.join(PEOPLE_FILE), PEOPLE_FILE)
    }

    fn list_aside(&self) -> io::Result<Vec<String>> {
        match fs::read_dir(self.dir.join("aside")) {
            Ok(entries) => entries
                .map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()))
                .collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// A file that may be open twice.
#[derive(Debug)]
struct SegmentFile {
    /// Of which only what is asked for is read: reading ahead of slow readers would keep the device,
    /// and so the syncs, busy with what nobody wants yet.
    file: File,
    /// The same one, past the page cache, where the file system can.
    direct: Option<File>,
}

impl SegmentFile {
    fn new(file: File, path: &Path) -> Self {
        let mut options = OpenOptions::new();
        let options = options.write(true).custom_flags(OFlags::DIRECT.bits() as i32);
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Random);
        Self { file, direct: options.open(path).ok() }
    }
}

impl DiskFile for SegmentFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> bool {
        read_cached_at(&self.file, buffer, offset)
    }

    fn write_at(&self, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        /// What one system call takes (`IOV_MAX`).
        const MAX_SLICES: usize = 1024;
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let some = &slices[..slices.len().min(MAX_SLICES)];
            match rustix::io::pwritev(&self.file, some, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut slices, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write_blocks_at(&self, blocks: &Blocks, offset: u64) -> io::Result<()> {
        let direct = self.direct.as_ref().map(|file| file.write_all_at(blocks.bytes(), offset));
        match direct {
            // Some devices want larger blocks than ours.
            None => self.file.write_all_at(blocks.bytes(), offset),
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                self.file.write_all_at(blocks.bytes(), offset)
            }
            Some(written) => written,
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// See [`DiskFile::read_cached_at`].
fn read_cached_at(file: &File, buffer: &mut [u8], offset: u64) -> bool {
    let len = buffer.len();
    let slices = &mut [IoSliceMut::new(buffer)];
    let read = rustix::io::preadv2(file, slices, offset, ReadWriteFlags::NOWAIT);
    read.is_ok_and(|read| read == len)
}

/// Creates `dir` and its parents, each name durable in the directory above it.
fn create_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dirs(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(parent.unwrap_or(Path::new("."))),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
