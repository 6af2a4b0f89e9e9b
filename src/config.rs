//! One typed configuration: every default and every bound of the server is named here.
//!
//! Settings come from flags, then `KINORA_*` variables, then `kinora.toml`, then the defaults
//! below. A key `max_connections` of the table `[http]` is the variable
//! `KINORA_HTTP_MAX_CONNECTIONS`, `host` of `[alerts.smtp]` is `KINORA_ALERTS_SMTP_HOST`, and a
//! top-level key `listen` is `KINORA_LISTEN`. Unknown keys of the file are errors; unknown variables are not, since container platforms set some of their
//! own (`KINORA_PORT`). Sizes are in bytes, times in the unit that the key names.

mod alerts;
mod detect;
mod people;
mod records;
mod sources;
mod vision;

pub use detect::DetectConfig;
pub use people::PeopleConfig;
pub use records::RecordsConfig;
pub use vision::VisionConfig;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use sources::{env_name, keys, set};

pub use alerts::{AlertsConfig, ClipLimits, SmtpConfig, SmtpEncryption};

/// Read when it exists in the working directory and no `--config` is given.
pub const DEFAULT_FILE: &str = "kinora.toml";

const MIB: u64 = 1 << 20;

/// What the log works in: the segment that is written, two that are free, and some to hold media.
const LEAST_QUOTA_SEGMENTS: u64 = 6;

/// Everything the server can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub data: PathBuf,
    /// The region in ARNs; signatures may name any.
    pub region: String,
    /// The account in ARNs: twelve digits.
    pub account: String,
    /// What clients reach the server under, `https://video.example.org`; without it, they are
    /// sent back to the `Host` they asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Whether requests must be signed. Off only on a loopback address.
    pub auth: Switch,
    /// PEM file with the certificate chain; with `tls_key` the server speaks TLS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Whether TLS clients are offered HTTP/2, which asynchronous Java clients of record streams
    /// need. Video producers of the C SDK then choose it as well, and their signatures break.
    pub tls_http2: Switch,
    /// How log lines are written to standard error.
    pub log_format: LogFormat,
    /// The store.
    pub store: StoreConfig,
    /// HTTP in general.
    pub http: HttpLimits,
    /// PutMedia.
    pub put_media: PutMediaLimits,
    /// Files that are uploaded as a whole.
    pub files: FileLimits,
    /// GetMedia and GetMediaForFragmentList.
    pub get_media: GetMediaLimits,
    /// HLS sessions.
    pub hls: HlsLimits,
    /// Clips.
    pub clips: ClipLimits,
    /// Alerts.
    pub alerts: AlertsConfig,
    /// Record streams.
    pub records: RecordsConfig,
    /// People who were seen.
    pub people: PeopleConfig,
    /// What looks at single pictures.
    pub vision: VisionConfig,
    /// Stream processors.
    pub detect: DetectConfig,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Required or active.
    On,
    /// Not required.
    Off,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The store's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Bytes of one segment file of the log.
    pub segment_bytes: u64,
    /// Segment files made ahead of need; with 0, fragments wait while one is made.
    pub prepared_segments: usize,
    /// Expired segment files kept for re-use; more are deleted.
    pub spare_segments: usize,
    /// Bytes that may wait for the disk before producers must wait.
    pub queue_bytes: u64,
    /// Bytes of media that all producers together may have sent before it is durable. Beyond it
    /// they wait for the disk, but for one fragment that may always get complete.
    pub held_bytes: u64,
    /// Bytes of the newest records of all shards that are kept in memory, for consumers at the tail.
    pub record_cache_bytes: u64,
    /// How long a stream without retention keeps fragments for its live readers. AWS: 5 minutes.
    pub unretained_seconds: u64,
    /// How often retention is enforced, besides each time when the log has grown by a segment.
    pub retention_interval_seconds: u64,
    /// Bytes of the index that are kept in memory.
    pub index_cache_bytes: u64,
    /// How long a fragment waits in memory to be put into the index's file together with others;
    /// they are read from the log again when the process is killed.
    pub index_interval_seconds: u64,
    /// Bytes that all segment files may take together; 0 is no limit. When it is reached, the
    /// oldest fragments of all streams go, but for pinned ones; when nothing may go, producers
    /// are refused.
    pub quota_bytes: u64,
    /// Bytes that stay free on the disk, by the same means; with 0 and no quota, nothing goes before
    /// its time, and producers are refused when the disk is full.
    pub min_free_bytes: u64,
}

