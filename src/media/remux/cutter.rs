//! Cuts the frames of a file into fragments, and writes each as MKV.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Error;
use crate::media::mkv::{self, Head, Tag, Track, TrackKind, kvs};
use crate::types::{Millis, TimestampScale};

/// What the heads of fragments name as the program that wrote them.
const WRITING_APP: &str = concat!("kinora ", env!("CARGO_PKG_VERSION"));

const NANOS_PER_MILLI: i64 = 1_000_000;

/// A key frame that comes so much before the wanted length ends the fragment all the same.
const TOLERANCE_NS: i64 = 100 * NANOS_PER_MILLI;
/// Sound that begins no more than so long before the picture shares its fragment; a block can stand
/// 32 s before its cluster's time at most.
const LEAD_NS: i64 = 1000 * NANOS_PER_MILLI;
/// A track that brings nothing while another goes on for so long is not waited for.
const SILENCE_NS: i64 = 12_000 * NANOS_PER_MILLI;

/// How fragments are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutLimits {
    /// A fragment ends with the first key frame after so long.
    pub target: Millis,
    /// A fragment ends here also without a key frame.
    pub longest: Millis,
    /// A fragment ends before the leading track has so many bytes; twice as many may wait in all.
    pub bytes: usize,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// When it is shown, in the file's own time.
    pub time_ns: i64,
    /// Decoding can begin here.
    pub keyframe: bool,
    /// As MKV has it.
    pub data: Bytes,
}

/// Frames in, each track's in decode order; fragments out.
///
/// A fragment begins with a key frame of the leading track: the first video track that still has
/// frames, else the first track. What the other tracks have in its time goes with it. Its head
/// declares the tracks that have frames in it and no other, so that sound may end before the picture.
#[derive(Debug)]
pub struct Cutter {
    limits: CutLimits,
    lanes: Vec<Lane>,
    anchor: Anchor,
    /// Numbers of the tracks in the head that was written last.
    head: Vec<u64>,
    /// Time of the newest fragment, and of the first.
    newest_ms: Option<i64>,
    first_ms: Option<i64>,
    end_ms: Option<i64>,
    scan: Scan,
}

/// Where the file's time zero lies on the producer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    Unknown,
    /// The leading track's first frame is at this time, in milliseconds.
    First(i64),
    /// Time zero is at this time, in nanoseconds.
    Zero(i64),
}

#[derive(Debug)]
struct Lane {
    track: Track,
    queue: VecDeque<Item>,
    bytes: usize,
    /// Nothing more comes.
    ended: bool,
    /// A frame was taken from it, so that a missing key frame is no reason to pass frames over.
    begun: bool,
    latest_ns: i64,
}

/// How far the leading lane was searched for the fragment's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scan {
    lane: usize,
    next: usize,
    bytes: usize,
}

impl Lane {
    fn is_video(&self) -> bool {
        matches!(self.track.kind, TrackKind::Video { .. })
    }

    fn is_over(&self) -> bool {
        self.ended && self.queue.is_empty()
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        self.bytes -= item.data.len();
        self.begun = true;
        Some(item)
    }
}

impl Cutter {
    /// Without tracks yet.
    pub fn new(limits: CutLimits) -> Self {
        Self {
            limits,
            lanes: Vec::new(),
            anchor: Anchor::Unknown,
            head: Vec::new(),
            newest_ms: None,
            first_ms: None,
            end_ms: None,
            scan: Scan::default(),
        }
    }

    /// The tracks of the frames from now on. To be called when nothing waits: at the beginning, or
    /// after [`Cutter::finish`] and the fragments that it brings.
    pub fn set_tracks(&mut self, tracks: Vec<Track>) {
        let lane = |track| Lane {
            track,
            queue: VecDeque::new(),
            bytes: 0,
            ended: false,
            begun: false,
            latest_ns: i64::MIN,
        };
        self.lanes = tracks.into_iter().map(lane).collect();
        self.head.clear();
        self.scan = Scan::default();
    }

