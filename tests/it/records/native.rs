//! Record streams in the native API and among the metrics.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::unlimited;
use crate::support::Server;

/// A stream with two records, a consumer and a queue that have read nothing.
fn with_backlog() -> Server {
    let server = unlimited();
    let mode = json!({"StreamMode": "ON_DEMAND"});
    server.kds_ok("CreateStream", json!({"StreamName": "s", "StreamModeDetails": mode}));
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let consumer = json!({"StreamARN": arn, "ConsumerName": "c"});
    server.kds_ok("RegisterStreamConsumer", consumer);
    let start = json!({"StreamARN": arn, "StartingPosition": {"Type": "TRIM_HORIZON"}});
    server.kds_ok("CreateQueue", json!({"QueueName": "q", "StreamConfigurationList": [start]}));
    let record = json!({"Data": "AAAA", "PartitionKey": "k"});
    server.kds_ok("PutRecords", json!({"StreamName": "s", "Records": [record, record]}));
    server
}

fn get(server: &Server, path: &str) -> Value {
    let answer = server.get_with_key(path);
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn backlog_of_shards_consumers_and_queues_is_seen() {
    let server = with_backlog();
    let listed = &get(&server, "/v1/streams/records")["streams"][0];
    assert_eq!((&listed["name"], &listed["records"]), (&json!("s"), &json!(2)));
    assert_eq!(listed["openShards"], 4);
    let stream = get(&server, "/v1/streams/records/s");
    let shards = stream["shards"].as_array().expect("a list");
    assert_eq!(shards.iter().filter_map(|shard| shard["records"].as_u64()).sum::<u64>(), 2);
    for reader in [&stream["consumers"][0], &stream["queues"][0]] {
        assert_eq!(reader["records"], 2, "{reader}");
        assert!(reader["bytes"].as_u64() > Some(0), "{reader}");
        assert!(reader["oldestAgeMs"].is_u64(), "{reader}");
    }
    assert_eq!(server.get_with_key("/v1/streams/records/other").status, 404);
    assert_eq!(server.get("/v1/streams/records").status, 401);

    let metric = |labelled: &str| server.metric(labelled);
    assert_eq!(metric("kinora_consumer_behind_records{stream=\"s\",consumer=\"c\"}"), 2.0);
    assert_eq!(metric("kinora_queue_records{stream=\"s\",queue=\"q\"}"), 2.0);
    assert_eq!(metric("kinora_records_incoming_total"), 2.0);
    assert_eq!(metric("kinora_records_incoming_bytes_total"), 6.0);
}

#[test]
fn description_names_the_properties_that_answers_have() {
    let server = with_backlog();
    let description = get(&server, "/v1/openapi.json");
    let described = |name: &str| keys(&description["components"]["schemas"][name]["properties"]);
    let listed = &get(&server, "/v1/streams/records")["streams"][0];
    assert_eq!(keys(listed), described("RecordStream"));
    let stream = get(&server, "/v1/streams/records/s");
    let details = ["shards", "consumers", "queues"].map(str::to_owned);
    assert_eq!(keys(&stream), &described("RecordStream") | &BTreeSet::from(details));
    assert_eq!(keys(&stream["shards"][0]), described("RecordShard"));
    assert_eq!(keys(&stream["consumers"][0]), described("RecordConsumer"));
    assert_eq!(keys(&stream["consumers"][0]["shards"][0]), described("RecordBacklog"));
    assert_eq!(keys(&stream["queues"][0]), described("RecordQueue"));
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().expect("an object").keys().cloned().collect()
}
