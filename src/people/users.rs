//! Users of a collection: people who have a name in Rekognition's API.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::ground::{Ground, distance_for};
use super::memory::Person;
use super::vectors::distance;
use super::{Match, People, PeopleError};
use crate::store::people::{Change, FaceInfo, SeenAs};
use crate::types::{CollectionId, FaceId, PersonId};
use crate::vision::faces::{Embedding, similarity};

/// The most characters of a `UserId`.
const MAX_USER_CHARS: usize = 128;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name (`UserId`).
    pub id: String,
    /// The person that it is.
    pub person: PersonId,
    /// Its enrolled faces.
    pub faces: usize,
}

/// A user who is like the face that was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct UserMatch {
    /// How alike the nearest of its faces is, 0 to 100.
    pub similarity: f32,
    /// The user.
    pub user: User,
}

/// What [`People::associate_faces`] did with each face.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Association {
    /// Faces that are the user's now.
    pub associated: Vec<FaceId>,
    /// Faces that are not, and why.
    pub refused: Vec<NotAssociated>,
}

/// A face that did not become a user's.
#[derive(Clone, Debug, PartialEq)]
pub struct NotAssociated {
    /// The face.
    pub face: FaceId,
    /// Why.
    pub reason: Associated,
}

/// Why a face did not become a user's.
#[derive(Clone, Debug, PartialEq)]
pub enum Associated {
    /// The collection has no such face (FACE_NOT_FOUND).
    NotFound,
    /// It is another user's (ASSOCIATED_TO_A_DIFFERENT_USER).
    WithOther(String),
    /// It is less similar to the user's faces than was asked for (LOW_MATCH_CONFIDENCE); the
    /// similarity.
    TooUnlike(f32),
}

/// What [`People::disassociate_faces`] did with each face.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disassociated {
    /// Faces that are no longer the user's.
    pub disassociated: Vec<FaceId>,
    /// Faces that the collection does not have.
    pub unknown: Vec<FaceId>,
    /// Faces that were not the user's.
    pub of_others: Vec<FaceId>,
}

impl People {
    /// Creates a user without faces.
    pub fn create_user(&self, collection: &CollectionId, user: &str) -> Result<(), PeopleError> {
        if !(1..=MAX_USER_CHARS).contains(&user.chars().count()) {
            return Err(PeopleError::Invalid("a user id has 1 to 128 characters"));
        }
        self.change(collection, |ground, changes| {
            if ground.memory.users.contains_key(user) {
                return Err(PeopleError::UserExists(user.to_owned()));
            }
            let mut person = ground.new_person()?;
            person.user = Some(user.to_owned());
            changes.push(Change::Person(person));
            Ok(())
        })
    }

    /// Deletes a user. Its faces stay enrolled, as those of a person without a name.
    pub fn delete_user(&self, collection: &CollectionId, user: &str) -> Result<(), PeopleError> {
        self.change(collection, |ground, changes| {
            let mut left = ground.person(ground.user(user)?)?.clone();
            left.info.user = None;
            changes.push(Change::Person(left.info.clone()));
            ground.settle(changes, &left, &BTreeSet::new())
        })
    }

