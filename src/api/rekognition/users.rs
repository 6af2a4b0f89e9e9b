//! `CreateUser`, `DeleteUser`, `ListUsers`, `AssociateFaces`, `DisassociateFaces`, `SearchUsers`,
//! `SearchUsersByImage`

use super::Call;
use super::collections::{collection_id, limit, page};
use super::detect::no_face;
use super::error::Failure;
use super::faces::{face_id, face_ids, largest, threshold, unsuccessful};
use super::quality::Filter;
use crate::people::{Associated, FACE_MODEL_VERSION, NotAssociated, UserMatch as Found};
use crate::types::FaceId;
use crate::wire::records::Empty;
use crate::wire::rekognition::collections::UnsuccessfulFace;
use crate::wire::rekognition::users::{
    AssociateFacesInput, AssociateFacesOutput, AssociatedFace, DisassociateFacesInput,
    DisassociateFacesOutput, ListUsersInput, ListUsersOutput, SearchUsersByImageInput,
    SearchUsersByImageOutput, SearchUsersInput, SearchUsersOutput, SearchedFace, SearchedUser,
    UnsearchedFace, User, UserMatch, UserRef,
};

/// Users of a page where none is asked for, and the most in one.
const PAGE: usize = 500;
/// The least similarity of a face to those of its user, where none is asked for, as on AWS: 75.
const ASSOCIATE_THRESHOLD: f32 = 75.0;

/// `CreateUser`: once more is refused.
pub(super) async fn create(call: Call, input: UserRef) -> Result<Empty, Failure> {
    let id = collection_id(input.collection_id)?;
    let user = input.user_id.unwrap_or_default();
    call.change(move |app| {
        app.people.create_user(&id, &user)?;
        Ok(Empty::default())
    })
    .await
}

/// `DeleteUser`
pub(super) async fn delete(call: Call, input: UserRef) -> Result<Empty, Failure> {
    let id = collection_id(input.collection_id)?;
    let user = input.user_id.unwrap_or_default();
    call.change(move |app| {
        app.people.delete_user(&id, &user)?;
        Ok(Empty::default())
    })
    .await
}

/// `ListUsers`: by id. A token is the id that the page before ended with.
pub(super) async fn list(call: Call, input: ListUsersInput) -> Result<ListUsersOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    let most = limit(input.max_results, PAGE) + 1;
    let found = call.app.people.users(&id, input.next_token.as_deref(), most)?;
    let (users, next_token) = page(found, input.max_results, PAGE, |user| user.id.clone());
    let users = users.into_iter().map(|user| told(user.id)).collect();
    Ok(ListUsersOutput { users: Some(users), next_token })
}

/// `AssociateFaces`
pub(super) async fn associate(
    call: Call,
    input: AssociateFacesInput,
) -> Result<AssociateFacesOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    let faces = face_ids(input.face_ids.unwrap_or_default())?;
    let user = input.user_id.unwrap_or_default();
    let least = input.user_match_threshold.map_or(ASSOCIATE_THRESHOLD, |asked| asked as f32);
    call.change(move |app| {
        let done = app.people.associate_faces(&id, &user, &faces, least)?;
        Ok(AssociateFacesOutput {
            associated_faces: Some(done.associated.into_iter().map(associated).collect()),
            unsuccessful_face_associations: Some(done.refused.into_iter().map(refused).collect()),
            user_status: Some(ACTIVE.to_owned()),
        })
    })
    .await
}

/// `DisassociateFaces`
pub(super) async fn disassociate(
    call: Call,
    input: DisassociateFacesInput,
) -> Result<DisassociateFacesOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    let faces = face_ids(input.face_ids.unwrap_or_default())?;
    let user = input.user_id.unwrap_or_default();
    call.change(move |app| {
        let done = app.people.disassociate_faces(&id, &user, &faces)?;
        let unknown = done.unknown.iter().map(|face| unsuccessful(*face, "FACE_NOT_FOUND"));
        let others =
            done.of_others.iter().map(|face| unsuccessful(*face, "ASSOCIATED_TO_A_DIFFERENT_USER"));
        Ok(DisassociateFacesOutput {
            disassociated_faces: Some(done.disassociated.into_iter().map(associated).collect()),
            unsuccessful_face_disassociations: Some(unknown.chain(others).collect()),
            user_status: Some(ACTIVE.to_owned()),
        })
    })
    .await
}

