//! Media in and out while it happens: PutMedia and GetMedia.

mod files;
mod get_media;
mod put_media;
mod readers;

pub use files::Files;
pub use readers::Readers;

use axum::routing::{post, put};

use super::Routes;

/// The routes of this area.
pub fn routes() -> Routes {
    let mut routes = Routes::default();
    routes.streaming = routes.streaming.route("/putMedia", post(put_media::put_media));
    routes.signed = routes.signed.route("/getMedia", post(get_media::get_media));
    routes.native = routes.native.route("/v1/streams/{stream}/media", put(files::put_file));
    routes
}
