//! A service of a few lines: knows one stream, takes PutMedia, and misbehaves as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Received, Receiver, Seen};

/// How a session goes.
#[derive(Clone, Copy, Debug)]
pub enum Conduct {
    /// Confirms everything.
    Good,
    /// Confirms so many fragments, receives one more, and cuts the connection.
    CutAfter(usize),
    /// Answers the so-manieth fragment, counted from 0, with an ERROR.
    ErrorAt(usize, u16),
    /// Confirms so many fragments, then nothing, and keeps the connection.
    SilentAfter(usize),
    /// Answers with this status.
    Refuse(StatusCode),
}

/// What has happened.
#[derive(Debug, Default)]
pub struct Log {
    /// The stream exists.
    pub created: bool,
    /// How the next sessions go; good when there are no more.
    pub plan: VecDeque<Conduct>,
    /// Timecodes of fragments that began, by session.
    pub sessions: Vec<Vec<u64>>,
    /// Confirmed fragments, in order.
    pub durable: Vec<Received>,
    /// Heads of PutMedia requests.
    pub requests: Vec<axum::http::HeaderMap>,
}

/// A stand-in that listens.
#[derive(Clone)]
pub struct StandIn {
    /// Where.
    pub url: String,
    log: Arc<Mutex<Log>>,
}

impl StandIn {
    /// Listens on a free port.
    pub async fn start(plan: impl IntoIterator<Item = Conduct>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let log = Log { plan: plan.into_iter().collect(), ..Log::default() };
        let stand_in = Self { url, log: Arc::new(Mutex::new(log)) };
        let routes = Router::new()
            .route("/describeStream", post(describe))
            .route("/createStream", post(create))
            .route("/getDataEndpoint", post(endpoint))
            .route("/putMedia", post(put_media))
            .with_state(stand_in.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        stand_in
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no test panics while it holds the log")
    }
}

async fn describe(State(stand_in): State<StandIn>) -> Response {
    if !stand_in.log().created {
        let headers = [("x-amzn-errortype", "ResourceNotFoundException")];
        return (StatusCode::NOT_FOUND, headers, r#"{"Message":"no such stream"}"#).into_response();
    }
    r#"{"StreamInfo":{"StreamARN":"arn","Status":"ACTIVE","DataRetentionInHours":24}}"#
        .into_response()
}

async fn create(State(stand_in): State<StandIn>) -> Response {
    stand_in.log().created = true;
    r#"{"StreamARN":"arn"}"#.into_response()
}

async fn endpoint(State(stand_in): State<StandIn>) -> Response {
    format!(r#"{{"DataEndpoint":"{}"}}"#, stand_in.url).into_response()
}

async fn put_media(
    State(stand_in): State<StandIn>,
    headers: axum::http::HeaderMap,
    body: Body,
) -> Response {
    let conduct = {
        let mut log = stand_in.log();
        log.requests.push(headers);
        let conduct = log.plan.pop_front().unwrap_or(Conduct::Good);
        if let Conduct::Refuse(status) = conduct {
            let headers = [("x-amzn-errortype", "AccessDeniedException")];
            return (status, headers, r#"{"message":"go away"}"#).into_response();
        }
        log.sessions.push(Vec::new());
        conduct
    };
    let (acks, answer) = mpsc::channel(100);
    tokio::spawn(serve_session(stand_in, conduct, body, acks));
    Body::from_stream(ReceiverStream::new(answer)).into_response()
}

type Acks = mpsc::Sender<std::io::Result<Bytes>>;

async fn serve_session(stand_in: StandIn, conduct: Conduct, body: Body, acks: Acks) {
    let session = stand_in.log().sessions.len() - 1;
    let mut body = body.into_data_stream();
    let mut receiver = Receiver::new();
    let mut ended = 0;
    while let Some(Ok(bytes)) = body.next().await {
        for seen in receiver.push(&bytes) {
            match seen {
                Seen::Begun(timecode) => {
                    stand_in.log().sessions[session].push(timecode);
                    send(&acks, "BUFFERING", timecode, "").await;
                }
                Seen::Ended(fragment) => {
                    let goes_on = on_fragment(&stand_in, conduct, ended, fragment, &acks).await;
                    ended += 1;
                    if !goes_on {
                        // Closing with unread bytes would take the last answers along.
                        while let Some(Ok(_)) = body.next().await {}
                        return;
                    }
                }
            }
        }
    }
}

/// False when the session is over.
async fn on_fragment(
    stand_in: &StandIn,
    conduct: Conduct,
    index: usize,
    fragment: Received,
    acks: &Acks,
) -> bool {
    let timecode = fragment.timecode;
    match conduct {
        Conduct::ErrorAt(at, id) if index == at => {
            send(acks, "ERROR", timecode, &format!(r#","ErrorId":{id},"ErrorCode":"X""#)).await;
            return false;
        }
        Conduct::CutAfter(confirmed) if index >= confirmed => {
            send(acks, "RECEIVED", timecode, "").await;
            // What was confirmed before is to reach the producer.
            tokio::time::sleep(Duration::from_millis(300)).await;
            // The producer may be gone already.
            let _ = acks.send(Err(std::io::ErrorKind::ConnectionReset.into())).await;
            return false;
        }
        Conduct::SilentAfter(confirmed) if index >= confirmed => return true,
        _ => {}
    }
    send(acks, "RECEIVED", timecode, "").await;
    stand_in.log().durable.push(fragment);
    send(acks, "PERSISTED", timecode, "").await;
    true
}

async fn send(acks: &Acks, event: &str, timecode: u64, more: &str) {
    let ack = format!(
        "{{\"EventType\":\"{event}\",\"FragmentTimecode\":{timecode},\
         \"FragmentNumber\":\"{timecode}\"{more}}}\r\n"
    );
    // The producer may be gone already.
    let _ = acks.send(Ok(ack.into())).await;
}
