//! What is committed is there after opening again, whole.

use super::*;
use crate::store::disk::MemoryDisk;
use crate::types::{CollectionId, FaceId, ImageId, ProducerTimestamp, ServerTimestamp};

const AT: ServerTimestamp = ServerTimestamp::from_millis(1_795_308_137_662);

fn collection(name: &str) -> Change {
    let id: CollectionId = name.parse().expect("a valid name");
    let face_model_version = "1".to_owned();
    Change::Collection(CollectionInfo { id, created: AT, face_model_version, tags: [].into() })
}

fn person(random: u128) -> PersonInfo {
    let id = PersonId::new(AT, random);
    PersonInfo { id, name: None, user: None, not: Vec::new() }
}

fn face(random: u128, of: PersonId) -> Change {
    let info = FaceInfo {
        id: FaceId::new(AT, random),
        person: of,
        image: ImageId::new(AT, random),
        external: Some("anna".to_owned()),
        bounds: RelativeBox { left: 0.25, ..RelativeBox::default() },
        confidence: 99.5,
        sighting: None,
    };
    Change::Face(info, Some([1.0, -2.5].into()))
}

/// A sighting with a crop.
fn seen(random: u128, track: &str, person: PersonId) -> (SightingId, Vec<Change>) {
    let id = SightingId::new(AT, random);
    let info = SightingInfo {
        id,
        stream: "door".to_owned(),
        fragment: "91343852333181432392682062607743920146264094975".to_owned(),
        producer: ProducerTimestamp::from_millis(5),
        server: AT,
        track: track.to_owned(),
        bounds: RelativeBox::default(),
        confidence: 80.0,
        crop: true,
    };
    let look = Change::Seen(id, SeenAs { person, reference: true }, [0.5, 0.25].into());
    (id, vec![Change::Sighting(info), look, Change::Crop(id, b"JPEG".to_vec())])
}

fn loaded(store: &PeopleStore) -> Vec<(CollectionNumber, Change)> {
    let mut all = Vec::new();
    store.load(|of, change| all.push((of, change))).expect("a sound database");
    all
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let disk = MemoryDisk::new();
    let store = PeopleStore::open(&disk).expect("it opens");
    let anna = person(1);
    let (id, sighting) = seen(3, "t", anna.id);
    let mut changes = vec![collection("c"), Change::Person(anna.clone()), face(2, anna.id)];
    changes.extend(sighting);
    store.commit(7, &changes).expect("a sound disk");
    drop(store);

    let store = PeopleStore::open(&disk).expect("it opens");
    let all = loaded(&store);
    assert!(all.iter().all(|(of, _)| *of == 7));
    let debug = |change: &Change| format!("{change:?}");
    let kept = all.iter().map(|(_, change)| debug(change));
    // Facts and pictures of sightings are read when they are asked for.
    let expected =
        changes.iter().filter(|change| !matches!(change, Change::Sighting(_) | Change::Crop(..)));
    assert_eq!(kept.collect::<Vec<_>>(), expected.map(debug).collect::<Vec<_>>());
    assert_eq!(store.of_track(7, "t").expect("reads"), Some(id));
    assert_eq!(store.crop(7, id).expect("reads").as_deref(), Some(&b"JPEG"[..]));
    assert_eq!(store.sighting(7, id).expect("reads").expect("it is there").stream, "door");
    assert_eq!(store.sightings_of(7, anna.id, None, 9).expect("reads"), [id]);
}

#[test]
fn sighting_that_moves_is_the_new_persons_alone_and_leaves_nothing_when_it_goes() {
    let store = PeopleStore::open(&MemoryDisk::new()).expect("it opens");
    let (anna, ben) = (person(1).id, person(2).id);
    let (id, changes) = seen(3, "t", anna);
    store.commit(0, &changes).expect("a sound disk");
    let to = SeenAs { person: ben, reference: false };
    store.commit(0, &[Change::Move(id, to)]).expect("a sound disk");
    assert_eq!(store.sightings_of(0, anna, None, 9).expect("reads"), []);
    assert_eq!(store.sightings_of(0, ben, None, 9).expect("reads"), [id]);
    let [(_, Change::Seen(_, seen, look))] = &loaded(&store)[..] else { panic!("one look") };
    assert_eq!((*seen, &**look), (to, &[0.5, 0.25][..]));

    store.commit(0, &[Change::NoSighting(id)]).expect("a sound disk");
    assert!(loaded(&store).is_empty());
    assert_eq!(store.of_track(0, "t").expect("reads"), None);
    assert_eq!(store.crop(0, id).expect("reads"), None);
    assert_eq!(store.oldest_sightings(0, 9).expect("reads"), []);
}

#[test]
fn collection_that_goes_takes_its_rows_and_no_others() {
    let store = PeopleStore::open(&MemoryDisk::new()).expect("it opens");
    for of in [1, 2, 3] {
        let anna = person(1);
        let (_, sighting) = seen(3, "t", anna.id);
        let mut changes = vec![collection(&format!("c{of}")), face(2, anna.id)];
        changes.push(Change::Person(anna));
        changes.extend(sighting);
        store.commit(of, &changes).expect("a sound disk");
    }
    store.commit(2, &[Change::NoCollection]).expect("a sound disk");
    let all = loaded(&store);
    assert_eq!(all.iter().filter(|(of, _)| *of == 1).count(), 4);
    assert_eq!(all.iter().filter(|(of, _)| *of == 2).count(), 0);
    for (of, kept) in [(1, true), (2, false), (3, true)] {
        assert_eq!(store.of_track(of, "t").expect("reads").is_some(), kept);
        assert_eq!(store.oldest_sightings(of, 9).expect("reads").len(), usize::from(kept));
    }
}
