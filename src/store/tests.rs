//! The store as its callers see it, on a disk in memory that crashes and fails.

mod catalog;
mod check;
mod check_records;
mod crash;
mod documents;
mod faults;
mod index;
mod live;
mod numbers;
mod pins;
mod records;
mod retention;
mod simulation;
mod space;
mod twins;

use std::sync::Arc;

use bytes::Bytes;

use super::disk::MemoryDisk;
use super::*;
use crate::types::{Arn, ProducerTimestamp, ServerTimestamp};

/// Small segments, so that a test crosses many; and most fragments soon leave the memory part of
/// the index.
fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        prepared_segments: 1,
        index_batch: 4,
        index_recent: 2,
        ..Options::default()
    }
}

fn clock() -> Clock {
    Clock::simulated(ServerTimestamp::from_millis(1_700_000_000_000))
}

fn open(disk: &MemoryDisk, clock: &Clock) -> (Store, OpenReport) {
    Store::open_on(Arc::new(disk.clone()), options(), clock.clone()).expect("the store opens")
}

fn new_stream(name: &str, retention_hours: u32) -> NewStream {
    NewStream {
        arn: Arn {
            region: "us-east-1".into(),
            account: "000000000000".into(),
            name: name.parse().expect("a valid name"),
            created_ms: 1,
        },
        device_name: None,
        media_type: None,
        kms_key_id: None,
        retention_hours,
        tags: Default::default(),
    }
}

/// The stream of that name, created with a day's retention if it is new.
fn stream(store: &Store, name: &str) -> Arc<MediaStream> {
    let known = store.catalog().by_name(&name.parse().expect("a valid name"));
    let info = known.unwrap_or_else(|| {
        store.catalog().create(new_stream(name, 24)).expect("the stream is created")
    });
    store.media(info.id).expect("a live stream has media")
}

fn at(millis: i64) -> ProducerTimestamp {
    ProducerTimestamp::from_millis(millis)
}

const HEAD: &[u8] = b"head of a file";
const FORMAT: FormatId = FormatId(1);

/// Begins a fragment and pushes its cluster in two pieces, and a trailer.
fn write(stream: &Arc<MediaStream>, producer: i64, cluster: &[u8]) -> FragmentWriter {
    let mut writer = stream.begin(Bytes::from_static(HEAD), at(producer), FORMAT);
    let (first, second) = cluster.split_at(cluster.len() / 2);
    writer.push(Bytes::copy_from_slice(first));
    writer.push(Bytes::copy_from_slice(second));
    writer.push_trailer(Bytes::from_static(b"tags"));
    writer
}

async fn persist(
    stream: &Arc<MediaStream>,
    producer: i64,
    cluster: &[u8],
) -> Result<FragmentInfo, PersistError> {
    write(stream, producer, cluster).finish(Millis(1_000)).await
}

/// The chunk that [`write`] makes.
fn chunk(cluster: &[u8]) -> Vec<u8> {
    [HEAD, cluster, b"tags"].concat()
}

/// Everything behind the head, read to its end.
async fn read_rest(reader: &mut FragmentReader) -> Result<Vec<u8>, TornFragment> {
    let mut all = Vec::new();
    while let Some(piece) = reader.next_piece().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

fn all_by_producer(stream: &MediaStream) -> Vec<FragmentInfo> {
    let range = Order::Producer { from: ProducerTimestamp::MIN, to: ProducerTimestamp::MAX };
    stream.list(range, None, usize::MAX)
}

fn all_by_server(stream: &MediaStream) -> Vec<FragmentInfo> {
    let range = Order::Server { from: ServerTimestamp::MIN, to: ServerTimestamp::MAX };
    stream.list(range, None, usize::MAX)
}

/// What a stream shows to its callers.
fn view(stream: &MediaStream) -> [Vec<FragmentInfo>; 3] {
    [all_by_producer(stream), all_by_server(stream), stream.newest(usize::MAX)]
}

/// A small generator of the same numbers for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
