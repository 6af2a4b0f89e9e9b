//! A collection in memory: what the changes that were committed make of it, and nothing else. So it
//! is the same after a restart, which reads them back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::vectors::{Owner, Vectors};
use crate::store::people::{Change, CollectionInfo, FaceInfo, PersonInfo};
use crate::types::{FaceId, PersonId, SightingId};

/// A collection in memory.
#[derive(Debug)]
pub struct Memory {
    pub info: CollectionInfo,
    pub persons: BTreeMap<PersonId, Person>,
    pub users: BTreeMap<String, PersonId>,
    /// The faces whose pictures have a name.
    externals: HashMap<String, BTreeSet<FaceId>>,
    pub faces: BTreeMap<FaceId, Arc<FaceInfo>>,
    /// What enrolled faces look like.
    pub face_looks: Vectors,
    /// What sightings look like by which people without a face are told apart.
    pub reference_looks: Vectors,
    /// What all sightings look like.
    pub sighting_looks: Vectors,
}

/// A person, and what is there of it.
#[derive(Clone, Debug)]
pub struct Person {
    pub info: PersonInfo,
    pub faces: BTreeSet<FaceId>,
    pub references: BTreeSet<SightingId>,
    pub sightings: usize,
}

impl Person {
    pub fn new(info: PersonInfo) -> Self {
        Self { info, faces: BTreeSet::new(), references: BTreeSet::new(), sightings: 0 }
    }

    /// Whether somebody said who it is.
    pub fn is_known(&self) -> bool {
        self.is_named() || !self.faces.is_empty()
    }

    /// Whether it is somebody without any face.
    pub fn is_named(&self) -> bool {
        self.info.name.is_some() || self.info.user.is_some()
    }
}

impl Memory {
    /// An empty collection.
    pub fn new(info: CollectionInfo) -> Self {
        Self {
            info,
            persons: BTreeMap::new(),
            users: BTreeMap::new(),
            externals: HashMap::new(),
            faces: BTreeMap::new(),
            face_looks: Vectors::default(),
            reference_looks: Vectors::default(),
            sighting_looks: Vectors::default(),
        }
    }

    /// Numbers of a look, when there is one.
    pub fn dimensions(&self) -> Option<usize> {
        self.face_looks.dimensions().or(self.sighting_looks.dimensions())
    }

    /// The person whose pictures somebody gave this name.
    pub fn of_external(&self, external: &str) -> Option<PersonId> {
        let face = self.externals.get(external)?.first()?;
        self.faces.get(face).map(|face| face.person)
    }

    /// What a person's pictures were named.
    pub fn external_of(&self, person: &Person) -> Option<&str> {
        person.faces.iter().find_map(|face| self.faces.get(face)?.external.as_deref())
    }

    /// What to call a person.
    pub fn display_name<'a>(&'a self, person: &'a Person) -> Option<&'a str> {
        let given = person.info.name.as_deref().or(person.info.user.as_deref());
        given.or_else(|| self.external_of(person))
    }

    /// The person that a sighting is of.
    pub fn seen_as(&self, id: SightingId) -> Option<PersonId> {
        self.sighting_looks.owner(id.as_u128()).map(|owner| owner.person)
    }

    /// Does what a committed change says.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Collection(info) => self.info = info.clone(),
            Change::Person(info) => self.put_person(info),
            Change::NoPerson(id) => self.remove_person(*id),
            Change::Face(info, look) => self.put_face(info, look.as_deref()),
            Change::NoFace(id) => self.remove_face(*id),
            Change::Seen(id, seen, look) => {
                self.leave(*id);
                let owner = Owner { id: id.as_u128(), person: seen.person };
                self.sighting_looks.put(owner, look);
                self.join(*id, seen.person, seen.reference);
            }
            Change::Move(id, seen) => {
                self.leave(*id);
                self.sighting_looks.give(id.as_u128(), seen.person);
                self.join(*id, seen.person, seen.reference);
            }
            Change::NoSighting(id) => {
                self.leave(*id);
                self.sighting_looks.remove(id.as_u128());
            }
            // These are read from the disk.
            Change::Sighting(_) | Change::Crop(..) => {}
            // All of it is dropped.
            Change::NoCollection => {}
        }
    }

    fn put_person(&mut self, info: &PersonInfo) {
        self.forget_names(info.id);
        if let Some(user) = &info.user {
            self.users.insert(user.clone(), info.id);
        }
        let person = self.persons.entry(info.id).or_insert_with(|| Person::new(info.clone()));
        person.info = info.clone();
    }

    fn remove_person(&mut self, id: PersonId) {
        self.forget_names(id);
        self.persons.remove(&id);
    }

    fn forget_names(&mut self, id: PersonId) {
        let Some(person) = self.persons.get(&id) else { return };
        if let Some(user) = &person.info.user {
            self.users.remove(user);
        }
    }

    fn put_face(&mut self, info: &FaceInfo, look: Option<&[f32]>) {
        let owner = Owner { id: info.id.as_u128(), person: info.person };
        match look {
            Some(look) => self.face_looks.put(owner, look),
            None => self.face_looks.give(owner.id, owner.person),
        }
        self.unlink_face(info.id);
        if let Some(person) = self.persons.get_mut(&info.person) {
            person.faces.insert(info.id);
        }
        if let Some(external) = &info.external {
            self.externals.entry(external.clone()).or_default().insert(info.id);
        }
        self.faces.insert(info.id, Arc::new(info.clone()));
    }

    fn remove_face(&mut self, id: FaceId) {
        self.unlink_face(id);
        self.faces.remove(&id);
        self.face_looks.remove(id.as_u128());
    }

    /// Takes a face from its person and from the name of its picture.
    fn unlink_face(&mut self, id: FaceId) {
        let Some(face) = self.faces.get(&id) else { return };
        if let Some(before) = self.persons.get_mut(&face.person) {
            before.faces.remove(&id);
        }
        let Some(external) = &face.external else { return };
        if let Some(named) = self.externals.get_mut(external) {
            named.remove(&id);
            if named.is_empty() {
                self.externals.remove(external);
            }
        }
    }

    /// Takes a sighting from the person that it is of.
    fn leave(&mut self, id: SightingId) {
        self.reference_looks.remove(id.as_u128());
        let before = self.seen_as(id).and_then(|person| self.persons.get_mut(&person));
        if let Some(before) = before {
            before.sightings = before.sightings.saturating_sub(1);
            before.references.remove(&id);
        }
    }

    fn join(&mut self, id: SightingId, person: PersonId, reference: bool) {
        let Some(of) = self.persons.get_mut(&person) else { return };
        of.sightings += 1;
        if reference && let Some(look) = self.sighting_looks.look(id.as_u128()) {
            of.references.insert(id);
            self.reference_looks.put(Owner { id: id.as_u128(), person }, look);
        }
    }
}
