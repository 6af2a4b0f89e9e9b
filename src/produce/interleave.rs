//! Puts the frames of several tracks into one order, so that no frame of an earlier fragment
//! comes after the key frame that begins the next.
//!
//! Each track comes in its own decode order and at its own pace. A frame goes on when every other
//! track has shown that it has nothing earlier. Frames are compared by the latest presentation
//! time their track has reached, which grows in decode order also with B-frames.

use std::collections::{BTreeMap, VecDeque};

use super::source::{SourceEvent, SourceFrame};
use crate::media::mkv::{Track, TrackKind};
use crate::types::{Millis, ProducerTimestamp};

/// How long one track waits for another, in media time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How far one track may run ahead of another that is silent before it stops waiting for it.
    pub skew: Millis,
    /// How much media is kept back while an expected track has not been described.
    pub head: Millis,
}

impl Patience {
    /// Of a camera, whose media time is real time: more would be delay.
    pub const LIVE: Self = Self { skew: Millis(1000), head: Millis(3000) };
    /// Of a file, which may come much faster than it plays: a second of one track can be there
    /// before the thread of the other had its first turn.
    pub const FILE: Self = Self { skew: Millis(30_000), head: Millis(30_000) };
}

/// Frames kept back in all; a source that exceeds it is no longer waited for.
pub const MAX_HELD_FRAMES: usize = 4096;

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub enum Interleaved {
    /// The tracks from here on; always before the first frame.
    Tracks(Vec<Track>),
    /// The next frame.
    Frame(SourceFrame),
}

/// Events of a source in, tracks and frames in order out.
#[derive(Debug)]
pub struct Interleaver {
    patience: Patience,
    lanes: BTreeMap<u64, Lane>,
    expected: Option<usize>,
    /// Tracks were announced; they are not waited for again.
    begun: bool,
    /// The set of tracks changed since it was announced.
    changed: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Held>,
    frames: usize,
    /// Latest presentation time that came in.
    reached: Option<ProducerTimestamp>,
    track: Option<Track>,
    ended: bool,
    /// It kept the others waiting too long; they do not wait until it speaks again.
    silent: bool,
}

#[derive(Debug)]
enum Held {
    Track(Track),
    Frame { reached: ProducerTimestamp, frame: SourceFrame },
    End,
}

impl Interleaver {
    /// Nothing came yet.
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            lanes: BTreeMap::new(),
            expected: None,
            begun: false,
            changed: false,
            ended: false,
        }
    }

    /// Takes one event; then [`Interleaver::next_output`] is to be called until it gives nothing.
    pub fn push(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Expect(tracks) => self.expected = Some(tracks),
            SourceEvent::Track(track) => {
                self.lanes.entry(track.number).or_default().queue.push_back(Held::Track(track));
            }
            SourceEvent::Frame(frame) => {
                let lane = self.lanes.entry(frame.track).or_default();
                let reached = lane.reached.map_or(frame.time, |latest| latest.max(frame.time));
                lane.reached = Some(reached);
                lane.silent = false;
                lane.frames += 1;
                lane.queue.push_back(Held::Frame { reached, frame });
            }
            SourceEvent::TrackEnd(track) => {
                if let Some(lane) = self.lanes.get_mut(&track) {
                    lane.queue.push_back(Held::End);
                }
            }
            SourceEvent::End | SourceEvent::Failed(_) => self.ended = true,
        }
    }

    /// The next of the ordered whole; `None` when more events are needed.
    pub fn next_output(&mut self) -> Option<Interleaved> {
        self.take_descriptions();
        if !self.begun && !self.head_is_ready() {
            return None;
        }
        let next = self.next_lane()?;
        self.begun = true;
        if std::mem::take(&mut self.changed) {
            let tracks = self.lanes.values().filter_map(|lane| lane.track.clone()).collect();
            return Some(Interleaved::Tracks(tracks));
        }
        let lane = self.lanes.get_mut(&next)?;
        lane.frames -= 1;
        match lane.queue.pop_front() {
            Some(Held::Frame { frame, .. }) => Some(Interleaved::Frame(frame)),
            _ => None,
        }
    }

    /// Applies what stands before the first frame of each lane.
    fn take_descriptions(&mut self) {
        for lane in self.lanes.values_mut() {
            loop {
                match lane.queue.front() {
                    Some(Held::Track(_)) => {
                        let Some(Held::Track(track)) = lane.queue.pop_front() else { break };
                        self.changed |= lane.track.as_ref() != Some(&track);
                        lane.track = Some(track);
                        lane.ended = false;
                    }
                    Some(Held::End) => {
                        lane.queue.pop_front();
                        lane.ended = true;
                        self.changed |= lane.track.take().is_some();
                    }
                    _ => break,
                }
            }
        }
    }

    fn head_is_ready(&self) -> bool {
        let described = self.lanes.values().filter(|lane| lane.track.is_some() || lane.ended);
        let complete = self.expected.is_some_and(|expected| described.count() >= expected);
        complete || self.ended || self.span() > self.patience.head || self.is_overfull()
    }

    /// The lane whose first frame goes next.
    fn next_lane(&mut self) -> Option<u64> {
        let first = |lane: &Lane| match lane.queue.front() {
            // Of equal times a video key frame goes first: it begins the fragment of that time.
            Some(Held::Frame { reached, .. }) => Some((*reached, !lane.is_video())),
            _ => None,
        };
        let next = self.lanes.iter().filter_map(|(&number, lane)| Some((first(lane)?, number)));
        let (_, number) = next.min()?;
        let waits = |lane: &Lane| lane.queue.is_empty() && !lane.ended && !lane.silent;
        if !self.ended && self.lanes.values().any(waits) {
            if self.span() <= self.patience.skew && !self.is_overfull() {
                return None;
            }
            self.lanes.values_mut().filter(|lane| waits(lane)).for_each(|lane| lane.silent = true);
        }
        Some(number)
    }

    /// Distance between the earliest frame that is held and the latest.
    fn span(&self) -> Millis {
        let fronts =
            self.lanes.values().flat_map(|lane| &lane.queue).filter_map(|held| match held {
                Held::Frame { reached, .. } => Some(*reached),
                _ => None,
            });
        let latest = self.lanes.values().filter_map(|lane| lane.reached).max();
        match (fronts.min(), latest) {
            (Some(earliest), Some(latest)) => latest.since(earliest),
            _ => Millis(0),
        }
    }

    fn is_overfull(&self) -> bool {
        self.lanes.values().map(|lane| lane.frames).sum::<usize>() > MAX_HELD_FRAMES
    }
}

impl Lane {
    fn is_video(&self) -> bool {
        self.track.as_ref().is_some_and(|track| matches!(track.kind, TrackKind::Video { .. }))
    }
}
