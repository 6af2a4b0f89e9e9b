//! How far a command is: one rewritten line in a terminal, a plain line now and then elsewhere.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

/// How often progress is told in a terminal, and elsewhere.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Tells progress on standard error.
#[derive(Debug)]
pub struct Meter {
    terminal: bool,
    told: Instant,
}

impl Meter {
    /// `terminal`: standard error is one.
    pub fn new(terminal: bool) -> Self {
        Self { terminal, told: Instant::now() }
    }

    /// Tells the state, if it is time to.
    pub fn tell(&mut self, state: impl FnOnce() -> String) {
        let interval = if self.terminal { TERMINAL_INTERVAL } else { PLAIN_INTERVAL };
        if self.told.elapsed() < interval {
            return;
        }
        self.told = Instant::now();
        let state = state();
        write(&if self.terminal { format!("\r\x1b[2K{state}") } else { format!("{state}\n") });
    }

    /// Tells something that happened, on a line of its own.
    pub fn note(&self, text: &str) {
        self.clear();
        write(&format!("{text}\n"));
    }

    /// Leaves the terminal with an empty line.
    pub fn clear(&self) {
        if self.terminal {
            write("\r\x1b[2K");
        }
    }
}

/// Progress is not worth failing for: a closed terminal is passed over.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
