//! What of a stream is kept, for people with curl: its limits, and pins that survive them.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::archive::native::millis;
use super::native::describe;
use super::video::rules;
use super::{ApiError, AppState, AwsJson, Caller, ErrorKind, Routes, blocking, find_stream};
use crate::store::{MAX_PINS, Pin, StreamInfo};
use crate::types::ProducerTimestamp;

/// The routes of this area.
pub(super) fn routes() -> Routes {
    let pins = get(list_pins).put(pin).delete(unpin);
    Routes {
        native: Router::new()
            .route("/v1/streams/{stream}", get(stream).patch(change))
            .route("/v1/streams/{stream}/pins", pins),
        ..Routes::default()
    }
}

/// `GET /v1/streams/{stream}`: the stream, as in the listing.
async fn stream(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    // Whoever may not read a stream does not learn either whether it exists.
    caller.may_read(&name.parse()?)?;
    let stream = find_stream(&app, Some(&name), None)?;
    Ok(Json(describe(&app, &stream)))
}

/// What a change may name; what is absent stays.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    retention_hours: Option<i64>,
    /// `null` is no limit.
    #[serde(default, deserialize_with = "present")]
    max_bytes: Option<Option<u64>>,
    strict_timecodes: Option<bool>,
}

/// Tells `null` from absence.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// `PATCH /v1/streams/{stream}`
async fn change(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
    AwsJson(change): AwsJson<Change>,
) -> Result<Json<Value>, ApiError> {
    caller.may_do_all()?;
    let hours = change.retention_hours.map(rules::retention_hours).transpose()?;
    let stream = update(&app, &name, move |stream| {
        stream.retention_hours = hours.unwrap_or(stream.retention_hours);
        stream.max_bytes = change.max_bytes.unwrap_or(stream.max_bytes);
        stream.strict_timecodes = change.strict_timecodes.unwrap_or(stream.strict_timecodes);
        Ok(())
    });
    let stream = stream.await?;
    // As with UpdateDataRetention, what falls out of the limits is gone once this is answered.
    let store = Arc::clone(&app.store);
    blocking(move || {
        store.enforce_retention();
        Ok(())
    })
    .await?;
    Ok(Json(describe(&app, &stream)))
}

/// Both ends of a pin, as every range of time in the native API.
#[derive(Deserialize)]
struct Range {
    start: String,
    end: String,
}

impl Range {
    fn pin(&self) -> Result<Pin, ApiError> {
        let time = |text: &str| millis(text).map(ProducerTimestamp::from_millis);
        let (from, to) = (time(&self.start)?, time(&self.end)?);
        if from > to {
            return Err(ApiError::invalid("start must not be after end."));
        }
        Ok(Pin { from, to })
    }
}

/// `GET /v1/streams/{stream}/pins`
async fn list_pins(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.may_read(&name.parse()?)?;
    let stream = find_stream(&app, Some(&name), None)?;
    Ok(Json(pins_of(&stream)))
}

/// `PUT /v1/streams/{stream}/pins?start=&end=`: once more changes nothing.
async fn pin(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Query(range): Query<Range>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.may_do_all()?;
    let pin = range.pin()?;
    let stream = update(&app, &name, move |stream| {
        if stream.pins.contains(&pin) {
            return Ok(());
        }
        if stream.pins.len() >= MAX_PINS {
            let text = format!("A stream can have {MAX_PINS} pins.");
            return Err(ApiError::new(ErrorKind::ClientLimitExceeded, text));
        }
        stream.pins.push(pin);
        stream.pins.sort_unstable();
        Ok(())
    });
    let stream = stream.await?;
    Ok(Json(pins_of(&stream)))
}

/// `DELETE /v1/streams/{stream}/pins?start=&end=`: the pin with exactly these ends.
async fn unpin(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Query(range): Query<Range>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.may_do_all()?;
    let pin = range.pin()?;
    let stream = update(&app, &name, move |stream| {
        let before = stream.pins.len();
        stream.pins.retain(|other| *other != pin);
        if stream.pins.len() == before {
            return Err(ApiError::new(ErrorKind::ResourceNotFound, "There is no such pin."));
        }
        Ok(())
    });
    let stream = stream.await?;
    Ok(Json(pins_of(&stream)))
}

fn pins_of(stream: &StreamInfo) -> Value {
    let pins = stream.pins.iter();
    let pins =
        pins.map(|pin| json!({ "start": pin.from.as_secs_f64(), "end": pin.to.as_secs_f64() }));
    json!({ "pins": pins.collect::<Vec<_>>() })
}

/// Changes a stream. Its version stays: those who follow AWS's protocol do not see what changed.
async fn update(
    app: &AppState,
    name: &str,
    change: impl FnOnce(&mut StreamInfo) -> Result<(), ApiError> + Send + 'static,
) -> Result<Arc<StreamInfo>, ApiError> {
    let stream = find_stream(app, Some(name), None)?;
    let app = Arc::clone(app);
    blocking(move || app.store.catalog().update(&stream.arn, None, false, change)).await
}
