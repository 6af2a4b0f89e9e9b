//! Stream processors in the native API: for whoever runs them, for people with curl and for the
//! console. They are created with the Rekognition API (`rekognition`).

use std::fmt::Write;

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};

use super::rekognition_arn;
use super::{ApiError, App, AppState, AwsJson, Caller, ErrorKind, Routes, blocking};
use crate::processors::{self as domain, Outcome, ProcessorError, Seen};
use crate::types::{Arn, ProducerTimestamp, ServerTimestamp};
use crate::wire::processors::{
    Corner, Frames, Options, Policy, Processor, ProcessorPatch, Processors, Rectangle, Region,
    Report, ReportAnswer, Start, StartRequest, Status,
};

/// The most regions of a processor, as on AWS.
const MAX_REGIONS: usize = 10;
/// Corners of a polygon, as on AWS.
const CORNERS: std::ops::RangeInclusive<usize> = 3..=10;
/// No camera is faster.
const MAX_FPS: f64 = 240.0;
/// More than this between two frames is no selection any more.
const MAX_EVERY_NTH: u32 = 10_000;
/// Wider than any picture.
const MAX_FACE_WIDTH: u32 = 16_384;

/// A run that ends by itself ends within ten years.
const RUN_SECONDS: std::ops::RangeInclusive<u64> = 1..=315_360_000;

/// The routes of this area.
pub(super) fn routes() -> Routes {
    let native = Router::new()
        .route("/v1/processors", get(list))
        .route("/v1/processors/{name}", get(describe).patch(change))
        .route("/v1/processors/{name}/start", post(start))
        .route("/v1/processors/{name}/stop", post(stop))
        .route("/v1/processors/{name}/report", put(report));
    Routes { native, ..Routes::default() }
}

/// `GET /v1/processors`: all of them, by name.
async fn list(State(app): State<AppState>, caller: Caller) -> Result<Json<Processors>, ApiError> {
    caller.may_do_all()?;
    let all = app.processors.list()?;
    Ok(Json(Processors { processors: all.into_iter().map(|seen| shown(&app, seen)).collect() }))
}

