//! A small client of the Kinesis Video Streams API, for producers, detectors and tests.
//!
//! Works with any endpoint that speaks the protocol, AWS included: the control endpoint is
//! configured, the endpoint of media always comes from GetDataEndpoint.

mod ack;
mod alerts;
mod archive;
mod backoff;
mod credentials;
mod error;
mod file;
mod media;
mod people;
mod processors;
mod queues;
mod records;
mod rekognition;
mod trust;

pub use ack::{Ack, AckError, AckKind, AckParser, MAX_ACK_BYTES};
pub use alerts::{MAX_CROP_BYTES, Place};
pub use archive::{ListedFragment, Page};
pub use backoff::Backoff;
pub use credentials::{ProfileError, credentials_from_profile};
pub use error::{Error, chain};
pub use file::FileLines;
pub use media::{Acks, Media, StartSelector};
pub use records::{NewRecord, NotStored, RecordsPage};
pub use rekognition::NewStreamProcessor;

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::Clock;
use crate::types::StreamName;
use crate::wire::records::Format;
use crate::wire::sigv4::{self, Credentials};
use crate::wire::video;

/// Service in the scope of every signature.
const SERVICE: &str = "kinesisvideo";
/// The same for record streams, and what their operations' names begin with.
const RECORDS_SERVICE: &str = "kinesis";
const RECORDS_TARGET: &str = "Kinesis_20131202";
const PLAIN: &str = "request shapes are plain JSON objects";

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a control call may take in all.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer of a control call that is read.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Where the service is and who calls.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base URL of the control plane; AWS's of the region when `None`.
    pub endpoint: Option<String>,
    /// Region of the signature's scope, such as `us-east-1`.
    pub region: String,
    /// The key that signs.
    pub credentials: Credentials,
    /// `User-Agent`.
    pub user_agent: String,
    /// Servers that are believed over TLS: by the certificate that they show, or by an authority
    /// that signed it. The system's authorities when empty.
    pub trusted: Vec<CertificateDer<'static>>,
    /// Whether media operations are at `endpoint` as well, wherever the service says that they are.
    pub sole_endpoint: bool,
}

/// Calls the service; cheap to clone, clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
    sole_endpoint: bool,
    region: String,
    credentials: Credentials,
    clock: Clock,
}

/// What DescribeStream says of a stream, as far as clients need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    /// `arn:aws:kinesisvideo:…`.
    pub arn: String,
    /// `ACTIVE`, `CREATING`, `UPDATING` or `DELETING`.
    pub status: String,
    /// 0 when fragments are not persisted.
    pub retention_hours: u32,
}

/// Which operation an endpoint is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiName {
    /// PutMedia.
    PutMedia,
    /// GetMedia.
    GetMedia,
    /// ListFragments.
    ListFragments,
    /// GetMediaForFragmentList.
    GetMediaForFragmentList,
}

impl Client {
    /// Makes no connection yet.
    pub fn new(options: Options, clock: Clock) -> Result<Self, Error> {
        let Options { endpoint, region, credentials, user_agent, trusted, sole_endpoint } = options;
        let endpoint =
            endpoint.unwrap_or_else(|| format!("https://kinesisvideo.{region}.amazonaws.com"));
        let endpoint = parse_endpoint(&endpoint)?;
        // A second call finds the provider installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder()
            .user_agent(user_agent)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        if is_loopback(&endpoint) {
            http = http.no_proxy();
        }
        if !trusted.is_empty() {
            http = http.tls_backend_preconfigured(trust::config(&trusted).map_err(Error::Trust)?);
        }
        let http = http.build().map_err(Error::Setup)?;
        Ok(Self { http, endpoint, sole_endpoint, region, credentials, clock })
    }

    /// Base URL of the control plane.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// DescribeStream; [`Error::is_not_found`] when there is none of that name.
    pub async fn describe_stream(&self, stream: &StreamName) -> Result<StreamDescription, Error> {
        let operation = "DescribeStream";
        let request = video::StreamRef { stream_name: Some(stream.to_string()), stream_arn: None };
        let answer: video::DescribeStreamOutput = self.call(operation, &request).await?;
        let info = answer.stream_info.unwrap_or_default();
        let missing = |member| Error::Incomplete { operation, member };
        Ok(StreamDescription {
            arn: info.stream_arn.ok_or_else(|| missing("StreamARN"))?,
            status: info.status.ok_or_else(|| missing("Status"))?,
            retention_hours: retention(info.data_retention_in_hours),
        })
    }

