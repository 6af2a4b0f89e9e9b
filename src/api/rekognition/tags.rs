//! `TagResource`, `UntagResource`, `ListTagsForResource`

use super::Call;
use super::error::{Failure, Kind};
use crate::api::{App, rekognition_arn};
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
    let name = processor(&call.app, &input.resource_arn.unwrap_or_default())?;
    let tags = call.app.processors.get(&name)?.facts.settings.tags;
    Ok(ListTagsForResourceOutput { tags: Some(tags) })
}

async fn change(
    call: Call,
    arn: String,
    change: impl FnOnce(&mut TagMap) + Send + 'static,
) -> Result<Empty, Failure> {
    let name = processor(&call.app, &arn)?;
    call.change(move |app| {
        let mut tags = app.processors.get(&name)?.facts.settings.tags;
        change(&mut tags);
        if tags.len() > MAX_TAGS {
            let message = format!("A resource has at most {MAX_TAGS} tags.");
            return Err(Failure::new(Kind::ServiceQuotaExceeded, message));
        }
        app.processors.update(&name, |facts| facts.settings.tags = tags)?;
        Ok(Empty::default())
    })
    .await
}

/// The processor that an ARN names. Another region or account is somewhere else.
fn processor(app: &App, arn: &str) -> Result<String, Failure> {
    let name = arn.strip_prefix(&rekognition_arn(app, "streamprocessor/"));
    let name = name.ok_or_else(|| Failure::not_found(format!("There is no resource {arn}.")))?;
    Ok(name.to_owned())
}
