//! PutMedia as a state machine: body bytes in, fragments out. No clock, no I/O.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Limits, Refusal};
use crate::media::mkv::{self, EventKind, Frame, Tag, Track, TrackKind, kvs};
use crate::store::FormatId;
use crate::types::{Millis, ProducerTimestamp, Timecode, TimestampScale};

/// Year 9999; a later producer timestamp is a mistake (mostly of units).
const LATEST_PRODUCER_MS: i64 = 253_402_300_799_999;
/// Bytes of everything before the first cluster.
const HEAD_BYTES: usize = 1 << 20;
/// Elements of a fragment. Each is held as a piece of its own, which costs more than its bytes when
/// they are few: without a bound, a fragment of the smallest elements takes many times its size.
const FRAGMENT_ELEMENTS: usize = 100_000;

const HEAD_TOO_LARGE: Refusal =
    Refusal::InvalidOrder("the head before the first cluster is too large");

/// How cluster timecodes are read (`x-amzn-fragment-timecode-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimecodeType {
    /// Since the Unix epoch.
    Absolute,
    /// Since the given start.
    Relative(ProducerTimestamp),
}

/// What the caller has to do, in order.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "members are named after the types that describe them")]
pub enum Output {
    /// A fragment's first frame arrived: open it.
    Begin { head: Bytes, producer: ProducerTimestamp, format: FormatId, timecode_ms: i64 },
    /// Bytes of the open fragment's cluster, verbatim.
    Cluster(Bytes),
    /// Bytes that follow the open fragment's cluster, verbatim.
    Trailer(Bytes),
    /// The open fragment is complete.
    Complete { duration: Millis },
}

/// One connection's state. Feed it with [`Session::push`], then drain [`Session::next_output`];
/// after a refusal it is dead.
pub struct Session {
    reader: mkv::Reader,
    limits: Limits,
    timecodes: TimecodeType,
    head: HeadState,
    fragment: Option<Fragment>,
    /// Timecode of the newest fragment, in milliseconds.
    previous_ms: Option<i64>,
    outputs: VecDeque<Output>,
}

/// What stands before the clusters.
struct HeadState {
    raw: Vec<u8>,
    /// `raw`, once the first cluster began.
    sealed: Option<Bytes>,
    scale: Option<TimestampScale>,
    tracks: Vec<TrackState>,
    format: FormatId,
    seen_ebml: bool,
    seen_segment: bool,
}

impl HeadState {
    fn new(seen_ebml: bool) -> Self {
        Self {
            raw: Vec::new(),
            sealed: None,
            scale: None,
            tracks: Vec::new(),
            format: FormatId(0),
            seen_ebml,
            seen_segment: false,
        }
    }
}

struct TrackState {
    track: Track,
    /// Milliseconds per frame as last measured, for fragments that have but one.
    frame_ms: f64,
}

/// The fragment between its Cluster element and its end.
struct Fragment {
    /// Cluster bytes before the first frame; handed out with [`Output::Begin`].
    lead: Vec<u8>,
    timecode: Option<Timecode>,
    begun: bool,
    cluster_over: bool,
    bytes: usize,
    elements: usize,
    tags: usize,
    spans: Vec<Span>,
}

impl Fragment {
    fn count(&mut self, raw: &[u8]) {
        self.bytes += raw.len();
        self.elements += 1;
    }

    fn bound(&self, waiting: usize, limits: &Limits) -> Result<(), Refusal> {
        if self.bytes + waiting > limits.fragment_bytes {
            return Err(Refusal::FragmentTooLarge { limit: limits.fragment_bytes });
        }
        if self.elements > FRAGMENT_ELEMENTS {
            return Err(Refusal::TooManyElements { limit: FRAGMENT_ELEMENTS });
        }
        Ok(())
    }
}

/// What a track had in the fragment so far; times in ticks.
#[derive(Clone, Copy)]
struct Span {
    frames: u64,
    first: i64,
    last: i64,
    last_duration: Option<u64>,
}

