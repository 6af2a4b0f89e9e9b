//! Stored fragments as CMAF: what tracks a fragment has, their init segments, its media segments.
//!
//! Here: from chunk to bytes, and a bounded cache of those bytes. Not here: which fragments a
//! playlist lists (`hls`), the boxes (`media::mp4`).

mod cache;

use std::sync::Arc;

use bytes::Bytes;

use crate::media::codec::{self, Codec, Invalid};
use crate::media::{mkv, mp4};
use crate::store::{Chunk, FormatId, FragmentInfo, MediaStream, ReadError};
use crate::types::{FragmentNumber, StreamId};

use cache::{Cache, Weight};

/// Matroska's number of a track, as requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackNumber(pub u64);

/// Why a fragment cannot be given to a player.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No fragment is in reach of the request.
    #[error("no fragments found for the request")]
    NoFragments,
    /// The fragment or the track does not exist (any more).
    #[error("no such fragment or track")]
    NotFound,
    /// The track's codec cannot be packaged.
    #[error("track {} has the codec {codec_id}, which cannot be played", track.0)]
    UnsupportedCodec {
        /// The track.
        track: TrackNumber,
        /// Its `CodecID`.
        codec_id: String,
    },
    /// The track's head lacks what decoders need.
    #[error("missing codec private data in track {}", track.0)]
    MissingCodecPrivate {
        /// The track.
        track: TrackNumber,
    },
    /// What the track's head says to decoders is wrong.
    #[error("invalid codec private data in track {}: {reason}", track.0)]
    InvalidCodecPrivate {
        /// The track.
        track: TrackNumber,
        /// What is wrong with it.
        reason: Invalid,
    },
    /// The stored bytes are no Matroska.
    #[error("read the stored fragment: {0}")]
    Media(#[from] mkv::Error),
    /// The frames do not fit MP4.
    #[error(transparent)]
    Package(#[from] mp4::Error),
    /// The store could not read the fragment.
    #[error("read the stored fragment: {0}")]
    Store(ReadError),
    /// The server stops, or the packaging of this fragment panicked.
    #[error("the packaging was interrupted")]
    Interrupted,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound | ReadError::StreamDeleted => Self::NotFound,
            error => Self::Store(error),
        }
    }
}

/// How much is kept. Defaults are decided here until a configuration says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of packaged media segments that are kept for the next player.
    pub segment_cache_bytes: usize,
    /// Bytes that descriptions of formats may take.
    pub format_cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_cache_bytes: 32 << 20, format_cache_bytes: 1 << 20 }
    }
}

/// A chunk from this size on is packaged on a thread of its own, so that other connections need not
/// wait.
const LARGE_BYTES: usize = 2 << 20;

/// Makes segments and keeps them for the next player. Shared by all requests.
pub struct Packager {
    segments: Cache<(StreamId, FragmentNumber, TrackNumber), Bytes>,
    formats: Cache<(StreamId, FormatId), Arc<Description>>,
}

/// What a player must know of the tracks of a format.
#[derive(Debug)]
pub struct Description {
    /// The tracks that can be played, in the order of the file.
    pub playable: Vec<Rendition>,
    /// Why the others cannot.
    pub refused: Vec<(TrackNumber, codec::Error)>,
}

/// A track that can be played.
#[derive(Debug)]
pub struct Rendition {
    /// Its number in the stored file.
    pub number: TrackNumber,
    /// Its codec.
    pub codec: Codec,
    /// Frames per second of a video track: what its codec says, else what a fragment shows.
    pub frame_rate: Option<f64>,
    /// The init segment.
    pub init: Bytes,
}

impl Packager {
    /// An empty cache within these bounds.
    pub fn new(options: Options) -> Self {
        Self {
            segments: Cache::new(options.segment_cache_bytes),
            formats: Cache::new(options.format_cache_bytes),
        }
    }

    /// The tracks of a fragment's format, read from that fragment unless they are known.
    pub async fn describe(
        &self,
        stream: &MediaStream,
        fragment: &FragmentInfo,
    ) -> Result<Arc<Description>, Error> {
        let key = (stream.id(), fragment.format);
        if let Some(known) = self.formats.get(&key) {
            return Ok(known);
        }
        let chunk = stream.read(fragment.number).await?;
        let description = Arc::new(describe(&mkv::read_chunk(&chunk.bytes)?)?);
        self.formats.insert(key, Arc::clone(&description));
        Ok(description)
    }

    /// The tracks of a format, if a fragment of it was described before.
    pub fn described(&self, stream: StreamId, format: FormatId) -> Option<Arc<Description>> {
        self.formats.get(&(stream, format))
    }

    /// One track of a fragment as a media segment, in parts that follow one another: slices of
    /// what was read.
    ///
    /// When it is asked for again it is kept, as a copy of its own size. Most segments of an archive
    /// are asked for once, and must not push out those that all viewers of a live stream want.
    pub async fn media_segment(
        &self,
        stream: &MediaStream,
        number: FragmentNumber,
        track: TrackNumber,
    ) -> Result<Vec<Bytes>, Error> {
        // What retention removed must not come back from the cache.
        stream.get(number).ok_or(Error::NotFound)?;
        let key = (stream.id(), number, track);
        if let Some(bytes) = self.segments.get(&key) {
            return Ok(vec![bytes]);
        }
        let chunk = stream.read(number).await?;
        let parts = if chunk.bytes.len() > LARGE_BYTES {
            let make = tokio::task::spawn_blocking(move || media_segment(&chunk, track));
            make.await.map_err(|_| Error::Interrupted)??
        } else {
            media_segment(&chunk, track)?
        };
        let parts = parts.into_parts();
        if !self.segments.missed_before(key) {
            return Ok(parts);
        }
        let bytes = Bytes::from(parts.concat());
        self.segments.insert(key, bytes.clone());
        Ok(vec![bytes])
    }
}

