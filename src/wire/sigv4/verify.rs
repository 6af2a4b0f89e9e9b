//! The server's side: find the signature a request presents, then check it.

use subtle::ConstantTimeEq;

use super::canonical::{canonical_request, header, query_value};
use super::time::{amz_date, parse_amz_date};
use super::{ALGORITHM, CLOCK_WINDOW, MAX_EXPIRES_SECONDS, Request, Scope, TERMINATOR, signature};
use crate::types::{Millis, ServerTimestamp};

/// Why a request is not authentic. The texts are what AWS's front door answers with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither an `Authorization` header nor a signature in the query.
    #[error("Missing Authentication Token")]
    Missing,
    /// A signature is there, but not in its proper form.
    #[error("{0}")]
    Incomplete(String),
    /// Signed in the header and in the query at once.
    #[error(
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
    )]
    BothForms,
    /// Signed too long ago.
    #[error(
        "Signature expired: {} is now earlier than {} ({} - 5 min.)",
        amz_date(*.signed), amz_date(.now.minus(CLOCK_WINDOW)), amz_date(*.now)
    )]
    Expired {
        /// The last moment at which the signature was good.
        signed: ServerTimestamp,
        /// The server's time.
        now: ServerTimestamp,
    },
    /// Signed in the future.
    #[error(
        "Signature not yet current: {} is still later than {} ({} + 5 min.)",
        amz_date(*.signed), amz_date(.now.plus(CLOCK_WINDOW)), amz_date(*.now)
    )]
    NotYetCurrent {
        /// When the client says it signed.
        signed: ServerTimestamp,
        /// The server's time.
        now: ServerTimestamp,
    },
    /// The credential scope names another day or service.
    #[error("{0}")]
    WrongScope(String),
    /// The signature is of another request, or made with another secret.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details."
    )]
    Mismatch,
}

/// The signature a request presents, taken apart but not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    access_key: String,
    date: String,
    region: String,
    service: String,
    signed_headers: Vec<String>,
    signature: String,
    amz_date: String,
    signed_at: ServerTimestamp,
    /// Seconds of life of a query signature; `None` for the header form.
    expires: Option<u32>,
}

/// Whether the request presents a signature of version 4 at all, in either form.
pub fn is_signed(request: &Request<'_>) -> bool {
    header(request, "authorization").is_some_and(|value| value.starts_with(ALGORITHM))
        || query_value(request.query, "X-Amz-Algorithm").is_some()
}

/// Finds the signature that a request presents.
pub fn parse(request: &Request<'_>) -> Result<Presented, Error> {
    let authorization = header(request, "authorization");
    let in_query = query_value(request.query, "X-Amz-Algorithm");
    match (authorization, in_query) {
        (Some(_), Some(_)) => Err(Error::BothForms),
        (Some(text), None) => parse_header(request, text),
        (None, Some(algorithm)) => parse_query(request, &algorithm),
        (None, None) => Err(Error::Missing),
    }
}

impl Presented {
    /// Whose secret the signature was made with.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Checks scope, time and signature against the secret of [`Presented::access_key`].
    ///
    /// `payload_hashes` are what the client may have put for the body, which differs between
    /// clients that stream; the signature must fit one of them. Any region is accepted: clients
    /// keep the one they are configured with.
    pub fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        payload_hashes: &[&str],
        services: &[&str],
        now: ServerTimestamp,
    ) -> Result<(), Error> {
        self.check_scope(services)?;
        self.check_time(now)?;
        let signed_headers: Vec<&str> = self.signed_headers.iter().map(String::as_str).collect();
        let scope = Scope { date: &self.date, region: &self.region, service: &self.service };
        for payload_hash in payload_hashes {
            let canonical =
                canonical_request(request, &signed_headers, payload_hash).ok_or(Error::Mismatch)?;
            let expected = hex::encode(signature(&canonical, secret, &self.amz_date, &scope));
            if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
                return Ok(());
            }
        }
        Err(Error::Mismatch)
    }

    fn check_scope(&self, services: &[&str]) -> Result<(), Error> {
        if !services.contains(&self.service.as_str()) {
            let service = services.first().copied().unwrap_or_default();
            return Err(Error::WrongScope(format!(
                "Credential should be scoped to correct service: '{service}'."
            )));
        }
        let day = &self.amz_date[..8];
        if self.date != day {
            return Err(Error::WrongScope(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{}' != '{day}', from '{}'.",
                self.date, self.amz_date
            )));
        }
        Ok(())
    }

    fn check_time(&self, now: ServerTimestamp) -> Result<(), Error> {
        // A header is good for the window around its date; a URL from its date until it expires.
        let life = Millis(u64::from(self.expires.unwrap_or(0)) * 1000);
        let window = if self.expires.is_some() { Millis(0) } else { CLOCK_WINDOW };
        let last = self.signed_at.plus(life);
        if last.plus(window) < now {
            return Err(Error::Expired { signed: last, now });
        }
        if self.signed_at > now.plus(CLOCK_WINDOW) {
            return Err(Error::NotYetCurrent { signed: self.signed_at, now });
        }
        Ok(())
    }
}

