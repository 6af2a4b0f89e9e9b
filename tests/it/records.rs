//! The server as clients of Kinesis Data Streams see it: AWS's SDK, and both protocols by hand.

mod door;
mod http_2;
mod native;
mod queues;
mod subscriptions;

use std::collections::BTreeMap;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, Record, ScalingType, Shard, ShardFilter, ShardFilterType,
    ShardIteratorType,
};
use kinora::clock::Clock;
use kinora::wire::sigv4::{self, Request, Target};
use serde_json::{Value, json};

use crate::support::{Answer, Server};

const KINESIS: Target<'static> = Target { region: "eu-west-1", service: "kinesis" };
const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/x-amz-cbor-1.1";

impl Server {
    /// Calls an operation in JSON, signed as boto3 does; status and body.
    fn kds(&self, operation: &str, input: Value) -> (u16, Value) {
        let answer = self.kds_raw(operation, JSON, input.to_string().as_bytes(), &[]);
        assert_eq!(answer.header("content-type"), Some(JSON), "{answer:?}");
        let body = match &answer.body[..] {
            [] => Value::Null,
            body => serde_json::from_slice(body).expect("JSON"),
        };
        (answer.status, body)
    }

    /// Calls an operation in JSON that succeeds.
    pub fn kds_ok(&self, operation: &str, input: Value) -> Value {
        let (status, body) = self.kds(operation, input);
        assert_eq!(status, 200, "{operation}: {body}");
        body
    }

    /// Calls an operation in JSON that is refused; the error's name and message.
    fn kds_refused(&self, operation: &str, input: Value) -> (String, String) {
        let (status, body) = self.kds(operation, input);
        assert_eq!(status, 400, "{operation}: {body}");
        let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
        (text("__type"), text("message"))
    }

    /// Calls an operation with any body and more headers, all of them signed.
    fn kds_raw(
        &self,
        operation: &str,
        content_type: &str,
        body: &[u8],
        more: &[(&str, &str)],
    ) -> Answer {
        let target = format!("Kinesis_20131202.{operation}");
        let mut headers = vec![
            ("content-type", content_type),
            ("host", self.authority()),
            ("x-amz-target", target.as_str()),
        ];
        headers.extend(more);
        self.kds_send("/", &headers, KINESIS, body)
    }

    /// Sends what is signed for a target.
    pub fn kds_send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        target: Target<'_>,
        body: &[u8],
    ) -> Answer {
        let request = Request { method: "POST", path, query: "", headers };
        let (hash, now) = (sigv4::payload_hash(body), Clock::system().now());
        let added = sigv4::sign_headers(&request, &hash, &self.credentials, target, now);
        let mut text = format!("POST {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        for (name, value) in added {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.exchange(&[text.as_bytes(), body].concat())
    }
}

/// All records of a shard that there are now, and the shards that go on.
async fn read_shard(client: &Client, stream: &str, shard: &str) -> (Vec<Record>, Vec<String>) {
    let request = client.get_shard_iterator().stream_name(stream).shard_id(shard);
    let request = request.shard_iterator_type(ShardIteratorType::TrimHorizon);
    let mut iterator = request.send().await.expect("an iterator").shard_iterator;
    let (mut records, mut children) = (Vec::new(), Vec::new());
    while let Some(at) = iterator {
        let answer = client.get_records().shard_iterator(at).limit(7).send().await;
        let answer = answer.expect("records");
        let tail = answer.records.is_empty();
        records.extend(answer.records);
        children.extend(answer.child_shards.into_iter().flatten().map(|child| child.shard_id));
        iterator = answer.next_shard_iterator.filter(|_| !tail);
    }
    (records, children)
}

async fn create(server: &Server, stream: &str, shards: i32) -> Client {
    let client = server.kinesis();
    let request = client.create_stream().stream_name(stream).shard_count(shards);
    request.send().await.expect("the stream is created");
    client
}

/// A server that holds nobody to rates, as tests read faster than five times a second.
fn unlimited() -> Server {
    Server::start_configured(&[("KINORA_RECORDS_SHARD_LIMITS", "off")])
}