    /// CreateStream; gives the ARN. [`Error::is_in_use`] when the name is taken.
    pub async fn create_stream(
        &self,
        stream: &StreamName,
        media_type: &str,
        retention_hours: u32,
    ) -> Result<String, Error> {
        let operation = "CreateStream";
        let request = video::CreateStreamInput {
            stream_name: Some(stream.to_string()),
            media_type: Some(media_type.to_owned()),
            data_retention_in_hours: Some(retention_hours.into()),
            ..video::CreateStreamInput::default()
        };
        let answer: video::CreateStreamOutput = self.call(operation, &request).await?;
        answer.stream_arn.ok_or(Error::Incomplete { operation, member: "StreamARN" })
    }

    /// GetDataEndpoint: the base URL of media operations on the stream.
    pub async fn get_data_endpoint(&self, stream: &StreamName, api: ApiName) -> Result<Url, Error> {
        if self.sole_endpoint {
            return Ok(self.endpoint.clone());
        }
        let operation = "GetDataEndpoint";
        let api_name = match api {
            ApiName::PutMedia => "PUT_MEDIA",
            ApiName::GetMedia => "GET_MEDIA",
            ApiName::ListFragments => "LIST_FRAGMENTS",
            ApiName::GetMediaForFragmentList => "GET_MEDIA_FOR_FRAGMENT_LIST",
        };
        let request = video::GetDataEndpointInput {
            stream_name: Some(stream.to_string()),
            stream_arn: None,
            api_name: Some(api_name.to_owned()),
        };
        let answer: video::GetDataEndpointOutput = self.call(operation, &request).await?;
        let missing = Error::Incomplete { operation, member: "DataEndpoint" };
        parse_endpoint(&answer.data_endpoint.ok_or(missing)?)
    }

    /// A text of the native API, such as a playlist, fetched with an access token.
    pub async fn get_text(&self, url: &Url, token: &str) -> Result<String, Error> {
        let operation = "GET";
        let request = self.http.get(url.clone()).bearer_auth(token).timeout(CALL_TIMEOUT);
        let sent = request.send().await;
        let mut response = sent.map_err(|source| Error::Transport { operation, source })?;
        if !response.status().is_success() {
            return Err(refusal(operation, response).await);
        }
        let text = read_bounded(operation, &mut response).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// One control call: JSON in, JSON out.
    async fn call<I: Serialize, O: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: &I,
    ) -> Result<O, Error> {
        let body = serde_json::to_vec(request).expect(PLAIN);
        let request = self.post(&self.endpoint, operation, &[], &sigv4::payload_hash(&body))?;
        answer(operation, request.body(body)).await
    }

    /// One call of the native API: JSON in, if there is any, and JSON out.
    async fn call_native<I: Serialize, O: DeserializeOwned>(
        &self,
        operation: &'static str,
        (method, path): (Method, &[&str]),
        request: Option<&I>,
    ) -> Result<O, Error> {
        let url = self.native(path)?;
        let body = request.map(|request| serde_json::to_vec(request).expect(PLAIN));
        let body = body.unwrap_or_default();
        let hash = sigv4::payload_hash(&body);
        // The native API verifies a head before it reads the body, so it must be told the hash.
        let headers = [("x-amz-content-sha256", hash.as_str())];
        let request = self.signed(method, url, &headers, &hash);
        answer(operation, request.header(CONTENT_TYPE, "application/json").body(body)).await
    }

    /// One call of record streams, whose operations are told by a header.
    async fn call_records<I: Serialize, O: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: &I,
    ) -> Result<O, Error> {
        let body = serde_json::to_vec(request).expect(PLAIN);
        let target = format!("{RECORDS_TARGET}.{operation}");
        let headers = [("x-amz-target", target.as_str())];
        let hash = sigv4::payload_hash(&body);
        let url = self.endpoint.clone();
        let request = self.signed_for(RECORDS_SERVICE, Method::POST, url, &headers, &hash);
        let media_type = Format::Json.content_type();
        answer(operation, request.header(CONTENT_TYPE, media_type).body(body)).await
    }

    /// A signed POST of `operation` at `base`; the signature covers `headers` and the host.
    fn post(
        &self,
        base: &Url,
        operation: &'static str,
        headers: &[(&str, &str)],
        payload_hash: &str,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let url = base.join(&path_of(operation)).map_err(|_| Error::Endpoint(base.to_string()))?;
        let request = self.signed(Method::POST, url, headers, payload_hash);
        Ok(request.header(CONTENT_TYPE, "application/json"))
    }

    /// A signed request; the signature covers `headers` and the host.
    fn signed(
        &self,
        method: Method,
        url: Url,
        headers: &[(&str, &str)],
        payload_hash: &str,
    ) -> reqwest::RequestBuilder {
        self.signed_for(SERVICE, method, url, headers, payload_hash)
    }

    /// A signed request to one of the services that share the address.
    fn signed_for(
        &self,
        service: &str,
        method: Method,
        url: Url,
        headers: &[(&str, &str)],
        payload_hash: &str,
    ) -> reqwest::RequestBuilder {
        let host = authority(&url);
        let mut headers = headers.to_vec();
        headers.push(("host", &host));
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        let signed = sigv4::sign_headers(
            &sigv4::Request { method: method.as_str(), path, query, headers: &headers },
            payload_hash,
            &self.credentials,
            sigv4::Target { region: &self.region, service },
            self.clock.now(),
        );
        let mut request = self.http.request(method, url.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        request
    }
}

