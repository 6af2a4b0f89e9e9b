//! What clients of record streams are told when something is refused.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use serde::Serialize;

use super::put_record::{no_partition_key, too_large};
use super::{Call, NoRoom};
use crate::api::error::ERROR_TYPE;
use crate::api::{ApiError, ErrorKind};
use crate::records::iterator::ITERATOR_LIFE;
use crate::records::{
    MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_RETENTION_HOURS, MIN_RETENTION_HOURS, RecordsError,
};
use crate::types::{ShardId, StreamName};
use crate::wire::records::Format;

/// A refusal on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Which error of the AWS API.
    pub(super) kind: Kind,
    /// For people; tells what to change.
    pub(super) message: Cow<'static, str>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal,)*) => {
        /// The errors of the KDS API that this service gives.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($(#[$doc])* $kind,)*
            /// The front door's, shared with the video API.
            FrontDoor(ErrorKind),
        }

        impl Kind {
            /// The name in `__type` and `x-amzn-ErrorType`.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                    Self::FrontDoor(ErrorKind::Internal) => "InternalFailureException",
                    Self::FrontDoor(kind) => kind.name(),
                }
            }
        }
    };
}

kinds! {
    /// A dry run that would have succeeded.
    DryRun "DryRunOperationException",
    ExpiredIterator "ExpiredIteratorException",
    ExpiredNextToken "ExpiredNextTokenException",
    InvalidArgument "InvalidArgumentException",
    KeyNotFound "KMSNotFoundException",
    LimitExceeded "LimitExceededException",
    ThroughputExceeded "ProvisionedThroughputExceededException",
    ResourceInUse "ResourceInUseException",
    ResourceNotFound "ResourceNotFoundException",
    Serialization "SerializationException",
    Throttling "ThrottlingException",
    UnknownOperation "UnknownOperationException",
    Validation "ValidationException",
}

/// The body of an error in both formats.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

impl Failure {
    /// An error with a message.
    pub(super) fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The most frequent one.
    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::InvalidArgument, message)
    }

    /// What is asked for is not there.
    pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::ResourceNotFound, message)
    }

    /// What a dry run answers that nothing speaks against.
    pub(super) fn dry_run() -> Self {
        Self::new(Kind::DryRun, "Request would have succeeded, but the DryRun flag is set.")
    }

    /// Our own fault. The log gets `cause`, the client does not.
    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        ApiError::internal(cause).into()
    }

    /// The answer, in the format of the request.
    pub(super) fn into_response(self, format: Format) -> Response {
        let content_type = [(header::CONTENT_TYPE, format.content_type())];
        let body = self.body(format);
        let mut response = (self.kind.status(), content_type, body).into_response();
        let name = HeaderValue::from_static(self.kind.name());
        response.headers_mut().insert(ERROR_TYPE, name);
        response
    }

    /// What stands in a body, or in the message of an event stream.
    pub(super) fn body(&self, format: Format) -> Vec<u8> {
        format.write(&Body { kind: self.kind.name(), message: &self.message })
    }
}

impl Kind {
    /// 400 for all but our own faults.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::FrontDoor(ErrorKind::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::FrontDoor(ErrorKind::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl Call {
    /// What a client is told of the domain's refusal, in the words of AWS where they are known.
    pub(super) fn failure(&self, error: RecordsError) -> Failure {
        use RecordsError as E;
        let account = self.account();
        match error {
            E::NoSuchStream(name) => self.no_stream(&name),
            E::StreamExists(name) => Failure::new(
                Kind::ResourceInUse,
                format!("Stream {name} under account {account} already exists."),
            ),
            E::NoSuchShard { stream, shard } => self.no_shard(&stream, &shard),
            E::NoSuchConsumer { stream, consumer } => Failure::not_found(format!(
                "Consumer {consumer} of stream {stream} under account {account} not found."
            )),
            E::ConsumerExists { stream, consumer } => Failure::new(
                Kind::ResourceInUse,
                format!(
                    "Consumer {consumer} of stream {stream} under account {account} already exists."
                ),
            ),
            E::HasConsumers(name) => Failure::new(
                Kind::ResourceInUse,
                format!(
                    "Stream {name} under account {account} has consumers. Deregister them, or set \
                     EnforceConsumerDeletion."
                ),
            ),
            E::HasQueues(name) => Failure::new(
                Kind::ResourceInUse,
                format!("Stream {name} under account {account} has queues. Delete them first."),
            ),
            E::Reshard { stream, reason } => {
                Failure::invalid(format!("Stream {stream} under account {account}: {reason}."))
            }
            E::Scale { stream, open, target } => Failure::invalid(format!(
                "Stream {stream} under account {account} has {open} open shards. It can be scaled to \
                 at most twice and at least half of them at a time, not to {target}."
            )),
            E::Retention { stream, kept, asked, change } => Failure::invalid(format!(
                "Stream {stream} under account {account} keeps records for {kept} hours. \
                 {asked} hours are no {change} of that, or not between {MIN_RETENTION_HOURS} and \
                 {MAX_RETENTION_HOURS}."
            )),
            E::OnDemand(stream) => Failure::invalid(format!(
                "The shards of stream {stream} under account {account} cannot be changed: its mode \
                 is ON_DEMAND."
            )),
            E::ForeignSequenceNumber { stream, shard } => Failure::invalid(format!(
                "The sequence number is not one of shard {shard} in stream {stream} under account \
                 {account}."
            )),
            E::Limit(limit) => {
                Failure::new(Kind::LimitExceeded, format!("Limit reached: {limit}."))
            }
            E::ExpiredIterator { issued, now } => Failure::new(
                Kind::ExpiredIterator,
                format!(
                    "Iterator expired. The iterator was created at time {issued} while right now \
                     it is {now} which is further in the future than the tolerated delay of {} \
                     milliseconds.",
                    ITERATOR_LIFE.0
                ),
            ),
            E::NoPartitionKey { at } => {
                no_partition_key(&format!("records.{}.member.partitionKey", at + 1))
            }
            E::RecordTooLarge { at, limit, .. } => {
                too_large(&format!("records.{}.member.data", at + 1), limit)
            }
            E::BatchTooLarge { .. } => Failure::invalid(format!(
                "A request takes at most {MAX_BATCH_RECORDS} records of {MAX_BATCH_BYTES} bytes."
            )),
            E::RateExceeded { stream, shard } => {
                Failure::new(Kind::ThroughputExceeded, self.rate_exceeded(&stream, shard))
            }
            E::SubscribedLately { .. } => {
                Failure::new(Kind::ResourceInUse, format!("Another subscription: {error}."))
            }
            E::StaleIterator => Failure::not_found("The iterator's stream was deleted."),
            E::Database(_) | E::Uncertain(_) | E::Unavailable(_) | E::Unreadable(_) => {
                Failure::internal(error)
            }
        }
    }

    /// That a shard takes or gives no more now; counted.
    pub(super) fn rate_exceeded(&self, stream: &StreamName, shard: ShardId) -> String {
        self.app.metrics.records_throttled.add(1);
        let account = self.account();
        format!("Rate exceeded for shard {shard} in stream {stream} under account {account}.")
    }

    /// A stream that does not exist.
    pub(super) fn no_stream(&self, name: &StreamName) -> Failure {
        let account = self.account();
        Failure::not_found(format!("Stream {name} under account {account} not found."))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { kind: Kind::FrontDoor(error.kind), message: error.message }
    }
}

impl From<NoRoom> for Failure {
    fn from(_: NoRoom) -> Self {
        Self::new(Kind::Throttling, "Too many large requests at a time.")
    }
}
