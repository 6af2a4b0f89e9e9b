//! `TagResource`, `UntagResource`, `ListTagsForResource`

use super::Call;
use super::error::{Failure, Kind};
use crate::api::{App, rekognition_arn};
use crate::types::CollectionId;
use crate::wire::records::{Empty, TagMap};
use crate::wire::rekognition::tags::{
    ListTagsForResourceInput, ListTagsForResourceOutput, TagResourceInput, UntagResourceInput,
};

/// The most tags of a resource, as on AWS.
const MAX_TAGS: usize = 200;

/// `TagResource`
pub(super) async fn add(call: Call, input: TagResourceInput) -> Result<Empty, Failure> {
    let tags = input.tags.unwrap_or_default();
    change(call, input.resource_arn.unwrap_or_default(), |now| now.extend(tags)).await
}

/// `UntagResource`
pub(super) async fn remove(call: Call, input: UntagResourceInput) -> Result<Empty, Failure> {
    let keys = input.tag_keys.unwrap_or_default();
    let arn = input.resource_arn.unwrap_or_default();
    change(call, arn, move |now| now.retain(|key, _| !keys.contains(key))).await
}

/// `ListTagsForResource`
pub(super) async fn list(
    call: Call,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Failure> {
    let app = &call.app;
    let tags = match resource(app, &input.resource_arn.unwrap_or_default())? {
        Resource::Processor(name) => app.processors.get(&name)?.facts.settings.tags,
        Resource::Collection(id) => app.people.collection(&id)?.info.tags,
    };
    Ok(ListTagsForResourceOutput { tags: Some(tags) })
}

/// What has tags.
enum Resource {
    Processor(String),
    Collection(CollectionId),
}

async fn change(
    call: Call,
    arn: String,
    change: impl FnOnce(&mut TagMap) + Send + 'static,
) -> Result<Empty, Failure> {
    let resource = resource(&call.app, &arn)?;
    call.change(move |app| {
        match resource {
            Resource::Processor(name) => {
                let mut tags = app.processors.get(&name)?.facts.settings.tags;
                change(&mut tags);
                bounded(&tags)?;
                app.processors.update(&name, |facts| facts.settings.tags = tags)?;
            }
            Resource::Collection(id) => {
                let mut tags = app.people.collection(&id)?.info.tags;
                change(&mut tags);
                bounded(&tags)?;
                app.people.tag_collection(&id, |now| *now = tags)?;
            }
        }
        Ok(Empty::default())
    })
    .await
}

fn bounded(tags: &TagMap) -> Result<(), Failure> {
    let message = format!("A resource has at most {MAX_TAGS} tags.");
    let fits = tags.len() <= MAX_TAGS;
    fits.then_some(()).ok_or_else(|| Failure::new(Kind::ServiceQuotaExceeded, message))
}

/// What an ARN names. Another region or account is somewhere else.
fn resource(app: &App, arn: &str) -> Result<Resource, Failure> {
    let not_found = || Failure::not_found(format!("There is no resource {arn}."));
    let resource = arn.strip_prefix(&rekognition_arn(app, "")).ok_or_else(not_found)?;
    match resource.split_once('/') {
        Some(("streamprocessor", name)) => Ok(Resource::Processor(name.to_owned())),
        Some(("collection", id)) => Ok(Resource::Collection(id.parse().map_err(|_| not_found())?)),
        _ => Err(not_found()),
    }
}
