//! GetMediaForFragmentList: chosen fragments, each as a complete MKV document.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header;

use crate::api::{ApiError, AppState, AwsJson, find_stream};
use crate::media::mkv::kvs;
use crate::serve::fragment_list_item;
use crate::store::ReadError;
use crate::types::FragmentNumber;
use crate::wire::media::GetMediaForFragmentListInput;

pub(super) async fn get_media_for_fragment_list(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<GetMediaForFragmentListInput>,
) -> Result<Response, ApiError> {
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let media = app.store.media(stream.id).ok_or_else(ApiError::no_stream)?;
    let most = app.config.get_media.max_fragment_list;
    if input.fragments.is_empty() || input.fragments.len() > most {
        return Err(ApiError::invalid(format!("Fragments must name from 1 to {most} fragments.")));
    }
    let numbers = input
        .fragments
        .iter()
        .map(|text| text.parse::<FragmentNumber>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ApiError::invalid(format!("Fragments: {error}.")))?;
    // In the order asked for; the first that cannot be read ends the body with its error tags.
    let documents = stream::unfold(Some(numbers.into_iter()), move |numbers| {
        let media = media.clone();
        async move {
            let mut numbers = numbers?;
            let number = numbers.next()?;
            match media.read(number).await {
                Ok(chunk) => Some((fragment_list_item(&chunk).to_vec(), Some(numbers))),
                Err(error) => {
                    tracing::warn!("GetMediaForFragmentList: fragment {number}: {error}");
                    let (code, id) = match error {
                        ReadError::NotFound | ReadError::StreamDeleted => {
                            ("FRAGMENT_NOT_FOUND", 4000)
                        }
                        ReadError::Damaged(_) | ReadError::Io { .. } => ("INTERNAL_ERROR", 5000),
                    };
                    Some((vec![kvs::error_tags(Some(number), code, id)], None))
                }
            }
        }
    });
    let bytes = documents.flat_map(|pieces| {
        stream::iter(pieces.into_iter().map(Ok::<Bytes, std::convert::Infallible>))
    });
    Ok(([(header::CONTENT_TYPE, "video/webm")], Body::from_stream(bytes)).into_response())
}
