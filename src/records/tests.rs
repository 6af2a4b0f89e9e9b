//! Record streams as their callers see them, on a disk in memory.

mod backlog;
mod dedupe;
mod model;
mod put;
mod read;
mod streams;
mod subscribe;

use std::sync::Arc;

use super::*;
use crate::store::disk::MemoryDisk;
use crate::store::{self, Distribution};
use crate::types::{HashKey, ServerTimestamp, ShardId, StreamName};

/// A server's record streams, which a test can restart.
struct Server {
    disk: MemoryDisk,
    clock: Clock,
    options: Options,
    streams: Arc<RecordStreams>,
}

impl Server {
    fn new() -> Self {
        Self::with(Options { shard_limits: ShardLimits::Off, ..Options::default() })
    }

    fn with(options: Options) -> Self {
        Self::with_clock(options, Clock::simulated(at(1_700_000_000_000)))
    }

    fn with_clock(options: Options, clock: Clock) -> Self {
        let disk = MemoryDisk::new();
        let streams = open(&disk, &clock, &options);
        Self { disk, clock, options, streams }
    }

    /// The same after an orderly end and a new start.
    fn restart(self) -> Self {
        let Self { disk, clock, options, streams } = self;
        drop(streams);
        let streams = open(&disk, &clock, &options);
        Self { disk, clock, options, streams }
    }

    /// The same after a crash. Of what was not synced, sectors survive as the bits of `luck` decide.
    fn crash(self, mut luck: u64) -> Self {
        let Self { disk, clock, options, streams } = self;
        let disk = disk.crash(|| {
            luck = luck.rotate_left(1);
            luck & 1 == 1
        });
        drop(streams);
        let streams = open(&disk, &clock, &options);
        Self { disk, clock, options, streams }
    }

    fn create(&self, stream: &str, shards: Option<u32>) -> StreamName {
        let new = new_stream(stream, shards);
        self.streams.create(new).expect("it is created").name.clone()
    }

    /// Does what blocks, beside the tasks.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RecordStreams) -> T + Send + 'static,
    ) -> T {
        let streams = self.streams.clone();
        tokio::task::spawn_blocking(move || work(&streams)).await.expect("no panic")
    }

    async fn split(&self, stream: &StreamName, shard: u32, at: u128) {
        let stream = stream.clone();
        let split =
            move |streams: &RecordStreams| streams.split(&stream, ShardId(shard), HashKey(at));
        self.blocking(split).await.expect("it is split");
    }

    async fn merge(&self, stream: &StreamName, shard: u32, adjacent: u32) {
        let (stream, shards) = (stream.clone(), [shard, adjacent].map(ShardId));
        let merge = move |streams: &RecordStreams| streams.merge(&stream, shards[0], shards[1]);
        self.blocking(merge).await.expect("they are merged");
    }

    /// Puts one record, which goes where `hash` says.
    async fn put(&self, stream: &StreamName, hash: u128, data: &str) -> Placed {
        let record = Payload { hash: Some(HashKey(hash)), ..record("key", data) };
        self.streams.put_one(stream, record, None).await.expect("it is stored")
    }

    fn iterator(&self, stream: &StreamName, shard: u32, from: StartingPosition) -> ShardIterator {
        self.streams.iterator(stream, ShardId(shard), from).expect("an iterator")
    }

    async fn read(&self, at: ShardIterator) -> Batch {
        self.streams.read(at, 10_000).await.expect("it is read")
    }

    /// What a shard has.
    async fn all(&self, stream: &StreamName, shard: u32) -> Vec<String> {
        texts(&self.read(self.iterator(stream, shard, StartingPosition::TrimHorizon)).await.records)
    }
}

fn record(key: &str, data: &str) -> Payload {
    Payload {
        partition_key: PartitionKey::new(key),
        hash: None,
        dedupe: None,
        data: data.as_bytes().to_vec().into(),
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.data).into_owned()).collect()
}

fn open(disk: &MemoryDisk, clock: &Clock, options: &Options) -> Arc<RecordStreams> {
    let small =
        store::Options { segment_bytes: 64 << 10, prepared_segments: 1, ..Default::default() };
    let opened = Store::open_on(Arc::new(disk.clone()), small, clock.clone());
    let (store, _) = opened.expect("the store opens");
    Arc::new(RecordStreams::new(Arc::new(store), clock.clone(), options.clone()))
}

fn new_stream(name: &str, shards: Option<u32>) -> NewRecordStream {
    NewRecordStream {
        name: name.parse().expect("a name"),
        shards,
        tags: Default::default(),
        max_record_kib: 1024,
        warm_mibps: None,
        distribution: Distribution::PartitionKey,
    }
}

fn at(millis: i64) -> ServerTimestamp {
    ServerTimestamp::from_millis(millis)
}
