//! `CreateCollection`, `DescribeCollection`, `ListCollections`, `DeleteCollection`

use super::Call;
use super::error::Failure;
use crate::api::rekognition_arn;
use crate::people::FACE_MODEL_VERSION;
use crate::types::CollectionId;
use crate::wire::records::Timestamp;
use crate::wire::rekognition::collections::{
    CollectionRef, CreateCollectionInput, CreateCollectionOutput, DeleteCollectionOutput,
    DescribeCollectionOutput, ListCollectionsInput, ListCollectionsOutput,
};

/// Collections, faces or users in a page where none is asked for, and the most in one.
pub(super) const PAGE: usize = 4096;

/// `CreateCollection`
pub(super) async fn create(
    call: Call,
    input: CreateCollectionInput,
) -> Result<CreateCollectionOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    let tags = input.tags.unwrap_or_default();
    call.change(move |app| {
        let created = app.people.create_collection(&id, tags)?;
        Ok(CreateCollectionOutput {
            status_code: Some(200),
            collection_arn: Some(rekognition_arn(app, format_args!("collection/{id}"))),
            face_model_version: Some(created.face_model_version),
        })
    })
    .await
}

/// `DescribeCollection`
pub(super) async fn describe(
    call: Call,
    input: CollectionRef,
) -> Result<DescribeCollectionOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    let found = call.app.people.collection(&id)?;
    Ok(DescribeCollectionOutput {
        face_count: Some(count(found.faces)),
        face_model_version: Some(found.info.face_model_version),
        collection_arn: Some(rekognition_arn(&call.app, format_args!("collection/{id}"))),
        creation_timestamp: Some(Timestamp(found.info.created)),
        user_count: Some(count(found.users)),
    })
}

/// `ListCollections`: by id. A token is the id that the page before ended with.
pub(super) async fn list(
    call: Call,
    input: ListCollectionsInput,
) -> Result<ListCollectionsOutput, Failure> {
    let after = input.next_token.unwrap_or_default();
    let mut all = call.app.people.collections();
    all.retain(|found| found.info.id.as_str() > after.as_str());
    let ids = all.iter().map(|found| found.info.id.to_string()).collect();
    let (ids, next_token) = page(ids, input.max_results, PAGE, String::clone);
    let versions = vec![FACE_MODEL_VERSION.to_owned(); ids.len()];
    Ok(ListCollectionsOutput {
        collection_ids: Some(ids),
        next_token,
        face_model_versions: Some(versions),
    })
}

/// `DeleteCollection`
pub(super) async fn delete(
    call: Call,
    input: CollectionRef,
) -> Result<DeleteCollectionOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    call.change(move |app| {
        app.people.delete_collection(&id)?;
        Ok(DeleteCollectionOutput { status_code: Some(200) })
    })
    .await
}

/// The id of a request, which the model's constraints have looked at.
pub(super) fn collection_id(id: Option<String>) -> Result<CollectionId, Failure> {
    let id = id.unwrap_or_default().parse();
    id.map_err(|error| Failure::invalid(format!("CollectionId: {error}.")))
}

/// How many of a page are asked for; 0 is as good as none.
pub(super) fn limit(asked: Option<i64>, most: usize) -> usize {
    let asked = asked.and_then(|asked| usize::try_from(asked).ok()).filter(|asked| *asked > 0);
    asked.unwrap_or(most).min(most)
}

/// The first of all that are left, and the token of the next page, when there is one.
pub(super) fn page<T>(
    mut left: Vec<T>,
    asked: Option<i64>,
    most: usize,
    token: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let limit = limit(asked, most);
    let more = left.len() > limit;
    left.truncate(limit);
    let next = left.last().map(token).filter(|_| more);
    (left, next)
}

/// A number of things on the wire.
fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}