impl Session {
    /// A session at the start of its body.
    pub fn new(timecodes: TimecodeType, limits: Limits) -> Self {
        Self {
            reader: mkv::Reader::new(limits.fragment_bytes),
            limits,
            timecodes,
            head: HeadState::new(false),
            fragment: None,
            previous_ms: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes more of the body.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.reader.push(bytes);
        while let Some(event) = self.reader.next_event()? {
            self.take(event.raw, event.kind)?;
        }
        self.bound(self.reader.buffered())
    }

    /// Refuses what is too large already, with the `waiting` bytes of an element that is not whole.
    fn bound(&self, waiting: usize) -> Result<(), Refusal> {
        match &self.fragment {
            Some(fragment) => fragment.bound(waiting, &self.limits),
            None if self.head.sealed.is_none() && self.head.raw.len() + waiting > HEAD_BYTES => {
                Err(HEAD_TOO_LARGE)
            }
            None => Ok(()),
        }
    }

    /// The body ended in order: the last fragment is complete, unless it was cut in an element.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        if !self.reader.may_end() {
            return Err(Refusal::InvalidOrder("the body ends within an element"));
        }
        self.complete()
    }

    /// Bytes that are held for the fragment being received, its head included, and for elements
    /// that are not whole.
    pub fn held_bytes(&self) -> usize {
        let fragment = self.fragment.as_ref().map_or(0, |fragment| fragment.bytes);
        fragment + self.head.raw.len() + self.reader.buffered()
    }

    /// What to do next.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The timecode of the fragment being received, for an error acknowledgement.
    pub fn open_timecode_ms(&self) -> Option<i64> {
        let timecode = self.fragment.as_ref()?.timecode?;
        Some(timecode.millis(self.scale()))
    }

    fn scale(&self) -> TimestampScale {
        self.head.scale.unwrap_or(TimestampScale::MILLISECOND)
    }

    fn take(&mut self, raw: Bytes, kind: EventKind) -> Result<(), Refusal> {
        match kind {
            EventKind::EbmlHead { .. } => {
                self.complete()?;
                self.head = HeadState::new(true);
                self.extend_head(&raw)
            }
            EventKind::SegmentStart { .. } => {
                if !self.head.seen_ebml || self.head.seen_segment {
                    return Err(Refusal::InvalidOrder("a Segment stands where none may"));
                }
                self.head.seen_segment = true;
                // A stored chunk is a part of the producer's Segment, so a size would be wrong.
                self.extend_head(&mkv::SEGMENT_START)
            }
            EventKind::Info { scale } => {
                // A later one would give ticks another meaning than the head that is stored.
                if self.head.sealed.is_some() {
                    return Err(Refusal::InvalidOrder("Info stands outside the head of a Segment"));
                }
                self.head.scale = Some(scale);
                self.outside_clusters(raw)
            }
            EventKind::Tracks(tracks) => {
                self.declare(tracks)?;
                self.outside_clusters(raw)
            }
            EventKind::Tags(tags) => self.take_tags(raw, &tags),
            EventKind::ClusterStart { .. } => self.start_cluster(&raw),
            EventKind::ClusterTimecode(ticks) => self.set_timecode(raw, ticks),
            EventKind::Frames(frames) => self.take_frames(raw, &frames),
            EventKind::OtherInCluster { .. } => self.extend_cluster(raw),
            EventKind::Other { .. } => self.outside_clusters(raw),
        }
    }

    fn extend_head(&mut self, raw: &[u8]) -> Result<(), Refusal> {
        if self.head.raw.len() + raw.len() > HEAD_BYTES {
            return Err(HEAD_TOO_LARGE);
        }
        self.head.raw.extend_from_slice(raw);
        Ok(())
    }

    /// An element between clusters: part of the head before the first one, else of the fragment.
    fn outside_clusters(&mut self, raw: Bytes) -> Result<(), Refusal> {
        if self.head.sealed.is_none() {
            return self.extend_head(&raw);
        }
        let Some(fragment) = self.fragment.as_mut().filter(|f| f.begun) else { return Ok(()) };
        fragment.cluster_over = true;
        fragment.count(&raw);
        fragment.bound(0, &self.limits)?;
        self.outputs.push_back(Output::Trailer(raw));
        Ok(())
    }

    fn declare(&mut self, tracks: Vec<Track>) -> Result<(), Refusal> {
        if !self.head.seen_segment || self.head.sealed.is_some() {
            return Err(Refusal::InvalidOrder("Tracks stand outside the head of a Segment"));
        }
        if tracks.len() > self.limits.tracks {
            return Err(Refusal::TooManyTracks { got: tracks.len(), limit: self.limits.tracks });
        }
        self.head.tracks = tracks
            .into_iter()
            .map(|track| {
                let frame_ms = track.default_duration_ns.map_or(0.0, |ns| ns as f64 / 1e6);
                TrackState { track, frame_ms }
            })
            .collect();
        Ok(())
    }

    fn take_tags(&mut self, raw: Bytes, tags: &[Tag]) -> Result<(), Refusal> {
        let open = self.fragment.as_mut().filter(|f| f.begun);
        if let Some(fragment) = open {
            let metadata = tags.iter().filter(|tag| tag.name != kvs::END_OF_FRAGMENT);
            for tag in metadata {
                fragment.tags += 1;
                if fragment.tags > self.limits.fragment_tags
                    || tag.name.len() > self.limits.tag_name_bytes
                    || tag.value.len() > self.limits.tag_value_bytes
                {
                    return Err(Refusal::TooManyTags);
                }
            }
        }
        self.outside_clusters(raw)?;
        if tags.iter().any(|tag| tag.name == kvs::END_OF_FRAGMENT) {
            self.complete()?;
        }
        Ok(())
    }

    fn start_cluster(&mut self, raw: &[u8]) -> Result<(), Refusal> {
        self.complete()?;
        if self.head.tracks.is_empty() {
            return Err(Refusal::InvalidOrder("a Cluster stands before the Tracks"));
        }
        if self.head.sealed.is_none() {
            self.head.sealed = Some(Bytes::from(std::mem::take(&mut self.head.raw)));
            self.head.format = format_of(&self.head.tracks, self.scale());
        }
        let head_bytes = self.head.sealed.as_ref().map_or(0, Bytes::len);
        let unseen = Span { frames: 0, first: 0, last: 0, last_duration: None };
        self.fragment = Some(Fragment {
            lead: raw.to_vec(),
            timecode: None,
            begun: false,
            cluster_over: false,
            bytes: head_bytes + raw.len(),
            elements: 0,
            tags: 0,
            spans: vec![unseen; self.head.tracks.len()],
        });
        Ok(())
    }

    fn set_timecode(&mut self, raw: Bytes, ticks: u64) -> Result<(), Refusal> {
        if let Some(fragment) = &mut self.fragment {
            let ticks = i64::try_from(ticks).map_err(|_| Refusal::InvalidProducerTimestamp)?;
            fragment.timecode.get_or_insert(Timecode(ticks));
        }
        self.extend_cluster(raw)
    }

    fn extend_cluster(&mut self, raw: Bytes) -> Result<(), Refusal> {
        let Some(fragment) = &mut self.fragment else { return Ok(()) };
        if fragment.cluster_over {
            return Err(Refusal::InvalidOrder("a cluster's element stands outside of it"));
        }
        fragment.count(&raw);
        fragment.bound(0, &self.limits)?;
        if fragment.begun {
            self.outputs.push_back(Output::Cluster(raw));
        } else {
            fragment.lead.extend_from_slice(&raw);
        }
        Ok(())
    }

    fn take_frames(&mut self, raw: Bytes, frames: &[Frame]) -> Result<(), Refusal> {
        if !frames.is_empty() {
            self.begin()?;
        }
        self.extend_cluster(raw)?;
        let scale = self.scale();
        let Some(fragment) = &mut self.fragment else { return Ok(()) };
        let start = fragment.timecode.unwrap_or_default();
        for frame in frames {
            let at = self.head.tracks.iter().position(|t| t.track.number == frame.track);
            let span = at.and_then(|at| fragment.spans.get_mut(at));
            span.ok_or(Refusal::UnknownTrack(frame.track))?.add(frame);
            let offset = Timecode(frame.timecode.saturating_sub(start.0)).millis(scale);
            if u64::try_from(offset).is_ok_and(|ms| ms > self.limits.fragment_duration.0) {
                return Err(Refusal::FragmentTooLong { limit: self.limits.fragment_duration });
            }
        }
        Ok(())
    }

    /// The first frame opens the fragment, so that an empty Cluster never becomes one.
    fn begin(&mut self) -> Result<(), Refusal> {
        let scale = self.scale();
        let Some(fragment) = self.fragment.as_mut().filter(|f| !f.begun) else { return Ok(()) };
        let timecode =
            fragment.timecode.ok_or(Refusal::InvalidOrder("a frame stands before its Timecode"))?;
        let timecode_ms = timecode.millis(scale);
        let not_after = |&previous: &i64| self.limits.strict_timecodes && timecode_ms <= previous;
        if let Some(previous_ms) = self.previous_ms.filter(not_after) {
            return Err(Refusal::TimecodeNotAfterPrevious { previous_ms, got_ms: timecode_ms });
        }
        let start = match self.timecodes {
            TimecodeType::Absolute => ProducerTimestamp::from_millis(0),
            TimecodeType::Relative(start) => start,
        };
        let producer = timecode
            .since(start, scale)
            .filter(|at| (0..=LATEST_PRODUCER_MS).contains(&at.as_millis()))
            .ok_or(Refusal::InvalidProducerTimestamp)?;
        fragment.begun = true;
        let lead = Bytes::from(std::mem::take(&mut fragment.lead));
        let head = self.head.sealed.clone().unwrap_or_default();
        let format = self.head.format;
        self.previous_ms = Some(timecode_ms);
        self.outputs.push_back(Output::Begin { head, producer, format, timecode_ms });
        self.outputs.push_back(Output::Cluster(lead));
        Ok(())
    }

    /// Ends the open fragment, if there is one with frames.
    fn complete(&mut self) -> Result<(), Refusal> {
        let scale = self.scale();
        let Some(fragment) = self.fragment.take_if(|f| f.begun) else {
            self.fragment = None;
            return Ok(());
        };
        for (state, span) in self.head.tracks.iter_mut().zip(&fragment.spans) {
            if span.frames == 0 {
                let missing = state.track.number;
                self.fragment = Some(fragment);
                return Err(Refusal::MissingFrames(missing));
            }
            if span.frames > 1 && state.track.default_duration_ns.is_none() {
                let ticks = span.last.saturating_sub(span.first) as f64;
                let frames = (span.frames - 1) as f64;
                state.frame_ms = ticks * f64::from(scale.nanos()) / 1e6 / frames;
            }
        }
        let duration = self.duration_of(&fragment, scale);
        self.outputs.push_back(Output::Complete { duration });
        Ok(())
    }

    /// From the cluster's timecode to the end of the last video frame, or of the last frame at
    /// all when there is no video. The last frame lasts as long as its track's others, and no
    /// longer than a fragment may, whatever the producer claims: searches by time look back as far
    /// as the longest fragment reaches.
    fn duration_of(&self, fragment: &Fragment, scale: TimestampScale) -> Millis {
        let start = fragment.timecode.unwrap_or_default().0;
        let video = |state: &TrackState| matches!(state.track.kind, TrackKind::Video { .. });
        let has_video = self.head.tracks.iter().any(video);
        let tick_ms = f64::from(scale.nanos()) / 1e6;
        let longest_frame = self.limits.fragment_duration.0 as f64;
        let ends = self.head.tracks.iter().zip(&fragment.spans);
        let longest = ends
            .filter(|(state, _)| !has_video || video(state))
            .map(|(state, span)| {
                let last = span.last.saturating_sub(start) as f64 * tick_ms;
                let own = span.last_duration.map(|ticks| ticks as f64 * tick_ms);
                last + own.unwrap_or(state.frame_ms).min(longest_frame)
            })
            .fold(0.0, f64::max);
        Millis(longest.round() as u64)
    }
}

impl Span {
    fn add(&mut self, frame: &Frame) {
        if self.frames == 0 {
            (self.first, self.last) = (frame.timecode, frame.timecode);
        }
        if frame.timecode >= self.last {
            self.last_duration = frame.duration;
        }
        self.first = self.first.min(frame.timecode);
        self.last = self.last.max(frame.timecode);
        self.frames += 1;
    }
}

/// Digests what a decoder must know beforehand: the same tracks and ticks give the same id,
/// whatever else (a random SegmentUID, say) the head holds.
fn format_of(tracks: &[TrackState], scale: TimestampScale) -> FormatId {
    let mut digest = crc32c::crc32c(&scale.nanos().to_be_bytes());
    for TrackState { track, .. } in tracks {
        let Track { number, kind, codec_id, codec_private, codec_delay_ns, .. } = track;
        let facts = format!("{number} {kind:?} {codec_id} {codec_delay_ns}");
        digest = crc32c::crc32c_append(digest, facts.as_bytes());
        digest = crc32c::crc32c_append(digest, codec_private.as_deref().unwrap_or_default());
    }
    FormatId(digest)
}

#[cfg(test)]
mod tests;
