//! `kinora serve`

mod alerts;
mod customers;
mod options;

use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::api::events::Hub;
use crate::api::keys::{CREDENTIALS_FILE, KeyRing};
use crate::api::media::{Files, Readers};
use crate::api::records::Gate;
use crate::api::rekognition::Pictures;
use crate::api::server::Server;
use crate::api::{App, AppState};
use crate::clock::Clock;
use crate::config::{Config, Flag, LogFormat, Switch};
use crate::metrics::Metrics;
use crate::people::People;
use crate::processors::Processors;
use crate::records::RecordStreams;
use crate::records::queue::Queues;
use crate::serve::package::{self, Packager};
use crate::store::disk::{Disk, FileDisk};
use crate::store::{OpenError, Store};

/// How often changes of the keys' file are looked for.
const KEYS_REFRESH: Duration = Duration::from_secs(1);

/// Run the server.
///
/// Takes settings from these flags, then from KINORA_* variables (KINORA_LISTEN,
/// KINORA_HTTP_MAX_CONNECTIONS, …), then from kinora.toml. The first start makes a root key and
/// writes it to DIR/credentials in the format of the AWS shared-credentials file, so that
///
///     AWS_SHARED_CREDENTIALS_FILE=DIR/credentials \
///         aws --endpoint-url http://127.0.0.1:5580 kinesisvideo list-streams
///
/// works at once. When ready, prints "kinora listening on URL". SIGTERM or SIGINT ends open
/// fragments, syncs and exits 0; a second one exits at once.
///
/// Keeps 512 MiB of the disk free (KINORA_STORE_MIN_FREE_BYTES), and within a quota if one is set
/// (KINORA_STORE_QUOTA_BYTES): when either is reached, the oldest fragments of all streams go, but
/// for pinned ones; when nothing may go, producers are refused with an ERROR acknowledgement.
///
/// Rules of alerts can send mails through an SMTP server: KINORA_ALERTS_SMTP_HOST and _FROM, and
/// _USER and _PASSWORD where it wants a login, or the table [alerts.smtp] of the file.
#[derive(Args)]
#[command(verbatim_doc_comment, about = "Run the server")]
pub(super) struct Serve {
    /// Settings file; kinora.toml in the working directory when it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept [default: ./kinora-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:5580]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Region in the ARNs of streams [default: us-east-1]
    #[arg(long)]
    region: Option<String>,
    /// What clients reach the server under, when that is not the Host they ask
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Certificate chain in PEM; the server then speaks TLS only
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<String>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<String>,
    /// Whether requests must be signed; off only on a loopback address [default: on]
    #[arg(long, value_name = "on|off", hide_possible_values = true)]
    auth: Option<Switch>,
    /// Log lines for people or for machines [default: text]
    #[arg(long, value_name = "text|json", hide_possible_values = true)]
    log_format: Option<LogFormat>,
}

impl Serve {
    /// Serves until a signal.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = Config::load(self.config.as_deref(), &self.flags())?;
        start_log(config.log_format);
        let runtime = runtime()?;
        let outcome = runtime.block_on(serve(config));
        // A thread that still waits for the disk must not hold up the exit.
        runtime.shutdown_background();
        outcome
    }

    fn flags(&self) -> Vec<Flag> {
        let switch = |on: Switch| if on == Switch::On { "on" } else { "off" };
        let format = |json: LogFormat| if json == LogFormat::Json { "json" } else { "text" };
        [
            ("data", self.data.clone()),
            ("listen", self.listen.clone()),
            ("region", self.region.clone()),
            ("public_url", self.public_url.clone()),
            ("tls_cert", self.tls_cert.clone()),
            ("tls_key", self.tls_key.clone()),
            ("auth", self.auth.map(|value| switch(value).to_owned())),
            ("log_format", self.log_format.map(|value| format(value).to_owned())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

/// The runtime that uploads share. It has threads for half of the cores: the fewer there are, the
/// more frames each finds waiting when it wakes up, and all other connections have threads of
/// their own.
fn runtime() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread().worker_threads(cores.div_ceil(2)).enable_all().build()
}

async fn serve(config: Config) -> Result<ExitCode, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut server = Running::start(config).await?;
    announce(&server.app.config.own_url())?;
    tokio::select! {
        ended = server.ended() => ended?,
        () = either(&mut terminate, &mut interrupt) => {}
    }
    tokio::select! {
        stopped = server.stop() => stopped?,
        () = either(&mut terminate, &mut interrupt) => return Ok(ExitCode::FAILURE),
    }
    Ok(ExitCode::SUCCESS)
}

/// A server that runs in this process.
pub(super) struct Running {
    /// What its requests share; `config.listen` is where it listens.
    pub(super) app: AppState,
    serving: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
    detecting: JoinHandle<()>,
    alerting: JoinHandle<()>,
}

impl Running {
    /// Opens the data directory and begins to serve it.
    pub(super) async fn start(config: Config) -> Result<Self, Failure> {
        let disk = FileDisk::new(&config.data);
        Self::start_on(config, Arc::new(disk)).await
    }

    /// Like [`Running::start`], with the store on another disk.
    async fn start_on(mut config: Config, disk: Arc<dyn Disk>) -> Result<Self, Failure> {
        let alert = alerts::options(&config.alerts)?;
        let server = Server::bind(&config).await?;
        config.listen = server.address()?;
        let app = tokio::task::spawn_blocking(move || open(config, disk)).await??;
        let housekeeping = tokio::spawn(keep_house(Arc::clone(&app)));
        let serving = tokio::spawn(server.run(Arc::clone(&app)));
        let detecting = tokio::spawn(customers::detect(Arc::clone(&app)));
        let alerting = tokio::spawn(alerts::run(Arc::clone(&app), alert));
        Ok(Self { app, serving, housekeeping, detecting, alerting })
    }

    /// Resolves when the server ends of its own accord.
    async fn ended(&mut self) -> Result<(), JoinError> {
        (&mut self.serving).await
    }

    /// Ends open fragments, then syncs and closes the store.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        tracing::info!("stopping");
        self.app.shutdown.cancel();
        if !self.serving.is_finished() {
            self.serving.await?;
        }
        self.housekeeping.await?;
        self.detecting.await?;
        self.alerting.await?;
        let store = Arc::clone(&self.app.store);
        tokio::task::spawn_blocking(move || store.close()).await?;
        Ok(())
    }
}

