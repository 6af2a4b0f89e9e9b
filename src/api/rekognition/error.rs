//! What clients of Rekognition are told when something is refused.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::api::error::ERROR_TYPE;
use crate::api::records::NoRoom;
use crate::api::{ApiError, ErrorKind};
use crate::people::PeopleError;
use crate::processors::ProcessorError;
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
        /// The errors of the Rekognition API that this service gives.
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
                    Self::FrontDoor(ErrorKind::Internal) => "InternalServerError",
                    Self::FrontDoor(kind) => kind.name(),
                }
            }
        }
    };
}

kinds! {
    /// What this service does not offer.
    AccessDenied "AccessDeniedException",
    Conflict "ConflictException",
    ImageTooLarge "ImageTooLargeException",
    InvalidImageFormat "InvalidImageFormatException",
    InvalidPaginationToken "InvalidPaginationTokenException",
    InvalidParameter "InvalidParameterException",
    InvalidS3Object "InvalidS3ObjectException",
    LimitExceeded "LimitExceededException",
    ResourceAlreadyExists "ResourceAlreadyExistsException",
    ResourceInUse "ResourceInUseException",
    ResourceNotFound "ResourceNotFoundException",
    Serialization "SerializationException",
    ServiceQuotaExceeded "ServiceQuotaExceededException",
    Throttling "ThrottlingException",
    UnknownOperation "UnknownOperationException",
    Validation "ValidationException",
}

/// The body of an error.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
    code: &'a str,
    message: &'a str,
}

impl Failure {
    /// An error with a message.
    pub(super) fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The most frequent one.
    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::InvalidParameter, message)
    }

    /// What is asked for is not there.
    pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::ResourceNotFound, message)
    }

    /// Our own fault. The log gets `cause`, the client does not.
    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        ApiError::internal(cause).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.kind {
            Kind::FrontDoor(ErrorKind::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::FrontDoor(ErrorKind::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let name = self.kind.name();
        let body = Format::Json.write(&Body { kind: name, code: name, message: &self.message });
        let content_type = [(header::CONTENT_TYPE, Format::Json.content_type())];
        let mut response = (status, content_type, body).into_response();
        response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(name));
        response
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let kind = match error.kind {
            ErrorKind::InvalidArgument => Kind::InvalidParameter,
            kind => Kind::FrontDoor(kind),
        };
        Self { kind, message: error.message }
    }
}

impl From<ProcessorError> for Failure {
    fn from(error: ProcessorError) -> Self {
        let kind = match error {
            ProcessorError::NotFound(_) => Kind::ResourceNotFound,
            ProcessorError::Exists(_) | ProcessorError::Busy { .. } => Kind::ResourceInUse,
            ProcessorError::Full => Kind::LimitExceeded,
            ProcessorError::Store(_) => return Self::internal(error),
        };
        Self::new(kind, format!("{error}."))
    }
}

impl From<PeopleError> for Failure {
    fn from(error: PeopleError) -> Self {
        use PeopleError as E;
        let kind = match error {
            E::NoCollection(_) | E::NoPerson(_) | E::NoSighting(_) | E::NoUser(_) => {
                Kind::ResourceNotFound
            }
            E::CollectionExists(_) => Kind::ResourceAlreadyExists,
            E::UserExists(_) => Kind::Conflict,
            E::NoFace(_) | E::WrongLength { .. } | E::Invalid(_) => Kind::InvalidParameter,
            E::Limit { .. } => Kind::ServiceQuotaExceeded,
            E::Store(_) | E::Random(_) => return Self::internal(error),
        };
        Self::new(kind, format!("{error}."))
    }
}

/// For the native API, which tells the same in its own way.
impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            Kind::FrontDoor(kind) => kind,
            // There are no models.
            Kind::AccessDenied => ErrorKind::Unavailable,
            _ => ErrorKind::InvalidArgument,
        };
        Self::new(kind, failure.message)
    }
}

impl From<NoRoom> for Failure {
    fn from(_: NoRoom) -> Self {
        Self::new(Kind::Throttling, "Too many large requests at a time.")
    }
}
