//! Who is taken for whom, and what people say about it; each scene once more after a restart.

use std::sync::Arc;

use super::*;
use crate::store::disk::MemoryDisk;
use crate::types::{FaceId, PersonId, ProducerTimestamp, ServerTimestamp, SightingId};
use crate::vision::faces::Embedding;

const DAY: Millis = Millis(24 * 60 * 60 * 1000);

/// A collection `c` on a disk of its own.
struct Scene {
    disk: MemoryDisk,
    clock: Clock,
    _store: Store,
    people: People,
    c: CollectionId,
}

impl Scene {
    fn new() -> Self {
        let clock = Clock::simulated(ServerTimestamp::from_millis(1_795_308_137_662));
        let scene = Self::on(MemoryDisk::new(), clock);
        scene.people.create_collection(&scene.c, BTreeMap::new()).expect("a new one");
        scene
    }

    fn on(disk: MemoryDisk, clock: Clock) -> Self {
        let options = crate::store::Options {
            segment_bytes: 1 << 20,
            prepared_segments: 0,
            ..crate::store::Options::default()
        };
        let opened = Store::open_on(Arc::new(disk.clone()), options, clock.clone());
        let (store, _) = opened.expect("it opens");
        let keep = Options { keep: Millis(30 * DAY.0), max_sightings: 100 };
        let people = People::open(&store, clock.clone(), keep).expect("it opens");
        let c = "c".parse().expect("a valid id");
        Self { disk, clock, _store: store, people, c }
    }

    /// Another process on what a kill would leave at this moment.
    fn restarted(self) -> Self {
        Self::on(MemoryDisk::copy_of(&self.disk), self.clock)
    }

    fn see(&self, track: &str, at: f32) -> Observed {
        self.see_with(track, at, 90.0)
    }

    fn see_with(&self, track: &str, at: f32, confidence: f32) -> Observed {
        let seen = NewSighting {
            embedding: look(at),
            confidence,
            bounds: RelativeBox::default(),
            stream: "door".to_owned(),
            fragment: "1".to_owned(),
            producer: ProducerTimestamp::from_millis(1),
            server: ServerTimestamp::from_millis(1),
            track: track.to_owned(),
            crop: Some(track.as_bytes().to_vec()),
            threshold: DEFAULT_THRESHOLD,
            max_matches: 5,
        };
        self.clock.advance(Millis(1));
        self.people.observe(&self.c, seen).expect("it is taken in")
    }

    fn enrol(&self, at: f32, external: Option<&str>) -> StoredFace {
        let face = NewFace {
            embedding: look(at),
            bounds: RelativeBox::default(),
            confidence: 99.0,
            image: self.people.new_image().expect("an id"),
            external: external.map(str::to_owned),
        };
        self.people.index_face(&self.c, face).expect("it is enrolled")
    }

    fn person(&self, id: PersonId) -> PersonSummary {
        self.people.person(&self.c, id).expect("it is there").0
    }

    fn sightings(&self, id: PersonId) -> Vec<SightingId> {
        let sightings = self.people.sightings(&self.c, id, None, 1000).expect("it is there");
        sightings.into_iter().map(|sighting| sighting.info.id).collect()
    }

    fn everybody(&self) -> Vec<PersonId> {
        let all = self.people.people(&self.c, None, None, 1000).expect("a collection");
        all.into_iter().map(|(person, _)| person.id).collect()
    }

    fn merge(&self, from: PersonId, into: PersonId) {
        self.people.merge(&self.c, from, into).expect("both are there");
    }
}

/// Looks on a line: their distance is that of the numbers.
fn look(at: f32) -> Embedding {
    let mut numbers = vec![0.0; 128];
    numbers[0] = at;
    Embedding::new(numbers).expect("finite numbers")
}

#[test]
fn stranger_who_comes_again_is_the_same_person_also_after_a_restart() {
    let scene = Scene::new();
    let first = scene.see("a", 0.0);
    assert!(!first.person.known && first.matches.is_empty());
    let scene = scene.restarted();
    let second = scene.see("b", 0.4);
    assert_eq!(second.person.id, first.person.id);
    assert_eq!(scene.sightings(first.person.id), [second.sighting, first.sighting]);
    let other = scene.see("c", 2.0);
    assert_ne!(other.person.id, first.person.id);
}

#[test]
fn track_that_is_sent_again_keeps_one_sighting_and_the_surest_look() {
    let scene = Scene::new();
    let first = scene.see_with("a", 0.0, 80.0);
    assert_eq!(scene.see_with("a", 0.1, 80.0), first, "not surer: nothing changes");
    let better = scene.see_with("a", 0.3, 90.0);
    assert_eq!((better.sighting, better.person.id), (first.sighting, first.person.id));
    assert_eq!(scene.people.collection(&scene.c).expect("there").sightings, 1);
    assert_eq!(scene.see("b", 0.7).person.id, first.person.id, "the surer look counts");
}

