//! Serves the console: the build of `web/`, embedded in the binary.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

const INDEX: &str = "index.html";

/// The build tool puts a digest into the names of files below this, so they never change.
const DIGESTED: &str = "assets/";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <title>kinora</title><p>The console is not part of this build. Run <code>make web</code>, \
    then build again.</p></html>";

/// What a page may load: itself, and media from anywhere that plays it.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
    style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Build;

/// The file at a path of the console. A path without an extension is a view inside the console,
/// so it gets the start page.
pub fn page(path: &str, request: &HeaderMap) -> Response {
    let path = path.trim_start_matches('/');
    let is_view = !path.rsplit('/').next().unwrap_or_default().contains('.');
    let (name, file) = match (Build::get(path), is_view) {
        (Some(file), _) if !path.is_empty() => (path, file),
        (_, false) => return (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response(),
        (_, true) => match Build::get(INDEX) {
            Some(file) => (INDEX, file),
            None => return Html(NOT_BUILT).into_response(),
        },
    };
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let known = request.get(header::IF_NONE_MATCH).is_some_and(|seen| seen == tag.as_str());
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { content(&file) };
    let headers = response.headers_mut();
    let lifetime =
        if name.starts_with(DIGESTED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(lifetime));
    headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("a digest is hexadecimal"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn content(file: &EmbeddedFile) -> Response {
    let mut kind = file.metadata.mimetype().to_owned();
    if kind.starts_with("text/") {
        kind.push_str("; charset=utf-8");
    }
    ([(header::CONTENT_TYPE, kind)], file.data.clone().into_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_get_the_start_page_and_missing_files_do_not() {
        let headers = HeaderMap::new();
        for view in ["/", "/streams", "/streams/cam1"] {
            let response = page(view, &headers);
            assert_eq!(response.status(), StatusCode::OK, "{view}");
            let kind = response.headers()[header::CONTENT_TYPE].to_str().expect("text");
            assert!(kind.starts_with("text/html"), "{kind}");
        }
        for missing in ["/assets/none.js", "/favicon.none", "/../Cargo.toml"] {
            assert_eq!(page(missing, &headers).status(), StatusCode::NOT_FOUND, "{missing}");
        }
    }
}
