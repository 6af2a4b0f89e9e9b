//! Faces and whose they are: a database of its own, so that neither vectors nor pictures swell the
//! catalog. Each change is one durable transaction.
//!
//! Here: rows, written together and read back. Not here: who is whom (`people`).

mod facts;
mod rows;

pub use facts::{Change, CollectionInfo, FaceInfo, PersonInfo, RelativeBox, SeenAs, SightingInfo};

use std::io;

use redb::ReadableDatabase;

use super::disk::{Disk, Overlay};
use super::index::guarded;
use crate::types::{PersonId, SightingId};
use rows::{CROPS, OF_PERSON, SIGHTINGS, TRACKS, Tables};

/// Bytes of the database that stay in memory: facts of what is looked at. What is searched is kept
/// by `people`.
const CACHE_BYTES: usize = 16 << 20;

/// The database of people. Its methods block, and may be called from any thread.
pub struct PeopleStore {
    database: redb::Database,
}

/// The database failed; nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the database of people: {0}")]
pub struct PeopleStoreError(String);

impl PeopleStoreError {
    /// What is wrong with it.
    pub(super) fn what(&self) -> &str {
        &self.0
    }
}

/// Which collection a row belongs to. Numbers of deleted collections are used again, as nothing is
/// left of those.
pub type CollectionNumber = u32;

impl PeopleStore {
    /// Opens a disk's database, or makes a new one. One that is damaged is refused.
    pub(super) fn open(disk: &dyn Disk) -> Result<Self, PeopleStoreError> {
        let open = || {
            let database = disk.people(CACHE_BYTES)?;
            rows::prepare(&database)?;
            Ok(database)
        };
        let database = guarded(open).map_err(PeopleStoreError)?;
        Ok(Self { database })
    }

    /// Everything that is remembered but pictures, as the changes that made it: each collection
    /// before what is in it, people before their faces and sightings.
    pub fn load(
        &self,
        mut each: impl FnMut(CollectionNumber, Change),
    ) -> Result<(), PeopleStoreError> {
        guarded(|| rows::load(&self.database, &mut each)).map_err(PeopleStoreError)
    }

    /// Makes changes of one collection, all or none. They are durable when this returns.
    pub fn commit(
        &self,
        collection: CollectionNumber,
        changes: &[Change],
    ) -> Result<(), PeopleStoreError> {
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            // Otherwise opening after a crash reads the whole file, pictures and all.
            transaction.set_quick_repair(true);
            {
                let mut tables = Tables::open(&transaction)?;
                changes.iter().try_for_each(|change| tables.apply(collection, change))?;
            }
            Ok(transaction.commit()?)
        };
        guarded(write).map_err(PeopleStoreError)
    }

    /// A sighting's facts.
    pub fn sighting(
        &self,
        collection: CollectionNumber,
        id: SightingId,
    ) -> Result<Option<SightingInfo>, PeopleStoreError> {
        self.read(|read| {
            let table = read.open_table(SIGHTINGS)?;
            let row = table.get((collection, id.as_u128()))?;
            row.map(|row| rows::sighting(id, row.value())).transpose()
        })
    }

    /// The sighting of a track.
    pub fn of_track(
        &self,
        collection: CollectionNumber,
        track: &str,
    ) -> Result<Option<SightingId>, PeopleStoreError> {
        self.read(|read| {
            let row = read.open_table(TRACKS)?.get((collection, track))?;
            Ok(row.map(|row| SightingId::from_u128(row.value())))
        })
    }

    /// The picture of a sighting, a JPEG.
    pub fn crop(
        &self,
        collection: CollectionNumber,
        id: SightingId,
    ) -> Result<Option<Vec<u8>>, PeopleStoreError> {
        self.read(|read| {
            let row = read.open_table(CROPS)?.get((collection, id.as_u128()))?;
            Ok(row.map(|row| row.value().to_vec()))
        })
    }

    /// Up to `limit` sightings of a person, newest first, older than `before`.
    pub fn sightings_of(
        &self,
        collection: CollectionNumber,
        person: PersonId,
        before: Option<SightingId>,
        limit: usize,
    ) -> Result<Vec<SightingId>, PeopleStoreError> {
        let person = person.as_u128();
        let end = before.map_or(u128::MAX, |id| id.as_u128());
        self.read(|read| {
            let table = read.open_table(OF_PERSON)?;
            let range = table.range((collection, person, 0)..(collection, person, end))?;
            let ids = range.rev().take(limit);
            ids.map(|row| Ok(SightingId::from_u128(row?.0.value().2))).collect()
        })
    }

    /// The `limit` oldest sightings.
    pub fn oldest_sightings(
        &self,
        collection: CollectionNumber,
        limit: usize,
    ) -> Result<Vec<SightingId>, PeopleStoreError> {
        self.read(|read| {
            let table = read.open_table(SIGHTINGS)?;
            let range = table.range((collection, 0)..=(collection, u128::MAX))?;
            let ids = range.take(limit);
            ids.map(|row| Ok(SightingId::from_u128(row?.0.value().1))).collect()
        })
    }

    /// Verifies a disk's database and reads every row of it; changes nothing. The outer error is the
    /// operating system's, which says nothing of what is in the file.
    pub(super) fn verify(disk: &dyn Disk) -> io::Result<Result<(), PeopleStoreError>> {
        let Some(file) = disk.read_people()? else { return Ok(Ok(())) };
        let file = Overlay::over(file)?;
        let verify = || {
            let mut builder = redb::Builder::new();
            let mut database = builder.set_cache_size(CACHE_BYTES).create_with_backend(file)?;
            if !database.check_integrity()? {
                return Err(redb::Error::Corrupted("checksums do not fit".to_owned()));
            }
            // A server that ended early may not have made all tables.
            rows::prepare(&database)?;
            rows::verify(&database)
        };
        Ok(guarded(verify).map_err(PeopleStoreError))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, PeopleStoreError> {
        guarded(|| read(&self.database.begin_read()?)).map_err(PeopleStoreError)
    }
}

#[cfg(test)]
mod tests;
