//! A file as an upload: its body is cut into fragments while it comes in, and taken like a
//! producer's.
//!
//! Here: the way of a body through the remuxer, and the temporary file of a body whose index stands
//! at its end. Not here: formats (`media`), HTTP (`api`).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Ack, End, Limits, TimecodeType, Upload};
use crate::media::mp4::demux::{self, BoxHeader, MAX_MOOV, Movie, Sample};
use crate::media::remux::{self, CutLimits, Output, Remuxer, Start};
use crate::store::MediaStream;
use crate::types::{Millis, ProducerTimestamp};

/// Length of a fragment; it goes on until the next key frame.
const FRAGMENT: Millis = Millis(2000);
/// How much shorter than the service's longest fragments are kept: the frame that ends one, and
/// sound that goes with it, come on top.
const FRAGMENT_MARGIN: Millis = Millis(1000);
/// Pieces of fragments that wait for the store.
const PIECES_WAITING: usize = 64;
/// Frames of a kept file are read together until they have so many bytes.
const READ_AT_ONCE: usize = 1 << 20;
/// An upload of a file that goes on is not ended for its age.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Room for the temporary files of all uploads.
#[derive(Debug)]
pub struct SpoolRoom {
    dir: PathBuf,
    limit: u64,
    used: AtomicU64,
}

impl SpoolRoom {
    /// Makes the folder `dir` and clears it of what an earlier process left behind. `limit` bounds
    /// the bytes of all files in it together.
    pub fn open(dir: PathBuf, limit: u64) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        for entry in std::fs::read_dir(&dir)? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(Self { dir, limit, used: AtomicU64::new(0) })
    }

    fn take(&self, bytes: u64) -> bool {
        let grown = |used: u64| used.checked_add(bytes).filter(|&used| used <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One file that is uploaded.
pub struct FileUpload {
    /// Where the fragments go.
    pub stream: Arc<MediaStream>,
    /// When its first frame was.
    pub start: Start,
    /// What a fragment may have. Rates and the connection's age do not matter.
    pub limits: Limits,
    /// Where a body is kept whose index stands at its end.
    pub spool: Arc<SpoolRoom>,
    /// Where the acks go; a closed receiver ends the upload.
    pub acks: mpsc::Sender<Ack>,
    /// Where sentences for the sender go.
    pub notes: mpsc::Sender<String>,
}

/// Why a file was not taken, or not to its end. What was acknowledged stays.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is no file that can be taken.
    #[error(transparent)]
    Media(#[from] remux::Error),
    /// A fragment was refused; the sender was told why with an ERROR ack.
    #[error("a fragment was refused")]
    Refused,
    /// The connection broke.
    #[error("the upload broke off: {0}")]
    Broken(String),
    /// The connection brought nothing for too long.
    #[error("the upload brought nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// The body has to be kept, and there is no room.
    #[error(
        "the index of this MP4 file is at its end, so it must be kept as a whole meanwhile, and \
         that exceeds the {limit} bytes there are for it; rewrite it with \
         \"ffmpeg -i FILE -c copy -movflags +faststart NEW\""
    )]
    NoRoom {
        /// The limit on all temporary files.
        limit: u64,
    },
    /// The temporary file could not be written or read.
    #[error("keep the file meanwhile: {0}")]
    Spool(#[from] std::io::Error),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Shutdown,
}

/// Takes the file `body` to its end; when its last frame ends.
pub async fn run_file<B, E>(
    upload: FileUpload,
    body: B,
    shutdown: impl Future<Output = ()>,
) -> Result<Option<ProducerTimestamp>, FileError>
where
    B: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    let FileUpload { stream, start, limits, spool, acks, notes } = upload;
    let cut = CutLimits {
        target: FRAGMENT,
        longest: Millis(limits.fragment_duration.0.saturating_sub(FRAGMENT_MARGIN.0).max(1)),
        // Sound and heads come on top.
        bytes: limits.fragment_bytes / 4 * 3,
    };
    let (pieces, fragments) = mpsc::channel(PIECES_WAITING);
    let mut conversion = Conversion {
        remuxer: Remuxer::new(start, cut, limits.fragment_bytes),
        spool,
        idle: limits.idle,
        pieces,
        notes,
    };
    let upload = Upload {
        stream,
        timecodes: TimecodeType::Absolute,
        limits: Limits {
            bytes_per_second: 0,
            fragments_per_second: 0,
            connection: NO_LIMIT,
            idle: NO_LIMIT,
            minimum_bytes_per_second: 0,
            ..limits
        },
        acks,
    };
    let fragments = ReceiverStream::new(fragments).map(Ok::<_, std::convert::Infallible>);
    let converting = async move {
        let outcome = conversion.run(body).await;
        // Ends the row of fragments, and with it the upload.
        drop(conversion.pieces);
        outcome.map(|()| conversion.remuxer.end())
    };
    let (mut converting, mut receiving) =
        (pin!(converting), pin!(super::run(upload, fragments, shutdown)));
    let (outcome, end) = tokio::select! {
        biased;
        outcome = &mut converting => (outcome, receiving.await),
        // Only a refusal, a broken connection or the shutdown ends it first.
        end = &mut receiving => (Err(FileError::Refused), end),
    };
    match end {
        End::Complete => outcome,
        End::Refused(_) => Err(FileError::Refused),
        End::Shutdown => Err(FileError::Shutdown),
        End::Broken(reason) => Err(FileError::Broken(reason)),
    }
}

