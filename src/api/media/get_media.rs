//! GetMedia: an endless MKV from a chosen place on.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header;
use tokio::time::{Instant, timeout_at};

use crate::api::{ApiError, AppState, AwsJson, ErrorKind, find_stream};
use crate::serve::GetMedia;
use crate::store::Start;
use crate::types::{FragmentNumber, ProducerTimestamp, ServerTimestamp};
use crate::wire::media::{GetMediaInput, StartSelector};

pub(super) async fn get_media(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<GetMediaInput>,
) -> Result<Response, ApiError> {
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let media = app.store.media(stream.id).ok_or_else(ApiError::no_stream)?;
    let selector =
        input.start_selector.ok_or_else(|| ApiError::invalid("StartSelector must be given."))?;
    let start = start_of(&selector)?;
    let most = app.config.get_media.max_connections_per_stream;
    let place = app.readers.enter(stream.id, most).ok_or_else(|| {
        let message = format!("The stream has {most} readers already.");
        ApiError::new(ErrorKind::ConnectionLimitExceeded, message)
    })?;
    let name = stream.name().clone();
    let ends = Instant::now() + Duration::from_secs(app.config.get_media.max_connection_seconds);
    let open = (app.metrics.get_media_connections.enter(), place);
    let reader = GetMedia::new(media, start, app.clock.clone());
    let bytes = stream::unfold((reader, app, open), move |(mut reader, app, open)| {
        let name = name.clone();
        async move {
            let next = tokio::select! {
                next = timeout_at(ends, reader.next_bytes()) => next,
                () = app.shutdown.cancelled() => return None,
            };
            match next {
                Ok(Ok(Some(bytes))) => {
                    app.metrics.get_media_bytes.add(bytes.len() as u64);
                    Some((Ok::<Bytes, crate::store::ReadError>(bytes), (reader, app, open)))
                }
                // The longest duration, or the stream's end: the client comes back with its token.
                Ok(Ok(None)) | Err(_) => None,
                Ok(Err(error)) => {
                    tracing::error!(stream = %name, "GetMedia ended: {error}");
                    Some((Err(error), (reader, app, open)))
                }
            }
        }
    });
    // The real service says WebM whatever the codecs are, and consumers look for that.
    Ok(([(header::CONTENT_TYPE, "video/webm")], Body::from_stream(bytes)).into_response())
}

fn start_of(selector: &StartSelector) -> Result<Start, ApiError> {
    let number = |text: &Option<String>, member: &str| {
        let text = text.as_deref().ok_or_else(|| missing(member))?;
        text.parse::<FragmentNumber>()
            .map_err(|error| ApiError::invalid(format!("{member}: {error}.")))
    };
    let seconds = selector.start_timestamp.ok_or_else(|| missing("StartTimestamp"));
    let out_of_range = || ApiError::invalid("StartTimestamp must be seconds since the Unix epoch.");
    match selector.start_selector_type.as_str() {
        "NOW" => Ok(Start::Now),
        "EARLIEST" => Ok(Start::Earliest),
        "FRAGMENT_NUMBER" => {
            number(&selector.after_fragment_number, "AfterFragmentNumber").map(Start::After)
        }
        // A continuation token is the number of the fragment that carried it.
        "CONTINUATION_TOKEN" => {
            number(&selector.continuation_token, "ContinuationToken").map(Start::After)
        }
        "PRODUCER_TIMESTAMP" => {
            ProducerTimestamp::from_secs_f64(seconds?).map(Start::Producer).ok_or_else(out_of_range)
        }
        "SERVER_TIMESTAMP" => {
            ServerTimestamp::from_secs_f64(seconds?).map(Start::Server).ok_or_else(out_of_range)
        }
        other => Err(ApiError::invalid(format!("StartSelectorType has no value {other}."))),
    }
}

fn missing(member: &str) -> ApiError {
    ApiError::invalid(format!("{member} must be given with this StartSelectorType."))
}
