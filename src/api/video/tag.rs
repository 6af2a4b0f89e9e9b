//! `POST /tagStream` and `POST /TagResource`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::rules;
use crate::api::{ApiError, AppState, AwsJson, blocking, find_stream};
use crate::store::StreamInfo;
use crate::wire::video::{Empty, TagMap, TagResourceInput, TagStreamInput};

/// Sets tags, which come as a map.
pub(super) async fn tag_stream(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<TagStreamInput>,
) -> Result<Json<Empty>, ApiError> {
    let tags = rules::required(input.tags, "Tags")?;
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    set_tags(app, stream, tags).await
}

/// Sets tags, which come as a list.
pub(super) async fn tag_resource(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<TagResourceInput>,
) -> Result<Json<Empty>, ApiError> {
    let arn = rules::required(input.resource_arn, "ResourceARN")?;
    let mut tags = BTreeMap::new();
    for tag in rules::required(input.tags, "Tags")? {
        let key = rules::required(tag.key, "Key")?;
        tags.insert(key, rules::required(tag.value, "Value")?);
    }
    let stream = find_stream(&app, None, Some(&arn))?;
    set_tags(app, stream, tags).await
}

/// Adds to a stream's tags. The version stays: these operations do not ask for the current one.
async fn set_tags(
    app: AppState,
    stream: Arc<StreamInfo>,
    tags: TagMap,
) -> Result<Json<Empty>, ApiError> {
    if tags.is_empty() {
        return Err(ApiError::invalid("Tags must have from 1 to 50 tags."));
    }
    rules::tags(&tags)?;
    blocking(move || {
        app.store.catalog().update(&stream.arn, None, false, |stream| {
            stream.tags.extend(tags);
            rules::tags_fit(&stream.tags)
        })
    })
    .await?;
    Ok(Json(Empty {}))
}
