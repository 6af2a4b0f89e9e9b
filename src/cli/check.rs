//! `kinora check`

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::Failure;
use crate::config::{Config, Flag};
use crate::store::check::{CheckReport, Damage, LostMedia, LostRecords, Note, Progress, check};
use crate::types::{ProducerTimestamp, StreamId, StreamName};

/// How often the progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(100);
/// Damage was found.
const DAMAGED: u8 = 1;
/// The directory could not be checked, or not repaired.
const FAILED: u8 = 2;

/// Verify a data directory that no server has open.
///
/// Reads everything: the checksums of every segment, entry and fragment, the order of the log, the
/// catalog of streams against the log, and the database of people. Says which seconds of which
/// stream are damaged, on the producer's clock, in RFC 3339, and which records of which shard.
/// Changes nothing without --repair.
///
/// Exit status: 0 when the directory is sound, 1 when there is damage (also when --repair has
/// just dealt with it), 2 when it could not be checked or repaired.
#[derive(Args)]
#[command(verbatim_doc_comment, about = "Verify a data directory offline, and repair it")]
pub(super) struct Check {
    /// The data directory [default: ./kinora-data]
    #[arg(value_name = "DIR")]
    data: Option<String>,
    /// Move what cannot be read to DIR/aside, so that the server starts and players see a gap in
    /// its place. A damaged database of people is moved as a whole: the server starts with no
    /// collections. Deletes nothing
    #[arg(long)]
    repair: bool,
    /// Settings file; kinora.toml in the working directory when it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Check {
    /// Checks and prints what was found.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        Ok(self.check().unwrap_or_else(|error| {
            eprintln!("kinora check: {error}");
            ExitCode::from(FAILED)
        }))
    }

    fn check(self) -> Result<ExitCode, Failure> {
        let flags: Vec<Flag> = self.data.into_iter().map(|dir| ("data", dir)).collect();
        let config = Config::load(self.config.as_deref(), &flags)?;
        let mut meter = Meter::new();
        let outcome = check(&config.data, self.repair, &mut |progress| meter.show(progress));
        meter.clear();
        let report = outcome.map_err(|error| format!("{}: {error}", config.data.display()))?;
        let mut stdout = std::io::stdout().lock();
        for line in lines(&report, self.repair) {
            writeln!(stdout, "{line}")?;
        }
        Ok(if report.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
    }
}

/// How far the check is, on a terminal.
struct Meter {
    terminal: bool,
    shown: Option<Instant>,
}

impl Meter {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, progress: Progress) {
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY);
        if self.terminal && due {
            self.shown = Some(Instant::now());
            let percent = (progress.done * 100).checked_div(progress.total).unwrap_or(100);
            eprint!("\rchecking: {percent} % of {} ", size(progress.total));
        }
    }

    fn clear(&self) {
        if self.shown.is_some() {
            // Back to the line's beginning, and away with what stands there.
            eprint!("\r\x1b[K");
        }
    }
}

/// The report in plain words.
fn lines(report: &CheckReport, repair: bool) -> Vec<String> {
    let mut lines: Vec<String> = report.damage.iter().map(damage).collect();
    lines.extend(report.notes.iter().map(note));
    lines.extend(report.repairs.iter().map(|done| format!("repaired: {done}")));
    let CheckReport { streams, segments, bytes, fragments, records, .. } = report;
    let held = match records {
        0 => count(*fragments, "whole fragment"),
        records => {
            format!("{}, {}", count(*fragments, "whole fragment"), count(*records, "whole record"))
        }
    };
    let checked = format!(
        "checked {}, {}, {}, {}",
        count(*streams as u64, "stream"),
        held,
        count(*segments as u64, "segment"),
        size(*bytes),
    );
    let verdict = match (report.damage.len(), repair) {
        (0, _) => "no damage".to_owned(),
        (found, true) => {
            format!("dealt with damage in {}; the server starts", count(found as u64, "place"))
        }
        (found, false) => format!(
            "damage in {}; `kinora check --repair` moves what cannot be read to aside/",
            count(found as u64, "place")
        ),
    };
    lines.push(format!("{checked}: {verdict}"));
    lines
}

