//! `kinora produce`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::serve::start_log;
use crate::client::{self, Client, credentials_from_profile};
use crate::clock::Clock;
use crate::config::LogFormat;
use crate::produce::{
    FragmentLimits, Manner, Options, Progress, Source, SourceSpec, Summary, upload,
};
use crate::types::{Millis, ProducerTimestamp, StreamName};
use crate::wire::sigv4::Credentials;

/// Upload a camera, a file or a test picture to a stream.
///
/// SOURCE is one of
///
///     test://                          a moving picture with a clock, and a tone; options:
///                                      test://?size=640x360&fps=30&bitrate=1M&pattern=ball&audio=on
///     film.mp4                         a file, in its own time, or as fast as it is taken (--fast)
///     rtsp://user:secret@camera/live   a network camera
///     v4l2:///dev/video0               a camera of this machine
///     gst:DESCRIPTION                  a GStreamer pipeline, as gst-launch-1.0 takes it; its open
///                                      ends are uploaded
///
/// H.264, H.265 and AAC go through as they are, everything else is encoded to H.264 and AAC. The
/// stream is made when it is missing. Every fragment is kept in memory until the service says that
/// it is durable, and is sent again after a broken connection. SIGINT or SIGTERM ends the source,
/// waits for the last fragment and exits 0; a second one exits at once.
///
/// Keys come from --access-key and --secret-key, or from a file in the AWS shared-credentials
/// format, such as the one that "kinora serve" writes to DIR/credentials.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Produce {
    /// What to upload
    source: SourceSpec,
    /// Stream to upload to
    #[arg(long, value_name = "NAME")]
    stream: StreamName,
    #[command(flatten)]
    service: Service,
    #[command(flatten)]
    media: MediaArgs,
}

/// Where to upload to, and with which key.
#[derive(Args)]
struct Service {
    /// Address of the service; AWS itself with --endpoint aws
    #[arg(
        long,
        value_name = "URL",
        env = "AWS_ENDPOINT_URL_KINESIS_VIDEO",
        default_value = "http://127.0.0.1:5580"
    )]
    endpoint: String,
    /// Region that requests are signed for
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
    /// Public part of the key
    #[arg(long, value_name = "ID", env = "AWS_ACCESS_KEY_ID", requires = "secret_key")]
    access_key: Option<String>,
    /// Secret part of the key
    #[arg(long, value_name = "KEY", env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_key: Option<String>,
    /// Token of a temporary key
    #[arg(long, value_name = "TOKEN", env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    session_token: Option<String>,
    /// File with the key [default: ~/.aws/credentials]
    #[arg(long, value_name = "FILE", env = "AWS_SHARED_CREDENTIALS_FILE")]
    credentials: Option<PathBuf>,
    /// Profile in that file
    #[arg(long, value_name = "NAME", env = "AWS_PROFILE", default_value = "default")]
    profile: String,
    /// Hours the stream keeps its fragments, if it has to be made
    #[arg(long, value_name = "N", default_value_t = 24)]
    retention_hours: u32,
}

/// How the source becomes fragments.
#[derive(Args)]
struct MediaArgs {
    /// Length of a fragment; it ends with the first key frame after it
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "2")]
    fragment_seconds: Duration,
    /// Stop after so long
    #[arg(long, value_name = "S", value_parser = seconds)]
    duration: Option<Duration>,
    /// Leave out the beginning of a file
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "0")]
    offset: Duration,
    /// When a file begins, such as 2024-05-01T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    start_time: Option<ProducerTimestamp>,
    /// Upload a file as fast as the service takes it
    #[arg(long)]
    fast: bool,
    /// Leave out audio
    #[arg(long)]
    no_audio: bool,
    /// How an RTSP camera is to send
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    rtsp_transport: Transport,
    /// Bits per second of video that has to be encoded
    #[arg(long, value_name = "BPS", default_value_t = 2_000_000)]
    bitrate: u32,
    /// Memory for fragments that are not durable yet, in MiB; when it is full, files wait and live
    /// sources lose their oldest fragments
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    spool: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Transport {
    Tcp,
    Udp,
    Auto,
}

