//! `kinora produce`

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::serve::start_log;
use super::service::{Service, timestamp};
use crate::clock::Clock;
use crate::config::LogFormat;
use crate::produce::{
    FragmentLimits, Manner, Options, Progress, Source, SourceSpec, Summary, upload,
};
use crate::types::{Millis, ProducerTimestamp, StreamName};

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
#[command(verbatim_doc_comment, about = "Upload a camera, a file or a test picture to a stream")]
pub(super) struct Produce {
    /// What to upload
    source: SourceSpec,
    /// Stream to upload to
    #[arg(long, value_name = "NAME")]
    stream: StreamName,
    #[command(flatten)]
    service: Service,
    /// Hours the stream keeps its fragments, if it has to be made
    #[arg(long, value_name = "N", default_value_t = 24)]
    retention_hours: u32,
    #[command(flatten)]
    media: MediaArgs,
}

/// How the source becomes fragments.
#[derive(Args)]
struct MediaArgs {
    /// Length of a fragment in seconds; it goes on until the next key frame
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "2")]
    fragment_seconds: Duration,
    /// Stop after so many seconds
    #[arg(long, value_name = "S", value_parser = seconds)]
    duration: Option<Duration>,
    /// Leave out so many seconds of a file's beginning
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "0")]
    offset: Duration,
    /// Begin a file again at its end, over and over
    #[arg(long)]
    repeat: bool,
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
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Transport::Tcp)]
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
        let Self { source: spec, stream, retention_hours, media, .. } = self;
        let options = media.options(stream, retention_hours);
        let source = open(spec, &media, clock.clone()).await?;
        let manner = if std::io::stderr().is_terminal() { Manner::Terminal } else { Manner::Log };
        let mut progress = Progress::new(manner);
        Ok(upload(client, source, options, clock, &mut progress, &stop).await?)
    }
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
        repeat: media.repeat,
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
