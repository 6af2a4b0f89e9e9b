//! Kinesis Data Streams: every operation is a POST whose header `X-Amz-Target` names it, at any path.
//!
//! [`divert`] stands before the routes of the video API, takes the requests that are meant for this
//! one, and passes the others on. What a request goes through: is there such an operation; is there a
//! signature of a known key; the body; the signature; the shape; the model's constraints; the
//! operation. AWS looks at the shape before the signature; here, nothing that a stranger sends is
//! parsed.

mod account;
mod channels;
mod consumers;
mod create_stream;
mod delete_stream;
mod describe_stream;
mod encryption;
mod error;
mod facts;
mod front_door;
mod get_records;
mod list_shards;
mod list_streams;
mod names;
mod native;
mod operations;
mod policies;
mod position;
mod put_record;
mod queue_records;
mod queues;
mod reshard;
mod settings;
mod subscribe_to_shard;
mod tags;
mod tokens;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::body::aside;
use super::observe::Operation;
use super::{AppState, auth};
use crate::records::{RecordStreams, RecordsError};
use crate::wire::records::Format;
use crate::wire::records::rule::{Value, problems};
use error::{Failure, Kind};
use front_door::Asked;

pub(super) use front_door::allow_origin;
pub(super) use names::arn;
pub use native::{render_metrics, routes};

/// Names the operation.
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// A second id, which AWS support asks for. Random, as the first.
const SECOND_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
/// Ours: a name for the request's records, so that the same sent again is stored once. The record at
/// `n` is called `NAME/n`, unless it has a name of its own (the member `DedupeKey`).
const DEDUPE_KEY: HeaderName = HeaderName::from_static("x-kinora-dedupe-key");
/// The longest value of it, as of the member.
const MAX_DEDUPE_KEY: usize = 256;
/// What signatures are scoped to.
const SERVICE: &str = "kinesis";
/// Bodies up to here are bounded by the number of connections alone.
const SMALL_BODY_BYTES: usize = 1 << 20;

/// What all requests of this API share, and those of Rekognition with large pictures.
pub struct Gate {
    /// Permits for bodies larger than [`SMALL_BODY_BYTES`], held until they are answered.
    large_bodies: Semaphore,
}

impl Gate {
    /// With room for so many large bodies at a time.
    pub fn new(large_bodies: usize) -> Self {
        Self { large_bodies: Semaphore::new(large_bodies) }
    }

    /// Waits for room for the body that a head announces; holds it as long as the permit. None for a
    /// small one.
    pub(super) async fn room(
        &self,
        headers: &HeaderMap,
        patience: Duration,
    ) -> Result<Option<SemaphorePermit<'_>>, NoRoom> {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|text| text.to_str().ok()?.parse().ok()).unwrap_or(usize::MAX);
        if length <= SMALL_BODY_BYTES {
            return Ok(None);
        }
        let room = tokio::time::timeout(patience, self.large_bodies.acquire()).await;
        room.ok().and_then(Result::ok).map(Some).ok_or(NoRoom)
    }
}

/// Too many large bodies are on their way.
#[derive(Debug)]
pub(super) struct NoRoom;

/// A request of a known caller, beside its input. Cheap to clone.
#[derive(Clone)]
struct Call {
    app: AppState,
    format: Format,
    /// The value of [`DEDUPE_KEY`].
    dedupe: Option<Arc<str>>,
}

/// Answers what is meant for this API, and passes on what is not.
pub(super) async fn divert(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let from_page = request.headers().contains_key(header::ORIGIN);
    let mut response = match front_door::asked(&request) {
        Asked::Elsewhere => return next.run(request).await,
        Asked::Nothing(response) => *response,
        Asked::Operation(format, operation) => {
            let answer = call(Call { app, format, dedupe: None }, operation, request).await;
            let mut response = answer.unwrap_or_else(|failure| failure.into_response(format));
            response.extensions_mut().insert(Operation(operation));
            response
        }
    };
    let id = STANDARD.encode(random_id());
    let headers = response.headers_mut();
    headers.insert(SECOND_ID, HeaderValue::try_from(id).expect("base64 is ASCII"));
    if from_page {
        front_door::allow_origin(headers);
    }
    response
}

