//! Collections, and the faces that are enrolled in them.

use super::faces::{ATTRIBUTE, BoundingBox, FaceDetail, Image};
use super::rules::{
    COLLECTION_ID, EXTERNAL_IMAGE_ID, FACE_ID, PAGINATION_TOKEN, PERCENT, QUALITY_FILTER, TAGS,
    USER_ID,
};
use super::shapes;
use crate::wire::records::rule::{ANY, at_least, length, value};
use crate::wire::records::{TagMap, Timestamp};

shapes! {
    /// `CreateCollection`.
    CreateCollectionInput {
        collection_id: String = COLLECTION_ID.required(),
        tags: TagMap = TAGS,
    }

    /// What `CreateCollection` answers.
    CreateCollectionOutput {
        status_code: i64,
        collection_arn: String,
        face_model_version: String,
    }

    /// Names a collection: `DescribeCollection`, `DeleteCollection`.
    CollectionRef {
        collection_id: String = COLLECTION_ID.required(),
    }

    /// What `DescribeCollection` answers.
    DescribeCollectionOutput {
        face_count: i64,
        face_model_version: String,
        collection_arn as "CollectionARN": String,
        creation_timestamp: Timestamp,
        user_count: i64,
    }

    /// What `DeleteCollection` answers.
    DeleteCollectionOutput {
        status_code: i64,
    }

    /// `ListCollections`.
    ListCollectionsInput {
        next_token: String = PAGINATION_TOKEN,
        max_results: i64 = value(0, 4096),
    }

    /// What `ListCollections` answers.
    ListCollectionsOutput {
        collection_ids: Vec<String>,
        next_token: String,
        face_model_versions: Vec<String>,
    }

    /// `IndexFaces`.
    IndexFacesInput {
        collection_id: String = COLLECTION_ID.required(),
        image: Image = ANY.required(),
        external_image_id: String = EXTERNAL_IMAGE_ID,
        detection_attributes: Vec<String> = ANY.each(&ATTRIBUTE),
        max_faces: i64 = at_least(1),
        quality_filter: String = QUALITY_FILTER,
    }

    /// What `IndexFaces` answers.
    IndexFacesOutput {
        face_records: Vec<FaceRecord>,
        face_model_version: String,
        unindexed_faces: Vec<UnindexedFace>,
    }

    /// A face that was enrolled.
    FaceRecord {
        face: Face,
        face_detail: FaceDetail,
    }

    /// A face that was not enrolled, and why.
    UnindexedFace {
        reasons: Vec<String>,
        face_detail: FaceDetail,
    }

    /// An enrolled face.
    Face {
        face_id: String,
        bounding_box: BoundingBox,
        image_id: String,
        external_image_id: String,
        confidence: f64,
        index_faces_model_version: String,
        user_id: String,
    }

    /// `ListFaces`.
    ListFacesInput {
        collection_id: String = COLLECTION_ID.required(),
        next_token: String = PAGINATION_TOKEN,
        max_results: i64 = value(0, 4096),
        user_id: String = USER_ID,
        face_ids: Vec<String> = length(1, 4096).each(&FACE_ID),
    }

    /// What `ListFaces` answers.
    ListFacesOutput {
        faces: Vec<Face>,
        next_token: String,
        face_model_version: String,
    }

    /// `DeleteFaces`.
    DeleteFacesInput {
        collection_id: String = COLLECTION_ID.required(),
        face_ids: Vec<String> = length(1, 4096).each(&FACE_ID).required(),
    }

    /// What `DeleteFaces` answers.
    DeleteFacesOutput {
        deleted_faces: Vec<String>,
        unsuccessful_face_deletions: Vec<UnsuccessfulFace>,
    }

    /// A face with which something was not done, and why.
    UnsuccessfulFace {
        face_id: String,
        user_id: String,
        confidence: f64,
        reasons: Vec<String>,
    }

    /// `SearchFaces`.
    SearchFacesInput {
        collection_id: String = COLLECTION_ID.required(),
        face_id: String = FACE_ID.required(),
        max_faces: i64 = value(1, 4096),
        face_match_threshold: f64 = PERCENT,
    }

    /// What `SearchFaces` answers.
    SearchFacesOutput {
        searched_face_id: String,
        face_matches: Vec<FaceMatch>,
        face_model_version: String,
    }

    /// An enrolled face that is like the one that was looked for.
    FaceMatch {
        similarity: f64,
        face: Face,
    }

    /// `SearchFacesByImage`.
    SearchFacesByImageInput {
        collection_id: String = COLLECTION_ID.required(),
        image: Image = ANY.required(),
        max_faces: i64 = value(1, 4096),
        face_match_threshold: f64 = PERCENT,
        quality_filter: String = QUALITY_FILTER,
    }

    /// What `SearchFacesByImage` answers.
    SearchFacesByImageOutput {
        searched_face_bounding_box: BoundingBox,
        searched_face_confidence: f64,
        face_matches: Vec<FaceMatch>,
        face_model_version: String,
    }
}