/// The way from a body to fragments.
struct Conversion {
    remuxer: Remuxer,
    spool: Arc<SpoolRoom>,
    idle: Duration,
    pieces: mpsc::Sender<Bytes>,
    notes: mpsc::Sender<String>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    On,
    /// The rest of the file has to be kept.
    ToFile,
}

impl Conversion {
    async fn run<B, E>(&mut self, mut body: B) -> Result<(), FileError>
    where
        B: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        while let Some(bytes) = next_bytes(&mut body, self.idle).await? {
            let pushed = self.remuxer.push(&bytes);
            // What came before the offending place is handed on first.
            let went = self.drain().await?;
            pushed?;
            if went == Went::ToFile {
                return self.keep(body).await;
            }
        }
        self.finish().await
    }

    async fn finish(&mut self) -> Result<(), FileError> {
        let finished = self.remuxer.finish();
        self.drain().await?;
        Ok(finished?)
    }

    async fn drain(&mut self) -> Result<Went, FileError> {
        let mut went = Went::On;
        while let Some(output) = self.remuxer.next_output() {
            match output {
                Output::Fragment(pieces) => {
                    for piece in pieces {
                        // The upload ended, and says why itself.
                        self.pieces.send(piece).await.map_err(|_| FileError::Refused)?;
                    }
                }
                Output::Note(note) => self.note(note).await,
                Output::KeepFile => went = Went::ToFile,
            }
        }
        Ok(went)
    }

    /// A sender that reads no notes is told none.
    async fn note(&self, note: String) {
        let _ = self.notes.send(note).await;
    }

    /// Keeps the rest of the body in a file, then takes its frames in the order of their times.
    async fn keep<B, E>(&mut self, body: B) -> Result<(), FileError>
    where
        B: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let Some((at, rest, movie)) = self.remuxer.keep_file() else { return Ok(()) };
        self.note(
            "the index of this MP4 file is at its end, or its frames are not in the order of \
                   their times: it is received as a whole before its first fragment is stored"
                .to_owned(),
        )
        .await;
        let mut kept = Kept::create(Arc::clone(&self.spool), at)?;
        kept.fill(rest, body, self.idle).await?;
        let movie = match movie {
            Some(movie) => movie,
            None => Arc::new(kept.find_movie().await?),
        };
        self.remuxer.begin_kept(&movie)?;
        self.drain().await?;
        let mut samples = movie.in_time();
        loop {
            let batch = next_batch(&mut samples, &movie)?;
            if batch.is_empty() {
                return self.finish().await;
            }
            for (sample, data) in kept.read(batch).await? {
                let pushed = self.remuxer.push_kept(&sample, data);
                self.drain().await?;
                pushed?;
            }
        }
    }
}

async fn next_bytes<B, E>(body: &mut B, idle: Duration) -> Result<Option<Bytes>, FileError>
where
    B: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    match tokio::time::timeout(idle, body.next()).await {
        Err(_) => Err(FileError::Silent(idle)),
        Ok(Some(Err(error))) => Err(FileError::Broken(error.to_string())),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(None) => Ok(None),
    }
}

