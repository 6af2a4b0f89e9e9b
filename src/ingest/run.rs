//! One upload: the session's outputs go to the store, the store's answers become acks.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesOrdered, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{self, Instant};

use super::pace::{Pace, Times};
use super::{Ack, Limits, Output, Refusal, Session, TimecodeType};
use crate::store::{FragmentInfo, FragmentWriter, MediaStream, PersistError, Receiving};
use crate::types::FragmentNumber;

/// How long a producer may leave its acks unread.
const ACK_UNREAD: Duration = Duration::from_secs(30);
/// How long the rest of a refused upload is read and thrown away, so that closing the connection
/// does not reset it before the producer has read the ERROR ack.
const DRAIN: Duration = Duration::from_secs(2);

/// One PutMedia connection.
pub struct Upload {
    /// Where the fragments go.
    pub stream: Arc<MediaStream>,
    /// How cluster timecodes are read.
    pub timecodes: TimecodeType,
    /// What the producer may send.
    pub limits: Limits,
    /// Where the acks go; a closed receiver ends the upload.
    pub acks: mpsc::Sender<Ack>,
}

/// How an upload ended.
#[derive(Debug)]
pub enum End {
    /// The body ended in order.
    Complete,
    /// The connection broke; its open fragment is given up.
    Broken(String),
    /// The producer was told why with an ERROR ack.
    Refused(Refusal),
    /// The server is shutting down.
    Shutdown,
}

type Persist = Pin<Box<dyn Future<Output = (Named, Result<FragmentInfo, PersistError>)> + Send>>;

/// What an acknowledgement calls a fragment.
#[derive(Clone, Copy)]
struct Named {
    timecode_ms: i64,
    number: FragmentNumber,
}

/// The fragment being received.
struct Open {
    writer: FragmentWriter,
    named: Named,
}

struct Run {
    session: Session,
    stream: Arc<MediaStream>,
    limits: Limits,
    acks: mpsc::Sender<Ack>,
    open: Option<Open>,
    persists: FuturesOrdered<Persist>,
    /// Our share of the memory for media that is not durable.
    receiving: Receiving,
    /// The first fragment that could not be made durable. From then on nothing is acknowledged as
    /// persisted any more: a producer takes that ack to cover all that it sent before.
    lost: Option<Named>,
    fragments: Pace,
}

/// Receives `body` until it ends, breaks, is refused, or `shutdown` completes. Whatever was
/// complete by then is still made durable, and acknowledged if the producer still listens.
pub async fn run<B, E>(upload: Upload, mut body: B, shutdown: impl Future<Output = ()>) -> End
where
    B: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    let Upload { stream, timecodes, limits, acks } = upload;
    let mut run = Run {
        session: Session::new(timecodes, limits),
        receiving: stream.receiving(),
        stream,
        limits,
        acks,
        open: None,
        persists: FuturesOrdered::new(),
        lost: None,
        fragments: Pace::new(limits.fragments_per_second, Instant::now()),
    };
    let end = tokio::select! {
        received = run.receive(&mut body) => received.err().unwrap_or(End::Complete),
        () = shutdown => End::Shutdown,
    };
    run.end(end, body).await
}

