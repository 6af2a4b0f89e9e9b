//! What one shard should hold: every record that was ever sent to it, and what became of it.

use std::collections::VecDeque;

use super::*;
use crate::store::{Append, Appended, ReadLimit, RecordsError, ShardLog, ShardRetention};
use crate::types::{ServerTimestamp, StreamId};

const HOUR: u64 = 3_600_000;

/// A shard, its producers and a reader.
pub struct ShardSlot {
    id: Option<StreamId>,
    log: Option<Arc<ShardLog>>,
    hours: u32,
    /// What was acknowledged, or was there after an opening, from index 1 on.
    records: Vec<Sent>,
    /// Appended and not decided, in the order of the calls.
    waiting: VecDeque<(Append, Vec<Vec<u8>>)>,
    /// Refused by a store that failed, or never answered: a part of it may be there after an
    /// opening, up to some append and behind the acknowledged ones.
    unsure: VecDeque<Vec<Vec<u8>>>,
    /// What arrived before may have expired.
    horizon: ServerTimestamp,
    /// Where the reader is.
    read_until: u64,
}

#[derive(Clone, Debug)]
struct Sent {
    payload: Vec<u8>,
    arrival: ServerTimestamp,
    /// A flipped bit took it.
    damaged: bool,
}

impl ShardSlot {
    pub fn new() -> Self {
        Self {
            id: None,
            log: None,
            hours: 24,
            records: Vec::new(),
            waiting: VecDeque::new(),
            unsure: VecDeque::new(),
            horizon: ServerTimestamp::MIN,
            read_until: 0,
        }
    }

    fn log(&self) -> &Arc<ShardLog> {
        self.log.as_ref().expect("the store is open")
    }

    /// The store is open (again): settles what nobody knew.
    pub fn opened(&mut self, store: &Store, damaged: bool) {
        let id = *self.id.get_or_insert_with(|| {
            let hours = ShardRetention::Hours(self.hours);
            store.catalog().create_shards(1, hours).expect("the shard is created")[0]
        });
        self.log = Some(store.shard(id).expect("what was created is there"));
        let next = self.log().span().next;
        let known = self.records.len() as u64 + 1;
        if damaged && next < known {
            // The newest ones are gone. Their indices are given again.
            self.records.truncate(next as usize - 1);
            self.unsure.clear();
        }
        self.find_unsure(next, damaged);
        self.unsure.clear();
        self.read_until = 0;
        self.check(damaged);
    }

    fn find_unsure(&mut self, next: u64, damaged: bool) {
        while (self.records.len() as u64) + 1 < next {
            let first = self.records.len() as u64 + 1;
            let Some(append) = self.unsure.pop_front() else {
                panic!("phantoms from {first} to {next}");
            };
            let limit = ReadLimit { records: append.len(), bytes: usize::MAX };
            match self.log().read(first, limit) {
                Ok(found) => {
                    let sent = found.iter().map(|record| &record.payload[..]);
                    assert!(sent.eq(append.iter().map(|sent| &sent[..])), "an append is whole");
                    let (arrival, damaged) = (found[0].arrival, false);
                    let sent = |payload| Sent { payload, arrival, damaged };
                    self.records.extend(append.into_iter().map(sent));
                }
                Err(RecordsError::Damaged { .. }) if damaged => {
                    let (arrival, damaged) = (ServerTimestamp::MAX, true);
                    let sent = |payload| Sent { payload, arrival, damaged };
                    self.records.extend(append.into_iter().map(sent));
                }
                Err(error) => panic!("{first} to {next}: {error}"),
            }
        }
        assert_eq!(self.records.len() as u64 + 1, next, "appends are whole, and so are runs");
    }

    pub fn append(&mut self, random: &mut Random, store: &Store) {
        if super::now(self.log().ready()).is_none_or(|ready| ready.is_err()) {
            return;
        }
        let most = if random.below(40) == 0 { 50_000 } else { 2_000 };
        let records: Vec<_> = (0..1 + random.below(4))
            .map(|_| {
                let len = random.below(most);
                random.bytes(len)
            })
            .collect();
        let payloads = records.iter().map(|record| Bytes::copy_from_slice(record)).collect();
        match self.log().append(payloads) {
            Ok(append) => self.waiting.push_back((append, records)),
            Err(error) => assert!(store.poisoned().is_some(), "{error}"),
        }
    }

    /// Takes what the store has answered by now; a digest of it.
    pub fn take_outcomes(&mut self, store: &Store) -> u64 {
        let mut digest = 0u64;
        while let Some((mut append, records)) = self.waiting.pop_front() {
            match super::now(&mut append) {
                None => {
                    self.waiting.push_front((append, records));
                    return digest;
                }
                Some(Ok(appended)) => {
                    digest = digest.wrapping_mul(31).wrapping_add(appended.first);
                    self.acknowledged(appended, records);
                }
                Some(Err(PersistError::NoSpace(_))) if store.poisoned().is_none() => {}
                Some(Err(_)) => {
                    assert!(store.poisoned().is_some(), "only faults refuse records");
                    self.unsure.push_back(records);
                }
            }
        }
        digest
    }

