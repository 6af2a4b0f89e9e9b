//! The upload loop against the stand-in.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::stand_in::{Conduct, StandIn};
use super::*;
use crate::client::{self, Client};
use crate::clock::Clock;
use crate::produce::source::{Source, SourceControl, SourceEvent};
use crate::produce::{Manner, Options, Progress, Summary, UploadError, upload};
use crate::wire::sigv4::Credentials;

const FRAGMENTS: i64 = 12;

struct Uncontrolled;

impl SourceControl for Uncontrolled {
    fn stop(&mut self) {}
}

/// Gives [`FRAGMENTS`] fragments of ten frames as fast as they are taken, then ends.
fn film() -> (Source, Vec<Bytes>) {
    let frames: Vec<_> = (0..FRAGMENTS * 10).map(|n| frame(VIDEO, n * 200, n % 10 == 0)).collect();
    let data = frames.iter().map(|frame| frame.data.clone()).collect();
    let (sender, events) = mpsc::channel(4);
    tokio::spawn(async move {
        let head = [SourceEvent::Expect(1), SourceEvent::Track(video_track())];
        let frames = frames.into_iter().map(SourceEvent::Frame);
        for event in head.into_iter().chain(frames).chain([SourceEvent::End]) {
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
    (Source { events, live: false, control: Box::new(Uncontrolled) }, data)
}

fn client(url: &str) -> Client {
    let credentials = Credentials {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret: "secret".to_owned(),
        session_token: None,
    };
    let options = client::Options {
        endpoint: Some(url.to_owned()),
        region: "us-east-1".to_owned(),
        credentials,
        user_agent: "test".to_owned(),
        trusted: Vec::new(),
        sole_endpoint: false,
    };
    Client::new(options, Clock::system()).expect("valid options")
}

fn options() -> Options {
    Options {
        drain: Duration::from_secs(20),
        stale_after: Duration::from_millis(300),
        ..Options::new("cam".parse().expect("a stream name"))
    }
}

async fn run(stand_in: &StandIn, source: Source, options: Options) -> Result<Summary, UploadError> {
    let client = client(&stand_in.url);
    let stop = CancellationToken::new();
    let mut progress = Progress::new(Manner::Log);
    upload(client, source, options, Clock::system(), &mut progress, &stop).await
}

/// What the service holds. A fragment that comes again, because its confirmation was lost with
/// the connection, is stored once.
fn durable_data(stand_in: &StandIn) -> Vec<Bytes> {
    let mut stored = BTreeMap::new();
    for fragment in &stand_in.log().durable {
        let first = stored.entry(fragment.timecode).or_insert_with(|| fragment.data());
        assert_eq!(*first, fragment.data(), "sent again as it was");
    }
    stored.into_values().flatten().collect()
}

#[tokio::test]
async fn missing_stream_is_made_and_every_fragment_confirmed() {
    let stand_in = StandIn::start([]).await;
    let (source, data) = film();
    let summary = run(&stand_in, source, options()).await.expect("uploaded");
    assert_eq!(summary.fragments().confirmed, FRAGMENTS as u64);
    assert!(stand_in.log().created);
    assert_eq!(durable_data(&stand_in), data);
    let log = stand_in.log();
    assert_eq!(log.sessions.len(), 1);
    let header = |name| log.requests[0].get(name).map(|value| value.as_bytes());
    assert_eq!(header("x-amzn-stream-name"), Some(b"cam".as_slice()));
    assert_eq!(header("x-amzn-fragment-timecode-type"), Some(b"ABSOLUTE".as_slice()));
    assert_eq!(header("transfer-encoding"), Some(b"chunked".as_slice()));
    assert_eq!(header("content-length"), None);
}

#[tokio::test]
async fn what_was_not_persisted_is_sent_again_in_order_after_each_cut() {
    let stand_in =
        StandIn::start([Conduct::CutAfter(3), Conduct::CutAfter(0), Conduct::CutAfter(2)]).await;
    let (source, data) = film();
    let summary = run(&stand_in, source, options()).await.expect("uploaded");
    assert_eq!(durable_data(&stand_in), data, "nothing lost, in order");
    assert!(summary.fragments().resent > 0);
    let log = stand_in.log();
    for (session, unconfirmed) in [(0, 0), (1, 3), (2, 3), (3, 5)] {
        let sent: Vec<_> = log.sessions[session].iter().map(|&t| t as i64 - START).collect();
        assert!(sent[0] <= unconfirmed * 2000, "session {session} leaves out {unconfirmed}");
        assert!(sent.windows(2).all(|pair| pair[1] - pair[0] == 2000), "without gaps: {sent:?}");
    }
}

#[tokio::test]
async fn fragment_that_is_refused_for_good_is_skipped() {
    let stand_in = StandIn::start([Conduct::ErrorAt(4, 4006)]).await;
    let (source, mut data) = film();
    let summary = run(&stand_in, source, options()).await.expect("uploaded");
    data.drain(40..50);
    assert_eq!(durable_data(&stand_in), data);
    assert_eq!(summary.fragments().refused, 1);
}

#[tokio::test]
async fn fragment_that_the_service_lost_is_sent_again() {
    let stand_in = StandIn::start([Conduct::ErrorAt(4, 5001), Conduct::ErrorAt(0, 4003)]).await;
    let (source, data) = film();
    run(&stand_in, source, options()).await.expect("uploaded");
    assert_eq!(durable_data(&stand_in), data);
}

#[tokio::test]
async fn service_that_confirms_nothing_is_left_and_asked_again() {
    let stand_in = StandIn::start([Conduct::SilentAfter(2)]).await;
    let (source, data) = film();
    run(&stand_in, source, options()).await.expect("uploaded");
    assert_eq!(durable_data(&stand_in), data);
}

#[tokio::test]
async fn refused_key_ends_the_upload_with_the_service_words() {
    let stand_in = StandIn::start([Conduct::Refuse(StatusCode::FORBIDDEN)]).await;
    let (source, _) = film();
    let error = run(&stand_in, source, options()).await.expect_err("denied");
    assert!(matches!(error, UploadError::Denied(_)), "{error:?}");
    assert!(error.to_string().contains("go away"), "{error}");
}

#[tokio::test]
async fn file_waits_while_the_spool_is_full() {
    let stand_in = StandIn::start([Conduct::SilentAfter(1)]).await;
    let (source, data) = film();
    let options = Options { spool_bytes: 3000, ..options() };
    let summary = run(&stand_in, source, options).await.expect("uploaded");
    assert_eq!(durable_data(&stand_in), data);
    assert_eq!(summary.fragments().dropped, 0);
}

#[tokio::test]
async fn failure_of_the_source_is_reported_after_its_fragments_are_durable() {
    let stand_in = StandIn::start([]).await;
    let (sender, events) = mpsc::channel(16);
    for event in [
        SourceEvent::Expect(1),
        SourceEvent::Track(video_track()),
        SourceEvent::Frame(frame(VIDEO, 0, true)),
        SourceEvent::Failed("unplugged".to_owned()),
    ] {
        sender.send(event).await.expect("there is room");
    }
    let source = Source { events, live: true, control: Box::new(Uncontrolled) };
    let error = run(&stand_in, source, options()).await.expect_err("the source failed");
    assert_eq!(error.to_string(), "source: unplugged");
    assert_eq!(stand_in.log().durable.len(), 1);
}

#[tokio::test]
async fn stop_ends_the_open_fragment_and_waits_for_its_confirmation() {
    let stand_in = StandIn::start([]).await;
    let (sender, events) = mpsc::channel(16);
    for event in [
        SourceEvent::Expect(1),
        SourceEvent::Track(video_track()),
        SourceEvent::Frame(frame(VIDEO, 0, true)),
        SourceEvent::Frame(frame(VIDEO, 40, false)),
    ] {
        sender.send(event).await.expect("there is room");
    }
    struct Hangup(Option<mpsc::Sender<SourceEvent>>);
    impl SourceControl for Hangup {
        fn stop(&mut self) {
            self.0 = None;
        }
    }
    let source = Source { events, live: true, control: Box::new(Hangup(Some(sender))) };
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stopper.cancel();
    });
    let client = client(&stand_in.url);
    let mut progress = Progress::new(Manner::Log);
    let clock = Clock::system();
    let summary = upload(client, source, options(), clock, &mut progress, &stop).await;
    assert_eq!(summary.expect("stopped").fragments().confirmed, 1);
    assert_eq!(stand_in.log().durable[0].frames.len(), 2);
}
