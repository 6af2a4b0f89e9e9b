//! The native API's ways to a stream's media: playlists and the list of what is stored.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Deserialize;
use serde_json::{Value, json};

use super::get_hls_streaming_session_url::check_range;
use super::hls::{FOLDER, Opened};
use crate::api::native::fragment;
use crate::api::{ApiError, App, AppState, Caller, ErrorKind, find_stream};
use crate::serve::hls::{Discontinuity, Playback, SelectorClock, Session, UnplayableTracks};
use crate::store::{Order, ReadError};
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp, StreamId};

/// Fragments in one answer of the listing.
const DEFAULT_LISTED: usize = 1000;
const MOST_LISTED: usize = 10_000;

/// A range of time: `start` and `end` as seconds since the Unix epoch or as RFC 3339.
#[derive(Deserialize)]
pub(super) struct Range {
    start: Option<String>,
    end: Option<String>,
    /// `producer` (the default) or `server`.
    clock: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/streams/{stream}/live.m3u8`
pub(super) async fn live(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let stream = readable(&app, &name, &caller)?;
    let results = app.config.hls.live_playlist_fragments;
    let session = session(&app, stream, Playback::Live(SelectorClock::Producer), results);
    Opened::begin(&app, session).await?.master_playlist(&app, FOLDER).await
}

/// `GET /v1/streams/{stream}/hls.m3u8?start=&end=`
pub(super) async fn on_demand(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Query(range): Query<Range>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let stream = readable(&app, &name, &caller)?;
    if range.start.is_none() {
        return Err(ApiError::invalid("start must be given, and end unless it is now."));
    }
    let order = range.order(app.clock.now().as_millis())?;
    check_range(order, &app.config.hls)?;
    let results = app.config.hls.max_playlist_fragments;
    let session = session(&app, stream, Playback::OnDemand(order), results);
    Opened::begin(&app, session).await?.master_playlist(&app, FOLDER).await
}

/// `GET /v1/streams/{stream}/fragments?start=&end=&limit=`
pub(super) async fn fragments(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Query(range): Query<Range>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let stream = readable(&app, &name, &caller)?;
    let media = app.store.media(stream).ok_or_else(ApiError::no_stream)?;
    let limit = range.limit.unwrap_or(DEFAULT_LISTED);
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be from 1 to {MOST_LISTED}.")));
    }
    // A producer's clock may be ahead of ours: without an end, everything is listed.
    let found = media.list(range.order(i64::MAX)?, None, limit);
    let fragments: Vec<Value> = found.iter().map(fragment).collect();
    Ok(Json(json!({ "fragments": fragments })))
}

/// `GET /v1/streams/{stream}/fragments/{number}`: the stored chunk as it is, an MKV file by itself.
pub(super) async fn chunk(
    State(app): State<AppState>,
    Path((name, number)): Path<(String, String)>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let stream = readable(&app, &name, &caller)?;
    let media = app.store.media(stream).ok_or_else(ApiError::no_stream)?;
    let number: FragmentNumber =
        number.parse().map_err(|error| ApiError::invalid(format!("The number: {error}.")))?;
    let chunk = media.read(number).await.map_err(|error| match error {
        ReadError::NotFound | ReadError::StreamDeleted => {
            ApiError::new(ErrorKind::ResourceNotFound, "The fragment is not stored (any more).")
        }
        error => ApiError::internal(error),
    })?;
    Ok(([(header::CONTENT_TYPE, "video/x-matroska")], chunk.bytes).into_response())
}

fn readable(app: &App, name: &str, caller: &Caller) -> Result<StreamId, ApiError> {
    // Whoever may not read a stream does not learn either whether it exists.
    caller.may_read(&name.parse()?)?;
    Ok(find_stream(app, Some(name), None)?.id)
}

/// What players like best: discontinuities only where there are any, true dates, and a stream
/// whose sound cannot be played still shows its picture.
fn session(app: &App, stream: StreamId, playback: Playback, results: usize) -> Session {
    let longest = Millis(app.config.hls.max_session_seconds * 1000);
    Session {
        stream,
        playback,
        discontinuity: Discontinuity::OnDiscontinuity,
        display_timestamps: true,
        max_results: u16::try_from(results).unwrap_or(u16::MAX),
        expires: app.clock.now().plus(longest),
        unplayable: UnplayableTracks::Skip,
    }
}

impl Range {
    /// An absent start is the beginning.
    fn order(&self, absent_end: i64) -> Result<Order, ApiError> {
        let from = self.start.as_deref().map(millis).transpose()?;
        let to = self.end.as_deref().map(millis).transpose()?;
        let (from, to) = (from.unwrap_or(0), to.unwrap_or(absent_end));
        match self.clock.as_deref() {
            None | Some("producer") => Ok(Order::Producer {
                from: ProducerTimestamp::from_millis(from),
                to: ProducerTimestamp::from_millis(to),
            }),
            Some("server") => Ok(Order::Server {
                from: ServerTimestamp::from_millis(from),
                to: ServerTimestamp::from_millis(to),
            }),
            Some(_) => Err(ApiError::invalid("clock must be producer or server.")),
        }
    }
}

/// A time in a query: seconds since the Unix epoch, or a date.
pub(in crate::api) fn millis(text: &str) -> Result<i64, ApiError> {
    let seconds = text.parse().ok().and_then(ProducerTimestamp::from_secs_f64);
    let date = || text.parse::<jiff::Timestamp>().ok();
    seconds
        .map(ProducerTimestamp::as_millis)
        .or_else(|| date().map(jiff::Timestamp::as_millisecond))
        .ok_or_else(|| {
            ApiError::invalid(
                "Times are seconds since the Unix epoch, or dates like 2026-11-22T12:00:00Z.",
            )
        })
}
