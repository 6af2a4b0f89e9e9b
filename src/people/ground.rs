//! What changes stand on: a collection as it is, and the steps that several changes have in common.

use std::collections::BTreeSet;

use super::error::PeopleError;
use super::identify::MAX_REFERENCES;
use super::memory::{Memory, Person};
use super::persons::Sighting;
use super::{MAX_DIMENSIONS, random};
use crate::store::people::{
    Change, CollectionNumber, FaceInfo, PeopleStore, PersonInfo, RelativeBox, SeenAs,
};
use crate::types::{FaceId, ImageId, PersonId, ServerTimestamp, SightingId};
use crate::vision::faces::Embedding;

/// A collection as it is at one moment.
pub struct Ground<'a> {
    pub store: &'a PeopleStore,
    pub number: CollectionNumber,
    pub memory: &'a Memory,
    pub now: ServerTimestamp,
}

impl Ground<'_> {
    pub fn person(&self, id: PersonId) -> Result<&Person, PeopleError> {
        self.memory.persons.get(&id).ok_or(PeopleError::NoPerson(id))
    }

    /// A sighting's facts.
    pub fn sighting(&self, id: SightingId) -> Result<Sighting, PeopleError> {
        let info = self.store.sighting(self.number, id)?;
        let person = self.memory.seen_as(id);
        let (info, person) = info.zip(person).ok_or(PeopleError::NoSighting(id))?;
        Ok(Sighting { info, person })
    }

    /// Refuses a look that can not be compared with those of the collection.
    pub fn check_look(&self, look: &Embedding) -> Result<(), PeopleError> {
        let given = look.as_slice().len();
        if given > MAX_DIMENSIONS {
            return Err(PeopleError::Invalid("a face is described by up to 4096 numbers"));
        }
        match self.memory.dimensions() {
            Some(expected) if expected != given => {
                Err(PeopleError::WrongLength { expected, given })
            }
            _ => Ok(()),
        }
    }

    /// A person without anything yet.
    pub fn new_person(&self) -> Result<PersonInfo, PeopleError> {
        let id = PersonId::new(self.now, random()?);
        Ok(PersonInfo { id, name: None, user: None, not: Vec::new() })
    }

    /// Makes faces of a person out of sightings: somebody said who was seen. The sightings are no
    /// longer needed as references.
    pub fn enrol(
        &self,
        changes: &mut Vec<Change>,
        person: PersonId,
        sightings: &BTreeSet<SightingId>,
    ) -> Result<(), PeopleError> {
        for &id in sightings {
            let Some(look) = self.memory.sighting_looks.look(id.as_u128()) else { continue };
            let seen = self.sighting(id)?.info;
            let face = FaceInfo {
                id: FaceId::new(self.now, random()?),
                person,
                image: ImageId::new(self.now, random()?),
                external: None,
                bounds: seen.bounds,
                confidence: seen.confidence,
                sighting: Some(id),
            };
            changes.push(Change::Face(face, Some(look.into())));
            changes.push(Change::Move(id, SeenAs { person, reference: false }));
        }
        Ok(())
    }

    /// Takes away those of a person's faces that were made from sightings which are not of it.
    pub fn unenrol(
        &self,
        changes: &mut Vec<Change>,
        person: &mut Person,
        sightings: &BTreeSet<SightingId>,
    ) {
        let wrong = |id: &FaceId| {
            let sighting = self.memory.faces.get(id).and_then(|face| face.sighting);
            sighting.is_some_and(|sighting| sightings.contains(&sighting))
        };
        let faces: Vec<FaceId> = person.faces.iter().copied().filter(wrong).collect();
        for face in faces {
            person.faces.remove(&face);
            changes.push(Change::NoFace(face));
        }
    }

    /// What becomes of a person of whom this is left, without the sightings that are `gone`: one of
    /// whom nothing is known goes, and an unknown one is told by its newest sightings.
    pub fn settle(
        &self,
        changes: &mut Vec<Change>,
        left: &Person,
        gone: &BTreeSet<SightingId>,
    ) -> Result<(), PeopleError> {
        let id = left.info.id;
        if left.is_known() {
            return Ok(());
        }
        if left.sightings == 0 {
            changes.push(Change::NoPerson(id));
            return Ok(());
        }
        let missing = MAX_REFERENCES.min(left.sightings).saturating_sub(left.references.len());
        if missing == 0 {
            return Ok(());
        }
        let looked_at = missing + left.references.len() + gone.len();
        let newest = self.store.sightings_of(self.number, id, None, looked_at)?;
        let fresh =
            newest.into_iter().filter(|id| !gone.contains(id) && !left.references.contains(id));
        let seen = SeenAs { person: id, reference: true };
        changes.extend(fresh.take(missing).map(|sighting| Change::Move(sighting, seen)));
        Ok(())
    }

    /// Whether one more sighting of a person is to be a reference.
    pub fn wants_reference(&self, person: PersonId) -> bool {
        let person = self.memory.persons.get(&person);
        person.is_none_or(|person| !person.is_known() && person.references.len() < MAX_REFERENCES)
    }
}

/// Refuses what is not a rectangle in a picture, or not a confidence.
pub fn check_place(bounds: RelativeBox, confidence: f32) -> Result<(), PeopleError> {
    let RelativeBox { left, top, width, height } = bounds;
    if ![left, top, width, height].iter().all(|edge| edge.is_finite()) {
        return Err(PeopleError::Invalid("a bounding box has finite numbers"));
    }
    if !(0.0..=100.0).contains(&confidence) {
        return Err(PeopleError::Invalid("a confidence is from 0 to 100"));
    }
    Ok(())
}

/// Refuses what is not a similarity; the distance that belongs to it.
pub fn distance_for(threshold: f32) -> Result<f32, PeopleError> {
    if !(0.0..=100.0).contains(&threshold) {
        return Err(PeopleError::Invalid("a threshold is a similarity from 0 to 100"));
    }
    // Nothing is less similar than 0, however far away it is.
    Ok(if threshold == 0.0 { f32::INFINITY } else { crate::vision::faces::distance_of(threshold) })
}
