//! GetMedia, ListFragments and GetMediaForFragmentList through the AWS SDK.

use std::time::Duration;

use aws_sdk_kinesisvideoarchivedmedia::types::{
    FragmentSelector, FragmentSelectorType, TimestampRange,
};
use aws_sdk_kinesisvideomedia::types::{StartSelector, StartSelectorType};
use kinora::media::mkv::{EventKind, Frame, Reader, kvs};
use kinora::types::FragmentNumber;

use crate::bodies::{START_MS, body, end_of_fragment, fragment, head};
use crate::kvs::frames_of;
use crate::producer::{Head, Producer, of_kind, put_media};
use crate::support::Server;

/// What a consumer sees of a GetMedia body.
struct Consumer {
    reader: Reader,
    body: aws_sdk_kinesisvideomedia::primitives::ByteStream,
    frames: Vec<Frame>,
    /// Names and values of the inserted tags in order.
    tags: Vec<(String, String)>,
}

impl Consumer {
    async fn open(server: &Server, stream: &str, selector: StartSelector) -> Self {
        let request = server.media().get_media().stream_name(stream).start_selector(selector);
        let output = request.send().await.expect("GetMedia is answered");
        assert_eq!(output.content_type(), Some("video/webm"));
        Self {
            reader: Reader::new(1 << 24),
            body: output.payload,
            frames: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// Reads until `done` says so.
    async fn read_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) {
            let next = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await;
            let Some(bytes) = next.expect("media comes in time") else { return };
            self.reader.push(&bytes.expect("the body is readable"));
            while let Some(event) = self.reader.next_event().expect("the body is Matroska") {
                match event.kind {
                    EventKind::Frames(frames) => self.frames.extend(frames),
                    EventKind::Tags(tags) => {
                        self.tags.extend(tags.into_iter().map(|tag| (tag.name, tag.value)));
                    }
                    _ => {}
                }
            }
        }
    }

