use super::*;
use crate::store::CapacityMode;
use crate::store::disk::Faults;

const HOUR: Millis = Millis(3_600_000);

fn ids(page: &ShardPage) -> Vec<u32> {
    page.shards.iter().map(|shard| shard.id.0).collect()
}

#[test]
fn what_is_created_and_changed_is_there_after_a_restart() {
    let server = Server::new();
    let name = server.create("orders", Some(2));
    let streams = &server.streams;
    streams.increase_retention(&name, 48).expect("longer");
    streams.set_tags(&name, |tags| drop(tags.insert("team".into(), "a".into()))).expect("tagged");
    streams.split(&name, ShardId(0), HashKey(1 << 100)).expect("split");
    streams.register_consumer(&name, "audit", Default::default()).expect("registered");
    streams.set_policy(&name, Some("{}".into())).expect("kept");
    streams.scale(&name, 6).expect("scaled");
    let before = streams.info(&name).expect("it exists");
    server.create("later", None);

    let server = server.restart();
    let after = server.streams.info(&name).expect("it exists");
    assert_eq!(before, after);
    assert_eq!(after.retention_hours, 48);
    assert_eq!(after.open_shards().count(), 6);
    let later = server.streams.info(&"later".parse().expect("a name")).expect("it exists");
    assert_eq!((later.mode, later.shards.len()), (CapacityMode::OnDemand, 4));
    assert!(later.id > after.id);
}

#[test]
fn name_is_free_again_after_deletion_and_the_new_stream_is_another() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    let again = server.streams.create(new_stream("orders", Some(1)));
    assert!(matches!(again, Err(RecordsError::StreamExists(_))), "{again:?}");
    let first = server.streams.info(&name).expect("it exists");
    server.streams.register_consumer(&name, "audit", Default::default()).expect("registered");
    let kept = server.streams.delete(&name, false);
    assert!(matches!(kept, Err(RecordsError::HasConsumers(_))), "{kept:?}");
    server.streams.delete(&name, true).expect("deleted with its consumer");
    assert!(matches!(server.streams.info(&name), Err(RecordsError::NoSuchStream(_))));
    server.create("orders", Some(1));
    assert_ne!(server.streams.info(&name).expect("it exists").id, first.id);
}

#[test]
fn streams_are_listed_by_name_in_pages() {
    let server = Server::new();
    for name in ["c", "a", "b"] {
        server.create(name, Some(1));
    }
    let page = server.streams.list(None, 2);
    let names: Vec<_> = page.streams.iter().map(|info| info.name.as_str()).collect();
    assert_eq!((names, page.more), (vec!["a", "b"], true));
    let rest = server.streams.list(Some(&page.streams[1].name), 2);
    assert_eq!((rest.streams[0].name.as_str(), rest.more), ("c", false));
}

#[test]
fn shards_are_listed_in_pages_until_their_records_have_expired() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    server.clock.advance(HOUR);
    server.streams.split(&name, ShardId(0), HashKey(1 << 100)).expect("split");
    let list = |after, limit| server.streams.shards(&name, None, after, limit).expect("listed");
    let page = list(None, 2);
    assert_eq!((ids(&page), page.more), (vec![0, 1], true));
    let rest = list(Some(ShardId(1)), 2);
    assert_eq!((ids(&rest), rest.more), (vec![2], false));
    server.clock.advance(Millis(24 * HOUR.0 + 1));
    assert_eq!(ids(&list(None, 10)), [1, 2]);
    server.streams.tidy().expect("dropped");
    assert_eq!(server.streams.info(&name).expect("it exists").shards.len(), 2);
}

#[test]
fn retention_goes_one_way_at_a_time_and_stays_in_its_bounds() {
    let server = Server::new();
    let name = server.create("orders", Some(1));
    let streams = &server.streams;
    for hours in [23, 8761] {
        assert!(streams.increase_retention(&name, hours).is_err(), "{hours}");
        assert!(streams.decrease_retention(&name, hours).is_err(), "{hours}");
    }
    streams.increase_retention(&name, 8760).expect("a year");
    assert!(streams.increase_retention(&name, 100).is_err());
    streams.decrease_retention(&name, 100).expect("less");
    assert!(streams.decrease_retention(&name, 101).is_err());
}

#[test]
fn scaling_keeps_to_the_factor_of_two_and_ten_times_a_day() {
    let server = Server::new();
    let name = server.create("orders", Some(4));
    let scale = |to| server.streams.scale(&name, to);
    assert!(matches!(scale(9), Err(RecordsError::Scale { open: 4, target: 9, .. })));
    assert!(matches!(scale(1), Err(RecordsError::Scale { .. })));
    assert_eq!(scale(2).expect("half"), 4);
    for round in 0..9 {
        scale(2 + round % 2).expect("within the day's number");
    }
    let once_more = scale(3);
    assert!(
        matches!(once_more, Err(RecordsError::Limit(LimitExceeded::Scalings { limit: 10 }))),
        "{once_more:?}"
    );
    server.clock.advance(Millis(24 * HOUR.0 + 1));
    scale(3).expect("a day later");
}

