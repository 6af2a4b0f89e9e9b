//! A disk in memory that can crash and fail as real ones do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::{Blocks, Disk, DiskFile};
use crate::store::{locked, wait};

/// What a device writes as one.
const SECTOR: usize = 512;

/// A disk in memory for tests. Clones share what is stored.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    shared: Arc<Mutex<Shared>>,
    /// Tells that the disk no longer stalls.
    resumed: Arc<Condvar>,
    /// Handles from before a crash no longer work.
    generation: u64,
}

/// What is to go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The write after this many more fails; half of it may have been done.
    pub fail_write_after: Option<u64>,
    /// The sync after this many more fails; it may have done anything to what was not synced.
    pub fail_sync_after: Option<u64>,
    /// Bytes of files the disk holds; creating more fails with "no space left".
    pub capacity: Option<u64>,
    /// The index's database can not grow: "no space left".
    pub index_is_full: bool,
    /// The catalog's database can not be synced; what was written to it stays.
    pub catalog_sync_fails: bool,
}

#[derive(Debug, Default)]
struct Shared {
    generation: u64,
    locked: bool,
    faults: Faults,
    stalled: bool,
    cached: bool,
    files: BTreeMap<String, Arc<Mutex<Content>>>,
    catalog: Arc<Mutex<Vec<u8>>>,
    index: Option<Arc<Mutex<Content>>>,
    people: Arc<Mutex<Vec<u8>>>,
    aside: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    /// What reads see.
    current: Vec<u8>,
    /// What a crash leaves for certain.
    synced: Vec<u8>,
    /// Sectors in which the two differ.
    dirty: BTreeSet<usize>,
}

impl MemoryDisk {
    /// An empty disk.
    #[allow(clippy::new_without_default, reason = "a disk is made on purpose")]
    pub fn new() -> Self {
        Self { shared: Arc::default(), resumed: Arc::default(), generation: 0 }
    }

    /// A disk of its own with the same content.
    pub fn copy_of(other: &Self) -> Self {
        let other = locked(&other.shared);
        let copy = |file: &Arc<Mutex<Content>>| Arc::new(Mutex::new(locked(file).clone()));
        let files = other.files.iter().map(|(name, file)| (name.clone(), copy(file))).collect();
        let catalog = Arc::new(Mutex::new(locked(&other.catalog).clone()));
        let people = Arc::new(Mutex::new(locked(&other.people).clone()));
        let shared = Shared { files, catalog, people, ..Shared::default() };
        Self { shared: Arc::new(Mutex::new(shared)), ..Self::new() }
    }

    /// Whether reads need no waiting for the device; otherwise all take the slow way.
    pub fn set_cached(&self, cached: bool) {
        locked(&self.shared).cached = cached;
    }

    /// Lets writes and syncs hang, as on a device that does not answer, or go on.
    pub fn set_stalled(&self, stalled: bool) {
        locked(&self.shared).stalled = stalled;
        self.resumed.notify_all();
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        locked(&self.shared).faults = faults;
    }

    /// Cuts the power: of what was not synced, `keep` decides sector by sector what survives.
    /// This handle and all made from it stop working; the returned one finds what is left.
    pub fn crash(&self, mut keep: impl FnMut() -> bool) -> Self {
        let killed = self.kill();
        let shared = locked(&self.shared);
        shared.files.values().chain(&shared.index).for_each(|file| locked(file).crash(&mut keep));
        drop(shared);
        killed
    }

    /// Ends the process, not the machine: all that was written stays, durable or not. This handle
    /// and all made from it stop working; the returned one finds it.
    pub fn kill(&self) -> Self {
        let mut shared = locked(&self.shared);
        shared.generation += 1;
        shared.locked = false;
        shared.faults = Faults::default();
        shared.stalled = false;
        self.resumed.notify_all();
        let (generation, resumed) = (shared.generation, self.resumed.clone());
        Self { shared: self.shared.clone(), resumed, generation }
    }

    /// Flips one bit of a stored file, as a failing device does.
    pub fn flip_bit(&self, name: &str, byte: usize) {
        if let Some(file) = locked(&self.shared).files.get(name) {
            let content = &mut *locked(file);
            content.current[byte] ^= 1;
            content.synced[byte] ^= 1;
        }
    }

    /// Flips one bit of the catalog's database.
    pub fn flip_catalog_bit(&self, byte: usize) {
        let catalog = locked(&self.shared).catalog.clone();
        let mut bytes = locked(&catalog);
        let len = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(byte % len) {
            *byte ^= 1;
        }
    }

    /// Changes bytes of the database of people, as a failing device does.
    pub fn change_people(&self, change: impl FnOnce(&mut [u8])) {
        let people = locked(&self.shared).people.clone();
        change(&mut locked(&people));
    }

    /// Where in which file `bytes` are stored first.
    pub fn find(&self, bytes: &[u8]) -> Option<(String, usize)> {
        locked(&self.shared).files.iter().find_map(|(name, file)| {
            let content = locked(file);
            let at = content.current.windows(bytes.len()).position(|window| window == bytes)?;
            Some((name.clone(), at))
        })
    }

