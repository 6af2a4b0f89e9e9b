//! Where elements stand: which container is open, where it ends, and what ends it.
//!
//! A container of unknown size ends at the first element that cannot be inside of it (RFC 8794
//! 6.2); one of known size ends there and nowhere else.

use super::{ErrorKind, ids};
use crate::media::ebml::Header;

/// How deep the next element stands. What is deeper comes as a whole and is taken apart at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Before the body's first EBML head.
    Body,
    /// After an EBML head, outside of a Segment.
    Document,
    /// Inside a Segment.
    Segment,
    /// Inside a Cluster.
    Cluster,
}

/// The place of the next element.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Offset of the next element in the body.
    pub at: u64,
    /// What it stands in.
    pub level: Level,
    /// The open Cluster's Timecode in ticks, once it was seen; at most `i64::MAX`.
    pub timecode: Option<i64>,
    /// Where the open Segment and Cluster end, if they say so.
    segment_end: Option<u64>,
    cluster_end: Option<u64>,
}

impl Place {
    /// The start of a body.
    pub const START: Self =
        Self { at: 0, level: Level::Body, timecode: None, segment_end: None, cluster_end: None };

    /// The place of an element that stands next: containers that end before it are closed.
    ///
    /// # Errors
    /// `NotEbml`, `Misplaced`, `BeyondParent`.
    pub fn of(mut self, header: &Header) -> Result<Self, ErrorKind> {
        let id = header.id;
        if self.level == Level::Body {
            return if id == ids::EBML { Ok(self) } else { Err(ErrorKind::NotEbml) };
        }
        self.close_finished();
        if let Some(home) = home(id) {
            while home < self.level && self.end().is_none() {
                self.close();
            }
            if home != self.level {
                return Err(ErrorKind::Misplaced { id });
            }
        }
        let content = self.at.saturating_add(header.len as u64);
        let end = content.saturating_add(header.size.unwrap_or(0));
        if self.parent_end().is_some_and(|parent| end > parent) {
            return Err(ErrorKind::BeyondParent { id });
        }
        Ok(self)
    }

    /// Goes behind `len` bytes that stand here.
    pub fn pass(&mut self, len: usize) {
        self.at = self.at.saturating_add(len as u64);
    }

    /// Goes inside the Segment whose header stands here.
    pub fn enter_segment(&mut self, header: &Header) {
        self.pass(header.len);
        self.level = Level::Segment;
        self.segment_end = header.size.map(|size| self.at.saturating_add(size));
    }

    /// Goes inside the Cluster whose header stands here.
    pub fn enter_cluster(&mut self, header: &Header) {
        self.pass(header.len);
        self.level = Level::Cluster;
        self.timecode = None;
        self.cluster_end = header.size.map(|size| self.at.saturating_add(size));
    }

    /// Whether no element of an open Cluster is missing here.
    pub fn cluster_is_whole(&self) -> bool {
        self.level != Level::Cluster || self.cluster_end.is_none_or(|end| end == self.at)
    }

    /// Treats the open Segment as one of unknown size.
    pub fn forget_segment_size(&mut self) {
        self.segment_end = None;
    }

    /// Closes the containers of known size whose last byte was passed.
    fn close_finished(&mut self) {
        while self.parent_end() == Some(self.at) {
            self.close();
        }
    }

    /// Goes up one level.
    fn close(&mut self) {
        match self.level {
            Level::Body | Level::Document => {}
            Level::Segment => {
                self.level = Level::Document;
                self.segment_end = None;
            }
            Level::Cluster => {
                self.level = Level::Segment;
                self.cluster_end = None;
                self.timecode = None;
            }
        }
    }

    /// Where the innermost container ends, if it says so.
    fn end(&self) -> Option<u64> {
        match self.level {
            Level::Body | Level::Document => None,
            Level::Segment => self.segment_end,
            Level::Cluster => self.cluster_end,
        }
    }

    /// The offset that no element here may reach beyond.
    fn parent_end(&self) -> Option<u64> {
        self.end().or(self.segment_end)
    }
}

/// The only level on which a known element stands; `None` for global and unknown elements, which
/// stand anywhere.
fn home(id: u32) -> Option<Level> {
    match id {
        ids::EBML | ids::SEGMENT => Some(Level::Document),
        ids::SEEK_HEAD
        | ids::INFO
        | ids::TRACKS
        | ids::CLUSTER
        | ids::CUES
        | ids::CHAPTERS
        | ids::ATTACHMENTS
        | ids::TAGS => Some(Level::Segment),
        ids::TIMESTAMP
        | ids::SILENT_TRACKS
        | ids::POSITION
        | ids::PREV_SIZE
        | ids::SIMPLE_BLOCK
        | ids::ENCRYPTED_BLOCK
        | ids::BLOCK_GROUP => Some(Level::Cluster),
        _ => None,
    }
}
