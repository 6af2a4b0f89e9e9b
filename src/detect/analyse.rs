//! One stream's frames, one after another: found faces, their tracks, who they are, the record.
//!
//! Runs on a thread of its own. Networks and the service are behind [`Eyes`] and [`Registry`], so
//! that what is decided here can be tested without models.

use crate::types::Millis;
use crate::vision::faces::{Embedding, Face, Landmarks, Point};
use crate::vision::picture::Picture;
use crate::vision::quality;
use crate::wire::findings::{FindingRecord, TrackEvent, TrackEventType};
use crate::wire::people::{Observation, Observed};
use crate::wire::processors::{Options, Region};

use super::emit::{
    Origin, Sight, closing_record, event, face_id, percent, record, relative, wire_box,
};
use super::frame::{DecodedFrame, FramePlace};
use super::recognise::{crop, is_decided, is_due, score, wholeness};
use super::select::{MotionGate, within};
use super::track::{Shot, Track, TrackKey, Tracker};

/// The most faces of one frame; the surest are taken.
const MAX_FACES: usize = 100;
/// Matches that a record has for each face, as in Rekognition.
const MAX_MATCHES: usize = 5;
/// Without motion, a frame is looked at all the same while somebody is in view.
const STILL: Millis = Millis(1000);

/// What sees faces.
pub trait Eyes {
    /// The faces of a picture, in its pixels.
    ///
    /// # Errors
    /// There is no answer for this picture, for this reason.
    fn detect(&self, picture: &Picture<'_>) -> Result<Vec<Face>, String>;

    /// How the face with these landmarks looks; none when they are those of no face.
    ///
    /// # Errors
    /// There is no answer for this face, for this reason.
    fn describe(
        &self,
        picture: &Picture<'_>,
        landmarks: &Landmarks,
    ) -> Result<Option<Embedding>, String>;
}

impl<E: Eyes + ?Sized> Eyes for std::sync::Arc<E> {
    fn detect(&self, picture: &Picture<'_>) -> Result<Vec<Face>, String> {
        (**self).detect(picture)
    }

    fn describe(
        &self,
        picture: &Picture<'_>,
        landmarks: &Landmarks,
    ) -> Result<Option<Embedding>, String> {
        (**self).describe(picture, landmarks)
    }
}

/// What knows people.
pub trait Registry {
    /// Tells a face and learns who it is; none when nobody can say, now or at all.
    fn observe(&self, observation: &Observation) -> Option<Observed>;
}

/// What a frame came to.
#[derive(Debug)]
pub enum Outcome {
    /// It was looked at.
    Record(Box<FindingRecord>),
    /// Nothing moved in it.
    Still,
    /// It could not be looked at, for this reason.
    Failed(String),
}

/// Everything that is known of a stream between its frames.
pub struct Analyser<E, R> {
    eyes: E,
    registry: R,
    origin: Origin,
    options: Options,
    regions: Vec<Region>,
    threshold: Option<f32>,
    tracker: Tracker,
    gate: MotionGate,
    /// The last frame that was looked at.
    last: Option<FramePlace>,
}

impl<E: Eyes, R: Registry> Analyser<E, R> {
    /// Before the first frame.
    pub fn new(
        (eyes, registry): (E, R),
        origin: Origin,
        options: Options,
        regions: Vec<Region>,
        threshold: Option<f32>,
    ) -> Self {
        Self {
            eyes,
            registry,
            origin,
            options,
            regions,
            threshold,
            tracker: Tracker::default(),
            gate: MotionGate::default(),
            last: None,
        }
    }

    /// Looks at a frame.
    pub fn analyse(&mut self, frame: &DecodedFrame) -> Outcome {
        let Some(picture) = frame.pixels.picture() else {
            return Outcome::Failed("the decoder's picture is too short for its size".to_owned());
        };
        if self.options.motion_gate && !self.is_due(&picture, &frame.place) {
            return Outcome::Still;
        }
        let faces = match self.eyes.detect(&picture) {
            Ok(faces) => faces,
            Err(why) => return Outcome::Failed(why),
        };
        let place = frame.place;
        self.last = Some(place);
        let size = (picture.width(), picture.height());
        let sights = self.sights(&picture, &place, faces);
        let shots = sights.iter().map(|sight| shot(sight, &place)).collect();
        let mut update = self.tracker.update(place.time, shots);
        let mut events: Vec<TrackEvent> = Vec::new();
        for track in &update.ended {
            self.end(track, &mut events);
        }
        for (sight, key) in sights.iter().zip(&mut update.tracks) {
            *key = key.map(|key| self.recognise(&picture, &place, sight, key));
            if let Some(track) = key.and_then(|key| self.tracker.get_mut(key))
                && !track.announced
                && is_decided(track)
            {
                track.announced = true;
                events.push(event(&self.origin, track, TrackEventType::Appeared));
            }
        }
        let faces: Vec<_> = sights
            .into_iter()
            .zip(update.tracks)
            .map(|(sight, key)| (sight, key.and_then(|key| self.tracker.get(key))))
            .collect();
        Outcome::Record(Box::new(record(&self.origin, &place, size, &faces, events)))
    }