fn damage(damage: &Damage) -> String {
    match damage {
        Damage::Media(lost) => media(lost),
        Damage::Records(lost) => records(lost),
        Damage::Log { segment, offset, len, what } => {
            format!("log: {segment}: {} from byte {offset} on: {what}", size(*len))
        }
        Damage::Segment { segment, what } => format!("log: {segment}: {what}"),
        Damage::Catalog { what } => format!("catalog: it cannot be read whole: {what}"),
        Damage::LostStream { id, fragments } => format!(
            "catalog: stream {} is in the log with {}, and the catalog does not know it",
            id.0,
            count(*fragments, "whole fragment"),
        ),
        Damage::People { what } => {
            format!("people: {what}: who was enrolled and seen cannot be read")
        }
    }
}

fn media(lost: &LostMedia) -> String {
    let LostMedia { stream, name, from, to, fragments, altered } = lost;
    let fragments = count(*fragments, "fragment");
    let stream = title(*stream, name.as_ref());
    match from {
        Some(from) => {
            let seconds = to.since(*from).0 as f64 / 1000.0;
            let (from, to) = (date(*from), date(*to));
            if *altered {
                return format!(
                    "{stream}: {from} to {to} ({seconds:.3} s, {fragments}) is damaged"
                );
            }
            format!("{stream}: missing {fragments} between {from} and {to} ({seconds:.3} s)")
        }
        None => format!("{stream}: missing {fragments}, all before {}", date(*to)),
    }
}

fn records(lost: &LostRecords) -> String {
    let LostRecords { stream, name, first, last, altered } = lost;
    let number = count(last - first + 1, "record");
    let shard = format!("{}, log {}", title(*stream, name.as_ref()), stream.0);
    let is = if *altered { "damaged" } else { "missing" };
    format!("{shard}: {is}: {number}, index {first} to {last}")
}

fn note(note: &Note) -> String {
    match note {
        Note::TornTail { bytes } => format!(
            "note: the last {} were being written when the process ended; nobody was told that they \
             are stored, and the next start cuts them",
            size(*bytes)
        ),
        Note::Orphans { streams, fragments } => format!(
            "note: {} left of {}; the space is used again in time",
            count(*fragments, "fragment"),
            count(*streams as u64, "deleted stream"),
        ),
        Note::Unfinished { files } => format!(
            "note: {} being made when the process ended; the next start removes them",
            if *files == 1 { "1 file was".to_owned() } else { format!("{files} files were") },
        ),
        Note::SetAside(lost) => format!("note: {}, as an earlier repair noted", media(lost)),
        Note::RecordsSetAside(lost) => {
            format!("note: {}, as an earlier repair noted", records(lost))
        }
    }
}

fn title(id: StreamId, name: Option<&StreamName>) -> String {
    name.map_or_else(|| format!("stream {} (its name is lost)", id.0), ToString::to_string)
}

fn date(time: ProducerTimestamp) -> String {
    let date = jiff::Timestamp::from_millisecond(time.as_millis());
    date.map_or_else(|_| format!("{time} s"), |date| format!("{date:.3}"))
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_by_stream_and_second() {
        let lost = LostMedia {
            stream: StreamId(7),
            name: Some("front".parse().expect("a name")),
            from: Some(ProducerTimestamp::from_millis(1_795_308_000_000)),
            to: ProducerTimestamp::from_millis(1_795_308_004_500),
            fragments: 2,
            altered: false,
        };
        assert_eq!(
            media(&lost),
            "front: missing 2 fragments between 2026-11-22T00:40:00.000Z and \
             2026-11-22T00:40:04.500Z (4.500 s)"
        );
        let lost = LostMedia { from: None, name: None, fragments: 1, ..lost };
        assert_eq!(
            media(&lost),
            "stream 7 (its name is lost): missing 1 fragment, all before 2026-11-22T00:40:04.500Z"
        );
    }
}
