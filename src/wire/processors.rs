//! The shapes of stream processors in the native API: `/v1/processors`.
//!
//! Names are in camel case, times in seconds since the Unix epoch, boxes in parts of the picture. The
//! same shapes are written by the server and by whoever runs a processor.

use serde::{Deserialize, Serialize};

/// What `GET /v1/processors` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Processors {
    /// All of them, by name.
    pub processors: Vec<Processor>,
}

/// One stream processor: what it is set to, and how far its runner is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Processor {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Where it is in its life.
    pub status: Status,
    /// Why it failed, or what its runner has to say; empty when there is nothing.
    pub message: String,
    /// The name of the video stream that it looks at.
    pub stream: String,
    /// That stream's ARN.
    pub stream_arn: String,
    /// The name of the record stream that its findings go to.
    pub output: String,
    /// That stream's ARN.
    pub output_arn: String,
    /// The collection of faces that it compares with.
    pub collection: String,
    /// The least similarity of a match, 0 to 100; the server's default where there is none.
    pub threshold: Option<f64>,
    /// How frames are chosen.
    pub options: Options,
    /// Faces outside of all of these are left out; everything counts when there are none.
    pub regions: Vec<Region>,
    /// Where the present run began; at the newest fragment where there is none.
    pub start: Option<Start>,
    /// The present run ends so many seconds after it was asked for.
    pub stop_after_seconds: Option<u64>,
    /// Grows with each start: a report of an earlier run is none of this one.
    pub generation: u64,
    /// The number of the last fragment of which everything was delivered.
    pub checkpoint: Option<String>,
    /// Seconds between now and the frame that was looked at last.
    pub lag_seconds: Option<f64>,
    /// Frames of the present run.
    pub frames: Frames,
    /// When its runner reported last.
    pub reported: Option<f64>,
    /// When it was created.
    pub created: f64,
    /// When it was changed last, by anybody but its runner.
    pub updated: f64,
}

/// Where a processor is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It does nothing.
    #[default]
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
}

/// How a processor chooses frames. What is left out of JSON has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Options {
    /// What happens when pictures come faster than they can be looked at.
    pub policy: Policy,
    /// The most frames per second of the stream that are looked at.
    pub max_fps: f64,
    /// Only every n-th frame is looked at.
    pub every_nth: u32,
    /// Only key frames are decoded while the processor is behind; of the policy `current` only.
    pub key_frames_when_behind: bool,
    /// Only frames in which something moved are looked at.
    pub motion_gate: bool,
    /// Faces narrower than this, in pixels, are left out.
    pub min_face_width: u32,
}

/// What happens when pictures come faster than they can be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The newest pictures are looked at; those between are skipped and counted.
    #[default]
    Current,
    /// Every chosen picture is looked at, however late.
    Complete,
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

/// A part of the picture: a rectangle, or a polygon of at least three points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Region {
    /// A rectangle.
    Box(Rectangle),
    /// The corners of a polygon.
    Polygon(Vec<Corner>),
}

/// A rectangle in parts of the picture, from its top left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rectangle {
    /// The left edge.
    pub left: f64,
    /// The top edge.
    pub top: f64,
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
}

/// A corner in parts of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Corner {
    /// From the left edge.
    pub x: f64,
    /// From the top edge.
    pub y: f64,
}

/// Where a run begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Start {
    /// At the fragment of this number.
    FragmentNumber(String),
    /// At the first fragment that has this moment of the producer's clock, or begins after it.
    ProducerTimestamp(f64),
}

/// Frames of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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

/// What `POST /v1/processors/{name}/start` takes, as StartStreamProcessor does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StartRequest {
    /// Where the run begins; where it is left out, behind the checkpoint under the policy `complete`,
    /// and with what comes under `current`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// The run ends by itself so many seconds after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after_seconds: Option<u64>,
}

/// What `PATCH /v1/processors/{name}` changes; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProcessorPatch {
    /// How frames are chosen; those that are left out of it have their defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Options>,
    /// The least similarity of a match, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// All regions, in place of those that there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<Region>>,
}

/// What whoever runs a processor tells with `PUT /v1/processors/{name}/report`: at least every
/// few seconds while it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The run that this is about.
    pub generation: u64,
    /// `RUNNING`, `STOPPED` or `FAILED`.
    pub status: Status,
    /// Why it failed, or what else there is to say.
    #[serde(default)]
    pub message: String,
    /// The number of the last fragment of which everything was delivered; left out, the one that
    /// was told before stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Seconds between now and the frame that was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// Frames of this run.
    #[serde(default)]
    pub frames: Frames,
}

/// What a report is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportAnswer {
    /// `RUNNING`: go on; `STOPPED`: end this run.
    pub wanted: Status,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_written_as_the_documentation_shows_them() {
        let options = serde_json::json!({
            "policy": "current", "maxFps": 5.0, "everyNth": 1, "keyFramesWhenBehind": true,
            "motionGate": false, "minFaceWidth": 0,
        });
        assert_eq!(serde_json::to_value(Options::default()).ok(), Some(options));
        let starts = [
            (Start::FragmentNumber("12".into()), serde_json::json!({"fragmentNumber": "12"})),
            (Start::ProducerTimestamp(1.5), serde_json::json!({"producerTimestamp": 1.5})),
        ];
        for (start, json) in starts {
            assert_eq!(serde_json::to_value(start).ok(), Some(json));
        }
        let region: Region =
            serde_json::from_str(r#"{"box": {"Left": 0.1, "Top": 0, "Width": 0.5, "Height": 1}}"#)
                .expect("a region");
        let expected = Rectangle { left: 0.1, top: 0.0, width: 0.5, height: 1.0 };
        assert_eq!(region, Region::Box(expected));
    }

    #[test]
    fn report_needs_no_more_than_its_run_and_state() {
        let report: Report =
            serde_json::from_str(r#"{"generation": 3, "status": "RUNNING"}"#).expect("a report");
        assert_eq!((report.generation, report.status), (3, Status::Running));
        assert_eq!(report.checkpoint, None);
    }
}
