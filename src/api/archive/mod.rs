//! Archived media: listings, fragment lists and session URLs.

mod clip;
mod get_hls_streaming_session_url;
mod get_media_for_fragment_list;
mod hls;
mod list_fragments;
pub(super) mod native;

use axum::routing::{get, post};

use super::{ApiError, Routes};
use crate::store::Order;
use crate::types::{ProducerTimestamp, ServerTimestamp};
use crate::wire::media::FragmentSelector;

/// The routes of this area.
pub fn routes() -> Routes {
    let mut routes = Routes::default();
    routes.signed = routes
        .signed
        .route("/listFragments", post(list_fragments::list_fragments))
        .route(
            "/getMediaForFragmentList",
            post(get_media_for_fragment_list::get_media_for_fragment_list),
        )
        .route(
            "/getHLSStreamingSessionURL",
            post(get_hls_streaming_session_url::get_hls_streaming_session_url),
        );
    routes.public = routes
        .public
        .route("/hls/v1/getHLSMasterPlaylist.m3u8", get(hls::master_playlist))
        .route("/hls/v1/getHLSMediaPlaylist.m3u8", get(hls::media_playlist))
        .route("/hls/v1/getMP4InitFragment.mp4", get(hls::init_segment))
        .route("/hls/v1/getMP4MediaFragment.mp4", get(hls::media_segment));
    routes.native = routes
        .native
        .route("/v1/streams/{stream}/live.m3u8", get(native::live))
        .route("/v1/streams/{stream}/hls.m3u8", get(native::on_demand))
        .route("/v1/streams/{stream}/clip.mp4", get(clip::clip))
        .route("/v1/streams/{stream}/fragments", get(native::fragments))
        .route("/v1/streams/{stream}/fragments/{number}", get(native::chunk));
    routes
}

/// The range that a fragment selector means; both ends are included.
fn order_of(selector: &FragmentSelector, default_type: Option<&str>) -> Result<Order, ApiError> {
    let range = selector.timestamp_range.as_ref();
    let range = range.ok_or_else(|| ApiError::invalid("TimestampRange must be given."))?;
    let (Some(from), Some(to)) = (range.start_timestamp, range.end_timestamp) else {
        return Err(ApiError::invalid("StartTimestamp and EndTimestamp must be given."));
    };
    if from > to {
        return Err(ApiError::invalid("StartTimestamp must not be after EndTimestamp."));
    }
    let kind = selector.fragment_selector_type.as_deref().or(default_type);
    let order = match kind {
        Some("PRODUCER_TIMESTAMP") => ProducerTimestamp::from_secs_f64(from)
            .zip(ProducerTimestamp::from_secs_f64(to))
            .map(|(from, to)| Order::Producer { from, to }),
        Some("SERVER_TIMESTAMP") => ServerTimestamp::from_secs_f64(from)
            .zip(ServerTimestamp::from_secs_f64(to))
            .map(|(from, to)| Order::Server { from, to }),
        _ => {
            return Err(ApiError::invalid(
                "FragmentSelectorType must be PRODUCER_TIMESTAMP or SERVER_TIMESTAMP.",
            ));
        }
    };
    order.ok_or_else(|| ApiError::invalid("Timestamps must be seconds since the Unix epoch."))
}