/// `GET /v1/processors/{name}`
async fn describe(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<Processor>, ApiError> {
    caller.may_do_all()?;
    Ok(Json(shown(&app, app.processors.get(&name)?)))
}

/// `PATCH /v1/processors/{name}`: changes settings; one that runs goes on with them.
async fn change(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
    AwsJson(patch): AwsJson<ProcessorPatch>,
) -> Result<Json<Processor>, ApiError> {
    caller.may_do_all()?;
    let options = patch.options.map(options_of).transpose()?;
    let threshold = patch.threshold.map(threshold).transpose()?;
    let regions = patch.regions.map(regions_of).transpose()?;
    blocking(move || {
        app.processors.update(&name, |facts| {
            facts.options = options.unwrap_or_else(|| facts.options.clone());
            facts.settings.threshold = threshold.or(facts.settings.threshold);
            if let Some(regions) = regions {
                facts.settings.regions = regions;
            }
        })?;
        Ok(Json(shown(&app, app.processors.get(&name)?)))
    })
    .await
}

/// `POST /v1/processors/{name}/start`: a new run; without a body from where StartStreamProcessor
/// without selectors begins, and until it is stopped.
async fn start(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
    AwsJson(request): AwsJson<StartRequest>,
) -> Result<Json<Processor>, ApiError> {
    caller.may_do_all()?;
    let start = request.start.map(start_of).transpose()?;
    let seconds = request.stop_after_seconds;
    if seconds.is_some_and(|seconds| !RUN_SECONDS.contains(&seconds)) {
        let (least, most) = (RUN_SECONDS.start(), RUN_SECONDS.end());
        return Err(ApiError::invalid(format!("stopAfterSeconds is {least} to {most}.")));
    }
    blocking(move || {
        app.processors.start(&name, start, seconds)?;
        Ok(Json(shown(&app, app.processors.get(&name)?)))
    })
    .await
}

/// `POST /v1/processors/{name}/stop`: asks the present run to end.
async fn stop(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<Processor>, ApiError> {
    caller.may_do_all()?;
    blocking(move || {
        app.processors.stop(&name)?;
        Ok(Json(shown(&app, app.processors.get(&name)?)))
    })
    .await
}

/// `PUT /v1/processors/{name}/report`: what a runner has to say; tells it whether to go on.
async fn report(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
    AwsJson(report): AwsJson<Report>,
) -> Result<Json<ReportAnswer>, ApiError> {
    caller.may_do_all()?;
    let outcome = match report.status {
        Status::Running | Status::Starting => Outcome::Running,
        Status::Stopped | Status::Stopping => Outcome::Stopped,
        Status::Failed => Outcome::Failed,
    };
    if let Some(checkpoint) = &report.checkpoint {
        fragment_number("checkpoint", checkpoint)?;
    }
    let Frames { decoded, analysed, skipped, failed } = report.frames;
    let report = domain::Report {
        generation: report.generation,
        outcome,
        message: report.message,
        checkpoint: report.checkpoint,
        lag_seconds: report.lag_seconds,
        frames: domain::Frames { decoded, analysed, skipped, failed },
    };
    blocking(move || {
        let go_on = app.processors.report(&name, report)?;
        Ok(Json(ReportAnswer { wanted: if go_on { Status::Running } else { Status::Stopped } }))
    })
    .await
}

/// How far behind each processor is, and what it did, as Prometheus text. Blocks.
pub(super) fn render_metrics(app: &App) -> String {
    let all = app.processors.list().unwrap_or_default();
    let running: Vec<_> = all.iter().filter(|seen| seen.facts.status.is_wanted()).collect();
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&Seen) -> Option<f64>| {
        write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n")?;
        for seen in &running {
            if let Some(value) = value(seen) {
                // Names have no characters that would have to be escaped.
                writeln!(text, "{name}{{processor=\"{}\"}} {value}", seen.facts.name)?;
            }
        }
        Ok::<(), std::fmt::Error>(())
    };
    let lag = "Seconds between now and the frame that a processor looked at last.";
    let written = gauge("kinora_processor_lag_seconds", lag, &|seen| lag_seconds(app, seen))
        .and_then(|()| {
            let help = "Frames of the present run in which faces were looked for.";
            gauge("kinora_processor_analysed_frames", help, &|seen| {
                Some(seen.frames.analysed as f64)
            })
        })
        .and_then(|()| {
            let help = "Frames of the present run that were left out because it was behind.";
            gauge("kinora_processor_skipped_frames", help, &|seen| Some(seen.frames.skipped as f64))
        })
        .and_then(|()| {
            let help = "Frames of the present run that were not decoded, or had no answer.";
            gauge("kinora_processor_failed_frames", help, &|seen| Some(seen.frames.failed as f64))
        });
    written.expect("memory takes everything");
    text
}

/// A lag grows while nobody reports.
fn lag_seconds(app: &App, seen: &Seen) -> Option<f64> {
    let since = app.clock.now().since(seen.reported?);
    seen.lag_seconds.map(|lag| lag + since.0 as f64 / 1000.0)
}

/// A processor in every answer.
fn shown(app: &App, seen: Seen) -> Processor {
    let lag_seconds = lag_seconds(app, &seen);
    let Seen { facts, frames, reported, .. } = seen;
    let settings = facts.settings;
    let stream: Option<Arn> = settings.stream_arn.parse().ok();
    Processor {
        arn: rekognition_arn(app, format_args!("streamprocessor/{}", facts.name)),
        name: facts.name,
        status: status(facts.status),
        message: facts.message,
        stream: stream.map(|arn| arn.name.to_string()).unwrap_or_default(),
        stream_arn: settings.stream_arn,
        output_arn: super::records::arn(app, format_args!("stream/{}", settings.output)),
        output: settings.output,
        collection: settings.collection,
        threshold: settings.threshold,
        options: Options {
            policy: match facts.options.policy {
                domain::Policy::Current => Policy::Current,
                domain::Policy::Complete => Policy::Complete,
            },
            max_fps: facts.options.max_fps,
            every_nth: facts.options.every_nth,
            key_frames_when_behind: facts.options.key_frames_when_behind,
            motion_gate: facts.options.motion_gate,
            min_face_width: facts.options.min_face_width,
        },
        regions: settings.regions.into_iter().map(region).collect(),
        start: facts.start.map(|start| match start {
            domain::Start::Fragment(number) => Start::FragmentNumber(number),
            domain::Start::ProducerMillis(millis) => {
                Start::ProducerTimestamp(millis as f64 / 1000.0)
            }
        }),
        stop_after_seconds: facts.stop_after_seconds,
        generation: facts.generation,
        checkpoint: facts.checkpoint,
        lag_seconds,
        frames: Frames {
            decoded: frames.decoded,
            analysed: frames.analysed,
            skipped: frames.skipped,
            failed: frames.failed,
        },
        reported: reported.map(ServerTimestamp::as_secs_f64),
        created: facts.created.as_secs_f64(),
        updated: facts.updated.as_secs_f64(),
    }
}

fn status(status: domain::Status) -> Status {
    match status {
        domain::Status::Stopped => Status::Stopped,
        domain::Status::Starting => Status::Starting,
        domain::Status::Running => Status::Running,
        domain::Status::Failed => Status::Failed,
        domain::Status::Stopping => Status::Stopping,
    }
}

/// A region in the native API.
pub(super) fn region(region: domain::Region) -> Region {
    match region {
        domain::Region::Box { left, top, width, height } => {
            Region::Box(Rectangle { left, top, width, height })
        }
        domain::Region::Polygon(corners) => {
            Region::Polygon(corners.into_iter().map(|(x, y)| Corner { x, y }).collect())
        }
    }
}

/// Options within their bounds.
fn options_of(options: Options) -> Result<domain::Options, ApiError> {
    if !(options.max_fps > 0.0 && options.max_fps <= MAX_FPS) {
        return Err(ApiError::invalid(format!("maxFps is above 0 and at most {MAX_FPS}.")));
    }
    if !(1..=MAX_EVERY_NTH).contains(&options.every_nth) {
        return Err(ApiError::invalid(format!("everyNth is 1 to {MAX_EVERY_NTH}.")));
    }
    if options.min_face_width > MAX_FACE_WIDTH {
        return Err(ApiError::invalid(format!("minFaceWidth is at most {MAX_FACE_WIDTH}.")));
    }
    Ok(domain::Options {
        policy: match options.policy {
            Policy::Current => domain::Policy::Current,
            Policy::Complete => domain::Policy::Complete,
        },
        max_fps: options.max_fps,
        every_nth: options.every_nth,
        key_frames_when_behind: options.key_frames_when_behind,
        motion_gate: options.motion_gate,
        min_face_width: options.min_face_width,
    })
}

fn threshold(threshold: f64) -> Result<f64, ApiError> {
    let sound = (0.0..=100.0).contains(&threshold);
    sound.then_some(threshold).ok_or_else(|| ApiError::invalid("threshold is 0 to 100."))
}

/// Regions that are parts of the picture.
pub(super) fn regions_of(regions: Vec<Region>) -> Result<Vec<domain::Region>, ApiError> {
    if regions.len() > MAX_REGIONS {
        return Err(ApiError::invalid(format!("There are at most {MAX_REGIONS} regions.")));
    }
    regions.into_iter().map(region_of).collect()
}

fn region_of(region: Region) -> Result<domain::Region, ApiError> {
    let part = 0.0..=1.0;
    let inside = |numbers: &[f64]| numbers.iter().all(|number| part.contains(number));
    match region {
        Region::Box(Rectangle { left, top, width, height }) => {
            let sound = inside(&[left, top, width, height]) && width > 0.0 && height > 0.0;
            let region = domain::Region::Box { left, top, width, height };
            sound.then_some(region).ok_or_else(|| {
                ApiError::invalid("A region's box has an area, and its numbers are 0 to 1.")
            })
        }
        Region::Polygon(corners) => {
            let sound = CORNERS.contains(&corners.len())
                && corners.iter().all(|corner| inside(&[corner.x, corner.y]));
            let (least, most) = (CORNERS.start(), CORNERS.end());
            let corners = corners.into_iter().map(|corner| (corner.x, corner.y)).collect();
            sound.then_some(domain::Region::Polygon(corners)).ok_or_else(|| {
                ApiError::invalid(format!(
                    "A region's polygon has {least} to {most} corners, and their numbers are 0 to 1."
                ))
            })
        }
    }
}

/// A place to begin at, in the domain's terms.
fn start_of(start: Start) -> Result<domain::Start, ApiError> {
    match start {
        Start::FragmentNumber(number) => {
            fragment_number("fragmentNumber", &number)?;
            Ok(domain::Start::Fragment(number))
        }
        Start::ProducerTimestamp(seconds) => {
            let time = ProducerTimestamp::from_secs_f64(seconds);
            let time = time.filter(|time| time.as_millis() >= 0);
            time.map(|time| domain::Start::ProducerMillis(time.as_millis())).ok_or_else(|| {
                ApiError::invalid("producerTimestamp is seconds since the Unix epoch.")
            })
        }
    }
}

fn fragment_number(member: &str, text: &str) -> Result<(), ApiError> {
    let sound = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    sound
        .then_some(())
        .ok_or_else(|| ApiError::invalid(format!("{member} is a fragment's number.")))
}

impl From<ProcessorError> for ApiError {
    fn from(error: ProcessorError) -> Self {
        let kind = match error {
            ProcessorError::NotFound(_) => ErrorKind::ResourceNotFound,
            ProcessorError::Exists(_) | ProcessorError::Busy { .. } => ErrorKind::ResourceInUse,
            ProcessorError::Full => ErrorKind::InvalidArgument,
            ProcessorError::Store(_) => return Self::internal(error),
        };
        Self::new(kind, format!("{error}."))
    }
}
