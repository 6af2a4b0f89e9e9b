//! Runs the stream processors that are wanted, and tells how they do.
//!
//! Whatever can heal is tried again with longer and longer waits: a server that restarts, a stream
//! without media. A processor fails only for what it lacks: its stream, its output, the models.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::emit::Origin;
use super::models::{ModelFiles, Models};
use super::output::Output;
use super::pipeline::{Job, RunError, Shared, State, run};
use super::read::Start;
use crate::client::{Backoff, Client, StartSelector};
use crate::clock::Clock;
use crate::types::{FragmentNumber, ProducerTimestamp};
use crate::wire::processors::{Processor, Report, Start as WireStart, Status};

/// How often processors are asked for and reported on.
const INTERVAL: Duration = Duration::from_secs(1);
/// First and longest wait before a run is begun again.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// How long all runs may take to end with the runner.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs processors until it is stopped; the runs end with it, and are wanted again from whoever
/// comes next.
pub async fn run_processors(
    client: Client,
    clock: Clock,
    files: ModelFiles,
    stop: CancellationToken,
) {
    let runner = Runner { client, clock, files, models: None, runs: HashMap::new() };
    runner.run(stop).await;
}

struct Runner {
    client: Client,
    clock: Clock,
    files: ModelFiles,
    /// Loaded when the first processor needs them.
    models: Option<Arc<Models>>,
    /// By the processor's name.
    runs: HashMap<String, Run>,
}

/// One run of a processor, which may be begun several times.
struct Run {
    /// What it was begun with.
    processor: Processor,
    state: Arc<State>,
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), RunError>>>,
    backoff: Backoff,
    again_at: Instant,
    message: String,
    has_failed: bool,
}

impl Runner {
    async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reached = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            match self.client.processors().await {
                Ok(processors) => {
                    if !std::mem::replace(&mut reached, true) {
                        tracing::info!("stream processors are known again");
                    }
                    self.look_after(processors).await;
                }
                Err(error) => {
                    if std::mem::replace(&mut reached, false) {
                        tracing::warn!("stream processors are not known, trying again: {error}");
                    }
                }
            }
        }
        for run in self.runs.values() {
            run.stop.cancel();
        }
        let ending = async {
            for task in self.runs.values_mut().filter_map(|run| run.task.take()) {
                // How it ends matters to nobody now.
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(STOP_TIMEOUT, ending).await;
    }

    async fn look_after(&mut self, processors: Vec<Processor>) {
        for processor in processors {
            let name = processor.name.clone();
            let run = self.runs.remove(&name);
            let kept = match (run, processor.status) {
                (Some(run), _) => self.go_on(run, processor).await,
                (None, Status::Starting | Status::Running) => self.begin(processor).await,
                (None, Status::Stopping) => {
                    let report = report(&processor, Status::Stopped, "");
                    self.tell(&processor, report).await;
                    None
                }
                (None, _) => None,
            };
            if let Some(run) = kept {
                self.runs.insert(name, run);
            }
        }
    }

    /// A processor that was started.
    async fn begin(&mut self, processor: Processor) -> Option<Run> {
        if self.models.is_none() {
            let files = self.files.clone();
            let loading = tokio::task::spawn_blocking(move || Models::load(&files));
            match loading.await {
                Ok(Ok(models)) => self.models = Some(Arc::new(models)),
                Ok(Err(error)) => {
                    let why = format!("{error}; \"make models\" makes them");
                    self.tell(&processor, report(&processor, Status::Failed, &why)).await;
                    return None;
                }
                Err(error) => {
                    tracing::error!("load the models: {error}");
                    return None;
                }
            }
        }
        let mut run = Run {
            processor,
            state: Arc::default(),
            stop: CancellationToken::new(),
            task: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            again_at: Instant::now(),
            message: String::new(),
            has_failed: false,
        };
        self.launch(&mut run);
        Some(run)
    }

    /// One more second of a run.
    async fn go_on(&mut self, mut run: Run, now: Processor) -> Option<Run> {
        let changed = settings(&now) != settings(&run.processor);
        let other_run = now.generation != run.processor.generation;
        if !now.status.is_wanted() || other_run || changed {
            run.stop.cancel();
        }
        run.collect().await;
        if run.task.is_some() {
            self.tell_state(&run, Status::Running).await;
            return Some(run);
        }
        if !now.status.is_wanted() || other_run {
            let status = if run.has_failed { Status::Failed } else { Status::Stopped };
            self.tell_state(&run, status).await;
            return None;
        }
        if run.has_failed {
            self.tell_state(&run, Status::Failed).await;
            return None;
        }
        if changed {
            run.stop = CancellationToken::new();
            run.processor = now;
            self.launch(&mut run);
        } else if Instant::now() >= run.again_at {
            run.processor = now;
            self.launch(&mut run);
        }
        self.tell_state(&run, Status::Running).await;
        Some(run)
    }

    /// Begins, or begins again behind what is durable.
    fn launch(&self, run: &mut Run) {
        let Some(models) = self.models.clone() else { return };
        let processor = &run.processor;
        let Ok(output) = processor.output.parse() else {
            run.fail(format!("{:?} is no name of a record stream", processor.output));
            return;
        };
        let checkpoint = run.state.checkpoint().map(|number| number.to_string());
        let job = Job {
            origin: Origin {
                processor: processor.name.clone(),
                stream: processor.stream.clone(),
                stream_arn: processor.stream_arn.clone(),
                collection: Some(processor.collection.clone()).filter(|name| !name.is_empty()),
            },
            options: processor.options.clone(),
            regions: processor.regions.clone(),
            threshold: processor.threshold.map(|threshold| threshold as f32),
            start: Start::Live(start(processor, checkpoint)),
        };
        let shared = Shared {
            client: self.client.clone(),
            clock: self.clock.clone(),
            state: Arc::clone(&run.state),
            stop: run.stop.clone(),
        };
        tracing::info!(processor = processor.name, stream = processor.stream, "begins");
        run.task = Some(tokio::spawn(self::run(job, models, Output::Records(output), shared)));
    }

    async fn tell_state(&self, run: &Run, status: Status) {
        let report = Report {
            checkpoint: run.state.checkpoint().map(|number| number.to_string()),
            lag_seconds: Some(run.state.lag_seconds()),
            frames: run.state.frames(),
            ..report(&run.processor, status, &run.says())
        };
        if let Some(Status::Stopped) = self.tell(&run.processor, report).await {
            run.stop.cancel();
        }
    }

    async fn tell(&self, processor: &Processor, report: Report) -> Option<Status> {
        match self.client.report(&processor.name, &report).await {
            Ok(answer) => Some(answer.wanted),
            Err(error) => {
                tracing::warn!(processor = processor.name, "the report is lost: {error}");
                None
            }
        }
    }
}

