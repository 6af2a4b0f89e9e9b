//! What each shard should have: the indices of its records have no gaps, so a gap between runs is
//! records that are missing, even when the file that held them is gone.

use super::Range;
use crate::store::log::entry::{FragmentEntry, Header, Lsn};

/// The runs of one shard, in the order of the log.
#[derive(Debug, Default)]
pub struct Runs {
    /// Records of whole runs.
    pub records: u64,
    lost: Vec<LostRun>,
    /// The index of the last record so far.
    last: u64,
    /// Where the log goes on behind it.
    at: Lsn,
}

/// Records that cannot be read, or are not there.
#[derive(Clone, Debug)]
pub struct LostRun {
    pub first: u64,
    pub last: u64,
    /// They are there, with other bytes than were written.
    pub altered: bool,
    /// Where in the log they are, or were.
    pub range: Range,
}

/// Runs have neither head nor trailer nor length, and no place in a live playlist.
pub fn is_run(entry: &FragmentEntry) -> bool {
    let media = u64::from(entry.head_len) + u64::from(entry.trailer_len);
    media + u64::from(entry.duration_ms) == 0 && entry.sequence.is_none() && entry.breaks > 0
}

impl Runs {
    /// The next run.
    pub fn run(&mut self, header: &Header, entry: &FragmentEntry, whole: bool) {
        let (first, last) = indices(entry);
        let range = header.lsn..header.end();
        self.miss_until(first - 1, header.lsn);
        (self.last, self.at) = (self.last.max(last), header.end());
        if whole {
            self.records += u64::from(entry.breaks);
        } else {
            self.lost.push(LostRun { first, last, altered: true, range });
        }
    }

    /// A run that was copied out of a segment which may be used again: not lost with it.
    pub fn copy(&mut self, entry: &FragmentEntry) {
        let (first, last) = indices(entry);
        let holds = |lost: &LostRun| lost.first <= first && last <= lost.last;
        let Some(at) = self.lost.iter().position(holds) else { return };
        let lost = self.lost.swap_remove(at);
        self.records += u64::from(entry.breaks);
        if lost.first < first {
            self.lost.push(LostRun { last: first - 1, ..lost.clone() });
        }
        if last < lost.last {
            self.lost.push(LostRun { first: last + 1, ..lost });
        }
    }

    /// The log says at `at` that the shard had records up to this index.
    pub fn state(&mut self, at: Lsn, last: u64) {
        self.miss_until(last, at);
        self.last = self.last.max(last);
        self.at = at;
    }

    /// What is lost and had not expired: a run is kept as long as its last record is.
    pub fn unexpired(&self, keep_from: u64) -> impl Iterator<Item = &LostRun> {
        self.lost.iter().filter(move |lost| lost.last >= keep_from)
    }

    /// Notes the records that are not there up to index `until`.
    fn miss_until(&mut self, until: u64, at: Lsn) {
        if until > self.last {
            let (first, range) = (self.last + 1, self.at..at);
            self.lost.push(LostRun { first, last: until, altered: false, range });
        }
    }
}

/// The first and the last index of a run.
fn indices(entry: &FragmentEntry) -> (u64, u64) {
    let last = entry.number.counter().max(1);
    (last.saturating_sub(u64::from(entry.breaks)) + 1, last)
}