#[test]
fn surer_look_may_tell_who_it_was_after_all() {
    let scene = Scene::new();
    let anna = scene.enrol(0.0, Some("anna"));
    let blurred = scene.see_with("a", 0.6, 50.0);
    assert!(!blurred.person.known);
    let sharp = scene.see_with("a", 0.2, 90.0);
    assert_eq!(sharp.person.id, anna.info.person);
    assert_eq!(scene.everybody(), [anna.info.person], "nobody is left of the stranger");
}

#[test]
fn look_that_tells_a_known_person_counts_though_an_earlier_one_was_surer() {
    let scene = Scene::new();
    let anna = scene.enrol(0.0, Some("anna"));
    assert!(!scene.see_with("a", 0.6, 95.0).person.known);
    assert_eq!(scene.see_with("a", 0.2, 50.0).person.id, anna.info.person);
    assert_eq!(scene.everybody(), [anna.info.person]);
}

#[test]
fn stranger_of_a_bad_look_keeps_a_known_person_only_where_it_is_in_doubt() {
    let scene = Scene::new();
    let anna = scene.enrol(0.0, Some("anna")).info.person;
    let stranger = scene.see("a", 0.6).person.id;
    assert_eq!(scene.see("b", 0.4).person.id, anna);
    assert_eq!(scene.see_with("c", 0.49, 90.0).person.id, stranger);
    assert_eq!(scene.see_with("c", 0.48, 95.0).person.id, stranger, "as much in doubt as before");
    assert_eq!(scene.see_with("c", 0.3, 50.0).person.id, anna);
    assert_eq!(scene.sightings(stranger).len(), 1);
}

#[test]
fn enrolled_face_is_recognised_with_its_similarity_and_name() {
    let scene = Scene::new();
    let anna = scene.enrol(0.0, Some("anna"));
    let again = scene.enrol(0.05, Some("anna"));
    assert_eq!(again.info.person, anna.info.person, "one name, one person");
    let seen = scene.restarted().see("a", 0.25);
    assert_eq!(seen.person.name.as_deref(), Some("anna"));
    assert!(seen.person.known);
    let similarities: Vec<f32> = seen.matches.iter().map(|found| found.similarity).collect();
    assert_eq!(similarities, [92.0, 90.0]);
    assert_eq!(seen.matches[0].face.info.id, again.info.id);
}

#[test]
fn face_between_two_people_is_called_by_neither_name() {
    let scene = Scene::new();
    let anna = scene.enrol(0.0, Some("anna"));
    scene.enrol(0.8, Some("ben"));
    assert!(!scene.see("a", 0.4).person.known);
    assert_eq!(scene.see("b", 0.1).person.id, anna.info.person);
}

#[test]
fn person_who_was_enrolled_twice_is_known() {
    let scene = Scene::new();
    let first = scene.enrol(0.0, Some("anna-1.jpg"));
    scene.enrol(0.1, Some("anna-2.jpg"));
    assert_eq!(scene.see("a", 0.04).person.id, first.info.person);
}

#[test]
fn what_nobody_confirmed_does_not_widen_a_known_person() {
    let scene = Scene::new();
    let anna = scene.enrol(0.0, Some("anna"));
    assert_eq!(scene.see("a", 0.45).person.id, anna.info.person);
    assert!(!scene.see("b", 0.8).person.known, "near the sighting, but not near the face");
}

#[test]
fn stranger_who_is_named_is_enrolled_and_known_from_then_on() {
    let scene = Scene::new();
    let first = scene.see("a", 0.0);
    let named = Some("Anna Müller".to_owned());
    scene.people.rename(&scene.c, first.person.id, named).expect("it is there");
    let scene = scene.restarted();
    let anna = scene.person(first.person.id);
    assert_eq!((anna.name.as_deref(), anna.known, anna.faces), (Some("Anna Müller"), true, 1));
    let seen = scene.see("b", 0.1);
    assert_eq!(seen.person.id, anna.id);
    assert_eq!(seen.matches.len(), 1, "the sighting became a face");
    scene.clock.advance(Millis(31 * DAY.0));
    scene.people.tidy().expect("a sound disk");
    assert_eq!(scene.see("c", 0.2).person.id, anna.id, "also when its sightings are forgotten");
}

#[test]
fn merged_people_are_one_and_their_sightings_too() {
    let scene = Scene::new();
    let (a, b) = (scene.see("a", 0.0), scene.see("b", 0.9));
    scene.merge(b.person.id, a.person.id);
    let scene = scene.restarted();
    assert_eq!(scene.everybody(), [a.person.id]);
    assert_eq!(scene.sightings(a.person.id), [b.sighting, a.sighting]);
    assert_eq!(scene.see("c", 1.0).person.id, a.person.id);
}

