//! People of the domain as the native API tells them.

use crate::people::{
    CollectionSummary, FoundSighting, Match, Observed, PersonSummary, RelativeBox, Sighting,
};
use crate::wire::people as wire;

pub fn collection(collection: &CollectionSummary) -> wire::Collection {
    wire::Collection {
        id: collection.info.id.to_string(),
        created: collection.info.created.as_secs_f64(),
        face_model_version: collection.info.face_model_version.clone(),
        faces: collection.faces,
        people: collection.people,
        sightings: collection.sightings,
    }
}

pub fn observed(observed: &Observed) -> wire::Observed {
    let person = &observed.person;
    wire::Observed {
        matches: observed.matches.iter().map(matched).collect(),
        person: wire::PersonRef {
            id: person.id.to_string(),
            name: person.name.clone(),
            known: person.known,
        },
        sighting_id: observed.sighting.to_string(),
    }
}

fn matched(found: &Match) -> wire::Match {
    let info = &found.face.info;
    wire::Match {
        similarity: found.similarity,
        face: wire::MatchedFace {
            bounding_box: to_box(info.bounds),
            face_id: info.id.to_string(),
            confidence: info.confidence,
            image_id: info.image.to_string(),
            external_image_id: info.external.clone(),
            user_id: found.face.user.clone(),
        },
    }
}

pub fn person(person: &PersonSummary, newest: &Option<Sighting>) -> wire::Person {
    wire::Person {
        id: person.id.to_string(),
        name: person.name.clone(),
        known: person.known,
        user_id: person.user.clone(),
        external_image_id: person.external.clone(),
        created: person.created.as_secs_f64(),
        faces: person.faces,
        sightings: person.sightings,
        newest: newest.as_ref().map(sighting),
    }
}

pub fn sighting(sighting: &Sighting) -> wire::Sighting {
    let info = &sighting.info;
    wire::Sighting {
        id: info.id.to_string(),
        person_id: sighting.person.to_string(),
        stream: info.stream.clone(),
        fragment_number: info.fragment.clone(),
        producer_timestamp: info.producer.as_secs_f64(),
        server_timestamp: info.server.as_secs_f64(),
        track_id: info.track.clone(),
        bounding_box: to_box(info.bounds),
        confidence: info.confidence,
        crop: info.crop,
    }
}

pub fn found(found: &FoundSighting) -> wire::FoundSighting {
    wire::FoundSighting { similarity: found.similarity, sighting: sighting(&found.sighting) }
}

pub fn from_box(bounds: wire::BoundingBox) -> RelativeBox {
    let wire::BoundingBox { left, top, width, height } = bounds;
    RelativeBox { left, top, width, height }
}

fn to_box(bounds: RelativeBox) -> wire::BoundingBox {
    let RelativeBox { left, top, width, height } = bounds;
    wire::BoundingBox { left, top, width, height }
}