    /// Bytes of all segment files.
    pub fn used(&self) -> u64 {
        locked(&self.shared).used()
    }

    /// The segment files: their names and lengths.
    pub fn files(&self) -> Vec<(String, usize)> {
        let shared = locked(&self.shared);
        shared.files.iter().map(|(name, file)| (name.clone(), locked(file).current.len())).collect()
    }

    /// What was set aside: names and bytes.
    pub fn aside(&self) -> Vec<(String, Vec<u8>)> {
        locked(&self.shared).aside.clone()
    }

    fn shared(&self) -> io::Result<MutexGuard<'_, Shared>> {
        self.usable(locked(&self.shared))
    }

    /// Waits while the disk stalls.
    fn writable(&self) -> io::Result<MutexGuard<'_, Shared>> {
        let mut shared = self.shared()?;
        while shared.stalled {
            shared = self.usable(wait(&self.resumed, shared))?;
        }
        Ok(shared)
    }

    fn usable<'a>(&self, shared: MutexGuard<'a, Shared>) -> io::Result<MutexGuard<'a, Shared>> {
        if shared.generation == self.generation {
            Ok(shared)
        } else {
            Err(io::Error::other("the power was cut"))
        }
    }

    /// What the index's database holds as of now; give it back with
    /// [`MemoryDisk::put_index`], when it is stale.
    pub fn take_index(&self) -> Option<Vec<u8>> {
        let shared = locked(&self.shared);
        shared.index.as_ref().map(|index| locked(index).synced.clone())
    }

    /// Puts an index's database in the place of what is there; with `None`, it is lost.
    pub fn put_index(&self, bytes: Option<Vec<u8>>) {
        locked(&self.shared).index = bytes.map(|bytes| {
            let content = Content { current: bytes.clone(), synced: bytes, dirty: BTreeSet::new() };
            Arc::new(Mutex::new(content))
        });
    }

    fn file(&self, content: Arc<Mutex<Content>>) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile { disk: self.clone(), content })
    }
}

impl Content {
    fn write(&mut self, bytes: &[u8], start: usize) -> io::Result<()> {
        let place = self.current.get_mut(start..start.saturating_add(bytes.len()));
        place.ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(bytes);
        self.dirty.extend(start / SECTOR..(start + bytes.len()).div_ceil(SECTOR));
        Ok(())
    }

    fn sync(&mut self) {
        self.crash(&mut || true);
    }

    fn crash(&mut self, keep: &mut impl FnMut() -> bool) {
        for sector in std::mem::take(&mut self.dirty) {
            let end = self.current.len().min((sector + 1) * SECTOR);
            // A file that became shorter meanwhile has lost the sector.
            let range = (sector * SECTOR).min(end)..end;
            if keep() {
                self.synced[range.clone()].copy_from_slice(&self.current[range]);
            } else {
                self.current[range.clone()].copy_from_slice(&self.synced[range]);
            }
        }
    }
}

impl Shared {
    fn used(&self) -> u64 {
        self.files.values().map(|file| locked(file).current.len() as u64).sum()
    }
}

impl Disk for MemoryDisk {
    fn lock(&self) -> io::Result<bool> {
        Ok(!std::mem::replace(&mut self.shared()?.locked, true))
    }

    fn unlock(&self) {
        if let Ok(mut shared) = self.shared() {
            shared.locked = false;
        }
    }

    fn catalog(&self) -> Result<redb::Database, redb::DatabaseError> {
        let bytes = self.shared().map_err(redb::StorageError::from)?.catalog.clone();
        let backend = MemoryDatabase { bytes, disk: Some(self.clone()) };
        redb::Database::builder().create_with_backend(backend)
    }

    fn index(&self, cache_bytes: usize) -> Result<redb::Database, redb::DatabaseError> {
        let mut shared = self.shared().map_err(redb::StorageError::from)?;
        let content = shared.index.get_or_insert_default().clone();
        drop(shared);
        let backend = CrashingDatabase { disk: self.clone(), content };
        redb::Database::builder().set_cache_size(cache_bytes).create_with_backend(backend)
    }

    fn remove_index(&self) -> io::Result<()> {
        self.shared()?.index = None;
        Ok(())
    }

    fn people(&self, cache_bytes: usize) -> Result<redb::Database, redb::DatabaseError> {
        let bytes = self.shared().map_err(redb::StorageError::from)?.people.clone();
        let backend = MemoryDatabase { bytes, disk: Some(self.clone()) };
        redb::Database::builder().set_cache_size(cache_bytes).create_with_backend(backend)
    }

