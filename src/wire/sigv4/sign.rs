//! The client's side: headers or a URL that carry a signature.

use super::canonical::{canonical_request, encode, header};
use super::{
    ALGORITHM, Credentials, EMPTY_PAYLOAD, Request, Scope, TERMINATOR, Target, amz_date, signature,
};
use crate::types::ServerTimestamp;

/// Signs a request with all of its `headers`; returns the headers to add to it: `x-amz-date`,
/// `x-amz-security-token` where the credentials have one, and `authorization`.
///
/// `payload_hash` is [`super::payload_hash`] of the body, [`super::EMPTY_PAYLOAD`] or
/// [`super::UNSIGNED_PAYLOAD`]. `request.headers` must contain `host` as it will be sent.
pub fn sign_headers(
    request: &Request<'_>,
    payload_hash: &str,
    credentials: &Credentials,
    target: Target<'_>,
    now: ServerTimestamp,
) -> Vec<(&'static str, String)> {
    let date = amz_date(now);
    let mut headers = request.headers.to_vec();
    headers.push(("x-amz-date", &date));
    if let Some(token) = &credentials.session_token {
        headers.push(("x-amz-security-token", token));
    }
    let request = Request { headers: &headers, ..*request };
    let mut names: Vec<String> =
        headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();

    let scope = Scope { date: &date[..8], region: target.region, service: target.service };
    let canonical = canonical_request(&request, &names, payload_hash)
        .expect("the signed headers are the request's own");
    let signature = hex::encode(signature(&canonical, &credentials.secret, &date, &scope));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
        credentials.access_key,
        names.join(";"),
    );

    let mut signed = vec![("authorization", authorization)];
    if let Some(token) = &credentials.session_token {
        signed.push(("x-amz-security-token", token.clone()));
    }
    signed.push(("x-amz-date", date));
    signed
}

/// Signs a request without a body into its query, covering the `host` header only: the whole
/// query to send. Good for `expires_seconds` (1 to [`super::MAX_EXPIRES_SECONDS`]) from `now`.
pub fn presign_query(
    request: &Request<'_>,
    credentials: &Credentials,
    target: Target<'_>,
    now: ServerTimestamp,
    expires_seconds: u32,
) -> String {
    let date = amz_date(now);
    let Target { region, service } = target;
    let scope = Scope { date: &date[..8], region, service };
    let credential =
        format!("{}/{}/{region}/{service}/{TERMINATOR}", credentials.access_key, scope.date);
    let mut query = request.query.to_owned();
    let mut add = |name: &str, value: &str| {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(&format!("{name}={}", encode(value.as_bytes(), false)));
    };
    add("X-Amz-Algorithm", ALGORITHM);
    add("X-Amz-Credential", &credential);
    add("X-Amz-Date", &date);
    add("X-Amz-Expires", &expires_seconds.to_string());
    add("X-Amz-SignedHeaders", "host");
    if let Some(token) = &credentials.session_token {
        add("X-Amz-Security-Token", token);
    }
    let host = header(request, "host").unwrap_or_default();
    let request = Request { query: &query, headers: &[("host", host)], ..*request };
    let canonical = canonical_request(&request, &["host"], EMPTY_PAYLOAD)
        .expect("the host header was put in just now");
    let signature = hex::encode(signature(&canonical, &credentials.secret, &date, &scope));
    format!("{query}&X-Amz-Signature={signature}")
}
