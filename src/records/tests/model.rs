//! Random puts, retries, reads, reshards, restarts and crashes against a simple model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::records::dedupe::DedupeKey;

/// One step of a stream's life.
#[derive(Clone, Debug)]
enum Step {
    /// Puts records with these keys.
    Put(Vec<u8>),
    Split(u8),
    Merge(u8),
    Scale(u8),
    /// Readers read so many records each.
    Read(usize),
    Advance(u16),
    Retain,
    Restart,
    /// The power goes; of what was not synced, sectors survive as this decides.
    Crash(u64),
    /// A producer puts its last records again, under the same names.
    Retry,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec(any::<u8>(), 1..12).prop_map(Step::Put),
        1 => any::<u8>().prop_map(Step::Split),
        1 => any::<u8>().prop_map(Step::Merge),
        1 => (1u8..8).prop_map(Step::Scale),
        3 => (1usize..20).prop_map(Step::Read),
        1 => any::<u16>().prop_map(Step::Advance),
        1 => Just(Step::Retain),
        1 => Just(Step::Restart),
        1 => any::<u64>().prop_map(Step::Crash),
        2 => Just(Step::Retry),
    ]
}

/// What a correct service would hold: each key's records in the order of their puts.
#[derive(Default)]
struct Model {
    puts: BTreeMap<String, Vec<String>>,
    count: u32,
    last: Option<LastPut>,
}

/// What a producer put last.
struct LastPut {
    at: ServerTimestamp,
    records: Vec<Payload>,
    placed: Vec<Placed>,
}

impl Model {
    async fn put(&mut self, server: &Server, stream: &StreamName, keys: &[u8]) {
        let records: Vec<_> = keys
            .iter()
            .map(|key| {
                self.count += 1;
                let (key, data) = (format!("key-{}", key % 16), self.count.to_string());
                self.puts.entry(key.clone()).or_default().push(data.clone());
                let dedupe = Some(DedupeKey::new(data.as_bytes()));
                Payload { dedupe, ..record(&key, &data) }
            })
            .collect();
        let placed = put_all(server, stream, &records).await;
        self.last = Some(LastPut { at: server.clock.now(), records, placed });
    }

    async fn retry(&self, server: &Server, stream: &StreamName) {
        let Some(LastPut { at, records, placed }) = &self.last else { return };
        if server.clock.now().since(*at) < server.options.dedupe_window {
            assert_eq!(put_all(server, stream, records).await, *placed, "stored once");
        }
    }
}

async fn put_all(server: &Server, stream: &StreamName, records: &[Payload]) -> Vec<Placed> {
    let placed = server.streams.put(stream, records.to_vec()).await.expect("they are put");
    placed.into_iter().map(|placed| placed.expect("each is stored")).collect()
}

/// Reads as a consumer library does: a shard after all of its parents, to its end.
#[derive(Default)]
struct Reader {
    /// Where it stands in each shard that it has begun; `None` at the end.
    at: BTreeMap<ShardId, Option<ShardIterator>>,
    read: BTreeMap<String, Vec<String>>,
    last: BTreeMap<ShardId, SequenceNumber>,
}

impl Reader {
    async fn step(&mut self, server: &Server, stream: &StreamName, limit: usize) {
        let info = server.streams.info(stream).expect("it exists");
        for shard in &info.shards {
            let ended = |parent: &ShardId| self.at.get(parent) == Some(&None);
            if !self.at.contains_key(&shard.id) && shard.parents.iter().all(ended) {
                let start = server.iterator(stream, shard.id.0, StartingPosition::TrimHorizon);
                self.at.insert(shard.id, Some(start));
            }
        }
        for (shard, at) in &mut self.at {
            let Some(iterator) = at else { continue };
            let batch = server.streams.read(*iterator, limit).await.expect("it is read");
            assert!(batch.records.len() <= limit);
            assert_eq!(batch.next.is_none(), !batch.children.is_empty());
            for record in &batch.records {
                let before = self.last.insert(*shard, record.sequence);
                assert!(before.is_none_or(|before| before < record.sequence), "numbers grow");
                let key = record.partition_key.as_ref().expect("a key").as_str().to_owned();
                self.read.entry(key).or_default().extend(texts(std::slice::from_ref(record)));
            }
            *at = batch.next;
        }
    }

    /// Iterators die with time, so a reader keeps numbers.
    fn renew(&mut self, server: &Server, stream: &StreamName) {
        for (shard, at) in &mut self.at {
            if at.is_some() {
                let from = self.last.get(shard);
                let from = from
                    .map_or(StartingPosition::TrimHorizon, |last| StartingPosition::After(*last));
                *at = Some(server.iterator(stream, shard.0, from));
            }
        }
    }
}

async fn reshard(server: &Server, stream: &StreamName, step: &Step) {
    let info = server.streams.info(stream).expect("it exists");
    let mut open: Vec<_> = info.open_shards().cloned().collect();
    open.sort_by_key(|shard| shard.range.start);
    let name = stream.clone();
    match *step {
        Step::Split(pick) => {
            let shard = &open[usize::from(pick) % open.len()];
            let half = shard.range.start.0 + (shard.range.end.0 - shard.range.start.0) / 2;
            if half > shard.range.start.0 + 1 {
                server.split(stream, shard.id.0, half).await;
            }
        }
        Step::Merge(pick) if open.len() > 1 => {
            let at = usize::from(pick) % (open.len() - 1);
            server.merge(stream, open[at].id.0, open[at + 1].id.0).await;
        }
        Step::Scale(to) => {
            // Refused when it is too far or too often.
            drop(server.blocking(move |streams| streams.scale(&name, u32::from(to))).await);
        }
        _ => {}
    }
}

async fn run(steps: Vec<Step>) {
    let options =
        Options { read_wait: Millis(0), shard_limits: ShardLimits::Off, ..Options::default() };
    let mut server = Server::with(options);
    let stream = server.create("orders", Some(2));
    let (mut model, mut reader) = (Model::default(), Reader::default());
    for step in steps {
        match step {
            Step::Put(keys) => model.put(&server, &stream, &keys).await,
            Step::Retry => model.retry(&server, &stream).await,
            Step::Crash(luck) => server = server.crash(luck),
            Step::Read(limit) => reader.step(&server, &stream, limit).await,
            Step::Advance(millis) => {
                server.clock.advance(Millis(u64::from(millis)));
                reader.renew(&server, &stream);
            }
            Step::Retain => server.blocking(|streams| streams.store.enforce_retention()).await,
            Step::Restart => server = server.restart(),
            step => reshard(&server, &stream, &step).await,
        }
    }
    reader.renew(&server, &stream);
    // One round for each generation of shards, and one more.
    let rounds = server.streams.info(&stream).expect("it exists").shards.len() + 1;
    for _ in 0..rounds {
        reader.step(&server, &stream, 10_000).await;
    }
    assert_eq!(reader.read, model.puts, "each key's records, once and in order");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..Default::default() })]
    #[test]
    fn each_keys_records_are_read_once_and_in_order_over_reshards_and_restarts(
        steps in proptest::collection::vec(any_step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(run(steps));
    }
}
