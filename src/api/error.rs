//! What clients are told when something is refused: a status, a name and a message.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::store::CatalogError;
use crate::types::{ArnError, InvalidStreamName};

/// Carries the error's name; every AWS SDK looks here first.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// A refusal on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Which error of the AWS API.
    pub kind: ErrorKind,
    /// For people; tells what to change.
    pub message: Cow<'static, str>,
}

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $status:literal,)*) => {
        /// The errors of the KVS API and of its front door, as clients know them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "named as in the AWS API")]
        pub enum ErrorKind {
            $($(#[$doc])* $kind,)*
        }

        impl ErrorKind {
            /// The name in `x-amzn-ErrorType`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                let code = match self { $(Self::$kind => $status,)* };
                StatusCode::from_u16(code).expect("the table has valid codes")
            }
        }
    };
}

error_kinds! {
    AccessDenied "AccessDeniedException" 401,
    ClientLimitExceeded "ClientLimitExceededException" 400,
    ConnectionLimitExceeded "ConnectionLimitExceededException" 400,
    InvalidArgument "InvalidArgumentException" 400,
    InvalidCodecPrivateData "InvalidCodecPrivateDataException" 400,
    InvalidEndpoint "InvalidEndpointException" 400,
    InvalidMediaFrame "InvalidMediaFrameException" 400,
    InvalidResourceFormat "InvalidResourceFormatException" 400,
    MissingCodecPrivateData "MissingCodecPrivateDataException" 400,
    NoDataRetention "NoDataRetentionException" 400,
    NotAuthorized "NotAuthorizedException" 401,
    ResourceInUse "ResourceInUseException" 400,
    ResourceNotFound "ResourceNotFoundException" 404,
    TagsPerResourceExceededLimit "TagsPerResourceExceededLimitException" 400,
    UnsupportedStreamMediaType "UnsupportedStreamMediaTypeException" 400,
    VersionMismatch "VersionMismatchException" 400,
    /// The front door: nothing was presented.
    MissingAuthenticationToken "MissingAuthenticationTokenException" 403,
    /// The front door: a signature not in its form.
    IncompleteSignature "IncompleteSignatureException" 403,
    /// The front door: a signature that is wrong or out of its time.
    InvalidSignature "InvalidSignatureException" 403,
    /// The front door: an unknown access key or token.
    UnrecognizedClient "UnrecognizedClientException" 403,
    /// The front door: a key or token whose time is over.
    ExpiredToken "ExpiredTokenException" 403,
    /// The native API: nothing was presented (browsers and curl expect 401).
    Unauthenticated "MissingAuthenticationTokenException" 401,
    /// The native API: the caller's token does not reach that far.
    Forbidden "AccessDeniedException" 403,
    /// The body is not JSON of the expected shape.
    Serialization "SerializationException" 400,
    BodyTooLarge "RequestEntityTooLargeException" 413,
    /// The body did not come in time.
    RequestTimeout "RequestTimeoutException" 408,
    UnknownOperation "UnknownOperationException" 404,
    Internal "InternalFailure" 500,
    Unavailable "ServiceUnavailableException" 503,
}

impl ApiError {
    /// An error with a message.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The most frequent one: an argument outside its bounds.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// A stream that does not exist, in the words of AWS.
    pub fn no_stream() -> Self {
        Self::new(ErrorKind::ResourceNotFound, "The requested stream is not found or not active.")
    }

    /// Our own fault. The log gets `cause`, the client does not.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!("internal error: {cause}");
        Self::new(ErrorKind::Internal, "The service failed to answer the request.")
    }
}

impl ErrorKind {
    /// The front door of AWS writes the body's member in lower case, the service in upper case.
    fn message_member(self) -> &'static str {
        use ErrorKind as K;
        match self {
            K::MissingAuthenticationToken
            | K::IncompleteSignature
            | K::InvalidSignature
            | K::UnrecognizedClient
            | K::ExpiredToken
            | K::Unauthenticated
            | K::Forbidden => "message",
            _ => "Message",
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = match self.kind {
            // The real service's answer to a path it does not know has this shape.
            ErrorKind::UnknownOperation => json!({
                "Output": {"__type": "com.amazon.coral.service#UnknownOperationException"},
                "Version": "1.0",
            }),
            kind => json!({ kind.message_member(): self.message }),
        };
        let mut response = (self.kind.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.kind.name()));
        if self.kind == ErrorKind::Unauthenticated {
            // Not Basic, for which browsers would open a dialogue of their own.
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"kinora\""),
            );
        }
        response
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Exists(name) => {
                Self::new(ErrorKind::ResourceInUse, format!("The stream {name} already exists."))
            }
            CatalogError::NotFound => Self::no_stream(),
            CatalogError::VersionMismatch { given } => Self::new(
                ErrorKind::VersionMismatch,
                format!("The stream version {given} is not the current version of the stream."),
            ),
            CatalogError::Database(_) | CatalogError::Uncertain(_) => Self::internal(error),
        }
    }
}

impl From<InvalidStreamName> for ApiError {
    fn from(error: InvalidStreamName) -> Self {
        Self::invalid(format!("StreamName: {error}."))
    }
}

impl From<ArnError> for ApiError {
    fn from(error: ArnError) -> Self {
        Self::invalid(format!("The ARN is not valid: {error}."))
    }
}