/// One track of a stored fragment as a media segment.
pub fn media_segment(chunk: &Chunk, track: TrackNumber) -> Result<mp4::Segment, Error> {
    let media = mkv::read_track(&chunk.bytes, track.0)?;
    let entry = media.tracks.iter().find(|entry| entry.number == track.0).ok_or(Error::NotFound)?;
    let codec = Codec::of(entry).map_err(|error| refusal(track, error))?;
    let anchor = mp4::Anchor {
        producer: chunk.info.producer,
        cluster_timecode: media.cluster_timecode,
        scale: media.scale,
    };
    let samples = mp4::samples(entry, &codec, media.frames, anchor);
    if samples.is_empty() {
        return Err(Error::NotFound);
    }
    // `mfhd` wants numbers that grow; after four billion fragments they start again.
    let sequence = chunk.info.number.counter() as u32;
    Ok(mp4::Segment::new(sequence, samples)?)
}

/// What a player must know of a chunk's tracks.
pub fn describe(media: &mkv::Chunk) -> Result<Description, Error> {
    let mut playable = Vec::new();
    let mut refused = Vec::new();
    for track in &media.tracks {
        let number = TrackNumber(track.number);
        match Codec::of(track) {
            Ok(codec) => playable.push(rendition(media, track, codec)?),
            Err(error) => refused.push((number, error)),
        }
    }
    Ok(Description { playable, refused })
}

fn rendition(media: &mkv::Chunk, track: &mkv::Track, codec: Codec) -> Result<Rendition, Error> {
    let channels = match track.kind {
        mkv::TrackKind::Audio { channels, .. } => channels,
        _ => 0,
    };
    let frame_rate = if codec.is_video() {
        codec.frame_rate().or_else(|| measured_frame_rate(media, track))
    } else {
        None
    };
    let init = mp4::init_segment(&codec, channels)?;
    Ok(Rendition { number: TrackNumber(track.number), codec, frame_rate, init })
}

/// Frames per second as the container says, else as the frames' times show.
fn measured_frame_rate(media: &mkv::Chunk, track: &mkv::Track) -> Option<f64> {
    if let Some(nanos) = track.default_duration_ns.filter(|nanos| *nanos > 0) {
        return Some(1e9 / nanos as f64);
    }
    let times = || media.frames.iter().filter(|f| f.track == track.number).map(|f| f.timecode);
    let span = i128::from(times().max()?) - i128::from(times().min()?);
    let seconds = span as f64 * f64::from(media.scale.nanos()) / 1e9;
    let rate = (times().count() - 1) as f64 / seconds;
    (1.0..=1000.0).contains(&rate).then_some(rate)
}

impl Description {
    /// The tracks that make a presentation: the first video track and the first audio track.
    ///
    /// With `all` any track that cannot be played is an error, as AWS has it; without it such a
    /// track is passed over while there is another.
    pub fn select(&self, all: bool) -> Result<Selection<'_>, Error> {
        let first = |video| self.playable.iter().find(|track| track.codec.is_video() == video);
        let (video, audio) = (first(true), first(false));
        match (video.or(audio), video.and(audio), self.refused.first()) {
            (_, _, Some((track, error))) if all => Err(refusal(*track, error.clone())),
            (Some(main), audio, _) => Ok(Selection { main, audio }),
            (None, _, Some((track, error))) => Err(refusal(*track, error.clone())),
            (None, _, None) => Err(Error::NotFound),
        }
    }
}

/// The tracks a presentation is made of.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Video, or sound where there is no video.
    pub main: &'a Rendition,
    /// Sound that goes with the video.
    pub audio: Option<&'a Rendition>,
}

impl<'a> Selection<'a> {
    /// A track of the presentation by its number.
    pub fn track(&self, number: TrackNumber) -> Option<&'a Rendition> {
        [Some(self.main), self.audio].into_iter().flatten().find(|track| track.number == number)
    }
}

fn refusal(track: TrackNumber, error: codec::Error) -> Error {
    match error {
        codec::Error::Unsupported { codec_id } => Error::UnsupportedCodec { track, codec_id },
        codec::Error::Missing => Error::MissingCodecPrivate { track },
        codec::Error::Invalid(reason) => Error::InvalidCodecPrivate { track, reason },
    }
}

impl Weight for Bytes {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Weight for Arc<Description> {
    fn weight(&self) -> usize {
        let playable = |track: &Rendition| track.init.len() + track.codec.record().len();
        let refused = |(_, error): &(TrackNumber, codec::Error)| match error {
            // As long as the producer likes.
            codec::Error::Unsupported { codec_id } => codec_id.len(),
            codec::Error::Missing | codec::Error::Invalid(_) => 0,
        };
        let playable: usize = self.playable.iter().map(playable).sum();
        playable + self.refused.iter().map(refused).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
