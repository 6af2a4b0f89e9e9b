//! Tells how the upload goes: one rewritten line in a terminal, plain log lines elsewhere.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::spool::SpoolStats;
use crate::types::{ProducerTimestamp, ServerTimestamp};

/// How often the terminal's line is rewritten.
pub const TERMINAL_INTERVAL: Duration = Duration::from_millis(500);
/// How often a log line is written.
pub const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Where progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// One line on standard error, rewritten.
    Terminal,
    /// A log line now and then.
    Log,
}

/// The state at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Video frames since the start (without video: audio frames).
    pub frames: u64,
    /// Bytes given to connections since the start.
    pub sent_bytes: u64,
    /// What became of the fragments.
    pub spool: SpoolStats,
    /// Fragments that are not confirmed.
    pub waiting: usize,
    /// Memory that those take.
    pub waiting_bytes: usize,
    /// A session is open.
    pub connected: bool,
    /// The source's time is the present, so a lag can be told.
    pub live: bool,
}

/// Tells snapshots, with rates since the last one.
#[derive(Debug)]
pub struct Progress {
    manner: Manner,
    last: Snapshot,
    last_told: Instant,
}

impl Progress {
    /// Starts counting now.
    pub fn new(manner: Manner) -> Self {
        Self { manner, last: Snapshot::default(), last_told: Instant::now() }
    }

    /// Tells the state, if it is time to.
    pub fn tell(&mut self, state: Snapshot, now: ServerTimestamp) {
        let elapsed = self.last_told.elapsed();
        let interval = match self.manner {
            Manner::Terminal => TERMINAL_INTERVAL,
            Manner::Log => LOG_INTERVAL,
        };
        if elapsed < interval {
            return;
        }
        let line = line(&self.last, &state, elapsed, now);
        match self.manner {
            Manner::Terminal => write_stderr(&format!("\r\x1b[2K{line}")),
            Manner::Log => tracing::info!("{line}"),
        }
        self.last = state;
        self.last_told = Instant::now();
    }

    /// Tells something that happened, on a line of its own.
    pub fn note(&self, text: &str) {
        match self.manner {
            Manner::Terminal => write_stderr(&format!("\r\x1b[2K{text}\n")),
            Manner::Log => tracing::warn!("{text}"),
        }
    }

    /// Leaves the terminal with an empty line.
    pub fn finish(&self) {
        if self.manner == Manner::Terminal {
            write_stderr("\r\x1b[2K");
        }
    }
}

/// Progress is not worth failing for: a closed terminal is passed over.
fn write_stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn line(last: &Snapshot, state: &Snapshot, elapsed: Duration, now: ServerTimestamp) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let fps = state.frames.saturating_sub(last.frames) as f64 / seconds;
    let megabits = state.sent_bytes.saturating_sub(last.sent_bytes) as f64 * 8e-6 / seconds;
    let mut line = format!("{fps:5.1} fps  {megabits:6.2} Mbit/s  ");
    match state.spool.last_confirmed.and_then(|millis| i64::try_from(millis).ok()) {
        Some(millis) => line += &format!("last persisted {}", time_of_day(millis)),
        None => line += "nothing persisted yet",
    }
    if let Some(latest) = state.spool.last_confirmed.filter(|_| state.live) {
        let lag = now.as_millis().saturating_sub_unsigned(latest).max(0) as f64 / 1000.0;
        line += &format!("  lag {lag:.1} s");
    }
    let waiting = state.waiting_bytes as f64 / 1e6;
    line += &format!("  spool {waiting:.1} MB in {}", state.waiting);
    for (count, word) in [
        (state.spool.resent, "resent"),
        (state.spool.dropped, "dropped"),
        (state.spool.refused, "refused"),
    ] {
        if count > 0 {
            line += &format!("  {count} {word}");
        }
    }
    if !state.connected {
        line += "  not connected";
    }
    line
}

/// A time of the producer's clock as a person reads it: `12:34:56.789Z`.
pub fn time_of_day(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) => time.strftime("%H:%M:%S%.3fZ").to_string(),
        Err(_) => ProducerTimestamp::from_millis(millis).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_tells_rates_and_how_far_behind_the_durable_video_is() {
        let spool = SpoolStats {
            last_confirmed: Some(1_700_000_000_500),
            dropped: 2,
            ..SpoolStats::default()
        };
        let last = Snapshot { frames: 30, sent_bytes: 1_000_000, ..Snapshot::default() };
        let state = Snapshot {
            frames: 90,
            sent_bytes: 1_250_000,
            spool,
            waiting: 2,
            waiting_bytes: 300_000,
            connected: false,
            live: true,
        };
        let now = ServerTimestamp::from_millis(1_700_000_002_000);
        assert_eq!(
            line(&last, &state, Duration::from_secs(2), now),
            " 30.0 fps    1.00 Mbit/s  last persisted 22:13:20.500Z  lag 1.5 s  \
             spool 0.3 MB in 2  2 dropped  not connected"
        );
    }
}
