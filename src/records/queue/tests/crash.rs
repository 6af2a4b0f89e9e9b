//! What a queue promised survives when the power is cut at any moment.

use std::collections::BTreeMap;

use super::*;
use crate::store::disk::Faults;

/// What the queue told its receivers of a record.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The largest receive count of an answer since the last restore.
    receives: u32,
    /// Until when it was said to be hidden.
    hidden_until: Option<ServerTimestamp>,
    acknowledged: bool,
    /// A change failed, or was asked for when the power was cut: it may have happened or not.
    unsure: bool,
}

/// A small generator of the same numbers for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

struct Run {
    random: Random,
    clock: Clock,
    key: String,
    next: u64,
    told: BTreeMap<u64, Told>,
    /// Receipts since the last start, with the record's number and whether it is a dead letter.
    receipts: Vec<(u64, String, Kind)>,
}

#[tokio::test]
async fn nothing_acknowledged_comes_again_and_counts_survive_crashes() {
    let mut crashes = 0;
    for seed in 0..50 {
        // Printed only when the test fails.
        println!("seed {seed}");
        let (mut disk, clock) = (MemoryDisk::new(), clock());
        let key = {
            let (store, queues) = open(&disk, &clock);
            create_stream(&store, "faces", CapacityMode::OnDemand, 2);
            create(&queues, new_queue("alerts", "faces", QueueStart::TrimHorizon))
        };
        let (random, told) = (Random(seed), BTreeMap::new());
        let mut run = Run { random, clock, key, next: 0, told, receipts: Vec::new() };
        for _ in 0..4 {
            let (store, queues) = open(&disk, &run.clock);
            run.work(&disk, &store, &queues).await;
            disk = match run.random.below(3) {
                0 => disk.kill(),
                _ => disk.crash(|| run.random.below(2) == 0),
            };
            crashes += 1;
            run.receipts.clear();
        }
        let (_store, queues) = open(&disk, &run.clock);
        run.drain(&queues).await;
    }
    assert_eq!(crashes, 200);
}

impl Run {
    async fn work(&mut self, disk: &MemoryDisk, store: &Store, queues: &Queues) {
        let after = Some(self.random.below(40));
        match self.random.below(3) {
            0 => disk.set_faults(Faults { fail_write_after: after, ..Faults::default() }),
            1 => disk.set_faults(Faults { fail_sync_after: after, ..Faults::default() }),
            _ => {}
        }
        let logs = shards(store, "faces");
        for _ in 0..self.random.below(40) {
            match self.random.below(8) {
                0 | 1 => self.put(&logs).await,
                2 | 3 => self.receive(queues, Kind::Live).await,
                4 => self.receive(queues, Kind::Dead).await,
                5 => self.acknowledge(queues).await,
                6 => self.restore(queues).await,
                _ => self.clock.advance(Millis(self.random.below(40_000))),
            }
        }
    }

    async fn put(&mut self, logs: &[Arc<ShardLog>]) {
        let log = &logs[self.random.below(2) as usize];
        let numbers = self.next..self.next + self.random.below(6);
        self.next = numbers.end;
        let Ok(append) = log.append(numbers.clone().map(record).collect()) else { return };
        if append.await.is_ok() {
            self.told.extend(numbers.map(|number| (number, Told::default())));
        }
    }

    async fn receive(&mut self, queues: &Queues, kind: Kind) {
        let limit = 1 + self.random.below(5) as usize;
        let request = Receive { limit, ..at_once(kind) };
        let now = self.clock.now();
        let Ok(records) = queues.receive(&self.key, request).await else { return };
        for record in records {
            let number = numbers(std::slice::from_ref(&record))[0];
            // What was not told to be durable may be there all the same.
            let told = self.told.entry(number).or_default();
            told.check(&record, now);
            told.receives = record.receive_count;
            told.hidden_until = Some(now.plus(Millis(30_000)));
            told.unsure = false;
            self.receipts.push((number, record.receipt_handle, kind));
        }
    }

    async fn acknowledge(&mut self, queues: &Queues) {
        let Some((number, handle, kind)) = self.some_receipt() else { return };
        let outcome = queues.acknowledge(&self.key, kind, &[handle]).await;
        let told = self.told.entry(number).or_default();
        match outcome.as_deref() {
            Ok([Ok(())]) => told.acknowledged = true,
            Ok([Err(EntryError::NotStored(_))]) | Err(_) => told.unsure = true,
            _ => {}
        }
    }

    async fn restore(&mut self, queues: &Queues) {
        let Some((number, handle, _)) = self.some_receipt() else { return };
        let outcome = queues.restore(&self.key, &[handle]).await;
        let told = self.told.entry(number).or_default();
        match outcome.as_deref() {
            Ok([Ok(())]) => *told = Told::default(),
            Ok([Err(EntryError::NotStored(_))]) | Err(_) => told.unsure = true,
            _ => {}
        }
    }

    fn some_receipt(&mut self) -> Option<(u64, String, Kind)> {
        let count = self.receipts.len() as u64;
        (count > 0).then(|| self.receipts[self.random.below(count) as usize].clone())
    }

    /// All that was put and not acknowledged comes, as a record or as a dead letter.
    async fn drain(&mut self, queues: &Queues) {
        self.clock.advance(Millis(30_000));
        let mut come = Vec::new();
        for kind in [Kind::Live, Kind::Dead] {
            loop {
                let received = receive(queues, &self.key, kind).await;
                if received.is_empty() {
                    break;
                }
                come.extend(numbers(&received));
            }
        }
        let mut distinct = come.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), come.len(), "none comes twice within its visibility timeout");
        for (number, told) in &self.told {
            let comes = come.contains(number);
            assert!(!(told.acknowledged && comes), "{number} was acknowledged: {told:?}");
            assert!(told.acknowledged || told.unsure || comes, "{number} is lost: {told:?}");
        }
    }
}

impl Told {
    fn check(&self, record: &QueueRecord, now: ServerTimestamp) {
        assert!(!self.acknowledged, "{record:?} was acknowledged");
        if self.unsure {
            return;
        }
        let hidden = self.hidden_until.is_some_and(|until| now < until);
        assert!(!hidden, "{record:?} is hidden: {self:?}");
        assert!(record.receive_count > self.receives, "{record:?} was counted: {self:?}");
    }
}
