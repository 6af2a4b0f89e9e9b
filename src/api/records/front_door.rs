//! Which requests are meant for this API, and what those get that name no operation of it.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::error::{Failure, Kind};
use super::{TARGET, operations};
use crate::wire::records::Format;

/// What targets begin with.
const TARGET_PREFIX: &str = "Kinesis_20131202.";
/// What pages may read of an answer.
const EXPOSED: &str =
    "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date";
/// How long a browser may remember that it may ask, in seconds.
const PREFLIGHT_SECONDS: &str = "172800";

/// What a request asks for.
pub(super) enum Asked {
    /// An operation, in a format.
    Operation(Format, &'static str),
    /// This API, but no operation of it.
    Nothing(Box<Response>),
    /// Something else.
    Elsewhere,
}

/// What the head asks for.
pub(super) fn asked(request: &Request) -> Asked {
    let headers = request.headers();
    if request.method() == Method::OPTIONS {
        return preflight(headers);
    }
    let target = headers.get(&TARGET);
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = content_type.and_then(Format::of);
    let is_post = request.method() == Method::POST;
    if target.is_none() && !(is_post && format.is_some()) {
        return Asked::Elsewhere;
    }
    if !is_post {
        return Asked::Nothing(Box::new(undetermined()));
    }
    let target = target.and_then(|value| value.to_str().ok());
    let named = target.and_then(|text| operations::find(text.strip_prefix(TARGET_PREFIX)?));
    match (format, named) {
        (Some(format), Some(operation)) => Asked::Operation(format, operation),
        (Some(format), None) => {
            let failure = Failure::new(Kind::UnknownOperation, "");
            Asked::Nothing(Box::new(failure.into_response(format)))
        }
        (None, _) => Asked::Nothing(Box::new(unknown_protocol(content_type.unwrap_or_default()))),
    }
}

/// What a browser asks before it sends a request with our header.
fn preflight(headers: &HeaderMap) -> Asked {
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let target = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.split(',').any(|name| name.trim() == TARGET.as_str())
    };
    let Some(wanted) = wanted.filter(|value| target(value)) else { return Asked::Elsewhere };
    let mut response = StatusCode::OK.into_response();
    let answer = response.headers_mut();
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    if let Some(method) = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    }
    insert(answer, header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    Asked::Nothing(Box::new(response))
}

/// Lets pages of any origin read the answer: no cookie of ours exists that one could misuse.
pub(in crate::api) fn allow_origin(headers: &mut HeaderMap) {
    insert(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    insert(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

fn undetermined() -> Response {
    const XML: &str = "<AccessDeniedException>\n  <Message>Unable to determine service/operation \
        name to be authorized</Message>\n</AccessDeniedException>\n";
    (StatusCode::FORBIDDEN, Body::from(XML)).into_response()
}

/// There is a target, but the body is in no format of ours.
fn unknown_protocol(content_type: &str) -> Response {
    const JSON: &str = r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    if content_type.split(';').next() == Some("application/json") {
        let content_type = [(header::CONTENT_TYPE, "application/json")];
        return (StatusCode::NOT_FOUND, content_type, JSON).into_response();
    }
    (StatusCode::NOT_FOUND, Body::from("<UnknownOperationException/>\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri("/anything");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).expect("a request")
    }

    const JSON: (&str, &str) = ("content-type", "application/x-amz-json-1.1");
    const CBOR: (&str, &str) = ("content-type", "application/x-amz-cbor-1.1");
    const LIST: (&str, &str) = ("x-amz-target", "Kinesis_20131202.ListChannels");

    /// The status of what is refused at the door.
    fn refused(method: &str, headers: &[(&str, &str)]) -> Option<u16> {
        match asked(&request(method, headers)) {
            Asked::Nothing(response) => Some(response.status().as_u16()),
            _ => None,
        }
    }

    #[test]
    fn operation_is_named_by_the_target_and_the_format_by_the_content_type() {
        for (content_type, expected) in [(JSON, Format::Json), (CBOR, Format::Cbor)] {
            match asked(&request("POST", &[content_type, LIST])) {
                Asked::Operation(format, name) => {
                    assert_eq!((format, name), (expected, "ListChannels"));
                }
                _ => panic!("an operation"),
            }
        }
    }

    #[test]
    fn requests_of_other_apis_are_passed_on() {
        let json = ("content-type", "application/json");
        let preflight = ("access-control-request-headers", "authorization");
        for (method, headers) in
            [("POST", &[json][..]), ("GET", &[JSON]), ("GET", &[]), ("OPTIONS", &[preflight])]
        {
            assert!(matches!(asked(&request(method, headers)), Asked::Elsewhere), "{method}");
        }
    }

    #[test]
    fn requests_that_name_no_operation_are_answered_as_aws_does() {
        let target = |name| ("x-amz-target", name);
        for other in ["Kinesis_20131202.Nothing", "Kinesis_20131201.ListChannels", "", "x"] {
            assert_eq!(refused("POST", &[JSON, target(other)]), Some(400), "{other}");
        }
        assert_eq!(refused("POST", &[JSON]), Some(400));
        assert_eq!(refused("GET", &[JSON, LIST]), Some(403));
        assert_eq!(refused("POST", &[("content-type", "application/json"), LIST]), Some(404));
        assert_eq!(refused("POST", &[LIST]), Some(404));
    }

    #[test]
    fn pages_may_ask() {
        let wanted = ("access-control-request-headers", "authorization, X-Amz-Target");
        let Asked::Nothing(response) = asked(&request("OPTIONS", &[wanted])) else {
            panic!("an answer")
        };
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        assert_eq!(header("access-control-allow-headers"), Some(wanted.1));
        assert_eq!(header("access-control-max-age"), Some("172800"));
    }
}
