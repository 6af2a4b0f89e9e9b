//! People as the native API tells them: observations of faces, whom they are taken for, sightings.
//!
//! What a finding record shows as well is named as Rekognition names it ([`BoundingBox`], [`Match`]);
//! all else is camelCase. Times are seconds since the Unix epoch, similarities and confidences 0 to
//! 100.

use serde::{Deserialize, Serialize};

/// A rectangle as parts of the frame: 0 to 1 from its left and top edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are those of Rekognition")]
pub struct BoundingBox {
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
}

/// `POST /v1/collections/{collection}/observations`: a face that a detector saw. Once more with the
/// same track changes nothing, or replaces the sighting where it is a surer one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// What the recogniser says of the face.
    pub embedding: Vec<f32>,
    /// How sure the detector is.
    pub confidence: f32,
    /// Where the face is in its frame.
    pub bounding_box: BoundingBox,
    /// The video stream's name.
    pub stream: String,
    /// The fragment that the frame is in.
    pub fragment_number: String,
    /// The frame's time on the producer's clock.
    pub producer_timestamp: f64,
    /// When the server received the fragment.
    pub server_timestamp: f64,
    /// Names the track, unique in the collection.
    pub track_id: String,
    /// The face as a JPEG in base64.
    #[serde(default)]
    pub crop: Option<String>,
    /// The least similarity of matches and of a person; absent, 80.
    #[serde(default)]
    pub threshold: Option<f32>,
    /// The most matches that are told; absent, 5.
    #[serde(default)]
    pub max_matches: Option<usize>,
}

/// The answer to an [`Observation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Enrolled faces that are alike, most similar first.
    pub matches: Vec<Match>,
    /// Whom the face is taken for.
    pub person: PersonRef,
    /// What is kept of the observation.
    pub sighting_id: String,
}

/// An enrolled face that is like one that was looked for; in findings `MatchedFaces`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Match {
    /// How alike they are.
    pub similarity: f32,
    /// The enrolled one.
    pub face: MatchedFace,
}

/// A face of a collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are those of Rekognition")]
pub struct MatchedFace {
    pub bounding_box: BoundingBox,
    pub face_id: String,
    pub confidence: f32,
    pub image_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_image_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// A person in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonRef {
    /// Names the person, known or not.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// Whether it was named or enrolled.
    pub known: bool,
}

/// A person of a collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// Names the person, known or not.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// Whether it was named or enrolled.
    pub known: bool,
    /// Its name as a user of the collection in Rekognition's API.
    pub user_id: Option<String>,
    /// What its enrolled pictures were named.
    pub external_image_id: Option<String>,
    /// When it was first heard of.
    pub created: f64,
    /// Its enrolled faces.
    pub faces: usize,
    /// How often it was seen, as far as that is kept.
    pub sightings: usize,
    /// The newest of these.
    pub newest: Option<Sighting>,
}

/// `GET /v1/collections/{collection}/people`: a page of people, those who came first first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeoplePage {
    /// The people.
    pub people: Vec<Person>,
    /// The `after` of the next page.
    pub next: Option<String>,
}

/// One time that somebody was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    /// Names the sighting.
    pub id: String,
    /// Who was seen.
    pub person_id: String,
    /// The video stream's name.
    pub stream: String,
    /// The fragment that the frame is in.
    pub fragment_number: String,
    /// The frame's time on the producer's clock.
    pub producer_timestamp: f64,
    /// When the server received the fragment.
    pub server_timestamp: f64,
    /// The track that the face was seen in.
    pub track_id: String,
    /// Where the face is in its frame.
    pub bounding_box: BoundingBox,
    /// How sure the detector is.
    pub confidence: f32,
    /// Whether there is a picture of it.
    pub crop: bool,
}

/// `GET /v1/collections/{collection}/people/{person}/sightings`: a page, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SightingsPage {
    /// The sightings.
    pub sightings: Vec<Sighting>,
    /// The `after` of the next page.
    pub next: Option<String>,
}

/// `POST /v1/collections/{collection}/search`: where else was this face? One of the first three.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Search {
    /// A face that was seen.
    pub sighting_id: Option<String>,
    /// An enrolled face.
    pub face_id: Option<String>,
    /// A face that somebody else described, by the same recogniser.
    pub embedding: Option<Vec<f32>>,
    /// The most sightings that are told; absent, 100.
    pub limit: Option<usize>,
    /// The least similarity; absent, 80.
    pub threshold: Option<f32>,
}

/// The answer to a [`Search`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Sightings, most similar first.
    pub sightings: Vec<FoundSighting>,
}

/// A sighting that is like what was looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundSighting {
    /// How alike they are.
    pub similarity: f32,
    /// What was found.
    #[serde(flatten)]
    pub sighting: Sighting,
}

/// `GET /v1/collections`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collections {
    /// All collections, by name.
    pub collections: Vec<Collection>,
}

/// People who are told apart from each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// Its name.
    pub id: String,
    /// When it was created.
    pub created: f64,
    /// Which recogniser its faces are described by.
    pub face_model_version: String,
    /// Enrolled faces.
    pub faces: usize,
    /// People, known and unknown.
    pub people: usize,
    /// What is kept of observations.
    pub sightings: usize,
}

/// `PATCH /v1/collections/{collection}/people/{person}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rename {
    /// What to call the person; null takes its name away.
    pub name: Option<String>,
}

/// `POST …/people/{person}/merge`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Merge {
    /// Who the person in the path really is.
    pub into: String,
}

/// `POST …/people/{person}/split`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Split {
    /// Sightings of the person that are of somebody else.
    pub sightings: Vec<String>,
}

/// `POST …/people/{person}/not`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotThisPerson {
    /// A sighting that is not of the person.
    pub sighting: String,
}
