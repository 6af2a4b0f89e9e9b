//! The HTTP edge: AWS-compatible operations, the native API and what surrounds them.
//!
//! Here, and nowhere else: HTTP, the names and shapes of AWS, status codes, authentication. Each
//! operation is a file that turns a wire shape into domain calls and back.
//!
//! Each area (`video`, `media`, `archive`, `native`) returns its [`Routes`], sorted by how callers
//! prove who they are; [`router`] puts the matching check before each group. `records` and
//! `rekognition` are found by a header instead of a path, so they stand before all of them.

mod alerts;
pub mod archive;
mod auth;
mod body;
mod error;
pub mod events;
mod impatient;
mod keeping;
pub mod keys;
mod links;
pub mod media;
mod native;
mod observe;
mod parts;
mod people;
mod processors;
pub mod records;
pub mod rekognition;
pub mod server;
mod streams;
mod upload;
pub mod video;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio_util::sync::CancellationToken;

pub use auth::Caller;
pub use body::{AwsJson, MediaBody, aws_json};
pub use error::{ApiError, ErrorKind};
pub use streams::{blocking, find_stream};

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::people::People;
use crate::processors::Processors;
use crate::records::RecordStreams;
use crate::records::queue::Queues;
use crate::serve::package::Packager;
use crate::store::Store;
use crate::types::Millis;
use crate::web;

/// What every handler can reach.
pub struct App {
    /// The settings, checked.
    pub config: Config,
    /// All media.
    pub store: Arc<Store>,
    /// The time.
    pub clock: Clock,
    /// Who may call.
    pub keys: keys::KeyRing,
    /// What is counted.
    pub metrics: Metrics,
    /// The GetMedia answers under way.
    pub readers: media::Readers,
    /// The files that are being uploaded.
    pub files: media::Files,
    /// The record streams of the store.
    pub records: Arc<RecordStreams>,
    /// The queues over them.
    pub queues: Queues,
    /// Who was seen.
    pub people: People,
    /// The stream processors.
    pub processors: Processors,
    /// What looks at single pictures.
    pub pictures: rekognition::Pictures,
    /// Tells those who listen what happens.
    pub events: events::Hub,
    /// What bounds the requests of record streams.
    pub gate: records::Gate,
    /// Makes segments for players, and keeps the newest.
    pub packager: Packager,
    /// Cancelled when the server stops: long answers then end in order, soon.
    pub shutdown: CancellationToken,
}

/// The state of handlers: `State(app): State<AppState>`.
pub type AppState = Arc<App>;

/// The routes of one area, by how their callers are authenticated.
#[derive(Default)]
pub struct Routes {
    /// AWS operations with a JSON body: it is read whole and its signature verified before the
    /// handler runs. Handlers take [`AwsJson`].
    pub signed: Router<AppState>,
    /// AWS operations that are answered while the body comes in: the head is verified, the body
    /// untouched. Handlers take the body and call [`MediaBody::begin`].
    pub streaming: Router<AppState>,
    /// Paths under `/v1` for curl and browsers: SigV4, a bearer token, `?token=` or HTTP Basic.
    /// The body is untouched. Handlers must ask the [`Caller`] what it may do.
    pub native: Router<AppState>,
    /// No authentication, any origin. Session URLs, whose handlers check the `SessionToken`.
    pub public: Router<AppState>,
}

/// The whole service as one router.
pub fn router(app: AppState) -> Router {
    let Routes { signed, streaming, native, public } =
        areas().into_iter().fold(Routes::default(), Routes::and);
    // Not `route_layer`, which refuses an area that has no routes yet.
    let signed = signed.layer(from_fn_with_state(app.clone(), auth::signed));
    let streaming = streaming.layer(from_fn_with_state(app.clone(), auth::streaming));
    // Also a refusal must be readable by the page that gets it, so CORS stands outside.
    let native = native.layer(from_fn_with_state(app.clone(), auth::native)).layer(from_fn(cors));
    let public = public.layer(from_fn(cors));
    Router::new()
        .merge(signed)
        .merge(streaming)
        .merge(native)
        .merge(public)
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(from_fn_with_state(app.clone(), records::divert))
        .layer(from_fn_with_state(app.clone(), rekognition::divert))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

fn areas() -> [Routes; 11] {
    [
        video::routes(),
        media::routes(),
        archive::routes(),
        native::routes(),
        keeping::routes(),
        links::routes(),
        alerts::routes(),
        events::routes(),
        records::routes(),
        people::routes(),
        processors::routes(),
    ]
}

impl App {
    /// How long ago the newest fragment of a live stream ended at most.
    fn live_within(&self) -> Millis {
        Millis(self.config.hls.live_within_seconds.saturating_mul(1000))
    }

    /// Scheme and host under which the client reaches the server, without a path: the configured
    /// public URL, else the `Host` it asked. The C and Java producers leave the port out of
    /// `Host`, so a port that is not the scheme's own is put back: without a public URL,
    /// clients are taken to connect to us directly.
    pub fn base_url(&self, headers: &HeaderMap) -> Result<String, ApiError> {
        if let Some(url) = &self.config.public_url {
            return Ok(url.clone());
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host
            .and_then(|host| host.parse::<Authority>().ok())
            .ok_or_else(|| ApiError::invalid("The request has no valid Host header."))?;
        let scheme = self.config.scheme();
        match (scheme, self.config.listen.port()) {
            ("http", 80) | ("https", 443) => Ok(format!("{scheme}://{host}")),
            (_, port) if host.port().is_none() => Ok(format!("{scheme}://{}:{port}", host.host())),
            _ => Ok(format!("{scheme}://{host}")),
        }
    }
}

/// The ARN of what the Rekognition API names: `streamprocessor/NAME`, `collection/ID`.
fn rekognition_arn(app: &App, resource: impl std::fmt::Display) -> String {
    format!("arn:aws:rekognition:{}:{}:{resource}", app.config.region, app.config.account)
}

impl Routes {
    fn and(self, other: Self) -> Self {
        Self {
            signed: self.signed.merge(other.signed),
            streaming: self.streaming.merge(other.streaming),
            native: self.native.merge(other.native),
            public: self.public.merge(other.public),
        }
    }
}

/// What is no operation is a page of the console, or nothing.
async fn not_found(State(_): State<AppState>, request: Request) -> Response {
    let path = request.uri().path();
    match *request.method() {
        Method::GET | Method::HEAD if path.starts_with("/v1/") => {
            ApiError::new(ErrorKind::ResourceNotFound, "There is nothing at this path.")
                .into_response()
        }
        Method::GET | Method::HEAD => web::page(path, request.headers()),
        // What a browser asks before it sends a request with a header of ours.
        Method::OPTIONS => allow_any_origin(StatusCode::NO_CONTENT.into_response()),
        _ => ApiError::new(ErrorKind::UnknownOperation, "").into_response(),
    }
}

async fn cors(request: Request, next: Next) -> Response {
    allow_any_origin(next.run(request).await)
}

/// Lets pages of any origin read the answer: players run on other sites, and no cookie of ours
/// exists that such a page could misuse.
fn allow_any_origin(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, Range"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Content-Length, Content-Range, ETag"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
