//! What is kept how long: sightings and their pictures go by age and by number, the oldest first.
//! Enrolled faces stay until somebody deletes them.

use std::collections::{BTreeMap, BTreeSet};

use super::ground::Ground;
use super::{Options, People, PeopleError};
use crate::store::people::Change;
use crate::types::{CollectionId, PersonId, SightingId};

/// Sightings that go in one transaction, so that observations wait for little.
const BATCH: usize = 1000;

impl People {
    /// Lets go what is kept no longer. Gives how many sightings went.
    pub fn tidy(&self) -> Result<usize, PeopleError> {
        let mut gone = 0;
        for collection in self.collections() {
            gone += self.tidy_collection(&collection.info.id)?;
        }
        Ok(gone)
    }

    fn tidy_collection(&self, collection: &CollectionId) -> Result<usize, PeopleError> {
        let mut gone = 0;
        loop {
            let batch = self.change(collection, |ground, changes| {
                let expired = ground.expired(&self.options)?;
                ground.forget(changes, &expired)?;
                Ok(expired.len())
            });
            match batch {
                // It was deleted meanwhile.
                Err(PeopleError::NoCollection(_)) => return Ok(gone),
                Ok(batch) if batch < BATCH => return Ok(gone + batch),
                batch => gone += batch?,
            }
        }
    }
}

impl Ground<'_> {
    /// Up to [`BATCH`] sightings that are too old or too many.
    fn expired(&self, options: &Options) -> Result<BTreeSet<SightingId>, PeopleError> {
        let surplus = self.memory.sighting_looks.len().saturating_sub(options.max_sightings);
        let horizon = self.now.minus(options.keep);
        let oldest = self.store.oldest_sightings(self.number, BATCH)?.into_iter().enumerate();
        let gone = oldest.take_while(|(at, id)| *at < surplus || id.created() < horizon);
        Ok(gone.map(|(_, id)| id).collect())
    }

    fn forget(
        &self,
        changes: &mut Vec<Change>,
        gone: &BTreeSet<SightingId>,
    ) -> Result<(), PeopleError> {
        let mut left: BTreeMap<PersonId, usize> = BTreeMap::new();
        for id in gone {
            changes.push(Change::NoSighting(*id));
            if let Some(person) = self.memory.seen_as(*id) {
                *left.entry(person).or_default() += 1;
            }
        }
        for (person, fewer) in left {
            let mut left = self.person(person)?.clone();
            left.sightings = left.sightings.saturating_sub(fewer);
            left.references.retain(|id| !gone.contains(id));
            self.settle(changes, &left, gone)?;
        }
        Ok(())
    }
}
