//! Users of a collection.

use super::collections::UnsuccessfulFace;
use super::faces::{FaceDetail, Image};
use super::rules::{
    COLLECTION_ID, FACE_ID, PAGINATION_TOKEN, PERCENT, QUALITY_FILTER, REQUEST_TOKEN, USER_ID,
};
use super::shapes;
use crate::wire::records::rule::{ANY, length, value};

shapes! {
    /// Names a user: `CreateUser`, `DeleteUser`.
    UserRef {
        collection_id: String = COLLECTION_ID.required(),
        user_id: String = USER_ID.required(),
        client_request_token: String = REQUEST_TOKEN,
    }

    /// `ListUsers`.
    ListUsersInput {
        collection_id: String = COLLECTION_ID.required(),
        max_results: i64 = value(1, 500),
        next_token: String = PAGINATION_TOKEN,
    }

    /// What `ListUsers` answers.
    ListUsersOutput {
        users: Vec<User>,
        next_token: String,
    }

    /// A user.
    User {
        user_id: String,
        user_status: String,
    }

    /// `AssociateFaces`.
    AssociateFacesInput {
        collection_id: String = COLLECTION_ID.required(),
        user_id: String = USER_ID.required(),
        face_ids: Vec<String> = length(1, 100).each(&FACE_ID).required(),
        user_match_threshold: f64 = PERCENT,
        client_request_token: String = REQUEST_TOKEN,
    }

    /// What `AssociateFaces` answers.
    AssociateFacesOutput {
        associated_faces: Vec<AssociatedFace>,
        unsuccessful_face_associations: Vec<UnsuccessfulFace>,
        user_status: String,
    }

    /// A face that became a user's, or is no longer.
    AssociatedFace {
        face_id: String,
    }

    /// `DisassociateFaces`.
    DisassociateFacesInput {
        collection_id: String = COLLECTION_ID.required(),
        user_id: String = USER_ID.required(),
        client_request_token: String = REQUEST_TOKEN,
        face_ids: Vec<String> = length(1, 100).each(&FACE_ID).required(),
    }

    /// What `DisassociateFaces` answers.
    DisassociateFacesOutput {
        disassociated_faces: Vec<AssociatedFace>,
        unsuccessful_face_disassociations: Vec<UnsuccessfulFace>,
        user_status: String,
    }

    /// `SearchUsers`.
    SearchUsersInput {
        collection_id: String = COLLECTION_ID.required(),
        user_id: String = USER_ID,
        face_id: String = FACE_ID,
        user_match_threshold: f64 = PERCENT,
        max_users: i64 = value(1, 500),
    }

    /// What `SearchUsers` answers.
    SearchUsersOutput {
        user_matches: Vec<UserMatch>,
        face_model_version: String,
        searched_face: AssociatedFace,
        searched_user: SearchedUser,
    }

    /// The user that others were compared with.
    SearchedUser {
        user_id: String,
    }

    /// A user who is like what was looked for.
    UserMatch {
        similarity: f64,
        user: User,
    }

    /// `SearchUsersByImage`.
    SearchUsersByImageInput {
        collection_id: String = COLLECTION_ID.required(),
        image: Image = ANY.required(),
        user_match_threshold: f64 = PERCENT,
        max_users: i64 = value(1, 500),
        quality_filter: String = QUALITY_FILTER,
    }

    /// What `SearchUsersByImage` answers.
    SearchUsersByImageOutput {
        user_matches: Vec<UserMatch>,
        face_model_version: String,
        searched_face: SearchedFace,
        unsearched_faces: Vec<UnsearchedFace>,
    }

    /// The face that was looked for.
    SearchedFace {
        face_detail: FaceDetail,
    }

    /// A face that was not looked for, and why.
    UnsearchedFace {
        face_details: FaceDetail,
        reasons: Vec<String>,
    }
}
