//! Recordings out to files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};

use super::meter::Meter;
use super::output::Output;
use super::plan::{Piece, plan};
use super::timeline::{Gap, Timeline, date};
use crate::client::{ApiName, Client, Error as ClientError, ListedFragment, Media};
use crate::media::file::{self, Writer};
use crate::media::mkv::{self, Chunk, EventKind, Reader, kvs};
use crate::media::mp4;
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, StreamName};

/// No fragment is longer than this, so none that begins earlier reaches into a range.
const LOOK_BACK: Millis = Millis(60_000);
/// The end of a range that has none: the year 9999.
const OPEN_END: ProducerTimestamp = ProducerTimestamp::from_millis(253_402_300_799_000);
/// Fragments of one export: forty days of two seconds each.
const MAX_FRAGMENTS: usize = 2_000_000;
/// Fragments that are asked for at once.
const BATCH: usize = 100;
/// The largest element that is read.
const MAX_ELEMENT: usize = 256 << 20;
const WRITING_APP: &str = concat!("kinora ", env!("CARGO_PKG_VERSION"));

/// What to write.
#[derive(Clone, Debug)]
pub struct Export {
    /// From which stream.
    pub stream: StreamName,
    /// From the fragment that covers this time on; absent, from the first.
    pub start: Option<ProducerTimestamp>,
    /// Up to the fragment that covers this time; absent, to the last.
    pub end: Option<ProducerTimestamp>,
    /// The file; its name ends in `.mkv` or `.mp4`.
    pub file: PathBuf,
    /// Gaps stay as long as they were, instead of being closed.
    pub keep_gaps: bool,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exported {
    /// Whole or in part.
    pub fragments: u64,
    /// When the first begins, and the last ends.
    pub span: Option<(ProducerTimestamp, ProducerTimestamp)>,
    /// What is missing in between, and up to the ends that were asked for.
    pub gaps: Vec<Gap>,
    /// Bytes of media.
    pub bytes: u64,
    /// Where the format changes: the file ends there.
    pub stopped: Option<(ProducerTimestamp, file::Error)>,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The service refused, or could not be reached.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The file's name does not say which format it is to have.
    #[error("{0}: the name of the file must end in .mkv or .mp4")]
    Name(PathBuf),
    /// Nothing is stored in the range.
    #[error("nothing is stored in that range")]
    Nothing,
    /// More than a listing holds.
    #[error("there are more than {MAX_FRAGMENTS} fragments in that range; export it in parts")]
    TooMany,
    /// What the service sent is no Matroska.
    #[error("read a fragment: {0}")]
    Media(#[from] mkv::Error),
    /// The fragments do not fit into a file of this format.
    #[error("{0}")]
    Format(#[from] file::Error),
    /// The file could not be written.
    #[error("write {0}: {1}")]
    Write(PathBuf, std::io::Error),
}

/// Writes a range of time as one file.
pub async fn export(
    client: &Client,
    export: &Export,
    meter: &mut Meter,
) -> Result<Exported, ExportError> {
    let writer = writer_for(&export.file)?;
    let pieces = plan(list(client, export).await?);
    if pieces.is_empty() {
        return Err(ExportError::Nothing);
    }
    let timeline = Timeline::new(export.start, export.keep_gaps);
    let mut target = Target::create(&export.file, writer, timeline)?;
    let endpoint =
        client.get_data_endpoint(&export.stream, ApiName::GetMediaForFragmentList).await?;
    for batch in pieces.chunks(BATCH) {
        let mut numbers: Vec<FragmentNumber> = batch.iter().map(|p| p.fragment.number).collect();
        // A piece behind a piece of the same fragment is read twice: that is rare.
        numbers.dedup();
        let media = client.get_fragments(&endpoint, &export.stream, &numbers).await?;
        let mut documents = Documents::new(media);
        let mut wanted: VecDeque<Piece> = batch.iter().copied().collect();
        while let Some(document) = documents.next().await? {
            let chunk = mkv::read_chunk(&document)?;
            // A fragment that retention removed meanwhile is passed over, and becomes a gap.
            let Some(number) = number_of(&chunk) else { continue };
            while wanted.front().is_some_and(|piece| piece.fragment.number != number) {
                wanted.pop_front();
            }
            while let Some(piece) = wanted.front().filter(|piece| piece.fragment.number == number) {
                if !target.add(chunk.clone(), piece, meter)? {
                    return target.finish(None, meter);
                }
                wanted.pop_front();
            }
        }
        meter.tell(|| format!("{}: {}", export.file.display(), target.state()));
    }
    target.finish(export.end, meter)
}

/// Writes one stored chunk as it is, or as MP4.
pub async fn export_fragment(
    client: &Client,
    stream: &StreamName,
    number: FragmentNumber,
    path: &Path,
) -> Result<(), ExportError> {
    let failed = |error| ExportError::Write(path.to_owned(), error);
    let is_mkv = extension(path).as_deref() == Some("mkv");
    let mut writer = writer_for(path)?;
    let bytes = client.get_chunk(stream, number).await?;
    let mut output = Output::create(path).map_err(failed)?;
    if is_mkv {
        output.append(&[bytes]).map_err(failed)?;
        return output.commit(&[]).map_err(failed);
    }
    let chunk = mkv::read_chunk(&bytes)?;
    let begin = millis_of(chunk.cluster_timecode, chunk.scale);
    output.append(&[writer.begin()]).map_err(failed)?;
    output.append(&writer.add(chunk, begin)?).map_err(failed)?;
    let finish = writer.finish(begin)?;
    output.append(&[finish.append]).map_err(failed)?;
    output.commit(&finish.patches).map_err(failed)
}

fn millis_of(ticks: u64, scale: crate::types::TimestampScale) -> ProducerTimestamp {
    let timecode = crate::types::Timecode(i64::try_from(ticks).unwrap_or(i64::MAX));
    ProducerTimestamp::from_millis(timecode.millis(scale))
}

fn extension(path: &Path) -> Option<String> {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase())
}

fn writer_for(path: &Path) -> Result<Box<dyn Writer>, ExportError> {
    match extension(path).as_deref() {
        Some("mkv") => Ok(Box::new(mkv::FileWriter::new(WRITING_APP.to_owned()))),
        Some("mp4") => Ok(Box::new(mp4::FileWriter::default())),
        _ => Err(ExportError::Name(path.to_owned())),
    }
}

/// The fragments that reach into the range.
async fn list(client: &Client, export: &Export) -> Result<Vec<ListedFragment>, ExportError> {
    let endpoint = client.get_data_endpoint(&export.stream, ApiName::ListFragments).await?;
    let start = export.start.unwrap_or_default();
    let end = export.end.unwrap_or(OPEN_END);
    let from = start.minus(LOOK_BACK).max(ProducerTimestamp::default());
    let mut all = Vec::new();
    let mut next = None;
    loop {
        let page =
            client.list_fragments(&endpoint, &export.stream, (from, end), next.as_deref()).await?;
        let inside = |f: &ListedFragment| f.producer.plus(f.duration) > start && f.producer < end;
        all.extend(page.fragments.into_iter().filter(inside));
        if all.len() > MAX_FRAGMENTS {
            return Err(ExportError::TooMany);
        }
        next = page.next;
        if next.is_none() {
            return Ok(all);
        }
    }
}

fn number_of(chunk: &Chunk) -> Option<FragmentNumber> {
    let tag = chunk.tags.iter().find(|tag| tag.name == kvs::FRAGMENT_NUMBER)?;
    // An error's tags name a fragment too, without any frame.
    tag.value.parse().ok().filter(|_| !chunk.frames.is_empty())
}

/// The file and what is known of it.
struct Target {
    path: PathBuf,
    output: Output,
    writer: Box<dyn Writer>,
    timeline: Timeline,
    exported: Exported,
}

impl Target {
    fn create(
        path: &Path,
        mut writer: Box<dyn Writer>,
        timeline: Timeline,
    ) -> Result<Self, ExportError> {
        let failed = |error| ExportError::Write(path.to_owned(), error);
        let mut output = Output::create(path).map_err(failed)?;
        output.append(&[writer.begin()]).map_err(failed)?;
        let exported = Exported::default();
        Ok(Self { path: path.to_owned(), output, writer, timeline, exported })
    }

    /// Adds a piece; `false` when the file has to end before it.
    fn add(&mut self, mut chunk: Chunk, piece: &Piece, meter: &Meter) -> Result<bool, ExportError> {
        let mut begin = piece.fragment.producer;
        if let Some(until) = piece.until {
            file::end_before(&mut chunk, begin, until);
        }
        let mut cluster = chunk.cluster_timecode;
        if let Some(from) = piece.from {
            let Some(first) = file::begin_at(&mut chunk, begin, from) else { return Ok(true) };
            let ticks = first.since(begin).0.saturating_mul(1_000_000);
            cluster = cluster.saturating_add(ticks / u64::from(chunk.scale.nanos()));
            begin = first;
        }
        chunk.cluster_timecode = cluster;
        if chunk.frames.is_empty() {
            return Ok(true);
        }
        let earliest = file::earliest(&chunk, begin);
        let (at, gap) = self.timeline.place((begin, earliest), piece.end());
        match self.writer.add(chunk, at) {
            Ok(bytes) => {
                if let Some(gap) = gap {
                    meter.note(&gap.to_string());
                    self.exported.gaps.push(gap);
                }
                self.append(&bytes)?;
                self.exported.fragments += 1;
                let first = self.exported.span.map_or(begin, |(first, _)| first);
                self.exported.span = Some((first, piece.end()));
                Ok(true)
            }
            Err(error @ file::Error::FormatChange { .. }) => {
                self.exported.stopped = Some((begin, error));
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn append(&mut self, bytes: &[Bytes]) -> Result<(), ExportError> {
        self.output.append(bytes).map_err(|error| ExportError::Write(self.path.clone(), error))
    }

    fn state(&self) -> String {
        let megabytes = self.output.bytes() as f64 / 1e6;
        let upto = self.exported.span.map_or_else(String::new, |(_, end)| date(end));
        format!("{megabytes:.1} MB, {} fragments, up to {upto}", self.exported.fragments)
    }

    fn finish(
        mut self,
        end: Option<ProducerTimestamp>,
        meter: &Meter,
    ) -> Result<Exported, ExportError> {
        if self.exported.fragments == 0 {
            return Err(ExportError::Nothing);
        }
        if let Some(gap) = end.and_then(|end| self.timeline.gap_before(end)) {
            meter.note(&gap.to_string());
            self.exported.gaps.push(gap);
        }
        let finish = self.writer.finish(self.timeline.end())?;
        self.append(&[finish.append])?;
        self.exported.bytes = self.output.bytes();
        let Self { path, output, exported, .. } = self;
        output.commit(&finish.patches).map_err(|error| ExportError::Write(path, error))?;
        meter.clear();
        Ok(exported)
    }
}

/// MKV documents in a row, one at a time.
struct Documents {
    media: Media,
    reader: Reader,
    document: BytesMut,
    over: bool,
}

impl Documents {
    fn new(media: Media) -> Self {
        Self { media, reader: Reader::new(MAX_ELEMENT), document: BytesMut::new(), over: false }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ExportError> {
        while !self.over {
            while let Some(event) = self.reader.next_event()? {
                let begins = matches!(event.kind, EventKind::EbmlHead { .. });
                let whole = begins && !self.document.is_empty();
                let document = if whole { self.document.split().freeze() } else { Bytes::new() };
                self.document.extend_from_slice(&event.raw);
                if whole {
                    return Ok(Some(document));
                }
            }
            match self.media.next().await? {
                Some(bytes) => self.reader.push(&bytes),
                None => self.over = true,
            }
        }
        let last = self.document.split().freeze();
        Ok(Some(last).filter(|last| !last.is_empty()))
    }
}
