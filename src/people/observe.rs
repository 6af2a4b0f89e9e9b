//! A face that was seen: whom it is like, who it is, and what is kept of it.

use std::collections::BTreeSet;

use super::ground::{Ground, check_place, distance_for};
use super::identify::identify;
use super::persons::{PersonSummary, Sighting};
use super::{Match, People, PeopleError, random};
use crate::store::people::{Change, RelativeBox, SeenAs, SightingInfo};
use crate::types::{CollectionId, PersonId, ProducerTimestamp, ServerTimestamp, SightingId};
use crate::vision::faces::Embedding;

/// The most bytes of a crop.
pub const MAX_CROP_BYTES: usize = 512 << 10;
/// The most characters of what names a stream, a fragment or a track.
const MAX_NAME_CHARS: usize = 256;

/// A face that a detector saw.
#[derive(Clone, Debug)]
pub struct NewSighting {
    /// What the recogniser says of it.
    pub embedding: Embedding,
    /// How sure the detector is, 0 to 100.
    pub confidence: f32,
    /// Where in the frame it is.
    pub bounds: RelativeBox,
    /// The video stream's name.
    pub stream: String,
    /// The fragment that the frame is in.
    pub fragment: String,
    /// The frame's time.
    pub producer: ProducerTimestamp,
    /// When the fragment came.
    pub server: ServerTimestamp,
    /// The track; one sighting is kept of each.
    pub track: String,
    /// A picture of it, a JPEG.
    pub crop: Option<Vec<u8>>,
    /// The least similarity of matches and of a person, 0 to 100.
    pub threshold: f32,
    /// The most matches that are told.
    pub max_matches: usize,
}

/// Who it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Enrolled faces that are like it, most similar first.
    pub matches: Vec<Match>,
    /// Whom it is taken for.
    pub person: PersonSummary,
    /// What is kept of it.
    pub sighting: SightingId,
}

impl People {
    /// Takes in a face that was seen. A track that was seen before keeps its sighting, which a surer
    /// look replaces, and its person, unless that is an unknown one who proves to be somebody known, or
    /// of whom nothing else is known.
    pub fn observe(
        &self,
        collection: &CollectionId,
        new: NewSighting,
    ) -> Result<Observed, PeopleError> {
        check(&new)?;
        let distance = distance_for(new.threshold)?;
        let (matches, sighting) = self.change(collection, |ground, changes| {
            ground.check_look(&new.embedding)?;
            let look = new.embedding.as_slice();
            let matches = ground.matches(look, distance, new.max_matches, None);
            let known = ground.store.of_track(ground.number, &new.track)?;
            let sighting = match known.map(|id| ground.sighting(id)).transpose()? {
                Some(before) => ground.see_again(changes, new, &before, distance)?,
                None => ground.see_first(changes, new, distance)?,
            };
            Ok((matches, sighting))
        })?;
        self.look(collection, |ground| {
            let person = ground.memory.seen_as(sighting);
            let person = ground.person(person.ok_or(PeopleError::NoSighting(sighting))?)?;
            Ok(Observed { matches, person: ground.summary(person), sighting })
        })
    }
}

impl Ground<'_> {
    fn see_first(
        &self,
        changes: &mut Vec<Change>,
        new: NewSighting,
        within: f32,
    ) -> Result<SightingId, PeopleError> {
        let id = SightingId::new(self.now, random()?);
        let person = identify(self.memory, new.embedding.as_slice(), within, |_| false);
        let person = person.map_or_else(|| self.add_person(changes), Ok)?;
        let reference = self.wants_reference(person);
        keep(changes, id, new, SeenAs { person, reference }, false);
        Ok(id)
    }

    /// Another look at somebody: a surer one counts, and one that tells a known person.
    fn see_again(
        &self,
        changes: &mut Vec<Change>,
        new: NewSighting,
        before: &Sighting,
        within: f32,
    ) -> Result<SightingId, PeopleError> {
        let id = before.info.id;
        let current = self.person(before.person)?;
        let mut seen =
            SeenAs { person: before.person, reference: current.references.contains(&id) };
        // Of whom nothing but this track is known, it is no evidence for; others are as good as ever.
        let only = current.sightings == 1;
        let excluded = |person| (only && person == before.person) || self.is_not(person, id);
        let told = match current.is_known() {
            true => None,
            false => identify(self.memory, new.embedding.as_slice(), within, excluded),
        };
        let told = told.filter(|&person| {
            only || self.memory.persons.get(&person).is_some_and(|one| one.is_known())
        });
        if told.is_none() && before.info.confidence >= new.confidence {
            return Ok(id);
        }
        if let Some(person) = told {
            seen = SeenAs { person, reference: self.wants_reference(person) };
            let mut left = current.clone();
            left.sightings -= 1;
            left.references.remove(&id);
            self.settle(changes, &left, &BTreeSet::from([id]))?;
        }
        keep(changes, id, new, seen, before.info.crop);
        Ok(id)
    }

    /// Adds somebody new.
    pub fn add_person(&self, changes: &mut Vec<Change>) -> Result<PersonId, PeopleError> {
        let person = self.new_person()?;
        let id = person.id;
        changes.push(Change::Person(person));
        Ok(id)
    }

    /// Whether somebody said that a sighting is not of a person.
    pub fn is_not(&self, person: PersonId, sighting: SightingId) -> bool {
        let person = self.memory.persons.get(&person);
        person.is_some_and(|person| person.info.not.contains(&sighting))
    }
}

/// Keeps a sighting in the place of one with its id; a picture of before stays when no new one came.
fn keep(changes: &mut Vec<Change>, id: SightingId, new: NewSighting, seen: SeenAs, has_crop: bool) {
    let info = SightingInfo {
        id,
        stream: new.stream,
        fragment: new.fragment,
        producer: new.producer,
        server: new.server,
        track: new.track,
        bounds: new.bounds,
        confidence: new.confidence,
        crop: has_crop || new.crop.is_some(),
    };
    changes.push(Change::Sighting(info));
    changes.push(Change::Seen(id, seen, new.embedding.as_slice().into()));
    changes.extend(new.crop.map(|jpeg| Change::Crop(id, jpeg)));
}

fn check(new: &NewSighting) -> Result<(), PeopleError> {
    check_place(new.bounds, new.confidence)?;
    let names = [&new.stream, &new.fragment, &new.track];
    if !names.iter().all(|name| (1..=MAX_NAME_CHARS).contains(&name.chars().count())) {
        return Err(PeopleError::Invalid("stream, fragment and track have 1 to 256 characters"));
    }
    if new.crop.as_ref().is_some_and(|crop| crop.len() > MAX_CROP_BYTES) {
        return Err(PeopleError::Invalid("a crop has up to 512 KiB"));
    }
    Ok(())
}
