//! The step from one element to the next, over bytes that someone else holds: the [`Reader`]'s
//! while they arrive, a whole chunk's in [`read_chunk`].
//!
//! A step changes nothing unless it finds a whole, valid element, so it can be repeated.
//!
//! [`Reader`]: super::Reader
//! [`read_chunk`]: super::read_chunk

use bytes::Bytes;

use super::block::Block;
use super::metadata::{self, TrackRule};
use super::place::{Level, Place};
use super::{Error, ErrorKind, EventKind, Frame, MAX_METADATA, ids};
use crate::media::ebml::{Element, Header};
use crate::types::TimestampScale;

/// What is known between two elements.
#[derive(Debug)]
pub struct Parser {
    place: Place,
    scale: TimestampScale,
    tracks: Vec<TrackRule>,
    max_element: usize,
}

/// What stands at the start of the bytes.
#[derive(Debug)]
pub enum Step {
    /// Nothing whole yet; try again when there are this many bytes, or more.
    Need(usize),
    /// An element.
    Found {
        /// Its bytes, which now count as passed.
        len: usize,
        /// Its meaning.
        content: Content,
    },
}

/// An element's meaning. A block's frames are made in a second step by [`Parser::frames`], because
/// they are slices of bytes that must first be frozen.
#[derive(Debug)]
pub enum Content {
    Event(EventKind),
    Block(Block),
}

impl Parser {
    /// At the start of a body; no element may have more than `max_element` bytes.
    pub fn new(max_element: usize) -> Self {
        let scale = TimestampScale::MILLISECOND;
        Self { place: Place::START, scale, tracks: Vec::new(), max_element }
    }

    /// Offset of the next element in the body.
    pub fn at(&self) -> u64 {
        self.place.at
    }

    /// Whether no element of an open Cluster is missing here.
    pub fn cluster_is_whole(&self) -> bool {
        self.place.cluster_is_whole()
    }

    /// Treats the open Segment as one of unknown size.
    pub fn forget_segment_size(&mut self) {
        self.place.forget_segment_size();
    }

    /// Takes the element at the start of `bytes`.
    ///
    /// # Errors
    /// As soon as the bytes at hand show that no valid element can follow.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, Error> {
        let at = self.place.at;
        let error = move |kind| Error { at, kind };
        let Some(header) = Header::read(bytes).map_err(|kind| error(kind.into()))? else {
            return Ok(Step::Need(bytes.len() + 1));
        };
        let Header { id, size, len } = header;
        let mut place = self.place.of(&header).map_err(error)?;
        let (len, content) = match id {
            ids::SEGMENT => {
                place.enter_segment(&header);
                (len, Content::Event(EventKind::SegmentStart { size }))
            }
            ids::CLUSTER => {
                place.enter_cluster(&header);
                (len, Content::Event(EventKind::ClusterStart { size }))
            }
            _ => {
                let whole = self.whole_len(&header).map_err(error)?;
                let Some(data) = bytes.get(len..whole) else { return Ok(Step::Need(whole)) };
                let content =
                    self.content(&Element { id, at, data, header_len: len }, &mut place)?;
                place.pass(whole);
                (whole, content)
            }
        };
        self.place = place;
        Ok(Step::Found { len, content })
    }

    /// Appends the frames of `block`, whose element begins at `start` of `bytes`.
    pub fn frames(&self, block: Block, bytes: &Bytes, start: usize, out: &mut Vec<Frame>) {
        let rule = self.tracks.iter().find(|rule| rule.number == block.track());
        block.frames(bytes, start, self.scale, rule, out);
    }

    /// Bytes of an element that is taken as a whole, header included.
    fn whole_len(&self, header: &Header) -> Result<usize, ErrorKind> {
        let id = header.id;
        let limit = match id {
            ids::EBML | ids::INFO | ids::TRACKS | ids::TAGS => self.max_element.min(MAX_METADATA),
            _ => self.max_element,
        };
        let size = header.size.ok_or(ErrorKind::UnknownSize { id })?;
        let whole = usize::try_from(size).ok().and_then(|size| size.checked_add(header.len));
        whole.filter(|&whole| whole <= limit).ok_or(ErrorKind::ElementTooLarge { id, size, limit })
    }

    /// What a whole element means, remembering what later ones depend on.
    fn content(&mut self, element: &Element, place: &mut Place) -> Result<Content, Error> {
        let kind = match element.id {
            ids::EBML => {
                let doc_type = metadata::doc_type(element)?;
                self.scale = TimestampScale::MILLISECOND;
                self.tracks.clear();
                place.level = Level::Document;
                EventKind::EbmlHead { doc_type }
            }
            ids::INFO => {
                self.scale = metadata::scale(element)?;
                EventKind::Info { scale: self.scale }
            }
            ids::TRACKS => {
                let (tracks, rules) = metadata::tracks(element)?;
                self.tracks = rules;
                EventKind::Tracks(tracks)
            }
            ids::TAGS => EventKind::Tags(metadata::tags(element)?),
            ids::TIMESTAMP => cluster_timecode(element, place)?,
            ids::SIMPLE_BLOCK => {
                return Block::simple(element, block_base(element, place)?).map(Content::Block);
            }
            ids::BLOCK_GROUP => match Block::group(element, block_base(element, place)?)? {
                Some(block) => return Ok(Content::Block(block)),
                None => EventKind::OtherInCluster { id: element.id },
            },
            id if place.level == Level::Cluster => EventKind::OtherInCluster { id },
            id => EventKind::Other { id },
        };
        Ok(Content::Event(kind))
    }
}

fn cluster_timecode(element: &Element, place: &mut Place) -> Result<EventKind, Error> {
    if place.timecode.is_some() {
        return Err(Error { at: element.at, kind: ErrorKind::SecondTimecode });
    }
    let ticks = element.uint()?;
    place.timecode = Some(i64::try_from(ticks).map_err(|_| element.invalid())?);
    Ok(EventKind::ClusterTimecode(ticks))
}

fn block_base(element: &Element, place: &Place) -> Result<i64, Error> {
    place.timecode.ok_or(Error { at: element.at, kind: ErrorKind::BlockBeforeTimecode })
}