/// `SearchUsers`
pub(super) async fn search(
    call: Call,
    input: SearchUsersInput,
) -> Result<SearchUsersOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    let face = input.face_id.as_deref().map(face_id).transpose()?;
    let (least, most) = (threshold(input.user_match_threshold), limit(input.max_users, PAGE));
    let user = input.user_id;
    if face.is_some() == user.is_some() {
        return Err(Failure::invalid("Either a FaceId or a UserId has to be given."));
    }
    call.change(move |app| {
        let found = match (face, &user) {
            (Some(face), _) => app.people.search_users_by_face(&id, face, least, most)?,
            (None, user) => {
                let user = user.as_deref().unwrap_or_default();
                app.people.search_users_by_user(&id, user, least, most)?
            }
        };
        Ok(SearchUsersOutput {
            user_matches: Some(found.into_iter().map(told_match).collect()),
            face_model_version: Some(FACE_MODEL_VERSION.to_owned()),
            searched_face: face.map(associated),
            searched_user: user.map(|user| SearchedUser { user_id: Some(user) }),
        })
    })
    .await
}

/// `SearchUsersByImage`: those who are like the largest face of a picture.
pub(super) async fn search_by_image(
    call: Call,
    input: SearchUsersByImageInput,
) -> Result<SearchUsersByImageOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    call.app.people.collection(&id)?;
    let looked = call.look(input.image).await?;
    let filter = Filter::asked(input.quality_filter.as_deref(), Filter::None);
    let (least, most) = (threshold(input.user_match_threshold), limit(input.max_users, PAGE));
    call.change(move |app| {
        let seen = largest(&looked, filter)?;
        let embedding = seen.embedding.as_ref().ok_or_else(no_face)?;
        let found = app.people.search_users(&id, embedding, least, most)?;
        let unsearched = looked.faces.iter().filter(|other| !std::ptr::eq(*other, seen));
        let unsearched = unsearched.map(|other| {
            let mut reasons = filter.reasons(other);
            if reasons.is_empty() {
                reasons.push("FACE_NOT_LARGEST");
            }
            UnsearchedFace {
                face_details: Some(looked.detail(other)),
                reasons: Some(reasons.into_iter().map(str::to_owned).collect()),
            }
        });
        Ok(SearchUsersByImageOutput {
            user_matches: Some(found.into_iter().map(told_match).collect()),
            face_model_version: Some(FACE_MODEL_VERSION.to_owned()),
            searched_face: Some(SearchedFace { face_detail: Some(looked.detail(seen)) }),
            unsearched_faces: Some(unsearched.collect()),
        })
    })
    .await
}

/// What is asked for is done when it is answered, so users are in no other status.
const ACTIVE: &str = "ACTIVE";

fn told(user: String) -> User {
    User { user_id: Some(user), user_status: Some(ACTIVE.to_owned()) }
}

fn told_match(found: Found) -> UserMatch {
    let similarity = Some(f64::from(found.similarity));
    UserMatch { similarity, user: Some(told(found.user.id)) }
}

fn associated(face: FaceId) -> AssociatedFace {
    AssociatedFace { face_id: Some(face.to_string()) }
}

fn refused(face: NotAssociated) -> UnsuccessfulFace {
    match face.reason {
        Associated::NotFound => unsuccessful(face.face, "FACE_NOT_FOUND"),
        Associated::WithOther(user) => UnsuccessfulFace {
            user_id: Some(user),
            ..unsuccessful(face.face, "ASSOCIATED_TO_A_DIFFERENT_USER")
        },
        Associated::TooUnlike(similarity) => UnsuccessfulFace {
            confidence: Some(f64::from(similarity)),
            ..unsuccessful(face.face, "LOW_MATCH_CONFIDENCE")
        },
    }
}
