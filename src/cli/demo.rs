//! `kinora demo`

mod faces;
mod receiver;
mod script;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use self::faces::Faces;
use super::Failure;
use super::produce::stop_on_signals;
use super::serve::{Running, start_log};
use super::service::{USER_AGENT, read_credentials};
use crate::api::keys::CREDENTIALS_FILE;
use crate::client::{self, Client};
use crate::clock::Clock;
use crate::config::{Config, Flag, LogFormat, ShardLimits};
use crate::produce::{FragmentLimits, Manner, Options, Progress, Source, Summary, upload};
use crate::types::{Millis, ProducerTimestamp, StreamName};
use crate::wire::token::{Access, Scope};

const STREAM: &str = "demo";
/// Length of the picture's fragments: short, so that what is watched is fresh.
const FRAGMENT: Millis = Millis(1000);
/// How long the printed link signs in.
const LINK_LIFE: Millis = Millis(12 * 60 * 60 * 1000);
/// How often the live playlist is looked at.
const PLAYLIST_INTERVAL: Duration = Duration::from_millis(500);

/// Show it working: a server, a camera, and a link to watch it.
///
/// Starts a server on a fresh temporary directory and uploads a film to the stream "demo", over and
/// over: two persons who pass a wall, alone and together. One of them is enrolled and named, the other
/// is unknown: an alert tells of that one, and is printed here. Without the film it is a test picture.
/// Ctrl-C ends both and removes the directory.
#[derive(Args)]
pub(super) struct Demo {
    /// Run for so many seconds, then exit 0 only if video was stored, the live playlist advanced, and
    /// everybody who passed was known or told of as they should be
    #[arg(long, value_name = "N")]
    seconds: Option<u32>,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5580")]
    listen: SocketAddr,
    /// The film, which `make scene` makes
    #[arg(long, value_name = "FILE", default_value = "media-fixtures/scene.mp4")]
    scene: PathBuf,
    /// Keep everything in this directory, and do not remove it
    #[arg(long, value_name = "DIR")]
    keep_data: Option<PathBuf>,
}

