//! Files in as recordings.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::io::AsyncReadExt;

use super::meter::Meter;
use super::timeline::date;
#[cfg(feature = "gstreamer")]
use super::transmux::open;
use crate::client::{Client, Error as ClientError, FileLines};
use crate::clock::Clock;
use crate::media::mp4::demux::looks_like_mp4;
use crate::types::{ProducerTimestamp, StreamName};
use crate::wire::media::FileLine;

/// Bytes that are read of a file at once.
const READ_AT_ONCE: usize = 256 << 10;
/// Media type of a stream that has to be made.
const MEDIA_TYPE: &str = "video/h264,audio/aac";

/// What to import.
#[derive(Clone, Debug)]
pub struct Import {
    /// Into which stream; made when it is missing.
    pub stream: StreamName,
    /// Its retention if it has to be made.
    pub retention_hours: u32,
    /// One after the other.
    pub files: Vec<PathBuf>,
    /// When the first file begins, and each other where the one before it ends; absent, when the
    /// files say.
    pub start: Option<ProducerTimestamp>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Imported {
    /// Fragments of it that are durable.
    pub fragments: u64,
    /// Those of them that were stored before.
    pub already_stored: u64,
    /// When the first begins, and the last ends.
    pub span: Option<(ProducerTimestamp, ProducerTimestamp)>,
}

/// Why a file was not imported to its end. What was stored of it stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The service refused the call, or could not be reached.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file has no time of its own, or none that is read.
    #[error("{0}: it does not say when it was recorded; give --start")]
    NoStart(PathBuf),
    /// It cannot be turned into what the service takes.
    #[error("{0}: {1}")]
    Convert(PathBuf, String),
    /// The service refused the file, or a part of it.
    #[error("{0}: {1}")]
    Refused(PathBuf, String),
}

/// Imports the files, and tells of each.
pub async fn import(
    client: &Client,
    clock: &Clock,
    import: &Import,
    meter: &mut Meter,
) -> Result<Vec<Imported>, ImportError> {
    make_stream(client, import).await?;
    let mut start = import.start;
    let mut all = Vec::with_capacity(import.files.len());
    for file in &import.files {
        let one = One { client, clock, stream: &import.stream, path: file };
        let imported = one.run(start, meter).await?;
        meter.note(&format!("{}: {}", file.display(), line(&imported)));
        start = start.and(imported.span.map(|(_, end)| end));
        all.push(imported);
    }
    Ok(all)
}

async fn make_stream(client: &Client, import: &Import) -> Result<(), ClientError> {
    match client.describe_stream(&import.stream).await {
        Err(error) if error.is_not_found() => {
            client.create_stream(&import.stream, MEDIA_TYPE, import.retention_hours).await?;
            Ok(())
        }
        outcome => outcome.map(drop),
    }
}

fn line(imported: &Imported) -> String {
    let Imported { fragments, already_stored, span } = imported;
    let stored = match (fragments, already_stored) {
        (all, again) if all == again => format!("all {all} fragments were stored before"),
        (all, 0) => format!("{all} fragments stored"),
        (all, again) => format!("{} fragments stored, {again} were before", all - again),
    };
    match span {
        Some((from, to)) => format!("{stored}, from {} to {}", date(*from), date(*to)),
        None => stored,
    }
}

/// One file on its way.
struct One<'a> {
    client: &'a Client,
    clock: &'a Clock,
    stream: &'a StreamName,
    path: &'a Path,
}

