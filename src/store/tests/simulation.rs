//! The whole store on one thread, under a schedule that a seed decides: producers of fragments and
//! of records, readers, retention, deletions, faults of the disk, crashes and damage. The same seed
//! gives the same run.
//!
//! `KINORA_SEED=17 cargo test --lib simulation` runs one seed; `KINORA_SEEDS=10000` that many.

mod model;
mod shards;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::store::check::check_on;
use crate::store::commit::Batch;
use crate::store::disk::{Disk, Faults};
use crate::store::log::prepare;
use model::Slot;
use shards::ShardSlot;

/// Seeds of a run that does not say how many.
const SEEDS: u64 = 300;
const NAMES: [&str; 3] = ["front", "back", "yard"];
const SHARDS: usize = 2;
const SEGMENT_BYTES: u64 = 32 << 10;

#[test]
fn whatever_happens_what_was_acknowledged_stays_and_nothing_else_appears() {
    for seed in seeds() {
        let run = catch_unwind(AssertUnwindSafe(|| Simulation::new(seed).run()));
        if let Err(panic) = run {
            eprintln!("seed {seed} fails; KINORA_SEED={seed} repeats it");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn same_seed_gives_the_same_run() {
    let traces = |_| (1_000..1_010).map(|seed| Simulation::new(seed).run()).collect::<Vec<_>>();
    assert_eq!(traces(1), traces(2));
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("KINORA_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KINORA_SEEDS").unwrap_or(SEEDS),
    }
}

struct Simulation {
    random: Random,
    disk: MemoryDisk,
    clock: Clock,
    slots: Vec<Slot>,
    shards: Vec<ShardSlot>,
    /// Bits that were flipped on the disk.
    flipped: usize,
    /// Whether writes were made to fail.
    failed_write: bool,
    /// Whether the disk was too small for all that came.
    was_full: bool,
    /// What the segments of the life that is running may take.
    quota: Option<u64>,
    /// Whether writing ended with an expiry that the log was not told of.
    unlogged_expiry: bool,
    /// A digest of all that was seen.
    trace: u64,
}

/// A store that is open, and the work of its commit thread.
struct Life {
    store: Store,
    work: Batch,
}

impl Life {
    /// Puts what is durable into the index's database.
    fn move_index(&self) {
        let (streams, committer) = (&self.store.streams, &self.store.committer);
        streams.mover().round(&mut &**streams, &committer.segments, committer.durable());
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let slots = NAMES.into_iter().map(Slot::new).collect();
        let shards = (0..SHARDS).map(|_| ShardSlot::new()).collect();
        let (disk, clock) = (MemoryDisk::new(), clock());
        // Reads then need no thread and no runtime.
        disk.set_cached(true);
        Self {
            random: Random(seed),
            disk,
            clock,
            slots,
            shards,
            flipped: 0,
            failed_write: false,
            was_full: false,
            quota: None,
            unlogged_expiry: false,
            trace: 0,
        }
    }

    /// Runs some lives of a store, each ended by a crash or in order; what was seen, as a digest.
    fn run(mut self) -> u64 {
        for _ in 0..2 + self.random.below(3) {
            let mut life = self.open();
            if self.random.below(3) == 0 {
                self.set_fault();
            }
            for _ in 0..self.random.below(200) {
                self.act(&mut life);
            }
            self.end(life);
        }
        let life = self.open();
        self.end(life);
        self.trace
    }

    /// Opens the store, on a disk that may fail meanwhile; then another process opens it.
    fn open(&mut self) -> Life {
        self.verify();
        let room = 6 + self.random.below(10);
        self.quota = (self.random.below(4) == 0).then_some(room * SEGMENT_BYTES);
        if self.random.below(6) == 0 {
            drop(self.disk.take_index());
            self.disk.put_index(None);
        }
        let faulty = self.random.below(8) == 0;
        if faulty {
            self.set_fault();
        }
        let opened = self.try_open();
        let (store, work, report) = opened.unwrap_or_else(|error| {
            assert!(faulty, "the store does not open: {error}");
            self.disk = self.disk.kill();
            self.try_open().expect("the store opens")
        });
        // A write that fails half-way may leave half a header, and that is damage; a crash is not.
        let sound = self.flipped == 0 && !self.failed_write;
        assert!(!sound || report.damage.is_empty(), "no damage: {:?}", report.damage);
        let excused = self.excused();
        let mut lost = 0;
        for slot in &mut self.slots {
            slot.opened(&store);
            lost += slot.check_opened(self.flipped > 0, excused);
        }
        for shard in &mut self.shards {
            shard.opened(&store, self.flipped > 0);
        }
        assert!(lost <= self.flipped, "{lost} fragments are lost by {} bits", self.flipped);
        self.note(report.fragments);
        Life { store, work }
    }

    fn try_open(&self) -> Result<(Store, Batch, OpenReport), OpenError> {
        let options = Options {
            segment_bytes: SEGMENT_BYTES,
            prepared_segments: 1,
            spare_segments: 2,
            queue_bytes: 40_000,
            quota: self.quota,
            // Little stays in memory, and nothing but the schedule moves it.
            index_recent: 8,
            index_batch: usize::MAX,
            record_cache_bytes: 60_000,
            ..Options::default()
        };
        // Nothing is to depend on how fast this machine is.
        let patience = Duration::ZERO;
        let limits = Limits { prewrite_below: u64::MAX, patience, ..options.limits() };
        let disk = Arc::new(self.disk.clone());
        assert!(disk.lock().expect("the disk works"), "nobody else has it");
        Store::open_idle(disk, options, limits, self.clock.clone())
    }

    /// What `kinora check` says of a store that crashed: no damage, or that which is there; and a
    /// repair leaves a store in which all that is whole is found.
    fn verify(&mut self) {
        let excused = self.excused() || self.failed_write;
        let repair = self.flipped > 0 && self.random.below(2) == 0;
        let report = check_on(&self.disk, repair, &mut |_| {}).expect("it can be checked");
        assert!(excused || report.damage.is_empty(), "no damage: {:?}", report.damage);
        if repair {
            let report = check_on(&self.disk, false, &mut |_| {}).expect("it can be checked");
            assert_eq!(report.damage, [], "{:?}", report.notes);
        }
        self.note(report.fragments);
    }

    /// Whether fragments may be missing between others: damage took them, or they expired. On a disk
    /// that is full or fails, expired segments are freed though the expiry is not in the log; after a
    /// crash what else had expired is back, with gaps.
    fn excused(&self) -> bool {
        self.flipped > 0 || self.was_full || self.unlogged_expiry
    }

    fn set_fault(&mut self) {
        let (after, space) = (self.random.below(80), 2 + self.random.below(6));
        let faults = match self.random.below(3) {
            0 => Faults { fail_write_after: Some(after), ..Faults::default() },
            1 => Faults { fail_sync_after: Some(after), ..Faults::default() },
            _ => Faults { capacity: Some(space * SEGMENT_BYTES), ..Faults::default() },
        };
        let faults = Faults { index_is_full: self.random.below(6) == 0, ..faults };
        self.failed_write |= faults.fail_write_after.is_some();
        self.was_full |= faults.capacity.is_some();
        self.disk.set_faults(faults);
    }

    /// One thing that somebody does.
    fn act(&mut self, life: &mut Life) {
        if self.random.below(3) == 0 {
            return self.act_on_shard(life);
        }
        let which = self.random.below(NAMES.len() as u64) as usize;
        let excused = self.excused();
        let (random, slot) = (&mut self.random, &mut self.slots[which]);
        match random.below(100) {
            0..20 => slot.begin(random, self.clock.now()),
            20..40 => slot.push(random),
            40..55 => slot.finish(random, &life.store),
            55..58 => slot.give_up(random),
            58..72 => {
                self.commit(life);
            }
            72..75 => drop(prepare::step(&life.store.committer.segments)),
            75..88 => slot.read(random, self.flipped > 0),
            88..91 => slot.check(excused),
            91..94 => self.clock.advance(Millis(random.below(20 * 60_000))),
            94..96 => life.move_index(),
            96..98 => self.retain(life),
            98 => match random.below(3) {
                0 => slot.set_retention(&life.store, 1 + random.below(2) as u32),
                1 => slot.set_most(&life.store, (random.below(2) * 5 * SEGMENT_BYTES).into()),
                _ => slot.set_pin(random, &life.store),
            },
            _ if random.below(4) == 0 => slot.delete(&life.store),
            _ => {}
        }
    }

    /// One thing that somebody does with records.
    fn act_on_shard(&mut self, life: &mut Life) {
        let which = self.random.below(SHARDS as u64) as usize;
        let damaged = self.flipped > 0;
        let (random, shard) = (&mut self.random, &mut self.shards[which]);
        match random.below(100) {
            0..45 => shard.append(random, &life.store),
            45..60 => {
                self.commit(life);
            }
            60..85 => shard.read(random, damaged),
            85..95 => shard.check(damaged),
            95..98 => shard.set_retention(&life.store, 1 + random.below(2) as u32),
            98 => shard.delete(&life.store),
            _ => {}
        }
    }

    /// What the commit thread does when it gets its turn.
    fn commit(&mut self, life: &mut Life) -> bool {
        let worked = life.work.step();
        let mut seen = 0;
        for slot in &mut self.slots {
            seen += slot.take_outcomes(&life.store);
        }
        for shard in &mut self.shards {
            seen = seen.wrapping_add(shard.take_outcomes(&life.store));
        }
        self.note(seen);
        worked
    }

    /// Retention waits for the commit thread, so it runs on a thread of its own, and only ever one
    /// of the two has something to do.
    fn retain(&mut self, life: &mut Life) {
        while self.commit(life) {}
        let now = self.clock.now();
        for slot in &mut self.slots {
            slot.expire(now);
        }
        self.shards.iter_mut().for_each(|shard| shard.expire(now));
        std::thread::scope(|scope| {
            let store = &life.store;
            let retention = scope.spawn(|| {
                store.enforce_retention();
                store.empty_segments();
            });
            while !retention.is_finished() {
                if !life.work.step() {
                    std::thread::yield_now();
                }
            }
        });
        while self.commit(life) {}
        if life.store.space().evicted > 0 {
            self.evicted();
        }
        self.unlogged_expiry |= life.store.poisoned().is_some();
        self.note(life.store.used_bytes());
    }

    /// The quota took fragments: none that is younger than one that is there, and no pinned one.
    fn evicted(&mut self) {
        // What damage took of a shard is not told from what went.
        let sound = self.flipped == 0;
        let records = self.shards.iter_mut().filter_map(ShardSlot::evicted).filter(|_| sound);
        let gone = self.slots.iter_mut().filter_map(Slot::evicted).chain(records).max();
        let records = self.shards.iter().filter_map(ShardSlot::oldest);
        let oldest = self.slots.iter().filter_map(Slot::oldest_unpinned).chain(records).min();
        let is_older = gone.is_none() || oldest.is_none() || gone < oldest;
        // What damage took need not be.
        assert!(is_older || self.flipped > 0, "{gone:?} {oldest:?}");
    }

    /// Ends a life: in order, or by the end of the process or of the power. Damages something
    /// after an end in order, where it can be told from what a crash leaves.
    fn end(&mut self, mut life: Life) {
        let excused = self.excused();
        for slot in &mut self.slots {
            slot.check(excused);
        }
        self.shards.iter().for_each(|shard| shard.check(self.flipped > 0));
        let kind = self.random.below(4);
        if kind == 0 && life.store.poisoned().is_none() {
            self.slots.iter_mut().for_each(Slot::let_go);
            while self.commit(&mut life) {}
            self.shards.iter_mut().for_each(ShardSlot::let_go);
            life.store.close();
            life.work.finish();
            drop(life.store);
            self.disk.set_faults(Faults::default());
            if self.random.below(3) == 0 {
                self.flip_a_bit();
            }
            return;
        }
        let random = &mut self.random;
        let disk = match kind {
            1 => self.disk.kill(),
            _ => self.disk.crash(|| random.below(2) == 0),
        };
        self.slots.iter_mut().for_each(Slot::crashed);
        self.shards.iter_mut().for_each(ShardSlot::crashed);
        drop(life);
        self.disk = disk;
    }

    fn flip_a_bit(&mut self) {
        let files = self.disk.files();
        if files.is_empty() {
            return;
        }
        let (name, len) = &files[self.random.below(files.len() as u64) as usize];
        self.disk.flip_bit(name, self.random.below(*len as u64) as usize);
        self.flipped += 1;
    }

    fn note(&mut self, seen: u64) {
        self.trace = self.trace.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seen;
    }
}

/// What a future has by now.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}
