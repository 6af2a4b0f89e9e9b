//! Where else was this face?

use super::ground::distance_for;
use super::persons::Sighting;
use super::vectors::Near;
use super::{People, PeopleError};
use crate::types::{CollectionId, FaceId, SightingId};
use crate::vision::faces::{Embedding, similarity};

/// What is looked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// What else is like a sighting.
    Sighting(SightingId),
    /// What is like an enrolled face.
    Face(FaceId),
    /// What is like a face from elsewhere.
    Look(Embedding),
}

/// A sighting that is like what was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundSighting {
    /// How alike they are, 0 to 100.
    pub similarity: f32,
    /// What was found.
    pub sighting: Sighting,
}

impl People {
    /// Up to `limit` sightings that are like a face, most similar first.
    pub fn search_sightings(
        &self,
        collection: &CollectionId,
        wanted: &Wanted,
        threshold: f32,
        limit: usize,
    ) -> Result<Vec<FoundSighting>, PeopleError> {
        let distance = distance_for(threshold)?;
        self.look(collection, |ground| {
            let memory = ground.memory;
            let (look, itself) = match wanted {
                Wanted::Sighting(id) => {
                    let look = memory.sighting_looks.look(id.as_u128());
                    (look.ok_or(PeopleError::NoSighting(*id))?, Some(id.as_u128()))
                }
                Wanted::Face(id) => {
                    let look = memory.face_looks.look(id.as_u128());
                    (look.ok_or(PeopleError::NoFace(*id))?, None)
                }
                Wanted::Look(look) => {
                    ground.check_look(look)?;
                    (look.as_slice(), None)
                }
            };
            let near = memory
                .sighting_looks
                .nearest(look, distance, limit, |owner| Some(owner.id) != itself);
            let found = |near: Near| {
                // A change that is being made may have taken it already.
                let sighting = ground.sighting(SightingId::from_u128(near.owner.id)).ok()?;
                Some(FoundSighting { similarity: similarity(near.distance), sighting })
            };
            Ok(near.into_iter().filter_map(found).collect())
        })
    }
}
