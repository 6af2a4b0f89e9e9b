//! The two calls that carry media: PutMedia, whose answer runs beside its body, and GetMedia.

use bytes::Bytes;
use futures_util::Stream;
use reqwest::Url;
use serde_json::{Value, json};

use super::{Ack, AckParser, Client, Error, refusal};
use crate::types::{ProducerTimestamp, StreamName};
use crate::wire::sigv4::{self, EMPTY_PAYLOAD};

/// Acknowledgements of a running PutMedia.
#[derive(Debug)]
pub struct Acks {
    response: reqwest::Response,
    parser: AckParser,
}

/// Media of a running GetMedia or GetMediaForFragmentList: MKV documents in a row.
#[derive(Debug)]
pub struct Media {
    pub(super) response: reqwest::Response,
    pub(super) operation: &'static str,
}

/// Where GetMedia begins.
#[derive(Clone, Debug, PartialEq)]
pub enum StartSelector {
    /// With the next fragment that arrives.
    Now,
    /// With the oldest fragment that is kept.
    Earliest,
    /// After the fragment of this number.
    AfterFragment(String),
    /// With the fragment that holds this time of the producer.
    ProducerTimestamp(ProducerTimestamp),
    /// After the fragment that carried the token.
    ContinuationToken(String),
}

impl Client {
    /// PutMedia with absolute timecodes: uploads `body`, one MKV document in as many pieces as it
    /// comes in, and gives the acknowledgements, which arrive while the upload runs.
    ///
    /// Resolves when the service has accepted the request. Dropping [`Acks`] ends the connection.
    pub async fn put_media<S>(
        &self,
        endpoint: &Url,
        stream: &StreamName,
        body: S,
    ) -> Result<Acks, Error>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    {
        let operation = "PutMedia";
        let start = self.clock.now().to_string();
        // The body has no end yet, so the hash of an empty one is signed, as the C producer does.
        let headers = [
            ("x-amzn-stream-name", stream.as_str()),
            ("x-amzn-fragment-timecode-type", "ABSOLUTE"),
            ("x-amzn-producer-start-timestamp", start.as_str()),
            ("x-amzn-fragment-acknowledgment-required", "1"),
        ];
        let request = self.post(endpoint, operation, &headers, EMPTY_PAYLOAD)?;
        let sent = request.body(reqwest::Body::wrap_stream(body)).send().await;
        let response = sent.map_err(|source| Error::Transport { operation, source })?;
        if !response.status().is_success() {
            return Err(refusal(operation, response).await);
        }
        Ok(Acks { response, parser: AckParser::default() })
    }

    /// GetMedia: follows the stream from `start` on.
    pub async fn get_media(
        &self,
        endpoint: &Url,
        stream: &StreamName,
        start: &StartSelector,
    ) -> Result<Media, Error> {
        let operation = "GetMedia";
        let body =
            json!({ "StreamName": stream.as_str(), "StartSelector": start.to_json() }).to_string();
        let payload_hash = sigv4::payload_hash(body.as_bytes());
        let request = self.post(endpoint, operation, &[], &payload_hash)?;
        let sent = request.body(body).send().await;
        let response = sent.map_err(|source| Error::Transport { operation, source })?;
        if !response.status().is_success() {
            return Err(refusal(operation, response).await);
        }
        Ok(Media { response, operation })
    }
}

impl Acks {
    /// The next acknowledgement; `None` when the service has ended the session. May be dropped and
    /// called again without loss.
    pub async fn next(&mut self) -> Result<Option<Ack>, Error> {
        loop {
            if let Some(ack) = self.parser.next_ack()? {
                return Ok(Some(ack));
            }
            let operation = "PutMedia";
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.parser.push(&bytes),
                Ok(None) => return Ok(None),
                Err(source) => return Err(Error::Transport { operation, source }),
            }
        }
    }
}

impl Media {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let operation = self.operation;
        self.response.chunk().await.map_err(|source| Error::Transport { operation, source })
    }
}

impl StartSelector {
    fn to_json(&self) -> Value {
        match self {
            Self::Now => json!({ "StartSelectorType": "NOW" }),
            Self::Earliest => json!({ "StartSelectorType": "EARLIEST" }),
            Self::AfterFragment(number) => {
                json!({ "StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": number })
            }
            Self::ProducerTimestamp(time) => json!({
                "StartSelectorType": "PRODUCER_TIMESTAMP",
                "StartTimestamp": time.as_secs_f64(),
            }),
            Self::ContinuationToken(token) => {
                json!({ "StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": token })
            }
        }
    }
}
