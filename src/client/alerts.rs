//! Alerts: rules, where the alerter goes on, and what receivers are shown.

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Url};

use super::{CALL_TIMEOUT, Client, Error, refusal};
use crate::types::{ServerTimestamp, ShardId, StreamName};
use crate::wire::alerts::{
    AlerterState, ClipRange, Link, LinkRequest, LinkTarget, NamedRule, Rule, RuleList, RuleState,
};
use crate::wire::records::data::{GetShardIteratorInput, GetShardIteratorOutput};
use crate::wire::sigv4::EMPTY_PAYLOAD;

/// The largest picture that is read.
pub const MAX_CROP_BYTES: usize = 1 << 20;

/// Where reading a shard begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// Behind the record with this sequence number.
    After(&'a str),
    /// With the first record that arrived then or later.
    At(ServerTimestamp),
}

impl Client {
    /// All rules.
    pub async fn alert_rules(&self) -> Result<Vec<NamedRule>, Error> {
        let path = (Method::GET, &["alerts", "rules"][..]);
        let answer: RuleList = self.call_native("GET rules", path, None::<&()>).await?;
        Ok(answer.rules)
    }

    /// Makes or changes a rule.
    pub async fn put_alert_rule(&self, name: &str, rule: &Rule) -> Result<(), Error> {
        let path = (Method::PUT, &["alerts", "rules", name][..]);
        let _: serde_json::Value = self.call_native("PUT rule", path, Some(rule)).await?;
        Ok(())
    }

    /// What a link of an alert shows, up to `limit` bytes, without a key; `None` when there is
    /// nothing (any more).
    ///
    /// # Errors
    /// `AnswerTooLong` for more.
    pub async fn follow_link(&self, link: &str, limit: usize) -> Result<Option<Bytes>, Error> {
        let url = Url::parse(link).map_err(|_| Error::Endpoint(link.to_owned()))?;
        get_bounded("GET link", self.http.get(url), limit).await
    }

    /// Where the alerter goes on.
    pub async fn alerter_state(&self) -> Result<AlerterState, Error> {
        let path = (Method::GET, &["alerts", "state"][..]);
        self.call_native("GET state", path, None::<&()>).await
    }

    /// Stores where the alerter goes on.
    pub async fn put_alerter_state(&self, state: &AlerterState) -> Result<(), Error> {
        let path = (Method::PUT, &["alerts", "state"][..]);
        let _: serde_json::Value = self.call_native("PUT state", path, Some(state)).await?;
        Ok(())
    }

    /// What a rule remembers; nothing before anything was stored.
    pub async fn alert_rule_state(&self, name: &str) -> Result<RuleState, Error> {
        let path = (Method::GET, &["alerts", "rules", name, "state"][..]);
        self.call_native("GET rule's state", path, None::<&()>).await
    }

    /// Stores what a rule remembers.
    ///
    /// # Errors
    /// [`Error::is_no_resource`] when there is no such rule.
    pub async fn put_alert_rule_state(&self, name: &str, state: &RuleState) -> Result<(), Error> {
        let path = (Method::PUT, &["alerts", "rules", name, "state"][..]);
        let _: serde_json::Value = self.call_native("PUT rule's state", path, Some(state)).await?;
        Ok(())
    }

    /// An address that shows one thing for `seconds`, without a key.
    pub async fn link(&self, to: LinkTarget, seconds: u64) -> Result<Link, Error> {
        let request = LinkRequest { to, seconds: Some(seconds) };
        self.call_native("POST links", (Method::POST, &["links"]), Some(&request)).await
    }

    /// GetShardIterator at a place.
    pub async fn shard_iterator_at(
        &self,
        stream: &StreamName,
        shard: ShardId,
        place: Place<'_>,
    ) -> Result<String, Error> {
        let operation = "GetShardIterator";
        let request = GetShardIteratorInput {
            stream_name: Some(stream.to_string()),
            shard_id: Some(shard.to_string()),
            ..GetShardIteratorInput::default()
        };
        let request = match place {
            Place::After(number) => GetShardIteratorInput {
                shard_iterator_type: Some("AFTER_SEQUENCE_NUMBER".to_owned()),
                starting_sequence_number: Some(number.to_owned()),
                ..request
            },
            Place::At(time) => GetShardIteratorInput {
                shard_iterator_type: Some("AT_TIMESTAMP".to_owned()),
                timestamp: Some(time.into()),
                ..request
            },
        };
        let answer: GetShardIteratorOutput = self.call_records(operation, &request).await?;
        answer.shard_iterator.ok_or(Error::Incomplete { operation, member: "ShardIterator" })
    }

    /// The picture of a sighting, a JPEG; `None` when there is none (any more).
    pub async fn crop(&self, collection: &str, sighting: &str) -> Result<Option<Bytes>, Error> {
        let url = self.native(&["collections", collection, "sightings", sighting, "crop.jpg"])?;
        get_bounded("GET crop", self.get(url), MAX_CROP_BYTES).await
    }

    /// A range of a stream as an MP4 file of up to `limit` bytes; `None` when nothing is stored of it.
    ///
    /// # Errors
    /// `AnswerTooLong` for a longer one.
    pub async fn clip(
        &self,
        stream: &StreamName,
        range: ClipRange,
        limit: usize,
    ) -> Result<Option<Bytes>, Error> {
        let mut url = self.native(&["streams", stream.as_str(), "clip.mp4"])?;
        url.set_query(Some(&format!("end={:.3}&start={:.3}", range.end, range.start)));
        get_bounded("GET clip", self.get(url), limit).await
    }

    /// When the newest fragment of a stream ends, in seconds on the producer's clock.
    pub async fn newest_end(&self, stream: &StreamName) -> Result<Option<f64>, Error> {
        let path = ["streams", stream.as_str()];
        let answer: serde_json::Value =
            self.call_native("GET stream", (Method::GET, &path), None::<&()>).await?;
        let newest = &answer["newest"];
        let (begins, lasts) = (&newest["producerTimestamp"], &newest["durationMs"]);
        let end = |(begins, lasts): (f64, f64)| begins + lasts / 1000.0;
        Ok(begins.as_f64().zip(lasts.as_f64()).map(end))
    }

    fn get(&self, url: Url) -> RequestBuilder {
        self.signed(Method::GET, url, &[], EMPTY_PAYLOAD)
    }
}

async fn get_bounded(
    operation: &'static str,
    request: RequestBuilder,
    limit: usize,
) -> Result<Option<Bytes>, Error> {
    let broken = |source| Error::Transport { operation, source };
    let mut response = request.timeout(CALL_TIMEOUT).send().await.map_err(broken)?;
    if !response.status().is_success() {
        let error = refusal(operation, response).await;
        return if error.is_not_found() { Ok(None) } else { Err(error) };
    }
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(broken)? {
        if body.len() + bytes.len() > limit {
            return Err(Error::AnswerTooLong { operation, limit });
        }
        body.extend_from_slice(&bytes);
    }
    Ok(Some(body.into()))
}
