//! `GET /v1/events`: what happens, as server-sent events, for the console and for curl.
//!
//! One task looks for news on behalf of all who listen; it runs only while somebody does. A listener
//! who falls behind what is buffered is told so and let go: he connects again.

mod news;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use http::header;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, WeakSender, channel};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{ApiError, AppState, Caller, ErrorKind, Routes};
use crate::types::StreamName;
use news::News;

/// How often news is looked for.
const PAUSE: Duration = Duration::from_millis(200);
/// The same when there was more than is told at a time.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Events that a listener may be behind. With [`news::MAX_EVENT_BYTES`], what they take at most.
const MAX_BUFFERED: usize = 512;
/// Listeners at a time.
const MAX_LISTENERS: usize = 500;
/// A silent connection says so often that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const LISTENING: &[u8] = b": listening\n\n";
const STILL_HERE: &[u8] = b": still here\n\n";
const TOO_SLOW: &[u8] = b": too slow, connect again\n\n";

/// The routes of this area.
pub(super) fn routes() -> Routes {
    Routes { native: Router::new().route("/v1/events", get(events)), ..Routes::default() }
}

/// An event as it is sent, and the video stream that it is about.
#[derive(Clone)]
struct Event {
    stream: String,
    frame: Bytes,
}

/// Who listens.
#[derive(Default)]
pub struct Hub {
    /// Lives as long as the task that looks for news.
    told: Mutex<Option<WeakSender<Event>>>,
}

/// What is listened to.
#[derive(Deserialize)]
struct Asked {
    stream: Option<String>,
}

/// `GET /v1/events?stream=`: from now on, until the client goes or the server stops.
async fn events(
    State(app): State<AppState>,
    Query(asked): Query<Asked>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.may_do_all()?;
    let stream = asked.stream.map(|name| name.parse::<StreamName>()).transpose()?;
    let events = app.events.listen(&app).ok_or_else(|| {
        let message = format!("{MAX_LISTENERS} clients listen already.");
        ApiError::new(ErrorKind::ConnectionLimitExceeded, message)
    })?;
    let listener = Listener::new(events, stream, app.shutdown.clone());
    let frames = stream::unfold(listener, |mut listener| async move {
        let frame = listener.next().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), listener))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(frames)).into_response())
}

impl Hub {
    /// Events from now on; `None` when too many listen.
    fn listen(&self, app: &AppState) -> Option<Receiver<Event>> {
        let mut told = self.told();
        if let Some(sender) = told.as_ref().and_then(WeakSender::upgrade) {
            return (sender.receiver_count() < MAX_LISTENERS).then(|| sender.subscribe());
        }
        let (sender, receiver) = channel(MAX_BUFFERED);
        *told = Some(sender.downgrade());
        tokio::spawn(tell(app.clone(), News::new(app), sender));
        Some(receiver)
    }

    /// Gives the sender back while somebody listens. Under the lock: whoever comes finds either a
    /// task that goes on or none.
    fn unless_alone(&self, sender: Sender<Event>) -> Option<Sender<Event>> {
        let _told = self.told();
        (sender.receiver_count() > 0).then_some(sender)
    }

    fn told(&self) -> MutexGuard<'_, Option<WeakSender<Event>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells news until nobody listens any more.
async fn tell(app: AppState, mut news: News, mut sender: Sender<Event>) {
    loop {
        let is_all = news.look(&app, |event| drop(sender.send(event))).await;
        tokio::select! {
            () = sleep(if is_all { PAUSE } else { BUSY_PAUSE }) => {}
            () = app.shutdown.cancelled() => return,
        }
        match app.events.unless_alone(sender) {
            Some(with_listeners) => sender = with_listeners,
            None => return,
        }
    }
}

/// One client.
struct Listener {
    events: Receiver<Event>,
    stream: Option<StreamName>,
    shutdown: CancellationToken,
    keep_alive: Duration,
    is_new: bool,
    is_over: bool,
}

impl Listener {
    fn new(
        events: Receiver<Event>,
        stream: Option<StreamName>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { events, stream, shutdown, keep_alive: KEEP_ALIVE, is_new: true, is_over: false }
    }

    /// What is sent next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        if std::mem::take(&mut self.is_new) {
            return Some(Bytes::from_static(LISTENING));
        }
        let silent = Instant::now() + self.keep_alive;
        loop {
            let event = tokio::select! {
                event = timeout_at(silent, self.events.recv()) => event,
                () = self.shutdown.cancelled() => return None,
            };
            match event {
                Ok(Ok(event)) if self.wants(&event) => return Some(event.frame),
                Ok(Ok(_)) => {}
                Ok(Err(RecvError::Lagged(_))) => {
                    self.is_over = true;
                    return Some(Bytes::from_static(TOO_SLOW));
                }
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => return Some(Bytes::from_static(STILL_HERE)),
            }
        }
    }

    fn wants(&self, event: &Event) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.as_str() == event.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listener who was greeted, and whoever tells him.
    async fn greeted(stream: Option<&str>) -> (Listener, Sender<Event>) {
        let (sender, events) = channel(MAX_BUFFERED);
        let stream = stream.map(|name| name.parse().expect("a stream's name"));
        let mut listener = Listener::new(events, stream, CancellationToken::new());
        assert_eq!(listener.next().await.as_deref(), Some(LISTENING));
        (listener, sender)
    }

    fn tell(sender: &Sender<Event>, stream: &str) {
        let event = Event { stream: stream.to_owned(), frame: Bytes::from_static(b"news") };
        assert!(sender.send(event).is_ok(), "somebody listens");
    }

    #[tokio::test]
    async fn who_is_as_far_behind_as_may_be_hears_everything() {
        let (mut listener, sender) = greeted(None).await;
        (0..MAX_BUFFERED).for_each(|_| tell(&sender, "front"));
        for _ in 0..MAX_BUFFERED {
            assert_eq!(listener.next().await.as_deref(), Some(&b"news"[..]));
        }
    }

    #[tokio::test]
    async fn who_is_farther_behind_is_told_so_and_let_go() {
        let (mut listener, sender) = greeted(None).await;
        (0..=MAX_BUFFERED).for_each(|_| tell(&sender, "front"));
        assert_eq!(listener.next().await.as_deref(), Some(TOO_SLOW));
        assert_eq!(listener.next().await, None);
    }

    #[tokio::test]
    async fn silent_connection_says_that_it_lives_though_others_have_news() {
        let (mut listener, sender) = greeted(Some("front")).await;
        listener.keep_alive = Duration::from_millis(20);
        tell(&sender, "back");
        assert_eq!(listener.next().await.as_deref(), Some(STILL_HERE));
        tell(&sender, "front");
        assert_eq!(listener.next().await.as_deref(), Some(&b"news"[..]));
    }
}
