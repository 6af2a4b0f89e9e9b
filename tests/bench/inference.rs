//! Networks alone: tract in this process against ONNX Runtime with one thread, in turns; by the time
//! that each had the processor, so that other load counts for neither.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use kinora::vision::models::{CONFIRMER, DETECTOR, RECOGNISER};
use kinora::vision::onnx::Network;

use crate::stats::{Latencies, ms};

/// The models of the house, and the input that each is run with.
const MODELS: [(&str, (usize, usize)); 3] =
    [(DETECTOR, (384, 224)), (CONFIRMER, (48, 48)), (RECOGNISER, (150, 150))];
/// Runs in a row, and how often the two take turns.
const RUNS: u32 = 20;
const TURNS: u32 = 8;

/// Prints the median over the turns for each model, ours and theirs.
pub fn run() -> io::Result<()> {
    println!("{:24}{:>12}{:>14}{:>8}", "model", "tract ms", "runtime ms", "ratio");
    for (name, size) in MODELS {
        let path = Path::new("models").join(name);
        let (mut ours, mut theirs) = compare(&path, size)?;
        let (ours, theirs) = (ms(ours.p50()), ms(theirs.p50()));
        println!("{name:24}{ours:12.2}{theirs:14.2}{:8.2}", ours / theirs);
    }
    println!("ratio: how much longer tract takes");
    Ok(())
}

fn compare(path: &Path, size: (usize, usize)) -> io::Result<(Latencies, Latencies)> {
    let network = Network::load(path, Some(size), |_| None).map_err(io::Error::other)?;
    let planes: Vec<f32> =
        (0..3 * size.0 * size.1).map(|at| (at % 255) as f32 / 127.5 - 1.0).collect();
    let mut peer = Peer::start(path, size)?;
    let (mut ours, mut theirs) = (Latencies::default(), Latencies::default());
    // The first turn warms both up.
    for turn in 0..=TURNS {
        let (timed, answered) = (runs(&network, &planes)?, peer.runs()?);
        if turn > 0 {
            ours.0.push(timed);
            theirs.0.push(answered);
        }
    }
    peer.stop()?;
    Ok((ours, theirs))
}

/// The time that one of [`RUNS`] had the processor.
fn runs(network: &Network, planes: &[f32]) -> io::Result<Duration> {
    let start = on_processor()?;
    for _ in 0..RUNS {
        network.run(planes, |_| Ok(())).map_err(io::Error::other)?;
    }
    Ok((on_processor()? - start) / RUNS)
}

/// How long this thread had the processor so far.
fn on_processor() -> io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| io::Error::other("schedstat has no times"))
}

/// ONNX Runtime in Python: a line in, the microseconds of one run out.
struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(model: &Path, (width, height): (usize, usize)) -> io::Result<Self> {
        let mut child = Command::new(python()?)
            .arg("tests/bench/inference.py")
            .arg(model)
            .args([width.to_string(), height.to_string(), RUNS.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (ask, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(ask), Some(answers)) = (ask, answers) else {
            return Err(io::Error::other("the peer has no pipes"));
        };
        Ok(Self { child, ask, answers: BufReader::new(answers) })
    }

    fn runs(&mut self) -> io::Result<Duration> {
        writeln!(self.ask)?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        line.trim().parse().map(Duration::from_micros).map_err(io::Error::other)
    }

    /// An end of its input ends it.
    fn stop(self) -> io::Result<()> {
        let Self { mut child, ask, answers } = self;
        drop((ask, answers));
        child.wait().map(drop)
    }
}

/// The Python that `.ci/setup bench` gave the runtime to.
pub fn python() -> io::Result<PathBuf> {
    let python = Path::new("target/bench-python/bin/python").to_owned();
    let told = "`.ci/setup bench` makes target/bench-python, which is missing";
    if python.exists() { Ok(python) } else { Err(io::Error::other(told)) }
}
