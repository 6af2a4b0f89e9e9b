//! Settings of clips and alerts.

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Bounds of `GET /v1/streams/{stream}/clip.mp4`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipLimits {
    /// The longest clip.
    pub max_seconds: u64,
}

/// Alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// Whether the server follows rules and delivers alerts.
    pub enabled: bool,
    /// Record streams in which findings are looked for besides those of stream processors: names
    /// with commas between them.
    pub streams: String,
    /// How long the first wait is after an attempt to deliver failed; each is twice the one before.
    pub retry_seconds: u32,
    /// How long the links of an alert hold.
    pub link_hours: u32,
}

impl Default for ClipLimits {
    fn default() -> Self {
        Self { max_seconds: 600 }
    }
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self { enabled: true, streams: String::new(), retry_seconds: 2, link_hours: 7 * 24 }
    }
}

/// Whether the values make sense.
pub(super) fn check(clips: &ClipLimits, alerts: &AlertsConfig) -> Result<(), ConfigError> {
    let within = |name: &str, value: u64, most: u64| {
        if (1..=most).contains(&value) {
            return Ok(());
        }
        Err(ConfigError::Invalid(format!("{name} must be from 1 to {most}")))
    };
    within("clips.max_seconds", clips.max_seconds, 86_400)?;
    within("alerts.retry_seconds", alerts.retry_seconds.into(), 3600)?;
    within("alerts.link_hours", alerts.link_hours.into(), 720)
}
