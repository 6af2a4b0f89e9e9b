//! The upload loop: source to spool, spool to session, acknowledgements to spool, and a new
//! session whenever one ends too early.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::fragmenter::{FragmentLimits, Fragmenter, Irregular, Piece};
use super::interleave::{Interleaved, Interleaver, Patience};
use super::progress::{Progress, Snapshot};
use super::session::{Session, SessionEvent, Target};
use super::source::{SOURCE_STOP_TIMEOUT, Source, SourceEvent};
use super::spool::{Applied, DEFAULT_SPOOL_BYTES, Next, Spool, SpoolStats};
use crate::client::{Ack, AckKind, Backoff, Client, Error};
use crate::clock::Clock;
use crate::media::mkv::TrackKind;
use crate::types::StreamName;

/// First and longest wait between attempts to open a session.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// A session is replaced after so long, at the end of a fragment; the service ends it after 45
/// minutes wherever it stands (ERROR 4003).
const MAX_SESSION_AGE: Duration = Duration::from_secs(40 * 60);
/// As kvssink's `connection-staleness`.
const DEFAULT_STALE_AFTER: Duration = Duration::from_secs(60);
/// How long the last answers may take once everything is confirmed and the body has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(250);

/// What to upload, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stream; made when it is missing.
    pub stream: StreamName,
    /// Retention of the stream if it has to be made.
    pub retention_hours: u32,
    /// Media type of the stream if it has to be made.
    pub media_type: String,
    /// How fragments are cut.
    pub fragments: FragmentLimits,
    /// Memory for unconfirmed fragments.
    pub spool_bytes: usize,
    /// Stop by itself after so long.
    pub duration: Option<Duration>,
    /// How long the last confirmations may take once the source has ended.
    pub drain: Duration,
    /// A session that confirms nothing for so long, with something to confirm, is left.
    pub stale_after: Duration,
}

impl Options {
    /// The defaults, for one stream.
    pub fn new(stream: StreamName) -> Self {
        Self {
            stream,
            retention_hours: 24,
            media_type: "video/h264,audio/aac".to_owned(),
            fragments: FragmentLimits::default(),
            spool_bytes: DEFAULT_SPOOL_BYTES,
            duration: None,
            drain: Duration::from_secs(30),
            stale_after: DEFAULT_STALE_AFTER,
        }
    }
}

/// What an upload did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Counts and bytes at the end.
    pub last: Snapshot,
    /// Frames that were not sent as they came.
    pub irregular: Irregular,
    /// From start to end.
    pub elapsed: Duration,
}

/// Why an upload ended before its time. What was confirmed until then is safe.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The service does not accept the key.
    #[error(
        "{0}\nThe key is unknown, wrong, or not allowed to do this; see --help for where keys come from."
    )]
    Denied(Error),
    /// The service cannot be used with these options.
    #[error("{0}")]
    Service(Error),
    /// The source broke or gave nothing.
    #[error("source: {0}")]
    Source(String),
    /// The service did not confirm everything in time.
    #[error("{fragments} fragments were not confirmed in time")]
    Unconfirmed {
        /// How many.
        fragments: usize,
    },
}

/// Uploads `source` until it ends, `stop` is cancelled or the duration is over; then waits until
/// the last fragment is confirmed.
pub async fn upload(
    client: Client,
    source: Source,
    options: Options,
    clock: Clock,
    progress: &mut Progress,
    stop: &CancellationToken,
) -> Result<Summary, UploadError> {
    let mut upload = Upload::new(client, source, options, clock);
    let outcome = upload.run(progress, stop).await;
    progress.finish();
    outcome.map(|()| Summary {
        last: upload.snapshot(),
        irregular: upload.fragmenter.irregular(),
        elapsed: upload.started.elapsed(),
    })
}

struct Upload {
    target: Target,
    source: Source,
    clock: Clock,
    interleaver: Interleaver,
    fragmenter: Fragmenter,
    spool: Spool,
    session: Option<Session>,
    /// When the next session is opened, while there is none.
    retry_at: Instant,
    backoff: Backoff,
    stage: Stage,
    drain: Duration,
    stale_after: Duration,
    started: Instant,
    ends_at: Option<Instant>,
    /// The service has accepted a session before.
    ever_opened: bool,
    /// The last confirmation, or the moment something began to wait for one.
    last_confirmation: Instant,
    source_failure: Option<String>,
    counted_track: Option<u64>,
    frames: u64,
    sent_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The source gives frames.
    Running,
    /// The source was asked to end and may take until then.
    Stopping(Instant),
    /// The source has ended; confirmations may take until then.
    Draining(Instant),
}

/// Why the loop woke.
enum Wake {
    Source(Option<SourceEvent>),
    Room,
    Session(SessionEvent),
    Retry,
    Tick,
    Stop,
}