#[test]
fn on_demand_stream_is_not_resharded_by_its_owner() {
    let server = Server::new();
    let name = server.create("orders", None);
    let split = server.streams.split(&name, ShardId(0), HashKey(5));
    assert!(matches!(split, Err(RecordsError::OnDemand(_))), "{split:?}");
    server.streams.set_mode(&name, CapacityMode::Provisioned).expect("once");
    server.streams.split(&name, ShardId(0), HashKey(5)).expect("now it is");
    server.streams.set_mode(&name, CapacityMode::OnDemand).expect("twice");
    let third = server.streams.set_mode(&name, CapacityMode::Provisioned);
    assert!(
        matches!(third, Err(RecordsError::Limit(LimitExceeded::ModeChanges { limit: 2 }))),
        "{third:?}"
    );
}

#[test]
fn limits_of_the_account_hold() {
    let options = Options { max_open_shards: 5, max_on_demand_streams: 1, ..Options::default() };
    let server = Server::with(options);
    let name = server.create("orders", Some(4));
    server.create("events", None);
    let create = |shards| server.streams.create(new_stream("more", shards));
    assert!(matches!(create(Some(2)), Err(RecordsError::Limit(_))));
    assert!(matches!(create(None), Err(RecordsError::Limit(_))));
    server.streams.split(&name, ShardId(0), HashKey(5)).expect("the fifth");
    let sixth = server.streams.split(&name, ShardId(1), HashKey(u128::MAX / 3));
    assert!(matches!(sixth, Err(RecordsError::Limit(_))), "{sixth:?}");
    assert_eq!(
        server.streams.account_limits(),
        AccountLimits {
            shards: 5,
            open_shards: 5,
            on_demand_streams_limit: 1,
            on_demand_streams: 1
        }
    );
}

#[test]
fn consumer_is_found_by_name_and_by_when_it_was_registered() {
    let server = Server::with(Options { max_consumers: 2, ..Options::default() });
    let stream = server.create("orders", Some(1));
    let register = |name| server.streams.register_consumer(&stream, name, Default::default());
    let consumer = register("audit").expect("registered");
    assert!(matches!(register("audit"), Err(RecordsError::ConsumerExists { .. })));
    register("billing").expect("the second");
    assert!(matches!(register("third"), Err(RecordsError::Limit(_))));

    let name = "audit".to_owned();
    let named = ConsumerRef { stream: stream.clone(), name, created_s: None };
    assert_eq!(server.streams.consumer(&named).expect("there"), consumer);
    let created_s = Some(consumer.created.as_millis() / 1000);
    assert!(server.streams.consumer(&ConsumerRef { created_s, ..named.clone() }).is_ok());
    let earlier = ConsumerRef { created_s: Some(1), ..named.clone() };
    assert!(matches!(server.streams.consumer(&earlier), Err(RecordsError::NoSuchConsumer { .. })));
    server.streams.deregister_consumer(&named).expect("gone");
    assert!(server.streams.deregister_consumer(&named).is_err());
}

#[tokio::test]
async fn nothing_is_put_while_nobody_knows_which_shards_are_open() {
    let server = Server::new();
    let stream = server.create("orders", Some(1));
    server.put(&stream, 0, "before").await;
    server.disk.set_faults(Faults { catalog_sync_fails: true, ..Faults::default() });
    let halves = stream.clone();
    let split =
        move |streams: &RecordStreams| streams.split(&halves, ShardId(0), HashKey(1 << 100));
    let split = server.blocking(split).await;
    assert!(matches!(split, Err(RecordsError::Uncertain(_))), "{split:?}");
    let put = server.streams.put_one(&stream, record("key", "meanwhile"), None).await;
    assert!(matches!(put, Err(RecordsError::Unavailable(_))), "{put:?}");

    server.disk.set_faults(Faults::default());
    let server = server.restart();
    let placed = server.put(&stream, 0, "after").await;
    let info = server.streams.info(&stream).expect("it exists");
    let open: Vec<_> = info.open_shards().map(|shard| shard.id).collect();
    assert!(open.contains(&placed.shard), "{placed:?} is in one of {open:?}");
    let mut all = Vec::new();
    for shard in &info.shards {
        all.extend(server.all(&stream, shard.id.0).await);
    }
    assert_eq!(all, ["before", "after"]);
}
