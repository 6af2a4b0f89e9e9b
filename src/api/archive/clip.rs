//! `GET /v1/streams/{stream}/clip.mp4?start=&end=`: a range of producer time as one MP4 file.

use std::ops::Range;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::native::millis;
use crate::api::{ApiError, AppState, Caller, ErrorKind, find_stream};
use crate::media::file;
use crate::serve::clip::{Clip, Error, Selected};
use crate::types::{Millis, ProducerTimestamp, StreamName};

/// Both ends, as seconds since the Unix epoch or as dates.
#[derive(Deserialize)]
pub(super) struct Asked {
    start: Option<String>,
    end: Option<String>,
}

/// The file, or the part of it that the request's `Range` names.
pub(super) async fn clip(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let name: StreamName = name.parse()?;
    let (from, to) = asked.range(Millis(app.config.clips.max_seconds * 1000))?;
    // Whoever may not read a stream does not learn either whether it exists.
    caller.may_read_clip(&name, from, to)?;
    let info = find_stream(&app, Some(name.as_str()), None)?;
    let media = app.store.media(info.id).ok_or_else(ApiError::no_stream)?;
    let selected = Selected::find(media, from, to)?;
    let tag = format!("\"{}\"", selected.tag());
    if asks_for_another(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let file_name = file_name(&name, selected.range().start);
    let mut response = answer(selected.open().await?, &headers, &tag);
    let added = [
        (header::CONTENT_TYPE, "video/mp4"),
        (header::ACCEPT_RANGES, "bytes"),
        // More of a range may come to be stored.
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::ETAG, &tag),
        (header::CONTENT_DISPOSITION, &file_name),
    ];
    for (name, value) in added {
        let value = HeaderValue::from_str(value).map_err(ApiError::internal)?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

impl Asked {
    fn range(&self, longest: Millis) -> Result<(ProducerTimestamp, ProducerTimestamp), ApiError> {
        let time = |text: &Option<String>| {
            let text = text.as_deref().ok_or_else(|| {
                ApiError::invalid("start and end must be given, on the producer's clock.")
            })?;
            millis(text).map(ProducerTimestamp::from_millis)
        };
        let (from, to) = (time(&self.start)?, time(&self.end)?);
        if from >= to {
            return Err(ApiError::invalid("start must be before end."));
        }
        if to.since(from) > longest {
            let seconds = longest.0 / 1000;
            return Err(ApiError::invalid(format!(
                "A clip is at most {seconds} seconds long (clips.max_seconds); \
                 kinora export writes longer files."
            )));
        }
        Ok((from, to))
    }
}

/// Whether the client has the file already.
fn asks_for_another(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag || one.trim() == "*"))
}

fn file_name(stream: &StreamName, start: ProducerTimestamp) -> String {
    let date = jiff::Timestamp::from_millisecond(start.as_millis()).unwrap_or_default();
    format!("inline; filename=\"{stream}-{}.mp4\"", date.strftime("%Y%m%dT%H%M%SZ"))
}

fn answer(clip: Clip, headers: &HeaderMap, tag: &str) -> Response {
    let len = clip.bytes();
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    // A part of another file than the client has the rest of would be of no use.
    let same = headers.get(header::IF_RANGE).is_none_or(|known| known.as_bytes() == tag.as_bytes());
    match asked.filter(|_| same).map(|text| parse_range(text, len)) {
        None | Some(Asks::Everything) => body(clip, 0..len).into_response(),
        Some(Asks::Part(range)) => {
            let place = format!("bytes {}-{}/{len}", range.start, range.end - 1);
            let headers = [(header::CONTENT_RANGE, place)];
            (StatusCode::PARTIAL_CONTENT, headers, body(clip, range)).into_response()
        }
        Some(Asks::Nothing) => {
            let headers = [(header::CONTENT_RANGE, format!("bytes */{len}"))];
            (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response()
        }
    }
}

/// Bytes of a file as the fragments give them, with their number in front.
fn body(clip: Clip, range: Range<u64>) -> impl IntoResponse {
    let length = [(header::CONTENT_LENGTH, (range.end - range.start).to_string())];
    let parts = stream::unfold(clip.part(range), |mut part| async move {
        match part.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), part)),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!("a clip broke off: {error}");
                Some((Err(error), part))
            }
        }
    });
    let bytes = parts.flat_map(|parts| match parts {
        Ok(bytes) => stream::iter(bytes.into_iter().map(Ok::<Bytes, Error>).collect::<Vec<_>>()),
        Err(error) => stream::iter(vec![Err(error)]),
    });
    (length, Body::from_stream(bytes))
}

/// What a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asks {
    Everything,
    Part(Range<u64>),
    /// There are no such bytes.
    Nothing,
}

/// One range of bytes; what is not understood, or several, is as good as none (RFC 9110, 14.2).
fn parse_range(text: &str, len: u64) -> Asks {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|text| text.split_once('-'))
    else {
        return Asks::Everything;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => number(suffix).map(|suffix| len.saturating_sub(suffix)..len),
        (first, "") => number(first).map(|first| first..len),
        (first, last) => number(first).zip(number(last)).and_then(|(first, last)| {
            (first <= last).then(|| first..last.saturating_add(1).min(len))
        }),
    };
    match range {
        None => Asks::Everything,
        Some(range) if range.start >= range.end => Asks::Nothing,
        Some(range) => Asks::Part(range),
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Nothing => Self::new(
                ErrorKind::ResourceNotFound,
                "Nothing is stored of this time (on the producer's clock).",
            ),
            Error::TooMany => Self::invalid(format!("Ask for less: {error}.")),
            Error::File(file::Error::FormatChange { .. }) => Self::new(
                ErrorKind::UnsupportedStreamMediaType,
                format!("{error} within the clip; ask for a part before or after that."),
            ),
            Error::File(file::Error::NoTrack(_)) => {
                Self::new(ErrorKind::UnsupportedStreamMediaType, format!("{error}."))
            }
            Error::File(_) => Self::new(ErrorKind::InvalidMediaFrame, format!("{error}.")),
            Error::Package(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_understood_as_browsers_send_them() {
        for (text, asks) in [
            ("bytes=0-", Asks::Part(0..100)),
            ("bytes=10-19", Asks::Part(10..20)),
            ("bytes=90-500", Asks::Part(90..100)),
            ("bytes=-10", Asks::Part(90..100)),
            ("bytes=-500", Asks::Part(0..100)),
            ("bytes=100-", Asks::Nothing),
            ("bytes=-0", Asks::Nothing),
            ("bytes=5-1", Asks::Everything),
            ("bytes=0-1,5-6", Asks::Everything),
            ("bytes=a-b", Asks::Everything),
            ("seconds=0-1", Asks::Everything),
            ("", Asks::Everything),
        ] {
            assert_eq!(parse_range(text, 100), asks, "{text}");
        }
    }
}
