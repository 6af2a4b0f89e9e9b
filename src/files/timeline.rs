//! From the producer's clock to a file's time: gaps are closed, and told. Pure.

use std::fmt;

use super::plan::CONTIGUOUS;
use crate::types::{Millis, ProducerTimestamp};

/// A time for which nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins.
    pub from: ProducerTimestamp,
    /// Where it ends.
    pub to: ProducerTimestamp,
}

impl Gap {
    /// How long it is.
    pub fn length(&self) -> Millis {
        self.to.since(self.from)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.length().0 as f64 / 1000.0;
        write!(f, "{seconds:.3} s are missing: {} to {}", date(self.from), date(self.to))
    }
}

/// A time as people read it.
pub fn date(time: ProducerTimestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.as_millis()) {
        Ok(date) => format!("{date:.3}"),
        Err(_) => time.to_string(),
    }
}

/// Places pieces one behind the other.
#[derive(Debug)]
pub struct Timeline {
    /// Gaps stay in the file as long as they were.
    keep_gaps: bool,
    closed: Millis,
    end: Option<ProducerTimestamp>,
}

impl Timeline {
    /// Begins at `start`, where that is asked for.
    pub fn new(start: Option<ProducerTimestamp>, keep_gaps: bool) -> Self {
        Self { keep_gaps, closed: Millis(0), end: start }
    }

    /// Places what goes from `begin` to `end`, with its earliest picture at `earliest`: the time of
    /// `begin` in the file, and the gap before it.
    pub fn place(
        &mut self,
        (begin, earliest): (ProducerTimestamp, ProducerTimestamp),
        end: ProducerTimestamp,
    ) -> (ProducerTimestamp, Option<Gap>) {
        let gap = self.gap_before(earliest);
        if let Some(gap) = gap.filter(|_| !self.keep_gaps) {
            self.closed = Millis(self.closed.0.saturating_add(gap.length().0));
        }
        self.end = Some(self.end.map_or(end, |known| known.max(end)));
        (begin.minus(self.closed), gap)
    }

    /// What is missing between the last piece and `time`.
    pub fn gap_before(&self, time: ProducerTimestamp) -> Option<Gap> {
        let from = self.end?;
        (time.since(from) > CONTIGUOUS).then_some(Gap { from, to: time })
    }

    /// When the last piece ends, in the file's time.
    pub fn end(&self) -> ProducerTimestamp {
        self.end.unwrap_or_default().minus(self.closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_and_closed_unless_they_are_to_be_kept() {
        let at = ProducerTimestamp::from_millis;
        for (keep, third) in [(false, 4_000), (true, 14_000)] {
            let mut timeline = Timeline::new(Some(at(0)), keep);
            assert_eq!(timeline.place((at(0), at(0)), at(1_880)), (at(0), None));
            assert_eq!(timeline.place((at(2_000), at(1_920)), at(4_000)), (at(2_000), None));
            let gap = Gap { from: at(4_000), to: at(14_000) };
            assert_eq!(
                timeline.place((at(14_000), at(14_000)), at(16_000)),
                (at(third), Some(gap))
            );
            assert_eq!(timeline.end(), at(third + 2_000));
        }
    }

    #[test]
    fn gap_reads_as_a_sentence() {
        let at = ProducerTimestamp::from_millis;
        let gap = Gap { from: at(1_714_564_804_000), to: at(1_714_564_814_250) };
        let text = "10.250 s are missing: 2024-05-01T12:00:04.000Z to 2024-05-01T12:00:14.250Z";
        assert_eq!(gap.to_string(), text);
    }
}
