//! Whether what was seen is what a rule watches for. Pure: the same records give the same alerts,
//! with the same ids.

use sha2::{Digest, Sha256};

use super::memory;
use crate::wire::alerts::rule::Hours;
use crate::wire::alerts::{Alert, ClipRange, InvalidRule, NamedRule, RuleState, StreamState, When};
use crate::wire::findings::{FindingRecord, FoundFace, TrackEvent, TrackEventType};

/// A rule that is being followed.
#[derive(Clone, Debug)]
pub struct Watch {
    rule: NamedRule,
    hours: Option<Hours>,
}

impl Watch {
    /// Begins to follow a rule.
    ///
    /// # Errors
    /// Its schedule is none.
    pub fn new(rule: NamedRule) -> Result<Self, InvalidRule> {
        let hours = rule.rule.schedule.as_ref().map(|schedule| schedule.hours()).transpose()?;
        Ok(Self { rule, hours })
    }

    /// The rule.
    pub fn rule(&self) -> &NamedRule {
        &self.rule
    }

    /// What the rule remembers before it has seen anything, at `now` on the server's clock: whom it
    /// misses in the streams it names, it misses from then on.
    pub fn begin(&self, now: f64) -> RuleState {
        let quiet = StreamState { changed: now, quiet_since: Some(now), ..StreamState::default() };
        let missed = self.rule.rule.streams.iter().flatten().filter(|_| self.window().is_some());
        let streams = missed.map(|stream| (stream.clone(), quiet.clone())).collect();
        RuleState { created: self.rule.created, streams }
    }

    /// The alerts that a record causes, which arrived at `arrival` on the server's clock.
    pub fn see(&self, record: &FindingRecord, arrival: f64, state: &mut RuleState) -> Vec<Alert> {
        let stream = &record.kinora.stream;
        let names = self.rule.rule.streams.as_ref();
        let watched = names.is_none_or(|names| names.contains(stream));
        if !self.rule.rule.enabled || !watched || arrival < self.rule.created {
            return Vec::new();
        }
        if self.misses_somebody() {
            self.notice(record, arrival, memory::of_stream(state, stream, arrival));
            return Vec::new();
        }
        let events = record.kinora.events.iter().filter(|event| self.is_told(event));
        events
            .filter_map(|event| {
                let state = memory::of_stream(state, stream, arrival);
                self.event(record, event, arrival, state)
            })
            .collect()
    }

    /// The alerts of those that nobody was seen for: to be asked at `now` on the server's clock,
    /// when all records until then were seen.
    pub fn look(&self, now: f64, state: &mut RuleState) -> Vec<Alert> {
        let Some(window) = self.window().filter(|_| self.rule.rule.enabled) else {
            return Vec::new();
        };
        let mut alerts = Vec::new();
        for (stream, state) in &mut state.streams {
            if !self.is_time(now) {
                // Nobody is missed before the hours begin, and then anew.
                (state.quiet_since, state.told_absence) = (Some(now), false);
                continue;
            }
            let since = *state.quiet_since.get_or_insert(now);
            if !state.told_absence && now - since >= window {
                state.told_absence = true;
                // From one clock to the other: what was last seen was seen at `since`.
                let time = state.last_seen.unwrap_or(since).max(since - MAX_SKEW) + window;
                let id = self.id(stream, &format!("{}", (since * 1000.0).round() as i64));
                alerts.push(self.alert(id, stream, (time, time)));
            }
        }
        alerts
    }

    /// Somebody who is missed is there.
    fn notice(&self, record: &FindingRecord, arrival: f64, state: &mut StreamState) {
        let seen = |face: &FoundFace| {
            let (id, name) = (&face.kinora.person_id, &face.kinora.person_name);
            let bounds = &face.detected_face.bounding_box;
            let middle = (bounds.left + bounds.width / 2.0, bounds.top + bounds.height / 2.0);
            self.is_meant(id.as_deref(), name.as_deref()) && self.is_inside(middle)
        };
        let appeared = |event: &TrackEvent| self.matches(event);
        let anybody = record.face_search_response.iter().any(seen)
            || record.kinora.events.iter().any(appeared);
        if anybody {
            state.quiet_since = Some(state.quiet_since.unwrap_or(arrival).max(arrival));
            let last = record.kinora.frame_timestamp;
            state.last_seen = Some(state.last_seen.unwrap_or(last).max(last));
            state.told_absence = false;
            state.changed = state.changed.max(arrival);
        }
    }

