//! The searches, over any mixture of what is in memory and what has a row.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::store::disk::{Faults, MemoryDisk};
use crate::store::locked;
use crate::store::log::segment::{self, Segments};
use crate::store::streams::{Dead, State};
use crate::types::StreamId;

const STREAM: StreamId = StreamId(3);

/// One stream, and what moves its records.
struct Mixture {
    state: Mutex<State>,
    rows: Rows,
    mover: Mover,
    segments: Segments,
    disk: MemoryDisk,
}

impl Mixture {
    fn new(recent: usize) -> Self {
        let disk = MemoryDisk::new();
        let limits = segment::Limits {
            segment_bytes: 1 << 16,
            prepared: 0,
            spare: 0,
            quota: None,
            floor: 0,
            patience: Duration::ZERO,
            prewrite_below: 0,
        };
        let segments = Segments::new(Arc::new(disk.clone()), limits, 0);
        let database = Database::create(Arc::new(disk.clone()), 1 << 20).expect("it is made");
        let database = Arc::new(database);
        let rows = Rows::new(database.clone(), STREAM);
        let limits =
            Limits { batch: usize::MAX, interval: Millis(u64::MAX), recent, expired: 8192 };
        let mover = Mover::new(database, limits, 0, Vec::new());
        Self { state: Mutex::default(), rows, mover, segments, disk }
    }

    fn insert(&self, record: Record) {
        locked(&self.state).insert(record, &self.segments);
    }

    fn move_before(&self, upto: Lsn) -> Left {
        self.mover.round(&mut &*self, &self.segments, upto)
    }

    /// Lets all expire but what is `kept`.
    fn keep(&self, kept: &Kept) {
        let mut dead = Dead { counters: kept.gaps().collect(), ..Dead::default() };
        let mut held_bytes = 0;
        for record in self.since(0, usize::MAX) {
            if !kept.contains(record.counter()) {
                (dead.fragments, dead.bytes) =
                    (dead.fragments + 1, dead.bytes + record.log_bytes());
            } else if record.counter() < kept.from {
                held_bytes += record.log_bytes();
            }
        }
        locked(&self.state).expire(kept.clone(), &dead, held_bytes, &self.segments);
    }

    fn trim(&self, keep_from: u64) {
        self.keep(&Kept { from: keep_from, below: Vec::new() });
    }

    /// Copies some within the log; those that are not there can not be.
    fn relocate(&self, records: &mut [Record], which: u64, end: Lsn) {
        for (at, record) in records.iter_mut().enumerate().filter(|(at, _)| which >> at & 1 == 1) {
            let to = end + 64 * at as u64;
            let found = self.find(record.number);
            let relocated = locked(&self.state).relocate(*record, to, &self.segments);
            assert_eq!(relocated, found.is_some());
            record.lsn = to;
        }
    }

    /// What the database says of the stream, and of its rows.
    fn saved(&self) -> Option<(Saved, Vec<Record>)> {
        let disk = MemoryDisk::new();
        self.mover.database().close();
        disk.put_index(self.disk.take_index());
        let (database, contents) = Database::open(Arc::new(disk), 1 << 20).expect("it opens");
        let saved = contents.streams.get(&STREAM)?.clone();
        let kept = Arc::new(saved.state.kept.clone());
        let scope = Scope { kept, to: u64::MAX, longest: Millis(0) };
        let rows = Rows::new(Arc::new(database), STREAM).since(0, usize::MAX, &scope);
        Some((saved, rows))
    }

    fn in_memory(&self) -> usize {
        self.recent(Recent::len)
    }

    fn seek_producer(&self, time: ProducerTimestamp) -> Found {
        let (found, scope) = self.recent(|recent| (recent.seek_producer(time), recent.scope()));
        self.rows.seek_producer(time, &scope).join_by_producer(found)
    }

    fn seek_server(&self, time: ServerTimestamp) -> Found {
        let (found, scope) = self.recent(|recent| (recent.seek_server(time), recent.scope()));
        self.rows.seek_server(time, &scope).join_by_server(found)
    }

