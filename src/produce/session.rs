//! One PutMedia session: makes the stream when it is missing, uploads, gives acknowledgements.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::spool::Confirmation;
use crate::client::{Ack, Acks, ApiName, Client, Error, StreamDescription};
use crate::types::StreamName;

/// Pieces that wait for the connection beside what the sockets hold.
const BODY_QUEUE: usize = 4;
/// How long the service may take to accept a session.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often and how many times a stream that is being made is asked for.
const ACTIVE_POLL: Duration = Duration::from_secs(1);
const ACTIVE_POLLS: u32 = 30;

/// The stream that sessions send to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Calls the service.
    pub client: Client,
    /// The stream's name.
    pub stream: StreamName,
    /// Retention of the stream if it has to be made.
    pub retention_hours: u32,
    /// Media type of the stream if it has to be made, such as `video/h264,audio/aac`.
    pub media_type: String,
}

/// What a session reports.
#[derive(Debug)]
pub enum SessionEvent {
    /// The service has accepted it.
    Opened(Confirmation),
    /// An acknowledgement.
    Ack(Ack),
    /// The service has ended it.
    Ended,
    /// It could not be opened, or broke.
    Failed(Error),
}

/// A session that is being opened or runs. Dropping it cuts its connection.
pub struct Session {
    body: Option<mpsc::Sender<io::Result<Bytes>>>,
    answers: Answers,
    since: Instant,
}

/// The side of a session that reports.
pub enum Answers {
    /// The service has not accepted it yet.
    Opening(BoxFuture<'static, Result<(Acks, Confirmation), Error>>),
    /// Acknowledgements come.
    Open(Acks),
    /// Nothing more comes.
    Over,
}

impl Session {
    /// Begins to open a session; [`Answers::next`] drives it.
    pub fn open(target: Target) -> Self {
        let (sender, receiver) = mpsc::channel(BODY_QUEUE);
        let opening = async move {
            let (endpoint, confirmation) = target.prepare().await?;
            let body = ReceiverStream::new(receiver);
            let acks = target.client.put_media(&endpoint, &target.stream, body).await?;
            Ok((acks, confirmation))
        };
        Self {
            body: Some(sender),
            answers: Answers::Opening(Box::pin(in_time(opening))),
            since: Instant::now(),
        }
    }

    /// The two sides, to wait for both at once; no body once it was ended.
    pub fn split(&mut self) -> (Option<&mpsc::Sender<io::Result<Bytes>>>, &mut Answers) {
        (self.body.as_ref(), &mut self.answers)
    }

    /// Hands over bytes; the caller has waited for room. False when the connection is gone.
    pub fn send(&self, bytes: Bytes) -> bool {
        self.body.as_ref().is_some_and(|body| body.try_send(Ok(bytes)).is_ok())
    }

    /// Ends the body; acknowledgements still come until the service ends its answer.
    pub fn end_body(&mut self) {
        self.body = None;
    }

    /// The body was ended.
    pub fn is_ending(&self) -> bool {
        self.body.is_none()
    }

    /// The service has accepted it, and it goes on.
    pub fn is_open(&self) -> bool {
        matches!(self.answers, Answers::Open(_))
    }

    /// When it was begun.
    pub fn since(&self) -> Instant {
        self.since
    }
}

impl Answers {
    /// The next report. May be dropped and called again without loss.
    pub async fn next(&mut self) -> SessionEvent {
        match self {
            Self::Opening(opening) => match opening.await {
                Ok((acks, confirmation)) => {
                    *self = Self::Open(acks);
                    SessionEvent::Opened(confirmation)
                }
                Err(error) => self.fail(error),
            },
            Self::Open(acks) => match acks.next().await {
                Ok(Some(ack)) => SessionEvent::Ack(ack),
                Ok(None) => {
                    *self = Self::Over;
                    SessionEvent::Ended
                }
                // One unreadable acknowledgement is no reason to cut the connection: what it
                // would have confirmed is sent again some day.
                Err(Error::Ack(error)) => {
                    tracing::warn!(%error, "passed over an acknowledgement");
                    let kind = crate::client::AckKind::Other(String::new());
                    SessionEvent::Ack(Ack { kind, timecode: None, fragment_number: None })
                }
                Err(error) => self.fail(error),
            },
            Self::Over => std::future::pending().await,
        }
    }

    fn fail(&mut self, error: Error) -> SessionEvent {
        *self = Self::Over;
        SessionEvent::Failed(error)
    }
}

async fn in_time<T>(opening: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = Error::TimedOut { operation: "PutMedia" };
    timeout(OPEN_TIMEOUT, opening).await.unwrap_or(Err(late))
}

impl Target {
    /// Finds the stream, or makes it, and asks where its media goes.
    async fn prepare(&self) -> Result<(reqwest::Url, Confirmation), Error> {
        let retention_hours = match self.client.describe_stream(&self.stream).await {
            Ok(description) => self.wait_until_active(description).await?.retention_hours,
            Err(error) if error.is_not_found() => self.create().await?,
            Err(error) => return Err(error),
        };
        let endpoint = self.client.get_data_endpoint(&self.stream, ApiName::PutMedia).await?;
        let kept = retention_hours > 0;
        let confirmation = if kept { Confirmation::Persisted } else { Confirmation::Received };
        Ok((endpoint, confirmation))
    }

    /// Makes the stream; another producer may be faster, which is as good.
    async fn create(&self) -> Result<u32, Error> {
        let Self { client, stream, media_type, retention_hours } = self;
        match client.create_stream(stream, media_type, *retention_hours).await {
            Ok(_) => Ok(*retention_hours),
            Err(error) if error.is_in_use() => {
                Ok(client.describe_stream(stream).await?.retention_hours)
            }
            Err(error) => Err(error),
        }
    }

    async fn wait_until_active(
        &self,
        mut description: StreamDescription,
    ) -> Result<StreamDescription, Error> {
        for _ in 0..ACTIVE_POLLS {
            if !matches!(description.status.as_str(), "CREATING" | "UPDATING") {
                break;
            }
            sleep(ACTIVE_POLL).await;
            description = self.client.describe_stream(&self.stream).await?;
        }
        Ok(description)
    }
}
