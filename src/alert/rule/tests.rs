use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::alert::memory::MAX_TRACKS;

/// A rule that was made at 0.
fn watch(changes: Value) -> Watch {
    let mut rule = json!({
        "name": "r", "created": 0.0, "updated": 0.0,
        "when": { "type": "unknown" }, "clip": { "beforeSeconds": 5, "afterSeconds": 3 },
    });
    for (member, value) in changes.as_object().expect("members") {
        rule[member] = value.clone();
    }
    let rule: NamedRule = serde_json::from_value(rule).expect("a rule");
    rule.rule.check().expect("a valid rule");
    Watch::new(rule).expect("a valid rule")
}

/// A face appears in the middle of `camera`.
fn appears(track: &str, time: f64, person: Option<(&str, Option<&str>)>) -> FindingRecord {
    let bounds = json!({ "Height": 0.2, "Width": 0.2, "Left": 0.4, "Top": 0.4 });
    let (id, name) = (person.map(|p| p.0), person.and_then(|p| p.1));
    let record = json!({
        "InputInformation": { "KinesisVideo": {
            "StreamArn": "arn", "FragmentNumber": "1", "ServerTimestamp": time,
            "ProducerTimestamp": time, "FrameOffsetInSeconds": 0.0,
        }},
        "StreamProcessorInformation": { "Status": "RUNNING" },
        "FaceSearchResponse": [],
        "Kinora": {
            "Version": 1, "Processor": "p", "Collection": "staff", "Stream": "camera",
            "ResultId": track, "FrameTimestamp": time,
            "Events": [{
                "Type": "appeared", "TrackId": track, "ResultId": track, "Stream": "camera",
                "Time": time, "First": time - 1.0, "Last": time, "Frames": 3,
                "PersonId": id, "PersonName": name, "Known": name.is_some(),
                "Similarity": null, "SightingId": "s1", "FaceId": null,
                "BoundingBox": bounds, "Confidence": 99.0,
            }],
        },
    });
    serde_json::from_value(record).expect("the shape of findings")
}

fn told(watch: &Watch, records: &[FindingRecord]) -> Vec<Alert> {
    let mut state = watch.begin(0.0);
    let see = |record: &FindingRecord| watch.see(record, record.kinora.frame_timestamp, &mut state);
    records.iter().flat_map(see).collect()
}

#[test]
fn unknown_face_is_told_once_for_each_track_with_its_clip() {
    let seen = [
        appears("t1", 100.0, Some(("u1", None))),
        appears("t1", 101.0, Some(("u1", None))),
        appears("t2", 102.0, Some(("ada", Some("Ada")))),
        appears("t3", 103.0, None),
        appears("t4", 104.0, Some(("u1", None))),
    ];
    let alerts = told(&watch(json!({})), &seen);
    let tracks: Vec<_> = alerts.iter().map(|a| &a.event.as_ref().expect("one").track_id).collect();
    assert_eq!(tracks, ["t1", "t4"]);
    assert_eq!(alerts[0].clip, ClipRange { start: 94.0, end: 103.0 });
    assert_eq!(alerts[0].sighting_id.as_deref(), Some("s1"));
    assert_eq!(alerts[0].collection.as_deref(), Some("staff"));
    assert_ne!(alerts[0].id, alerts[1].id);
}

#[test]
fn person_is_found_by_id_and_by_name() {
    let seen = [
        appears("t1", 1.0, Some(("p1", Some("Ada")))),
        appears("t2", 2.0, Some(("p2", Some("Grace")))),
        appears("t3", 3.0, Some(("u1", None))),
    ];
    for person in ["p1", "Ada"] {
        let rule = watch(json!({ "when": { "type": "person", "people": [person] } }));
        assert_eq!(told(&rule, &seen).len(), 1, "{person}");
    }
    assert_eq!(told(&watch(json!({ "when": { "type": "face" } })), &seen).len(), 3);
}

#[test]
fn rule_looks_only_where_and_when_it_says() {
    let seen = [appears("t1", 3600.0, Some(("u1", None)))];
    for (changes, count) in [
        (json!({ "streams": ["camera"] }), 1),
        (json!({ "streams": ["door"] }), 0),
        (json!({ "enabled": false }), 0),
        (json!({ "created": 3601.0 }), 0),
        (json!({ "region": { "Left": 0.0, "Top": 0.0, "Width": 0.6, "Height": 0.6 } }), 1),
        (json!({ "region": { "Left": 0.0, "Top": 0.0, "Width": 0.4, "Height": 1.0 } }), 0),
        // 1970-01-01 was a Thursday.
        (json!({ "schedule": { "days": ["thu"], "from": "01:00", "to": "02:00" } }), 1),
        (json!({ "schedule": { "days": ["fri"], "from": "01:00", "to": "02:00" } }), 0),
        (json!({ "schedule": { "from": "00:00", "to": "01:00" } }), 0),
        (json!({ "schedule": { "from": "00:00", "to": "01:00", "timeZone": "-01:00" } }), 1),
    ] {
        assert_eq!(told(&watch(changes.clone()), &seen).len(), count, "{changes}");
    }
}