    fn values(&self, name: &str) -> Vec<&str> {
        let named = self.tags.iter().filter(|(tag, _)| tag == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    fn complete_fragments(&self) -> usize {
        self.values(kvs::CONTINUATION_TOKEN).len()
    }
}

fn from(kind: StartSelectorType) -> StartSelector {
    StartSelector::builder().start_selector_type(kind).build().expect("a selector")
}

async fn server_with(stream: &str, fragments: u64) -> (Server, Vec<FragmentNumber>) {
    let server = Server::start();
    server.create_stream(stream, 24).await;
    let acks = put_media(&server, &Head::absolute(stream), &body(fragments, 300), 4_096);
    let numbers = of_kind(&acks, "PERSISTED").iter().map(|ack| ack.number()).collect();
    (server, numbers)
}

#[tokio::test(flavor = "multi_thread")]
async fn consumer_from_earliest_goes_on_into_live_without_gap_or_repeat() {
    let (server, numbers) = server_with("camera", 3).await;
    let mut consumer = Consumer::open(&server, "camera", from(StartSelectorType::Earliest)).await;
    consumer.read_until(|c| c.complete_fragments() == 3).await;
    let live = put_media(
        &server,
        &Head::absolute("camera"),
        &{
            let later = (3..6).flat_map(|at| fragment(START_MS + at * 1000, 300));
            [head().to_vec(), later.collect()].concat()
        },
        512,
    );
    consumer.read_until(|c| c.complete_fragments() == 6).await;
    let live = of_kind(&live, "PERSISTED").iter().map(|ack| ack.number()).collect::<Vec<_>>();
    let expected: Vec<String> =
        numbers.iter().chain(&live).map(FragmentNumber::to_string).collect();
    assert_eq!(consumer.values(kvs::FRAGMENT_NUMBER), expected);
    assert_eq!(consumer.values(kvs::CONTINUATION_TOKEN), expected);
    assert_eq!(consumer.frames, frames_of(&body(6, 300)));
    assert_eq!(consumer.values(kvs::MILLIS_BEHIND_NOW).last(), Some(&"0"));
    let first: f64 = consumer.values(kvs::PRODUCER_TIMESTAMP)[0].parse().expect("seconds");
    assert_eq!(first, START_MS as f64 / 1000.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_before_their_fragment_ends() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let mut consumer = Consumer::open(&server, "camera", from(StartSelectorType::Now)).await;
    let mut producer = Producer::connect(&server, &Head::absolute("camera"));
    producer.send(&head());
    producer.send(&fragment(START_MS, 300));
    consumer.read_until(|c| c.frames.len() == 10).await;
    assert_eq!(consumer.complete_fragments(), 0, "the fragment is still open");
    producer.send(&end_of_fragment());
    consumer.read_until(|c| c.complete_fragments() == 1).await;
    assert_eq!(consumer.frames.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_selector_starts_where_it_says() {
    let (server, numbers) = server_with("camera", 4).await;
    let seconds = |ms: u64| aws_sdk_kinesisvideomedia::primitives::DateTime::from_millis(ms as i64);
    let select = |kind| StartSelector::builder().start_selector_type(kind);
    let second = numbers[1].to_string();
    let within_third = seconds(START_MS + 2_500);
    let received = numbers[2].server_timestamp().as_millis() as u64;
    let cases = [
        (select(StartSelectorType::Earliest), 0),
        (select(StartSelectorType::FragmentNumber).after_fragment_number(&second), 2),
        (select(StartSelectorType::ContinuationToken).continuation_token(&second), 2),
        (select(StartSelectorType::ProducerTimestamp).start_timestamp(within_third), 2),
        (select(StartSelectorType::ProducerTimestamp).start_timestamp(seconds(0)), 0),
    ];
    for (selector, expected) in cases {
        let selector = selector.build().expect("a selector");
        let mut consumer = Consumer::open(&server, "camera", selector.clone()).await;
        consumer.read_until(|c| !c.values(kvs::FRAGMENT_NUMBER).is_empty()).await;
        let first = consumer.values(kvs::FRAGMENT_NUMBER)[0];
        assert_eq!(first, numbers[expected].to_string(), "{selector:?}");
    }
    let by_server = select(StartSelectorType::ServerTimestamp).start_timestamp(seconds(received));
    let selector = by_server.build().expect("a selector");
    let mut consumer = Consumer::open(&server, "camera", selector).await;
    consumer.read_until(|c| !c.values(kvs::SERVER_TIMESTAMP).is_empty()).await;
    let first: f64 = consumer.values(kvs::SERVER_TIMESTAMP)[0].parse().expect("seconds");
    assert!(first * 1000.0 <= received as f64 + 0.5, "starts at or before the asked time");
}

#[tokio::test(flavor = "multi_thread")]
async fn selector_without_its_companion_is_an_invalid_argument() {
    let (server, _) = server_with("camera", 1).await;
    for kind in [
        StartSelectorType::FragmentNumber,
        StartSelectorType::ContinuationToken,
        StartSelectorType::ProducerTimestamp,
        StartSelectorType::ServerTimestamp,
        StartSelectorType::from("SOMEWHERE"),
    ] {
        let request = server.media().get_media().stream_name("camera").start_selector(from(kind));
        let error = request.send().await.expect_err("refused").into_service_error();
        assert!(error.is_invalid_argument_exception(), "{error:?}");
    }
    let request = server.media().get_media().stream_name("nobody");
    let error = request.start_selector(from(StartSelectorType::Now)).send().await;
    assert!(error.expect_err("refused").into_service_error().is_resource_not_found_exception());
}

fn selector(kind: FragmentSelectorType, from_ms: u64, to_ms: u64) -> FragmentSelector {
    let time =
        |ms: u64| aws_sdk_kinesisvideoarchivedmedia::primitives::DateTime::from_millis(ms as i64);
    let range = TimestampRange::builder()
        .start_timestamp(time(from_ms))
        .end_timestamp(time(to_ms))
        .build()
        .expect("a range");
    FragmentSelector::builder()
        .fragment_selector_type(kind)
        .timestamp_range(range)
        .build()
        .expect("a selector")
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_are_listed_by_either_clock_page_by_page() {
    let (server, numbers) = server_with("camera", 7).await;
    let producer =
        selector(FragmentSelectorType::ProducerTimestamp, START_MS + 1_000, START_MS + 5_000);
    let mut listed = Vec::new();
    let mut token = None;
    loop {
        let page = server.archive().list_fragments().stream_name("camera").max_results(2);
        let page = match &token {
            Some(token) => page.next_token(token),
            None => page.fragment_selector(producer.clone()),
        };
        let page = page.send().await.expect("a page");
        assert!(page.fragments().len() <= 2);
        listed.extend(page.fragments().iter().map(|f| f.fragment_number().unwrap().to_owned()));
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    listed.sort();
    let expected: Vec<String> = numbers[1..=5].iter().map(FragmentNumber::to_string).collect();
    assert_eq!(listed, expected);
    let now = numbers[6].server_timestamp().as_millis() as u64;
    let by_server = selector(FragmentSelectorType::ServerTimestamp, now - 60_000, now + 60_000);
    let request = server.archive().list_fragments().stream_name("camera");
    let all = request.fragment_selector(by_server).send().await.expect("a page");
    assert_eq!(all.fragments().len(), 7);
    assert_eq!(all.fragments()[0].fragment_length_in_milliseconds(), 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_fragments_come_back_as_whole_documents_in_the_asked_order() {
    let (server, numbers) = server_with("camera", 3).await;
    let wanted = [numbers[2].to_string(), numbers[0].to_string()];
    let request = server.archive().get_media_for_fragment_list().stream_name("camera");
    let output = request.set_fragments(Some(wanted.to_vec())).send().await.expect("media");
    let bytes = output.payload.collect().await.expect("the body").into_bytes();
    let expected: Vec<Frame> = [2, 0]
        .iter()
        .flat_map(|at| frames_of(&[head().to_vec(), fragment(START_MS + at * 1000, 300)].concat()))
        .collect();
    assert_eq!(frames_of(&bytes), expected);
    let missing = FragmentNumber::MAX.to_string();
    let request = server.archive().get_media_for_fragment_list().stream_name("camera");
    let output = request.fragments(missing).send().await.expect("an answer");
    let bytes = output.payload.collect().await.expect("the body").into_bytes();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(kvs::ERROR_CODE), "{text}");
}
