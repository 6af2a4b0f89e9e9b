//! What each stream should have, told from what is there: the fragments of a live playlist are
//! counted without gaps, so a gap in the count is a fragment that is missing, even when the file
//! that held it is gone. Fragments that came late are not counted; they are missed only where their
//! entry is still there.

use std::collections::BTreeMap;

use super::catalog::{LostStream, ReadCatalog};
use super::runs::{Runs, is_run};
use super::walk::Visitor;
use super::{CheckReport, Damage, LostMedia, LostRecords, Note, Range};
use crate::store::log::entry::{FragmentEntry, Header, Kind, Lsn, StateRecord};
use crate::types::{Millis, ProducerTimestamp, ServerTimestamp, StreamId, StreamName};

/// All streams that the log mentions.
#[derive(Debug, Default)]
pub struct Ledger {
    streams: BTreeMap<StreamId, Account>,
}

#[derive(Debug, Default)]
struct Account {
    /// Whole fragments, by counter.
    fragments: u64,
    /// The earliest server time, for a stream about which nothing else is known.
    created: Option<ServerTimestamp>,
    /// Whether its fragments are runs of records.
    records: bool,
    keep_from: u64,
    expected: Expected,
    lost: Vec<Lost>,
    runs: Runs,
}

/// What the next counted fragment follows.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    sequence: u64,
    /// Where the one before it ends; `None` before the first.
    end: Option<ProducerTimestamp>,
    counter: u64,
    at: Lsn,
    /// The gap before it, among what is lost, when a state told of it, and not how long it is.
    gap: Option<usize>,
}

#[derive(Debug)]
struct Lost {
    from: Option<ProducerTimestamp>,
    to: ProducerTimestamp,
    fragments: u64,
    /// The places in the live playlist that they had, if they had any.
    sequences: std::ops::Range<u64>,
    /// Their entry is there, with other bytes.
    altered: bool,
    /// The smallest counter they can have.
    counter: u64,
    /// Where in the log they are, or were.
    range: Range,
}

impl Visitor for Ledger {
    fn entry(&mut self, header: &Header, whole: bool) {
        match header.kind {
            Kind::Fragment(entry) => {
                let account = self.streams.entry(entry.stream).or_default();
                account.fragment(header, &entry, whole);
            }
            Kind::Copy(entry) if whole => {
                self.streams.entry(entry.stream).or_default().copy(&entry);
            }
            Kind::Copy(_) => {}
            Kind::Trim { stream, keep_from, .. } => {
                let account = self.streams.entry(stream).or_default();
                account.keep_from = account.keep_from.max(keep_from);
            }
            Kind::Reserve { .. } | Kind::State { .. } | Kind::Seal | Kind::Mark => {}
            Kind::Void { .. } => {}
        }
    }

    fn state(&mut self, at: Lsn, records: &[StateRecord]) {
        for record in records {
            self.streams.entry(record.stream).or_default().state(at, record);
        }
    }
}

impl Account {
    fn fragment(&mut self, header: &Header, entry: &FragmentEntry, whole: bool) {
        let (counter, server) = (entry.number.counter(), entry.number.server_timestamp());
        let end = entry.producer.plus(Millis(u64::from(entry.duration_ms)));
        self.created = Some(self.created.map_or(server, |created| created.min(server)));
        self.records = is_run(entry);
        if self.records {
            return self.runs.run(header, entry, whole);
        }
        if let Some(sequence) = entry.sequence {
            self.miss_before(sequence, entry.producer, header.lsn);
            if let Some(gap) = self.expected.gap.and_then(|gap| self.lost.get_mut(gap)) {
                gap.to = gap.to.max(entry.producer);
            }
            let sequence = sequence + 1;
            let (end, at) = (Some(end), header.end());
            self.expected = Expected { sequence, end, counter, at, gap: None };
        }
        if whole {
            self.fragments += 1;
        } else {
            let (from, range) = (Some(entry.producer), header.lsn..header.end());
            let sequences = entry.sequence.map_or(0..0, |sequence| sequence..sequence + 1);
            let (fragments, altered) = (1, true);
            let lost = Lost { from, to: end, fragments, sequences, altered, counter, range };
            self.lost.push(lost);
        }
    }

    /// A fragment that was copied out of a segment which may be used again: not lost with it.
    fn copy(&mut self, entry: &FragmentEntry) {
        if is_run(entry) {
            return self.runs.copy(entry);
        }
        let is_it = |lost: &&mut Lost| {
            lost.fragments > 0 && entry.sequence.is_some_and(|at| lost.sequences.contains(&at))
        };
        if let Some(lost) = self.lost.iter_mut().find(is_it) {
            lost.fragments -= 1;
            self.fragments += 1;
        }
    }

    fn state(&mut self, at: Lsn, record: &StateRecord) {
        // Means nothing for a stream of media, whose numbers have gaps.
        self.runs.state(at, record.last_counter);
        self.keep_from = self.keep_from.max(record.kept.from);
        let Some(last) = record.edge.last else { return };
        let sequence = record.edge.next_sequence;
        if sequence > self.expected.sequence {
            self.miss_before(sequence, last.end, at);
            let (end, counter) = (Some(last.end), last.counter);
            let gap = self.lost.len().checked_sub(1);
            self.expected = Expected { sequence, end, counter, at, gap };
        }
    }

