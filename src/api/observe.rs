//! Around every request: its id, its log line, its count.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};
use tracing::Instrument;

use super::AppState;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Put into an answer's extensions by what is told apart by something else than its path.
#[derive(Clone, Copy)]
pub(super) struct Operation(pub(super) &'static str);

/// Gives the request an id (`x-amzn-RequestId`, also in every log line under it) and counts it.
pub(super) async fn observe(
    State(app): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    name_host(&mut request);
    let id = request_id();
    let matched = request.extensions().get::<MatchedPath>();
    let operation = matched.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    // The path without its query, which may hold a token.
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", id, method = %request.method(), path);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = started.elapsed();
    let status = response.status();
    app.metrics.http_seconds.observe(took);
    let operation = response.extensions().get().map_or(&*operation, |&Operation(name)| name);
    app.metrics.http_requests.count(operation, status.as_u16());
    span.in_scope(|| tracing::debug!(status = status.as_u16(), ?took, "answered"));
    let id = HeaderValue::try_from(id).expect("an id is hexadecimal");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// HTTP/2 names the host elsewhere; all that follows, signatures first, looks for `Host`.
fn name_host(request: &mut Request) {
    if request.headers().contains_key(header::HOST) {
        return;
    }
    let authority = request.uri().authority();
    if let Some(host) = authority.and_then(|name| HeaderValue::from_str(name.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// A random UUID (version 4), as AWS has them.
fn request_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has a source of randomness");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}
