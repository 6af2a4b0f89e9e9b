//! What is written about a frame.

use sha2::{Digest, Sha256};

use crate::types::ProducerTimestamp;
use crate::vision::faces::{BoundingBox, Face, LANDMARK_NAMES};
use crate::vision::quality;
use crate::wire::findings::{
    BoundingBox as WireBox, DetectedFace, FaceDetails, FindingRecord, FoundFace, FrameDetails,
    InputInformation, KinesisVideo, Landmark, Pose, Quality, StreamProcessorInformation,
    TrackEvent, TrackEventType, VERSION,
};

use super::frame::FramePlace;
use super::track::Track;

/// Bytes of a hash that make an id: two of a stream's billions of faces will not share one.
const ID_BYTES: usize = 16;

/// Who writes, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The stream processor's name.
    pub processor: String,
    /// The video stream's name.
    pub stream: String,
    /// Its ARN.
    pub stream_arn: String,
    /// The collection of people, if there is one.
    pub collection: Option<String>,
}

/// A face as it was found, with what was measured of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// Its place in pixels.
    pub face: Face,
    /// Its place in parts of the frame.
    pub bounds: BoundingBox,
    /// Its `ResultId`.
    pub result_id: String,
    /// Where it looks to.
    pub pose: quality::Pose,
    /// How well it is to be seen.
    pub quality: quality::Quality,
}

/// Names a frame; the same however often it is looked at.
pub fn frame_id(stream: &str, place: &FramePlace) -> String {
    id(stream, place, "")
}

/// Names a face in a frame by its box in whole pixels.
pub fn face_id(stream: &str, place: &FramePlace, bounds: &BoundingBox) -> String {
    let edges = [bounds.left, bounds.top, bounds.right, bounds.bottom];
    let edges = edges.map(|edge| (edge.round() as i64).to_string());
    id(stream, place, &edges.join(","))
}

fn id(stream: &str, place: &FramePlace, bounds: &str) -> String {
    let FramePlace { fragment, index, .. } = place;
    let digest = Sha256::digest(format!("{stream}\n{fragment}\n{index}\n{bounds}"));
    hex::encode(&digest[..ID_BYTES])
}

/// The record of a frame: its faces with their tracks, and what happened.
pub fn record(
    origin: &Origin,
    place: &FramePlace,
    frame_size: (usize, usize),
    faces: &[(Sight, Option<&Track>)],
    events: Vec<TrackEvent>,
) -> FindingRecord {
    let found = faces.iter().map(|(sight, track)| found_face(sight, *track, frame_size));
    FindingRecord {
        input_information: InputInformation {
            kinesis_video: KinesisVideo {
                stream_arn: origin.stream_arn.clone(),
                fragment_number: place.fragment.to_string(),
                server_timestamp: place.server.as_secs_f64(),
                producer_timestamp: place.producer.as_secs_f64(),
                frame_offset_in_seconds: place.offset().0 as f64 / 1000.0,
            },
        },
        stream_processor_information: StreamProcessorInformation { status: "RUNNING".to_owned() },
        face_search_response: found.collect(),
        kinora: FrameDetails {
            version: VERSION,
            processor: origin.processor.clone(),
            collection: origin.collection.clone(),
            stream: origin.stream.clone(),
            result_id: frame_id(&origin.stream, place),
            frame_timestamp: place.time.as_secs_f64(),
            events,
        },
    }
}

/// The record of tracks that ended without another frame, after the last one.
pub fn closing_record(
    origin: &Origin,
    place: &FramePlace,
    events: Vec<TrackEvent>,
) -> FindingRecord {
    let mut record = record(origin, place, (1, 1), &[], events);
    record.kinora.result_id = id(&origin.stream, place, "end");
    record
}

/// The event of a track.
pub fn event(origin: &Origin, track: &Track, kind: TrackEventType) -> TrackEvent {
    let answer = track.recognition.answer.as_ref();
    let best = answer.and_then(|answer| answer.matches.first());
    let time = match kind {
        TrackEventType::Appeared => track.first,
        TrackEventType::Left => track.latest.at,
    };
    let seconds = ProducerTimestamp::as_secs_f64;
    TrackEvent {
        kind,
        track_id: track.id.clone(),
        result_id: track.best.result_id.clone(),
        stream: origin.stream.clone(),
        time: seconds(time),
        first: seconds(track.first),
        last: seconds(track.latest.at),
        frames: track.frames,
        person_id: answer.map(|answer| answer.person.id.clone()),
        person_name: answer.and_then(|answer| answer.person.name.clone()),
        known: answer.is_some_and(|answer| answer.person.known),
        similarity: best.map(|best| best.similarity),
        sighting_id: answer.map(|answer| answer.sighting_id.clone()),
        face_id: best.map(|best| best.face.face_id.clone()),
        bounding_box: wire_box(&track.best.bounds),
        confidence: percent(track.best.confidence),
    }
}

