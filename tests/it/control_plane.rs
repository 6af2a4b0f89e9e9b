//! The KVS control plane, through the AWS SDK for Rust and by hand.

use aws_sdk_kinesisvideo::Client;
use aws_sdk_kinesisvideo::error::ProvideErrorMetadata;
use aws_sdk_kinesisvideo::types::{
    ApiName, ComparisonOperator, Status, StreamInfo, StreamNameCondition, Tag,
    UpdateDataRetentionOperation as Change,
};

use crate::support::Server;

async fn create(client: &Client, name: &str) -> String {
    let created = client.create_stream().stream_name(name).data_retention_in_hours(24).send().await;
    created.expect("created").stream_arn.expect("an ARN")
}

async fn describe(client: &Client, name: &str) -> StreamInfo {
    let described = client.describe_stream().stream_name(name).send().await.expect("described");
    described.stream_info.expect("facts")
}

/// The AWS name of the error that a call must end in.
fn code<T: std::fmt::Debug, E: ProvideErrorMetadata>(outcome: Result<T, E>) -> String {
    outcome.expect_err("must be refused").code().expect("a named error").to_owned()
}

#[tokio::test]
async fn stream_is_created_described_and_deleted() {
    let server = Server::start();
    let client = server.kinesisvideo();
    let created = client
        .create_stream()
        .stream_name("front.door_1")
        .device_name("camera-1")
        .media_type("video/h264,audio/aac")
        .data_retention_in_hours(2)
        .tags("place", "door")
        .send()
        .await
        .expect("created");
    let arn = created.stream_arn.expect("an ARN");
    assert!(arn.starts_with("arn:aws:kinesisvideo:us-east-1:000000000000:stream/front.door_1/"));

    let info = describe(&client, "front.door_1").await;
    assert_eq!(info.stream_arn.as_deref(), Some(arn.as_str()));
    assert_eq!(info.device_name.as_deref(), Some("camera-1"));
    assert_eq!(info.media_type.as_deref(), Some("video/h264,audio/aac"));
    assert_eq!(info.data_retention_in_hours, Some(2));
    assert_eq!(info.status, Some(Status::Active));
    // Rounded, since the SDK cuts the fraction of a float.
    let created_ms = (info.creation_time.expect("a time").as_secs_f64() * 1000.0).round() as i64;
    assert!(arn.ends_with(&format!("/{created_ms}")), "{arn} {created_ms}");
    let by_arn = client.describe_stream().stream_arn(&arn).send().await.expect("described");
    assert_eq!(by_arn.stream_info, Some(info.clone()));

    let again = client.create_stream().stream_name("front.door_1").send().await;
    assert_eq!(code(again), "ResourceInUseException");
    let other_version = client.delete_stream().stream_arn(&arn).current_version("other");
    assert_eq!(code(other_version.send().await), "VersionMismatchException");
    let earlier = arn.replace(&format!("/{created_ms}"), "/1");
    let of_another_time = client.delete_stream().stream_arn(earlier).send().await;
    assert_eq!(code(of_another_time), "ResourceNotFoundException");

    let version = info.version.expect("a version");
    let delete = client.delete_stream().stream_arn(&arn).current_version(version);
    delete.send().await.expect("deleted");
    let gone = client.describe_stream().stream_name("front.door_1").send().await;
    assert_eq!(code(gone), "ResourceNotFoundException");
}