    fn acknowledged(&mut self, appended: Appended, records: Vec<Vec<u8>>) {
        let Appended { first, arrival } = appended;
        assert_eq!(first, self.records.len() as u64 + 1, "indices follow the order of the calls");
        assert!(self.unsure.is_empty(), "nothing is taken behind what may be lost");
        let newest = self.records.iter().rfind(|sent| !sent.damaged);
        assert!(newest.is_none_or(|newest| newest.arrival <= arrival), "arrival runs backwards");
        let sent = |payload| Sent { payload, arrival, damaged: false };
        self.records.extend(records.into_iter().map(sent));
    }

    /// The reader reads on.
    pub fn read(&mut self, random: &mut Random, damaged: bool) {
        let limit = ReadLimit {
            records: 1 + random.below(20) as usize,
            bytes: random.below(20_000) as usize,
        };
        if random.below(10) == 0 {
            self.read_until = random.below(self.records.len() as u64 + 1);
        }
        let from = self.read_until + 1;
        self.read_until = self.read_from(from, limit, damaged) - 1;
    }

    /// Reads once, and compares; returns the index behind it.
    fn read_from(&self, from: u64, limit: ReadLimit, damaged: bool) -> u64 {
        let found = match super::now(self.log().read_async(from, limit)).expect("it is cached") {
            Ok(found) => found,
            Err(RecordsError::Damaged { first, last }) => {
                assert!(first >= from && last >= first, "{first} to {last} at {from}");
                self.missing(from, last + 1, damaged);
                return last + 1;
            }
            Err(error) => panic!("reading fails: {error}"),
        };
        let mut next = from;
        for record in found {
            assert!(record.index >= next, "indices grow");
            self.missing(next, record.index, damaged);
            next = record.index + 1;
            let sent = self.records.get(record.index as usize - 1).expect("no phantom");
            assert_eq!(record.payload, sent.payload);
            assert!(record.arrival == sent.arrival || sent.damaged);
        }
        if next == from {
            self.missing(from, self.records.len() as u64 + 1, damaged);
            next = next.max(self.records.len() as u64 + 1);
        }
        next
    }

    /// Records that are not there are damaged, or have expired.
    fn missing(&self, from: u64, to: u64, damaged: bool) {
        for index in from..to {
            let sent = &self.records[index as usize - 1];
            let expired = sent.arrival < self.horizon;
            assert!(expired || damaged, "acknowledged and gone: {index}");
        }
    }

    /// Compares all that the shard shows with what it should.
    pub fn check(&self, damaged: bool) {
        let span = self.log().span();
        assert_eq!(span.next, self.records.len() as u64 + 1);
        self.missing(1, span.first, damaged);
        let mut from = span.first;
        while from < span.next {
            let limit = ReadLimit { records: usize::MAX, bytes: 30_000 };
            from = self.read_from(from, limit, damaged);
        }
        let backlog = self.log().after(0);
        assert_eq!(backlog.records, span.next - span.first);
        if let Some(newest) = self.records.last().filter(|newest| !newest.damaged && !damaged) {
            let found = self.log().seek(newest.arrival);
            let wanted = self.records.partition_point(|sent| sent.arrival < newest.arrival);
            let wanted = (wanted as u64 + 1).max(span.first);
            assert_eq!(found, wanted, "seeking finds the first of its time");
        }
    }

    pub fn set_retention(&mut self, store: &Store, hours: u32) {
        self.hours = hours;
        let id = self.log().id();
        let changed = store.catalog().retain_shards(&[id], ShardRetention::Hours(hours));
        changed.expect("it is changed");
    }

    /// Retention is about to be enforced.
    pub fn expire(&mut self, now: ServerTimestamp) {
        self.horizon = self.horizon.max(now.minus(Millis(u64::from(self.hours) * HOUR)));
    }

    /// Takes note of what went though it had not expired; the arrival of the newest of that.
    pub fn evicted(&mut self) -> Option<ServerTimestamp> {
        let first = self.log().span().first as usize;
        let gone = self.records.iter().take(first - 1).filter(|sent| !sent.damaged);
        let newest = gone.map(|sent| sent.arrival).filter(|at| *at >= self.horizon).max()?;
        self.horizon = newest.plus(Millis(1));
        Some(newest)
    }

    /// When the oldest arrived that is there.
    pub fn oldest(&self) -> Option<ServerTimestamp> {
        let there = self.records.iter().skip(self.log().span().first as usize - 1);
        there.filter(|sent| !sent.damaged).map(|sent| sent.arrival).next()
    }

    /// Deletes the shard; a new one comes.
    pub fn delete(&mut self, store: &Store) {
        let old = self.log().clone();
        store.catalog().delete_shards(&[old.id()]).expect("it is deleted");
        let one = ReadLimit { records: 1, bytes: 1 };
        assert!(matches!(old.read(1, one), Err(RecordsError::Deleted)));
        assert_eq!(*old.durable().borrow(), u64::MAX, "who waits is woken");
        for (mut append, _) in std::mem::take(&mut self.waiting) {
            let outcome = super::now(&mut append);
            let told = outcome.is_none_or(|outcome| outcome.is_err());
            assert!(told, "nothing of it is stored");
        }
        *self = Self::new();
        self.opened(store, false);
    }

    /// Producers go away in order; what they handed over is answered later.
    pub fn let_go(&mut self) {
        self.log = None;
    }

    /// The process ended, at once.
    pub fn crashed(&mut self) {
        self.let_go();
        let waiting = std::mem::take(&mut self.waiting);
        self.unsure.extend(waiting.into_iter().map(|(_, records)| records));
    }
}
