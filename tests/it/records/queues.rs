//! Queues, in JSON: AWS's SDK for Rust does not know them yet.

use serde_json::{Value, json};

use super::unlimited;
use crate::support::Server;

/// A server with an on-demand stream, and a queue from its beginning on.
fn with_queue(attributes: Value) -> (Server, Value) {
    let server = unlimited();
    let mode = json!({"StreamMode": "ON_DEMAND"});
    server.kds_ok("CreateStream", json!({"StreamName": "s", "StreamModeDetails": mode}));
    let created = server.kds_ok(
        "CreateQueue",
        json!({
            "QueueName": "q",
            "StreamConfigurationList": [{
                "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
                "StartingPosition": {"Type": "TRIM_HORIZON"},
            }],
            "QueueAttributes": attributes,
        }),
    );
    let queue = created["QueueDescription"]["QueueARN"].clone();
    (server, queue)
}

fn put(server: &Server, data: &[&str]) {
    let records: Vec<_> =
        data.iter().map(|data| json!({"Data": data, "PartitionKey": data})).collect();
    server.kds_ok("PutRecords", json!({"StreamName": "s", "Records": records}));
}

fn receive(server: &Server, operation: &str, queue: &Value) -> Vec<Value> {
    let input = json!({"QueueARN": queue, "WaitTimeSeconds": 1});
    let answer = server.kds_ok(operation, input);
    answer["QueueRecords"].as_array().expect("a list").clone()
}

fn entries(records: &[Value]) -> Value {
    records.iter().map(|record| json!({"ReceiptHandle": record["ReceiptHandle"]})).collect()
}

#[test]
fn record_goes_to_one_receiver_until_it_is_acknowledged() {
    let (server, queue) = with_queue(json!({"VisibilityTimeoutSeconds": 600}));
    put(&server, &["AAAA", "BBBB", "CCCC"]);
    let records = receive(&server, "ReceiveQueueRecords", &queue);
    let mut data: Vec<_> = records.iter().map(|record| record["Data"].as_str()).collect();
    data.sort();
    assert_eq!(data, [Some("AAAA"), Some("BBBB"), Some("CCCC")]);
    assert!(records.iter().all(|record| record["ReceiveCount"] == 1));
    assert_eq!(receive(&server, "ReceiveQueueRecords", &queue), Vec::<Value>::new());

    let mut acknowledged = entries(&records[..2]);
    acknowledged.as_array_mut().expect("a list").push(json!({"ReceiptHandle": "no receipt"}));
    let input = json!({"QueueARN": queue, "Entries": acknowledged});
    let answer = server.kds_ok("AcknowledgeQueueRecords", input);
    assert_eq!(answer["Successful"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer["Failed"][0]["ReceiptHandle"], "no receipt");
    assert_eq!(answer["Failed"][0]["ErrorCode"], "InvalidArgumentException");

    let mut back = entries(&records[2..]);
    back[0]["VisibilityTimeoutSeconds"] = json!(0);
    let input = json!({"QueueARN": queue, "Entries": back});
    server.kds_ok("UpdateQueueRecordsVisibility", input);
    let again = receive(&server, "ReceiveQueueRecords", &queue);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0]["RecordId"], records[2]["RecordId"]);
    assert_eq!(again[0]["ReceiveCount"], 2);
    assert_ne!(again[0]["ReceiptHandle"], records[2]["ReceiptHandle"]);
}

