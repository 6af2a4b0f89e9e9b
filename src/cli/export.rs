//! `kinora export`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::service::{Service, timestamp};
use crate::clock::Clock;
use crate::files::{self, Exported, Meter};
use crate::types::{FragmentNumber, ProducerTimestamp, StreamName};

/// Write a recording to a file.
///
/// Writes what STREAM holds from --start to --end as one MKV or MP4 file, as the end of the file's
/// name says:
///
///     kinora export camera --start 2026-11-22T12:00:00Z --end 2026-11-22T12:05:00Z -o film.mp4
///
/// Fragments stay whole, so the file begins at the key frame at or before --start, and ends with the
/// fragment that reaches over --end. Where fragments overlap, the one with the larger number counts.
/// Times run on without a hole: what is missing is told on standard error with its time and length,
/// and closed, unless --keep-gaps is given. An MKV file says in its DateUTC when it begins, and
/// "kinora import" puts it back there.
///
/// The file gets its name when it is whole. Where the format of the stream changes, such as the
/// size of the picture, the file ends, and the command says where and exits 1.
///
///     kinora export camera --fragment 91343852333181432392682062683839259002981698323 -o one.mkv
///
/// writes one stored fragment, byte by byte as it is stored, or as MP4.
///
/// Works with every service that speaks the Kinesis Video Streams API, but for --fragment.
#[derive(Args)]
#[command(verbatim_doc_comment, about = "Write a recording to a file")]
pub(super) struct Export {
    /// Stream to read
    stream: StreamName,
    /// From this time on, as the producer's clock had it: a date, or seconds since the epoch [default:
    /// the beginning]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    start: Option<ProducerTimestamp>,
    /// Up to this time [default: the end]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    end: Option<ProducerTimestamp>,
    /// One fragment by its number, instead of a time
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["start", "end", "keep_gaps"])]
    fragment: Option<FragmentNumber>,
    /// File to write; ends in .mkv or .mp4
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Write over a file that exists
    #[arg(long)]
    overwrite: bool,
    /// Leave gaps as long as they were, as a picture that stands still
    #[arg(long)]
    keep_gaps: bool,
    #[command(flatten)]
    service: Service,
}

impl Export {
    /// Writes the file.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.export())
    }

    async fn export(self) -> Result<ExitCode, Failure> {
        if !self.overwrite && self.output.exists() {
            let path = self.output.display();
            return Err(format!("{path} exists; --overwrite writes over it").into());
        }
        let client = self.service.client(Clock::system())?;
        if let Some(number) = self.fragment {
            files::export_fragment(&client, &self.stream, number, &self.output).await?;
            eprintln!("kinora export: {}", self.output.display());
            return Ok(ExitCode::SUCCESS);
        }
        let mut meter = Meter::new(std::io::stderr().is_terminal());
        let export = files::Export {
            stream: self.stream,
            start: self.start,
            end: self.end,
            file: self.output,
            keep_gaps: self.keep_gaps,
        };
        let exported = files::export(&client, &export, &mut meter).await?;
        eprintln!("kinora export: {}: {}", export.file.display(), summary(&exported));
        match exported.stopped {
            Some((at, why)) => {
                let seconds = at.to_string();
                Err(format!("it ends early: {why}; the rest: --start {seconds}").into())
            }
            None => Ok(ExitCode::SUCCESS),
        }
    }
}

fn summary(exported: &Exported) -> String {
    let missing: u64 = exported.gaps.iter().map(|gap| gap.length().0).sum();
    let megabytes = exported.bytes as f64 / 1e6;
    let length = exported.span.map_or(0, |(from, to)| to.since(from).0);
    let mut text = format!(
        "{:.3} s in {} fragments, {megabytes:.1} MB",
        length as f64 / 1000.0,
        exported.fragments
    );
    if missing > 0 {
        let gaps = exported.gaps.len();
        text += &format!("; {:.3} s are missing in {gaps} gaps", missing as f64 / 1000.0);
    }
    text
}