async fn open_shards(client: &Client, stream: &str) -> Vec<Shard> {
    let filter = ShardFilter::builder().r#type(ShardFilterType::AtLatest).build();
    let request = client.list_shards().stream_name(stream).shard_filter(filter.expect("a filter"));
    request.send().await.expect("the shards").shards.expect("a list")
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_in_the_order_of_their_key() {
    let server = unlimited();
    let client = create(&server, "orders", 4).await;
    let mut sent: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for batch in 0..5 {
        let entries = (0..40).map(|at| {
            let (key, data) = (format!("key-{}", at % 8), format!("{batch}-{at}").into_bytes());
            sent.entry(key.clone()).or_default().push(data.clone());
            let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data));
            entry.build().expect("an entry")
        });
        let request = client.put_records().stream_name("orders");
        let request = request.set_records(Some(entries.collect()));
        let answer = request.send().await.expect("the records are put");
        assert_eq!(answer.failed_record_count, Some(0));
        assert_eq!(answer.records.len(), 40);
    }
    let mut got: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for shard in open_shards(&client, "orders").await {
        let (records, _) = read_shard(&client, "orders", &shard.shard_id).await;
        assert!(records.is_sorted_by_key(|record| record.sequence_number.clone()));
        for record in records {
            let key = record.partition_key.expect("a key");
            got.entry(key).or_default().push(record.data.into_inner());
        }
    }
    assert_eq!(got, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_follow_a_key_through_splits_and_merges() {
    let server = unlimited();
    let client = create(&server, "s", 1).await;
    let put = async |text: &str| {
        let request = client.put_record().stream_name("s").partition_key("k");
        request.data(Blob::new(text)).send().await.expect("the record is put").shard_id
    };
    let mut shards = vec![put("one").await];
    let split = client.split_shard().stream_name("s").shard_to_split(&shards[0]);
    let split = split.new_starting_hash_key((1u128 << 127).to_string());
    split.send().await.expect("the shard is split");
    shards.push(put("two").await);
    let [low, high] = &open_shards(&client, "s").await[..] else { panic!("two shards") };
    let merge = client.merge_shards().stream_name("s").shard_to_merge(&low.shard_id);
    let merge = merge.adjacent_shard_to_merge(&high.shard_id);
    merge.send().await.expect("the shards are merged");
    shards.push(put("three").await);
    let scale = client.update_shard_count().stream_name("s").target_shard_count(2);
    let scale = scale.scaling_type(ScalingType::UniformScaling);
    scale.send().await.expect("the stream is scaled");
    shards.push(put("four").await);

    for (at, text) in ["one", "two", "three", "four"].iter().enumerate() {
        let (records, children) = read_shard(&client, "s", &shards[at]).await;
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].data.as_ref(), text.as_bytes());
        // To the next shard of the key there is a way over children; the scaling has a step between.
        let next = shards.get(at + 1);
        assert_eq!(children.is_empty(), next.is_none(), "{at}: {children:?}");
        if at < 2 {
            assert!(next.is_some_and(|next| children.contains(next)), "{at}: {children:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_records_and_consumers_survive_a_crash() {
    let server = unlimited();
    let client = create(&server, "s", 2).await;
    let put = client.put_record().stream_name("s").partition_key("k").data(Blob::new("kept"));
    let put = put.send().await.expect("the record is put");
    let summary = client.describe_stream_summary().stream_name("s").send().await;
    let arn = summary.expect("a summary").stream_description_summary.expect("facts").stream_arn;
    let register = client.register_stream_consumer().stream_arn(&arn).consumer_name("c");
    let consumer = register.send().await.expect("registered").consumer.expect("a consumer");

    let dir = server.kill_9();
    let server = Server::start_in(dir, &[]);
    let client = server.kinesis();
    let (records, _) = read_shard(&client, "s", &put.shard_id).await;
    assert_eq!(records[0].sequence_number, put.sequence_number);
    assert_eq!(records[0].data.as_ref(), b"kept");
    let described = client.describe_stream_consumer().consumer_arn(&consumer.consumer_arn);
    let described = described.send().await.expect("the consumer").consumer_description;
    assert_eq!(described.expect("facts").stream_arn, arn);
}

#[test]
fn iterators_begin_where_they_are_asked_to() {
    let server = unlimited();
    server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
    let put = |data: &str| {
        let record = json!({"StreamName": "s", "PartitionKey": "k", "Data": data});
        server.kds_ok("PutRecord", record)["SequenceNumber"].clone()
    };
    let (first, second) = (put("AAAA"), put("BBBB"));
    let begin = |mut more: Value| {
        more["StreamName"] = json!("s");
        more["ShardId"] = json!("shardId-000000000000");
        let iterator = server.kds_ok("GetShardIterator", more)["ShardIterator"].clone();
        let answer = server.kds_ok("GetRecords", json!({"ShardIterator": iterator}));
        let records = answer["Records"].as_array().expect("a list").clone();
        records.iter().map(|record| record["SequenceNumber"].clone()).collect::<Vec<_>>()
    };
    let kind = |kind: &str| json!({"ShardIteratorType": kind});
    let number = |kind: &str, number: &Value| json!({"ShardIteratorType": kind, "StartingSequenceNumber": number});
    assert_eq!(begin(kind("TRIM_HORIZON")), [first.clone(), second.clone()]);
    assert_eq!(begin(kind("LATEST")), Vec::<Value>::new());
    assert_eq!(begin(number("AT_SEQUENCE_NUMBER", &second)), *std::slice::from_ref(&second));
    assert_eq!(begin(number("AFTER_SEQUENCE_NUMBER", &first)), *std::slice::from_ref(&second));
    let past = json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1.5});
    assert_eq!(begin(past), [first, second]);
}