async fn call(call: Call, operation: &'static str, request: Request) -> Result<Response, Failure> {
    let app = call.app.clone();
    let (parts, body) = request.into_parts();
    let presented = auth::presented(&app, &parts)?;
    let limits = &app.config.http;
    let timeout = Duration::from_secs(limits.body_timeout_seconds);
    let _room = app.gate.room(&parts.headers, timeout).await?;
    let body = super::body::read_whole(body, limits.max_records_bytes, timeout).await?;
    let call = Call { dedupe: dedupe_key(&parts.headers)?, ..call };
    let (app, signed) = (call.app.clone(), body.clone());
    let verify = move || auth::verify_body(&app, &parts, presented, &signed, SERVICE);
    aside(body.len() > SMALL_BODY_BYTES, verify).await.map_err(Failure::internal)??;
    operations::dispatch(call, operation, body).await
}

/// The name of the request's records. One that is empty or unreadable is refused: a producer whose
/// variable is unset would have all of its requests taken for one.
fn dedupe_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Failure> {
    let Some(value) = headers.get(&DEDUPE_KEY) else { return Ok(None) };
    let name = value.to_str().ok().filter(|name| (1..=MAX_DEDUPE_KEY).contains(&name.len()));
    let name = name.ok_or_else(|| {
        Failure::invalid(format!(
            "{DEDUPE_KEY} needs to have 1 to {MAX_DEDUPE_KEY} printable ASCII characters."
        ))
    })?;
    Ok(Some(Arc::from(name)))
}

impl Call {
    /// Reads the input, holds it against the model, and lets the operation answer.
    async fn answer<I, O, F>(
        self,
        body: Bytes,
        operation: impl FnOnce(Self, I) -> F,
    ) -> Result<Response, Failure>
    where
        I: DeserializeOwned + Default + Value + Send + 'static,
        O: Answer,
        F: Future<Output = Result<O, Failure>>,
    {
        let format = self.format;
        let input = aside(body.len() > SMALL_BODY_BYTES, move || read(format, &body)).await;
        let input = input.map_err(Failure::internal)??;
        Ok(operation(self, input).await?.into_response(format))
    }
}

/// The input, held against the model.
fn read<I: DeserializeOwned + Default + Value>(format: Format, body: &[u8]) -> Result<I, Failure> {
    let input: I = format.read(body).map_err(|error| {
        Failure::new(Kind::Serialization, format!("The request body is not valid: {error}."))
    })?;
    match problems(&input) {
        None => Ok(input),
        Some(problems) => Err(Failure::new(Kind::Validation, problems)),
    }
}

impl Call {
    /// Changes the catalog, on a thread that may wait for the disk.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RecordStreams) -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, Failure> {
        let app = Arc::clone(&self.app);
        let done = tokio::task::spawn_blocking(move || work(&app.records)).await;
        done.map_err(Failure::internal)?.map_err(|error| self.failure(error))
    }
}

/// What operations answer with.
trait Answer {
    fn into_response(self, format: Format) -> Response;
}

/// A shape.
impl<T: Value + Serialize> Answer for T {
    fn into_response(self, format: Format) -> Response {
        let content_type = [(header::CONTENT_TYPE, format.content_type())];
        (content_type, format.write(&self)).into_response()
    }
}

/// Nothing, which is an empty body.
impl Answer for () {
    fn into_response(self, format: Format) -> Response {
        ([(header::CONTENT_TYPE, format.content_type())], Body::empty()).into_response()
    }
}

/// Something of its own.
impl Answer for Response {
    fn into_response(self, _: Format) -> Response {
        self
    }
}

/// As long as those of AWS.
fn random_id() -> [u8; 48] {
    let mut bytes = [0; 48];
    getrandom::fill(&mut bytes).expect("the system has a source of randomness");
    bytes
}