#[test]
fn stranger_who_is_merged_into_a_known_person_teaches_how_it_looks() {
    let scene = Scene::new();
    let anna = scene.enrol(0.0, Some("anna"));
    let profile = scene.see("a", 0.9);
    scene.merge(profile.person.id, anna.info.person);
    assert_eq!(scene.person(anna.info.person).faces, 2);
    assert_eq!(scene.see("b", 1.0).person.id, anna.info.person);
    assert_eq!(scene.see("c", 0.9).person.name.as_deref(), Some("anna"));
}

#[test]
fn known_person_who_is_merged_keeps_its_names() {
    let scene = Scene::new();
    scene.people.create_user(&scene.c, "u").expect("a new one");
    let user = scene.people.user(&scene.c, "u").expect("it is there").person;
    let seen = scene.see("a", 0.0);
    scene.merge(user, seen.person.id);
    let merged = scene.people.user(&scene.c, "u").expect("it is there");
    assert_eq!((merged.person, merged.faces), (seen.person.id, 1));
}

#[test]
fn split_sightings_are_a_new_person_and_not_the_old_one_again() {
    let scene = Scene::new();
    let (a, b) = (scene.see("a", 0.0), scene.see_with("b", 0.3, 50.0));
    assert_eq!(a.person.id, b.person.id);
    let new = scene.people.split(&scene.c, a.person.id, &[b.sighting]).expect("its sighting");
    let scene = scene.restarted();
    assert_eq!(scene.sightings(a.person.id), [a.sighting]);
    assert_eq!(scene.sightings(new), [b.sighting]);
    assert_eq!(scene.see_with("b", 0.0, 99.0).person.id, new, "whatever it looks like");
    let wrong = scene.people.split(&scene.c, new, &[a.sighting]);
    assert!(matches!(wrong, Err(PeopleError::NoSighting(id)) if id == a.sighting));
}

#[test]
fn sighting_that_is_not_of_a_person_takes_its_face_away_and_is_somebody_else() {
    let scene = Scene::new();
    let seen = scene.see("a", 0.0);
    let name = |name: &str| Some(name.to_owned());
    scene.people.rename(&scene.c, seen.person.id, name("anna")).expect("it is there");
    assert_eq!(scene.person(seen.person.id).faces, 1);
    let said = scene.people.not_this_person(&scene.c, seen.person.id, seen.sighting);
    let other = said.expect("its sighting");
    let scene = scene.restarted();
    assert_ne!(other, seen.person.id);
    assert_eq!(scene.person(seen.person.id).faces, 0, "the wrong face is gone");
    assert_eq!(scene.see("b", 0.1).person.id, other, "who is like it is the other, too");
}

#[test]
fn deleting_a_person_leaves_no_look_and_no_picture() {
    let scene = Scene::new();
    let anna = scene.enrol(0.0, Some("anna"));
    let seen = scene.see("a", 0.1);
    scene.people.delete_person(&scene.c, anna.info.person).expect("it is there");
    let scene = scene.restarted();
    assert!(scene.everybody().is_empty());
    let summary = scene.people.collection(&scene.c).expect("it is there");
    assert_eq!((summary.faces, summary.people, summary.sightings), (0, 0, 0));
    assert_eq!(scene.people.crop(&scene.c, seen.sighting).expect("reads"), None);
    assert!(scene.people.search(&scene.c, &look(0.0), 0.0, 9).expect("searches").is_empty());
    let wanted = Wanted::Look(look(0.0));
    let found = scene.people.search_sightings(&scene.c, &wanted, 0.0, 9);
    assert!(found.expect("searches").is_empty());
}

#[test]
fn sightings_go_by_age_and_number_and_strangers_with_their_last_one() {
    let scene = Scene::new();
    let old = scene.see("old", 5.0);
    scene.clock.advance(DAY);
    let often: Vec<Observed> = (0..101).map(|n| scene.see(&format!("t{n}"), 0.0)).collect();
    assert_eq!(scene.people.tidy().expect("a sound disk"), 2, "102 are two too many");
    assert_eq!(scene.everybody(), [often[0].person.id]);
    assert_eq!(scene.people.crop(&scene.c, old.sighting).expect("reads"), None);
    assert!(scene.people.crop(&scene.c, often[1].sighting).expect("reads").is_some());
    scene.clock.advance(Millis(29 * DAY.0));
    let late = scene.see("late", 0.0);
    scene.clock.advance(Millis(2 * DAY.0));
    assert_eq!(scene.people.tidy().expect("a sound disk"), 100);
    let scene = scene.restarted();
    assert_eq!(scene.sightings(late.person.id), [late.sighting]);
    assert_eq!(scene.see("again", 0.1).person.id, late.person.id, "told by what is left");
}