/// Bounds of every HTTP connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// Connections at a time; more wait unaccepted.
    pub max_connections: usize,
    /// Bytes of a request head, and of what is buffered of a body per connection.
    pub max_head_bytes: usize,
    /// Bytes of a JSON request.
    pub max_json_bytes: usize,
    /// Bytes of a request of record streams. PutRecords takes 10 MiB, which base64 makes 14.
    pub max_records_bytes: usize,
    /// Requests of record streams with more than 1 MiB that are taken at a time; more wait.
    pub max_large_bodies: usize,
    /// From connecting, or the previous answer, to a complete request head.
    pub header_timeout_seconds: u64,
    /// From the head to the end of a JSON body.
    pub body_timeout_seconds: u64,
    /// The TLS handshake.
    pub tls_timeout_seconds: u64,
    /// A client that takes nothing of its answer for so long is dropped.
    pub write_timeout_seconds: u64,
    /// How long connections may go on after SIGTERM.
    pub shutdown_seconds: u64,
}

/// Bounds of PutMedia. The defaults are those of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PutMediaLimits {
    /// Bytes of a fragment, its head included (error 4001).
    pub max_fragment_bytes: u64,
    /// Media in a fragment (error 4002).
    pub max_fragment_ms: u64,
    /// Tracks of a connection (error 4012).
    pub max_tracks: usize,
    /// Metadata tags of a fragment (error 4009).
    pub max_tags: usize,
    /// Bytes of a tag's name.
    pub max_tag_name_bytes: usize,
    /// Bytes of a tag's value.
    pub max_tag_value_bytes: usize,
    /// Whether the two rates below are held. Off by default: AWS protects shared machines with
    /// them, while here a file sent faster than it plays is welcome, and a full disk queue slows
    /// a sender down by itself.
    pub enforce_rates: bool,
    /// Bytes per second of a connection.
    pub max_bytes_per_second: u64,
    /// Fragments per second of a connection.
    pub max_fragments_per_second: u32,
    /// How long a connection may last.
    pub max_connection_seconds: u64,
    /// Silence after which a connection is closed.
    pub idle_seconds: u64,
    /// Below this rate, measured over the idle time, a sender counts as silent.
    pub min_bytes_per_second: u64,
}

/// Bounds of `PUT /v1/streams/{stream}/media`, beside those of PutMedia that are about fragments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileLimits {
    /// Files that may be under way at a time.
    pub max_uploads: usize,
    /// Bytes of all temporary files together. Only MP4 whose index is not at its beginning needs one.
    pub max_spool_bytes: u64,
}

/// Bounds of GetMedia.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GetMediaLimits {
    /// Readers of a stream at a time; AWS has 3, which a dashboard with two viewers uses up.
    pub max_connections_per_stream: usize,
    /// How long an answer may last; the reader comes back with its continuation token.
    pub max_connection_seconds: u64,
    /// Fragment numbers in one GetMediaForFragmentList.
    pub max_fragment_list: usize,
}

/// Bounds of HLS sessions. The defaults are those of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HlsLimits {
    /// Life of a session whose request names none.
    pub default_session_seconds: u64,
    /// The shortest life a request may name.
    pub min_session_seconds: u64,
    /// The longest life a request may name.
    pub max_session_seconds: u64,
    /// Fragments of a live playlist whose request names no number.
    pub live_playlist_fragments: usize,
    /// Fragments of an on-demand playlist whose request names no number.
    pub on_demand_playlist_fragments: usize,
    /// The most fragments a playlist may have.
    pub max_playlist_fragments: usize,
    /// A live session can be opened while the newest fragment is younger than this.
    pub live_within_seconds: u64,
    /// The longest range of an on-demand session.
    pub max_range_seconds: u64,
}

/// Whose rates a shard is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardLimits {
    /// Those of AWS.
    Aws,
    /// None but what the machine can do.
    Off,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5580),
            data: PathBuf::from("./kinora-data"),
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            public_url: None,
            auth: Switch::On,
            tls_cert: None,
            tls_key: None,
            tls_http2: Switch::Off,
            log_format: LogFormat::Text,
            store: StoreConfig::default(),
            http: HttpLimits::default(),
            put_media: PutMediaLimits::default(),
            files: FileLimits::default(),
            get_media: GetMediaLimits::default(),
            hls: HlsLimits::default(),
            clips: ClipLimits::default(),
            alerts: AlertsConfig::default(),
            records: RecordsConfig::default(),
            people: PeopleConfig::default(),
            vision: VisionConfig::default(),
            detect: DetectConfig::default(),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            prepared_segments: 2,
            spare_segments: 8,
            queue_bytes: 128 * MIB,
            held_bytes: 512 * MIB,
            record_cache_bytes: 64 * MIB,
            unretained_seconds: 5 * 60,
            retention_interval_seconds: 30,
            index_cache_bytes: 64 * MIB,
            index_interval_seconds: 10,
            quota_bytes: 0,
            min_free_bytes: 512 * MIB,
        }
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_head_bytes: 64 << 10,
            max_json_bytes: MIB as usize,
            max_records_bytes: 16 * MIB as usize,
            max_large_bodies: 16,
            header_timeout_seconds: 60,
            body_timeout_seconds: 20,
            tls_timeout_seconds: 10,
            write_timeout_seconds: 30,
            shutdown_seconds: 10,
        }
    }
}

