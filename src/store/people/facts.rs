//! The facts of collections, people, faces and sightings, as they are remembered. What each means
//! and which changes are allowed is `people`'s part.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::{
    CollectionId, FaceId, ImageId, PersonId, ProducerTimestamp, ServerTimestamp, SightingId,
};

/// A collection's facts at one moment. Fields of all facts here may be added, with `serde(default)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionInfo {
    /// Its name.
    #[serde(with = "crate::store::catalog::as_json::as_text")]
    pub id: CollectionId,
    /// When it was created.
    #[serde(with = "crate::store::catalog::as_json::as_millis")]
    pub created: ServerTimestamp,
    /// Which recogniser describes its faces.
    pub face_model_version: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A person's facts. Known to be one by its enrolled faces, by its sightings, or by its name alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonInfo {
    /// Names the person.
    pub id: PersonId,
    /// What people call it.
    pub name: Option<String>,
    /// Its name as a user of the collection.
    pub user: Option<String>,
    /// Sightings that are not of this person, whatever they look like.
    pub not: Vec<SightingId>,
}

/// A rectangle as parts of a picture: 0 to 1 from its left and top edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "a rectangle")]
pub struct RelativeBox {
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
}

/// An enrolled face.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceInfo {
    /// Names the face.
    pub id: FaceId,
    /// Whose it is.
    pub person: PersonId,
    /// The picture that it was enrolled from.
    pub image: ImageId,
    /// What whoever enrolled it called the picture.
    pub external: Option<String>,
    /// Where in the picture it is.
    pub bounds: RelativeBox,
    /// How sure the detector was, 0 to 100.
    pub confidence: f32,
    /// The sighting that it was made from, when somebody said who was seen.
    pub sighting: Option<SightingId>,
}

/// A sighting: the best look at somebody during one track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SightingInfo {
    /// Names the sighting; tells when it was first heard of.
    pub id: SightingId,
    /// The video stream's name.
    pub stream: String,
    /// The fragment that the frame is in.
    pub fragment: String,
    /// The frame's time.
    #[serde(with = "as_producer_millis")]
    pub producer: ProducerTimestamp,
    /// When the fragment came.
    #[serde(with = "crate::store::catalog::as_json::as_millis")]
    pub server: ServerTimestamp,
    /// The track; one sighting each.
    pub track: String,
    /// Where in the frame the face is.
    pub bounds: RelativeBox,
    /// How sure the detector was, 0 to 100.
    pub confidence: f32,
    /// Whether there is a crop.
    pub crop: bool,
}

/// Whom a sighting is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenAs {
    /// The person.
    pub person: PersonId,
    /// Whether others are compared with it to tell whether they are the same person.
    pub reference: bool,
}

/// One step of a change: what is to be remembered, or no longer. What it names need not be there.
#[derive(Clone, Debug)]
pub enum Change {
    /// A collection's facts.
    Collection(CollectionInfo),
    /// The collection and all that is in it goes.
    NoCollection,
    /// A person's facts.
    Person(PersonInfo),
    /// The person's facts go; its faces and sightings are changes of their own.
    NoPerson(PersonId),
    /// A face, and what it looks like if that is new.
    Face(FaceInfo, Option<Box<[f32]>>),
    /// The face goes.
    NoFace(FaceId),
    /// A sighting's facts; whom it is of comes with them.
    Sighting(SightingInfo),
    /// Whom a sighting is of, and what it looks like.
    Seen(SightingId, SeenAs, Box<[f32]>),
    /// A sighting is of somebody else, or no longer or newly a reference.
    Move(SightingId, SeenAs),
    /// The sighting goes, and its crop with it.
    NoSighting(SightingId),
    /// The picture of a sighting, a JPEG.
    Crop(SightingId, Vec<u8>),
}

/// Milliseconds since the Unix epoch.
mod as_producer_millis {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::types::ProducerTimestamp;

    pub fn serialize<S: Serializer>(at: &ProducerTimestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.as_millis())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ProducerTimestamp, D::Error> {
        i64::deserialize(from).map(ProducerTimestamp::from_millis)
    }
}