    fn after(&self, number: FragmentNumber) -> Option<Record> {
        let (found, scope) = self.recent(|recent| (recent.after(number), recent.scope()));
        let found = found.into_iter().chain(self.rows.after(number, &scope));
        found.min_by_key(|record| record.number)
    }
}

impl Index for Mixture {
    fn recent<T>(&self, look: impl FnOnce(&Recent) -> T) -> T {
        look(&locked(&self.state).recent)
    }

    fn rows(&self) -> &Rows {
        &self.rows
    }
}

impl States for &Mixture {
    fn each(&mut self, visit: &mut dyn FnMut(StreamId, &mut State)) {
        visit(STREAM, &mut locked(&self.state));
    }
}

fn record(counter: u64, producer: i64, server: i64, duration_ms: u32) -> Record {
    let server = ServerTimestamp::from_millis(server);
    Record {
        lsn: counter * 64,
        number: FragmentNumber::new(counter, server, 7),
        producer: ProducerTimestamp::from_millis(producer),
        duration_ms,
        size: 1,
        format: FormatId(0),
        cluster_crc: 0,
        breaks: counter as u32,
        sequence: counter.is_multiple_of(2).then_some(counter / 2),
    }
}

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    let one = (1..4u64, 0..2_000i64, 0..50i64, 0..100u32);
    proptest::collection::vec(one, 0..60).prop_map(|steps| {
        let (mut counter, mut server) = (0, 0);
        let mut records: Vec<_> = steps
            .into_iter()
            .map(|(step, producer, later, duration)| {
                counter += step;
                server += later;
                record(counter, producer, server, duration)
            })
            .collect();
        // Some come late.
        for at in (3..records.len()).step_by(5) {
            records.swap(at - 1, at);
        }
        // Few much later, when those around them are long out of memory.
        for at in (0..records.len()).step_by(17) {
            let late = records.remove(at);
            records.push(late);
        }
        let mut largest = 0;
        for (at, record) in records.iter_mut().enumerate() {
            record.lsn = 64 * (at as u64 + 1);
            largest = largest.max(record.counter());
            record.sequence = record.sequence.filter(|_| record.counter() == largest);
        }
        records
    })
}

fn any_kept() -> impl Strategy<Value = Kept> {
    let ranges = proptest::collection::vec((1..12u64, 1..12u64), 0..4);
    (0..80u64, ranges).prop_map(|(from, ranges)| {
        let (mut kept, mut at) = (Kept { from, below: Vec::new() }, 0);
        for (gap, len) in ranges {
            kept.keep(at + gap..at + gap + len);
            at += gap + len;
        }
        kept
    })
}

