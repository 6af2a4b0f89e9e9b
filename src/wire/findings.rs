//! What a stream processor writes about each frame that it looked at: the record that Rekognition
//! documents for face search in streaming video, and beside it, in members called `Kinora`, what it
//! has no place for: tracks, persons, and events, which say what happened rather than what is seen.
//!
//! Times are seconds since the epoch. Boxes and places are parts of the frame, from its top left.

#![allow(missing_docs, reason = "members are named and described by the AWS API")]

use serde::{Deserialize, Serialize};

pub use super::people::{BoundingBox, Match};

/// The version of the members called `Kinora`.
pub const VERSION: u32 = 1;

/// The record of one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FindingRecord {
    pub input_information: InputInformation,
    pub stream_processor_information: StreamProcessorInformation,
    /// Empty when no face is in the frame.
    pub face_search_response: Vec<FoundFace>,
    pub kinora: FrameDetails,
}

/// Where the frame comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InputInformation {
    pub kinesis_video: KinesisVideo,
}

/// A frame of a video stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KinesisVideo {
    pub stream_arn: String,
    pub fragment_number: String,
    /// When the server received the fragment.
    pub server_timestamp: f64,
    /// When the fragment begins on the producer's clock.
    pub producer_timestamp: f64,
    /// How far into the fragment the frame is.
    pub frame_offset_in_seconds: f64,
}

/// What the processor does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamProcessorInformation {
    /// `RUNNING`: others write nothing.
    pub status: String,
}

/// A face in the frame, and whom it looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FoundFace {
    pub detected_face: DetectedFace,
    /// Faces of the collection, most similar first; those of the track's best picture so far.
    pub matched_faces: Vec<Match>,
    pub kinora: FaceDetails,
}

/// A face as it is in the frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetectedFace {
    pub bounding_box: BoundingBox,
    /// 0 to 100.
    pub confidence: f32,
    pub landmarks: Vec<Landmark>,
    pub pose: Pose,
    pub quality: Quality,
}

/// Where something of a face is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Landmark {
    pub x: f32,
    pub y: f32,
    /// `eyeLeft`, `eyeRight`, `nose`, `mouthLeft` or `mouthRight`, as seen in the picture.
    #[serde(rename = "Type")]
    pub kind: String,
}

/// Where a face looks to, in degrees, as estimated from its landmarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pose {
    pub pitch: f32,
    pub roll: f32,
    pub yaw: f32,
}

/// How well a face is to be seen, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Quality {
    pub brightness: f32,
    pub sharpness: f32,
}

/// What else is known of a face in a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FaceDetails {
    /// Made of stream, fragment, frame and box: the same however often the frame is looked at.
    pub result_id: String,
    /// The [`result_id`](Self::result_id) of the track's first face.
    pub track_id: String,
    /// Absent while it is not known, and always for faces too small to tell.
    pub person_id: Option<String>,
    pub person_name: Option<String>,
    /// The person has a name or was enrolled.
    pub known: bool,
    pub sighting_id: Option<String>,
}

/// What else is known of a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FrameDetails {
    pub version: u32,
    /// The stream processor's name.
    pub processor: String,
    pub collection: Option<String>,
    /// The video stream's name.
    pub stream: String,
    /// Made of stream, fragment and frame: a consumer that knows it may drop the record.
    pub result_id: String,
    /// When the frame was, on the producer's clock.
    pub frame_timestamp: f64,
    pub events: Vec<TrackEvent>,
}

/// What happened: a person came into view or was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackEventType {
    /// Once for each track, when it is known whether the face is known.
    Appeared,
    /// Once for each track that appeared, at its end.
    Left,
}

/// An event of one track: one person who passes once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrackEvent {
    #[serde(rename = "Type")]
    pub kind: TrackEventType,
    pub track_id: String,
    /// The face that the event tells of: the best one so far.
    pub result_id: String,
    /// The video stream's name.
    pub stream: String,
    /// When it happened, on the producer's clock.
    pub time: f64,
    /// The track's first frame.
    pub first: f64,
    /// The track's last frame so far.
    pub last: f64,
    /// Frames in which the face was seen.
    pub frames: u64,
    pub person_id: Option<String>,
    pub person_name: Option<String>,
    /// The person has a name or was enrolled.
    pub known: bool,
    /// To the most similar face of the collection, 0 to 100.
    pub similarity: Option<f32>,
    pub sighting_id: Option<String>,
    /// The most similar face of the collection.
    pub face_id: Option<String>,
    /// Of the face that the event tells of.
    pub bounding_box: BoundingBox,
    /// 0 to 100.
    pub confidence: f32,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> serde_json::Value {
        let bounds = json!({ "Height": 0.5, "Width": 0.25, "Left": 0.125, "Top": 0.0 });
        json!({
            "InputInformation": { "KinesisVideo": {
                "StreamArn": "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1",
                "FragmentNumber": "91343852333289682796718532614445757584843717598",
                "ServerTimestamp": 1_510_552_593.455,
                "ProducerTimestamp": 1_510_552_593.193,
                "FrameOffsetInSeconds": 2.0,
            }},
            "StreamProcessorInformation": { "Status": "RUNNING" },
            "FaceSearchResponse": [{
                "DetectedFace": {
                    "BoundingBox": bounds,
                    "Confidence": 99.5,
                    "Landmarks": [{ "X": 0.25, "Y": 0.5, "Type": "eyeLeft" }],
                    "Pose": { "Pitch": 1.0, "Roll": -2.0, "Yaw": 3.0 },
                    "Quality": { "Brightness": 50.0, "Sharpness": 60.0 },
                },
                "MatchedFaces": [{ "Similarity": 88.5, "Face": {
                    "BoundingBox": bounds, "FaceId": "f", "Confidence": 99.0, "ImageId": "i",
                    "ExternalImageId": "matt",
                }}],
                "Kinora": {
                    "ResultId": "r", "TrackId": "t", "PersonId": "p", "PersonName": null,
                    "Known": true, "SightingId": "s",
                },
            }],
            "Kinora": {
                "Version": 1, "Processor": "door", "Collection": "staff", "Stream": "door",
                "ResultId": "r", "FrameTimestamp": 1_510_552_595.193,
                "Events": [{
                    "Type": "appeared", "TrackId": "t", "ResultId": "r", "Stream": "door",
                    "Time": 1.0, "First": 1.0, "Last": 1.0, "Frames": 1, "PersonId": null,
                    "PersonName": null, "Known": false, "Similarity": null, "SightingId": null,
                    "FaceId": null, "BoundingBox": bounds, "Confidence": 99.5,
                }],
            },
        })
    }

    #[test]
    fn a_record_is_written_as_rekognition_documents_it() {
        let read: FindingRecord = serde_json::from_value(record()).expect("it is a record");
        assert_eq!(read.kinora.events[0].kind, TrackEventType::Appeared);
        assert_eq!(serde_json::to_value(&read).expect("it is plain"), record());
    }
}
