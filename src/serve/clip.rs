//! A range of a stream as one MP4 file, which plays everywhere.
//!
//! Here: which fragments it has, and its bytes, any part of them. Not here: HTTP, the boxes
//! (`media::mp4`).
//!
//! A clip has whole fragments, so it may begin before what was asked for and end after it. Gaps stay
//! as long as they were: the last picture before one stands. The file is made twice: first its index
//! alone, which stands in front, then the bytes that are wanted, fragment by fragment. So however
//! long it is, no more than one fragment of it is in memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{hls, package};
use crate::media::file::{self, Writer};
use crate::media::{mkv, mp4};
use crate::store::{FragmentInfo, MediaStream, Order};
use crate::types::{Millis, ProducerTimestamp};

/// How far before a range a fragment that reaches into it may begin.
const LONGEST_FRAGMENT: Millis = Millis(60_000);
/// The most fragments of a clip.
pub const MAX_FRAGMENTS: usize = 10_000;

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is stored of the range.
    #[error("nothing is stored of this time")]
    Nothing,
    /// There is too much.
    #[error("the clip would have more than {MAX_FRAGMENTS} fragments")]
    TooMany,
    /// The fragments do not make one file.
    #[error(transparent)]
    File(#[from] file::Error),
    /// A fragment could not be read.
    #[error(transparent)]
    Package(#[from] package::Error),
}

/// The fragments of a clip, which have not been read yet.
#[derive(Debug)]
pub struct Selected {
    stream: Arc<MediaStream>,
    fragments: Arc<[FragmentInfo]>,
}

/// A clip whose length and head are known.
#[derive(Debug)]
pub struct Clip {
    selected: Selected,
    front: Bytes,
    len: u64,
}

/// A part of a clip that is being made.
pub struct Part {
    selected: Selected,
    writer: mp4::FileWriter,
    /// The bytes that come before any fragment.
    front: Option<Bytes>,
    next: usize,
    /// What is still to be left out, and to be given.
    skip: u64,
    left: u64,
}

impl Selected {
    /// What is stored from `from` to `to`.
    ///
    /// # Errors
    /// `Nothing` or `TooMany`.
    pub fn find(
        stream: Arc<MediaStream>,
        from: ProducerTimestamp,
        to: ProducerTimestamp,
    ) -> Result<Self, Error> {
        let range = Order::Producer { from: from.minus(LONGEST_FRAGMENT), to };
        let mut fragments = hls::listed(&stream, range, MAX_FRAGMENTS + 1);
        fragments.retain(|fragment| {
            fragment.producer < to && fragment.producer.plus(fragment.duration) > from
        });
        match fragments.len() {
            0 => Err(Error::Nothing),
            1..=MAX_FRAGMENTS => Ok(Self { stream, fragments: fragments.into() }),
            _ => Err(Error::TooMany),
        }
    }

    /// Where the clip begins and ends.
    pub fn range(&self) -> Range<ProducerTimestamp> {
        let end = |fragment: &FragmentInfo| fragment.producer.plus(fragment.duration);
        let ends = self.fragments.iter().map(end).max();
        let start = self.fragments.first().map_or(ProducerTimestamp::MIN, |first| first.producer);
        start..ends.unwrap_or(start)
    }

    /// A text that is another one for other bytes.
    pub fn tag(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.stream.id().0.to_be_bytes());
        for fragment in &*self.fragments {
            digest.update(fragment.number.to_string());
        }
        hex::encode(&digest.finalize()[..16])
    }

    /// Makes the clip's index, for which all of it is read once.
    ///
    /// # Errors
    /// A fragment is gone meanwhile, or they do not make one file.
    pub async fn open(self) -> Result<Clip, Error> {
        let mut writer = mp4::FileWriter::default();
        writer.begin();
        let mut media = 0;
        for fragment in &*self.fragments {
            let parts = self.add(&mut writer, fragment).await?;
            media += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        }
        if media == 0 {
            return Err(Error::Nothing);
        }
        let front = writer.front()?;
        let len = front.len() as u64 + media;
        Ok(Clip { selected: self, front, len })
    }

    async fn add(
        &self,
        writer: &mut mp4::FileWriter,
        fragment: &FragmentInfo,
    ) -> Result<Vec<Bytes>, Error> {
        let chunk = self.stream.read(fragment.number).await.map_err(package::Error::from)?;
        let media = mkv::read_chunk(&chunk.bytes).map_err(package::Error::from)?;
        Ok(writer.add(media, fragment.producer)?)
    }
}

impl Clip {
    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// A part of the file.
    pub fn part(self, range: Range<u64>) -> Part {
        let mut writer = mp4::FileWriter::default();
        writer.begin();
        let left = range.end.min(self.len).saturating_sub(range.start);
        let Self { selected, front, .. } = self;
        Part { selected, writer, front: Some(front), next: 0, skip: range.start, left }
    }
}

impl Part {
    /// The next bytes of it; none at its end.
    ///
    /// # Errors
    /// A fragment is gone meanwhile.
    pub async fn next(&mut self) -> Result<Option<Vec<Bytes>>, Error> {
        while self.left > 0 {
            let parts = match (self.front.take(), self.selected.fragments.get(self.next)) {
                (Some(front), _) => vec![front],
                (None, Some(fragment)) => {
                    self.next += 1;
                    self.selected.add(&mut self.writer, fragment).await?
                }
                (None, None) => return Ok(None),
            };
            let wanted: Vec<Bytes> =
                parts.into_iter().filter_map(|part| self.wanted(part)).collect();
            if !wanted.is_empty() {
                return Ok(Some(wanted));
            }
        }
        Ok(None)
    }

    /// What of the file's next bytes belongs to the part.
    fn wanted(&mut self, mut bytes: Bytes) -> Option<Bytes> {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        let mut rest = bytes.split_off(skipped);
        rest.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= rest.len() as u64;
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::mp4::demux::{Demuxer, Event};
    use crate::serve::fixtures::chunks;

    #[test]
    fn index_in_front_finds_every_frame_and_keeps_gaps() {
        let mut writer = mp4::FileWriter::default();
        writer.begin();
        let (mut media, mut at) = (Vec::new(), ProducerTimestamp::from_millis(1_795_309_233_060));
        for chunk in chunks("kvssink-h264_aac-two_tracks.mkv") {
            let parts = writer.add(mkv::read_chunk(&chunk.bytes).expect("valid"), at);
            parts.expect("one format").iter().for_each(|part| media.extend_from_slice(part));
            at = at.plus(Millis(60_000));
        }
        let mut demuxer = Demuxer::default();
        demuxer.push(&writer.front().expect("small"));
        demuxer.push(&media);
        let (mut found, mut latest) = (Vec::new(), 0);
        while let Some(event) = demuxer.next_event().expect("a valid file") {
            if let Event::Frame(frame) = event {
                found.extend_from_slice(&frame.data);
                latest = latest.max(frame.time_ns);
            }
        }
        assert_eq!(found, media);
        assert!(latest >= 60_000_000_000, "{latest}");
    }
}