impl One<'_> {
    async fn run(
        &self,
        start: Option<ProducerTimestamp>,
        meter: &mut Meter,
    ) -> Result<Imported, ImportError> {
        let failed = |error| ImportError::Read(self.path.to_owned(), error);
        let size = tokio::fs::metadata(self.path).await.map_err(failed)?.len();
        let sent = Arc::new(AtomicU64::new(0));
        let taken_as_it_is = self.is_taken().await.map_err(failed)?;
        let body = if taken_as_it_is {
            let file = tokio::fs::File::open(self.path).await.map_err(failed)?;
            pieces(file, Arc::clone(&sent))
        } else {
            let start = start.ok_or_else(|| ImportError::NoStart(self.path.to_owned()))?;
            let opened = open(self.path, start, self.clock.clone()).await;
            let convert = |error| ImportError::Convert(self.path.to_owned(), error);
            tokio_stream::wrappers::ReceiverStream::new(opened.map_err(convert)?).boxed()
        };
        let start = start.map_or_else(|| "embedded".to_owned(), |start| start.to_string());
        let answer = self.client.put_file(self.stream, &start, body).await;
        let mut answer = answer.map_err(|error| self.refused(error))?;
        let state = |imported: &Imported| {
            let percent = 100.0 * sent.load(Ordering::Relaxed) as f64 / size.max(1) as f64;
            let name = self.path.display();
            match taken_as_it_is {
                true => format!("{name}: {percent:.0} %, {} fragments", imported.fragments),
                false => format!("{name}: {} fragments", imported.fragments),
            }
        };
        self.follow(&mut answer, meter, state).await
    }

    /// Whether the service takes the file as it is.
    async fn is_taken(&self) -> std::io::Result<bool> {
        const EBML: [u8; 4] = [0x1A, 0x45, 0xDF, 0xA3];
        let mut start = Vec::new();
        tokio::fs::File::open(self.path).await?.take(8).read_to_end(&mut start).await?;
        Ok(start.starts_with(&EBML) || looks_like_mp4(&start))
    }

    async fn follow(
        &self,
        answer: &mut FileLines,
        meter: &mut Meter,
        state: impl Fn(&Imported) -> String,
    ) -> Result<Imported, ImportError> {
        let mut imported = Imported::default();
        let millis = |line: &FileLine| line.fragment_timecode.map(ProducerTimestamp::from_millis);
        while let Some(line) = answer.next().await? {
            match line.event_type.as_str() {
                "PERSISTED" => {
                    imported.fragments += 1;
                    if let (None, Some(first)) = (imported.span, millis(&line)) {
                        imported.span = Some((first, first));
                    }
                    meter.tell(|| state(&imported));
                }
                "NOTE" => {
                    let text = line.message.unwrap_or_default();
                    meter.note(&format!("{}: {text}", self.path.display()));
                }
                "ERROR" => {
                    let text = line.message.or(line.error_code).unwrap_or_default();
                    return Err(ImportError::Refused(self.path.to_owned(), text));
                }
                "END" => {
                    imported.already_stored = line.already_stored.unwrap_or_default();
                    let end = line.end.and_then(ProducerTimestamp::from_secs_f64);
                    imported.span = imported.span.zip(end).map(|((first, _), end)| (first, end));
                    return Ok(imported);
                }
                _ => {}
            }
        }
        let text = "the service ended the upload without a word".to_owned();
        Err(ImportError::Refused(self.path.to_owned(), text))
    }

    /// A refusal names the file; what the service cannot know of, such as `--start`, is added.
    fn refused(&self, error: ClientError) -> ImportError {
        match error {
            ClientError::Refused { status: 400 | 413, message, .. } => {
                ImportError::Refused(self.path.to_owned(), message)
            }
            error => ImportError::Client(error),
        }
    }
}

/// Without GStreamer there is no other way than the service's own.
#[cfg(not(feature = "gstreamer"))]
async fn open(
    _: &Path,
    _: ProducerTimestamp,
    _: Clock,
) -> Result<tokio::sync::mpsc::Receiver<std::io::Result<Bytes>>, String> {
    Err("this kinora was built without GStreamer, and takes MKV, WebM and MP4 alone".to_owned())
}

/// A file's bytes, counted as they are sent.
fn pieces(
    file: tokio::fs::File,
    sent: Arc<AtomicU64>,
) -> BoxStream<'static, std::io::Result<Bytes>> {
    stream::unfold(Some(file), move |file| {
        let sent = Arc::clone(&sent);
        async move {
            let mut file = file?;
            let mut piece = Vec::with_capacity(READ_AT_ONCE);
            let read = (&mut file).take(READ_AT_ONCE as u64).read_to_end(&mut piece).await;
            match read {
                Err(error) => Some((Err(error), None)),
                Ok(0) => None,
                Ok(count) => {
                    sent.fetch_add(count as u64, Ordering::Relaxed);
                    Some((Ok(Bytes::from(piece)), Some(file)))
                }
            }
        }
    })
    .boxed()
}
