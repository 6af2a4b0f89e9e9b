//! The server as clients of Kinesis Video Streams see it: SDK clients, listings, stored media.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesisvideoarchivedmedia::types as archived;
use base64::Engine;
use bytes::Bytes;
use kinora::clock::Clock;
use kinora::media::mkv::{EventKind, Frame, Reader};
use kinora::types::FragmentNumber;
use kinora::wire::sigv4::{self, Request};

use crate::support::{Answer, Server, TARGET};

macro_rules! client {
    ($self:ident, $sdk:ident) => {{
        use $sdk::config::{Builder, Region, retry::RetryConfig};
        let key = $self.credentials.clone();
        let credentials =
            aws_credential_types::Credentials::from_keys(key.access_key, key.secret, None);
        let config = Builder::new()
            .behavior_version_latest()
            .region(Region::new(TARGET.region))
            .endpoint_url(&$self.endpoint)
            .retry_config(RetryConfig::disabled())
            .credentials_provider(credentials)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        $sdk::Client::from_conf(config)
    }};
}

impl Server {
    /// An `aws-sdk-kinesis` client with the root key.
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        client!(self, aws_sdk_kinesis)
    }

    /// An `aws-sdk-kinesisvideo` client with the root key.
    pub fn kinesisvideo(&self) -> aws_sdk_kinesisvideo::Client {
        client!(self, aws_sdk_kinesisvideo)
    }

    /// An `aws-sdk-kinesisvideomedia` client with the root key.
    pub fn media(&self) -> aws_sdk_kinesisvideomedia::Client {
        client!(self, aws_sdk_kinesisvideomedia)
    }

    /// An `aws-sdk-kinesisvideoarchivedmedia` client with the root key.
    pub fn archive(&self) -> aws_sdk_kinesisvideoarchivedmedia::Client {
        client!(self, aws_sdk_kinesisvideoarchivedmedia)
    }

    /// Creates a stream; its ARN.
    pub async fn create_stream(&self, name: &str, retention_hours: i32) -> String {
        let request = self.kinesisvideo().create_stream().stream_name(name);
        let output = request.data_retention_in_hours(retention_hours).send().await;
        output.expect("the stream is created").stream_arn().expect("an ARN").to_owned()
    }

    /// Every stored fragment of a stream, by number.
    pub async fn list_fragments(&self, stream: &str) -> Vec<archived::Fragment> {
        type Time = aws_sdk_kinesisvideoarchivedmedia::primitives::DateTime;
        let range = archived::TimestampRange::builder()
            .start_timestamp(Time::from_secs(0))
            .end_timestamp(Time::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33)))
            .build()
            .expect("a range");
        let selector = archived::FragmentSelector::builder()
            .fragment_selector_type(archived::FragmentSelectorType::ServerTimestamp)
            .timestamp_range(range)
            .build()
            .expect("a selector");
        let request = self.archive().list_fragments().stream_name(stream);
        let request = request.max_results(1000).fragment_selector(selector);
        let pages = request.into_paginator().send().collect::<Result<Vec<_>, _>>().await;
        let pages = pages.expect("the listing");
        let mut all: Vec<_> =
            pages.into_iter().flat_map(|page| page.fragments.unwrap_or_default()).collect();
        all.sort_by(|a, b| a.fragment_number.cmp(&b.fragment_number));
        all
    }

    /// Each stored fragment as GetMediaForFragmentList gives it.
    pub async fn chunks(&self, stream: &str) -> BTreeMap<FragmentNumber, Bytes> {
        let mut chunks = BTreeMap::new();
        for fragment in self.list_fragments(stream).await {
            let number = fragment.fragment_number().expect("a number");
            let request = self.archive().get_media_for_fragment_list().stream_name(stream);
            let output = request.fragments(number).send().await.expect("the fragment");
            let bytes = output.payload.collect().await.expect("its bytes").into_bytes();
            chunks.insert(number.parse().expect("a fragment number"), bytes);
        }
        chunks
    }

    /// Signs a request with the given headers; what is to be added to them.
    pub fn sign(&self, path: &str, headers: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        self.sign_body(path, headers, "")
    }

    /// Signs a request with the given headers and body; what is to be added to the headers.
    pub fn sign_body(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Vec<(&'static str, String)> {
        let request = Request { method: "POST", path, query: "", headers };
        let hash = sigv4::payload_hash(body.as_bytes());
        sigv4::sign_headers(&request, &hash, &self.credentials, TARGET, Clock::system().now())
    }

    /// Gets a URL of this server as a player does, without any authentication.
    pub fn get(&self, url: &str) -> Answer {
        self.get_as(url, "")
    }

    /// Gets a URL with access key and secret, as `curl -u` does.
    pub fn get_with_key(&self, url: &str) -> Answer {
        let pair = format!("{}:{}", self.credentials.access_key, self.credentials.secret);
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        self.get_as(url, &format!("authorization: Basic {pair}\r\n"))
    }

    fn get_as(&self, url: &str, headers: &str) -> Answer {
        let path = url.strip_prefix(&self.endpoint).unwrap_or(url);
        let host = self.authority();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n");
        self.exchange(request.as_bytes())
    }
}

fn fixtures_folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("media-fixtures")
}

/// A media fixture by its file name without `.mkv`.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = fixtures_folder().join(format!("{name}.mkv"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all MKV fixtures, without `.mkv`.
pub fn fixture_names() -> Vec<String> {
    let entries = std::fs::read_dir(fixtures_folder()).expect("the fixtures");
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".mkv").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// The bodies that unmodified producers of the C SDK sent.
pub fn captures() -> Vec<(String, Vec<u8>)> {
    let captures: Vec<_> = fixture_names()
        .into_iter()
        .filter(|name| name.starts_with("kvssink") || name.starts_with("cproducer"))
        .map(|name| (name.clone(), fixture(&name)))
        .collect();
    assert_eq!(captures.len(), 10, "all captures are there");
    captures
}

/// All frames of an MKV body, or of several in a row.
pub fn frames_of(body: &[u8]) -> Vec<Frame> {
    let mut reader = Reader::new(1 << 26);
    reader.push(body);
    let mut frames = Vec::new();
    while let Some(event) = reader.next_event().expect("the body is Matroska") {
        if let EventKind::Frames(more) = event.kind {
            frames.extend(more);
        }
    }
    frames
}