#[test]
fn iterator_that_was_altered_or_made_elsewhere_is_refused() {
    let (server, other) = (unlimited(), unlimited());
    let iterator = |server: &Server| {
        server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
        let input = json!({
            "StreamName": "s",
            "ShardId": "shardId-000000000000",
            "ShardIteratorType": "LATEST",
        });
        let answer = server.kds_ok("GetShardIterator", input);
        answer["ShardIterator"].as_str().expect("an iterator").to_owned()
    };
    let mine = iterator(&server);
    server.kds_ok("GetRecords", json!({"ShardIterator": mine}));
    for text in [iterator(&other), mine.replacen("Ci", "Cj", 1), "AAAA".to_owned()] {
        let refused = server.kds_refused("GetRecords", json!({"ShardIterator": text}));
        assert_eq!(refused.0, "InvalidArgumentException", "{refused:?}");
        assert_eq!(refused.1, "Invalid ShardIterator.");
    }
    server.kds_ok("DeleteStream", json!({"StreamName": "s"}));
    let refused = server.kds_refused("GetRecords", json!({"ShardIterator": mine}));
    assert_eq!(refused.0, "ResourceNotFoundException");
}

#[test]
fn record_that_is_named_is_stored_once() {
    let server = unlimited();
    server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
    let records = json!([
        {"Data": "AAAA", "PartitionKey": "a"},
        {"Data": "BBBB", "PartitionKey": "b", "DedupeKey": "mine"},
    ]);
    let input = json!({"StreamName": "s", "Records": records}).to_string();
    let put = |name: &str| {
        let more = [("x-kinora-dedupe-key", name)];
        let answer = server.kds_raw("PutRecords", JSON, input.as_bytes(), &more);
        serde_json::from_slice::<Value>(&answer.body).expect("JSON")["Records"].clone()
    };
    let first = put("batch-1");
    assert_eq!(put("batch-1"), first);
    let other = put("batch-2");
    assert_ne!(other[0], first[0], "the batch's name is part of the record's");
    assert_eq!(other[1], first[1], "the record's own name goes first");
}

#[test]
fn requests_whose_records_have_an_empty_or_endless_name_are_refused() {
    let server = unlimited();
    server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
    let input = json!({"StreamName": "s", "Data": "AAAA", "PartitionKey": "a"}).to_string();
    let put = |name: &str| {
        let more = [("x-kinora-dedupe-key", name)];
        server.kds_raw("PutRecord", JSON, input.as_bytes(), &more).status
    };
    assert_eq!((put(""), put(&"n".repeat(257)), put(&"n".repeat(256))), (400, 400, 200));
}

