//! The native API's own documents: streams, health, metrics, and its description.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{ApiError, App, AppState, Caller, Routes, blocking, processors, records};
use crate::store::{FragmentInfo, StreamInfo};

/// The most streams in one answer of `GET /v1/streams`.
const MAX_LISTED: usize = 10_000;

/// Describes every native path. Kept beside the code; a test asks for each path in it.
const OPENAPI: &str = include_str!("openapi.json");

/// The routes of this area.
///
/// Metrics need authentication also from loopback: behind a reverse proxy everybody comes from
/// loopback. Health does not, for supervisors have no keys; it says nothing about streams.
pub(super) fn routes() -> Routes {
    Routes {
        native: Router::new()
            .route("/v1/streams", get(list_streams))
            .route("/metrics", get(metrics)),
        public: Router::new()
            .route("/healthz", get(health))
            .route("/v1/openapi.json", get(openapi)),
        ..Routes::default()
    }
}

/// `GET /v1/streams`: what the caller may see, by name.
async fn list_streams(State(app): State<AppState>, caller: Caller) -> Json<Value> {
    let streams = app.store.catalog().list("", None, MAX_LISTED);
    let seen = streams.iter().filter(|stream| caller.sees(stream.name()));
    let streams: Vec<Value> = seen.map(|stream| describe(&app, stream)).collect();
    Json(json!({ "streams": streams }))
}

/// A stream in every answer of the native API.
pub(super) fn describe(app: &App, stream: &StreamInfo) -> Value {
    let media = app.store.media(stream.id);
    let bounds = media.as_ref().and_then(|media| media.bounds());
    json!({
        "name": stream.name().as_str(),
        "arn": stream.arn.to_string(),
        "mediaType": stream.media_type,
        "created": stream.created().as_secs_f64(),
        "retentionHours": stream.retention_hours,
        "maxBytes": stream.max_bytes,
        "strictTimecodes": stream.strict_timecodes,
        "pins": stream.pins.len(),
        "bytes": media.map_or(0, |media| media.stored_bytes()),
        "tags": stream.tags,
        "live": bounds.as_ref().is_some_and(|(_, newest)| is_live(app, newest)),
        "oldest": bounds.as_ref().map(|(oldest, _)| fragment(oldest)),
        "newest": bounds.as_ref().map(|(_, newest)| fragment(newest)),
    })
}

/// As long as a live session could begin.
fn is_live(app: &App, newest: &FragmentInfo) -> bool {
    let ended = newest.server().plus(newest.duration);
    app.clock.now().since(ended) <= app.live_within()
}

/// A persisted fragment, in every answer of the native API.
pub(super) fn fragment(info: &FragmentInfo) -> Value {
    json!({
        "number": info.number.to_string(),
        "producerTimestamp": info.producer.as_secs_f64(),
        "serverTimestamp": info.server().as_secs_f64(),
        "durationMs": info.duration.0,
        "sizeBytes": info.size,
    })
}

/// `GET /metrics`: Prometheus text.
async fn metrics(State(app): State<AppState>, caller: Caller) -> Result<Response, ApiError> {
    caller.may_do_all()?;
    let space = app.store.space();
    app.metrics.store_bytes.set(space.used_bytes);
    app.metrics.store_disk_bytes.set(space.disk_bytes);
    app.metrics.store_expired.raise_to(space.expired);
    app.metrics.store_evicted.raise_to(space.evicted);
    app.metrics.store_refused.raise_to(space.refused);
    app.metrics.store_copied_bytes.raise_to(space.copied_bytes);
    app.metrics.store_held_bytes.set(app.store.held_bytes());
    let text = blocking(move || {
        let records = records::render_metrics(&app);
        Ok(app.metrics.render() + &records + &processors::render_metrics(&app))
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// `GET /healthz`: 200 while the store takes writes, 503 with the reason afterwards.
async fn health(State(app): State<AppState>) -> Response {
    match app.store.poisoned() {
        None => Json(json!({ "status": "ok" })).into_response(),
        Some(reason) => {
            let body = json!({ "status": "failing", "reason": reason });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// `GET /v1/openapi.json`.
async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}
