//! Protocols, errors and authentication, before any operation.

use serde_json::json;

use super::{CBOR, JSON, KINESIS};
use crate::support::{Server, TARGET};

#[test]
fn cbor_and_json_are_two_forms_of_one_service() {
    let server = Server::start();
    // Maps and lists of indefinite length, as Java's SDK writes them.
    let create = b"\xbf\x6aStreamName\x61s\x6aShardCount\x01\xff";
    let answer = server.kds_raw("CreateStream", CBOR, create, &[]);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(CBOR)));
    assert!(answer.body.is_empty(), "{answer:?}");
    let put = b"\xbf\x6aStreamName\x61s\x64Data\x43\x00\xff\x01\x6cPartitionKey\x61k\xff";
    let answer = server.kds_raw("PutRecord", CBOR, put, &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body[0] >> 5, 5, "a map");

    let input = json!({
        "StreamName": "s",
        "ShardId": "shardId-000000000000",
        "ShardIteratorType": "TRIM_HORIZON",
    });
    let iterator = server.kds_ok("GetShardIterator", input)["ShardIterator"].clone();
    let answer = server.kds_ok("GetRecords", json!({"ShardIterator": iterator}));
    assert_eq!(answer["Records"][0]["Data"], "AP8B");
    assert!(answer["Records"][0]["ApproximateArrivalTimestamp"].is_f64());
    let text = iterator.as_str().expect("an iterator");
    let get = [b"\xa1\x6dShardIterator\x78", &[text.len() as u8][..], text.as_bytes()].concat();
    let answer = server.kds_raw("GetRecords", CBOR, &get, &[]);
    let holds = |bytes: &[u8]| answer.body.windows(bytes.len()).any(|part| part == bytes);
    assert!(holds(b"\x64Data\x43\x00\xff\x01"), "a byte string: {answer:?}");
    assert!(holds(b"Timestamp\xc1\x1b"), "a tagged integer: {answer:?}");

    let answer = server.kds_raw("DescribeStream", CBOR, b"\xa1\x6aStreamName\x61x", &[]);
    assert_eq!(answer.refusal(), (400, "ResourceNotFoundException"));
    assert!(answer.body.starts_with(b"\xa2\x66__type\x78\x19ResourceNotFoundException"));
}

#[test]
fn answers_have_two_ids_and_refusals_a_name() {
    let server = Server::start();
    let answer = server.kds_raw("ListStreams", JSON, b"", &[("origin", "https://a.example")]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-amzn-requestid").map(str::len), Some(36));
    assert_eq!(answer.header("x-amz-id-2").map(str::len), Some(64));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let answer = server.kds_raw("DescribeStream", JSON, b"{\"StreamName\":\"x\"}", &[]);
    assert_eq!(answer.refusal(), (400, "ResourceNotFoundException"));
    let text = r#"{"__type":"ResourceNotFoundException","message":"Stream x under account 000000000000 not found."}"#;
    assert_eq!(answer.text(), text);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn bodies_that_do_not_fit_are_refused_as_aws_does() {
    let server = Server::start();
    for body in ["{", "[]", "x", "{\"Limit\": \"one\"}", "{\"Limit\": 1.5}"] {
        let answer = server.kds_raw("ListStreams", JSON, body.as_bytes(), &[]);
        assert_eq!(answer.refusal(), (400, "SerializationException"), "{body}");
    }
    let (name, message) = server.kds_refused("CreateStream", json!({"StreamName": "a b"}));
    assert_eq!(name, "ValidationException");
    let words = "1 validation error detected: Value 'a b' at 'streamName' failed to satisfy \
        constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    assert_eq!(message, words);
}

#[test]
fn signature_must_be_for_this_service_and_this_request() {
    let server = Server::start();
    let host = server.authority();
    let target = ("x-amz-target", "Kinesis_20131202.ListStreams");
    let headers = [("content-type", JSON), ("host", host), target];
    let answer = server.kds_send("/anything", &headers, KINESIS, b"{}");
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = server.kds_send("/", &headers, TARGET, b"{}");
    assert_eq!(answer.refusal(), (400, "InvalidSignatureException"));
    assert!(answer.text().contains("correct service: 'kinesis'"), "{answer:?}");

    let text = |more: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: {JSON}\r\n{}: {}\r\n{more}\
             content-length: 2\r\n\r\n{{}}",
            target.0, target.1
        )
    };
    let answer = server.exchange(text("").as_bytes());
    assert_eq!(answer.refusal(), (400, "MissingAuthenticationTokenException"));
    let unknown = "authorization: AWS4-HMAC-SHA256 Credential=AKIAX/20261122/r/kinesis/aws4_request, \
        SignedHeaders=host, Signature=00\r\nx-amz-date: 20261122T000000Z\r\n";
    let answer = server.exchange(text(unknown).as_bytes());
    assert_eq!(answer.refusal(), (400, "UnrecognizedClientException"));
}

#[test]
fn requests_are_counted_by_operation() {
    let server = Server::start();
    server.kds_ok("ListStreams", json!({}));
    server.kds_refused("DescribeStream", json!({"StreamName": "x"}));
    let name = "kinora_http_requests_total{operation=\"ListStreams\",status=\"200\"}";
    assert_eq!(server.metric(name), 1.0);
    let name = "kinora_http_requests_total{operation=\"DescribeStream\",status=\"400\"}";
    assert_eq!(server.metric(name), 1.0);
}

#[test]
fn what_is_not_offered_is_refused_and_never_a_success() {
    let server = Server::start();
    server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
    let arn = "arn:aws:kinesis:us-east-1:000000000000:";
    let channel = json!({"ChannelARN": format!("{arn}channel/c")});
    let encryption = json!({"StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/k"});
    let new_channel = json!({
        "ChannelName": "c",
        "ServiceExecutionRoleARN": "arn:aws:iam::000000000000:role/r",
        "StreamConfigurationList": [{
            "StreamARN": format!("{arn}stream/s"),
            "RecordConfiguration": {"RecordFormatType": "JSON"},
        }],
    });
    let commitment = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
    for (operation, input, name) in [
        ("CreateChannel", new_channel, "InvalidArgumentException"),
        ("DescribeChannel", channel.clone(), "ResourceNotFoundException"),
        ("UpdateChannel", channel.clone(), "ResourceNotFoundException"),
        ("DeleteChannel", channel, "ResourceNotFoundException"),
        ("StartStreamEncryption", encryption.clone(), "KMSNotFoundException"),
        ("StopStreamEncryption", encryption, "InvalidArgumentException"),
        ("UpdateAccountSettings", commitment, "InvalidArgumentException"),
    ] {
        assert_eq!(server.kds_refused(operation, input).0, name, "{operation}");
    }
    assert_eq!(server.kds_ok("ListChannels", json!({})), json!({"ChannelSummaries": []}));
}

#[test]
fn dry_run_changes_nothing_and_tells_what_would_be() {
    let server = Server::start();
    server.kds_ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1}));
    let put = |stream: &str| {
        let input = json!({"StreamName": stream, "Data": "", "PartitionKey": "k", "DryRun": true});
        server.kds_refused("PutRecord", input).0
    };
    assert_eq!(put("s"), "DryRunOperationException");
    assert_eq!(put("x"), "ResourceNotFoundException");
    assert_eq!(server.metric("kinora_records_incoming_total"), 0.0);
}