fn next_batch(samples: &mut demux::InTime, movie: &Movie) -> Result<Vec<Sample>, FileError> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while bytes < READ_AT_ONCE {
        let Some(sample) = samples.next(movie).map_err(remux::Error::from)? else { break };
        bytes += sample.size as usize;
        batch.push(sample);
    }
    Ok(batch)
}

/// The part of a body that is kept in a file without a name, which the system removes with us.
struct Kept {
    room: Arc<SpoolRoom>,
    file: Arc<File>,
    /// Offset in the body of the file's first byte.
    at: u64,
    len: u64,
}

impl Kept {
    fn create(room: Arc<SpoolRoom>, at: u64) -> Result<Self, FileError> {
        let file = nameless(&room.dir)?;
        Ok(Self { room, file: Arc::new(file), at, len: 0 })
    }

    async fn fill<B, E>(
        &mut self,
        rest: Bytes,
        mut body: B,
        idle: Duration,
    ) -> Result<(), FileError>
    where
        B: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let mut file = tokio::fs::File::from_std(self.file.try_clone()?);
        let mut next = Some(rest);
        while let Some(bytes) = next {
            if !self.room.take(bytes.len() as u64) {
                return Err(FileError::NoRoom { limit: self.room.limit });
            }
            self.len += bytes.len() as u64;
            file.write_all(&bytes).await?;
            next = next_bytes(&mut body, idle).await?;
        }
        Ok(file.flush().await?)
    }

    /// Reads the index, which stands behind the frames.
    async fn find_movie(&self) -> Result<Movie, FileError> {
        let mut at = self.at;
        let end = self.at + self.len;
        loop {
            let error = |kind| FileError::Media(demux::Error { at, kind }.into());
            let len = BoxHeader::MAX_LEN.min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let start = self.bytes(at, len).await?;
            let header = BoxHeader::read(&start).map_err(error)?;
            let Some(header) = header else { return Err(error(demux::ErrorKind::NoMovie)) };
            let Some(content) = header.content else {
                return Err(error(demux::ErrorKind::NoMovie));
            };
            let content_at = at + header.len as u64;
            let next = content_at.checked_add(content).filter(|&next| next <= end);
            let next = next.ok_or_else(|| error(demux::ErrorKind::Truncated))?;
            if header.name == *b"moov" {
                if content > MAX_MOOV {
                    let (name, limit) = (header.text(), MAX_MOOV);
                    return Err(error(demux::ErrorKind::BoxTooLarge {
                        name,
                        size: content,
                        limit,
                    }));
                }
                let bytes = self.bytes(content_at, content as usize).await?;
                return Ok(Movie::read(&bytes, at).map_err(remux::Error::from)?);
            }
            at = next;
        }
    }

    async fn bytes(&self, at: u64, len: usize) -> Result<Bytes, FileError> {
        let offset = at.saturating_sub(self.at);
        let file = Arc::clone(&self.file);
        let read = move || {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, offset).map(|()| Bytes::from(bytes))
        };
        Ok(on_a_thread(read).await?)
    }

    async fn read(&self, batch: Vec<Sample>) -> Result<Vec<(Sample, Bytes)>, FileError> {
        let end = self.at + self.len;
        for sample in &batch {
            let inside =
                sample.at >= self.at && sample.at.saturating_add(sample.size.into()) <= end;
            if !inside {
                let kind = demux::ErrorKind::Truncated;
                return Err(FileError::Media(demux::Error { at: sample.at, kind }.into()));
            }
        }
        let (file, begin) = (Arc::clone(&self.file), self.at);
        let read = move || {
            let one = |sample: Sample| {
                let mut bytes = vec![0; sample.size as usize];
                file.read_exact_at(&mut bytes, sample.at - begin)?;
                Ok((sample, Bytes::from(bytes)))
            };
            batch.into_iter().map(one).collect::<std::io::Result<Vec<_>>>()
        };
        Ok(on_a_thread(read).await?)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.give_back(self.len);
    }
}

/// A new file that is removed from its folder at once.
fn nameless(dir: &Path) -> std::io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!("{}-{number}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Runs what waits for the disk on a thread that may wait.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