#[test]
fn count_is_told_when_enough_came_within_the_window_and_then_begins_anew() {
    let rule = watch(json!({ "when": { "type": "count", "count": 3, "windowSeconds": 10 } }));
    let times = [0.0, 8.0, 16.0, 17.0, 18.0, 19.0, 20.0];
    let seen: Vec<_> = times.iter().map(|time| appears(&format!("t{time}"), *time, None)).collect();
    let alerts = told(&rule, &seen);
    assert_eq!(alerts.iter().map(|alert| alert.time).collect::<Vec<_>>(), [17.0, 20.0]);
}

#[test]
fn absence_is_told_once_until_somebody_comes() {
    let rule = watch(json!({
        "streams": ["camera"], "when": { "type": "absence", "windowSeconds": 60 },
    }));
    let mut state = rule.begin(1000.0);
    assert!(rule.look(1059.0, &mut state).is_empty());
    assert_eq!(rule.look(1060.0, &mut state).len(), 1);
    assert!(rule.look(2000.0, &mut state).is_empty());
    assert!(rule.see(&appears("t1", 2001.0, None), 2001.0, &mut state).is_empty());
    assert!(rule.look(2060.0, &mut state).is_empty());
    let alerts = rule.look(2061.0, &mut state);
    assert_eq!(alerts.iter().map(|alert| alert.time).collect::<Vec<_>>(), [2061.0]);
    assert_eq!(alerts[0].event, None);
}

#[test]
fn absence_counts_from_the_beginning_of_the_hours() {
    let rule = watch(json!({
        "streams": ["camera"], "when": { "type": "absence", "windowSeconds": 60 },
        "schedule": { "from": "01:00", "to": "02:00" },
    }));
    let mut state = rule.begin(0.0);
    let minutes: Vec<f64> = (0..120).map(|minute| f64::from(minute) * 60.0).collect();
    let alerts: Vec<_> = minutes.iter().flat_map(|now| rule.look(*now, &mut state)).collect();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].time, 3600.0);
}

proptest! {
    /// What is read again after a crash, from any earlier state, gives the alerts it gave.
    #[test]
    fn replay_gives_the_same_alerts(
        seen in proptest::collection::vec((0u8..6, 0u16..50), 1..40), stop: prop::sample::Index,
        kind in 0usize..3,
    ) {
        let when = [
            json!({ "type": "unknown" }),
            json!({ "type": "face" }),
            json!({ "type": "count", "count": 2, "windowSeconds": 9 }),
        ];
        let rule = watch(json!({ "when": when[kind] }));
        let records: Vec<_> = seen
            .iter()
            .map(|(track, time)| {
                appears(&format!("t{track}"), f64::from(*time), Some(("u1", None)))
            })
            .collect();
        let mut state = rule.begin(0.0);
        let stop = stop.index(records.len());
        for record in &records[..stop] {
            rule.see(record, 0.0, &mut state);
        }
        let text = serde_json::to_string(&state).expect("plain values");
        let mut again: RuleState = serde_json::from_str(&text).expect("its own shape");
        for record in &records[stop..] {
            let first = rule.see(record, 0.0, &mut state);
            prop_assert_eq!(first, rule.see(record, 0.0, &mut again));
        }
    }

    #[test]
    fn no_track_is_told_twice_and_memory_is_bounded(
        seen in proptest::collection::vec(0u16..300, 1..600),
    ) {
        let rule = watch(json!({ "when": { "type": "face" } }));
        let mut state = rule.begin(0.0);
        let mut last = std::collections::HashMap::new();
        for (at, track) in seen.iter().enumerate() {
            let record = appears(&format!("t{track}"), at as f64, None);
            let alerts = rule.see(&record, 0.0, &mut state);
            if !alerts.is_empty() {
                let before = last.insert(*track, at);
                // Only what so many other tracks followed may be forgotten.
                prop_assert!(before.is_none_or(|before| at - before > MAX_TRACKS));
            }
            prop_assert!(state.streams["camera"].tracks.len() <= MAX_TRACKS);
        }
    }
}
