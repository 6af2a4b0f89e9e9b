//! Faces of one frame after another become tracks: one person who passes once.
//!
//! A face goes on with the track whose box it overlaps, or is near to, where the track's motion
//! should have brought it. A track that loses its face waits a while; it goes on when a face near by
//! or, later, one that looks the same comes. All places are parts of the frame.

use crate::types::{Millis, ProducerTimestamp};
use crate::vision::faces::{BoundingBox, Embedding, Point};

use super::recognise::Recognition;

/// A track goes on by motion alone for so long, or for so many frames when they are rare.
const MOTION_MEMORY_MS: f32 = 1000.0;
const MOTION_MEMORY_FRAMES: f32 = 2.5;
/// After so many times that, it has ended.
const MEMORY: f32 = 3.0;
/// Faces whose sizes differ by more than this factor are not the same from one frame to the next.
const LEAST_SIZE_RATIO: f32 = 0.5;
/// How far a face may be from where it was expected, in widths of it: at once, more per second
/// while the track's motion is not known and once it is, and at most.
const REACH: f32 = 0.5;
const REACH_UNKNOWN: f32 = 9.0;
const REACH_KNOWN: f32 = 4.0;
const LONGEST_REACH: f32 = 3.0;
/// How much of a new velocity goes into the known one.
const SMOOTHING: f32 = 0.5;
/// Faces that are closer than this look the same. Stricter than what makes a person known: this
/// joins tracks that nothing else joins.
const SAME_FACE: f32 = 0.45;
/// One frame is enough for a track when the face is as sure as this; else two are needed.
const SURE: f32 = 0.9;
/// The most tracks at a time; a crowd beyond it is tracked in part.
const MAX_TRACKS: usize = 256;

/// Names a track within its tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrackKey(u64);

/// A face in one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    /// The face's `ResultId`.
    pub result_id: String,
    /// When, on the producer's clock.
    pub at: ProducerTimestamp,
    /// Where, as parts of the frame.
    pub bounds: BoundingBox,
    /// How sure the model is that it is a face, 0 to 1.
    pub confidence: f32,
    /// How well it is to be seen: size × sharpness × frontality, 0 to 1.
    pub score: f32,
}

/// One person who passes.
#[derive(Clone, Debug)]
pub struct Track {
    /// Names it here.
    pub key: TrackKey,
    /// Names it everywhere: the `ResultId` of its first face.
    pub id: String,
    /// When it was first seen.
    pub first: ProducerTimestamp,
    /// In how many frames it was seen.
    pub frames: u64,
    /// The best that was seen of it.
    pub best: Shot,
    /// What was seen last.
    pub latest: Shot,
    /// Who it is, as far as that was found out.
    pub recognition: Recognition,
    /// It was told that it appeared.
    pub announced: bool,
    /// Parts of the frame per second, once two frames told.
    velocity: Option<Point>,
}

impl Track {
    fn new(key: TrackKey, shot: Shot) -> Self {
        Self {
            key,
            id: shot.result_id.clone(),
            first: shot.at,
            frames: 1,
            best: shot.clone(),
            latest: shot,
            recognition: Recognition::default(),
            announced: false,
            velocity: None,
        }
    }

    /// It was seen often enough, or surely enough, not to be a mistake of the model.
    pub fn is_confirmed(&self) -> bool {
        self.frames > 1 || self.best.confidence >= SURE
    }

    fn take(&mut self, shot: Shot) {
        let seconds = seconds(shot.at.since(self.latest.at));
        if seconds > 0.0 {
            let (from, to) = (self.latest.bounds.centre(), shot.bounds.centre());
            let now = Point { x: (to.x - from.x) / seconds, y: (to.y - from.y) / seconds };
            let before = self.velocity.unwrap_or(now);
            let mix = |before: f32, now: f32| before + (now - before) * SMOOTHING;
            self.velocity = Some(Point { x: mix(before.x, now.x), y: mix(before.y, now.y) });
        }
        self.frames += 1;
        if shot.score > self.best.score {
            self.best = shot.clone();
        }
        self.latest = shot;
    }

    /// How well a face fits; none when it cannot be the track's.
    fn affinity(&self, shot: &Shot) -> Option<f32> {
        let dt = seconds(shot.at.since(self.latest.at));
        let velocity = self.velocity.unwrap_or_default();
        let moved = |edge: f32, speed: f32| edge + speed * dt;
        let last = &self.latest.bounds;
        let expected = BoundingBox {
            left: moved(last.left, velocity.x),
            right: moved(last.right, velocity.x),
            top: moved(last.top, velocity.y),
            bottom: moved(last.bottom, velocity.y),
        };
        let (width, other) = (expected.width(), shot.bounds.width());
        let ratio = width.min(other) / width.max(other).max(f32::EPSILON);
        if ratio < LEAST_SIZE_RATIO {
            return None;
        }
        let mean = |a: f32, b: f32| ((a + b) / 2.0).max(f32::EPSILON);
        let (centre, there) = (expected.centre(), shot.bounds.centre());
        let across = (there.x - centre.x) / mean(width, other);
        let down = (there.y - centre.y) / mean(expected.height(), shot.bounds.height());
        let speed = if self.velocity.is_some() { REACH_KNOWN } else { REACH_UNKNOWN };
        let reach = (REACH + speed * dt).min(LONGEST_REACH);
        let near = 1.0 - across.hypot(down) / reach;
        let overlap = expected.overlap(&shot.bounds);
        (near > 0.0 || overlap > 0.0).then(|| 2.0 * overlap + near.max(0.0))
    }
}

