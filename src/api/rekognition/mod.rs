//! Rekognition: every operation is a POST whose header `X-Amz-Target` names it, at any path, with a
//! body of JSON 1.1.
//!
//! [`divert`] stands before the routes and before record streams, and takes what is meant for this
//! API. What a request goes through is as in `records`: the operation, a signature of a known key, the
//! body, the signature, the shape, the model's constraints.

mod collections;
mod detect;
mod error;
mod faces;
mod operations;
mod pictures;
mod processors;
mod quality;
mod tags;
mod users;

use std::future::Future;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, Method, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::aside;
use super::observe::Operation;
use super::{AppState, auth, records};
use crate::wire::records::Format;
use crate::wire::records::rule::{Value, problems};
use error::{Failure, Kind};

pub use pictures::{MAX_PICTURE_BYTES, Pictures, portrait};

/// Names the operation.
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// What targets begin with.
const TARGET_PREFIX: &str = "RekognitionService.";
/// What signatures are scoped to.
const SERVICE: &str = "rekognition";
/// Bodies up to here are verified and read on the connection's own thread.
const SMALL_BODY_BYTES: usize = 256 << 10;

/// A request of a known caller, beside its input.
struct Call {
    app: AppState,
}

/// Answers what is meant for this API, and passes on what is not.
pub(super) async fn divert(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let target = request.headers().get(&TARGET).and_then(|value| value.to_str().ok());
    let Some(name) = target.and_then(|target| target.strip_prefix(TARGET_PREFIX)) else {
        return next.run(request).await;
    };
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let from_page = request.headers().contains_key(header::ORIGIN);
    let mut response = match operations::find(name) {
        None => Failure::new(Kind::UnknownOperation, "").into_response(),
        Some(operation) => {
            let answer = call(Call { app }, operation, request).await;
            let mut response = answer.unwrap_or_else(IntoResponse::into_response);
            response.extensions_mut().insert(Operation(operation));
            response
        }
    };
    if from_page {
        records::allow_origin(response.headers_mut());
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
    // Two pictures of 5 MiB are 14 in base64: as much as a batch of records.
    let body = super::body::read_whole(body, limits.max_records_bytes, timeout).await?;
    let (verifier, signed) = (call.app.clone(), body.clone());
    let verify = move || auth::verify_body(&verifier, &parts, presented, &signed, SERVICE);
    aside(body.len() > SMALL_BODY_BYTES, verify).await.map_err(Failure::internal)??;
    operations::dispatch(call, operation, body).await
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
        O: Serialize,
        F: Future<Output = Result<O, Failure>>,
    {
        let input = aside(body.len() > SMALL_BODY_BYTES, move || read(&body)).await;
        let input = input.map_err(Failure::internal)??;
        let output = operation(self, input).await?;
        let content_type = [(header::CONTENT_TYPE, Format::Json.content_type())];
        Ok((content_type, Format::Json.write(&output)).into_response())
    }

    /// Changes what is stored, on a thread that may wait for the disk.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&super::App) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let app = self.app.clone();
        tokio::task::spawn_blocking(move || work(&app)).await.map_err(Failure::internal)?
    }
}

/// The input, held against the model.
fn read<I: DeserializeOwned + Default + Value>(body: &[u8]) -> Result<I, Failure> {
    let input: I = Format::Json.read(body).map_err(|error| {
        Failure::new(Kind::Serialization, format!("The request body is not valid: {error}."))
    })?;
    match problems(&input) {
        None => Ok(input),
        Some(problems) => Err(Failure::new(Kind::Validation, problems)),
    }
}
