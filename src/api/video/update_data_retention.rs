//! `POST /updateDataRetention`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::rules;
use crate::api::{ApiError, AppState, AwsJson, blocking, find_stream};
use crate::wire::video::{Empty, UpdateDataRetentionInput};

/// Lengthens or shortens how long a stream's media is kept. The argument is the difference. What
/// falls out of a shortened retention is unfindable once this is answered.
pub(super) async fn update_data_retention(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<UpdateDataRetentionInput>,
) -> Result<Json<Empty>, ApiError> {
    let version = rules::required(input.current_version, "CurrentVersion")?;
    rules::version(&version)?;
    let operation = rules::required(input.operation, "Operation")?;
    let change =
        rules::required(input.data_retention_change_in_hours, "DataRetentionChangeInHours")?;
    let difference = difference(&operation, change)?;
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let shortened = difference < 0;
    let app = Arc::clone(&app);
    blocking(move || {
        app.store.catalog().update(&stream.arn, Some(&version), true, |stream| {
            let hours = i64::from(stream.retention_hours).saturating_add(difference);
            stream.retention_hours = rules::retention_hours(hours)?;
            Ok::<(), ApiError>(())
        })?;
        if shortened {
            app.store.enforce_retention();
        }
        Ok(())
    })
    .await?;
    Ok(Json(Empty {}))
}

fn difference(operation: &str, change: i64) -> Result<i64, ApiError> {
    if change < 1 {
        return Err(ApiError::invalid("DataRetentionChangeInHours must be at least 1."));
    }
    match operation {
        "INCREASE_DATA_RETENTION" => Ok(change),
        "DECREASE_DATA_RETENTION" => Ok(-change),
        _ => Err(ApiError::invalid(
            "Operation must be INCREASE_DATA_RETENTION or DECREASE_DATA_RETENTION.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_is_a_difference_with_a_direction() {
        assert_eq!(difference("INCREASE_DATA_RETENTION", 2), Ok(2));
        assert_eq!(difference("DECREASE_DATA_RETENTION", i64::MAX), Ok(-i64::MAX));
        assert!(difference("INCREASE_DATA_RETENTION", 0).is_err());
        assert!(difference("SET_DATA_RETENTION", 1).is_err());
    }
}
