//! Alerts of the native API: what rules watch for, what an alert says, what receivers get.
//!
//! Members of rules are in camel case, as everywhere in the native API; an [`Alert`] is a record of
//! a record stream beside those of Rekognition, and in Pascal case like them. Times of media are
//! seconds since the epoch on the producer's clock.

pub mod rule;

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::findings::TrackEvent;
pub use rule::{Clip, InvalidRule, NamedRule, Region, Rule, Schedule, Target, When};

/// The record stream that every alert is put on. It is made with the first rule.
pub const ALERT_STREAM: &str = "kinora-alerts";
/// What the names of the queues begin with from which alerts are delivered; the rule's name follows.
pub const QUEUE_PREFIX: &str = "kinora-alert-";
/// Carries a webhook's signature.
pub const SIGNATURE_HEADER: &str = "x-kinora-signature";

/// One alert: a record of [`ALERT_STREAM`], in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alert {
    /// The same whenever the same rule sees the same thing, so that repeats can be dropped.
    pub id: String,
    /// The rule's name.
    pub rule: String,
    /// What the rule watches for: `unknown`, `person`, `face`, `count` or `absence`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The video stream.
    pub stream: String,
    /// When it happened.
    pub time: f64,
    /// What happened; the last of several for `count`, none for `absence`.
    pub event: Option<TrackEvent>,
    /// The collection in which faces were searched.
    pub collection: Option<String>,
    /// The stream processor that saw it.
    pub processor: Option<String>,
    /// What to show of the stream.
    pub clip: ClipRange,
    /// The sighting whose picture shows the face.
    pub sighting_id: Option<String>,
}

/// A range of a stream's media.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipRange {
    /// Where it begins.
    pub start: f64,
    /// Where it ends.
    pub end: f64,
}

/// `GET /v1/alerts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertList {
    /// Newest first.
    pub alerts: Vec<Alert>,
}

/// `GET /v1/alerts/rules`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleList {
    /// By name.
    pub rules: Vec<NamedRule>,
}

/// `GET /v1/alerts/rules/{name}/dead-letters`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetters {
    /// Alerts that no attempt delivered.
    pub count: u64,
    /// Alerts of all rules that this one's deliverer has not settled yet.
    pub waiting: u64,
    /// Some of the dead letters.
    pub alerts: Vec<Alert>,
}

/// `POST /v1/alerts/rules/{name}/dead-letters/restore`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// How many alerts are delivered anew.
    pub restored: u64,
}

/// `POST /v1/links`: an address that shows one thing for a while, for people without a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkRequest {
    /// What is shown.
    #[serde(flatten)]
    pub to: LinkTarget,
    /// For how long; a day where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// What a link shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum LinkTarget {
    /// A range of a stream.
    Clip {
        /// The stream.
        stream: String,
        /// Where it begins, in seconds on the producer's clock.
        start: f64,
        /// Where it ends.
        end: f64,
    },
    /// The picture of a sighting.
    Crop {
        /// The collection.
        collection: String,
        /// The sighting's id.
        sighting: String,
    },
}

/// What `POST /v1/links` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The address, with what allows it.
    pub url: String,
    /// Until when it holds, in seconds on the server's clock.
    pub expires: f64,
}

/// The body of a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What happened.
    pub alert: Alert,
    /// Where the picture of the face is for a while; anybody with the link may see it.
    pub crop_url: Option<String>,
    /// Where the clip is for a while; anybody with the link may see it.
    pub clip_url: String,
    /// The picture of the face: a JPEG in base64.
    pub crop: Option<String>,
}

/// Where the alerter goes on after a restart (`GET` and `PUT /v1/alerts/state`). It is stored after
/// what rules remember: what is read again from there gives the same alerts, or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AlerterState {
    /// The last record that was looked at: by record stream and shard.
    pub places: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a rule remembers (`GET` and `PUT /v1/alerts/rules/{name}/state`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleState {
    /// When the rule was made that this is of; a later one of its name begins anew.
    pub created: f64,
    /// What each video stream has shown.
    pub streams: BTreeMap<String, StreamState>,
}

/// What a rule remembers of a video stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamState {
    /// When it last changed, on the server's clock: who is forgotten, is the one with the earliest.
    pub changed: f64,
    /// Tracks that were told or counted, the newest last.
    pub tracks: Vec<String>,
    /// When those came that count within the window.
    pub times: Vec<f64>,
    /// Since when nobody was seen, on the server's clock.
    pub quiet_since: Option<f64>,
    /// When somebody was last seen, on the producer's clock.
    pub last_seen: Option<f64>,
    /// That nobody was seen since then is told.
    pub told_absence: bool,
}

/// The value of [`SIGNATURE_HEADER`]: `t=<seconds>,v1=<hex of HMAC-SHA256(secret, t.body)>`.
/// Receivers refuse what is old, so that nobody can send it again.
pub fn signature(secret: &str, seconds: i64, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    format!("t={seconds},v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_what_receivers_compute_themselves() {
        // printf '17.{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature("secret", 17, b"{}"),
            "t=17,v1=8af83b0673ef7fdabfca93bc1f9c0893a4de95938051a9959b16f9e2a9e16802"
        );
    }

    #[test]
    fn state_of_an_earlier_version_is_read() {
        let state: AlerterState = serde_json::from_str("{}").expect("an empty state");
        assert_eq!(state, AlerterState::default());
    }
}