impl Run {
    /// Receives to the body's end.
    async fn receive<B, E>(&mut self, body: &mut B) -> Result<(), End>
    where
        B: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let start = Instant::now();
        let mut pace = Pace::new(self.limits.bytes_per_second, start);
        let mut times = Times::new(&self.limits, start);
        // Data only moves the times further away, so one timer that is set again when it fires
        // does for all of them, and a frame costs no timer at all.
        let mut timer = pin!(time::sleep_until(times.next()));
        let mut waited_for_room = false;
        loop {
            waited_for_room |= !self.receiving.has_room();
            tokio::select! {
                biased;
                Some(persisted) = self.persists.next() => {
                    if self.persists.len() + 1 == self.limits.unpersisted_fragments {
                        // The producer's silence was our doing, and ends now.
                        times.forgive(Instant::now());
                    }
                    self.persisted(persisted).await?;
                }
                data = next_with_room(&self.receiving, body), if !self.waits_for_disk() => {
                    if std::mem::take(&mut waited_for_room) {
                        times.forgive(Instant::now());
                    }
                    match data {
                        Some(Ok(data)) => {
                            let wait = pace.take(data.len() as u64, Instant::now());
                            self.push(&data).await?;
                            if !wait.is_zero() {
                                time::sleep(wait).await;
                            }
                            // Not before the push, which may have waited for the disk.
                            times.brought(data.len(), Instant::now());
                        }
                        Some(Err(error)) => return Err(End::Broken(error.to_string())),
                        None => return self.finish().await,
                    }
                }
                () = timer.as_mut() => {
                    self.on_time(&mut times).await?;
                    timer.as_mut().reset(times.next());
                }
            }
        }
    }

    /// Acts on the times that have come.
    async fn on_time(&mut self, times: &mut Times) -> Result<(), End> {
        let now = Instant::now();
        if self.waits_for_disk() || !self.receiving.has_room() {
            times.forgive(now);
        }
        if times.is_idle(now) {
            return Err(self.idle());
        }
        if times.wants_sign_of_life(now) {
            self.ack(Ack::Idle).await?;
        }
        if now >= times.connection_ends {
            return Err(End::Refused(Refusal::ConnectionTooLong));
        }
        Ok(())
    }

    /// A producer that is held back by our disk is not slow.
    fn waits_for_disk(&self) -> bool {
        self.persists.len() >= self.limits.unpersisted_fragments
    }

    /// Ends a connection that brings nothing: an error only for what it left half done.
    fn idle(&self) -> End {
        match self.open {
            Some(_) => {
                let minimum = self.limits.minimum_bytes_per_second;
                End::Refused(Refusal::TooSlow { minimum })
            }
            None => End::Complete,
        }
    }

    async fn push(&mut self, data: &[u8]) -> Result<(), End> {
        let pushed = self.session.push(data);
        self.receiving.hold(self.session.held_bytes() as u64);
        // What came before the offending element is handed on first.
        self.drain_outputs().await?;
        pushed.map_err(End::Refused)
    }

    async fn finish(&mut self) -> Result<(), End> {
        let finished = self.session.finish();
        self.receiving.hold(self.session.held_bytes() as u64);
        self.drain_outputs().await?;
        finished.map_err(End::Refused)
    }

    async fn drain_outputs(&mut self) -> Result<(), End> {
        while let Some(output) = self.session.next_output() {
            match output {
                Output::Begin { head, producer, format, timecode_ms } => {
                    // The one place where a store that is behind its disk slows us down.
                    self.stream.ready().await;
                    let writer = self.stream.begin(head, producer, format);
                    let number = writer.number();
                    self.open = Some(Open { writer, named: Named { timecode_ms, number } });
                    self.ack(Ack::Buffering { timecode_ms, number }).await?;
                    let wait = self.fragments.take(1, Instant::now());
                    if !wait.is_zero() {
                        time::sleep(wait).await;
                    }
                }
                Output::Cluster(bytes) => self.with_open(|open| open.writer.push(bytes)),
                Output::Trailer(bytes) => self.with_open(|open| open.writer.push_trailer(bytes)),
                Output::Complete { duration } => {
                    let Some(Open { writer, named }) = self.open.take() else { continue };
                    let persisted = writer.finish(duration);
                    self.receiving.complete();
                    self.persists.push_back(Box::pin(async move { (named, persisted.await) }));
                    let Named { timecode_ms, number } = named;
                    self.ack(Ack::Received { timecode_ms, number }).await?;
                }
            }
        }
        Ok(())
    }

    fn with_open(&mut self, use_it: impl FnOnce(&mut Open)) {
        if let Some(open) = &mut self.open {
            use_it(open);
        }
    }

    async fn persisted(
        &mut self,
        (named, result): (Named, Result<FragmentInfo, PersistError>),
    ) -> Result<(), End> {
        match result {
            _ if self.lost.is_some() => Ok(()),
            Ok(FragmentInfo { number, .. }) => {
                self.ack(Ack::Persisted { timecode_ms: named.timecode_ms, number }).await
            }
            Err(error) => {
                self.lost = Some(named);
                Err(End::Refused(match error {
                    PersistError::StreamDeleted => Refusal::StreamNotActive,
                    error => Refusal::NotPersisted(error),
                }))
            }
        }
    }

    async fn ack(&mut self, ack: Ack) -> Result<(), End> {
        match self.acks.send_timeout(ack, ACK_UNREAD).await {
            Ok(()) => Ok(()),
            Err(_) => Err(End::Broken("the producer does not read its acks".to_owned())),
        }
    }

    /// Gives the open fragment up, waits for what is on its way to the disk, and tells a refused
    /// producer why.
    async fn end<B, E>(mut self, mut end: End, mut body: B) -> End
    where
        B: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let open = self.open.take().map(|open| open.named);
        while let Some(persisted) = self.persists.next().await {
            // The earliest fragment that is lost is the one to tell about.
            if let Err(worse @ End::Refused(_)) = self.persisted(persisted).await
                && matches!(end, End::Complete | End::Refused(_))
            {
                end = worse;
            }
        }
        let End::Refused(refusal) = &end else { return end };
        let named = self.lost.or(open);
        let timecode_ms = named.map(|named| named.timecode_ms);
        let timecode_ms = timecode_ms.or_else(|| self.session.open_timecode_ms());
        let number = named.map(|named| named.number);
        let error = Ack::Error { timecode_ms, number, refusal: refusal.clone() };
        if self.ack(error).await.is_ok() {
            // The response ends with the acks, the request when the producer has seen it.
            drop(self.acks);
            let _ =
                time::timeout(DRAIN, async { while let Some(Ok(_)) = body.next().await {} }).await;
        }
        end
    }
}

/// The body's next bytes, once there is memory for them: until then the producer's own socket
/// fills up, and TCP makes it wait.
async fn next_with_room<B: Stream + Unpin>(receiving: &Receiving, body: &mut B) -> Option<B::Item> {
    receiving.room().await;
    body.next().await
}

#[cfg(test)]
mod tests;
