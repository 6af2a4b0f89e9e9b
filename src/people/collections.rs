//! Collections: created, listed, deleted.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::memory::Memory;
use super::{FACE_MODEL_VERSION, Live, MAX_COLLECTIONS, People, PeopleError};
use crate::store::people::{Change, CollectionInfo};
use crate::types::CollectionId;

/// A collection and how much is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionSummary {
    /// Its facts.
    pub info: CollectionInfo,
    /// Enrolled faces.
    pub faces: usize,
    /// Users: people who have a name in Rekognition's API.
    pub users: usize,
    /// People, known and unknown.
    pub people: usize,
    /// Sightings that are kept.
    pub sightings: usize,
}

impl People {
    /// Creates a collection; exactly one of several racing creates succeeds.
    pub fn create_collection(
        &self,
        id: &CollectionId,
        tags: BTreeMap<String, String>,
    ) -> Result<CollectionInfo, PeopleError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let number = {
            let collections = self.collections.read().unwrap_or_else(PoisonError::into_inner);
            if collections.contains_key(id) {
                return Err(PeopleError::CollectionExists(id.clone()));
            }
            if collections.len() >= MAX_COLLECTIONS {
                return Err(PeopleError::Limit { what: "collections", most: MAX_COLLECTIONS });
            }
            let taken = |number| collections.values().any(|live| live.number == number);
            (0..).find(|number| !taken(*number)).unwrap_or_default()
        };
        let face_model_version = FACE_MODEL_VERSION.to_owned();
        let created = self.clock.now();
        let info = CollectionInfo { id: id.clone(), created, face_model_version, tags };
        self.store.commit(number, &[Change::Collection(info.clone())])?;
        let live = Arc::new(Live { number, memory: RwLock::new(Memory::new(info.clone())) });
        let mut collections = self.collections.write().unwrap_or_else(PoisonError::into_inner);
        collections.insert(id.clone(), live);
        Ok(info)
    }

    /// A collection.
    pub fn collection(&self, id: &CollectionId) -> Result<CollectionSummary, PeopleError> {
        self.look(id, |ground| Ok(summary(ground.memory)))
    }

    /// All collections, by id.
    pub fn collections(&self) -> Vec<CollectionSummary> {
        let collections = self.collections.read().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = collections.values().cloned().collect();
        drop(collections);
        let summary =
            |live: &Arc<Live>| summary(&live.memory.read().unwrap_or_else(PoisonError::into_inner));
        all.iter().map(summary).collect()
    }

    /// Changes the tags of a collection.
    pub fn tag_collection(
        &self,
        id: &CollectionId,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<(), PeopleError> {
        self.change(id, |ground, changes| {
            let mut info = ground.memory.info.clone();
            change(&mut info.tags);
            changes.push(Change::Collection(info));
            Ok(())
        })
    }

    /// Deletes a collection and all that is in it.
    pub fn delete_collection(&self, id: &CollectionId) -> Result<(), PeopleError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live(id)?;
        self.store.commit(live.number, &[Change::NoCollection])?;
        let mut collections = self.collections.write().unwrap_or_else(PoisonError::into_inner);
        collections.remove(id);
        Ok(())
    }
}

fn summary(memory: &Memory) -> CollectionSummary {
    CollectionSummary {
        info: memory.info.clone(),
        faces: memory.faces.len(),
        users: memory.users.len(),
        people: memory.persons.len(),
        sightings: memory.sighting_looks.len(),
    }
}