    /// Whether an event is one to tell of, if it is no repeat.
    fn is_told(&self, event: &TrackEvent) -> bool {
        event.kind == TrackEventType::Appeared && self.matches(event) && self.is_time(event.time)
    }

    fn event(
        &self,
        record: &FindingRecord,
        event: &TrackEvent,
        arrival: f64,
        state: &mut StreamState,
    ) -> Option<Alert> {
        if !memory::is_new(state, &event.track_id) {
            return None;
        }
        state.changed = state.changed.max(arrival);
        if let When::Count { count, window_seconds, .. } = &self.rule.rule.when {
            state.times.push(event.time);
            let window = f64::from(*window_seconds);
            state.times.retain(|time| (event.time - time).abs() <= window);
            if state.times.len() < *count as usize {
                return None;
            }
            state.times.clear();
        }
        let id = self.id(&event.stream, &event.track_id);
        let mut alert = self.alert(id, &event.stream, (event.first.min(event.time), event.time));
        alert.collection.clone_from(&record.kinora.collection);
        alert.processor = Some(record.kinora.processor.clone());
        alert.sighting_id.clone_from(&event.sighting_id);
        alert.event = Some(event.clone());
        Some(alert)
    }

    /// Whether an event is of whom and where the rule says.
    fn matches(&self, event: &TrackEvent) -> bool {
        let bounds = &event.bounding_box;
        let middle = (bounds.left + bounds.width / 2.0, bounds.top + bounds.height / 2.0);
        let unknown = matches!(self.rule.rule.when, When::Unknown);
        // A face without identity is too small to tell: that it is nobody known is not known.
        let is_unknown = !event.known && event.person_id.is_some();
        (!unknown || is_unknown)
            && self.is_meant(event.person_id.as_deref(), event.person_name.as_deref())
            && self.is_inside(middle)
    }

    fn is_meant(&self, id: Option<&str>, name: Option<&str>) -> bool {
        let people = self.rule.rule.when.people();
        let is = |person: &String| Some(person.as_str()) == id || Some(person.as_str()) == name;
        people.is_empty() || people.iter().any(is)
    }

    fn is_inside(&self, (x, y): (f32, f32)) -> bool {
        self.rule.rule.region.is_none_or(|region| region.contains(x, y))
    }

    fn is_time(&self, seconds: f64) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.contain(seconds))
    }

    /// Whether it is told when nobody comes.
    pub fn misses_somebody(&self) -> bool {
        self.window().is_some()
    }

    /// For how long nobody must be seen.
    fn window(&self) -> Option<f64> {
        match &self.rule.rule.when {
            When::Absence { window_seconds, .. } => Some(f64::from(*window_seconds)),
            _ => None,
        }
    }

    fn alert(&self, id: String, stream: &str, (first, time): (f64, f64)) -> Alert {
        let clip = self.rule.rule.clip;
        let clip = ClipRange {
            start: first - f64::from(clip.before_seconds),
            end: time + f64::from(clip.after_seconds),
        };
        Alert {
            id,
            rule: self.rule.name.clone(),
            kind: self.rule.rule.when.kind().to_owned(),
            stream: stream.to_owned(),
            time,
            event: None,
            collection: None,
            processor: None,
            clip,
            sighting_id: None,
        }
    }

    /// The same for the same rule, stream and thing that happened.
    fn id(&self, stream: &str, what: &str) -> String {
        let mut digest = Sha256::new();
        let made = (self.rule.created * 1000.0).round() as i64;
        for part in [&self.rule.name, &made.to_string(), stream, what] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex::encode(&digest.finalize()[..16])
    }
}

/// How far a producer's clock may be behind the server's, for the time of an absence to be told on
/// the producer's.
const MAX_SKEW: f64 = 86_400.0 * 365.0;

#[cfg(test)]
mod tests;
