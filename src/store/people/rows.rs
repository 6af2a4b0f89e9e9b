//! The tables, and how rows become changes and changes rows.

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CollectionNumber;
use super::facts::{Change, CollectionInfo, SeenAs, SightingInfo};
use crate::types::{PersonId, SightingId};

/// Collection and id.
type Key = (u32, u128);

/// The collection's facts as JSON.
const COLLECTIONS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("collections");
/// A person's facts as JSON.
const PERSONS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("persons");
/// An enrolled face's facts as JSON.
const FACES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("faces");
/// What it looks like: its numbers, 32-bit floats, little-endian.
const FACE_LOOKS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("face_looks");
/// A sighting's facts as JSON.
pub const SIGHTINGS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("sightings");
/// Whom it is of and what it looks like: the person (16 bytes, little-endian), 1 for a reference or
/// 0, and numbers as above. Apart from the facts, as all that is searched is read when opening.
const SIGHTING_LOOKS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("sighting_looks");
/// A sighting's picture.
pub const CROPS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("crops");
/// Collection and track → its sighting.
pub const TRACKS: TableDefinition<'_, (u32, &str), u128> = TableDefinition::new("tracks");
/// Collection, person and sighting.
pub const OF_PERSON: TableDefinition<'_, (u32, u128, u128), ()> = TableDefinition::new("of_person");

/// Bytes of a row of [`SIGHTING_LOOKS`] before its numbers.
const SEEN_AS_BYTES: usize = 17;

/// Makes the tables of a new database.
pub fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    Tables::open(&transaction)?;
    Ok(transaction.commit()?)
}

/// All tables, in a transaction that writes.
pub struct Tables<'a> {
    collections: Table<'a, u32, &'static [u8]>,
    persons: Table<'a, Key, &'static [u8]>,
    faces: Table<'a, Key, &'static [u8]>,
    face_looks: Table<'a, Key, &'static [u8]>,
    sightings: Table<'a, Key, &'static [u8]>,
    sighting_looks: Table<'a, Key, &'static [u8]>,
    crops: Table<'a, Key, &'static [u8]>,
    tracks: Table<'a, (u32, &'static str), u128>,
    of_person: Table<'a, (u32, u128, u128), ()>,
}

impl<'a> Tables<'a> {
    /// Opens them, and makes those that do not exist yet.
    pub fn open(transaction: &'a WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            collections: transaction.open_table(COLLECTIONS)?,
            persons: transaction.open_table(PERSONS)?,
            faces: transaction.open_table(FACES)?,
            face_looks: transaction.open_table(FACE_LOOKS)?,
            sightings: transaction.open_table(SIGHTINGS)?,
            sighting_looks: transaction.open_table(SIGHTING_LOOKS)?,
            crops: transaction.open_table(CROPS)?,
            tracks: transaction.open_table(TRACKS)?,
            of_person: transaction.open_table(OF_PERSON)?,
        })
    }

    /// Makes one change of a collection.
    pub fn apply(&mut self, of: CollectionNumber, change: &Change) -> Result<(), redb::Error> {
        match change {
            Change::Collection(info) => {
                self.collections.insert(of, &*json(info)?)?;
            }
            Change::NoCollection => self.remove_collection(of)?,
            Change::Person(info) => {
                self.persons.insert((of, info.id.as_u128()), &*json(info)?)?;
            }
            Change::NoPerson(id) => {
                self.persons.remove((of, id.as_u128()))?;
            }
            Change::Face(info, look) => {
                let key = (of, info.id.as_u128());
                self.faces.insert(key, &*json(info)?)?;
                if let Some(look) = look {
                    self.face_looks.insert(key, &*bytes_of(look, Vec::new()))?;
                }
            }
            Change::NoFace(id) => {
                self.faces.remove((of, id.as_u128()))?;
                self.face_looks.remove((of, id.as_u128()))?;
            }
            Change::Sighting(info) => {
                self.sightings.insert((of, info.id.as_u128()), &*json(info)?)?;
                self.tracks.insert((of, &*info.track), info.id.as_u128())?;
            }
            Change::Seen(id, seen, look) => {
                self.leave_person(of, *id)?;
                let row = bytes_of(look, head_of(*seen));
                self.sighting_looks.insert((of, id.as_u128()), &*row)?;
                self.of_person.insert((of, seen.person.as_u128(), id.as_u128()), ())?;
            }
            Change::Move(id, seen) => self.move_sighting(of, *id, *seen)?,
            Change::NoSighting(id) => self.remove_sighting(of, *id)?,
            Change::Crop(id, jpeg) => {
                self.crops.insert((of, id.as_u128()), &**jpeg)?;
            }
        }
        Ok(())
    }

    fn remove_collection(&mut self, of: CollectionNumber) -> Result<(), redb::Error> {
        let all = || (of, 0)..=(of, u128::MAX);
        self.collections.remove(of)?;
        self.persons.retain_in(all(), |_, _| false)?;
        self.faces.retain_in(all(), |_, _| false)?;
        self.face_looks.retain_in(all(), |_, _| false)?;
        self.sightings.retain_in(all(), |_, _| false)?;
        self.sighting_looks.retain_in(all(), |_, _| false)?;
        self.crops.retain_in(all(), |_, _| false)?;
        self.of_person.retain_in((of, 0, 0)..=(of, u128::MAX, u128::MAX), |_, _| false)?;
        // There is no greatest text, but no track of the next collection is smaller than this.
        self.tracks.retain_in((of, "")..(of.saturating_add(1), ""), |_, _| false)?;
        Ok(())
    }

    /// Whom a sighting is of so far, and what it looks like as bytes.
    fn look(
        &self,
        of: CollectionNumber,
        id: SightingId,
    ) -> Result<Option<(SeenAs, Vec<u8>)>, redb::Error> {
        let row = self.sighting_looks.get((of, id.as_u128()))?;
        row.map(|row| Ok((read_head(row.value())?, row.value()[SEEN_AS_BYTES..].to_vec())))
            .transpose()
    }

    fn leave_person(&mut self, of: CollectionNumber, id: SightingId) -> Result<(), redb::Error> {
        if let Some((seen, _)) = self.look(of, id)? {
            self.of_person.remove((of, seen.person.as_u128(), id.as_u128()))?;
        }
        Ok(())
    }

    fn move_sighting(
        &mut self,
        of: CollectionNumber,
        id: SightingId,
        seen: SeenAs,
    ) -> Result<(), redb::Error> {
        let Some((before, look)) = self.look(of, id)? else { return Ok(()) };
        let mut row = head_of(seen);
        row.extend_from_slice(&look);
        self.sighting_looks.insert((of, id.as_u128()), &*row)?;
        self.of_person.remove((of, before.person.as_u128(), id.as_u128()))?;
        self.of_person.insert((of, seen.person.as_u128(), id.as_u128()), ())?;
        Ok(())
    }

    fn remove_sighting(&mut self, of: CollectionNumber, id: SightingId) -> Result<(), redb::Error> {
        self.leave_person(of, id)?;
        let key = (of, id.as_u128());
        let facts = self.sightings.remove(key)?.map(|row| sighting(id, row.value())).transpose()?;
        if let Some(facts) = facts {
            self.tracks.remove((of, &*facts.track))?;
        }
        self.sighting_looks.remove(key)?;
        self.crops.remove(key)?;
        Ok(())
    }
}

