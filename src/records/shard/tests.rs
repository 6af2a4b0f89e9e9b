use proptest::prelude::*;

use super::*;
use crate::store::{CapacityMode, Distribution};

fn at(seconds: i64) -> ServerTimestamp {
    ServerTimestamp::from_millis(seconds * 1000)
}

fn change<T>(
    stream: &mut RecordStreamInfo,
    seconds: i64,
    change: impl FnOnce(&mut Reshard<'_>) -> T,
) -> T {
    let mut logs = 100 + stream.next_shard;
    let mut new_log = || {
        logs += 1;
        StreamId(logs)
    };
    let end_of = |log: StreamId| u64::from(log.0);
    change(&mut Reshard { stream, now: at(seconds), new_log: &mut new_log, end_of: &end_of })
}

fn stream(shards: u32) -> RecordStreamInfo {
    let mut stream = RecordStreamInfo {
        id: StreamId(1),
        name: "orders".parse().expect("a name"),
        created: at(0),
        mode: CapacityMode::Provisioned,
        retention_hours: 24,
        max_record_kib: 1024,
        warm_mibps: None,
        distribution: Distribution::PartitionKey,
        shard_metrics: Default::default(),
        tags: Default::default(),
        policy: None,
        consumers: Vec::new(),
        shards: Vec::new(),
        next_shard: 0,
        scalings: Vec::new(),
        mode_changes: Vec::new(),
    };
    change(&mut stream, 0, |reshard| reshard.begin(shards));
    stream
}

fn open_ranges(stream: &RecordStreamInfo) -> Vec<HashRange> {
    let mut ranges: Vec<_> = stream.open_shards().map(|shard| shard.range).collect();
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// Every hash key belongs to exactly one open shard, and each shard to a sound lineage.
fn check(stream: &RecordStreamInfo) {
    let ranges = open_ranges(stream);
    assert_eq!(ranges.first().map(|range| range.start), Some(HashKey(0)));
    assert_eq!(ranges.last().map(|range| range.end), Some(HashKey::MAX));
    assert!(ranges.windows(2).all(|pair| pair[0].touches(&pair[1])), "{ranges:?}");
    for shard in &stream.shards {
        let children = children(stream, shard.id).collect::<Vec<_>>();
        assert_eq!(children.is_empty(), shard.closed.is_none(), "{shard:?}");
        assert!(children.len() <= 2 && shard.parents.len() <= 2);
        for child in children {
            assert!(child.id > shard.id && child.epoch > shard.epoch);
            assert_eq!(shard.closed.map(|closed| closed.at), Some(child.created));
        }
    }
}

#[test]
fn partition_keys_fall_where_aws_puts_them() {
    let vectors = [
        ("a", 16_955_237_001_963_240_173_058_271_559_858_726_497),
        ("partitionKey-1", 159_499_196_025_307_651_934_328_298_402_289_840_726),
        ("é", 136_732_923_097_551_493_579_404_309_126_273_812_335),
    ];
    for (key, hash) in vectors {
        assert_eq!(hash_of(key), HashKey(hash), "{key}");
    }
}

#[test]
fn four_shards_have_the_bounds_of_aws() {
    let starts: Vec<_> = uniform_ranges(4).iter().map(|range| range.start.to_string()).collect();
    assert_eq!(
        starts,
        [
            "0",
            "85070591730234615865843651857942052864",
            "170141183460469231731687303715884105728",
            "255211775190703847597530955573826158592",
        ]
    );
    assert_eq!(uniform_ranges(1), [HashRange::ALL]);
    let thirds = uniform_ranges(3);
    assert_eq!(thirds[1].start, HashKey(u128::MAX / 3));
    assert_eq!(thirds[2].end, HashKey::MAX);
}

#[test]
fn split_closes_the_parent_and_names_it_in_both_children() {
    let mut stream = stream(2);
    let middle = HashKey(1 << 126);
    change(&mut stream, 0, |reshard| reshard.split(ShardId(0), middle)).expect("it is split");
    check(&stream);
    let [parent, _, lower, upper] = &stream.shards[..] else { panic!("four shards") };
    assert_eq!(parent.closed, Some(Closed { at: at(0), end: u64::from(parent.log.0) }));
    assert_eq!((lower.id, upper.id), (ShardId(2), ShardId(3)));
    assert_eq!((&lower.parents, &upper.parents), (&vec![ShardId(0)], &vec![ShardId(0)]));
    assert_eq!((lower.range.start, upper.range.start), (HashKey(0), middle));
    assert_eq!(lower.epoch, 1, "later than its parent, though in the same second");
    let again = change(&mut stream, 1, |reshard| reshard.split(ShardId(0), middle));
    assert_eq!(again, Err(ReshardError::Closed(ShardId(0))));
}

#[test]
fn split_at_the_edge_of_a_shard_is_refused() {
    let mut stream = stream(1);
    for key in [0, 1, u128::MAX] {
        let result = change(&mut stream, 1, |reshard| reshard.split(ShardId(0), HashKey(key)));
        assert!(matches!(result, Err(ReshardError::SplitOutside { .. })), "{key}");
    }
    let missing = change(&mut stream, 1, |reshard| reshard.split(ShardId(9), HashKey(5)));
    assert_eq!(missing, Err(ReshardError::NoSuchShard(ShardId(9))));
}

#[test]
fn merge_joins_neighbours_and_nothing_else() {
    let mut stream = stream(3);
    let far = change(&mut stream, 1, |reshard| reshard.merge(ShardId(0), ShardId(2)));
    assert_eq!(far, Err(ReshardError::NotAdjacent(ShardId(0), ShardId(2))));
    let same = change(&mut stream, 1, |reshard| reshard.merge(ShardId(0), ShardId(0)));
    assert_eq!(same, Err(ReshardError::NotAdjacent(ShardId(0), ShardId(0))));
    change(&mut stream, 1, |reshard| reshard.merge(ShardId(1), ShardId(0))).expect("they touch");
    check(&stream);
    let merged = stream.shards.last().expect("a new shard");
    assert_eq!(merged.parents, [ShardId(1), ShardId(0)]);
    assert_eq!(merged.range.start, HashKey(0));
}

#[test]
fn doubling_splits_each_shard_once() {
    let mut stream = stream(4);
    change(&mut stream, 5, |reshard| reshard.scale(8));
    check(&stream);
    assert_eq!(stream.shards.len(), 12);
    change(&mut stream, 6, |reshard| reshard.scale(4));
    check(&stream);
    assert_eq!(stream.shards.len(), 16);
}

#[test]
fn filters_choose_shards_by_when_they_took_records() {
    let mut stream = stream(1);
    let hour = 3600;
    change(&mut stream, hour, |reshard| reshard.split(ShardId(0), HashKey(5))).expect("split");
    change(&mut stream, 2 * hour, |reshard| reshard.merge(ShardId(1), ShardId(2))).expect("merge");
    let listed = |filter, hours| {
        let listed = stream.shards.iter();
        let listed = listed.filter(|shard| is_listed(&stream, shard, filter, at(hours * hour)));
        listed.map(|shard| shard.id.0).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 3), [0, 1, 2, 3]);
    assert_eq!(listed(Some(ShardFilter::AtLatest), 3), [3]);
    assert_eq!(listed(Some(ShardFilter::AtTrimHorizon), 3), [0]);
    assert_eq!(listed(Some(ShardFilter::FromTrimHorizon), 3), [0, 1, 2, 3]);
    assert_eq!(listed(Some(ShardFilter::AtTimestamp(at(hour))), 3), [1, 2]);
    assert_eq!(listed(Some(ShardFilter::AtTimestamp(at(hour - 1))), 3), [0]);
    assert_eq!(listed(Some(ShardFilter::AtTimestamp(at(-9))), 3), [0], "as at the trim horizon");
    assert_eq!(listed(Some(ShardFilter::FromTimestamp(at(hour))), 3), [1, 2, 3]);
    assert_eq!(listed(Some(ShardFilter::After(ShardId(1))), 3), [2, 3]);
    // A day and a half later, what the first three held has expired.
    assert_eq!(listed(None, 25), [0, 1, 2, 3]);
    assert_eq!(listed(None, 36), [3]);
    assert_eq!(listed(Some(ShardFilter::AtTrimHorizon), 36), [3]);
}

proptest! {
    #[test]
    fn uniform_ranges_cover_every_key_once(count in 1u32..500) {
        let ranges = uniform_ranges(count);
        prop_assert_eq!(ranges.len(), count as usize);
        prop_assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (HashKey(0), HashKey::MAX));
        prop_assert!(ranges.windows(2).all(|pair| pair[0].touches(&pair[1])));
    }

    #[test]
    fn any_changes_leave_every_key_to_one_open_shard(
        first in 1u32..6,
        changes in proptest::collection::vec((0u8..3, any::<u32>(), any::<u128>(), 1u32..20), 0..12)
    ) {
        let mut stream = stream(first);
        for (seconds, (kind, pick, key, count)) in (0..).zip(changes) {
            change(&mut stream, seconds / 3, |reshard| {
                let open: Vec<_> = reshard.stream.open_shards().cloned().collect();
                let shard = &open[pick as usize % open.len()];
                match kind {
                    0 => drop(reshard.split(shard.id, HashKey(key))),
                    1 => {
                        let next = open.iter().find(|next| shard.range.touches(&next.range));
                        if let Some(next) = next {
                            reshard.merge(shard.id, next.id).expect("they touch");
                        }
                    }
                    _ => {
                        reshard.scale(count);
                        assert_eq!(open_ranges(reshard.stream), uniform_ranges(count));
                    }
                }
            });
            check(&stream);
        }
    }
}