#[tokio::test]
async fn exactly_one_of_several_racing_creates_succeeds() {
    let server = Server::start();
    let client = server.kinesisvideo();
    let races = (0..8).map(|_| {
        let create = client.create_stream().stream_name("race");
        tokio::spawn(async move { create.send().await.is_ok() })
    });
    let mut winners = 0;
    for race in races.collect::<Vec<_>>() {
        winners += usize::from(race.await.expect("no panic"));
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn streams_are_listed_in_pages_by_name_and_prefix() {
    let server = Server::start();
    let client = server.kinesisvideo();
    for name in ["door-2", "door-1", "yard", "door-3"] {
        create(&client, name).await;
    }
    let mut pages = client.list_streams().max_results(2).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let infos = page.expect("a page").stream_info_list.expect("a list");
        names.push(infos.into_iter().filter_map(|info| info.stream_name).collect::<Vec<_>>());
    }
    assert_eq!(names, [["door-1", "door-2"], ["door-3", "yard"]]);

    let begins_with = StreamNameCondition::builder()
        .comparison_operator(ComparisonOperator::BeginsWith)
        .comparison_value("door")
        .build();
    let listed = client.list_streams().stream_name_condition(begins_with).send().await;
    let listed = listed.expect("listed");
    assert_eq!(listed.stream_info_list().len(), 3);
    assert_eq!(listed.next_token, None);
    let foreign = client.list_streams().next_token("Zm9v!").send().await;
    assert_eq!(code(foreign), "InvalidArgumentException");
}

#[tokio::test]
async fn retention_changes_by_a_difference_and_needs_the_current_version() {
    let server = Server::start();
    let client = server.kinesisvideo();
    create(&client, "cam1").await;
    let change = async |operation: Change, hours: i32, version: &str| {
        let update = client.update_data_retention().stream_name("cam1").operation(operation);
        update.data_retention_change_in_hours(hours).current_version(version).send().await
    };
    let first = describe(&client, "cam1").await.version.expect("a version");
    change(Change::IncreaseDataRetention, 24, &first).await.expect("increased");
    let info = describe(&client, "cam1").await;
    assert_eq!(info.data_retention_in_hours, Some(48));
    let second = info.version.expect("a version");
    assert_ne!(first, second);

    let stale = change(Change::IncreaseDataRetention, 1, &first).await;
    assert_eq!(code(stale), "VersionMismatchException");
    for (operation, hours) in [
        (Change::DecreaseDataRetention, 49),
        (Change::IncreaseDataRetention, 87_600),
        (Change::IncreaseDataRetention, 0),
    ] {
        let refused = change(operation, hours, &second).await;
        assert_eq!(code(refused), "InvalidArgumentException");
    }
    change(Change::DecreaseDataRetention, 48, &second).await.expect("decreased");
    assert_eq!(describe(&client, "cam1").await.data_retention_in_hours, Some(0));
}

#[tokio::test]
async fn device_and_media_type_can_be_changed() {
    let server = Server::start();
    let client = server.kinesisvideo();
    create(&client, "cam1").await;
    let version = describe(&client, "cam1").await.version.expect("a version");
    let update = client.update_stream().stream_name("cam1").current_version(version);
    update.media_type("video/h265").send().await.expect("updated");
    let info = describe(&client, "cam1").await;
    assert_eq!(info.media_type.as_deref(), Some("video/h265"));
    let bad = client.update_stream().stream_name("cam1").current_version("x").media_type("video");
    assert_eq!(code(bad.send().await), "InvalidArgumentException");
}

#[tokio::test]
async fn tags_are_set_listed_and_removed_by_name_and_by_arn() {
    let server = Server::start();
    let client = server.kinesisvideo();
    let arn = create(&client, "cam1").await;
    let version = describe(&client, "cam1").await.version;
    let tag = |key: &str| Tag::builder().key(key).value("1").build().expect("complete");
    client.tag_stream().stream_name("cam1").tags("a", "1").send().await.expect("tagged");
    client.tag_resource().resource_arn(&arn).tags(tag("b")).send().await.expect("tagged");
    let by_name = client.list_tags_for_stream().stream_name("cam1").send().await.expect("listed");
    let by_arn = client.list_tags_for_resource().resource_arn(&arn).send().await.expect("listed");
    assert_eq!(by_name.tags, by_arn.tags);
    assert_eq!(by_name.tags.expect("tags").len(), 2);
    assert_eq!(describe(&client, "cam1").await.version, version);

    client.untag_stream().stream_name("cam1").tag_key_list("a").send().await.expect("untagged");
    client.untag_resource().resource_arn(&arn).tag_key_list("b").send().await.expect("untagged");
    let left = client.list_tags_for_stream().stream_arn(&arn).send().await.expect("listed");
    assert_eq!(left.tags.unwrap_or_default().len(), 0);

    let reserved = client.tag_stream().stream_name("cam1").tags("aws:x", "1").send().await;
    assert_eq!(code(reserved), "InvalidArgumentException");
    let mut many = client.tag_stream().stream_name("cam1");
    for number in 0..50 {
        many = many.tags(format!("k{number}"), "");
    }
    many.send().await.expect("fifty fit");
    let one_more = client.tag_resource().resource_arn(&arn).tags(tag("k50")).send().await;
    assert_eq!(code(one_more), "TagsPerResourceExceededLimitException");
}

#[tokio::test]
async fn every_operation_on_media_is_served_where_the_client_asked() {
    let server = Server::start();
    let client = server.kinesisvideo();
    create(&client, "cam1").await;
    for api in ApiName::values() {
        let asked = client.get_data_endpoint().stream_name("cam1").api_name((*api).into());
        let endpoint = asked.send().await.expect("answered").data_endpoint;
        assert_eq!(endpoint.as_ref(), Some(&server.endpoint), "{api}");
    }
    let unknown = client.get_data_endpoint().stream_name("none").api_name(ApiName::PutMedia);
    assert_eq!(code(unknown.send().await), "ResourceNotFoundException");
    let bad = server.call("/getDataEndpoint", r#"{"StreamName":"cam1","APIName":"FLY"}"#);
    assert_eq!(bad.refusal(), (400, "InvalidArgumentException"));
}

/// The C producer leaves the port out of `Host`, and goes where the answer says.
#[test]
fn client_that_names_no_port_is_sent_to_the_right_one() {
    let server = Server::start();
    assert_eq!(server.call("/createStream", r#"{"StreamName":"cam1"}"#).status, 200);
    let headers = [("host", "127.0.0.1"), ("user-agent", "AWS-SDK-KVS-CPP-CLIENT/3.5.0")];
    let body = r#"{"StreamName":"cam1","APIName":"PUT_MEDIA"}"#;
    let answer = server.call_with("/getDataEndpoint", &headers, body);
    assert_eq!(answer.text(), format!(r#"{{"DataEndpoint":"{}"}}"#, server.endpoint));
}

#[tokio::test]
async fn public_url_is_what_clients_are_sent_to() {
    let server = Server::start_with(&["--public-url", "https://video.example.org/"]);
    let client = server.kinesisvideo();
    create(&client, "cam1").await;
    let asked = client.get_data_endpoint().stream_name("cam1").api_name(ApiName::GetMedia);
    let endpoint = asked.send().await.expect("answered").data_endpoint;
    assert_eq!(endpoint.as_deref(), Some("https://video.example.org"));
}

#[test]
fn answers_and_errors_have_the_shape_that_clients_read() {
    let server = Server::start();
    let empty = server.call("/listStreams", "");
    assert_eq!((empty.status, empty.text()), (200, r#"{"StreamInfoList":[]}"#));
    assert_eq!(empty.header("content-type"), Some("application/json"));
    assert_eq!(empty.header("x-amzn-requestid").map(str::len), Some(36));

    let unknown_member = server.call("/listStreams", r#"{"Colour":"blue"}"#);
    assert_eq!(unknown_member.status, 200);
    let missing = server.call("/describeStream", "{}");
    assert_eq!(missing.refusal(), (400, "InvalidArgumentException"));
    let text = r#"{"Message":"Either StreamName or StreamARN must be given."}"#;
    assert_eq!(missing.text(), text);
    let both = r#"{"StreamName":"a","StreamARN":"arn:aws:kinesisvideo:r:1:stream/b/1"}"#;
    assert_eq!(server.call("/describeStream", both).refusal().0, 400);
    for body in ["{", "[]", r#"{"StreamName":7}"#] {
        let refusal = server.call("/describeStream", body);
        assert_eq!(refusal.refusal(), (400, "SerializationException"), "{body}");
    }
    let wrong_case = server.call("/DescribeStream", "{}");
    assert_eq!(wrong_case.refusal(), (404, "UnknownOperationException"));
    assert!(wrong_case.text().contains("com.amazon.coral.service#UnknownOperationException"));
    let large = format!(r#"{{"StreamName":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(server.call("/describeStream", &large).refusal().0, 413);
}

#[test]
fn streams_are_still_there_after_a_restart() {
    let server = Server::start();
    assert_eq!(server.call("/createStream", r#"{"StreamName":"cam1"}"#).status, 200);
    let before = server.call("/describeStream", r#"{"StreamName":"cam1"}"#).body;
    let (status, dir) = server.stop();
    assert!(status.success(), "{status}");
    let server = Server::start_in(dir, &[]);
    assert_eq!(server.call("/describeStream", r#"{"StreamName":"cam1"}"#).body, before);
}
