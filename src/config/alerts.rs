//! Settings of clips, alerts and mails.

use std::fmt;
use std::net::IpAddr;

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
    /// What takes the mails of alerts.
    pub smtp: SmtpConfig,
}

/// The mail server that alerts go out through.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpConfig {
    /// Its name or address; without it, rules send no mails. Its certificate must be for this name,
    /// and from an authority that the system trusts (or `SSL_CERT_FILE` names).
    pub host: String,
    /// Its port; 0 is the usual one: 587 for `starttls`, 465 for `tls`, 25 for `none`.
    pub port: u16,
    /// How the connection is encrypted.
    pub encryption: SmtpEncryption,
    /// The name to log in with; empty for no login.
    pub user: String,
    /// The password.
    pub password: String,
    /// The address that mails are from.
    pub from: String,
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpEncryption {
    /// From STARTTLS on; a server that does not offer it gets nothing.
    Starttls,
    /// From the beginning.
    Tls,
    /// Not at all; with a login only to this machine.
    None,
}

impl SmtpConfig {
    /// Whether mails can be sent.
    pub fn is_set(&self) -> bool {
        !self.host.is_empty()
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        match (self.port, self.encryption) {
            (0, SmtpEncryption::Starttls) => 587,
            (0, SmtpEncryption::Tls) => 465,
            (0, SmtpEncryption::None) => 25,
            (port, _) => port,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, text: &str| {
            if holds { Ok(()) } else { Err(ConfigError::Invalid(text.to_owned())) }
        };
        rule(
            self.host.is_empty() == self.from.is_empty(),
            "alerts.smtp.host and alerts.smtp.from must be given together",
        )?;
        rule(
            self.user.is_empty() == self.password.is_empty(),
            "alerts.smtp.user and alerts.smtp.password must be given together",
        )?;
        let encrypted = self.encryption != SmtpEncryption::None;
        rule(
            self.user.is_empty() || encrypted || is_this_machine(&self.host),
            "alerts.smtp.encryption can be none with a login only on a loopback address",
        )
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for SmtpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password is nothing for logs.
        f.debug_struct("SmtpConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("encryption", &self.encryption)
            .field("user", &self.user)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl Default for ClipLimits {
    fn default() -> Self {
        Self { max_seconds: 600 }
    }
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            streams: String::new(),
            retry_seconds: 2,
            link_hours: 7 * 24,
            smtp: SmtpConfig::default(),
        }
    }
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 0,
            encryption: SmtpEncryption::Starttls,
            user: String::new(),
            password: String::new(),
            from: String::new(),
        }
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
    within("alerts.link_hours", alerts.link_hours.into(), 720)?;
    alerts.smtp.check()
}
