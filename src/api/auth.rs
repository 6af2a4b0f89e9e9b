//! Who is calling: SigV4 on AWS operations; SigV4, bearer tokens, links and HTTP Basic on the
//! native API.
//!
//! Every check ends in a [`Caller`], which handlers take as an argument. With `auth = "off"`
//! everybody is a caller who may do everything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use subtle::ConstantTimeEq;

use super::body::read_whole;
use super::keys::{Key, Refused};
use super::{ApiError, App, AppState, ErrorKind};
use crate::types::{ProducerTimestamp, StreamName};
use crate::wire::sigv4::{self, EMPTY_PAYLOAD, Presented, UNSIGNED_PAYLOAD, payload_hash};
use crate::wire::token::{Scope, TokenError};

/// What signatures of the video API and the native one are scoped to.
const VIDEO: &str = "kinesisvideo";

/// What a client says it hashed; may itself be unsigned.
const CONTENT_HASH: &str = "x-amz-content-sha256";

/// Who made a request, and how far it may go.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The access key that signed the request or issued its token; `None` with auth off.
    pub access_key: Option<String>,
    scope: Scope,
}

impl Caller {
    /// Refuses unless the caller may read the stream.
    pub fn may_read(&self, stream: &StreamName) -> Result<(), ApiError> {
        allowed(self.sees(stream))
    }

    /// Whether the caller may read the stream.
    pub fn sees(&self, stream: &StreamName) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::ReadStream(name) => name == stream,
            Scope::ReadClip { .. } | Scope::ReadCrop { .. } => false,
        }
    }

    /// Refuses unless the caller may have this clip of the stream.
    pub fn may_read_clip(
        &self,
        stream: &StreamName,
        from: ProducerTimestamp,
        to: ProducerTimestamp,
    ) -> Result<(), ApiError> {
        allowed(match &self.scope {
            Scope::ReadClip { stream: name, from: first, to: last } => {
                name == stream && *first <= from && to <= *last
            }
            _ => self.sees(stream),
        })
    }

    /// Refuses unless the caller may see the picture of this sighting.
    pub fn may_read_crop(&self, collection: &str, sighting: &str) -> Result<(), ApiError> {
        allowed(match &self.scope {
            Scope::All => true,
            Scope::ReadCrop { collection: its, sighting: one } => {
                (its.as_str(), one.as_str()) == (collection, sighting)
            }
            Scope::ReadStream(_) | Scope::ReadClip { .. } => false,
        })
    }

    /// Refuses unless the caller may read and change everything.
    pub fn may_do_all(&self) -> Result<(), ApiError> {
        allowed(self.scope == Scope::All)
    }

    fn anybody() -> Self {
        Self { access_key: None, scope: Scope::All }
    }

    fn with_key(access_key: &str) -> Self {
        Self { access_key: Some(access_key.to_owned()), scope: Scope::All }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Self>().cloned();
        Ok(caller.expect("every route that takes a Caller stands behind a check"))
    }
}

/// AWS operations with a JSON body: reads it whole, then verifies.
pub(super) async fn signed(
    State(app): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !app.config.auth_required() {
        return Ok(admit(request, Caller::anybody(), next).await);
    }
    let (parts, body) = request.into_parts();
    let presented = presented(&app, &parts)?;
    let limits = &app.config.http;
    let timeout = Duration::from_secs(limits.body_timeout_seconds);
    let body = read_whole(body, limits.max_json_bytes, timeout).await?;
    let caller = verify_body(&app, &parts, presented, &body, VIDEO)?;
    Ok(admit(Request::from_parts(parts, Body::from(body)), caller, next).await)
}

/// A signature of a key that exists; not checked yet.
pub(super) struct Candidate {
    presented: Presented,
    key: Arc<Key>,
}

/// The signature that a head presents; `None` with auth off. Whoever presents none, or one of an
/// unknown key, does not get to send a body either.
pub(super) fn presented(app: &App, parts: &Parts) -> Result<Option<Candidate>, ApiError> {
    if !app.config.auth_required() {
        return Ok(None);
    }
    candidate(app, parts).map(Some).map_err(counted(app))
}

/// Checks a signature that covers the whole body.
pub(super) fn verify_body(
    app: &App,
    parts: &Parts,
    candidate: Option<Candidate>,
    body: &[u8],
    service: &str,
) -> Result<Caller, ApiError> {
    let Some(candidate) = candidate else { return Ok(Caller::anybody()) };
    let hashes = [&payload_hash(body), UNSIGNED_PAYLOAD];
    candidate.verify(app, parts, &hashes, service).map_err(counted(app))
}

/// AWS operations that stream their body: verifies the head. Clients differ in what they sign for
/// a body they do not know yet.
pub(super) async fn streaming(
    State(app): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    by_head(&app, request, next, verify_head).await
}

/// The native API: verifies whatever the head presents.
pub(super) async fn native(
    State(app): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    by_head(&app, request, next, native_caller).await
}

/// Lets in whom the head alone proves; the body is untouched.
async fn by_head(
    app: &App,
    request: Request,
    next: Next,
    prove: fn(&App, &Parts) -> Result<Caller, ApiError>,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let caller = if app.config.auth_required() {
        prove(app, &parts).map_err(counted(app))?
    } else {
        Caller::anybody()
    };
    Ok(admit(Request::from_parts(parts, body), caller, next).await)
}