/// A box as parts of the frame.
pub fn relative(bounds: &BoundingBox, (width, height): (usize, usize)) -> BoundingBox {
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    BoundingBox {
        left: bounds.left / width,
        right: bounds.right / width,
        top: bounds.top / height,
        bottom: bounds.bottom / height,
    }
}

/// A box of parts of the frame, as APIs write it.
pub fn wire_box(bounds: &BoundingBox) -> WireBox {
    WireBox { left: bounds.left, top: bounds.top, width: bounds.width(), height: bounds.height() }
}

/// A confidence as APIs write it.
pub fn percent(part: f32) -> f32 {
    (100.0 * part).clamp(0.0, 100.0)
}

fn found_face(sight: &Sight, track: Option<&Track>, (width, height): (usize, usize)) -> FoundFace {
    let places = sight.face.landmarks.iter().flatten().zip(LANDMARK_NAMES);
    let landmarks = places.map(|(place, name)| Landmark {
        x: place.x / width.max(1) as f32,
        y: place.y / height.max(1) as f32,
        kind: name.to_owned(),
    });
    let answer = track.and_then(|track| track.recognition.answer.as_ref());
    FoundFace {
        detected_face: DetectedFace {
            bounding_box: wire_box(&sight.bounds),
            confidence: percent(sight.face.confidence),
            landmarks: landmarks.collect(),
            pose: Pose { pitch: sight.pose.pitch, roll: sight.pose.roll, yaw: sight.pose.yaw },
            quality: Quality {
                brightness: sight.quality.brightness,
                sharpness: sight.quality.sharpness,
            },
        },
        matched_faces: answer.map(|answer| answer.matches.clone()).unwrap_or_default(),
        kinora: FaceDetails {
            result_id: sight.result_id.clone(),
            track_id: track.map_or_else(|| sight.result_id.clone(), |track| track.id.clone()),
            person_id: answer.map(|answer| answer.person.id.clone()),
            person_name: answer.and_then(|answer| answer.person.name.clone()),
            known: answer.is_some_and(|answer| answer.person.known),
            sighting_id: answer.map(|answer| answer.sighting_id.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FragmentNumber, ServerTimestamp};

    fn place(index: u32) -> FramePlace {
        FramePlace {
            fragment: FragmentNumber::new(3, ServerTimestamp::from_millis(9_000), 1),
            server: ServerTimestamp::from_millis(9_000),
            producer: ProducerTimestamp::from_millis(5_000),
            index,
            time: ProducerTimestamp::from_millis(5_400),
        }
    }

    #[test]
    fn ids_say_nothing_but_stream_fragment_frame_and_box() {
        let bounds = BoundingBox { left: 1.0, top: 2.0, right: 30.2, bottom: 40.0 };
        let again = BoundingBox { right: 30.4, ..bounds };
        let other = BoundingBox { right: 31.0, ..bounds };
        let face = |bounds| face_id("door", &place(1), bounds);
        assert_eq!(face(&bounds), face(&again));
        assert_ne!(face(&bounds), face(&other));
        assert_ne!(frame_id("door", &place(1)), frame_id("door", &place(2)));
        assert_ne!(frame_id("door", &place(1)), frame_id("gate", &place(1)));
        assert_eq!(frame_id("door", &place(1)).len(), 32);
    }

    #[test]
    fn a_record_has_the_frames_place_and_parts_of_the_frame() {
        let origin = Origin {
            processor: "p".to_owned(),
            stream: "door".to_owned(),
            stream_arn: "arn".to_owned(),
            collection: None,
        };
        let bounds = BoundingBox { left: 64.0, top: 36.0, right: 128.0, bottom: 72.0 };
        let sight = Sight {
            face: Face { bounds, confidence: 0.5, landmarks: None },
            bounds: relative(&bounds, (640, 360)),
            result_id: "r".to_owned(),
            pose: quality::Pose::default(),
            quality: quality::Quality::default(),
        };
        let record = record(&origin, &place(0), (640, 360), &[(sight, None)], Vec::new());
        let from = &record.input_information.kinesis_video;
        assert!((from.frame_offset_in_seconds - 0.4).abs() < 1e-9);
        assert!((record.kinora.frame_timestamp - 5.4).abs() < 1e-9);
        let found = &record.face_search_response[0];
        assert!((found.detected_face.bounding_box.left - 0.1).abs() < 1e-6);
        assert!((found.detected_face.bounding_box.height - 0.1).abs() < 1e-6);
        assert_eq!((found.detected_face.confidence, &found.kinora.track_id[..]), (50.0, "r"));
        assert!(found.matched_faces.is_empty() && found.kinora.person_id.is_none());
    }
}
