//! `kinora import`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::service::{Service, timestamp};
use crate::clock::Clock;
use crate::files::{self, Meter};
use crate::types::{ProducerTimestamp, StreamName};

/// Store files in a stream, at the time they were recorded.
///
/// MKV, WebM and MP4 (plain, fragmented) are sent as they are, and cut into fragments by the service;
/// any other file that GStreamer reads, such as MPEG-TS, is turned into MKV first. H.264, H.265 and
/// AAC stay as they are.
///
/// A file begins at --start, and each further one where the one before it ends. Without --start it
/// begins when it says that it was recorded: an MKV file's DateUTC, an MP4 file's creation time or
/// producer reference time. A file that says nothing is refused.
///
///     kinora import camera front-door-*.mp4 --start 2026-11-22T12:00:00Z
///
/// Running it again stores nothing twice, and says so: a fragment that is there already, with the
/// same time and the same content, is kept once. So an import that broke off is repeated as a whole.
///
/// The stream is made when it is missing. Exits 1 at the first file that is not stored to its end;
/// what was stored of it stays.
#[derive(Args)]
#[command(verbatim_doc_comment, about = "Store files in a stream, at the time they were recorded")]
pub(super) struct Import {
    /// Stream to write to
    stream: StreamName,
    /// Files, in their order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// When the first file begins: a date, or seconds since the epoch [default: what it says]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    start: Option<ProducerTimestamp>,
    /// Hours the stream keeps its fragments, if it has to be made
    #[arg(long, value_name = "N", default_value_t = 24)]
    retention_hours: u32,
    #[command(flatten)]
    service: Service,
}

impl Import {
    /// Stores the files.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(self.import());
        // A pipeline that does not stop must not hold up the exit.
        runtime.shutdown_background();
        outcome
    }

    async fn import(self) -> Result<ExitCode, Failure> {
        let clock = Clock::system();
        let client = self.service.client(clock.clone())?;
        let mut meter = Meter::new(std::io::stderr().is_terminal());
        let import = files::Import {
            stream: self.stream,
            retention_hours: self.retention_hours,
            files: self.files,
            start: self.start,
        };
        let outcome = files::import(&client, &clock, &import, &mut meter).await;
        meter.clear();
        outcome?;
        Ok(ExitCode::SUCCESS)
    }
}
