//! AWS Signature Version 4: one implementation for the server that verifies and the client that
//! signs.
//!
//! Both build the same canonical request ([`canonical`]), so a request signed here verifies here
//! by construction; that other clients agree is shown by vectors and captures in the tests.
//! The time is always an argument.

mod canonical;
mod sign;
mod time;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

pub use sign::{presign_query, sign_headers};
pub use time::{amz_date, parse_amz_date};
pub use verify::{Error, Presented, is_signed, parse};

use crate::types::Millis;

/// The one algorithm: `AWS4-HMAC-SHA256`.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The SHA-256 of nothing, in hex. The C and C++ producers sign PutMedia with it.
pub const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Signed instead of a hash by clients that stream. The Java producer signs PutMedia with it.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// How far a client's clock may be from the server's, either way.
pub const CLOCK_WINDOW: Millis = Millis(5 * 60 * 1000);

/// The longest life of a query-signed URL, in seconds (`X-Amz-Expires`).
pub const MAX_EXPIRES_SECONDS: u32 = 604_800;

/// Ends every credential scope.
const TERMINATOR: &str = "aws4_request";

/// An HTTP request as far as its signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path as it stands in the request line, not decoded, without the query.
    pub path: &'a str,
    /// The query as it stands in the request line, without the question mark; may be empty.
    pub query: &'a str,
    /// Names in any case, values as sent, in the order received. `Host` must be among them and
    /// must be what went over the wire: clients differ in whether it carries the port.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What a client signs with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Names the secret: `AKIA…`.
    pub access_key: String,
    /// Known to client and server only.
    pub secret: String,
    /// Sent along as `x-amz-security-token` where present.
    pub session_token: Option<String>,
}

/// What a signature is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// `us-east-1`.
    pub region: &'a str,
    /// `kinesisvideo`.
    pub service: &'a str,
}

/// Secrets never reach a log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// The SHA-256 of a body, in lower-case hex, as signatures want it.
pub fn payload_hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// The signature of a canonical request, as raw bytes.
fn signature(canonical: &str, secret: &str, amz_date: &str, scope: &Scope<'_>) -> [u8; 32] {
    let string_to_sign =
        format!("{ALGORITHM}\n{amz_date}\n{scope}\n{}", payload_hash(canonical.as_bytes()));
    let key = hmac(format!("AWS4{secret}").as_bytes(), scope.date.as_bytes());
    let key = hmac(&key, scope.region.as_bytes());
    let key = hmac(&key, scope.service.as_bytes());
    let key = hmac(&key, TERMINATOR.as_bytes());
    hmac(&key, string_to_sign.as_bytes())
}

/// `{yyyymmdd}/{region}/{service}/aws4_request`.
struct Scope<'a> {
    date: &'a str,
    region: &'a str,
    service: &'a str,
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, region, service } = self;
        write!(f, "{date}/{region}/{service}/{TERMINATOR}")
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}
