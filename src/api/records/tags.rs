//! `AddTagsToStream`, `RemoveTagsFromStream`, `ListTagsForStream`, `TagResource`, `UntagResource`,
//! `ListTagsForResource`

use super::Call;
use super::error::Failure;
use super::names::Resource;
use super::queues::Changed;
use crate::wire::records::TagMap;
use crate::wire::records::tags::{
    AddTagsToStreamInput, ListTagsForResourceOutput, ListTagsForStreamInput,
    ListTagsForStreamOutput, RemoveTagsFromStreamInput, ResourceRef, Tag, TagResourceInput,
    UntagResourceInput,
};

/// The most tags of a resource.
const MAX_TAGS: usize = 50;

/// `AddTagsToStream`
pub(super) async fn add_to_stream(call: Call, input: AddTagsToStreamInput) -> Result<(), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let tags = input.tags.unwrap_or_default();
    change(call, Resource::Stream(name), |now| now.extend(tags)).await
}

/// `RemoveTagsFromStream`
pub(super) async fn remove_from_stream(
    call: Call,
    input: RemoveTagsFromStreamInput,
) -> Result<(), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let keys = input.tag_keys.unwrap_or_default();
    change(call, Resource::Stream(name), move |now| now.retain(|key, _| !keys.contains(key))).await
}

/// `ListTagsForStream`
pub(super) async fn list_for_stream(
    call: Call,
    input: ListTagsForStreamInput,
) -> Result<ListTagsForStreamOutput, Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let mut tags = tags_of(&call, &Resource::Stream(name))?;
    if let Some(after) = input.exclusive_start_tag_key {
        tags.retain(|key, _| *key > after);
    }
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_TAGS);
    let more = tags.len() > limit;
    let tags = tags.into_iter().take(limit).map(tag).collect();
    Ok(ListTagsForStreamOutput { tags: Some(tags), has_more_tags: Some(more) })
}

/// `TagResource`
pub(super) async fn add(call: Call, input: TagResourceInput) -> Result<(), Failure> {
    let resource = call.resource(&input.resource_arn.unwrap_or_default())?;
    let tags = input.tags.unwrap_or_default();
    change(call, resource, |now| now.extend(tags)).await
}

/// `UntagResource`
pub(super) async fn remove(call: Call, input: UntagResourceInput) -> Result<(), Failure> {
    let resource = call.resource(&input.resource_arn.unwrap_or_default())?;
    let keys = input.tag_keys.unwrap_or_default();
    change(call, resource, move |now| now.retain(|key, _| !keys.contains(key))).await
}

/// `ListTagsForResource`
pub(super) async fn list(
    call: Call,
    input: ResourceRef,
) -> Result<ListTagsForResourceOutput, Failure> {
    let resource = call.resource(&input.resource_arn.unwrap_or_default())?;
    let tags = tags_of(&call, &resource)?.into_iter().map(tag).collect();
    Ok(ListTagsForResourceOutput { tags: Some(tags) })
}

async fn change(
    call: Call,
    resource: Resource,
    change: impl FnOnce(&mut TagMap) + Send + 'static,
) -> Result<(), Failure> {
    match resource {
        Resource::Stream(name) => call.change(move |records| records.set_tags(&name, change)).await,
        Resource::Consumer(consumer) => {
            call.change(move |records| {
                records.update_consumer(&consumer, |info| change(&mut info.tags))
            })
            .await
        }
        Resource::Queue(key) => {
            call.change_queue(key, move |info| {
                change(&mut info.tags);
                if info.tags.len() > MAX_TAGS { Err(Changed::TooManyTags) } else { Ok(()) }
            })
            .await
        }
        Resource::Channel => Err(Failure::not_found("There are no channels.")),
    }
}

fn tags_of(call: &Call, resource: &Resource) -> Result<TagMap, Failure> {
    let records = &call.app.records;
    match resource {
        Resource::Stream(name) => {
            Ok(records.info(name).map_err(|error| call.failure(error))?.tags.clone())
        }
        Resource::Consumer(consumer) => {
            Ok(records.consumer(consumer).map_err(|error| call.failure(error))?.tags)
        }
        Resource::Queue(key) => Ok(call.queue(key)?.tags.clone()),
        Resource::Channel => Err(Failure::not_found("There are no channels.")),
    }
}

fn tag((key, value): (String, String)) -> Tag {
    Tag { key: Some(key), value: Some(value) }
}