#[test]
fn shard_beyond_its_rate_refuses_records_one_by_one() {
    let server = Server::start();
    server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
    let data = "A".repeat(800_000);
    let records = json!([{"Data": data, "PartitionKey": "a"}, {"Data": data, "PartitionKey": "a"}]);
    let answer = server.kds_ok("PutRecords", json!({"StreamName": "s", "Records": records}));
    assert_eq!(answer["FailedRecordCount"], 1);
    assert!(answer["Records"][0]["SequenceNumber"].is_string());
    let refused = &answer["Records"][1];
    assert_eq!(refused["ErrorCode"], "ProvisionedThroughputExceededException");
    let message = "Rate exceeded for shard shardId-000000000000 in stream s under account \
        000000000000.";
    assert_eq!(refused["ErrorMessage"], message);
    assert_eq!(server.metric("kinora_records_throttled_total"), 1.0);
}

#[test]
fn ten_mebibytes_are_taken_in_one_request_and_more_are_not() {
    let server = unlimited();
    server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
    // A mebibyte with the key, ten times.
    let data = "AAAA".repeat((1 << 20) / 3);
    let record = json!({"Data": data, "PartitionKey": "a"});
    let put = |count: usize| {
        server.kds("PutRecords", json!({"StreamName": "s", "Records": vec![&record; count]}))
    };
    assert_eq!(put(10).0, 200);
    let (status, body) = put(11);
    assert_eq!((status, &body["__type"]), (400, &json!("InvalidArgumentException")));
    let (status, body) = put(13);
    assert_eq!((status, &body["__type"]), (400, &json!("RequestEntityTooLargeException")));
}

#[test]
fn listing_of_shards_goes_on_when_the_request_is_repeated_with_the_token() {
    let server = unlimited();
    for stream in ["s", "other"] {
        server.kds_ok("CreateStream", json!({"StreamName": stream, "ShardCount": 3}));
    }
    let filter = json!({"Type": "AT_LATEST"});
    let mut input = json!({"StreamName": "s", "MaxResults": 1, "ShardFilter": filter});
    let mut ids = Vec::new();
    loop {
        let page = server.kds_ok("ListShards", input.clone());
        ids.push(page["Shards"][0]["ShardId"].as_str().map(str::to_owned));
        match &page["NextToken"] {
            Value::Null => break,
            token => input["NextToken"] = token.clone(),
        }
    }
    let expected = [0, 1, 2].map(|n| Some(format!("shardId-00000000000{n}")));
    assert_eq!(ids, expected);

    let token = &input["NextToken"];
    for another in [
        json!({"NextToken": token, "StreamName": "other", "ShardFilter": filter}),
        json!({"NextToken": token, "StreamName": "s"}),
    ] {
        assert_eq!(server.kds_refused("ListShards", another).0, "InvalidArgumentException");
    }
    assert_eq!(server.kds_ok("ListShards", json!({"NextToken": token}))["NextToken"], Value::Null);
}

#[test]
fn token_of_another_stream_and_numbers_beyond_all_bounds_are_refused() {
    let server = unlimited();
    let arn = |stream: &str| format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}");
    let mode = json!({"StreamMode": "ON_DEMAND"});
    for stream in ["s", "other"] {
        server.kds_ok("CreateStream", json!({"StreamName": stream, "StreamModeDetails": mode}));
        for consumer in ["a", "b"] {
            let input = json!({"StreamARN": arn(stream), "ConsumerName": consumer});
            server.kds_ok("RegisterStreamConsumer", input);
        }
    }
    let page = json!({"StreamARN": arn("s"), "MaxResults": 1});
    let token = server.kds_ok("ListStreamConsumers", page)["NextToken"].clone();
    let list = |stream| json!({"StreamARN": arn(stream), "NextToken": token});
    let refused = server.kds_refused("ListStreamConsumers", list("other"));
    assert_eq!(refused.0, "InvalidArgumentException");
    let rest = server.kds_ok("ListStreamConsumers", list("s"));
    assert_eq!(rest["Consumers"][0]["ConsumerName"], "b");

    let input = json!({"StreamName": "s", "WarmThroughputMiBps": 1_u64 << 40});
    let refused = server.kds_refused("UpdateStreamWarmThroughput", input);
    assert_eq!(refused.0, "InvalidArgumentException", "what is kept must be what was asked for");
}
