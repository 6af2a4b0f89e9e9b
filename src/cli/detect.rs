//! `kinora detect`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::produce::stop_on_signals;
use super::serve::start_log;
use super::service::{Service, timestamp};
use crate::client::{Client, StartSelector};
use crate::clock::Clock;
use crate::config::LogFormat;
use crate::detect::emit::Origin;
use crate::detect::models::{ModelFiles, Models};
use crate::detect::output::Output;
use crate::detect::pipeline::{Job, Shared, State, run};
use crate::detect::read::Start;
use crate::detect::runner::run_processors;
use crate::files::Meter;
use crate::types::{ProducerTimestamp, StreamName};
use crate::wire::processors::{Options, Policy};

/// How often progress is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// Find faces in a video stream.
///
/// Looks at the pictures of a stream, follows each face while it is in view, asks the collection of
/// people who it is, and writes one finding per picture:
///
///     kinora detect --stream door                          live, findings as lines of JSON
///     kinora detect --stream door --collection staff --output door-findings
///     kinora detect --stream door --from 2026-11-22T12:00:00Z --to 2026-11-22T13:00:00Z
///
/// With --from or --to, what is stored of that time is looked at as fast as it goes, and the command
/// ends; a line on standard error tells how far it is. Without, it follows the stream until Ctrl-C.
/// Findings go to the record stream --output, which must exist, or to standard output.
///
///     kinora detect --processors --endpoint https://video.example.org
///
/// runs the stream processors of a server, as the server itself does unless it was told not to
/// (KINORA_DETECT_ENABLED=false): wherever there are processors to spare, with nothing but an address
/// and a key.
///
/// Every finding has an id made of stream, fragment, picture and box: who reads findings twice can
/// drop the second.
#[derive(Args)]
#[command(verbatim_doc_comment, about = "Find faces in a video stream")]
pub(super) struct Detect {
    /// Stream to look at
    #[arg(long, value_name = "NAME", required_unless_present = "processors")]
    stream: Option<StreamName>,
    /// Run the stream processors of the server instead
    #[arg(long, conflicts_with_all = ["stream", "collection", "output", "from", "to"])]
    processors: bool,
    /// Collection of people to compare with [default: findings have no people]
    #[arg(long, value_name = "ID")]
    collection: Option<String>,
    /// Record stream for the findings [default: standard output]
    #[arg(long, value_name = "STREAM")]
    output: Option<StreamName>,
    /// From this time on, as the producer's clock had it: a date, or seconds since the epoch
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    from: Option<ProducerTimestamp>,
    /// Up to this time
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    to: Option<ProducerTimestamp>,
    /// What to do when pictures come faster than they can be looked at: leave some out, or be late
    /// [default: current live, complete otherwise]
    #[arg(long, value_name = "current|complete", hide_possible_values = true)]
    policy: Option<Under>,
    /// The most pictures per second that are looked at; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    max_fps: f64,
    /// Look at every n-th picture only
    #[arg(long, value_name = "N", default_value_t = 1)]
    every_nth: u32,
    /// Look only at pictures in which something moved
    #[arg(long)]
    motion_gate: bool,
    /// Leave out faces narrower than this, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    min_face_width: u32,
    /// The least similarity of a match, 0 to 100 [default: 80]
    #[arg(long, value_name = "N")]
    threshold: Option<f32>,
    /// The folder with the models
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// A detector's ONNX file in place of the one in there
    #[arg(long, value_name = "FILE")]
    detector: Option<PathBuf>,
    #[command(flatten)]
    service: Service,
}

/// What gives way under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Under {
    /// Pictures are left out.
    Current,
    /// Time passes.
    Complete,
}

impl Detect {
    /// Runs until the end of the range, or until Ctrl-C.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        start_log(LogFormat::Text);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(self.detect());
        // A pipeline that does not stop must not hold up the exit.
        runtime.shutdown_background();
        outcome
    }

    async fn detect(self) -> Result<ExitCode, Failure> {
        let clock = Clock::system();
        let client = self.service.client(clock.clone())?;
        let stop = CancellationToken::new();
        stop_on_signals(&stop)?;
        let files = ModelFiles { folder: self.models.clone(), detector: self.detector.clone() };
        let Some(stream) = self.stream.clone() else {
            tracing::info!("runs the stream processors of {}", client.endpoint());
            run_processors(client, clock, files, stop).await;
            return Ok(ExitCode::SUCCESS);
        };
        let job = self.job(&client, &stream).await?;
        let loading = tokio::task::spawn_blocking(move || Models::load(&files));
        let models = loading.await?.map_err(|error| format!("{error}; see \"kinora models\""))?;
        let output = self
            .output
            .clone()
            .map_or_else(|| Output::Lines(Box::new(std::io::stdout())), Output::Records);
        let state = Arc::new(State::default());
        let shared = Shared { client, clock, state: Arc::clone(&state), stop };
        let telling = tokio::spawn(tell(Arc::clone(&state), stream.clone()));
        let began = Instant::now();
        let outcome = run(job, Arc::new(models), output, shared).await;
        telling.abort();
        Meter::new(std::io::stderr().is_terminal()).clear();
        eprintln!("kinora detect: {stream}: {}", summary(&state, began.elapsed()));
        outcome?;
        Ok(ExitCode::SUCCESS)
    }

    async fn job(&self, client: &Client, stream: &StreamName) -> Result<Job, Failure> {
        let is_archive = self.from.is_some() || self.to.is_some();
        let policy = match self.policy {
            Some(Under::Complete) => Policy::Complete,
            Some(Under::Current) => Policy::Current,
            None if is_archive => Policy::Complete,
            None => Policy::Current,
        };
        let start = if is_archive {
            Start::Archive { from: self.from, to: self.to }
        } else {
            Start::Live(StartSelector::Now)
        };
        Ok(Job {
            origin: Origin {
                processor: format!("detect-{stream}"),
                stream: stream.to_string(),
                stream_arn: client.describe_stream(stream).await?.arn,
                collection: self.collection.clone(),
            },
            options: Options {
                policy,
                max_fps: self.max_fps,
                every_nth: self.every_nth,
                motion_gate: self.motion_gate,
                min_face_width: self.min_face_width,
                ..Options::default()
            },
            regions: Vec::new(),
            threshold: self.threshold,
            start,
        })
    }
}

/// Tells how far it is, until it is aborted.
async fn tell(state: Arc<State>, stream: StreamName) {
    let mut meter = Meter::new(std::io::stderr().is_terminal());
    let began = Instant::now();
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        meter.tell(|| format!("{stream}: {}", summary(&state, began.elapsed())));
    }
}

fn summary(state: &State, elapsed: Duration) -> String {
    let frames = state.frames();
    let rate = frames.analysed as f64 / elapsed.as_secs_f64().max(0.001);
    let (done, all) = state.fragments();
    let mut text = match all {
        0 => format!("{:.1} s behind", state.lag_seconds()),
        _ => format!("{} %, {done} of {all} fragments", 100 * done / all),
    };
    text += &format!(", {} pictures, {rate:.1} per second", frames.analysed);
    for (count, what) in [
        (frames.skipped, "left out"),
        (state.lost(), "not decoded"),
        (state.failed(), "without an answer"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}
