//! What people say about people: who somebody is, who is the same, who is not.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::ground::Ground;
use super::identify::{MAX_REFERENCES, identify};
use super::memory::Person;
use super::{DEFAULT_THRESHOLD, People, PeopleError};
use crate::store::people::{Change, SeenAs, SightingInfo};
use crate::types::{CollectionId, PersonId, ServerTimestamp, SightingId};
use crate::vision::faces::distance_of;

/// The most characters of a name.
const MAX_NAME_CHARS: usize = 256;
/// The most sightings that are known not to be of one person.
const MAX_NOT: usize = 1000;

/// A person as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonSummary {
    /// Names the person.
    pub id: PersonId,
    /// What to call it: the name that it was given, else its user's, else that of its pictures.
    pub name: Option<String>,
    /// Whether it was named or enrolled.
    pub known: bool,
    /// The user that it is.
    pub user: Option<String>,
    /// What the pictures that it was enrolled from were named.
    pub external: Option<String>,
    /// When it was first heard of.
    pub created: ServerTimestamp,
    /// Its enrolled faces.
    pub faces: usize,
    /// Its sightings that are kept.
    pub sightings: usize,
}

/// A sighting and whom it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Its facts.
    pub info: SightingInfo,
    /// The person.
    pub person: PersonId,
}

impl People {
    /// A person, and its newest sighting.
    pub fn person(
        &self,
        collection: &CollectionId,
        id: PersonId,
    ) -> Result<(PersonSummary, Option<Sighting>), PeopleError> {
        self.look(collection, |ground| ground.with_newest(ground.person(id)?))
    }

    /// Up to `limit` people after `after`, those who came first first, each with its newest sighting;
    /// only known or only unknown ones, if that is asked for.
    pub fn people(
        &self,
        collection: &CollectionId,
        known: Option<bool>,
        after: Option<PersonId>,
        limit: usize,
    ) -> Result<Vec<(PersonSummary, Option<Sighting>)>, PeopleError> {
        self.look(collection, |ground| {
            let after = after.map_or(Bound::Unbounded, Bound::Excluded);
            let people = ground.memory.persons.range((after, Bound::Unbounded));
            let people = people.map(|(_, person)| person);
            let people =
                people.filter(|person| known.is_none_or(|known| known == person.is_known()));
            people.take(limit).map(|person| ground.with_newest(person)).collect()
        })
    }

    /// Gives a person a name, or takes it away. Who was unknown is recognised from then on by the
    /// faces of its sightings, which become enrolled ones.
    pub fn rename(
        &self,
        collection: &CollectionId,
        id: PersonId,
        name: Option<String>,
    ) -> Result<(), PeopleError> {
        name.as_deref().map_or(Ok(()), check_name)?;
        self.change(collection, |ground, changes| {
            let mut person = ground.person(id)?.clone();
            person.info.name = name;
            changes.push(Change::Person(person.info.clone()));
            if person.is_known() {
                ground.enrol(changes, id, &person.references)
            } else {
                ground.settle(changes, &person, &BTreeSet::new())
            }
        })
    }

    /// Says that a person is really another one, who gets its faces and sightings.
    pub fn merge(
        &self,
        collection: &CollectionId,
        from: PersonId,
        into: PersonId,
    ) -> Result<(), PeopleError> {
        if from == into {
            return Err(PeopleError::Invalid("a person can not be merged into itself"));
        }
        self.change(collection, |ground, changes| {
            let (from, into) = (ground.person(from)?, ground.person(into)?);
            ground.merge(changes, from, into)
        })
    }

    /// Says that some of a person's sightings are of somebody else, who is a new unknown person.
    pub fn split(
        &self,
        collection: &CollectionId,
        from: PersonId,
        sightings: &[SightingId],
    ) -> Result<PersonId, PeopleError> {
        let sightings: BTreeSet<SightingId> = sightings.iter().copied().collect();
        if sightings.is_empty() {
            return Err(PeopleError::Invalid("at least one sighting must be named"));
        }
        self.change(collection, |ground, changes| {
            let person = ground.add_person(changes)?;
            ground.take(changes, from, &sightings)?;
            // The newest ones, as with those who are seen more often than that.
            for (at, sighting) in sightings.iter().rev().enumerate() {
                let seen = SeenAs { person, reference: at < MAX_REFERENCES };
                changes.push(Change::Move(*sighting, seen));
            }
            Ok(person)
        })
    }

    /// Says that a sighting is not of the person whom it was taken for, ever. Gives who it is now:
    /// whoever else it is like, or somebody new.
    pub fn not_this_person(
        &self,
        collection: &CollectionId,
        person: PersonId,
        sighting: SightingId,
    ) -> Result<PersonId, PeopleError> {
        self.change(collection, |ground, changes| {
            ground.take(changes, person, &BTreeSet::from([sighting]))?;
            let look = ground.memory.sighting_looks.look(sighting.as_u128());
            let look = look.ok_or(PeopleError::NoSighting(sighting))?;
            let excluded = |other| other == person || ground.is_not(other, sighting);
            let other = identify(ground.memory, look, distance_of(DEFAULT_THRESHOLD), excluded);
            let other = other.map_or_else(|| ground.add_person(changes), Ok)?;
            let reference = ground.wants_reference(other);
            changes.push(Change::Move(sighting, SeenAs { person: other, reference }));
            Ok(other)
        })
    }