#[test]
fn record_that_nobody_acknowledges_becomes_a_dead_letter_and_can_be_restored() {
    let dead_letters = json!({"TargetType": "BUILT_IN", "MaxReceiveCount": 1});
    let (server, queue) =
        with_queue(json!({"VisibilityTimeoutSeconds": 0, "DeadLetterConfiguration": dead_letters}));
    put(&server, &["AAAA"]);
    assert_eq!(receive(&server, "ReceiveQueueRecords", &queue).len(), 1);
    assert_eq!(receive(&server, "ReceiveQueueRecords", &queue).len(), 0);
    let dead = receive(&server, "ReceiveDeadLetterQueueRecords", &queue);
    assert_eq!(dead[0]["Data"], "AAAA");
    let input = json!({"QueueARN": queue, "Entries": entries(&dead)});
    let answer = server.kds_ok("RestoreDeadLetterQueueRecords", input);
    assert_eq!(answer["Failed"], json!([]));
    let restored = receive(&server, "ReceiveQueueRecords", &queue);
    assert_eq!(restored[0]["ReceiveCount"], 1);
    let dead = receive(&server, "ReceiveDeadLetterQueueRecords", &queue);
    let input = json!({"QueueARN": queue, "Entries": entries(&dead)});
    let answer = server.kds_ok("AcknowledgeDeadLetterQueueRecords", input);
    assert_eq!(answer["Successful"].as_array().map(Vec::len), Some(1));
    assert_eq!(receive(&server, "ReceiveDeadLetterQueueRecords", &queue).len(), 0);
}

#[test]
fn queue_is_described_changed_listed_and_holds_its_stream() {
    let (server, queue) = with_queue(json!({}));
    let described = server.kds_ok("DescribeQueue", json!({"QueueARN": queue}));
    let described = &described["QueueDescription"];
    assert_eq!(described["QueueStatus"], "ACTIVE");
    let expected = json!({
        "VisibilityTimeoutSeconds": 30,
        "DeadLetterConfiguration": {"TargetType": "BUILT_IN", "MaxReceiveCount": 6},
    });
    assert_eq!(described["QueueAttributes"], expected);

    let attributes = json!({"DeadLetterConfiguration": {"TargetType": "NONE"}});
    let input = json!({"QueueARN": queue, "QueueAttributes": attributes});
    let updated = server.kds_ok("UpdateQueue", input);
    let expected = json!({
        "VisibilityTimeoutSeconds": 30,
        "DeadLetterConfiguration": {"TargetType": "NONE"},
    });
    assert_eq!(updated["QueueDescription"]["QueueAttributes"], expected);

    let listed = server.kds_ok("ListQueues", json!({}));
    assert_eq!(listed["QueueSummaries"][0]["QueueARN"], queue);
    let input = json!({"ResourceARN": queue, "Tags": {"team": "a"}});
    server.kds_ok("TagResource", input);
    let tags = server.kds_ok("ListTagsForResource", json!({"ResourceARN": queue}));
    assert_eq!(tags, json!({"Tags": [{"Key": "team", "Value": "a"}]}));

    let refused = server.kds_refused("DeleteStream", json!({"StreamName": "s"}));
    assert_eq!(refused.0, "ResourceInUseException");
    server.kds_ok("DeleteQueue", json!({"QueueARN": queue}));
    let refused = server.kds_refused("DescribeQueue", json!({"QueueARN": queue}));
    assert_eq!(refused.0, "ResourceNotFoundException");
    server.kds_ok("DeleteStream", json!({"StreamName": "s"}));
}

#[test]
fn queues_are_for_on_demand_streams_only() {
    let server = unlimited();
    server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
    let streams = json!([{"StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s"}]);
    let input = json!({"QueueName": "q", "StreamConfigurationList": streams});
    let refused = server.kds_refused("CreateQueue", input);
    assert_eq!(refused.0, "InvalidArgumentException");
}

#[test]
fn acknowledgements_survive_a_crash() {
    let (server, queue) = with_queue(json!({"VisibilityTimeoutSeconds": 0}));
    put(&server, &["AAAA", "BBBB"]);
    let records = receive(&server, "ReceiveQueueRecords", &queue);
    let input = json!({"QueueARN": queue, "Entries": entries(&records[..1])});
    server.kds_ok("AcknowledgeQueueRecords", input);
    let server = Server::start_in(server.kill_9(), &[]);
    let left = receive(&server, "ReceiveQueueRecords", &queue);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["RecordId"], records[1]["RecordId"]);
    assert_eq!(left[0]["ReceiveCount"], 2);
}
