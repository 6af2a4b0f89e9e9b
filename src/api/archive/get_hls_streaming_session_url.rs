//! GetHLSStreamingSessionURL: a link that any HLS player can play.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;

use super::hls::Opened;
use super::order_of;
use crate::api::{ApiError, AppState, AwsJson, ErrorKind, find_stream};
use crate::config::HlsLimits;
use crate::serve::hls::{Discontinuity, Playback, SelectorClock, Session, UnplayableTracks};
use crate::store::Order;
use crate::types::{Millis, ServerTimestamp, StreamId};
use crate::wire::media::{
    GetHlsStreamingSessionUrlInput as Input, GetHlsStreamingSessionUrlOutput as Output,
};

pub(super) async fn get_hls_streaming_session_url(
    State(app): State<AppState>,
    headers: HeaderMap,
    AwsJson(input): AwsJson<Input>,
) -> Result<Json<Output>, ApiError> {
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    if stream.retention_hours == 0 {
        return Err(ApiError::new(
            ErrorKind::NoDataRetention,
            "The stream has no data retention, so there is nothing to play.",
        ));
    }
    let session = session_of(&input, stream.id, &app.config.hls, app.clock.now())?;
    let opened = Opened::begin(&app, session).await?;
    let base = app.base_url(&headers)?;
    Ok(Json(Output { hls_streaming_session_url: opened.url(&base) }))
}

fn session_of(
    input: &Input,
    stream: StreamId,
    limits: &HlsLimits,
    now: ServerTimestamp,
) -> Result<Session, ApiError> {
    let text = |member: &Option<String>| member.clone().unwrap_or_default();
    match text(&input.container_format).as_str() {
        "" | "FRAGMENTED_MP4" => {}
        "MPEG_TS" => {
            return Err(ApiError::invalid(
                "ContainerFormat MPEG_TS is not offered by this server; use FRAGMENTED_MP4.",
            ));
        }
        other => return Err(ApiError::invalid(format!("ContainerFormat has no value {other}."))),
    }
    let playback = playback_of(input, limits)?;
    let discontinuity = match (text(&input.discontinuity_mode).as_str(), playback.clock()) {
        ("ALWAYS", _) | ("", SelectorClock::Server) => Discontinuity::Always,
        ("NEVER", _) | ("", SelectorClock::Producer) => Discontinuity::Never,
        ("ON_DISCONTINUITY", _) => Discontinuity::OnDiscontinuity,
        (other, _) => {
            return Err(ApiError::invalid(format!("DiscontinuityMode has no value {other}.")));
        }
    };
    let display_timestamps = match text(&input.display_fragment_timestamp).as_str() {
        "ALWAYS" => true,
        "" | "NEVER" => false,
        other => {
            return Err(ApiError::invalid(format!(
                "DisplayFragmentTimestamp has no value {other}."
            )));
        }
    };
    let default_results = if playback.is_live() {
        limits.live_playlist_fragments
    } else {
        limits.on_demand_playlist_fragments
    };
    let results = match input.max_media_playlist_fragment_results {
        None => default_results,
        Some(results) => usize::try_from(results)
            .ok()
            .filter(|results| (1..=limits.max_playlist_fragments).contains(results))
            .ok_or_else(|| {
                ApiError::invalid(format!(
                    "MaxMediaPlaylistFragmentResults must be from 1 to {}.",
                    limits.max_playlist_fragments
                ))
            })?,
    };
    Ok(Session {
        stream,
        playback,
        discontinuity,
        display_timestamps,
        max_results: u16::try_from(results).unwrap_or(u16::MAX),
        expires: now.plus(lifetime(input.expires, limits)?),
        unplayable: UnplayableTracks::Refuse,
    })
}

fn playback_of(input: &Input, limits: &HlsLimits) -> Result<Playback, ApiError> {
    let selector = input.hls_fragment_selector.as_ref();
    match input.playback_mode.as_deref().unwrap_or("LIVE") {
        "LIVE" => {
            if selector.is_some_and(|selector| selector.timestamp_range.is_some()) {
                return Err(ApiError::invalid(
                    "TimestampRange must not be given with PlaybackMode LIVE.",
                ));
            }
            match selector.and_then(|selector| selector.fragment_selector_type.as_deref()) {
                None | Some("SERVER_TIMESTAMP") => Ok(Playback::Live(SelectorClock::Server)),
                Some("PRODUCER_TIMESTAMP") => Ok(Playback::Live(SelectorClock::Producer)),
                Some(other) => {
                    Err(ApiError::invalid(format!("FragmentSelectorType has no value {other}.")))
                }
            }
        }
        "ON_DEMAND" => {
            let selector = selector.ok_or_else(|| {
                ApiError::invalid("HLSFragmentSelector must be given with PlaybackMode ON_DEMAND.")
            })?;
            let order = order_of(selector, Some("SERVER_TIMESTAMP"))?;
            check_range(order, limits)?;
            Ok(Playback::OnDemand(order))
        }
        "LIVE_REPLAY" => Err(ApiError::invalid(
            "PlaybackMode LIVE_REPLAY is not offered by this server; use ON_DEMAND.",
        )),
        other => Err(ApiError::invalid(format!("PlaybackMode has no value {other}."))),
    }
}

/// A range is not empty and not longer than the limit (24 hours on AWS).
pub(super) fn check_range(order: Order, limits: &HlsLimits) -> Result<(), ApiError> {
    let length = match order {
        Order::Producer { from, to } => to.since(from),
        Order::Server { from, to } => to.since(from),
    };
    let longest = Millis(limits.max_range_seconds * 1000);
    if length == Millis(0) || length > longest {
        return Err(ApiError::invalid(format!(
            "EndTimestamp must be after StartTimestamp and at most {} hours later.",
            limits.max_range_seconds / 3600
        )));
    }
    Ok(())
}

fn lifetime(expires: Option<i64>, limits: &HlsLimits) -> Result<Millis, ApiError> {
    let allowed = limits.min_session_seconds..=limits.max_session_seconds;
    let seconds = match expires {
        None => Some(limits.default_session_seconds),
        Some(seconds) => u64::try_from(seconds).ok().filter(|seconds| allowed.contains(seconds)),
    };
    seconds.map(|seconds| Millis(seconds * 1000)).ok_or_else(|| {
        ApiError::invalid(format!(
            "Expires must be from {} to {} seconds.",
            limits.min_session_seconds, limits.max_session_seconds
        ))
    })
}
