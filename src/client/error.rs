//! What can go wrong with a call.

use super::ack::AckError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service answered with an error.
    #[error("{operation} was refused: HTTP {status} {code} {message}")]
    Refused {
        /// The operation, such as `DescribeStream`.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// `x-amzn-ErrorType`, such as `ResourceNotFoundException`; may be empty.
        code: String,
        /// The service's own words; may be empty.
        message: String,
    },
    /// The connection could not be made or broke.
    #[error("{operation}: {}", chain(.source))]
    Transport {
        /// The operation, such as `PutMedia`.
        operation: &'static str,
        /// What the HTTP client says.
        source: reqwest::Error,
    },
    /// The answer of a successful call lacks something.
    #[error("the answer to {operation} has no {member}")]
    Incomplete {
        /// The operation, such as `GetDataEndpoint`.
        operation: &'static str,
        /// The missing member.
        member: &'static str,
    },
    /// The answer of a successful call is not the JSON it should be.
    #[error("the answer to {operation} is not understood: {source}")]
    Answer {
        /// The operation.
        operation: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// None of the certificates that are to be trusted can be used.
    #[error("the certificates that are to be trusted: {0}")]
    Trust(#[source] rustls::client::VerifierBuilderError),
    /// An answer is longer than any of this service should be.
    #[error("the answer to {operation} is longer than {limit} bytes")]
    AnswerTooLong {
        /// The operation.
        operation: &'static str,
        /// The limit it met.
        limit: usize,
    },
    /// The service did not answer in time.
    #[error("{operation}: no answer in time")]
    TimedOut {
        /// The operation.
        operation: &'static str,
    },
    /// PutMedia answers with something else than acknowledgements.
    #[error("PutMedia: {0}")]
    Ack(#[from] AckError),
    /// An endpoint is not an `http` or `https` URL with a host.
    #[error("{0:?} is not an http or https address, such as http://127.0.0.1:5580")]
    Endpoint(String),
    /// The HTTP client could not be set up.
    #[error("set up the HTTP client: {}", chain(.0))]
    Setup(reqwest::Error),
}

impl Error {
    /// The service does not accept the key or does not allow it the operation.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403, .. })
    }

    /// The stream does not exist.
    pub fn is_not_found(&self) -> bool {
        // A service without the operation answers 404 too.
        matches!(self, Self::Refused { status: 404, code, .. } if code != "UnknownOperationException")
    }

    /// A record stream or queue does not exist.
    pub fn is_no_resource(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "ResourceNotFoundException")
    }

    /// An argument means nothing to the service, such as the number of a record of another stream.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "InvalidArgumentException")
    }

    /// Others read or write as much as is allowed; the same call can succeed soon.
    pub fn is_throttled(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code.contains("Exceeded"))
    }

    /// The name is taken, or the stream is being changed.
    pub fn is_in_use(&self) -> bool {
        let taken = ["ResourceInUseException", "ResourceAlreadyExistsException"];
        matches!(self, Self::Refused { code, .. } if taken.contains(&code.as_str()))
    }

    /// The same call can succeed later: the network, or a server that is busy or starting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::TimedOut { .. } => true,
            Self::Refused { status, code, .. } => {
                *status >= 500 || *status == 408 || *status == 429 || code.contains("LimitExceeded")
            }
            _ => false,
        }
    }
}

/// What an error says, with its reasons: `reqwest` keeps them in the chain of sources, "error sending
/// request: connect: refused".
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