    /// Whether tracks were declared.
    pub fn has_tracks(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// The leading track's first frame is at this time of the producer's clock.
    pub fn anchor_first(&mut self, millis: i64) {
        self.anchor = Anchor::First(millis);
    }

    /// The file's time zero is at this time of the producer's clock.
    pub fn anchor_zero(&mut self, millis: i64) {
        self.anchor = Anchor::Zero(millis.saturating_mul(NANOS_PER_MILLI));
    }

    /// Whether either was said.
    pub fn is_anchored(&self) -> bool {
        self.anchor != Anchor::Unknown
    }

    /// Whether a fragment was cut.
    pub fn has_cut(&self) -> bool {
        self.newest_ms.is_some()
    }

    /// When the last frame that was cut ends, in milliseconds of the producer's clock.
    pub fn end_ms(&self) -> Option<i64> {
        self.end_ms
    }

    /// Adds a frame of the track with this index. Frames without bytes are left out: there is nothing
    /// in them to decode.
    pub fn push(&mut self, track: usize, mut item: Item) {
        // Fragments have milliseconds: cutting by finer times, a file that was made of them would be
        // cut elsewhere.
        item.time_ns = millis(item.time_ns).saturating_mul(NANOS_PER_MILLI);
        let Some(lane) = self.lanes.get_mut(track).filter(|_| !item.data.is_empty()) else {
            return;
        };
        if lane.is_video() && !lane.begun && lane.queue.is_empty() && !item.keyframe {
            return;
        }
        lane.latest_ns = lane.latest_ns.max(item.time_ns);
        lane.bytes += item.data.len();
        lane.queue.push_back(item);
    }

    /// Nothing more comes of the track with this index.
    pub fn end_track(&mut self, track: usize) {
        if let Some(lane) = self.lanes.get_mut(track) {
            lane.ended = true;
        }
    }

    /// Nothing more comes: what waits is cut.
    pub fn finish(&mut self) {
        for lane in &mut self.lanes {
            lane.ended = true;
        }
    }

    /// The next fragment's bytes; `None` when more frames are needed.
    ///
    /// # Errors
    /// Times run backwards.
    pub fn next_fragment(&mut self) -> Result<Option<Vec<Bytes>>, Error> {
        let Some(leader) = self.leader() else { return Ok(None) };
        match self.extent(leader) {
            Some(extent) => self.write(&extent).map(Some),
            None => Ok(None),
        }
    }

    fn leader(&self) -> Option<usize> {
        let open = |lane: &Lane| !lane.is_over();
        let video = self.lanes.iter().position(|lane| lane.is_video() && open(lane));
        video.or_else(|| self.lanes.iter().position(open))
    }

    /// What the next fragment takes; `None` when that is not known yet.
    fn extent(&mut self, leader: usize) -> Option<Extent> {
        let follows = |index: &usize| *index != leader;
        let others: Vec<usize> = (0..self.lanes.len()).filter(follows).collect();
        let heads = others.iter().filter_map(|&other| self.lanes[other].queue.front());
        let earliest = heads.map(|item| item.time_ns).min();
        let Some(first) = self.lanes[leader].queue.front().map(|item| item.time_ns) else {
            return self.extent_without(leader, earliest?, i64::MAX);
        };
        if earliest.is_some_and(|earliest| earliest < first.saturating_sub(LEAD_NS)) {
            return self.extent_without(leader, earliest?, first);
        }
        let longest = first.saturating_add(nanos(self.limits.longest));
        let (count, until) = match self.find_end(leader, first) {
            Some((count, next)) => (count, next.min(longest)),
            None if self.lanes[leader].ended => (self.lanes[leader].queue.len(), longest),
            None => return None,
        };
        let ready = others.iter().all(|&other| self.has_passed(other, until));
        ready.then_some(Extent { leader: Some((leader, count)), at_ns: first, until_ns: until })
    }

    /// A fragment of the other tracks alone, while the leading one has nothing until `before`.
    fn extent_without(&self, leader: usize, first: i64, before: i64) -> Option<Extent> {
        let until = first.saturating_add(nanos(self.limits.target)).min(before);
        let latest = self.lanes.iter().map(|lane| lane.latest_ns).max().unwrap_or(first);
        // With nothing known of the leading track it may only be late.
        let silent = before < i64::MAX || latest.saturating_sub(first) > SILENCE_NS;
        let others = (0..self.lanes.len()).filter(|index| *index != leader);
        let ready =
            (silent || self.is_full()) && others.into_iter().all(|i| self.has_passed(i, until));
        ready.then_some(Extent { leader: None, at_ns: first, until_ns: until })
    }

    /// The first frame of the leading track that does not belong to the fragment any more: its index
    /// and its time.
    fn find_end(&mut self, leader: usize, first: i64) -> Option<(usize, i64)> {
        let lane = &self.lanes[leader];
        if self.scan.lane != leader || self.scan.next == 0 {
            let bytes = lane.queue.front().map_or(0, |item| item.data.len());
            self.scan = Scan { lane: leader, next: 1, bytes };
        }
        let target = nanos(self.limits.target).saturating_sub(TOLERANCE_NS).max(1);
        let longest = nanos(self.limits.longest);
        while let Some(item) = lane.queue.get(self.scan.next) {
            let length = item.time_ns.saturating_sub(first);
            let starts = item.keyframe || !lane.is_video();
            self.scan.bytes += item.data.len();
            if starts && (length >= target || length < 0)
                || length >= longest
                || self.scan.bytes > self.limits.bytes
            {
                let end = (self.scan.next, item.time_ns);
                self.scan.bytes -= item.data.len();
                return Some(end);
            }
            self.scan.next += 1;
        }
        None
    }

    /// Whether nothing before `until` is to be expected of a track any more.
    fn has_passed(&self, lane: usize, until: i64) -> bool {
        let latest = self.lanes.iter().map(|lane| lane.latest_ns).max().unwrap_or(i64::MIN);
        let lane = &self.lanes[lane];
        lane.ended
            || lane.latest_ns >= until
            || latest.saturating_sub(until) > SILENCE_NS
            || self.is_full()
    }

    fn is_full(&self) -> bool {
        let waiting: usize = self.lanes.iter().map(|lane| lane.bytes).sum();
        waiting > self.limits.bytes.saturating_mul(2)
    }

    fn write(&mut self, extent: &Extent) -> Result<Vec<Bytes>, Error> {
        let zero_ns = self.zero_ns(extent.at_ns);
        let at_ms = millis(zero_ns.saturating_add(extent.at_ns));
        let first_ms = *self.first_ms.get_or_insert(at_ms);
        if self.newest_ms.is_some_and(|newest| at_ms <= newest) {
            let since = self.newest_ms.unwrap_or(first_ms) - first_ms;
            return Err(Error::Backwards { seconds: since as f64 / 1000.0 });
        }
        let taken = self.take(extent);
        self.newest_ms = Some(at_ms);
        let mut out = Vec::with_capacity(2 * taken.len() + 3);
        self.write_head(&taken, &mut out);
        out.push(mkv::cluster(u64::try_from(at_ms).unwrap_or(0)));
        let mut end_ms = at_ms;
        for (lane, item) in taken {
            let time_ms = millis(zero_ns.saturating_add(item.time_ns));
            let offset = i16::try_from(time_ms - at_ms)
                .map_err(|_| Error::Backwards { seconds: (at_ms - first_ms) as f64 / 1000.0 })?;
            let number = self.lanes[lane].track.number;
            let keyframe = item.keyframe || !self.lanes[lane].is_video();
            out.push(mkv::simple_block(number, offset, keyframe, item.data.len()));
            out.push(item.data);
            if extent.leader.is_none_or(|(leader, _)| leader == lane) {
                end_ms = end_ms.max(time_ms);
            }
        }
        let name = kvs::END_OF_FRAGMENT.to_owned();
        out.push(mkv::tags(&[Tag { name, value: String::new() }]));
        self.end_ms = Some(end_ms + self.last_frame_ms(extent, at_ms, end_ms));
        Ok(out)
    }

    /// How long the fragment's last frame lasts: as the track says, else up to the frame behind it.
    fn last_frame_ms(&self, extent: &Extent, at_ms: i64, end_ms: i64) -> i64 {
        let Some((leader, count)) = extent.leader else { return 0 };
        let lane = &self.lanes[leader];
        let told = lane.track.default_duration_ns.and_then(|ns| i64::try_from(ns).ok());
        let mean = || (end_ms - at_ms) / i64::try_from(count.max(2) - 1).unwrap_or(1);
        told.map_or_else(mean, millis)
    }

    /// The frames of the fragment with their lanes, about in the order of their times.
    fn take(&mut self, extent: &Extent) -> Vec<(usize, Item)> {
        let mut runs: Vec<VecDeque<Item>> = Vec::with_capacity(self.lanes.len());
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let mut run = VecDeque::new();
            match extent.leader {
                Some((leader, count)) if leader == index => {
                    run.extend((0..count).filter_map(|_| lane.pop()));
                }
                _ => {
                    let inside = |item: &Item| item.time_ns < extent.until_ns;
                    while lane.queue.front().is_some_and(inside) {
                        run.extend(lane.pop());
                    }
                }
            }
            runs.push(run);
        }
        self.scan = Scan::default();
        let mut taken = Vec::with_capacity(runs.iter().map(VecDeque::len).sum());
        // A reordered frame stands where its successors' times are: the latest time of its track so
        // far decides.
        let mut reached = vec![i64::MIN; runs.len()];
        let next = |runs: &[VecDeque<Item>], reached: &[i64]| {
            let heads =
                runs.iter().enumerate().filter_map(|(lane, run)| Some((lane, run.front()?)));
            heads.map(|(lane, item)| (item.time_ns.max(reached[lane]), lane)).min()
        };
        while let Some((time, lane)) = next(&runs, &reached) {
            reached[lane] = time;
            taken.extend(runs[lane].pop_front().map(|item| (lane, item)));
        }
        taken
    }

