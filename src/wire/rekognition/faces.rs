//! Pictures, and the faces in them.

use super::rules::{PERCENT, QUALITY_FILTER};
use super::shapes;
use crate::wire::records::Blob;
use crate::wire::records::rule::{ANY, Rule, length, one_of};

shapes! {
    /// A picture: its bytes as JPEG or PNG. Their number has a bound of its own.
    Image {
        bytes: Blob = length(1, u64::MAX),
        s3_object as "S3Object": S3Object,
    }

    /// A picture in a bucket, of which there are none.
    S3Object {
        bucket: String,
        name: String,
        version: String,
    }

    /// A rectangle in parts of the picture.
    BoundingBox {
        width: f64,
        height: f64,
        left: f64,
        top: f64,
    }

    /// `DetectFaces`.
    DetectFacesInput {
        image: Image = ANY.required(),
        attributes: Vec<String> = ANY.each(&ATTRIBUTE),
    }

    /// What `DetectFaces` answers.
    DetectFacesOutput {
        face_details: Vec<FaceDetail>,
    }

    /// What is known of a face.
    FaceDetail {
        bounding_box: BoundingBox,
        landmarks: Vec<Landmark>,
        pose: Pose,
        quality: ImageQuality,
        confidence: f64,
    }

    /// A place in a face, in parts of the picture.
    Landmark {
        kind as "Type": String,
        x: f64,
        y: f64,
    }

    /// How a head is turned, in degrees.
    Pose {
        roll: f64,
        yaw: f64,
        pitch: f64,
    }

    /// How well a face can be seen, 0 to 100.
    ImageQuality {
        brightness: f64,
        sharpness: f64,
    }

    /// `CompareFaces`.
    CompareFacesInput {
        source_image: Image = ANY.required(),
        target_image: Image = ANY.required(),
        similarity_threshold: f64 = PERCENT,
        quality_filter: String = QUALITY_FILTER,
    }

    /// What `CompareFaces` answers.
    CompareFacesOutput {
        source_image_face: ComparedSourceImageFace,
        face_matches: Vec<CompareFacesMatch>,
        unmatched_faces: Vec<FaceDetail>,
    }

    /// The face that others are compared with.
    ComparedSourceImageFace {
        bounding_box: BoundingBox,
        confidence: f64,
    }

    /// A face that is like it.
    CompareFacesMatch {
        similarity: f64,
        face: FaceDetail,
    }
}

/// What can be asked for of a face. All that is known is told in any case.
pub const ATTRIBUTE: Rule = one_of(&[
    "DEFAULT",
    "ALL",
    "AGE_RANGE",
    "BEARD",
    "EMOTIONS",
    "EYE_DIRECTION",
    "EYEGLASSES",
    "EYES_OPEN",
    "GENDER",
    "MOUTH_OPEN",
    "MUSTACHE",
    "FACE_OCCLUDED",
    "SMILE",
    "SUNGLASSES",
]);