async fn admit(mut request: Request, caller: Caller, next: Next) -> Response {
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn native_caller(app: &App, parts: &Parts) -> Result<Caller, ApiError> {
    if with_signature(parts, |request| Ok(sigv4::is_signed(request)))? {
        return verify_head(app, parts);
    }
    let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match authorization.and_then(|text| text.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            return token_caller(app, token.trim());
        }
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => {
            return basic_caller(app, pair.trim());
        }
        _ => {}
    }
    let query = parts.uri.query().unwrap_or_default();
    match query.split('&').find_map(|pair| pair.strip_prefix("token=")) {
        // Links may have been through software that escapes the tilde.
        Some(token) => token_caller(app, &token.replace("%7E", "~").replace("%7e", "~")),
        None => Err(ApiError::new(
            ErrorKind::Unauthenticated,
            "Sign the request, or present a bearer token or an access key.",
        )),
    }
}

fn token_caller(app: &App, token: &str) -> Result<Caller, ApiError> {
    let now = app.clock.now();
    let access = app.keys.token_secret().access(token, now).map_err(token_error)?;
    app.keys.lookup(&access.access_key, now).map_err(refused)?;
    Ok(Caller { access_key: Some(access.access_key), scope: access.scope })
}

fn basic_caller(app: &App, pair: &str) -> Result<Caller, ApiError> {
    let text = STANDARD.decode(pair).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (access_key, secret) = text
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .ok_or_else(|| refused(Refused::Unknown))?;
    let key = app.keys.lookup(access_key, app.clock.now()).map_err(refused)?;
    if bool::from(key.secret.as_bytes().ct_eq(secret.as_bytes())) {
        Ok(Caller::with_key(access_key))
    } else {
        Err(refused(Refused::Unknown))
    }
}

/// Verifies a signature that cannot cover the body: what the client says it hashed, or one of the
/// two things that streaming clients sign without saying so.
fn verify_head(app: &App, parts: &Parts) -> Result<Caller, ApiError> {
    let given = parts.headers.get(CONTENT_HASH).and_then(|value| value.to_str().ok());
    verify(app, parts, &[given.unwrap_or(EMPTY_PAYLOAD), EMPTY_PAYLOAD, UNSIGNED_PAYLOAD])
}

fn verify(app: &App, parts: &Parts, payload_hashes: &[&str]) -> Result<Caller, ApiError> {
    candidate(app, parts)?.verify(app, parts, payload_hashes, VIDEO)
}

fn candidate(app: &App, parts: &Parts) -> Result<Candidate, ApiError> {
    let presented = with_signature(parts, sigv4::parse)?;
    // Our keys are long-lived and have no session token. One that is sent all the same (C
    // producers never sign it) proves nothing and harms nothing, so it is not looked at.
    let key = app.keys.lookup(presented.access_key(), app.clock.now()).map_err(refused)?;
    Ok(Candidate { presented, key })
}

impl Candidate {
    fn verify(
        &self,
        app: &App,
        parts: &Parts,
        payload_hashes: &[&str],
        service: &str,
    ) -> Result<Caller, ApiError> {
        with_signature(parts, |request| {
            let now = app.clock.now();
            self.presented.verify(request, &self.key.secret, payload_hashes, &[service], now)
        })?;
        Ok(Caller::with_key(&self.key.access_key))
    }
}

/// Shows a request's head to the signature code, as it was received.
fn with_signature<T>(
    parts: &Parts,
    look: impl FnOnce(&sigv4::Request<'_>) -> Result<T, sigv4::Error>,
) -> Result<T, ApiError> {
    let headers: Vec<(&str, &str)> = parts
        .headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?))
        })
        .collect();
    let request = sigv4::Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
    };
    look(&request).map_err(signature_error)
}

fn signature_error(error: sigv4::Error) -> ApiError {
    let kind = match error {
        sigv4::Error::Missing => ErrorKind::MissingAuthenticationToken,
        sigv4::Error::Incomplete(_) => ErrorKind::IncompleteSignature,
        sigv4::Error::BothForms
        | sigv4::Error::Expired { .. }
        | sigv4::Error::NotYetCurrent { .. }
        | sigv4::Error::WrongScope(_)
        | sigv4::Error::Mismatch => ErrorKind::InvalidSignature,
    };
    ApiError::new(kind, error.to_string())
}

fn token_error(error: TokenError) -> ApiError {
    match error {
        TokenError::Malformed | TokenError::WrongSignature => refused(Refused::Unknown),
        TokenError::Expired => refused(Refused::Expired),
    }
}

fn refused(reason: Refused) -> ApiError {
    match reason {
        Refused::Unknown => ApiError::new(
            ErrorKind::UnrecognizedClient,
            "The security token included in the request is invalid.",
        ),
        Refused::Expired => ApiError::new(
            ErrorKind::ExpiredToken,
            "The security token included in the request is expired",
        ),
    }
}

fn allowed(is_allowed: bool) -> Result<(), ApiError> {
    let refusal = || ApiError::new(ErrorKind::Forbidden, "The token does not allow this.");
    is_allowed.then_some(()).ok_or_else(refusal)
}

/// Counts a refusal on its way out.
fn counted(app: &App) -> impl Fn(ApiError) -> ApiError + '_ {
    |error| {
        app.metrics.http_refused.add(1);
        tracing::info!(error = error.kind.name(), "refused: {}", error.message);
        error
    }
}