impl Default for PutMediaLimits {
    fn default() -> Self {
        Self {
            max_fragment_bytes: 50_000_000,
            max_fragment_ms: 20_000,
            max_tracks: 3,
            max_tags: 10,
            max_tag_name_bytes: 128,
            max_tag_value_bytes: 256,
            enforce_rates: false,
            max_bytes_per_second: 12_500_000,
            max_fragments_per_second: 5,
            max_connection_seconds: 45 * 60,
            idle_seconds: 30,
            min_bytes_per_second: 30,
        }
    }
}

impl Default for FileLimits {
    fn default() -> Self {
        Self { max_uploads: 32, max_spool_bytes: 16 << 30 }
    }
}

impl Default for GetMediaLimits {
    fn default() -> Self {
        Self {
            max_connections_per_stream: 64,
            max_connection_seconds: 45 * 60,
            max_fragment_list: 1000,
        }
    }
}

impl Default for HlsLimits {
    fn default() -> Self {
        Self {
            default_session_seconds: 300,
            min_session_seconds: 300,
            max_session_seconds: 43_200,
            live_playlist_fragments: 5,
            on_demand_playlist_fragments: 1000,
            max_playlist_fragments: 5000,
            live_within_seconds: 30,
            max_range_seconds: 24 * 60 * 60,
        }
    }
}

/// Why there is no configuration to start with. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not valid TOML, or has a key or value it must not have.
    #[error("{path}: {message}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A variable or flag has a value it must not have.
    #[error("{origin}: {message}")]
    Value {
        /// The variable or flag.
        origin: String,
        /// What is wrong.
        message: String,
    },
    /// The settings do not go together, or one is out of its bounds.
    #[error("{0}")]
    Invalid(String),
}

