//! What clients of record streams are told when something is refused.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::api::error::ERROR_TYPE;
use crate::api::{ApiError, ErrorKind};
use crate::wire::records::Format;
use serde::Serialize;

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
    Internal "InternalFailureException",
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

    /// Our own fault. The log gets `cause`, the client does not.
    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        ApiError::internal(cause).into()
    }

    /// The answer, in the format of the request.
    pub(super) fn into_response(self, format: Format) -> Response {
        let name = self.kind.name();
        let body = format.write(&Body { kind: name, message: &self.message });
        let content_type = [(header::CONTENT_TYPE, format.content_type())];
        let mut response = (self.kind.status(), content_type, body).into_response();
        response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(name));
        response
    }
}

impl Kind {
    /// 400 for all but our own faults.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Internal | Self::FrontDoor(ErrorKind::Internal) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::FrontDoor(ErrorKind::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { kind: Kind::FrontDoor(error.kind), message: error.message }
    }
}