    /// Ends all tracks: no frame follows for now. The record that says so, if anybody was there.
    pub fn finish(&mut self) -> Option<FindingRecord> {
        let mut events = Vec::new();
        for track in self.tracker.finish() {
            self.end(&track, &mut events);
        }
        let place = self.last?;
        (!events.is_empty()).then(|| closing_record(&self.origin, &place, events))
    }

    /// Whether something moved, or somebody may have left.
    fn is_due(&mut self, picture: &Picture<'_>, place: &FramePlace) -> bool {
        let waited = self.last.is_none_or(|last| place.time.since(last.time) >= STILL);
        self.gate.moved(picture) || (waited && self.tracker.is_watching())
    }

    /// The faces that count, with what is measured of them.
    fn sights(&self, picture: &Picture<'_>, place: &FramePlace, faces: Vec<Face>) -> Vec<Sight> {
        let size = (picture.width(), picture.height());
        let least_width = self.options.min_face_width as f32;
        let sights = faces.into_iter().filter_map(|face| {
            let bounds = relative(&face.bounds, size);
            let Point { x, y } = bounds.centre();
            let counts = face.bounds.width() >= least_width && bounds.is_finite();
            if !counts || !within(Point { x, y }, &self.regions) {
                return None;
            }
            Some(Sight {
                bounds,
                result_id: face_id(&self.origin.stream, place, &face.bounds),
                pose: face.landmarks.as_ref().map(quality::pose).unwrap_or_default(),
                quality: quality::quality(picture, &face.bounds),
                face,
            })
        });
        sights.take(MAX_FACES).collect()
    }

    /// Asks who a track is, if it is time to; its key, or that of the track which it goes on with.
    fn recognise(
        &mut self,
        picture: &Picture<'_>,
        place: &FramePlace,
        sight: &Sight,
        key: TrackKey,
    ) -> TrackKey {
        let width = sight.face.bounds.width();
        let (Some(track), Some(landmarks)) = (self.tracker.get(key), &sight.face.landmarks) else {
            return key;
        };
        if !is_due(track, width) {
            return key;
        }
        let is_first = track.recognition.questions == 0;
        let embedding = match self.eyes.describe(picture, landmarks) {
            Ok(embedding) => embedding,
            Err(why) => {
                tracing::warn!(stream = self.origin.stream, "a face was not described: {why}");
                None
            }
        };
        let key = match &embedding {
            Some(embedding) if is_first => self.tracker.reunite(key, embedding).unwrap_or(key),
            _ => key,
        };
        let Some(track) = self.tracker.get(key) else { return key };
        let answer = embedding.as_ref().and_then(|embedding| {
            self.origin.collection.as_ref()?;
            let observation = self.observation(picture, place, sight, (track, embedding));
            self.registry.observe(&observation)
        });
        if let Some(track) = self.tracker.get_mut(key) {
            let recognition = &mut track.recognition;
            recognition.questions += 1;
            recognition.score = track.latest.score;
            recognition.embedding = embedding.or(recognition.embedding.take());
            recognition.answer = answer.or(recognition.answer.take());
        }
        key
    }

    fn observation(
        &self,
        picture: &Picture<'_>,
        place: &FramePlace,
        sight: &Sight,
        (track, embedding): (&Track, &Embedding),
    ) -> Observation {
        Observation {
            embedding: embedding.as_slice().to_vec(),
            confidence: percent(sight.face.confidence),
            bounding_box: wire_box(&sight.bounds),
            stream: self.origin.stream.clone(),
            fragment_number: place.fragment.to_string(),
            producer_timestamp: place.time.as_secs_f64(),
            server_timestamp: place.server.as_secs_f64(),
            track_id: track.id.clone(),
            crop: crop(picture, &sight.face.bounds),
            threshold: self.threshold,
            max_matches: Some(MAX_MATCHES),
        }
    }

    /// Who was too short in view to be announced is announced now; a mistake never is.
    fn end(&self, track: &Track, events: &mut Vec<TrackEvent>) {
        if !track.announced && !track.is_confirmed() {
            return;
        }
        if !track.announced {
            events.push(event(&self.origin, track, TrackEventType::Appeared));
        }
        events.push(event(&self.origin, track, TrackEventType::Left));
    }
}

fn shot(sight: &Sight, place: &FramePlace) -> Shot {
    let frontality = sight.face.landmarks.map_or(0.5, |_| sight.pose.frontality());
    Shot {
        result_id: sight.result_id.clone(),
        at: place.time,
        bounds: sight.bounds,
        confidence: sight.face.confidence,
        score: score(sight.face.bounds.width(), sight.quality.sharpness, frontality)
            * wholeness(&sight.bounds),
    }
}

#[cfg(test)]
mod tests;
