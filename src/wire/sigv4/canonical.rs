//! The canonical request: the one text that both sides derive from a request.

use super::Request;

/// Left out of the canonical query, since it is made from it.
const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// Builds the canonical request over `signed_headers`, which are lower-case and sorted.
/// `None` when a signed header is not in the request.
pub(super) fn canonical_request(
    request: &Request<'_>,
    signed_headers: &[&str],
    payload_hash: &str,
) -> Option<String> {
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method,
        canonical_path(request.path),
        canonical_query(request.query)
    );
    for name in signed_headers {
        text.push_str(name);
        text.push(':');
        text.push_str(&header_value(request, name)?);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&signed_headers.join(";"));
    text.push('\n');
    text.push_str(payload_hash);
    Some(text)
}

/// The first value of a header, whatever the case of its name.
pub(super) fn header<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    let mut headers = request.headers.iter();
    headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// The values of a parameter of the query, decoded.
pub(super) fn query_value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(key, _)| decode(key) == name.as_bytes())?;
    String::from_utf8(decode(value)).ok()
}

/// All values of a header, each trimmed and with runs of spaces folded, joined by commas.
fn header_value(request: &Request<'_>, name: &str) -> Option<String> {
    let values: Vec<String> = request
        .headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| fold_spaces(value))
        .collect();
    if !values.is_empty() {
        return Some(values.join(","));
    }
    // The C producer signs hop-by-hop headers, which reverse proxies must remove. It always sends
    // these values, so a proxied request verifies as if they had arrived.
    match name {
        "connection" => Some("keep-alive".to_owned()),
        "transfer-encoding" => Some("chunked".to_owned()),
        _ => None,
    }
}

fn fold_spaces(value: &str) -> String {
    value.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Every service but S3 signs the encoded path encoded once more.
fn canonical_path(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { encode(path.as_bytes(), true) }
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode(&decode(name), false), encode(&decode(value), false)))
        .filter(|(name, _)| name != SIGNATURE_PARAMETER)
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(super) fn encode(bytes: &[u8], keep_slashes: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        let unreserved = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if unreserved || (keep_slashes && byte == b'/') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Undoes percent-encoding; a percent sign that begins no escape stands for itself.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let escaped =
            tail.get(..2).filter(|_| byte == b'%').and_then(|pair| hex::decode(pair).ok());
        match escaped.as_deref() {
            Some(&[value]) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            _ => bytes.push(byte),
        }
    }
    bytes
}