impl Upload {
    fn new(client: Client, source: Source, options: Options, clock: Clock) -> Self {
        let Options { stream, retention_hours, media_type, fragments, spool_bytes, .. } = options;
        let now = Instant::now();
        let writing_app = concat!("kinora ", env!("CARGO_PKG_VERSION")).to_owned();
        let patience = if source.live { Patience::LIVE } else { Patience::FILE };
        Self {
            target: Target { client, stream, retention_hours, media_type },
            source,
            clock,
            interleaver: Interleaver::new(patience),
            fragmenter: Fragmenter::new(fragments, writing_app),
            spool: Spool::new(spool_bytes),
            session: None,
            retry_at: now,
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            stage: Stage::Running,
            drain: options.drain,
            stale_after: options.stale_after,
            started: now,
            ends_at: options.duration.map(|duration| now + duration),
            ever_opened: false,
            last_confirmation: now,
            source_failure: None,
            counted_track: None,
            frames: 0,
            sent_bytes: 0,
        }
    }

    async fn run(
        &mut self,
        progress: &mut Progress,
        stop: &CancellationToken,
    ) -> Result<(), UploadError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_done() {
            match self.next_wake(&mut ticks, stop).await {
                Wake::Source(event) => self.on_source(event, progress),
                Wake::Room => self.send_next(),
                Wake::Session(event) => self.on_session(event, progress)?,
                Wake::Retry => self.open_session(),
                Wake::Tick => self.on_tick(progress)?,
                Wake::Stop => self.stop_source(),
            }
        }
        self.close_session().await;
        match self.source_failure.take() {
            Some(failure) => Err(UploadError::Source(failure)),
            None => Ok(()),
        }
    }

    async fn next_wake(&mut self, ticks: &mut Interval, stop: &CancellationToken) -> Wake {
        let draining = matches!(self.stage, Stage::Draining(_));
        let takes_events = !draining && (self.source.live || !self.spool.is_full());
        let running = self.stage == Stage::Running;
        let has_next = self.spool.has_next();
        let has_session = self.session.is_some();
        let (body, answers) = match &mut self.session {
            Some(session) => {
                let (body, answers) = session.split();
                (body.filter(|_| has_next), Some(answers))
            }
            None => (None, None),
        };
        let room = async {
            match body {
                // A closed body shows in the answers.
                Some(body) if body.reserve().await.is_ok() => {}
                _ => std::future::pending().await,
            }
        };
        let report = async {
            match answers {
                Some(answers) => answers.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Acknowledgements first: they free memory and may end the session.
            biased;
            event = report => Wake::Session(event),
            () = stop.cancelled(), if running => Wake::Stop,
            _ = ticks.tick() => Wake::Tick,
            () = room => Wake::Room,
            event = self.source.events.recv(), if takes_events => Wake::Source(event),
            () = sleep_until(self.retry_at), if !has_session => Wake::Retry,
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Draining(_)) && self.spool.is_empty()
    }

    fn on_source(&mut self, event: Option<SourceEvent>, progress: &Progress) {
        let mut pieces = Vec::new();
        let ended = match event {
            Some(SourceEvent::Failed(failure)) => {
                self.source_failure = Some(failure.clone());
                self.interleaver.push(SourceEvent::Failed(failure));
                true
            }
            Some(event) => {
                let ended = event == SourceEvent::End;
                self.interleaver.push(event);
                ended
            }
            None => {
                self.interleaver.push(SourceEvent::End);
                true
            }
        };
        while let Some(output) = self.interleaver.next_output() {
            self.on_interleaved(output, &mut pieces);
        }
        if ended {
            self.fragmenter.finish(&mut pieces);
            self.stage = Stage::Draining(Instant::now() + self.drain);
        }
        self.keep(pieces, progress);
    }

    fn on_interleaved(&mut self, output: Interleaved, pieces: &mut Vec<Piece>) {
        match output {
            Interleaved::Tracks(tracks) => {
                let is_video = |kind: &TrackKind| matches!(kind, TrackKind::Video { .. });
                let counted = tracks.iter().find(|track| is_video(&track.kind));
                self.counted_track = counted.or(tracks.first()).map(|track| track.number);
                self.fragmenter.set_tracks(tracks);
            }
            Interleaved::Frame(frame) => {
                self.frames += u64::from(Some(frame.track) == self.counted_track);
                self.fragmenter.push(&frame, pieces);
            }
        }
    }

    fn keep(&mut self, pieces: Vec<Piece>, progress: &Progress) {
        for piece in pieces {
            self.spool.push(piece);
        }
        if self.source.live {
            let dropped = self.spool.drop_oldest();
            if dropped > 0 {
                progress
                    .note(&format!("the spool is full: gave up the {dropped} oldest fragments"));
            }
        }
    }

    fn open_session(&mut self) {
        self.spool.begin_session();
        self.session = Some(Session::open(self.target.clone()));
        self.last_confirmation = Instant::now();
    }

    fn send_next(&mut self) {
        let Some(session) = &mut self.session else { return };
        match self.spool.next_send() {
            Some(Next::Bytes(bytes)) => {
                self.sent_bytes += bytes.len() as u64;
                session.send(bytes);
            }
            Some(Next::EndSession) => session.end_body(),
            None => {}
        }
    }

    fn on_session(&mut self, event: SessionEvent, progress: &Progress) -> Result<(), UploadError> {
        match event {
            SessionEvent::Opened(confirmation) => {
                self.spool.set_confirmation(confirmation);
                if self.ever_opened && self.backoff.attempts() > 0 {
                    progress.note("connected again");
                }
                self.ever_opened = true;
                Ok(())
            }
            SessionEvent::Ack(ack) => {
                self.on_ack(&ack, progress);
                Ok(())
            }
            SessionEvent::Ended => {
                // A session we ended is followed by the next at once.
                let planned = self.session.as_ref().is_some_and(Session::is_ending);
                self.reopen(planned, "the service ended the session", progress);
                Ok(())
            }
            SessionEvent::Failed(error) => self.on_failure(error, progress),
        }
    }

    fn on_ack(&mut self, ack: &Ack, progress: &Progress) {
        let applied = self.spool.apply(ack);
        if applied == Applied::Confirmed {
            self.last_confirmation = Instant::now();
            self.backoff.reset();
        }
        let AckKind::Error { id, code } = &ack.kind else { return };
        let why = match applied {
            Applied::Refused { timecode: Some(timecode) } => {
                format!("fragment {timecode} was refused: {id} {code}")
            }
            _ => format!("the service reports {id} {code}"),
        };
        self.reopen(false, &why, progress);
    }

    fn on_failure(&mut self, error: Error, progress: &Progress) -> Result<(), UploadError> {
        let fatal = !self.ever_opened && !error.is_transient() && !error.is_not_found();
        if fatal && error.is_denied() {
            return Err(UploadError::Denied(error));
        }
        if fatal {
            return Err(UploadError::Service(error));
        }
        self.reopen(false, &error.to_string(), progress);
        Ok(())
    }

    /// Leaves the session; what it did not confirm is sent again by the next.
    fn reopen(&mut self, at_once: bool, why: &str, progress: &Progress) {
        self.session = None;
        self.retry_at = Instant::now();
        if at_once {
            return;
        }
        // Without randomness producers merely come back together.
        let wait = self.backoff.next_wait(getrandom::u32().unwrap_or(0));
        self.retry_at += wait;
        progress.note(&format!("{why}; next attempt in {:.1} s", wait.as_secs_f64()));
    }

    fn on_tick(&mut self, progress: &mut Progress) -> Result<(), UploadError> {
        let now = Instant::now();
        progress.tell(self.snapshot(), self.clock.now());
        match self.stage {
            Stage::Running if self.ends_at.is_some_and(|end| now >= end) => self.stop_source(),
            Stage::Stopping(deadline) if now >= deadline => self.on_source(None, progress),
            Stage::Draining(deadline) if now >= deadline => {
                return Err(UploadError::Unconfirmed { fragments: self.spool.len() });
            }
            _ => {}
        }
        if !self.spool.awaits_confirmation() {
            self.last_confirmation = now;
        } else if self.session.is_some() && now - self.last_confirmation >= self.stale_after {
            self.reopen(false, "the service confirms nothing", progress);
        }
        let aged = |session: &Session| now - session.since() >= MAX_SESSION_AGE;
        if self.session.as_ref().is_some_and(aged) {
            self.spool.request_session_end();
        }
        Ok(())
    }

    fn stop_source(&mut self) {
        if self.stage == Stage::Running {
            self.stage = Stage::Stopping(Instant::now() + SOURCE_STOP_TIMEOUT);
            self.source.control.stop();
        }
    }

    /// Ends the body and waits for the end of the answer, so that the service sees a clean end.
    async fn close_session(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        session.end_body();
        let (_, answers) = session.split();
        let closed = async {
            while !matches!(answers.next().await, SessionEvent::Ended | SessionEvent::Failed(_)) {}
        };
        // A service that keeps its answer open has confirmed everything all the same.
        let _ = timeout(CLOSE_TIMEOUT, closed).await;
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            frames: self.frames,
            sent_bytes: self.sent_bytes,
            spool: self.spool.stats(),
            waiting: self.spool.len(),
            waiting_bytes: self.spool.bytes(),
            connected: self.session.as_ref().is_some_and(Session::is_open),
            live: self.source.live,
        }
    }
}

impl Summary {
    /// What became of the fragments.
    pub fn fragments(&self) -> SpoolStats {
        self.last.spool
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let SpoolStats { confirmed, confirmed_bytes, dropped, refused, resent, .. } =
            self.fragments();
        let megabytes = confirmed_bytes as f64 / 1e6;
        let seconds = self.elapsed.as_secs_f64();
        write!(f, "{confirmed} fragments persisted, {megabytes:.1} MB in {seconds:.1} s")?;
        let Irregular { skipped_frames, forced_cuts } = self.irregular;
        for (count, words) in [
            (resent, "sent again"),
            (dropped, "given up for lack of memory"),
            (refused, "refused by the service"),
            (forced_cuts, "begun without a key frame"),
            (skipped_frames, "frames left out at the start"),
        ] {
            if count > 0 {
                write!(f, ", {words}: {count}")?;
            }
        }
        Ok(())
    }
}
