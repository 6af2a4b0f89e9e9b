use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::consumers::{StartingPosition, SubscribeToShardInput};
use super::data::*;
use super::rule::problems;
use super::streams::{CreateStreamInput, ListStreamsInput, StreamModeDetails, StreamRef};
use super::tags::{AddTagsToStreamInput, RemoveTagsFromStreamInput};
use super::*;
use crate::types::ServerTimestamp;

fn at(ms: i64) -> Timestamp {
    Timestamp(ServerTimestamp::from_millis(ms))
}

fn record(ms: i64, data: &'static [u8]) -> Record {
    Record {
        sequence_number: Some("1".to_owned()),
        approximate_arrival_timestamp: Some(at(ms)),
        data: Some(Blob(Bytes::from_static(data))),
        ..Record::default()
    }
}

#[test]
fn content_type_decides_the_format() {
    assert_eq!(Format::of("application/x-amz-json-1.1"), Some(Format::Json));
    assert_eq!(Format::of("Application/X-Amz-Cbor-1.1; charset=x"), Some(Format::Cbor));
    for other in ["", "application/json", "application/x-amz-json-1.0", "text/plain"] {
        assert_eq!(Format::of(other), None, "{other}");
    }
}

#[test]
fn json_has_base64_and_plain_decimal_seconds() {
    let json = Format::Json.write(&record(1_700_000_000_123, b"\xff\x00"));
    let text =
        r#"{"SequenceNumber":"1","ApproximateArrivalTimestamp":1700000000.123,"Data":"/wA="}"#;
    assert_eq!(String::from_utf8(json).as_deref(), Ok(text));
    let far = Format::Json.write(&at(4_102_444_800_000));
    assert_eq!(String::from_utf8(far).as_deref(), Ok("4102444800.0"));
    let text = br#"{"Timestamp": 1700000000, "ShardId": "\u0061\/b"}"#;
    let input: GetShardIteratorInput = Format::Json.read(text).expect("reads");
    assert_eq!(input.timestamp, Some(at(1_700_000_000_000)));
    assert_eq!(input.shard_id.as_deref(), Some("a/b"));
}

#[test]
fn cbor_has_byte_strings_and_tagged_milliseconds() {
    let cbor = Format::Cbor.write(&record(1_700_000_000_123, b"\xff\x00"));
    let expected = "a36e53657175656e63654e756d6265726131781b417070726f78696d6174654172726976616c5469\
        6d657374616d70c11b0000018bcfe5687b644461746142ff00";
    assert_eq!(hex::encode(&cbor), expected);
    assert_eq!(Format::Cbor.read(&cbor), Ok(record(1_700_000_000_123, b"\xff\x00")));
}

/// Java's SDK writes maps and lists of indefinite length.
#[test]
fn cbor_of_indefinite_length_is_read() {
    let mut body = vec![0xbf];
    body.extend(
        b"\x67Records\x9f\xbf\x64Data\x5f\x41a\x42bc\xff\x6cPartitionKey\x7f\x61p\xff\xff\xff",
    );
    body.extend(b"\x67Unknown\xc1\x9f\x01\xff");
    body.push(0xff);
    let input: PutRecordsInput = Format::Cbor.read(&body).expect("reads");
    let records = input.records.expect("records");
    assert_eq!(records[0].data, Some(Blob(Bytes::from_static(b"abc"))));
    assert_eq!(records[0].partition_key.as_deref(), Some("p"));
    let bare = b"\xbf\x69Timestamp\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b\xff";
    let input: GetShardIteratorInput = Format::Cbor.read(bare).expect("reads");
    assert_eq!(input.timestamp, Some(at(1_700_000_000_123)));
}

#[test]
fn bodies_of_another_form_are_refused() {
    for body in ["[", "[]", "\"a\"", r#"{"Data": 1}"#, r#"{"Data": "%"}"#, r#"{"Data": "YQ"}"#] {
        assert!(Format::Json.read::<PutRecordInput>(body.as_bytes()).is_err(), "{body}");
    }
    for body in [&b"\x80"[..], b"\x01", b"\xa1", b"\xa0\xa0", b"\xa1\x64Data\x61a", b"\xbf"] {
        assert!(Format::Cbor.read::<PutRecordInput>(body).is_err(), "{body:?}");
    }
    for format in [Format::Json, Format::Cbor] {
        assert_eq!(format.read(b""), Ok(PutRecordInput::default()));
    }
}

#[test]
fn reason_does_not_repeat_a_whole_body() {
    let body = format!("{{\"Limit\": \"{}\"}}", "x".repeat(1 << 20));
    let error = Format::Json.read::<ListStreamsInput>(body.as_bytes()).expect_err("a text");
    assert!(error.to_string().starts_with("invalid type: string \"xxx"), "{error}");
    assert!(error.to_string().len() <= 300);
}

/// A length that promises more than comes must not be believed.
#[test]
fn cbor_length_reserves_no_memory() {
    let body = b"\xa1\x64Data\x5b\x00\x00\x00\x7f\xff\xff\xff\xffabc";
    assert!(Format::Cbor.read::<PutRecordInput>(body).is_err());
    let body = b"\xa1\x67Records\x9b\x00\x00\x00\x7f\xff\xff\xff\xff";
    assert!(Format::Cbor.read::<PutRecordsInput>(body).is_err());
}

