//! `POST /createStream`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::rules;
use crate::api::{ApiError, AppState, AwsJson, blocking};
use crate::store::NewStream;
use crate::types::Arn;
use crate::wire::video::{CreateStreamInput, CreateStreamOutput};

/// Creates a stream, usable once this is answered.
pub(super) async fn create_stream(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<CreateStreamInput>,
) -> Result<Json<CreateStreamOutput>, ApiError> {
    let stream = new_stream(&app, input)?;
    let app = Arc::clone(&app);
    let stream = blocking(move || Ok(app.store.catalog().create(stream)?)).await?;
    Ok(Json(CreateStreamOutput { stream_arn: Some(stream.arn.to_string()) }))
}

fn new_stream(app: &AppState, input: CreateStreamInput) -> Result<NewStream, ApiError> {
    let name = rules::required(input.stream_name, "StreamName")?.parse()?;
    input.device_name.as_deref().map_or(Ok(()), rules::device_name)?;
    input.media_type.as_deref().map_or(Ok(()), rules::media_type)?;
    input.kms_key_id.as_deref().map_or(Ok(()), rules::kms_key_id)?;
    if let Some(storage) = input.stream_storage_configuration {
        // Both tiers are the same disk here; the choice is checked, not kept.
        rules::storage_tier(&rules::required(storage.default_storage_tier, "DefaultStorageTier")?)?;
    }
    let tags = input.tags.unwrap_or_default();
    rules::tags(&tags)?;
    let arn = Arn {
        region: app.config.region.clone(),
        account: app.config.account.clone(),
        name,
        created_ms: app.clock.now().as_millis(),
    };
    Ok(NewStream {
        arn,
        device_name: input.device_name,
        media_type: input.media_type,
        kms_key_id: input.kms_key_id,
        retention_hours: rules::retention_hours(input.data_retention_in_hours.unwrap_or(0))?,
        tags,
    })
}