    fn read_people(&self) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let people = self.shared()?.people.clone();
        let bytes = locked(&people).clone();
        // Reads need no second copy of what a crash leaves.
        let content = Content { current: bytes, ..Content::default() };
        let exists = !content.current.is_empty();
        Ok(exists.then(|| self.file(Arc::new(Mutex::new(content)))))
    }

    fn read_catalog(&self) -> io::Result<Option<Vec<u8>>> {
        let catalog = self.shared()?.catalog.clone();
        let bytes = locked(&catalog).clone();
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.shared()?.files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let content = self.shared()?.files.get(name).cloned();
        Ok(self.file(content.ok_or(io::ErrorKind::NotFound)?))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut shared = self.shared()?;
        if shared.faults.capacity.is_some_and(|capacity| shared.used() + len > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let content = Content { current: zeros.clone(), synced: zeros, dirty: BTreeSet::new() };
        let content = Arc::new(Mutex::new(content));
        shared.files.insert(name.to_owned(), content.clone());
        Ok(self.file(content))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.shared()?.files.remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let shared = self.shared()?;
        let capacity = shared.faults.capacity;
        Ok(capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(shared.used())))
    }

    fn keep_aside(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.shared()?.aside.push((name.to_owned(), bytes.to_vec()));
        Ok(())
    }

    fn move_aside(&self, name: &str) -> io::Result<()> {
        let mut shared = self.shared()?;
        let file = shared.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let bytes = locked(&file).current.clone();
        shared.aside.push((name.to_owned(), bytes));
        Ok(())
    }

    fn move_catalog_aside(&self) -> io::Result<()> {
        let mut shared = self.shared()?;
        let catalog = std::mem::take(&mut shared.catalog);
        let bytes = locked(&catalog).clone();
        shared.aside.push(("catalog.redb".to_owned(), bytes));
        Ok(())
    }

    fn move_people_aside(&self) -> io::Result<String> {
        let mut shared = self.shared()?;
        let people = std::mem::take(&mut shared.people);
        let bytes = locked(&people).clone();
        shared.aside.push(("people.redb".to_owned(), bytes));
        Ok("people.redb".to_owned())
    }

    fn list_aside(&self) -> io::Result<Vec<String>> {
        Ok(self.shared()?.aside.iter().map(|(name, _)| name.clone()).collect())
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    content: Arc<Mutex<Content>>,
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(locked(&self.content).current.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        // Held, so that nothing is done on both sides of a crash.
        let _shared = self.disk.shared()?;
        let content = locked(&self.content);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = content.current.get(start..start.saturating_add(buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> bool {
        let cached = self.disk.shared().is_ok_and(|shared| shared.cached);
        cached && self.read_at(buffer, offset).is_ok()
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut shared = self.disk.writable()?;
        let fails = count_down(&mut shared.faults.fail_write_after);
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let len = if fails { bytes.len() / 2 } else { bytes.len() };
        let content = &mut *locked(&self.content);
        content.write(&bytes[..len], usize::try_from(offset).map_err(io::Error::other)?)?;
        if fails { Err(io::Error::other("simulated failure of a write")) } else { Ok(()) }
    }

    fn write_blocks_at(&self, blocks: &Blocks, offset: u64) -> io::Result<()> {
        self.write_at(&mut [IoSlice::new(blocks.bytes())], offset)
    }

    fn sync(&self) -> io::Result<()> {
        let mut shared = self.disk.writable()?;
        if count_down(&mut shared.faults.fail_sync_after) {
            return Err(io::Error::other("simulated failure of a sync"));
        }
        locked(&self.content).sync();
        Ok(())
    }
}

/// The index's database in memory: a crash takes back what was not synced, sector by sector.
/// Changes of its length last at once.
#[derive(Debug)]
struct CrashingDatabase {
    disk: MemoryDisk,
    content: Arc<Mutex<Content>>,
}

impl redb::StorageBackend for CrashingDatabase {
    fn len(&self) -> io::Result<u64> {
        let _shared = self.disk.shared()?;
        Ok(locked(&self.content).current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let _shared = self.disk.shared()?;
        let content = locked(&self.content);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = content.current.get(start..start.saturating_add(out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let shared = self.disk.shared()?;
        let content = &mut *locked(&self.content);
        let len = usize::try_from(len).map_err(io::Error::other)?;
        if shared.faults.index_is_full && len > content.current.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.current.resize(len, 0);
        content.synced.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let _shared = self.disk.shared()?;
        locked(&self.content).sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let _shared = self.disk.shared()?;
        locked(&self.content).write(data, usize::try_from(offset).map_err(io::Error::other)?)
    }
}

/// Whether this is the time; after it, each further time too.
fn count_down(after: &mut Option<u64>) -> bool {
    match after {
        Some(0) => true,
        Some(more) => {
            *more -= 1;
            false
        }
        None => false,
    }
}

/// A database in memory; never loses anything, as redb's own crashes are redb's.
#[derive(Debug)]
pub struct MemoryDatabase {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Whose faults it has.
    disk: Option<MemoryDisk>,
}

impl MemoryDatabase {
    /// One that begins with these bytes.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(Mutex::new(bytes)), disk: None }
    }
}

impl redb::StorageBackend for MemoryDatabase {
    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.bytes).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = locked(&self.bytes);
        let bytes = bytes.get(start..start.saturating_add(out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        locked(&self.bytes).resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let fails = |disk: &MemoryDisk| locked(&disk.shared).faults.catalog_sync_fails;
        match self.disk.as_ref().is_some_and(fails) {
            true => Err(io::Error::other("the sync failed")),
            false => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let mut bytes = locked(&self.bytes);
        let place = bytes.get_mut(start..start.saturating_add(data.len()));
        place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}
