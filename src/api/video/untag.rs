//! `POST /untagStream` and `POST /UntagResource`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::rules;
use crate::api::{ApiError, AppState, AwsJson, blocking, find_stream};
use crate::store::StreamInfo;
use crate::wire::video::{Empty, UntagResourceInput, UntagStreamInput};

/// Removes tags of a stream named by name or ARN.
pub(super) async fn untag_stream(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<UntagStreamInput>,
) -> Result<Json<Empty>, ApiError> {
    let keys = rules::required(input.tag_key_list, "TagKeyList")?;
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    remove_tags(app, stream, keys).await
}

/// Removes tags of a resource named by ARN.
pub(super) async fn untag_resource(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<UntagResourceInput>,
) -> Result<Json<Empty>, ApiError> {
    let arn = rules::required(input.resource_arn, "ResourceARN")?;
    let keys = rules::required(input.tag_key_list, "TagKeyList")?;
    let stream = find_stream(&app, None, Some(&arn))?;
    remove_tags(app, stream, keys).await
}

/// Removing what is not there is no error.
async fn remove_tags(
    app: AppState,
    stream: Arc<StreamInfo>,
    keys: Vec<String>,
) -> Result<Json<Empty>, ApiError> {
    rules::tag_keys(&keys)?;
    blocking(move || {
        app.store.catalog().update(&stream.arn, None, false, |stream| {
            stream.tags.retain(|key, _| !keys.contains(key));
            Ok::<(), ApiError>(())
        })
    })
    .await?;
    Ok(Json(Empty {}))
}