    /// Deletes a person with all its faces, sightings and pictures.
    pub fn delete_person(
        &self,
        collection: &CollectionId,
        id: PersonId,
    ) -> Result<(), PeopleError> {
        self.change(collection, |ground, changes| {
            let person = ground.person(id)?;
            let sightings = ground.store.sightings_of(ground.number, id, None, usize::MAX)?;
            changes.extend(person.faces.iter().copied().map(Change::NoFace));
            changes.extend(sightings.into_iter().map(Change::NoSighting));
            changes.push(Change::NoPerson(id));
            Ok(())
        })
    }

    /// Up to `limit` sightings of a person older than `before`, newest first.
    pub fn sightings(
        &self,
        collection: &CollectionId,
        person: PersonId,
        before: Option<SightingId>,
        limit: usize,
    ) -> Result<Vec<Sighting>, PeopleError> {
        self.look(collection, |ground| {
            ground.person(person)?;
            let ids = ground.store.sightings_of(ground.number, person, before, limit)?;
            ids.into_iter().map(|id| ground.sighting(id)).collect()
        })
    }

    /// A sighting.
    pub fn sighting(
        &self,
        collection: &CollectionId,
        id: SightingId,
    ) -> Result<Sighting, PeopleError> {
        self.look(collection, |ground| ground.sighting(id))
    }

    /// The picture of a sighting, a JPEG, if there is one.
    pub fn crop(
        &self,
        collection: &CollectionId,
        id: SightingId,
    ) -> Result<Option<Vec<u8>>, PeopleError> {
        self.look(collection, |ground| Ok(ground.store.crop(ground.number, id)?))
    }
}

/// Refuses what is no name.
pub fn check_name(name: &str) -> Result<(), PeopleError> {
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count());
    if fits && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(PeopleError::Invalid("a name has 1 to 256 characters, none of control"))
}

impl Ground<'_> {
    pub fn summary(&self, person: &Person) -> PersonSummary {
        PersonSummary {
            id: person.info.id,
            name: self.memory.display_name(person).map(str::to_owned),
            known: person.is_known(),
            user: person.info.user.clone(),
            external: self.memory.external_of(person).map(str::to_owned),
            created: person.info.id.created(),
            faces: person.faces.len(),
            sightings: person.sightings,
        }
    }

    fn with_newest(
        &self,
        person: &Person,
    ) -> Result<(PersonSummary, Option<Sighting>), PeopleError> {
        let newest = self.store.sightings_of(self.number, person.info.id, None, 1)?;
        // A change that is being made may have taken it already.
        let newest = newest.first().and_then(|id| self.sighting(*id).ok());
        Ok((self.summary(person), newest))
    }

    fn merge(
        &self,
        changes: &mut Vec<Change>,
        from: &Person,
        into: &Person,
    ) -> Result<(), PeopleError> {
        let (old, new) = (from.info.id, into.info.id);
        let mut info = into.info.clone();
        info.name = info.name.or_else(|| from.info.name.clone());
        info.user = info.user.or_else(|| from.info.user.clone());
        let sightings = self.store.sightings_of(self.number, old, None, usize::MAX)?;
        // Whoever merges knows better than whoever once said "not".
        info.not.extend(&from.info.not);
        info.not.retain(|id| self.memory.seen_as(*id).is_some_and(|of| of != old && of != new));
        info.not.sort_unstable();
        info.not.dedup();
        info.not.truncate(MAX_NOT);
        // Before the other gets its names.
        changes.push(Change::NoPerson(old));
        changes.push(Change::Person(info));
        for face in from.faces.iter().filter_map(|face| self.memory.faces.get(face)) {
            let mut face = (**face).clone();
            face.person = new;
            changes.push(Change::Face(face, None));
        }
        let known = from.is_known() || into.is_known();
        for id in sightings {
            let reference = !known && from.references.contains(&id);
            changes.push(Change::Move(id, SeenAs { person: new, reference }));
        }
        if known {
            self.enrol(changes, new, &(&from.references | &into.references))?;
        }
        Ok(())
    }

    /// Prepares taking sightings from a person, which they are never to be matched to again.
    fn take(
        &self,
        changes: &mut Vec<Change>,
        from: PersonId,
        sightings: &BTreeSet<SightingId>,
    ) -> Result<(), PeopleError> {
        let mut left = self.person(from)?.clone();
        if let Some(other) = sightings.iter().find(|id| self.memory.seen_as(**id) != Some(from)) {
            return Err(PeopleError::NoSighting(*other));
        }
        left.info.not.retain(|id| self.memory.seen_as(*id).is_some());
        left.info.not.extend(sightings);
        if left.info.not.len() > MAX_NOT {
            return Err(PeopleError::Limit {
                what: "sightings that are not of a person",
                most: MAX_NOT,
            });
        }
        left.sightings = left.sightings.saturating_sub(sightings.len());
        left.references.retain(|id| !sightings.contains(id));
        changes.push(Change::Person(left.info.clone()));
        self.unenrol(changes, &mut left, sightings);
        self.settle(changes, &left, sightings)
    }
}
