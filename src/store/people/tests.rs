//! What is committed is there after opening again, whole; what is damaged is found and set aside.

use super::*;
use crate::store::check::{CheckReport, Damage, check_on};
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

/// A disk whose database has one of everything, as a killed server left it.
fn killed() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let store = PeopleStore::open(&disk).expect("it opens");
    let anna = person(1);
    let mut changes = vec![collection("c"), face(2, anna.id)];
    changes.extend(seen(3, "t", anna.id).1);
    changes.push(Change::Person(anna));
    store.commit(7, &changes).expect("a sound disk");
    MemoryDisk::copy_of(&disk)
}

fn checked(disk: &MemoryDisk, repair: bool) -> CheckReport {
    check_on(disk, repair, &mut |_| {}).expect("it can be checked")
}

fn bytes(disk: &MemoryDisk) -> Vec<u8> {
    let mut all = Vec::new();
    disk.change_people(|bytes| all = bytes.to_vec());
    all
}

#[test]
fn check_finds_nothing_in_what_a_kill_left_and_changes_nothing_of_it() {
    let disk = killed();
    let before = bytes(&disk);
    assert_eq!(checked(&disk, false).damage, []);
    assert_eq!(checked(&disk, true).damage, []);
    assert!(bytes(&disk) == before, "a check writes nothing");
    drop(PeopleStore::open(&disk).expect("it opens"));
    assert_eq!(checked(&disk, false).damage, [], "closed in order");
    assert_eq!(checked(&MemoryDisk::new(), false).damage, [], "nobody was ever seen");
}

#[test]
fn check_finds_a_damaged_picture_that_opening_does_not_read_and_repair_sets_all_aside() {
    let disk = killed();
    disk.change_people(|bytes| {
        while let Some(at) = bytes.windows(4).position(|window| window == b"JPEG") {
            bytes[at] ^= 1;
        }
    });
    let before = bytes(&disk);
    assert!(matches!(&checked(&disk, false).damage[..], [Damage::People { .. }]));
    assert!(bytes(&disk) == before && disk.aside().is_empty(), "nothing was asked for");

    let report = checked(&disk, true);
    assert!(matches!(&report.damage[..], [Damage::People { .. }]), "{report:?}");
    assert!(report.repairs.iter().any(|done| done.contains("aside/people.redb")), "{report:?}");
    assert!(disk.aside() == [("people.redb".to_owned(), before)]);
    assert!(loaded(&PeopleStore::open(&disk).expect("it opens")).is_empty());
    assert_eq!(checked(&disk, false).damage, []);
}

#[test]
fn what_check_calls_sound_opens_whatever_byte_was_damaged() {
    let (killed, closed) = (killed(), killed());
    drop(PeopleStore::open(&closed).expect("it opens"));
    for sound in [killed, closed] {
        let len = bytes(&sound).len();
        let (mut found, mut missed) = (0, 0);
        // An odd step, so that all kinds of places in pages have their turn.
        for at in (0..len).step_by((len / 150) | 1) {
            let disk = MemoryDisk::copy_of(&sound);
            disk.change_people(|bytes| bytes[at] ^= 0x55);
            if checked(&disk, false).damage.is_empty() {
                missed += 1;
            } else {
                found += 1;
                checked(&disk, true);
            }
            let opened = PeopleStore::open(&disk).and_then(|store| store.load(|_, _| {}));
            opened.unwrap_or_else(|error| panic!("byte {at}: {error}"));
        }
        assert!(found > 0 && missed > 0, "{found} found, {missed} in what nothing is in");
    }
}
