//! `PUT /v1/streams/{stream}/media`: a file comes in while its acknowledgements go out, a line each.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::header;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::Span;

use super::put_media::{limits, shape_of};
use crate::api::archive::native::millis;
use crate::api::{ApiError, App, AppState, Caller, ErrorKind, MediaBody, find_stream};
use crate::config::Config;
use crate::ingest::{Ack, FileError, FileUpload, SpoolRoom, run_file};
use crate::media::remux::Start;
use crate::types::{FragmentNumber, ProducerTimestamp};
use crate::wire::media::FileLine;

/// Folder of the data directory for the temporary files of uploads.
const SPOOL_FOLDER: &str = "uploads";
/// Lines that may wait for the sender to read them.
const LINES_WAITING: usize = 64;
/// How long the rest of a refused file is read and thrown away, so that closing the connection does
/// not reset it before the sender has read why.
const DRAIN: Duration = Duration::from_secs(2);

/// What the uploads of files share.
pub struct Files {
    room: Arc<SpoolRoom>,
    permits: Arc<Semaphore>,
}

impl Files {
    /// Makes the folder for temporary files, or clears it.
    pub fn open(config: &Config) -> std::io::Result<Self> {
        let limits = &config.files;
        let room = SpoolRoom::open(config.data.join(SPOOL_FOLDER), limits.max_spool_bytes)?;
        let permits = limits.max_uploads.min(Semaphore::MAX_PERMITS);
        Ok(Self { room: Arc::new(room), permits: Arc::new(Semaphore::new(permits)) })
    }
}

#[derive(Deserialize)]
pub(super) struct Parameters {
    /// When the first frame was: a time, or `embedded` for what the file says.
    start: Option<String>,
}

/// One line of the answer.
enum Line {
    Ack(Ack),
    Note(String),
    /// The file was taken to its end.
    End {
        stored: Stored,
        end: Option<ProducerTimestamp>,
    },
    /// It was not; an ERROR ack has not said so yet.
    Failed(FileError),
}

/// What became of a file's fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stored {
    /// Persisted, the repeated ones included.
    fragments: u64,
    /// Those that were stored before.
    repeated: u64,
}

pub(super) async fn put_file(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Query(parameters): Query<Parameters>,
    caller: Caller,
    body: Body,
) -> Result<Response, ApiError> {
    caller.may_do_all()?;
    let stream = find_stream(&app, Some(&name), None)?;
    let media = app.store.media(stream.id).ok_or_else(ApiError::no_stream)?;
    if app.store.poisoned().is_some() {
        return Err(ApiError::new(
            ErrorKind::Unavailable,
            "The store accepts no writes since a disk failure; see /healthz.",
        ));
    }
    let start = start(parameters.start.as_deref(), app.clock.now().as_millis())?;
    let permit = Arc::clone(&app.files.permits).try_acquire_owned().map_err(|_| {
        let most = app.config.files.max_uploads;
        let message = format!("There are {most} uploads of files already, as many as may be.");
        ApiError::new(ErrorKind::ConnectionLimitExceeded, message)
    })?;
    let (acks, waiting_acks) = mpsc::channel(LINES_WAITING);
    let (notes, waiting_notes) = mpsc::channel(LINES_WAITING);
    let upload = FileUpload {
        stream: media,
        start,
        limits: limits(&app.config.put_media),
        spool: Arc::clone(&app.files.room),
        acks,
        notes,
    };
    let (lines, waiting) = mpsc::channel(LINES_WAITING);
    let telling = Telling { app: Arc::clone(&app), lines, stored: Stored::default() };
    let span = tracing::info_span!("put_file", stream = %stream.name());
    let body = MediaBody::begin(body).await;
    let task = Task { upload, permit, waiting_acks, waiting_notes, telling, span };
    tokio::spawn(task.run(body));
    answer(waiting).await
}

fn start(given: Option<&str>, now_ms: i64) -> Result<Start, ApiError> {
    match given {
        None => Ok(Start::EmbeddedOr(ProducerTimestamp::from_millis(now_ms))),
        Some("embedded") => Ok(Start::Embedded),
        Some(text) => match millis(text)? {
            ms @ 0.. => Ok(Start::At(ProducerTimestamp::from_millis(ms))),
            _ => Err(ApiError::invalid("start must not be before 1970.")),
        },
    }
}

/// The upload runs as a task of its own, as PutMedia does: whoever closes the connection does not
/// keep a complete fragment from the disk.
struct Task {
    upload: FileUpload,
    /// Held to the end.
    permit: OwnedSemaphorePermit,
    waiting_acks: mpsc::Receiver<Ack>,
    waiting_notes: mpsc::Receiver<String>,
    telling: Telling,
    span: Span,
}

