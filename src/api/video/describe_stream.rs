//! `POST /describeStream`

use axum::Json;
use axum::extract::State;

use crate::api::{ApiError, AppState, AwsJson, find_stream};
use crate::store::{self, StreamStatus};
use crate::wire::video::{DescribeStreamOutput, StreamInfo, StreamRef};

/// What AWS names when a stream has no key of its own.
const DEFAULT_KEY_ALIAS: &str = "alias/aws/kinesisvideo";

/// Tells what is known of a stream.
pub(super) async fn describe_stream(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<StreamRef>,
) -> Result<Json<DescribeStreamOutput>, ApiError> {
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    Ok(Json(DescribeStreamOutput { stream_info: Some(stream_info(&stream)) }))
}

/// The wire shape of a stream's facts.
pub(super) fn stream_info(stream: &store::StreamInfo) -> StreamInfo {
    let default_key =
        || format!("arn:aws:kms:{}:{}:{DEFAULT_KEY_ALIAS}", stream.arn.region, stream.arn.account);
    let status = match stream.status {
        StreamStatus::Active => "ACTIVE",
        StreamStatus::Deleting => "DELETING",
    };
    StreamInfo {
        device_name: stream.device_name.clone(),
        stream_name: Some(stream.name().to_string()),
        stream_arn: Some(stream.arn.to_string()),
        media_type: stream.media_type.clone(),
        kms_key_id: Some(stream.kms_key_id.clone().unwrap_or_else(default_key)),
        version: Some(stream.version.clone()),
        status: Some(status.to_owned()),
        creation_time: Some(stream.created().as_secs_f64()),
        data_retention_in_hours: Some(i64::from(stream.retention_hours)),
    }
}
