//! Enrolled faces.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::ground::{Ground, check_place, distance_for};
use super::persons::check_name;
use super::vectors::Near;
use super::{MAX_FACES, People, PeopleError, random};
use crate::store::people::{Change, FaceInfo, PersonInfo, RelativeBox};
use crate::types::{CollectionId, FaceId, ImageId, PersonId};
use crate::vision::faces::{Embedding, similarity};

/// The most characters of an `ExternalImageId`.
const MAX_EXTERNAL_CHARS: usize = 255;

/// A face to enrol.
#[derive(Clone, Debug)]
pub struct NewFace {
    /// What the recogniser says of it.
    pub embedding: Embedding,
    /// Where in its picture it is.
    pub bounds: RelativeBox,
    /// How sure the detector is, 0 to 100.
    pub confidence: f32,
    /// The picture, see [`People::new_image`].
    pub image: ImageId,
    /// What the caller names the picture; faces of one name are one person's.
    pub external: Option<String>,
}

/// Whose a face is that is enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Somebody's who is there.
    Of(PersonId),
    /// That of somebody new, who has this name.
    Named(String),
}

/// An enrolled face as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFace {
    /// Its facts.
    pub info: Arc<FaceInfo>,
    /// The user that its person is.
    pub user: Option<String>,
}

/// A face that is like one that was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// How alike they are, 0 to 100.
    pub similarity: f32,
    /// The face.
    pub face: StoredFace,
}

/// Which faces are listed.
#[derive(Clone, Debug, Default)]
pub struct FaceQuery<'a> {
    /// Those after this one.
    pub after: Option<FaceId>,
    /// The most that are listed.
    pub limit: usize,
    /// Only those of a user.
    pub user: Option<&'a str>,
    /// Only these.
    pub ids: Option<&'a [FaceId]>,
}

/// What [`People::delete_faces`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedFaces {
    /// Faces that are gone.
    pub deleted: Vec<FaceId>,
    /// Faces that are not in the collection.
    pub unknown: Vec<FaceId>,
}

impl People {
    /// Enrols a face (IndexFaces). It belongs to the person whose pictures have the same external
    /// name, or is a person of its own.
    pub fn index_face(
        &self,
        collection: &CollectionId,
        face: NewFace,
    ) -> Result<StoredFace, PeopleError> {
        if face.external.as_ref().is_some_and(|name| name.chars().count() > MAX_EXTERNAL_CHARS) {
            return Err(PeopleError::Invalid("an external image id has up to 255 characters"));
        }
        let id = self.change(collection, |ground, changes| {
            let person = face.external.as_deref().and_then(|name| ground.memory.of_external(name));
            let person = match person {
                Some(person) => person,
                None => {
                    let person = ground.new_person()?;
                    let id = person.id;
                    changes.push(Change::Person(person));
                    id
                }
            };
            ground.add_face(changes, face, person)
        })?;
        self.face(collection, id)
    }

    /// Enrols a face of somebody who is named by it, or who is there already. Who was unknown is known
    /// from then on, by the faces of its sightings as well.
    pub fn enrol(
        &self,
        collection: &CollectionId,
        face: NewFace,
        whose: Whose,
    ) -> Result<PersonId, PeopleError> {
        self.change(collection, |ground, changes| {
            let person = match whose {
                Whose::Of(person) => {
                    let person = ground.person(person)?;
                    if !person.is_known() {
                        ground.enrol(changes, person.info.id, &person.references)?;
                    }
                    person.info.id
                }
                Whose::Named(name) => {
                    check_name(&name)?;
                    let person = PersonInfo { name: Some(name), ..ground.new_person()? };
                    let id = person.id;
                    changes.push(Change::Person(person));
                    id
                }
            };
            ground.add_face(changes, face, person)?;
            Ok(person)
        })
    }

    /// An enrolled face.
    pub fn face(&self, collection: &CollectionId, id: FaceId) -> Result<StoredFace, PeopleError> {
        self.look(collection, |ground| ground.face(id))
    }

    /// Enrolled faces, those that were enrolled first first.
    pub fn faces(
        &self,
        collection: &CollectionId,
        query: &FaceQuery<'_>,
    ) -> Result<Vec<StoredFace>, PeopleError> {
        self.look(collection, |ground| {
            let user = query.user.map(|user| ground.user(user)).transpose()?;
            let counts = |info: &FaceInfo| {
                user.is_none_or(|user| user == info.person)
                    && query.ids.is_none_or(|ids| ids.contains(&info.id))
            };
            let after = query.after.map_or(Bound::Unbounded, Bound::Excluded);
            let faces = ground.memory.faces.range((after, Bound::Unbounded));
            let faces = faces.filter(|(_, info)| counts(info)).take(query.limit);
            Ok(faces.map(|(_, info)| ground.stored(info)).collect())
        })
    }