/// Inserts the records, and moves those before some of them.
fn mixture_of(records: &[Record], recent: usize, moves: u64) -> Mixture {
    let mixture = Mixture::new(recent);
    for (at, record) in records.iter().enumerate() {
        mixture.insert(*record);
        if moves >> at & 1 == 1 {
            assert_eq!(mixture.move_before(record.lsn), Left::Nothing);
        }
    }
    mixture
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn searches_find_what_a_plain_list_holds(
        mut records in any_records(), from in 0..2_000i64, span in 0..800i64, kept in any_kept(),
        recent in 0..12usize, moves in any::<u64>(), copies in any::<u64>(), sweep in any::<bool>(),
    ) {
        let mixture = mixture_of(&records, recent, moves);
        mixture.relocate(&mut records, copies, 1 << 20);
        mixture.keep(&kept);
        mixture.relocate(&mut records, copies.rotate_left(20), 1 << 21);
        if sweep {
            mixture.move_before(Lsn::MAX);
            prop_assert!(mixture.in_memory() <= recent);
        }
        records.retain(|record| kept.contains(record.counter()));
        records.sort_by_key(|record| record.number);
        prop_assert_eq!(mixture.ends(), records.first().copied().zip(records.last().copied()));
        for (at, record) in records.iter().enumerate() {
            prop_assert_eq!(mixture.find(record.number), Some(*record));
            prop_assert_eq!(mixture.after(record.number), records.get(at + 1).copied());
        }
        prop_assert_eq!(&mixture.since(0, usize::MAX), &records);
        let bytes = records.iter().map(Record::log_bytes).sum::<u64>();
        prop_assert_eq!(locked(&mixture.state).space.bytes, bytes);

        let (start, end) = (ServerTimestamp::from_millis(from), ServerTimestamp::from_millis(from + span));
        let wanted: Vec<_> =
            records.iter().filter(|r| r.server() >= start && r.server() <= end).map(Record::info).collect();
        prop_assert_eq!(pages(&mixture, Order::Server { from: start, to: end }), wanted);

        let time = ServerTimestamp::from_millis(from);
        let covers = records.iter().rev().find(|r| {
            r.server() == time || r.server() < time && time < r.server().plus(r.duration())
        });
        let next = records.iter().find(|r| r.server() > time);
        prop_assert_eq!(mixture.seek_server(time), found(covers, next));

        let sequenced = records.iter().filter(|record| record.sequence.is_some());
        let live: Vec<_> = sequenced.map(Record::info).collect();
        for limit in [0, 1, 5, 100] {
            prop_assert_eq!(&mixture.live(limit)[..], &live[live.len().saturating_sub(limit)..]);
        }

        records.sort_by_key(|record| (record.producer, record.number));
        let (start, end) = (ProducerTimestamp::from_millis(from), ProducerTimestamp::from_millis(from + span));
        let wanted: Vec<_> =
            records.iter().filter(|r| r.producer >= start && r.producer <= end).map(Record::info).collect();
        prop_assert_eq!(pages(&mixture, Order::Producer { from: start, to: end }), wanted);

        let covers = records.iter().rev().find(|r| {
            r.producer == start || r.producer < start && start < r.producer.plus(r.duration())
        });
        let next = records.iter().find(|r| r.producer > start);
        prop_assert_eq!(mixture.seek_producer(start), found(covers, next));

        if let Some(some) = records.first() {
            let same = records.iter().filter(|record| record.producer == some.producer);
            let mut at = mixture.at(some.producer);
            at.sort_by_key(|record| record.number);
            prop_assert_eq!(at, same.copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn breaks_of_a_late_fragment_follow_from_the_one_before_it(
        mut records in any_records(), trim in 0..80u64, recent in 0..12usize, moves in any::<u64>(),
    ) {
        let mixture = mixture_of(&records, recent, moves);
        mixture.trim(trim);
        let number = FragmentNumber::new(500, ServerTimestamp::MAX, 0);
        records.retain(|record| record.counter() >= trim);
        let before = records.iter().max_by_key(|record| record.number);
        let breaks = mixture.recent(|recent| recent.breaks_before(number));
        prop_assert_eq!(breaks, before.map(|record| record.breaks));
    }

    #[test]
    fn what_is_saved_of_a_stream_is_the_sum_of_its_rows(
        mut records in any_records(), kept in any_kept(), recent in 0..12usize,
        moves in any::<u64>(), copies in any::<u64>(), upto in 0..60u64,
    ) {
        let mixture = mixture_of(&records, recent, moves);
        mixture.relocate(&mut records, copies, 1 << 20);
        mixture.keep(&kept);
        mixture.relocate(&mut records, copies.rotate_left(20), 1 << 21);
        mixture.move_before(upto * 64);
        if let Some((saved, rows)) = mixture.saved() {
            let bytes = |rows: &mut dyn Iterator<Item = &Record>| rows.map(Record::log_bytes).sum::<u64>();
            prop_assert_eq!(saved.bytes, bytes(&mut rows.iter()));
            let mut held = rows.iter().filter(|record| record.counter() < kept.from);
            prop_assert_eq!(saved.held_bytes, bytes(&mut held));
        }
    }

    #[test]
    fn records_survive_bytes(record in any_records().prop_map(|records| records.first().copied())) {
        if let Some(record) = record {
            prop_assert_eq!(rows::decode(record.counter(), &rows::encode(&record)), record);
        }
    }
}

fn found(covers: Option<&Record>, next: Option<&Record>) -> Found {
    let next = next.map_or(Found::None, |next| Found::Next(*next));
    covers.map_or(next, |covers| Found::Covers(*covers))
}

/// Lists a range three at a time.
fn pages(mixture: &Mixture, range: Order) -> Vec<FragmentInfo> {
    let mut all: Vec<FragmentInfo> = Vec::new();
    loop {
        let page = mixture.page(range, all.last().map(|info| info.number), 3);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[test]
fn expired_rows_go_in_bounded_transactions() {
    let mixture = Mixture::new(0);
    (1..=20_000).for_each(|n| mixture.insert(record(n, n as i64, n as i64, 1)));
    assert_eq!(mixture.move_before(Lsn::MAX), Left::Nothing);
    mixture.trim(18_001);
    assert_eq!(mixture.ends().map(|(oldest, _)| oldest.counter()), Some(18_001));
    let mut transactions = 1;
    while mixture.move_before(Lsn::MAX) == Left::Expired {
        transactions += 1;
    }
    assert_eq!(transactions, 3);
    let scope = Scope { kept: Arc::default(), to: u64::MAX, longest: Millis(1) };
    assert_eq!(mixture.rows.oldest(&scope).map(|record| record.counter()), Some(18_001));
    assert_eq!(
        mixture
            .rows
            .list_by_producer((ProducerTimestamp::MIN, 0), ProducerTimestamp::MAX, 3, &scope)
            .len(),
        3
    );
}

#[test]
fn fragments_stay_in_memory_while_an_earlier_one_is_open() {
    let mixture = Mixture::new(0);
    let number = record(5, 0, 0, 0).number;
    let open = crate::store::tail::OpenFragment::new(
        number,
        ProducerTimestamp::MIN,
        FormatId(0),
        bytes::Bytes::new(),
    );
    locked(&mixture.state).open.insert(5, Arc::new(open));
    (1..=9).filter(|n| *n != 5).for_each(|n| mixture.insert(record(n, 0, 0, 1)));
    mixture.move_before(Lsn::MAX);
    assert_eq!(mixture.in_memory(), 4);
    assert_eq!(mixture.recent(|recent| recent.breaks_before(number)), Some(4));
}

#[test]
fn index_that_can_not_be_read_is_not_believed_and_goes() {
    let mixture = Mixture::new(0);
    (1..=100).for_each(|n| mixture.insert(record(n, n as i64, n as i64, 1)));
    assert_eq!(mixture.move_before(100 * 64), Left::Nothing);
    let disk = mixture.disk.kill();
    assert_eq!(mixture.move_before(Lsn::MAX), Left::Everything, "the power was cut");
    assert_eq!(mixture.in_memory(), 1, "it stays in memory");
    assert_eq!(mixture.move_before(Lsn::MAX), Left::Everything, "and does not open again");
    assert!(mixture.mover.database().failure().is_some());
    assert!(disk.take_index().is_some(), "what a later process has is left alone");
}

#[test]
fn index_without_space_leaves_fragments_in_memory_until_there_is_some() {
    let mixture = Mixture::new(0);
    (1..=100).for_each(|n| mixture.insert(record(n, n as i64, n as i64, 1)));
    assert_eq!(mixture.move_before(101 * 64), Left::Nothing);
    mixture.disk.set_faults(Faults { index_is_full: true, ..Faults::default() });
    (101..=50_000).for_each(|n| mixture.insert(record(n, n as i64, n as i64, 1)));
    for upto in [40_000 * 64, 50_001 * 64] {
        assert_eq!(mixture.move_before(upto), Left::Everything);
        assert_eq!(mixture.in_memory(), 49_900);
        assert_eq!(
            mixture.ends().map(|(oldest, newest)| newest.counter() - oldest.counter()),
            Some(49_999)
        );
    }
    mixture.disk.set_faults(Faults::default());
    assert_eq!(mixture.move_before(50_001 * 64), Left::Nothing);
    assert_eq!(mixture.in_memory(), 0);
    let everything = Order::Server { from: ServerTimestamp::MIN, to: ServerTimestamp::MAX };
    assert_eq!(mixture.page(everything, None, usize::MAX).len(), 50_000);
    assert_eq!(mixture.mover.database().failure(), None);
}