/// Opens everything in the data directory. Blocks.
fn open(config: Config, disk: Arc<dyn Disk>) -> Result<AppState, Failure> {
    let clock = Clock::system();
    make_private_dir(&config.data).map_err(|error| {
        format!("cannot make the data directory {}: {error}", config.data.display())
    })?;
    let (keys, first_start) = KeyRing::open(&config.data, &config.region, clock.now())?;
    if first_start {
        let path = config.data.join(CREDENTIALS_FILE);
        tracing::info!("made the root key; it is in {}", path.display());
    }
    let options = options::of_store(&config);
    let (store, report) = Store::open_on(disk, options, clock.clone()).map_err(|error| {
        let advice = match error {
            OpenError::Locked => "; stop it, or choose another directory with --data",
            _ => "",
        };
        format!("{}: {error}{advice}", config.data.display())
    })?;
    tracing::info!(
        fragments = report.fragments,
        torn_tail_bytes = report.torn_tail_bytes,
        "opened {}",
        config.data.display()
    );
    for damage in &report.damage {
        tracing::error!("the log is damaged: {damage}");
    }
    if !config.auth_required() {
        tracing::warn!("authentication is off: everybody on this machine may do everything");
    }
    let files = Files::open(&config).map_err(|error| format!("folder for uploads: {error}"))?;
    let store = Arc::new(store);
    let options = options::of_records(&config);
    let queues = Queues::open(store.clone(), clock.clone(), options.max_consumers);
    let queues = queues.map_err(|error| format!("queues: {error}"))?;
    let people = People::open(&store, clock.clone(), options::of_people(&config));
    let people = people.map_err(|error| {
        let dir = config.data.display();
        format!(
            "{dir}: {error}; `kinora check {dir}` tells what is wrong, and `kinora check --repair \
             {dir}` sets a damaged one aside, so that the server starts without it"
        )
    })?;
    let records = Arc::new(RecordStreams::new(store.clone(), clock.clone(), options));
    let pictures = Pictures::new(options::of_pictures(&config));
    let processors = Processors::new(store.clone(), clock.clone());
    let gate = Gate::new(config.http.max_large_bodies);
    Ok(Arc::new(App {
        config,
        store,
        records,
        queues,
        people,
        processors,
        pictures,
        events: Hub::default(),
        clock,
        keys,
        metrics: Metrics::default(),
        readers: Readers::default(),
        files,
        gate,
        packager: Packager::new(package::Options::default()),
        shutdown: CancellationToken::new(),
    }))
}

/// Recordings are nobody else's business.
fn make_private_dir(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The one line on standard output; scripts wait for it.
fn announce(url: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "kinora listening on {url}")?;
    stdout.flush()
}

/// What must happen again and again, until the shutdown.
async fn keep_house(app: AppState) {
    let keys = every(&app, KEYS_REFRESH, std::future::pending, |app| {
        if let Err(error) = app.keys.refresh() {
            tracing::error!("keys stay as they were: {error}");
        }
    });
    let interval = Duration::from_secs(app.config.store.retention_interval_seconds);
    let grown = || app.store.grown();
    let retention = every(&app, interval, grown, |app| {
        if let Err(error) = app.records.tidy() {
            tracing::error!("shards whose records have expired stay: {error}");
        }
        if let Err(error) = app.people.tidy() {
            tracing::error!("sightings that are too old stay: {error}");
        }
        app.store.enforce_retention();
        app.store.empty_segments();
    });
    tokio::join!(keys, retention);
}

/// Works after each interval, and besides as soon as `wanted` resolves.
async fn every<F: Future<Output = ()>>(
    app: &AppState,
    interval: Duration,
    wanted: impl Fn() -> F,
    work: fn(&App),
) {
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
            () = wanted() => {}
        }
        let app = Arc::clone(app);
        if let Err(error) = tokio::task::spawn_blocking(move || work(&app)).await {
            tracing::error!("housekeeping: {error}");
        }
    }
}

async fn either(first: &mut Signal, second: &mut Signal) {
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}

/// Logs go to standard error; `RUST_LOG` chooses more or less of them.
pub(super) fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

#[cfg(test)]
mod tests;
