//! A receiver of alerts, as somebody would write one: it believes nothing unsigned.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use subtle::ConstantTimeEq;
use tokio::task::JoinHandle;

use crate::cli::Failure;
use crate::clock::Clock;
use crate::wire::alerts::{Notice, SIGNATURE_HEADER, signature};

/// The largest alert that is read.
const MAX_BODY_BYTES: usize = 4 << 20;
/// How old a signature may be, in seconds.
const OLDEST: i64 = 300;

/// Receives alerts on a port of its own until it is dropped, and prints them.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    inbox: Arc<Inbox>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Inbox {
    secret: String,
    clock: Clock,
    taken: Mutex<Taken>,
}

/// What came.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Each alert once, however often it was told.
    pub notices: Vec<Notice>,
    /// Messages that were not signed as they should be, or no alerts.
    pub refused: usize,
}

impl Receiver {
    /// Listens on a free port of this machine.
    pub async fn start(clock: Clock) -> Result<Self, Failure> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let secret = format!("{:016x}{:016x}", getrandom::u64()?, getrandom::u64()?);
        let inbox = Arc::new(Inbox { secret, clock, taken: Mutex::default() });
        let router = Router::new()
            .route("/alerts", post(receive))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(Arc::clone(&inbox));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("alerts are not received: {error}");
            }
        });
        Ok(Self { address, inbox, serving })
    }

    /// Where alerts are sent.
    pub fn url(&self) -> String {
        format!("http://{}/alerts", self.address)
    }

    /// What they are signed with.
    pub fn secret(&self) -> &str {
        &self.inbox.secret
    }

    /// What came so far.
    pub fn taken(&self) -> Taken {
        self.inbox.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn receive(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
    let now = inbox.clock.now().as_millis().div_euclid(1000);
    let signed = header.is_some_and(|header| is_signed(header, &inbox.secret, now, &body));
    let notice = serde_json::from_slice::<Notice>(&body).ok().filter(|_| signed);
    let mut taken = inbox.taken.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(notice) = notice else {
        taken.refused += 1;
        return StatusCode::BAD_REQUEST;
    };
    if !taken.notices.iter().any(|known| known.alert.id == notice.alert.id) {
        println!("kinora demo: {}", told(&notice));
        taken.notices.push(notice);
    }
    StatusCode::OK
}

/// Whether `header` is our signature of the body, and a fresh one.
fn is_signed(header: &str, secret: &str, now: i64, body: &[u8]) -> bool {
    let time = header.strip_prefix("t=").and_then(|rest| rest.split_once(','));
    let Some(seconds) = time.and_then(|(seconds, _)| seconds.parse::<i64>().ok()) else {
        return false;
    };
    let expected = signature(secret, seconds, body);
    seconds.abs_diff(now) <= OLDEST.unsigned_abs()
        && bool::from(expected.as_bytes().ct_eq(header.as_bytes()))
}

fn told(notice: &Notice) -> String {
    let alert = &notice.alert;
    let name = alert.event.as_ref().and_then(|event| event.person_name.as_deref());
    let who = name.unwrap_or("somebody unknown");
    let seconds = jiff::Timestamp::from_second(alert.time.floor() as i64);
    let when = seconds.map_or_else(|_| alert.time.to_string(), |time| time.to_string());
    format!("alert: {who} in {:?} at {when}, clip: {}", alert.stream, notice.clip_url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fresh_signatures_of_the_whole_body_are_believed() {
        let header = signature("secret", 1000, b"{}");
        assert!(is_signed(&header, "secret", 1005, b"{}"));
        assert!(!is_signed(&header, "secret", 1000 + OLDEST + 1, b"{}"));
        assert!(!is_signed(&header, "secret", 1005, b"{ }"));
        assert!(!is_signed(&header, "another", 1005, b"{}"));
        assert!(!is_signed("t=1000", "secret", 1005, b"{}"));
        assert!(!is_signed("", "secret", 1005, b"{}"));
    }
}
