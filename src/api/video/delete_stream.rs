//! `POST /deleteStream`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::rules;
use crate::api::{ApiError, AppState, AwsJson, blocking};
use crate::types::Arn;
use crate::wire::video::{DeleteStreamInput, Empty};

/// Deletes a stream with all its media. The whole ARN must match, so that a stream created anew
/// under the same name is not deleted by a request that means the old one.
pub(super) async fn delete_stream(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<DeleteStreamInput>,
) -> Result<Json<Empty>, ApiError> {
    let arn: Arn = rules::required(input.stream_arn, "StreamARN")?.parse()?;
    input.current_version.as_deref().map_or(Ok(()), rules::version)?;
    let app = Arc::clone(&app);
    blocking(move || Ok(app.store.catalog().delete(&arn, input.current_version.as_deref())?))
        .await?;
    Ok(Json(Empty {}))
}