/// Sends a control call and reads its answer.
async fn answer<O: DeserializeOwned>(
    operation: &'static str,
    request: reqwest::RequestBuilder,
) -> Result<O, Error> {
    answer_within(CALL_TIMEOUT, operation, request).await
}

async fn answer_within<O: DeserializeOwned>(
    timeout: Duration,
    operation: &'static str,
    request: reqwest::RequestBuilder,
) -> Result<O, Error> {
    let sent = request.timeout(timeout).send().await;
    let mut response = sent.map_err(|source| Error::Transport { operation, source })?;
    if !response.status().is_success() {
        return Err(refusal(operation, response).await);
    }
    let answer = read_bounded(operation, &mut response).await?;
    // Some operations have nothing to say.
    let answer = if answer.is_empty() { b"{}".as_slice() } else { &answer };
    serde_json::from_slice(answer).map_err(|source| Error::Answer { operation, source })
}

/// `DescribeStream` is called at `/describeStream`.
fn path_of(operation: &str) -> String {
    let mut path = String::with_capacity(operation.len() + 1);
    path.push('/');
    path.extend(operation.chars().take(1).map(|first| first.to_ascii_lowercase()));
    path.extend(operation.chars().skip(1));
    path
}

fn parse_endpoint(text: &str) -> Result<Url, Error> {
    let invalid = || Error::Endpoint(text.to_owned());
    let url = Url::parse(text).map_err(|_| invalid())?;
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    usable.then_some(url).ok_or_else(invalid)
}

/// `Host` as the HTTP client sends it: with the port where it is not the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// `null` or an absurd value is taken as "nothing is persisted".
fn retention(hours: Option<i64>) -> u32 {
    hours.and_then(|hours| u32::try_from(hours).ok()).unwrap_or(0)
}

/// An error answer: its type from the header, its words from the body.
async fn refusal(operation: &'static str, mut response: reqwest::Response) -> Error {
    let status = response.status().as_u16();
    let header = response.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let code = header.map(str::to_owned);
    // The words are an extra: without them the status is still worth telling.
    let body = read_bounded(operation, &mut response).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let code = code.or_else(|| text("__type")).or_else(|| text("code")).unwrap_or_default();
    // AWS writes `Name:http://internal…/` and `prefix#Name`.
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default().to_owned();
    let message = text("Message").or_else(|| text("message")).unwrap_or_default();
    Error::Refused { operation, status, code, message }
}

async fn read_bounded(
    operation: &'static str,
    response: &mut reqwest::Response,
) -> Result<Vec<u8>, Error> {
    let mut answer = Vec::new();
    let broken = |source| Error::Transport { operation, source };
    while let Some(bytes) = response.chunk().await.map_err(broken)? {
        if answer.len() + bytes.len() > MAX_ANSWER_BYTES {
            return Err(Error::AnswerTooLong { operation, limit: MAX_ANSWER_BYTES });
        }
        answer.extend_from_slice(&bytes);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_with_a_lower_case_letter() {
        assert_eq!(path_of("GetDataEndpoint"), "/getDataEndpoint");
    }

    #[test]
    fn host_is_signed_as_it_is_sent() {
        for (url, host) in [
            ("http://127.0.0.1:5580", "127.0.0.1:5580"),
            ("https://example.org:443/", "example.org"),
            ("http://[::1]:80", "[::1]"),
        ] {
            assert_eq!(authority(&parse_endpoint(url).expect("valid endpoint")), host);
        }
        assert!(is_loopback(&parse_endpoint("http://[::1]:80").expect("valid endpoint")));
    }

    #[test]
    fn what_is_no_http_address_is_refused() {
        for text in ["", "127.0.0.1:5580", "ftp://x", "http://"] {
            assert!(matches!(parse_endpoint(text), Err(Error::Endpoint(_))), "{text}");
        }
    }
}