/// What became of a frame's faces.
#[derive(Debug, Default)]
pub struct Update {
    /// The track of each face, in their order; none for those beyond the most tracks.
    pub tracks: Vec<Option<TrackKey>>,
    /// Tracks that have ended.
    pub ended: Vec<Track>,
}

/// All tracks of a stream.
#[derive(Debug, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    next: u64,
    latest: Option<ProducerTimestamp>,
    /// How far the newest frames are apart, in milliseconds. The smaller counts: one long gap does not
    /// mean that frames are rare.
    gaps_ms: [f32; 2],
}

impl Tracker {
    /// Takes the faces of a frame. When the producer's clock goes back far, all tracks end: it is
    /// another recording.
    pub fn update(&mut self, at: ProducerTimestamp, shots: Vec<Shot>) -> Update {
        let ended = self.pass_time(at);
        let mut update = Update { tracks: vec![None; shots.len()], ended };
        let mut shots: Vec<_> = shots.into_iter().map(Some).collect();
        let taken = self.pair(&shots);
        for (track, shot) in taken {
            if let (Some(track), Some(seen)) = (self.tracks.get_mut(track), shots[shot].take()) {
                track.take(seen);
                update.tracks[shot] = Some(track.key);
            }
        }
        for (index, shot) in shots.into_iter().enumerate() {
            if let Some(shot) = shot
                && self.tracks.len() < MAX_TRACKS
            {
                let key = TrackKey(self.next);
                self.next += 1;
                update.tracks[index] = Some(key);
                self.tracks.push(Track::new(key, shot));
            }
        }
        update
    }

    /// The track of a key, unless it has ended.
    pub fn get_mut(&mut self, key: TrackKey) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.key == key)
    }

    /// The track of a key, unless it has ended.
    pub fn get(&self, key: TrackKey) -> Option<&Track> {
        self.tracks.iter().find(|track| track.key == key)
    }

    /// Joins a track to an earlier one that lost a face which looked the same; the earlier one's key
    /// if there is one.
    pub fn reunite(&mut self, key: TrackKey, embedding: &Embedding) -> Option<TrackKey> {
        let young = self.tracks.iter().position(|track| track.key == key)?;
        let first = self.tracks[young].first;
        let distance = |track: &Track| {
            let known = track.recognition.embedding.as_ref()?;
            embedding.distance(known).filter(|distance| *distance < SAME_FACE)
        };
        let lost = self.tracks.iter().enumerate();
        let lost = lost.filter(|(index, track)| *index != young && track.latest.at < first);
        let lost = lost.filter_map(|(index, track)| Some((index, distance(track)?)));
        let (older, _) = lost.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let track = self.tracks[young].clone();
        let older = &mut self.tracks[older];
        older.frames += track.frames - 1;
        if track.best.score > older.best.score {
            older.best = track.best;
        }
        // Wherever it was meanwhile, that tells nothing of how it moves.
        older.take(track.latest);
        older.velocity = track.velocity;
        let key = older.key;
        self.tracks.remove(young);
        Some(key)
    }

    /// Whether somebody is in view, or was a moment ago.
    pub fn is_watching(&self) -> bool {
        !self.tracks.is_empty()
    }

    /// Ends all tracks.
    pub fn finish(&mut self) -> Vec<Track> {
        self.latest = None;
        std::mem::take(&mut self.tracks)
    }

    /// The tracks that have not been seen for too long at this time.
    fn pass_time(&mut self, at: ProducerTimestamp) -> Vec<Track> {
        let before = self.latest.replace(at).unwrap_or(at);
        self.gaps_ms = [self.gaps_ms[1], at.since(before).0 as f32];
        let memory = self.memory();
        if before.since(at) > memory {
            self.gaps_ms = [0.0; 2];
            return std::mem::take(&mut self.tracks);
        }
        let is_over = |track: &mut Track| at.since(track.latest.at) > memory;
        self.tracks.extract_if(.., is_over).collect()
    }

    /// For how long a track goes on by motion.
    fn motion_memory_ms(&self) -> f32 {
        let interval_ms = self.gaps_ms[0].min(self.gaps_ms[1]);
        MOTION_MEMORY_MS.max(MOTION_MEMORY_FRAMES * interval_ms)
    }

    fn memory(&self) -> Millis {
        Millis((self.motion_memory_ms() * MEMORY) as u64)
    }

    /// Pairs tracks and faces, those that fit best first.
    fn pair(&self, shots: &[Option<Shot>]) -> Vec<(usize, usize)> {
        let motion_memory = Millis(self.motion_memory_ms() as u64);
        let mut fits = Vec::new();
        for (at, track) in self.tracks.iter().enumerate() {
            for (index, shot) in shots.iter().enumerate() {
                let Some(shot) = shot else { continue };
                if shot.at.since(track.latest.at) <= motion_memory
                    && let Some(affinity) = track.affinity(shot)
                {
                    fits.push((affinity, at, index));
                }
            }
        }
        fits.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
        let (mut tracks, mut faces) = (vec![false; self.tracks.len()], vec![false; shots.len()]);
        let mut pairs = Vec::new();
        for (_, track, face) in fits {
            if !tracks[track] && !faces[face] {
                (tracks[track], faces[face]) = (true, true);
                pairs.push((track, face));
            }
        }
        pairs
    }
}

fn seconds(length: Millis) -> f32 {
    length.0 as f32 / 1000.0
}

#[cfg(test)]
mod tests;