/// See [`super::PeopleStore::load`].
pub fn load(
    database: &Database,
    each: &mut impl FnMut(CollectionNumber, Change),
) -> Result<(), redb::Error> {
    let read = database.begin_read()?;
    for row in read.open_table(COLLECTIONS)?.iter()? {
        let (of, facts) = row?;
        let info: CollectionInfo = from_json(facts.value())?;
        each(of.value(), Change::Collection(info));
    }
    for row in read.open_table(PERSONS)?.iter()? {
        let (key, facts) = row?;
        each(key.value().0, Change::Person(from_json(facts.value())?));
    }
    let looks = read.open_table(FACE_LOOKS)?;
    for row in read.open_table(FACES)?.iter()? {
        let (key, facts) = row?;
        let look = looks.get(key.value())?;
        let look = look.map(|look| numbers(look.value())).transpose()?;
        each(key.value().0, Change::Face(from_json(facts.value())?, look));
    }
    for row in read.open_table(SIGHTING_LOOKS)?.iter()? {
        let (key, look) = row?;
        let (of, id) = key.value();
        let seen = read_head(look.value())?;
        let look = numbers(&look.value()[SEEN_AS_BYTES..])?;
        each(of, Change::Seen(SightingId::from_u128(id), seen, look));
    }
    Ok(())
}

/// Reads every row there is, also those that [`load`] leaves for later.
pub fn verify(database: &Database) -> Result<(), redb::Error> {
    load(database, &mut |_, _| {})?;
    let read = database.begin_read()?;
    for row in read.open_table(FACE_LOOKS)?.iter()? {
        numbers(row?.1.value())?;
    }
    for row in read.open_table(SIGHTINGS)?.iter()? {
        let (key, facts) = row?;
        sighting(SightingId::from_u128(key.value().1), facts.value())?;
    }
    // These are bytes, and keys that redb reads.
    read.open_table(CROPS)?.iter()?.try_for_each(|row| row.map(drop))?;
    read.open_table(TRACKS)?.iter()?.try_for_each(|row| row.map(drop))?;
    read.open_table(OF_PERSON)?.iter()?.try_for_each(|row| row.map(drop))?;
    Ok(())
}

/// Reads a row of [`SIGHTINGS`].
pub fn sighting(id: SightingId, facts: &[u8]) -> Result<SightingInfo, redb::Error> {
    let info: SightingInfo = from_json(facts)?;
    if info.id == id { Ok(info) } else { Err(corrupted("a sighting under another's id")) }
}

fn json(facts: &impl Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(facts).map_err(corrupted)
}

fn from_json<T: DeserializeOwned>(facts: &[u8]) -> Result<T, redb::Error> {
    serde_json::from_slice(facts).map_err(corrupted)
}

/// Numbers behind what a row begins with.
fn bytes_of(look: &[f32], mut row: Vec<u8>) -> Vec<u8> {
    row.extend(look.iter().flat_map(|number| number.to_le_bytes()));
    row
}

/// Numbers of a row. All are finite, or the row is damaged.
fn numbers(bytes: &[u8]) -> Result<Box<[f32]>, redb::Error> {
    let (numbers, rest) = bytes.as_chunks();
    let numbers: Box<[f32]> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let sound = rest.is_empty() && numbers.iter().all(|number| number.is_finite());
    if sound { Ok(numbers) } else { Err(corrupted("numbers of a face")) }
}

fn head_of(seen: SeenAs) -> Vec<u8> {
    let mut head = seen.person.as_u128().to_le_bytes().to_vec();
    head.push(u8::from(seen.reference));
    head
}

fn read_head(row: &[u8]) -> Result<SeenAs, redb::Error> {
    let head = row.split_at_checked(SEEN_AS_BYTES).and_then(|(head, _)| head.split_first_chunk());
    let (person, flags) = head.ok_or_else(|| corrupted("the head of a sighting"))?;
    let person = PersonId::from_u128(u128::from_le_bytes(*person));
    Ok(SeenAs { person, reference: flags == [1] })
}

fn corrupted(error: impl std::fmt::Display) -> redb::Error {
    redb::Error::Corrupted(error.to_string())
}