    /// Up to `limit` users, by name, those after `after`.
    pub fn users(
        &self,
        collection: &CollectionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<User>, PeopleError> {
        self.look(collection, |ground| {
            let after = after.map_or(Bound::Unbounded, Bound::Excluded);
            let users = ground.memory.users.range::<str, _>((after, Bound::Unbounded));
            let people = users.filter_map(|(_, person)| ground.memory.persons.get(person));
            Ok(people.filter_map(user_of).take(limit).collect())
        })
    }

    /// A user.
    pub fn user(&self, collection: &CollectionId, user: &str) -> Result<User, PeopleError> {
        self.look(collection, |ground| {
            let person = ground.person(ground.user(user)?)?;
            user_of(person).ok_or_else(|| PeopleError::NoUser(user.to_owned()))
        })
    }

    /// Makes faces a user's, where they are as similar to those it has as `threshold` says. The
    /// sightings of people whom these faces were go with them.
    pub fn associate_faces(
        &self,
        collection: &CollectionId,
        user: &str,
        faces: &[FaceId],
        threshold: f32,
    ) -> Result<Association, PeopleError> {
        let within = distance_for(threshold)?;
        self.change(collection, |ground, changes| {
            let to = ground.person(ground.user(user)?)?;
            let mut done = Association::default();
            for &face in faces.iter().collect::<BTreeSet<_>>() {
                match ground.refusal(to, face, within) {
                    Some(reason) => done.refused.push(NotAssociated { face, reason }),
                    None => done.associated.push(face),
                }
            }
            ground.give_faces(changes, to, &done.associated)?;
            Ok(done)
        })
    }

    /// Takes faces from a user; each is a person of its own then.
    pub fn disassociate_faces(
        &self,
        collection: &CollectionId,
        user: &str,
        faces: &[FaceId],
    ) -> Result<Disassociated, PeopleError> {
        self.change(collection, |ground, changes| {
            let from = ground.user(user)?;
            let mut done = Disassociated::default();
            for &face in faces.iter().collect::<BTreeSet<_>>() {
                match ground.memory.faces.get(&face) {
                    None => done.unknown.push(face),
                    Some(info) if info.person != from => done.of_others.push(face),
                    Some(info) => {
                        let person = ground.new_person()?;
                        let info = FaceInfo { person: person.id, ..FaceInfo::clone(info) };
                        changes.extend([Change::Person(person), Change::Face(info, None)]);
                        done.disassociated.push(face);
                    }
                }
            }
            Ok(done)
        })
    }

    /// Users who are like a face, most similar first.
    pub fn search_users(
        &self,
        collection: &CollectionId,
        look: &Embedding,
        threshold: f32,
        limit: usize,
    ) -> Result<Vec<UserMatch>, PeopleError> {
        let distance = distance_for(threshold)?;
        self.look(collection, |ground| {
            ground.check_look(look)?;
            Ok(ground.users_like(look.as_slice(), distance, limit, None))
        })
    }

    /// Users who are like an enrolled face (SearchUsers with a face); its own user among them.
    pub fn search_users_by_face(
        &self,
        collection: &CollectionId,
        face: FaceId,
        threshold: f32,
        limit: usize,
    ) -> Result<Vec<UserMatch>, PeopleError> {
        let distance = distance_for(threshold)?;
        self.look(collection, |ground| {
            let look = ground.memory.face_looks.look(face.as_u128());
            let look = look.ok_or(PeopleError::NoFace(face))?;
            Ok(ground.users_like(look, distance, limit, None))
        })
    }

    /// Other users who are like a user (SearchUsers with a user).
    pub fn search_users_by_user(
        &self,
        collection: &CollectionId,
        user: &str,
        threshold: f32,
        limit: usize,
    ) -> Result<Vec<UserMatch>, PeopleError> {
        let distance = distance_for(threshold)?;
        self.look(collection, |ground| {
            let person = ground.person(ground.user(user)?)?;
            let faces = person.faces.iter();
            let looks = faces.filter_map(|face| ground.memory.face_looks.look(face.as_u128()));
            let all = looks.flat_map(|look| {
                ground.users_like(look, distance, usize::MAX, Some(person.info.id))
            });
            Ok(best_of_each(all, limit))
        })
    }
}

impl Ground<'_> {
    /// Why a face can not become a person's.
    fn refusal(&self, to: &Person, face: FaceId, within: f32) -> Option<Associated> {
        let looks = &self.memory.face_looks;
        let Some((info, look)) = self.memory.faces.get(&face).zip(looks.look(face.as_u128()))
        else {
            return Some(Associated::NotFound);
        };
        let owner = self.memory.persons.get(&info.person);
        let other = owner.filter(|owner| owner.info.id != to.info.id);
        if let Some(user) = other.and_then(|owner| owner.info.user.clone()) {
            return Some(Associated::WithOther(user));
        }
        let own = to.faces.iter().filter_map(|own| looks.look(own.as_u128()));
        let nearest = own.map(|own| distance(own, look)).min_by(f32::total_cmp)?;
        (nearest > within).then(|| Associated::TooUnlike(similarity(nearest)))
    }

    /// Gives faces to a known person, and with them the sightings of those whose last ones they are.
    fn give_faces(
        &self,
        changes: &mut Vec<Change>,
        to: &Person,
        faces: &[FaceId],
    ) -> Result<(), PeopleError> {
        let mut owners = BTreeSet::new();
        for face in faces {
            let Some(info) = self.memory.faces.get(face) else { continue };
            if info.person != to.info.id {
                owners.insert(info.person);
                let info = FaceInfo { person: to.info.id, ..FaceInfo::clone(info) };
                changes.push(Change::Face(info, None));
            }
        }
        for owner in owners {
            let owner = self.person(owner)?;
            if owner.is_named() || owner.faces.iter().any(|face| !faces.contains(face)) {
                continue;
            }
            let seen = SeenAs { person: to.info.id, reference: false };
            let sightings =
                self.store.sightings_of(self.number, owner.info.id, None, usize::MAX)?;
            changes.extend(sightings.into_iter().map(|sighting| Change::Move(sighting, seen)));
            changes.push(Change::NoPerson(owner.info.id));
        }
        Ok(())
    }

    fn users_like(
        &self,
        look: &[f32],
        distance: f32,
        limit: usize,
        except: Option<PersonId>,
    ) -> Vec<UserMatch> {
        let user = |person: PersonId| self.memory.persons.get(&person).and_then(user_of);
        let counts = |found: &Match| Some(found.face.info.person) != except;
        let faces = self.matches(look, distance, usize::MAX, None).into_iter().filter(counts);
        let users = faces.filter_map(|found| {
            let user = user(found.face.info.person)?;
            Some(UserMatch { similarity: found.similarity, user })
        });
        best_of_each(users, limit)
    }
}

/// The best match of each user, most similar first.
fn best_of_each(all: impl Iterator<Item = UserMatch>, limit: usize) -> Vec<UserMatch> {
    let mut all: Vec<UserMatch> = all.collect();
    all.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    let mut told = BTreeSet::new();
    all.retain(|found| told.insert(found.user.person));
    all.truncate(limit);
    all
}

fn user_of(person: &Person) -> Option<User> {
    let id = person.info.user.clone()?;
    Some(User { id, person: person.info.id, faces: person.faces.len() })
}