fn parse_header(request: &Request<'_>, text: &str) -> Result<Presented, Error> {
    let Some(parameters) = text.strip_prefix(ALGORITHM).filter(|rest| rest.starts_with(' ')) else {
        return Err(Error::Incomplete(format!(
            "Unsupported AWS 'algorithm': the Authorization header must begin with '{ALGORITHM}'."
        )));
    };
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for parameter in parameters.split(',') {
        match parameter.trim().split_once('=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => signed_headers = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            _ => {}
        }
    }
    let date = header(request, "x-amz-date").or_else(|| header(request, "date"));
    let mut missing = String::new();
    for (name, value) in
        [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed_headers)]
    {
        if value.is_none_or(str::is_empty) {
            missing.push_str(&format!("Authorization header requires '{name}' parameter. "));
        }
    }
    if date.is_none() {
        missing.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    match (credential, signed_headers, signature, date) {
        (Some(credential), Some(signed), Some(signature), Some(date)) if missing.is_empty() => {
            presented(credential, signed, signature, date.trim(), None)
        }
        _ => Err(Error::Incomplete(missing.trim_end().to_owned())),
    }
}

fn parse_query(request: &Request<'_>, algorithm: &str) -> Result<Presented, Error> {
    if algorithm != ALGORITHM {
        return Err(Error::Incomplete(format!("X-Amz-Algorithm must be '{ALGORITHM}'.")));
    }
    let parameter = |name: &str| {
        query_value(request.query, name).filter(|value| !value.is_empty()).ok_or_else(|| {
            Error::Incomplete(format!("AWS query-string parameters must include '{name}'."))
        })
    };
    let credential = parameter("X-Amz-Credential")?;
    let signed_headers = parameter("X-Amz-SignedHeaders")?;
    let signature = parameter("X-Amz-Signature")?;
    let date = parameter("X-Amz-Date")?;
    let expires = parameter("X-Amz-Expires")?
        .parse::<u32>()
        .ok()
        .filter(|seconds| (1..=MAX_EXPIRES_SECONDS).contains(seconds))
        .ok_or_else(|| {
            Error::Incomplete(format!("X-Amz-Expires must be from 1 to {MAX_EXPIRES_SECONDS}."))
        })?;
    presented(&credential, &signed_headers, &signature, &date, Some(expires))
}

fn presented(
    credential: &str,
    signed_headers: &str,
    signature: &str,
    amz_date: &str,
    expires: Option<u32>,
) -> Result<Presented, Error> {
    let signed_at = parse_amz_date(amz_date).ok_or_else(|| {
        Error::Incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{amz_date}'."))
    })?;
    // From the right, for an access key may contain anything.
    let mut parts = credential.rsplitn(5, '/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (terminator, service, region, date, access_key) = (part(), part(), part(), part(), part());
    if terminator != TERMINATOR || access_key.is_empty() {
        return Err(Error::Incomplete(format!(
            "Credential must have the form KEY/YYYYMMDD/REGION/SERVICE/{TERMINATOR}. Got \
             '{credential}'."
        )));
    }
    // The Host is what binds the signature to this server.
    let signed_headers: Vec<String> =
        signed_headers.split(';').map(str::to_ascii_lowercase).collect();
    if !signed_headers.iter().any(|name| name == "host") {
        return Err(Error::Incomplete("'Host' must be a 'SignedHeader'.".to_owned()));
    }
    // Each name brings its header into the text that is hashed: a long header that is named over
    // and over would make that text as large as the sender likes.
    let mut names: Vec<&str> = signed_headers.iter().map(String::as_str).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::Incomplete("'SignedHeaders' names a header twice.".to_owned()));
    }
    Ok(Presented {
        access_key,
        date,
        region,
        service,
        signed_headers,
        signature: signature.to_owned(),
        amz_date: amz_date.to_owned(),
        signed_at,
        expires,
    })
}
