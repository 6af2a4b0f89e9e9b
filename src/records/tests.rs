//! Record streams as their callers see them, on a disk in memory.

mod streams;

use std::sync::Arc;

use super::*;
use crate::store::disk::MemoryDisk;
use crate::store::{self, Distribution};
use crate::types::{ServerTimestamp, StreamName};

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
        let (disk, clock) = (MemoryDisk::new(), Clock::simulated(at(1_700_000_000_000)));
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

    fn create(&self, stream: &str, shards: Option<u32>) -> StreamName {
        let new = new_stream(stream, shards);
        self.streams.create(new).expect("it is created").name.clone()
    }
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
