//! People: who a face that was seen is, known or not.
//!
//! A *collection* has people. A *person* has enrolled *faces*, by which known people are recognised,
//! and *sightings*, one for each track that it was seen in. A face that is like nobody is a new
//! person whom nobody knows; its next sightings are found by the first ones.
//!
//! Here: who is whom, and what is kept of it. Not here: rows on the disk (`store`), pictures and
//! networks (`vision`), HTTP and Rekognition's shapes (`api`).
//!
//! In reading order:
//! - [`vectors`]: what faces look like, searched from end to end
//! - `memory`: a collection in memory; `identify`: whom a face is taken for
//! - `collections`, `faces`, `users`: what Rekognition calls so
//! - `observe`: a face that was seen; `persons`: naming, merging, splitting; `search`: where else
//! - `ground`: what changes have in common; `tidy`: what is kept how long
//!
//! All methods block: changes for two syncs of the disk, searches for as long as memory takes.

mod collections;
mod error;
mod faces;
mod ground;
mod identify;
mod memory;
mod observe;
mod persons;
mod search;
mod tidy;
mod users;
pub mod vectors;

#[cfg(test)]
mod tests;

pub use crate::store::people::{CollectionInfo, FaceInfo, RelativeBox, SightingInfo};
pub use collections::CollectionSummary;
pub use error::PeopleError;
pub use faces::{DeletedFaces, FaceQuery, Match, NewFace, StoredFace, Whose};
pub use identify::{MARGIN, MAX_REFERENCES};
pub use observe::{NewSighting, Observed};
pub use persons::{PersonSummary, Sighting};
pub use search::{FoundSighting, Wanted};
pub use users::{Associated, Association, Disassociated, NotAssociated, User, UserMatch};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::clock::Clock;
use crate::store::Store;
use crate::store::people::{Change, CollectionNumber, PeopleStore, PeopleStoreError};
use crate::types::{CollectionId, ImageId, Millis};
use ground::Ground;
use memory::Memory;

/// What describes the faces of new collections (Rekognition's `FaceModelVersion`).
pub const FACE_MODEL_VERSION: &str = "1.0";
/// The least similarity of one person's faces where none is asked for, as in Rekognition.
pub const DEFAULT_THRESHOLD: f32 = 80.0;
/// The most collections.
pub const MAX_COLLECTIONS: usize = 1000;
/// The most enrolled faces of a collection.
pub const MAX_FACES: usize = 1_000_000;
/// The most numbers by which a face may be described.
pub const MAX_DIMENSIONS: usize = 4096;

/// The people of a server.
pub struct People {
    store: PeopleStore,
    clock: Clock,
    options: Options,
    /// Held during a change, so that changes follow each other; reads do not wait for their syncs.
    changing: Mutex<()>,
    collections: RwLock<BTreeMap<CollectionId, Arc<Live>>>,
}

/// What is kept; every default is decided in `config.rs`.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long sightings and their pictures are kept.
    pub keep: Millis,
    /// How many of the newest sightings of a collection are kept.
    pub max_sightings: usize,
}

/// A collection that exists.
struct Live {
    number: CollectionNumber,
    memory: RwLock<Memory>,
}

impl People {
    /// The people of a store. Blocks while what is searched is read into memory.
    pub fn open(store: &Store, clock: Clock, options: Options) -> Result<Self, PeopleStoreError> {
        let store = store.open_people()?;
        let mut loaded: BTreeMap<CollectionNumber, Memory> = BTreeMap::new();
        store.load(|number, change| match (loaded.get_mut(&number), change) {
            (Some(memory), change) => memory.apply(&change),
            (None, Change::Collection(info)) => {
                loaded.insert(number, Memory::new(info));
            }
            // A collection is deleted with all its rows.
            (None, _) => {}
        })?;
        let live = loaded.into_iter().map(|(number, memory)| {
            (memory.info.id.clone(), Arc::new(Live { number, memory: RwLock::new(memory) }))
        });
        let collections = RwLock::new(live.collect());
        Ok(Self { store, clock, options, changing: Mutex::default(), collections })
    }

    /// An id for a picture that faces are enrolled from.
    pub fn new_image(&self) -> Result<ImageId, PeopleError> {
        Ok(ImageId::new(self.clock.now(), random()?))
    }

    fn live(&self, id: &CollectionId) -> Result<Arc<Live>, PeopleError> {
        let collections = self.collections.read().unwrap_or_else(PoisonError::into_inner);
        collections.get(id).cloned().ok_or_else(|| PeopleError::NoCollection(id.clone()))
    }

    /// Looks at a collection as it is.
    fn look<T>(
        &self,
        id: &CollectionId,
        look: impl FnOnce(&Ground<'_>) -> Result<T, PeopleError>,
    ) -> Result<T, PeopleError> {
        let live = self.live(id)?;
        let memory = live.memory.read().unwrap_or_else(PoisonError::into_inner);
        look(&self.ground(&live, &memory))
    }

    /// Changes a collection: `plan` looks at it and says what is to be changed, which is durable
    /// and in memory when this returns.
    fn change<T>(
        &self,
        id: &CollectionId,
        plan: impl FnOnce(&Ground<'_>, &mut Vec<Change>) -> Result<T, PeopleError>,
    ) -> Result<T, PeopleError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live(id)?;
        let mut changes = Vec::new();
        let answer = {
            let memory = live.memory.read().unwrap_or_else(PoisonError::into_inner);
            plan(&self.ground(&live, &memory), &mut changes)?
        };
        if !changes.is_empty() {
            self.store.commit(live.number, &changes)?;
            let mut memory = live.memory.write().unwrap_or_else(PoisonError::into_inner);
            changes.iter().for_each(|change| memory.apply(change));
        }
        Ok(answer)
    }

    fn ground<'a>(&'a self, live: &Live, memory: &'a Memory) -> Ground<'a> {
        Ground { store: &self.store, number: live.number, memory, now: self.clock.now() }
    }
}

fn random() -> Result<u128, PeopleError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| PeopleError::Random(error.to_string()))?;
    Ok(u128::from_le_bytes(bytes))
}