impl Run {
    /// Looks whether the task has ended, and why.
    async fn collect(&mut self) {
        let Some(task) = self.task.take_if(|task| task.is_finished()) else { return };
        let why = match task.await {
            Ok(Ok(())) if self.stop.is_cancelled() => return,
            Ok(Ok(())) => "the stream has ended".to_owned(),
            Ok(Err(error)) if error.is_final() => return self.fail(error.to_string()),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(processor = self.processor.name, "{why}; trying again");
        self.message = why;
        let wait = self.backoff.next_wait(getrandom::u32().unwrap_or(0));
        self.again_at = Instant::now() + wait;
    }

    /// Why it does not go on, while it does not; else what went wrong last, if anything did.
    fn says(&self) -> String {
        let trouble = self.state.trouble();
        if self.task.is_none() || trouble.is_empty() { self.message.clone() } else { trouble }
    }

    fn fail(&mut self, why: String) {
        tracing::error!(processor = self.processor.name, "failed: {why}");
        self.message = why;
        self.has_failed = true;
    }
}

/// What a run has to be begun again for when it changes.
fn settings(processor: &Processor) -> impl PartialEq + '_ {
    (&processor.options, &processor.regions, processor.threshold)
}

/// Behind what is durable, or where the processor's start says; else with what comes.
fn start(processor: &Processor, checkpoint: Option<String>) -> StartSelector {
    if let Some(number) = checkpoint.or_else(|| processor.checkpoint.clone()) {
        return StartSelector::AfterFragment(number);
    }
    match &processor.start {
        // The stream is asked for what comes after a number, and this fragment is the first one.
        Some(WireStart::FragmentNumber(number)) => StartSelector::AfterFragment(
            number.parse().map_or(number.clone(), |at: FragmentNumber| at.before().to_string()),
        ),
        Some(WireStart::ProducerTimestamp(seconds)) => {
            let time = ProducerTimestamp::from_secs_f64(*seconds);
            StartSelector::ProducerTimestamp(time.unwrap_or_default())
        }
        None => StartSelector::Now,
    }
}

fn report(processor: &Processor, status: Status, message: &str) -> Report {
    Report {
        generation: processor.generation,
        status,
        message: message.to_owned(),
        ..Report::default()
    }
}
