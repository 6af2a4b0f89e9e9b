//! `POST /getDataEndpoint`

use axum::Json;
use axum::extract::State;
use http::HeaderMap;

use super::rules;
use crate::api::{ApiError, AppState, AwsJson, find_stream};
use crate::wire::video::{GetDataEndpointInput, GetDataEndpointOutput};

const API_NAMES: [&str; 8] = [
    "PUT_MEDIA",
    "GET_MEDIA",
    "LIST_FRAGMENTS",
    "GET_MEDIA_FOR_FRAGMENT_LIST",
    "GET_HLS_STREAMING_SESSION_URL",
    "GET_DASH_STREAMING_SESSION_URL",
    "GET_CLIP",
    "GET_IMAGES",
];

/// Tells where an operation on a stream's media is served: here, all of them.
pub(super) async fn get_data_endpoint(
    State(app): State<AppState>,
    headers: HeaderMap,
    AwsJson(input): AwsJson<GetDataEndpointInput>,
) -> Result<Json<GetDataEndpointOutput>, ApiError> {
    let api_name = rules::required(input.api_name, "APIName")?;
    if !API_NAMES.contains(&api_name.as_str()) {
        return Err(ApiError::invalid(format!("APIName must be one of {}.", API_NAMES.join(", "))));
    }
    find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    Ok(Json(GetDataEndpointOutput { data_endpoint: Some(app.base_url(&headers)?) }))
}