impl Produce {
    /// Uploads until the source ends or a signal comes.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        start_log(LogFormat::Text);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(self.produce());
        // A pipeline that does not stop must not hold up the exit.
        runtime.shutdown_background();
        let summary = outcome?;
        eprintln!("kinora produce: {summary}");
        Ok(ExitCode::SUCCESS)
    }

    async fn produce(self) -> Result<Summary, Failure> {
        let stop = CancellationToken::new();
        stop_on_signals(&stop)?;
        let clock = Clock::system();
        let client = self.service.client(clock.clone())?;
        let Self { source: spec, stream, service, media } = self;
        let options = media.options(stream, service.retention_hours);
        let source = open(spec, &media, clock.clone()).await?;
        let manner = if std::io::stderr().is_terminal() { Manner::Terminal } else { Manner::Log };
        let mut progress = Progress::new(manner);
        Ok(upload(client, source, options, clock, &mut progress, &stop).await?)
    }
}

impl Service {
    fn client(&self, clock: Clock) -> Result<Client, Failure> {
        let endpoint = Some(self.endpoint.clone()).filter(|endpoint| endpoint != "aws");
        let options = client::Options {
            endpoint,
            region: self.region.clone(),
            credentials: self.credentials()?,
            user_agent: USER_AGENT.to_owned(),
        };
        Ok(Client::new(options, clock)?)
    }

    /// Explicit keys first, then the file.
    fn credentials(&self) -> Result<Credentials, Failure> {
        if let (Some(access_key), Some(secret)) = (&self.access_key, &self.secret_key) {
            return Ok(Credentials {
                access_key: access_key.clone(),
                secret: secret.clone(),
                session_token: self.session_token.clone(),
            });
        }
        let home = || Some(std::env::home_dir()?.join(".aws/credentials"));
        let path = self.credentials.clone().or_else(home).ok_or("there is no home directory")?;
        read_credentials(&path, &self.profile)
    }
}

/// Reads a key from a file in the AWS shared-credentials format.
pub(super) fn read_credentials(path: &Path, profile: &str) -> Result<Credentials, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!(
            "no key: {}: {error}; point --credentials at the file that \"kinora serve\" wrote",
            path.display()
        )
    })?;
    credentials_from_profile(&text, profile)
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

impl MediaArgs {
    fn options(&self, stream: StreamName, retention_hours: u32) -> Options {
        let target = Millis(u64::try_from(self.fragment_seconds.as_millis()).unwrap_or(u64::MAX));
        Options {
            retention_hours,
            fragments: FragmentLimits { target, ..FragmentLimits::default() },
            spool_bytes: self.spool.saturating_mul(1 << 20),
            duration: self.duration,
            ..Options::new(stream)
        }
    }
}

/// Names the program to the service.
pub(super) const USER_AGENT: &str = concat!("kinora/", env!("CARGO_PKG_VERSION"));

#[cfg(feature = "gstreamer")]
async fn open(spec: SourceSpec, media: &MediaArgs, clock: Clock) -> Result<Source, Failure> {
    use crate::produce::gstreamer::{SourceOptions, open};
    let options = SourceOptions {
        audio: !media.no_audio,
        fragment: Millis(u64::try_from(media.fragment_seconds.as_millis()).unwrap_or(u64::MAX)),
        bitrate: media.bitrate,
        fast: media.fast,
        start: media.start_time,
        offset: media.offset,
        rtsp_transport: match media.rtsp_transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Auto => "tcp+udp",
        }
        .to_owned(),
    };
    Ok(open(spec, options, clock).await?)
}

#[cfg(not(feature = "gstreamer"))]
async fn open(_: SourceSpec, _: &MediaArgs, _: Clock) -> Result<Source, Failure> {
    Err("this kinora was built without GStreamer, which reads sources".into())
}

/// The first signal cancels `stop`, the second ends the process.
pub(super) fn stop_on_signals(stop: &CancellationToken) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        for second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if second {
                std::process::exit(130);
            }
            stop.cancel();
        }
    });
    Ok(())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn timestamp(text: &str) -> Result<ProducerTimestamp, String> {
    let time: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let millis = time.as_millisecond();
    let usable = (millis >= 0).then(|| ProducerTimestamp::from_millis(millis));
    usable.ok_or_else(|| "a time before 1970 cannot be uploaded".to_owned())
}