    /// Notes the counted fragments that are not there before `sequence`, which begins at `to`.
    fn miss_before(&mut self, sequence: u64, to: ProducerTimestamp, at: Lsn) {
        let Expected { sequence: expected, end, counter, at: after, .. } = self.expected;
        let fragments = sequence.saturating_sub(expected);
        if fragments > 0 {
            let (counter, range) = (counter + u64::from(end.is_some()), after..at);
            // What comes from the past has its place before the fragment that it follows.
            let (from, to) = (end.map(|end| end.min(to)), to.max(end.unwrap_or(to)));
            let (sequences, altered) = (expected..sequence, false);
            self.lost.push(Lost { from, to, fragments, sequences, altered, counter, range });
        }
    }

    /// What is lost and had not expired. A gap that begins among expired fragments may be theirs,
    /// whose segments were used again.
    fn unexpired(&self) -> impl Iterator<Item = &Lost> {
        self.lost.iter().filter(|lost| lost.counter >= self.keep_from && lost.fragments > 0)
    }
}

impl Account {
    /// Adds a shard's records to a report, and those that are missing.
    fn tell_records(
        &self,
        stream: StreamId,
        name: Option<StreamName>,
        set_aside: &[Range],
        report: &mut CheckReport,
    ) {
        report.records += self.runs.records;
        for lost in self.runs.unexpired(self.keep_from) {
            let (first, last, altered) = (lost.first, lost.last, lost.altered);
            let records = LostRecords { stream, name: name.clone(), first, last, altered };
            if is_set_aside(&lost.range, set_aside) {
                report.notes.push(Note::RecordsSetAside(records));
            } else {
                report.damage.push(Damage::Records(records));
            }
        }
    }

    /// Where in the log something was that is not there.
    fn missing(&self, is_shard: bool) -> Vec<Range> {
        if is_shard {
            let lost = self.runs.unexpired(self.keep_from).filter(|lost| !lost.altered);
            return lost.map(|lost| lost.range.clone()).collect();
        }
        let lost = self.unexpired().filter(|lost| !lost.altered);
        lost.map(|lost| lost.range.clone()).collect()
    }

    /// Whole fragments or records, and whether any are known to be lost.
    fn extent(&self) -> (u64, bool) {
        if self.records {
            let lost = self.runs.unexpired(self.keep_from).next().is_some();
            return (self.runs.records, lost);
        }
        (self.fragments, !self.lost.is_empty())
    }
}

impl Ledger {
    /// The streams that the catalog should know, with their fragments and when they began.
    pub fn lost_streams(&self, catalog: &ReadCatalog) -> BTreeMap<StreamId, LostStream> {
        let lost = self.streams.iter().filter(|(id, account)| {
            let (whole, lost) = account.extent();
            catalog.has_lost(**id) && (whole > 0 || lost)
        });
        let facts = |account: &Account| LostStream {
            fragments: account.extent().0,
            created: account.created.unwrap_or_default(),
            records: account.records,
        };
        lost.map(|(id, account)| (*id, facts(account))).collect()
    }

    /// Adds what is missing to a report.
    pub fn tell(
        &self,
        catalog: &ReadCatalog,
        lost_streams: &BTreeMap<StreamId, LostStream>,
        set_aside: &[Range],
        report: &mut CheckReport,
    ) {
        let (mut orphans, mut orphaned) = (0, 0);
        for (id, account) in &self.streams {
            let name = catalog.name_of(*id);
            if !catalog.knows(*id) && !lost_streams.contains_key(id) {
                let (whole, _) = account.extent();
                orphans += usize::from(whole > 0);
                orphaned += whole;
                continue;
            }
            if account.records || catalog.has_shard(*id) {
                account.tell_records(*id, name, set_aside, report);
                continue;
            }
            report.fragments += account.fragments;
            for lost in account.unexpired() {
                let &Lost { from, to, fragments, altered, .. } = lost;
                let media =
                    LostMedia { stream: *id, name: name.clone(), from, to, fragments, altered };
                if is_set_aside(&lost.range, set_aside) {
                    report.notes.push(Note::SetAside(media));
                } else {
                    report.damage.push(Damage::Media(media));
                }
            }
        }
        if orphans > 0 {
            report.notes.push(Note::Orphans { streams: orphans, fragments: orphaned });
        }
    }

    /// Where in the log fragments are missing for which nothing could be set aside yet.
    pub fn missing_ranges(&self, catalog: &ReadCatalog, set_aside: &[Range]) -> Vec<Range> {
        let known = |id: &StreamId| catalog.knows(*id) || catalog.has_lost(*id);
        let known = self.streams.iter().filter(|(id, _)| known(id));
        let missing = known.flat_map(|(id, account)| {
            let is_shard = account.records || catalog.has_shard(*id);
            account.missing(is_shard)
        });
        missing.filter(|range| !is_set_aside(range, set_aside)).collect()
    }
}

fn is_set_aside(lost: &Range, set_aside: &[Range]) -> bool {
    let within = |range: &Range| range.start < lost.end && lost.start < range.end;
    set_aside.iter().any(within)
}