#[test]
fn missing_member_is_told_as_aws_does() {
    let words = "2 validation errors detected: Value null at 'shardId' failed to satisfy \
        constraint: Member must not be null; Value null at 'shardIteratorType' failed to satisfy \
        constraint: Member must not be null";
    assert_eq!(problems(&GetShardIteratorInput::default()).as_deref(), Some(words));
    assert_eq!(problems(&StreamRef::default()), None);
}

#[test]
fn member_out_of_its_bounds_is_told_as_aws_does() {
    let input = CreateStreamInput {
        stream_name: Some("a b".to_owned()),
        shard_count: Some(0),
        stream_mode_details: Some(StreamModeDetails { stream_mode: Some("X".to_owned()) }),
        ..CreateStreamInput::default()
    };
    let words = "3 validation errors detected: Value 'a b' at 'streamName' failed to satisfy \
        constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '0' at \
        'shardCount' failed to satisfy constraint: Member must have value greater than or equal \
        to 1; Value 'X' at 'streamModeDetails.streamMode' failed to satisfy constraint: Member \
        must satisfy enum value set: [PROVISIONED, ON_DEMAND]";
    assert_eq!(problems(&input).as_deref(), Some(words));
}

#[test]
fn item_of_a_list_is_told_with_its_position() {
    let good = PutRecordsRequestEntry {
        data: Some(Blob::default()),
        partition_key: Some("é".repeat(256)),
        ..PutRecordsRequestEntry::default()
    };
    let bad = PutRecordsRequestEntry { partition_key: Some(String::new()), ..good.clone() };
    let input = PutRecordsInput { records: Some(vec![good, bad]), ..PutRecordsInput::default() };
    let words = "1 validation error detected: Value '' at 'records.2.member.partitionKey' failed \
        to satisfy constraint: Member must have length greater than or equal to 1";
    assert_eq!(problems(&input).as_deref(), Some(words));
}

#[test]
fn tags_are_bounded_by_key_and_value() {
    let tags = TagMap::from([("k".to_owned(), "v".repeat(257))]);
    let input = AddTagsToStreamInput { tags: Some(tags), ..AddTagsToStreamInput::default() };
    let words = problems(&input).expect("too long");
    assert!(
        words.contains("'tags' failed to satisfy constraint: Map value must satisfy"),
        "{words}"
    );
    let keys = Some(vec!["a".to_owned(), String::new()]);
    let input = RemoveTagsFromStreamInput { tag_keys: keys, ..Default::default() };
    let words = problems(&input).expect("too short");
    assert!(words.contains("Value '[a, ]' at 'tagKeys'"), "{words}");
}

#[test]
fn problems_and_what_they_show_are_bounded() {
    let entry =
        PutRecordsRequestEntry { partition_key: Some("x".repeat(1 << 20)), ..Default::default() };
    let input = PutRecordsInput { records: Some(vec![entry; 600]), ..Default::default() };
    let words = problems(&input).expect("a lot");
    assert!(words.starts_with("10 validation errors detected"), "{words}");
    assert!(words.len() < 10_000, "{}", words.len());
}

#[test]
fn arns_are_told_apart() {
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let consumer = format!("{stream}/consumer/c:1542776258");
    let check = |arn: &str| {
        let position = StartingPosition { kind: Some("LATEST".to_owned()), ..Default::default() };
        problems(&SubscribeToShardInput {
            consumer_arn: Some(arn.to_owned()),
            shard_id: Some("shardId-000000000000".to_owned()),
            starting_position: Some(position),
            ..Default::default()
        })
    };
    assert_eq!(check(&consumer), None);
    for other in [stream, "", "arn:aws:kinesis:us-east-1:0:stream/s/consumer/c:1", "x"] {
        assert!(check(other).is_some(), "{other}");
    }
    let refer =
        |arn: &str| problems(&StreamRef { stream_arn: Some(arn.to_owned()), ..Default::default() });
    assert_eq!(refer(stream), None);
    assert!(refer("arn:aws:kinesisvideo:us-east-1:000000000000:stream/s/1").is_some());
}

prop_compose! {
    fn any_input()(
        stream_name: Option<String>,
        data in proptest::option::of(vec(any::<u8>(), 0..300)),
        partition_key: Option<String>,
        dry_run: Option<bool>,
    ) -> PutRecordInput {
        let data = data.map(|bytes| Blob(bytes.into()));
        PutRecordInput { stream_name, data, partition_key, dry_run, ..Default::default() }
    }
}

proptest! {
    #[test]
    fn shapes_survive_both_formats(input in any_input(), ms in -1_000_000_000_000i64..4_000_000_000_000) {
        for format in [Format::Json, Format::Cbor] {
            prop_assert_eq!(format.read(&format.write(&input)), Ok(input.clone()));
            let record = record(ms, b"x");
            prop_assert_eq!(format.read(&format.write(&record)), Ok(record));
        }
    }

    #[test]
    fn any_bytes_are_a_shape_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        for format in [Format::Json, Format::Cbor] {
            if let Ok(input) = format.read::<PutRecordsInput>(&bytes) {
                let _ = problems(&input);
            }
        }
    }
}