#[test]
fn where_else_a_face_was_is_found_most_similar_first() {
    let scene = Scene::new();
    let a = scene.see("a", 0.0);
    let (b, c) = (scene.see("b", 0.4), scene.see("c", 0.2));
    scene.see("d", 3.0);
    let wanted = Wanted::Sighting(a.sighting);
    let found = scene.people.search_sightings(&scene.c, &wanted, 80.0, 9).expect("searches");
    let ids: Vec<SightingId> = found.iter().map(|found| found.sighting.info.id).collect();
    assert_eq!(ids, [c.sighting, b.sighting]);
    assert_eq!(found[0].similarity, 92.0);
    let all = scene.people.search_sightings(&scene.c, &Wanted::Look(look(0.0)), 0.0, 9);
    assert_eq!(all.expect("searches").len(), 4, "a threshold of 0 leaves nothing out");
}

#[test]
fn faces_become_a_users_with_the_sightings_of_who_they_were() {
    let scene = Scene::new();
    let (face, other) = (scene.enrol(0.0, None), scene.enrol(5.0, None));
    let seen = scene.see("a", 0.1);
    scene.people.create_user(&scene.c, "anna").expect("a new one");
    let taken = scene.people.create_user(&scene.c, "anna");
    assert!(matches!(taken, Err(PeopleError::UserExists(_))));
    let add = |faces: &[FaceId]| {
        scene.people.associate_faces(&scene.c, "anna", faces, 75.0).expect("a user")
    };
    assert_eq!(add(&[face.info.id]).associated, [face.info.id]);
    assert_eq!(add(&[other.info.id]).refused[0].reason, Associated::TooUnlike(0.0));
    let unknown = FaceId::from_u128(1);
    assert_eq!(add(&[unknown]).refused[0].reason, Associated::NotFound);
    let user = scene.people.user(&scene.c, "anna").expect("it is there");
    assert_eq!((user.faces, scene.sightings(user.person)), (1, vec![seen.sighting]));
    assert_eq!(scene.see("b", 0.2).matches[0].face.user.as_deref(), Some("anna"));
    let like = scene.people.search_users(&scene.c, &look(0.1), 80.0, 9).expect("searches");
    assert_eq!((like.len(), like[0].similarity), (1, 96.0));

    let freed = scene.people.disassociate_faces(&scene.c, "anna", &[face.info.id, unknown]);
    let freed = freed.expect("a user");
    assert_eq!((freed.disassociated, freed.unknown), (vec![face.info.id], vec![unknown]));
    scene.people.delete_user(&scene.c, "anna").expect("it is there");
    assert!(scene.people.users(&scene.c, None, 9).expect("a collection").is_empty());
    assert_eq!(scene.see("c", 0.1).matches.len(), 1, "the face is still enrolled");
}

#[test]
fn deleted_faces_make_unknown_who_was_seen_and_nobody_who_was_not() {
    let scene = Scene::new();
    let (seen, unseen) = (scene.enrol(0.0, Some("anna")), scene.enrol(5.0, None));
    let sighting = scene.see("a", 0.1);
    let missing = FaceId::from_u128(1);
    let ids = [seen.info.id, unseen.info.id, missing];
    let done = scene.people.delete_faces(&scene.c, &ids).expect("a collection");
    assert_eq!((done.deleted.len(), done.unknown), (2, vec![missing]));
    let scene = scene.restarted();
    assert_eq!(scene.everybody(), [sighting.person.id]);
    let again = scene.see("b", 0.2).person;
    assert_eq!((again.id, again.known, again.name), (sighting.person.id, false, None));
}

#[test]
fn face_of_another_recogniser_is_refused() {
    let scene = Scene::new();
    scene.see("a", 0.0);
    let short = Embedding::new([1.0, 2.0]).expect("finite numbers");
    let refused = scene.people.search(&scene.c, &short, 80.0, 9);
    let Err(PeopleError::WrongLength { expected, given }) = refused else { panic!("{refused:?}") };
    assert_eq!((expected, given), (128, 2));
}

#[test]
fn collection_that_is_deleted_and_made_again_is_empty() {
    let scene = Scene::new();
    scene.see("a", 0.0);
    scene.people.delete_collection(&scene.c).expect("it is there");
    let gone = scene.people.collection(&scene.c);
    assert!(matches!(gone, Err(PeopleError::NoCollection(_))));
    scene.people.create_collection(&scene.c, BTreeMap::new()).expect("the name is free");
    let again = scene.people.create_collection(&scene.c, BTreeMap::new());
    assert!(matches!(again, Err(PeopleError::CollectionExists(_))));
    assert!(scene.restarted().everybody().is_empty());
}