    fn write_head(&mut self, taken: &[(usize, Item)], out: &mut Vec<Bytes>) {
        let lanes = self.lanes.iter().enumerate();
        let present = lanes.filter(|(index, _)| taken.iter().any(|(lane, _)| lane == index));
        let tracks: Vec<Track> = present.map(|(_, lane)| lane.track.clone()).collect();
        let numbers: Vec<u64> = tracks.iter().map(|track| track.number).collect();
        if numbers == self.head {
            return;
        }
        self.head = numbers;
        let scale = TimestampScale::MILLISECOND;
        out.push(mkv::head(&Head { scale, writing_app: WRITING_APP.to_owned(), tracks }));
    }

    fn zero_ns(&mut self, first_ns: i64) -> i64 {
        let zero_ns = match self.anchor {
            Anchor::Zero(zero_ns) => zero_ns,
            Anchor::First(millis) => {
                millis.saturating_mul(NANOS_PER_MILLI).saturating_sub(first_ns)
            }
            Anchor::Unknown => 0,
        };
        self.anchor = Anchor::Zero(zero_ns);
        zero_ns
    }
}

/// What a fragment takes.
struct Extent {
    /// The leading track, and how many of its frames; `None` for a fragment of the others alone.
    leader: Option<(usize, usize)>,
    /// When it begins.
    at_ns: i64,
    /// The other tracks' frames before this time belong to it.
    until_ns: i64,
}

fn nanos(length: Millis) -> i64 {
    i64::try_from(length.0).unwrap_or(i64::MAX).saturating_mul(NANOS_PER_MILLI)
}

/// Rounded to the nearest.
fn millis(nanos: i64) -> i64 {
    nanos.saturating_add(NANOS_PER_MILLI / 2).div_euclid(NANOS_PER_MILLI)
}
