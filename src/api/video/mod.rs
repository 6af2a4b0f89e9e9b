//! The KVS control plane: what streams exist and what is known of them. One file per action.
//!
//! Changes are applied before they are answered, so a stream is never seen `CREATING` or
//! `UPDATING`; clients accept that, and producers rely on it right after CreateStream.

mod create_stream;
mod delete_stream;
mod describe_stream;
mod get_data_endpoint;
mod list_streams;
mod list_tags;
pub(super) mod rules;
mod tag;
mod untag;
mod update_data_retention;
mod update_stream;

use axum::Router;
use axum::routing::post;

use super::Routes;

/// The routes of this area. Paths are case-sensitive; three of them keep their capital.
pub fn routes() -> Routes {
    let signed = Router::new()
        .route("/createStream", post(create_stream::create_stream))
        .route("/describeStream", post(describe_stream::describe_stream))
        .route("/listStreams", post(list_streams::list_streams))
        .route("/updateStream", post(update_stream::update_stream))
        .route("/updateDataRetention", post(update_data_retention::update_data_retention))
        .route("/deleteStream", post(delete_stream::delete_stream))
        .route("/getDataEndpoint", post(get_data_endpoint::get_data_endpoint))
        .route("/tagStream", post(tag::tag_stream))
        .route("/untagStream", post(untag::untag_stream))
        .route("/listTagsForStream", post(list_tags::list_tags_for_stream))
        .route("/TagResource", post(tag::tag_resource))
        .route("/UntagResource", post(untag::untag_resource))
        .route("/ListTagsForResource", post(list_tags::list_tags_for_resource));
    Routes { signed, ..Routes::default() }
}
