//! What each stream should have, told from what is there: the fragments of a live playlist are
//! counted without gaps, so a gap in the count is a fragment that is missing, even when the file
//! that held it is gone. Fragments that came late are not counted; they are missed only where their
//! entry is still there.

use std::collections::BTreeMap;

use super::catalog::{LostStream, ReadCatalog};
use super::walk::Visitor;
use super::{CheckReport, Damage, LostMedia, Note, Range};
use crate::store::log::entry::{FragmentEntry, Header, Kind, Lsn, StateRecord};
use crate::types::{Millis, ProducerTimestamp, ServerTimestamp, StreamId};

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
        let is_it = |lost: &&mut Lost| {
            lost.fragments > 0 && entry.sequence.is_some_and(|at| lost.sequences.contains(&at))
        };
        if let Some(lost) = self.lost.iter_mut().find(is_it) {
            lost.fragments -= 1;
            self.fragments += 1;
        }
    }

    fn state(&mut self, at: Lsn, record: &StateRecord) {
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

impl Ledger {
    /// The streams that the catalog should know, with their fragments and when they began.
    pub fn lost_streams(&self, catalog: &ReadCatalog) -> BTreeMap<StreamId, LostStream> {
        let lost = self.streams.iter().filter(|(id, account)| {
            catalog.has_lost(**id) && (account.fragments > 0 || !account.lost.is_empty())
        });
        let facts = |account: &Account| LostStream {
            fragments: account.fragments,
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
                orphans += usize::from(account.fragments > 0);
                orphaned += account.fragments;
                continue;
            }
            report.fragments += account.fragments;
            for lost in account.unexpired() {
                let &Lost { from, to, fragments, altered, .. } = lost;
                let media =
                    LostMedia { stream: *id, name: name.clone(), from, to, fragments, altered };
                if is_set_aside(lost, set_aside) {
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
        let lost = known.flat_map(|(_, account)| account.unexpired());
        let lost = lost.filter(|lost| !lost.altered && !is_set_aside(lost, set_aside));
        lost.map(|lost| lost.range.clone()).collect()
    }
}

/// Runs have neither head nor trailer nor length, and no place in a live playlist.
fn is_run(entry: &FragmentEntry) -> bool {
    let media = u64::from(entry.head_len) + u64::from(entry.trailer_len);
    media + u64::from(entry.duration_ms) == 0 && entry.sequence.is_none() && entry.breaks > 0
}

fn is_set_aside(lost: &Lost, set_aside: &[Range]) -> bool {
    let within = |range: &Range| range.start < lost.range.end && lost.range.start < range.end;
    set_aside.iter().any(within)
}
