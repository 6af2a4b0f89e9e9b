//! `POST /updateStream`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::rules;
use crate::api::{ApiError, AppState, AwsJson, blocking, find_stream};
use crate::wire::video::{Empty, UpdateStreamInput};

/// Changes a stream's device name or media type.
pub(super) async fn update_stream(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<UpdateStreamInput>,
) -> Result<Json<Empty>, ApiError> {
    input.device_name.as_deref().map_or(Ok(()), rules::device_name)?;
    input.media_type.as_deref().map_or(Ok(()), rules::media_type)?;
    let version = rules::required(input.current_version, "CurrentVersion")?;
    rules::version(&version)?;
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let app = Arc::clone(&app);
    blocking(move || {
        app.store.catalog().update(&stream.arn, Some(&version), true, |stream| {
            stream.device_name = input.device_name.or(stream.device_name.take());
            stream.media_type = input.media_type.or(stream.media_type.take());
            Ok::<(), ApiError>(())
        })
    })
    .await?;
    Ok(Json(Empty {}))
}
