//! `POST /listTagsForStream` and `POST /ListTagsForResource`

use axum::Json;
use axum::extract::State;

use super::rules;
use crate::api::{ApiError, AppState, AwsJson, find_stream};
use crate::store::StreamInfo;
use crate::wire::video::{ListTagsForResourceInput, ListTagsForStreamInput, ListTagsOutput};

/// Lists the tags of a stream named by name or ARN.
pub(super) async fn list_tags_for_stream(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<ListTagsForStreamInput>,
) -> Result<Json<ListTagsOutput>, ApiError> {
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    only_page(&stream, input.next_token)
}

/// Lists the tags of a resource named by ARN.
pub(super) async fn list_tags_for_resource(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<ListTagsForResourceInput>,
) -> Result<Json<ListTagsOutput>, ApiError> {
    let arn = rules::required(input.resource_arn, "ResourceARN")?;
    only_page(&*find_stream(&app, None, Some(&arn))?, input.next_token)
}

/// A stream's tags always fit one page, so no token was ever given out.
fn only_page(stream: &StreamInfo, token: Option<String>) -> Result<Json<ListTagsOutput>, ApiError> {
    if token.is_some_and(|token| !token.is_empty()) {
        return Err(ApiError::invalid("NextToken is not one that this operation gave out."));
    }
    Ok(Json(ListTagsOutput { tags: Some(stream.tags.clone()), next_token: None }))
}