/// A setting from the command line: its key in the file, and its text.
pub type Flag = (&'static str, String);

impl Config {
    /// Loads the settings of this process. Without `file`, [`DEFAULT_FILE`] is read if it exists.
    pub fn load(file: Option<&Path>, flags: &[Flag]) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let path = file.unwrap_or(default);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                String::new()
            }
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        Self::merge(path, &text, &|name| std::env::var(name).ok(), flags)
    }

    /// Whether requests must be signed.
    pub fn auth_required(&self) -> bool {
        self.auth == Switch::On
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }

    /// The listening address as a URL, without a slash at its end.
    pub fn own_url(&self) -> String {
        format!("{}://{}", self.scheme(), self.listen)
    }

    /// Merges the sources; pure, so that the order of precedence can be tested.
    fn merge(
        path: &Path,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
        flags: &[Flag],
    ) -> Result<Self, ConfigError> {
        let in_file = |error: toml::de::Error| ConfigError::File {
            path: path.to_owned(),
            message: error.to_string(),
        };
        // The file alone first: its errors then name line and column.
        toml::from_str::<Self>(text).map_err(in_file)?;
        let mut settings: Table = toml::from_str(text).map_err(in_file)?;
        for (path, sample) in keys() {
            let origin = env_name(&path);
            if let Some(value) = env(&origin) {
                set(&mut settings, &path, &sample, &value, origin)?;
            }
        }
        for (key, value) in flags {
            let origin = format!("--{}", key.replace('_', "-"));
            let path = [(*key).to_owned()];
            set(&mut settings, &path, &Value::String(String::new()), value, origin)?;
        }
        let mut config = Self::deserialize(settings)
            .map_err(|error| ConfigError::Invalid(error.to_string().trim_end().to_owned()))?;
        if let Some(url) = &mut config.public_url {
            url.truncate(url.trim_end_matches('/').len());
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, text: &str| {
            if holds { Ok(()) } else { Err(ConfigError::Invalid(text.to_owned())) }
        };
        let positive = |name: &str, value: u64| {
            if value > 0 {
                Ok(())
            } else {
                Err(ConfigError::Invalid(format!("{name} must not be 0")))
            }
        };
        rule(
            self.auth_required() || self.listen.ip().is_loopback(),
            "auth can be off only on a loopback address (127.0.0.1 or ::1)",
        )?;
        rule(
            self.tls_cert.is_some() == self.tls_key.is_some(),
            "tls_cert and tls_key must be given together",
        )?;
        rule(
            self.account.len() == 12 && self.account.bytes().all(|byte| byte.is_ascii_digit()),
            "account must have twelve digits",
        )?;
        let region_byte =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        rule(
            (1..=64).contains(&self.region.len()) && self.region.bytes().all(region_byte),
            "region must have 1 to 64 characters of [a-z0-9-]",
        )?;
        rule(
            self.public_url.as_deref().is_none_or(is_origin),
            "public_url must be http:// or https:// and a host, without a path",
        )?;
        rule(
            (MIB..=4096 * MIB).contains(&self.store.segment_bytes),
            "store.segment_bytes must be from 1 MiB to 4 GiB",
        )?;
        rule(
            self.store.prepared_segments <= 64 && self.store.spare_segments <= 1024,
            "store.prepared_segments must be up to 64 and store.spare_segments up to 1024",
        )?;
        positive("store.queue_bytes", self.store.queue_bytes)?;
        positive("store.held_bytes", self.store.held_bytes)?;
        rule(
            (MIB..=64 << 30).contains(&self.store.index_cache_bytes),
            "store.index_cache_bytes must be from 1 MiB to 64 GiB",
        )?;
        rule(
            (1..=3600).contains(&self.store.index_interval_seconds),
            "store.index_interval_seconds must be from 1 to 3600",
        )?;
        rule(
            self.store.quota_bytes == 0
                || self.store.quota_bytes / LEAST_QUOTA_SEGMENTS >= self.store.segment_bytes,
            "store.quota_bytes must be 0 or at least 6 times store.segment_bytes",
        )?;
        rule(
            (8 << 10..=MIB as usize).contains(&self.http.max_head_bytes),
            "http.max_head_bytes must be from 8 KiB to 1 MiB",
        )?;
        rule(
            (1 << 10..=64 * MIB as usize).contains(&self.http.max_json_bytes),
            "http.max_json_bytes must be from 1 KiB to 64 MiB",
        )?;
        rule(
            (MIB as usize..=64 * MIB as usize).contains(&self.http.max_records_bytes),
            "http.max_records_bytes must be from 1 MiB to 64 MiB",
        )?;
        rule(
            (1..=10_000).contains(&self.http.max_large_bodies),
            "http.max_large_bodies must be from 1 to 10000",
        )?;
        rule(
            (1..=1_000_000).contains(&self.http.max_connections),
            "http.max_connections must be from 1 to 1000000",
        )?;
        rule(
            (1..=512 * MIB).contains(&self.put_media.max_fragment_bytes),
            "put_media.max_fragment_bytes must be from 1 to 512 MiB",
        )?;
        rule(
            (1..=127).contains(&self.put_media.max_tracks),
            "put_media.max_tracks must be from 1 to 127",
        )?;
        rule(
            self.hls.min_session_seconds <= self.hls.default_session_seconds
                && self.hls.default_session_seconds <= self.hls.max_session_seconds,
            "hls.default_session_seconds must lie between the shortest and the longest session",
        )?;
        positive("store.retention_interval_seconds", self.store.retention_interval_seconds)?;
        positive("http.header_timeout_seconds", self.http.header_timeout_seconds)?;
        positive("http.body_timeout_seconds", self.http.body_timeout_seconds)?;
        positive("http.tls_timeout_seconds", self.http.tls_timeout_seconds)?;
        positive("http.write_timeout_seconds", self.http.write_timeout_seconds)?;
        positive("put_media.max_fragment_ms", self.put_media.max_fragment_ms)?;
        positive("put_media.idle_seconds", self.put_media.idle_seconds)?;
        positive("put_media.max_connection_seconds", self.put_media.max_connection_seconds)?;
        positive("get_media.max_connection_seconds", self.get_media.max_connection_seconds)?;
        positive("hls.max_playlist_fragments", self.hls.max_playlist_fragments as u64)?;
        alerts::check(&self.clips, &self.alerts)?;
        rule(
            (1..=10_000).contains(&self.records.max_open_shards),
            "records.max_open_shards must be from 1 to 10000",
        )?;
        rule(
            self.records.read_wait_ms <= 20_000,
            "records.read_wait_ms must be up to 20000: clients give up on answers that take longer",
        )?;
        rule(
            (100..=30_000).contains(&self.records.keepalive_ms),
            "records.keepalive_ms must be from 100 to 30000",
        )?;
        rule(
            self.records.dedupe_keys_per_shard <= 1_000_000,
            "records.dedupe_keys_per_shard must be up to 1000000",
        )?;
        positive("records.subscription_seconds", self.records.subscription_seconds)?;
        let fault = self.people.fault().or_else(|| self.vision.fault());
        fault.map_or(Ok(()), |text| rule(false, text))
    }
}

/// `http://host`, with a port or without.
fn is_origin(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.parse::<http::uri::Authority>().is_ok() && !host.contains('@')
    })
}

#[cfg(test)]
mod tests;
