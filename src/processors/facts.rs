//! What is remembered of a stream processor, as JSON in the store. Fields may be added, with defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Outcome, SILENCE};
use crate::types::ServerTimestamp;

/// What a processor is created with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of CreateStreamProcessor")]
pub struct NewProcessor {
    pub name: String,
    /// The ARN of the video stream.
    pub stream_arn: String,
    /// The name of the record stream that findings go to.
    pub output: String,
    pub collection: String,
    /// The least similarity of a match, 0 to 100.
    pub threshold: Option<f64>,
    pub regions: Vec<Region>,
    pub role_arn: String,
    pub kms_key_id: Option<String>,
    pub notification_topic_arn: Option<String>,
    pub data_sharing: Option<bool>,
    pub tags: BTreeMap<String, String>,
}

/// The facts of a processor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Processor {
    /// Unique among processors.
    pub name: String,
    /// What it was created with, but for what was changed since.
    pub settings: NewProcessor,
    /// How frames are chosen.
    pub options: Options,
    /// Where it is in its life.
    pub status: Status,
    /// Why it failed, or what its runner has to say.
    pub message: String,
    /// How often it was started.
    pub generation: u64,
    /// Where the present run began; at what came then where there is none.
    pub start: Option<Start>,
    /// The present run ends so many seconds after it was asked for.
    pub stop_after_seconds: Option<u64>,
    /// When the present run was asked for, in milliseconds since the Unix epoch.
    #[serde(with = "as_millis")]
    pub begun: ServerTimestamp,
    /// The last fragment of which everything was delivered.
    pub checkpoint: Option<String>,
    /// When it was created, in milliseconds since the Unix epoch.
    #[serde(with = "as_millis")]
    pub created: ServerTimestamp,
    /// When somebody changed it last who is not its runner.
    #[serde(with = "as_millis")]
    pub updated: ServerTimestamp,
}

/// Where a processor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It does nothing.
    Stopped,
    /// It was started; no runner has it yet.
    Starting,
    /// A runner has it.
    Running,
    /// Its runner could not go on.
    Failed,
    /// It was stopped; its runner does not know yet.
    Stopping,
}

/// How frames are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// What happens when pictures come faster than they can be looked at.
    pub policy: Policy,
    /// The most frames per second of the stream that are looked at.
    pub max_fps: f64,
    /// Only every n-th frame is looked at.
    pub every_nth: u32,
    /// Only key frames are decoded while it is behind.
    pub key_frames_when_behind: bool,
    /// Only frames in which something moved are looked at.
    pub motion_gate: bool,
    /// Faces narrower than this, in pixels, are left out.
    pub min_face_width: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::Current,
            max_fps: 5.0,
            every_nth: 1,
            key_frames_when_behind: true,
            motion_gate: false,
            min_face_width: 0,
        }
    }
}

/// What happens when pictures come faster than they can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// The newest are looked at; those between are skipped.
    Current,
    /// Every chosen one is looked at, however late.
    Complete,
}

/// A part of the picture, in parts of its width and height.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Region {
    /// A rectangle.
    #[allow(missing_docs, reason = "the names say it")]
    Box { left: f64, top: f64, width: f64, height: f64 },
    /// The corners of a polygon, each from the left and from the top.
    Polygon(Vec<(f64, f64)>),
}

/// Where a run begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// At the fragment of this number.
    Fragment(String),
    /// At the first fragment that has this moment of the producer's clock, in milliseconds since the
    /// Unix epoch, or begins after it.
    ProducerMillis(i64),
}

/// Frames of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Those that were decoded.
    pub decoded: u64,
    /// Those in which faces were looked for.
    pub analysed: u64,
    /// Those that were left out because the processor was behind.
    pub skipped: u64,
    /// Those that could not be decoded, or that no network had an answer for.
    pub failed: u64,
}

impl Status {
    /// As the Rekognition API writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Failed => "FAILED",
            Self::Stopping => "STOPPING",
        }
    }

    /// Whether a runner should work on it.
    pub const fn is_wanted(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }

    /// Whether a runner may be at it.
    pub(super) const fn has_runner(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }

    /// What it becomes by what its runner tells.
    pub(super) const fn after(self, outcome: Outcome) -> Self {
        match (self, outcome) {
            (Self::Stopping, Outcome::Running) => Self::Stopping,
            (Self::Stopping, _) | (_, Outcome::Stopped) => Self::Stopped,
            (_, Outcome::Running) => Self::Running,
            (_, Outcome::Failed) => Self::Failed,
        }
    }
}

impl Processor {
    pub(super) fn new(settings: NewProcessor, now: ServerTimestamp) -> Self {
        Self {
            name: settings.name.clone(),
            settings,
            options: Options::default(),
            status: Status::Stopped,
            message: String::new(),
            generation: 0,
            start: None,
            stop_after_seconds: None,
            begun: now,
            checkpoint: None,
            created: now,
            updated: now,
        }
    }

    pub(super) fn begin(
        &mut self,
        start: Option<Start>,
        stop_after_seconds: Option<u64>,
        now: ServerTimestamp,
    ) {
        let goes_on = start.is_none() && self.options.policy == Policy::Complete;
        if !goes_on {
            self.checkpoint = None;
        }
        self.status = Status::Starting;
        self.message.clear();
        self.generation += 1;
        self.start = start;
        self.stop_after_seconds = stop_after_seconds;
        self.begun = now;
        self.updated = now;
    }

    pub(super) fn end(&mut self, now: ServerTimestamp) {
        match self.status {
            Status::Starting | Status::Running => {
                self.status = Status::Stopping;
                self.updated = now;
            }
            Status::Failed => {
                self.status = Status::Stopped;
                self.updated = now;
            }
            Status::Stopping | Status::Stopped => {}
        }
    }

    /// Asks a run to end whose time is over, and lets silence end what is to stop.
    pub(super) fn settle(&mut self, reported: Option<ServerTimestamp>, now: ServerTimestamp) {
        if let Some(end) = self.time_is_over().filter(|end| now >= *end) {
            self.end(end);
        }
        let heard = reported.map_or(self.updated, |reported| reported.max(self.updated));
        if self.status == Status::Stopping && now.since(heard) >= SILENCE {
            self.status = Status::Stopped;
        }
    }

    /// When a run that is wanted is to end by itself.
    fn time_is_over(&self) -> Option<ServerTimestamp> {
        let seconds = self.stop_after_seconds.filter(|_| self.status.is_wanted())?;
        let millis = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        Some(ServerTimestamp::from_millis(self.begun.as_millis().saturating_add(millis)))
    }

    /// Takes back what is not a setting.
    pub(super) fn keep_state_of(&mut self, before: &Self) {
        let before = before.clone();
        let settings = NewProcessor { name: before.name.clone(), ..self.settings.clone() };
        *self = Self { settings, options: self.options.clone(), ..before };
    }
}

/// Milliseconds since the Unix epoch.
mod as_millis {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::ServerTimestamp;

    pub fn serialize<S: Serializer>(at: &ServerTimestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.as_millis())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ServerTimestamp, D::Error> {
        i64::deserialize(from).map(ServerTimestamp::from_millis)
    }
}
