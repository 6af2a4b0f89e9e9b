//! The command line: one file per subcommand, each with its arguments and what it does with them.

mod check;
mod demo;
#[cfg(all(feature = "gstreamer", feature = "onnx"))]
mod detect;
mod export;
mod import;
mod key;
#[cfg(feature = "onnx")]
mod models;
mod produce;
mod serve;
mod service;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Self-hosted video streams that speak the Amazon Kinesis Video Streams protocols.
///
/// Producers send media in with PutMedia; it is kept durably, indexed by time, and handed out live
/// or from any point in the past: GetMedia, HLS, and a console in the browser.
#[derive(Parser)]
#[command(name = "kinora", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Produce(produce::Produce),
    Export(export::Export),
    Import(import::Import),
    #[cfg(all(feature = "gstreamer", feature = "onnx"))]
    Detect(detect::Detect),
    Demo(demo::Demo),
    Key(key::KeyCommand),
    #[cfg(feature = "onnx")]
    Models(models::ModelsCommand),
    Check(check::Check),
}

/// What a subcommand fails with; its text is for the operator.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Produce(produce) => produce.run(),
        Command::Export(export) => export.run(),
        Command::Import(import) => import.run(),
        #[cfg(all(feature = "gstreamer", feature = "onnx"))]
        Command::Detect(detect) => detect.run(),
        Command::Demo(demo) => demo.run(),
        Command::Key(key) => key.run(),
        #[cfg(feature = "onnx")]
        Command::Models(models) => models.run(),
        Command::Check(check) => check.run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("kinora: {error}");
        ExitCode::FAILURE
    })
}
