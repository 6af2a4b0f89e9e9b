//! Who a face is. Known people are told by their enrolled faces, unknown ones by a few of their
//! sightings: what nobody confirmed never widens what counts as a known person.

use std::collections::HashMap;

use super::memory::Memory;
use super::vectors::distance;
use crate::types::PersonId;

/// How much nearer a known person must be than anybody else, as a distance: who is nearly as like
/// somebody else is not called by a name.
pub const MARGIN: f32 = 0.05;
/// The sightings by which an unknown person is told.
pub const MAX_REFERENCES: usize = 10;

/// The person that a face within a distance is taken for; none when it is somebody new. Those that
/// are `excluded` it is not.
///
/// A known person must be nearer than other known ones by [`MARGIN`]. An unknown one keeps a face from
/// a known one only where that is hardly within the distance, and if it is nearer by the margin:
/// somebody whom one bad look made a stranger would be one for ever. Otherwise it is the nearest
/// unknown one: with a margin between these, one stranger would become more and more of them.
pub fn identify(
    memory: &Memory,
    look: &[f32],
    within: f32,
    excluded: impl Fn(PersonId) -> bool,
) -> Option<PersonId> {
    let people = distances(memory, look, within + MARGIN, excluded);
    let nearest = |known: bool| {
        let of_kind = people.iter().filter(|near| near.known == known && near.distance <= within);
        of_kind.min_by(|a, b| a.distance.total_cmp(&b.distance))
    };
    let clear = nearest(true).filter(|best| {
        people.iter().filter(|other| other.person != best.person).all(|other| match other.known {
            true => {
                other.distance >= best.distance + MARGIN
                    || alike(memory, best.person, other.person, within)
            }
            false => best.distance <= within - MARGIN || other.distance + MARGIN >= best.distance,
        })
    });
    clear.or_else(|| nearest(false)).map(|near| near.person)
}

struct NearPerson {
    person: PersonId,
    distance: f32,
    known: bool,
}

/// Each person's distance, of those within one.
fn distances(
    memory: &Memory,
    look: &[f32],
    within: f32,
    excluded: impl Fn(PersonId) -> bool,
) -> Vec<NearPerson> {
    let mut best: HashMap<PersonId, f32> = HashMap::new();
    for looks in [&memory.face_looks, &memory.reference_looks] {
        looks.within(look, within, |near| {
            let best = best.entry(near.owner.person).or_insert(f32::INFINITY);
            *best = best.min(near.distance);
        });
    }
    let people = best.into_iter().filter(|(person, _)| !excluded(*person));
    let near = people.filter_map(|(person, distance)| {
        let known = memory.persons.get(&person)?.is_known();
        Some(NearPerson { person, distance, known })
    });
    near.collect()
}

/// Whether two people have faces within a distance: then they may be one who was enrolled twice, and
/// neither speaks against the other.
fn alike(memory: &Memory, a: PersonId, b: PersonId, within: f32) -> bool {
    /// Of each person; more say little more.
    const COMPARED: usize = 16;
    let looks = |person: PersonId| {
        let faces = memory.persons.get(&person).map(|person| &person.faces);
        let faces = faces.into_iter().flatten().take(COMPARED);
        faces.filter_map(|face| memory.face_looks.look(face.as_u128()))
    };
    looks(a).any(|a| looks(b).any(|b| distance(a, b) <= within))
}