    /// Deletes faces. Who has no face any more is unknown, or nobody when it was not seen either.
    pub fn delete_faces(
        &self,
        collection: &CollectionId,
        faces: &[FaceId],
    ) -> Result<DeletedFaces, PeopleError> {
        self.change(collection, |ground, changes| {
            let faces: BTreeSet<FaceId> = faces.iter().copied().collect();
            let (deleted, unknown): (Vec<_>, Vec<_>) =
                faces.into_iter().partition(|id| ground.memory.faces.contains_key(id));
            changes.extend(deleted.iter().copied().map(Change::NoFace));
            let owners: BTreeSet<PersonId> = deleted
                .iter()
                .filter_map(|id| ground.memory.faces.get(id).map(|face| face.person))
                .collect();
            for owner in owners {
                let mut left = ground.person(owner)?.clone();
                left.faces.retain(|face| !deleted.contains(face));
                ground.settle(changes, &left, &BTreeSet::new())?;
            }
            Ok(DeletedFaces { deleted, unknown })
        })
    }

    /// Enrolled faces that are like another one, without itself (SearchFaces).
    pub fn search_by_face(
        &self,
        collection: &CollectionId,
        face: FaceId,
        threshold: f32,
        limit: usize,
    ) -> Result<Vec<Match>, PeopleError> {
        let distance = distance_for(threshold)?;
        self.look(collection, |ground| {
            let look = ground.memory.face_looks.look(face.as_u128());
            let look = look.ok_or(PeopleError::NoFace(face))?;
            Ok(ground.matches(look, distance, limit, Some(face)))
        })
    }

    /// Enrolled faces that are like one from elsewhere, most similar first (SearchFacesByImage).
    pub fn search(
        &self,
        collection: &CollectionId,
        look: &Embedding,
        threshold: f32,
        limit: usize,
    ) -> Result<Vec<Match>, PeopleError> {
        let distance = distance_for(threshold)?;
        self.look(collection, |ground| {
            ground.check_look(look)?;
            Ok(ground.matches(look.as_slice(), distance, limit, None))
        })
    }
}

impl Ground<'_> {
    fn add_face(
        &self,
        changes: &mut Vec<Change>,
        face: NewFace,
        person: PersonId,
    ) -> Result<FaceId, PeopleError> {
        check_place(face.bounds, face.confidence)?;
        self.check_look(&face.embedding)?;
        if self.memory.faces.len() >= MAX_FACES {
            return Err(PeopleError::Limit { what: "faces in a collection", most: MAX_FACES });
        }
        let info = FaceInfo {
            id: FaceId::new(self.now, random()?),
            person,
            image: face.image,
            external: face.external,
            bounds: face.bounds,
            confidence: face.confidence,
            sighting: None,
        };
        let id = info.id;
        changes.push(Change::Face(info, Some(face.embedding.as_slice().into())));
        Ok(id)
    }

    pub fn face(&self, id: FaceId) -> Result<StoredFace, PeopleError> {
        let info = self.memory.faces.get(&id).ok_or(PeopleError::NoFace(id))?;
        Ok(self.stored(info))
    }

    /// The person that is a user.
    pub fn user(&self, user: &str) -> Result<PersonId, PeopleError> {
        let person = self.memory.users.get(user).copied();
        person.ok_or_else(|| PeopleError::NoUser(user.to_owned()))
    }

    /// Enrolled faces within a distance.
    pub fn matches(
        &self,
        look: &[f32],
        distance: f32,
        limit: usize,
        except: Option<FaceId>,
    ) -> Vec<Match> {
        let except = except.map(FaceId::as_u128);
        let near =
            self.memory.face_looks.nearest(look, distance, limit, |owner| Some(owner.id) != except);
        let face = |near: Near| {
            let face = self.face(FaceId::from_u128(near.owner.id)).ok()?;
            Some(Match { similarity: similarity(near.distance), face })
        };
        near.into_iter().filter_map(face).collect()
    }

    fn stored(&self, info: &Arc<FaceInfo>) -> StoredFace {
        let person = self.memory.persons.get(&info.person);
        let user = person.and_then(|person| person.info.user.clone());
        StoredFace { info: info.clone(), user }
    }
}
