//! What is stored: ListFragments, and fragments by their numbers.

use bytes::Bytes;
use reqwest::{Method, Url};
use serde_json::json;

use super::{CALL_TIMEOUT, Client, Error, Media, read_bounded, refusal};
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, StreamName};
use crate::wire::media::ListFragmentsOutput;
use crate::wire::sigv4::{self, EMPTY_PAYLOAD};

/// Fragments of one page of a listing.
const PAGE: u32 = 1000;
/// The longest fragment that is read whole.
const MAX_CHUNK_BYTES: usize = 256 << 20;

/// A fragment that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedFragment {
    /// Its number.
    pub number: FragmentNumber,
    /// When it begins.
    pub producer: ProducerTimestamp,
    /// How long it is.
    pub duration: Millis,
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    /// In no certain order.
    pub fragments: Vec<ListedFragment>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

impl Client {
    /// ListFragments: what begins from `from` to `to` on the producer's clock, the page `next`.
    pub async fn list_fragments(
        &self,
        endpoint: &Url,
        stream: &StreamName,
        (from, to): (ProducerTimestamp, ProducerTimestamp),
        next: Option<&str>,
    ) -> Result<Page, Error> {
        let operation = "ListFragments";
        let range =
            json!({ "StartTimestamp": from.as_secs_f64(), "EndTimestamp": to.as_secs_f64() });
        let mut request = json!({
            "StreamName": stream.as_str(),
            "MaxResults": PAGE,
            "FragmentSelector": {
                "FragmentSelectorType": "PRODUCER_TIMESTAMP",
                "TimestampRange": range,
            },
        });
        if let Some(next) = next {
            request["NextToken"] = next.into();
        }
        let body = request.to_string();
        let request = self.post(endpoint, operation, &[], &sigv4::payload_hash(body.as_bytes()))?;
        let sent = request.timeout(CALL_TIMEOUT).body(body).send().await;
        let mut response = sent.map_err(|source| Error::Transport { operation, source })?;
        if !response.status().is_success() {
            return Err(refusal(operation, response).await);
        }
        let answer = read_bounded(operation, &mut response).await?;
        let answer: ListFragmentsOutput = serde_json::from_slice(&answer)
            .map_err(|source| Error::Answer { operation, source })?;
        let fragments = answer.fragments.into_iter().filter_map(|fragment| {
            Some(ListedFragment {
                number: fragment.fragment_number.parse().ok()?,
                producer: ProducerTimestamp::from_secs_f64(fragment.producer_timestamp)?,
                duration: Millis(fragment.fragment_length_in_milliseconds),
            })
        });
        Ok(Page { fragments: fragments.collect(), next: answer.next_token })
    }

    /// GetMediaForFragmentList: MKV documents in a row, one for each of the numbers.
    pub async fn get_fragments(
        &self,
        endpoint: &Url,
        stream: &StreamName,
        numbers: &[FragmentNumber],
    ) -> Result<Media, Error> {
        let operation = "GetMediaForFragmentList";
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let body = json!({ "StreamName": stream.as_str(), "Fragments": numbers }).to_string();
        let request = self.post(endpoint, operation, &[], &sigv4::payload_hash(body.as_bytes()))?;
        let sent = request.body(body).send().await;
        let response = sent.map_err(|source| Error::Transport { operation, source })?;
        if !response.status().is_success() {
            return Err(refusal(operation, response).await);
        }
        Ok(Media { response, operation })
    }

    /// A stored chunk as it is (the native API's `/v1/streams/{stream}/fragments/{number}`).
    pub async fn get_chunk(
        &self,
        stream: &StreamName,
        number: FragmentNumber,
    ) -> Result<Bytes, Error> {
        let operation = "GET fragment";
        let url = self.native(&["streams", stream.as_str(), "fragments", &number.to_string()])?;
        let sent = self.signed(Method::GET, url, &[], EMPTY_PAYLOAD).send().await;
        let broken = |source| Error::Transport { operation, source };
        let mut response = sent.map_err(broken)?;
        if !response.status().is_success() {
            return Err(refusal(operation, response).await);
        }
        let mut chunk = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(broken)? {
            if chunk.len() + bytes.len() > MAX_CHUNK_BYTES {
                return Err(Error::AnswerTooLong { operation, limit: MAX_CHUNK_BYTES });
            }
            chunk.extend_from_slice(&bytes);
        }
        Ok(chunk.into())
    }

    /// A path of the native API, `/v1/…`.
    pub(super) fn native(&self, path: &[&str]) -> Result<Url, Error> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Endpoint(self.endpoint.to_string()))?
            .pop_if_empty()
            .push("v1")
            .extend(path);
        Ok(url)
    }
}