impl Task {
    async fn run(self, body: MediaBody) {
        let Self { upload, permit: _permit, waiting_acks, waiting_notes, mut telling, span } = self;
        let app = Arc::clone(&telling.app);
        let _open = app.metrics.put_media_connections.enter();
        span.in_scope(|| tracing::info!("upload of a file began"));
        let mut body = pieces(Arc::clone(&app), body);
        let received = run_file(upload, &mut body, app.shutdown.cancelled());
        let told = telling.tell(waiting_acks, waiting_notes);
        let (outcome, ()) = tokio::join!(received, told);
        match outcome {
            Ok(end) => {
                let Stored { fragments, repeated } = telling.stored;
                span.in_scope(|| tracing::info!(fragments, repeated, "upload of a file ended"));
                telling.send(Line::End { stored: telling.stored, end }).await;
            }
            Err(error) => {
                span.in_scope(|| tracing::warn!("upload of a file refused: {error}"));
                if !matches!(error, FileError::Refused) {
                    telling.send(Line::Failed(error)).await;
                }
                drop(telling);
                let drain = async { while let Some(Ok(_)) = body.next().await {} };
                // The time is up, or the sender has seen it: the same to us.
                let _ = tokio::time::timeout(DRAIN, drain).await;
            }
        }
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, axum::Error>> + Send>>;

/// The body's bytes, counted.
fn pieces(app: AppState, body: MediaBody) -> Pieces {
    let bytes = stream::unfold(body, |mut body| async move {
        let next = body.next().await?;
        Some((next, body))
    });
    let counted = bytes.inspect(move |bytes| {
        let bytes = bytes.as_ref().map_or(0, Bytes::len);
        app.metrics.put_media_bytes.add(bytes as u64);
    });
    Box::pin(counted.fuse())
}

/// Turns what happens into lines of the answer.
struct Telling {
    app: Arc<App>,
    lines: mpsc::Sender<Line>,
    stored: Stored,
}

impl Telling {
    /// Passes acks and notes on until there are no more, or nobody listens.
    async fn tell(&mut self, mut acks: mpsc::Receiver<Ack>, mut notes: mpsc::Receiver<String>) {
        let mut begun = VecDeque::new();
        let (mut acks_open, mut notes_open) = (true, true);
        while acks_open || notes_open {
            let line = tokio::select! {
                biased;
                note = notes.recv(), if notes_open => match note {
                    Some(note) => Line::Note(note),
                    None => { notes_open = false; continue }
                },
                ack = acks.recv(), if acks_open => match ack {
                    Some(ack) => { self.count(&ack, &mut begun); Line::Ack(ack) }
                    None => { acks_open = false; continue }
                },
            };
            if !self.send(line).await {
                return;
            }
        }
    }

    /// A fragment that is acknowledged under another number than it began with was stored before.
    fn count(&mut self, ack: &Ack, begun: &mut VecDeque<FragmentNumber>) {
        let metrics = &self.app.metrics;
        match ack {
            Ack::Received { number, .. } => {
                metrics.put_media_fragments.add(1);
                begun.push_back(*number);
            }
            Ack::Persisted { number, .. } => {
                metrics.put_media_persisted.add(1);
                self.stored.fragments += 1;
                self.stored.repeated += u64::from(begun.pop_front() != Some(*number));
            }
            Ack::Error { .. } => metrics.put_media_errors.add(1),
            Ack::Buffering { .. } | Ack::Idle => {}
        }
    }

    async fn send(&self, line: Line) -> bool {
        self.lines.send(line).await.is_ok()
    }
}

/// Waits for the first line: a file that is refused at once gets an error status.
async fn answer(mut lines: mpsc::Receiver<Line>) -> Result<Response, ApiError> {
    let first = match lines.recv().await {
        Some(Line::Failed(error)) => return Err(refusal(&error)),
        Some(Line::Ack(Ack::Error { refusal, .. })) => {
            return Err(ApiError::invalid(sentence(&refusal.to_string())));
        }
        Some(line) => line,
        None => return Err(ApiError::internal("an upload ended without a line")),
    };
    let rest = stream::unfold(lines, |mut lines| async move {
        let line = lines.recv().await?;
        Some((line, lines))
    });
    let lines = stream::once(std::future::ready(first)).chain(rest).map(|line| {
        let mut text = serde_json::to_vec(&shape(line)).unwrap_or_default();
        text.push(b'\n');
        Ok::<_, std::convert::Infallible>(text)
    });
    let content_type = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((content_type, Body::from_stream(lines)).into_response())
}

fn shape(line: Line) -> FileLine {
    match line {
        Line::Ack(ack) => {
            let message = match &ack {
                Ack::Error { refusal, .. } => Some(sentence(&refusal.to_string())),
                _ => None,
            };
            FileLine { message, ..shape_of(&ack).into() }
        }
        Line::Note(note) => FileLine {
            event_type: "NOTE".to_owned(),
            message: Some(sentence(&note)),
            ..FileLine::default()
        },
        Line::End { stored: Stored { fragments, repeated }, end } => FileLine {
            event_type: "END".to_owned(),
            fragments: Some(fragments),
            already_stored: Some(repeated),
            end: end.map(ProducerTimestamp::as_secs_f64),
            ..FileLine::default()
        },
        Line::Failed(error) => {
            let ApiError { kind, message } = refusal(&error);
            FileLine {
                event_type: "ERROR".to_owned(),
                error_code: Some(kind.name().to_owned()),
                message: Some(message.into_owned()),
                ..FileLine::default()
            }
        }
    }
}

fn refusal(error: &FileError) -> ApiError {
    let kind = match error {
        FileError::Media(_) | FileError::Refused | FileError::Broken(_) => {
            ErrorKind::InvalidArgument
        }
        FileError::NoRoom { .. } => ErrorKind::BodyTooLarge,
        FileError::Silent(_) => ErrorKind::RequestTimeout,
        FileError::Shutdown => ErrorKind::Unavailable,
        FileError::Spool(error) => return ApiError::internal(error),
    };
    ApiError::new(kind, sentence(&error.to_string()))
}

/// Errors are written as parts of a sentence; the sender gets a whole one.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}