impl Demo {
    /// Runs until Ctrl-C, or for the given time.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        start_log(LogFormat::Text);
        let data = Data::new(self.keep_data.clone())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(self.demo(data.path()));
        // A pipeline that does not stop must not hold up the exit.
        runtime.shutdown_background();
        outcome
    }

    async fn demo(&self, data: &Path) -> Result<ExitCode, Failure> {
        let stop = CancellationToken::new();
        stop_on_signals(&stop)?;
        let flags: [Flag; 3] = [
            ("data", data.display().to_string()),
            ("listen", self.listen.to_string()),
            ("auth", "on".to_owned()),
        ];
        let mut config = Config::load(None, &flags)?;
        // Whoever tries record streams on a laptop should see what it can do.
        config.records.shard_limits = ShardLimits::Off;
        let server = Running::start(config).await?;
        let outcome = self.film(&server, data, &stop).await;
        let stopped = server.stop().await;
        let seen = outcome?;
        stopped?;
        eprintln!("kinora demo: {}", seen.summary);
        Ok(self.verdict(&seen))
    }

    /// Uploads the picture, looks for faces in it, and watches the live playlist meanwhile.
    async fn film(
        &self,
        server: &Running,
        data: &Path,
        stop: &CancellationToken,
    ) -> Result<Seen, Failure> {
        let clock = Clock::system();
        let credentials = read_credentials(&data.join(CREDENTIALS_FILE), "default")?;
        let access = Access { access_key: credentials.access_key.clone(), scope: Scope::All };
        let expires = clock.now().plus(LINK_LIFE);
        let token = server.app.keys.token_secret().grant(&access, expires);
        let url = server.app.config.own_url();
        let link = format!("{url}/#token={token}");
        let client_options = client::Options {
            endpoint: Some(url),
            region: server.app.config.region.clone(),
            credentials,
            user_agent: USER_AGENT.to_owned(),
            trusted: Vec::new(),
            sole_endpoint: false,
        };
        let client = Client::new(client_options, clock.clone())?;
        let stream: StreamName = STREAM.parse().expect("the constant is a stream's name");
        let film = (self.scene.as_path(), &stream);
        let faces = Faces::set_up(&client, &server.app.config, film, clock.clone()).await?;
        println!("kinora demo: watch it at {link}");
        if let Err(missing) = &faces {
            println!("kinora demo: nobody looks for faces: {missing}");
        }
        let duration = self.seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let fragments = FragmentLimits { target: FRAGMENT, ..FragmentLimits::default() };
        let options = Options { duration, fragments, ..Options::new(stream.clone()) };
        let began = ProducerTimestamp::from_millis(clock.now().as_millis());
        let source = open_picture(&self.scene, clock.clone()).await?;
        let manner = if std::io::stderr().is_terminal() { Manner::Terminal } else { Manner::Log };

        let ended = CancellationToken::new();
        let watching = tokio::spawn(LivePlaylist::watch(client.clone(), token, ended.clone()));
        let mut progress = Progress::new(manner);
        let summary = upload(client.clone(), source, options, clock, &mut progress, stop).await;
        ended.cancel();
        let (live, summary) = (watching.await?, summary?);
        let faults = match faces {
            Ok(faces) if self.seconds.is_some() => faces.judge(&client, &stream, began).await?,
            _ => Vec::new(),
        };
        Ok(Seen { summary, live, faults })
    }

    /// Without `--seconds` somebody watched it; with it, the figures decide.
    fn verdict(&self, seen: &Seen) -> ExitCode {
        if self.seconds.is_none() {
            return ExitCode::SUCCESS;
        }
        let mut faults = seen.faults.clone();
        if seen.summary.fragments().confirmed == 0 {
            faults.push("no fragment was persisted".to_owned());
        }
        if !seen.live.advanced() {
            faults.push(seen.live.to_string());
        }
        for fault in &faults {
            eprintln!("kinora demo: FAILED: {fault}");
        }
        if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// What there is to judge by.
struct Seen {
    summary: Summary,
    live: LivePlaylist,
    /// What was not seen in the film as it should be.
    faults: Vec<String>,
}

#[cfg(feature = "gstreamer")]
async fn open_picture(scene: &Path, clock: Clock) -> Result<Source, Failure> {
    use crate::produce::gstreamer::{SourceOptions, open};
    use crate::produce::{SourceSpec, TestPicture};
    let spec = match scene.is_file() {
        true => SourceSpec::File(scene.to_owned()),
        false => {
            println!(
                "kinora demo: {} is missing (`make scene` makes it), so here is a test picture",
                scene.display()
            );
            SourceSpec::Test(TestPicture::default())
        }
    };
    let options = SourceOptions { fragment: FRAGMENT, repeat: true, ..SourceOptions::default() };
    Ok(open(spec, options, clock).await?)
}

#[cfg(not(feature = "gstreamer"))]
async fn open_picture(_: &Path, _: Clock) -> Result<Source, Failure> {
    Err("this kinora was built without GStreamer, which reads the film".into())
}

/// What was seen of the live playlist.
#[derive(Debug, Default)]
struct LivePlaylist {
    /// Segments that had been listed when the first were.
    first: Option<u64>,
    /// Segments that had been listed in the end.
    last: Option<u64>,
    /// Why the last look failed.
    trouble: Option<String>,
}

impl LivePlaylist {
    /// Looks again and again until `ended`.
    async fn watch(client: Client, token: String, ended: CancellationToken) -> Self {
        let client = Arc::new(client);
        let mut live = Self::default();
        while tokio::time::timeout(PLAYLIST_INTERVAL, ended.cancelled()).await.is_err() {
            match listed_segments(&client, &token).await {
                Ok(listed) => {
                    live.first = live.first.or(Some(listed));
                    live.last = live.last.max(Some(listed));
                    live.trouble = None;
                }
                Err(error) => live.trouble = Some(error.to_string()),
            }
        }
        live
    }

    fn advanced(&self) -> bool {
        self.last > self.first
    }
}

impl std::fmt::Display for LivePlaylist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.trouble, self.last) {
            (Some(trouble), _) => write!(f, "the live playlist: {trouble}"),
            (None, Some(last)) => write!(f, "the live playlist stayed at segment {last}"),
            (None, None) => write!(f, "the live playlist was never there"),
        }
    }
}

/// Segments that the live playlist has listed since its beginning.
async fn listed_segments(client: &Client, token: &str) -> Result<u64, Failure> {
    let mut url = client.endpoint().join(&format!("/v1/streams/{STREAM}/live.m3u8"))?;
    let mut playlist = client.get_text(&url, token).await?;
    // A master playlist names the media playlist on its first line that is not a tag.
    if playlist.contains("#EXT-X-STREAM-INF") {
        let media = playlist.lines().find(|line| !line.starts_with('#') && !line.is_empty());
        url = url.join(media.ok_or("the master playlist is empty")?)?;
        playlist = client.get_text(&url, token).await?;
    }
    let first = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let first: u64 = first.map_or(Ok(0), |number| number.trim().parse())?;
    let segments = playlist.lines().filter(|line| line.starts_with("#EXTINF:")).count() as u64;
    if segments == 0 {
        return Err("the media playlist is empty".into());
    }
    Ok(first + segments)
}

/// The server's directory: a fresh one that is removed at the end, or one that stays.
struct Data {
    path: PathBuf,
    keep: bool,
}

impl Data {
    fn new(keep: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(path) = keep {
            return Ok(Self { path, keep: true });
        }
        let path = std::env::temp_dir().join(format!("kinora-demo-{:016x}", getrandom::u64()?));
        Ok(Self { path, keep: false })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!("kinora demo: cannot remove {}: {error}", self.path.display());
        }
    }
}
