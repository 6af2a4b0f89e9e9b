//! Shapes of the media and archived-media APIs: PutMedia's acks, GetMedia, ListFragments,
//! GetMediaForFragmentList, GetHLSStreamingSessionURL. Timestamps are epoch seconds.

#![allow(missing_docs, reason = "members are named and described by the AWS API")]

use serde::{Deserialize, Serialize};

/// One line of PutMedia's answer. Members that are absent must be left out: a C producer throws
/// an ack away whose timecode is negative or null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ack {
    /// `BUFFERING`, `RECEIVED`, `PERSISTED`, `ERROR` or `IDLE`.
    pub event_type: String,
    /// The cluster's timecode in milliseconds, as the producer wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment_timecode: Option<i64>,
    /// 47 digits, or empty in an error before a fragment began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment_number: Option<String>,
    /// Only in an `ERROR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Only in an `ERROR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_id: Option<u32>,
}

/// One line of the answer to `PUT /v1/streams/{stream}/media`: an acknowledgement as PutMedia has it,
/// a `NOTE` or the `END`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FileLine {
    /// `BUFFERING`, `RECEIVED`, `PERSISTED`, `ERROR`, `IDLE`, `NOTE` or `END`.
    pub event_type: String,
    /// The fragment's producer time in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment_timecode: Option<i64>,
    /// 47 digits, or empty in an error before a fragment began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment_number: Option<String>,
    /// Only in an `ERROR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Only in an `ERROR` about a fragment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_id: Option<u32>,
    /// A sentence, in an `ERROR` and a `NOTE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// In the `END`: fragments of the file that are durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragments: Option<u64>,
    /// In the `END`: those of them that were stored before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub already_stored: Option<u64>,
    /// In the `END`: when the last frame ends, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<f64>,
}

impl From<Ack> for FileLine {
    fn from(ack: Ack) -> Self {
        let Ack { event_type, fragment_timecode, fragment_number, error_code, error_id } = ack;
        Self {
            event_type,
            fragment_timecode,
            fragment_number,
            error_code,
            error_id,
            ..Self::default()
        }
    }
}

/// GetMedia's input.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetMediaInput {
    pub stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    pub start_selector: Option<StartSelector>,
}

/// Where GetMedia starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartSelector {
    pub start_selector_type: String,
    pub after_fragment_number: Option<String>,
    pub start_timestamp: Option<f64>,
    pub continuation_token: Option<String>,
}

/// A range of one clock, both ends included.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TimestampRange {
    pub start_timestamp: Option<f64>,
    pub end_timestamp: Option<f64>,
}

/// Which clock, and which part of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FragmentSelector {
    /// `PRODUCER_TIMESTAMP` or `SERVER_TIMESTAMP`.
    pub fragment_selector_type: Option<String>,
    pub timestamp_range: Option<TimestampRange>,
}

/// ListFragments' input.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListFragmentsInput {
    pub stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// 1 to 1000.
    pub max_results: Option<i64>,
    pub next_token: Option<String>,
    pub fragment_selector: Option<FragmentSelector>,
}

/// One fragment of a listing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Fragment {
    pub fragment_number: String,
    pub fragment_size_in_bytes: u64,
    pub producer_timestamp: f64,
    pub server_timestamp: f64,
    pub fragment_length_in_milliseconds: u64,
}

/// ListFragments' output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListFragmentsOutput {
    #[serde(default)]
    pub fragments: Vec<Fragment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// GetMediaForFragmentList's input.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetMediaForFragmentListInput {
    pub stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    #[serde(default)]
    pub fragments: Vec<String>,
}

/// GetHLSStreamingSessionURL's input.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetHlsStreamingSessionUrlInput {
    pub stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    pub playback_mode: Option<String>,
    #[serde(rename = "HLSFragmentSelector")]
    pub hls_fragment_selector: Option<FragmentSelector>,
    pub container_format: Option<String>,
    pub discontinuity_mode: Option<String>,
    pub display_fragment_timestamp: Option<String>,
    /// Seconds, 300 to 43200.
    pub expires: Option<i64>,
    /// 1 to 5000.
    pub max_media_playlist_fragment_results: Option<i64>,
}

/// GetHLSStreamingSessionURL's output.
#[derive(Clone, Debug, Serialize)]
pub struct GetHlsStreamingSessionUrlOutput {
    #[serde(rename = "HLSStreamingSessionURL")]
    pub hls_streaming_session_url: String,
}
