//! `POST /v1/links`: addresses that show one clip or one picture for a while, without a key.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::HeaderMap;

use super::{ApiError, AppState, AwsJson, Caller, Routes};
use crate::types::{Millis, ProducerTimestamp, StreamName};
use crate::wire::alerts::{Link, LinkRequest, LinkTarget};
use crate::wire::token::{Access, Scope};

/// How long a link holds that names no time: a day.
const DEFAULT_SECONDS: u64 = 86_400;
/// The longest time a link may hold: 30 days.
const MAX_SECONDS: u64 = 30 * 86_400;

/// The routes of this area.
pub(super) fn routes() -> Routes {
    Routes { native: Router::new().route("/v1/links", post(link)), ..Routes::default() }
}

async fn link(
    State(app): State<AppState>,
    headers: HeaderMap,
    caller: Caller,
    AwsJson(request): AwsJson<LinkRequest>,
) -> Result<Json<Link>, ApiError> {
    caller.may_do_all()?;
    let seconds = request.seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        return Err(ApiError::invalid(format!("seconds must be from 1 to {MAX_SECONDS}.")));
    }
    let (scope, path, query) = shown(request.to)?;
    let expires = app.clock.now().plus(Millis(seconds * 1000));
    let token = caller.access_key.map(|access_key| {
        let token = app.keys.token_secret().grant(&Access { access_key, scope }, expires);
        format!("token={token}")
    });
    // With authentication off, there is no key to sign for, and no need to.
    let query: Vec<String> = query.into_iter().chain(token).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let url = format!("{}{path}{query}", app.base_url(&headers)?);
    Ok(Json(Link { url, expires: expires.as_secs_f64() }))
}

/// What a link allows, and where it leads.
fn shown(target: LinkTarget) -> Result<(Scope, String, Option<String>), ApiError> {
    match target {
        LinkTarget::Clip { stream, start, end } => {
            let stream: StreamName = stream.parse()?;
            let time = |seconds| {
                let time = ProducerTimestamp::from_secs_f64(seconds);
                time.ok_or_else(|| ApiError::invalid("start and end must be seconds."))
            };
            let (from, to) = (time(start)?, time(end)?);
            if from >= to {
                return Err(ApiError::invalid("start must be before end."));
            }
            let path = format!("/v1/streams/{stream}/clip.mp4");
            Ok((Scope::ReadClip { stream, from, to }, path, Some(format!("start={from}&end={to}"))))
        }
        LinkTarget::Crop { collection, sighting } => {
            let is_name = |text: &str| {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
                (1..=255).contains(&text.len()) && text.bytes().all(allowed)
            };
            if !is_name(&collection) || !is_name(&sighting) {
                return Err(ApiError::invalid("collection and sighting must be names."));
            }
            let path = format!("/v1/collections/{collection}/sightings/{sighting}/crop.jpg");
            Ok((Scope::ReadCrop { collection, sighting }, path, None))
        }
    }
}
