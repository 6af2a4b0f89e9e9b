//! What operations on a stream share: finding it, and leaving the async threads for its catalog.

use std::sync::Arc;

use super::{ApiError, App};
use crate::store::StreamInfo;
use crate::types::{Arn, StreamName};

/// The stream that a request names by `StreamName` or `StreamARN`. Where both are given they
/// must mean the same stream.
pub fn find_stream(
    app: &App,
    name: Option<&str>,
    arn: Option<&str>,
) -> Result<Arc<StreamInfo>, ApiError> {
    let name = name.map(str::parse::<StreamName>).transpose()?;
    let arn = arn.map(str::parse::<Arn>).transpose()?;
    let wanted = match (&name, &arn) {
        (Some(name), Some(arn)) if arn.name != *name => {
            return Err(ApiError::invalid("StreamName and StreamARN name different streams."));
        }
        (Some(name), _) => name,
        (None, Some(arn)) => &arn.name,
        (None, None) => {
            return Err(ApiError::invalid("Either StreamName or StreamARN must be given."));
        }
    };
    let stream = app.store.catalog().by_name(wanted).ok_or_else(ApiError::no_stream)?;
    // The creation time in the ARN tells a stream from an earlier one of its name.
    match arn {
        Some(arn) if arn != stream.arn => Err(ApiError::no_stream()),
        _ => Ok(stream),
    }
}

/// Runs what waits for the disk on a thread that may wait.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(ApiError::internal(error)))
}
