use proptest::prelude::*;

use super::*;

fn time(ms: i64) -> ProducerTimestamp {
    ProducerTimestamp::from_millis(ms)
}

/// A face of a tenth of the frame's width, its centre at a place.
fn shot(at_ms: i64, x: f32, y: f32) -> Shot {
    Shot {
        result_id: format!("{at_ms}-{x}-{y}"),
        at: time(at_ms),
        bounds: BoundingBox::around(Point { x, y }, 0.1, 0.15),
        confidence: 0.8,
        score: 0.5,
    }
}

fn see(tracker: &mut Tracker, at_ms: i64, faces: &[(f32, f32)]) -> Update {
    let shots = faces.iter().map(|(x, y)| shot(at_ms, *x, *y)).collect();
    tracker.update(time(at_ms), shots)
}

fn embedding(number: f32) -> Embedding {
    Embedding::new([number, 0.0]).expect("it is sound")
}

#[test]
fn one_person_who_walks_through_is_one_track() {
    let mut tracker = Tracker::default();
    let mut keys = std::collections::HashSet::new();
    // Nearly two widths of the face from one frame to the next.
    for step in 0..6 {
        let update = see(&mut tracker, step * 200, &[(0.05 + step as f32 * 0.18, 0.4)]);
        keys.extend(update.tracks);
        assert!(update.ended.is_empty());
    }
    assert_eq!(keys.len(), 1);
    let ended = see(&mut tracker, 10_000, &[]).ended;
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].frames, ended[0].first), (6, time(0)));
    assert_eq!(ended[0].latest.at, time(1000));
    assert_eq!(ended[0].id, "0-0.05-0.4");
}

#[test]
fn a_few_missed_frames_do_not_end_a_track() {
    let mut tracker = Tracker::default();
    let first = see(&mut tracker, 0, &[(0.3, 0.5)]).tracks;
    see(&mut tracker, 200, &[(0.32, 0.5)]);
    for at in [400, 600, 800] {
        assert!(see(&mut tracker, at, &[]).ended.is_empty());
    }
    assert_eq!(see(&mut tracker, 1000, &[(0.40, 0.5)]).tracks, first);
}

#[test]
fn two_people_who_cross_keep_their_tracks() {
    let mut tracker = Tracker::default();
    let mut last = Vec::new();
    for step in 0..11 {
        let across = step as f32 * 0.08;
        last = see(&mut tracker, step * 100, &[(0.1 + across, 0.40), (0.9 - across, 0.52)]).tracks;
    }
    assert_eq!(last, [Some(TrackKey(0)), Some(TrackKey(1))]);
}

#[test]
fn a_face_elsewhere_is_another_track() {
    let mut tracker = Tracker::default();
    let first = see(&mut tracker, 0, &[(0.1, 0.5)]).tracks;
    let second = see(&mut tracker, 40, &[(0.8, 0.5)]).tracks;
    assert_ne!(first, second);
}

#[test]
fn a_hidden_face_that_comes_back_elsewhere_goes_on_by_its_looks() {
    let mut tracker = Tracker::default();
    let first = see(&mut tracker, 0, &[(0.1, 0.5)]).tracks[0].expect("there is room");
    tracker.get_mut(first).expect("it is there").recognition.embedding = Some(embedding(1.0));
    see(&mut tracker, 200, &[]);
    let second = see(&mut tracker, 2000, &[(0.8, 0.5)]).tracks[0].expect("there is room");
    assert_ne!(first, second);
    assert_eq!(tracker.reunite(second, &embedding(9.0)), None);
    assert_eq!(tracker.reunite(second, &embedding(1.2)), Some(first));
    let third = see(&mut tracker, 2100, &[(0.8, 0.5)]).tracks;
    assert_eq!(third, [Some(first)]);
    assert_eq!(tracker.get(first).map(|track| track.frames), Some(3));
}

#[test]
fn somebody_who_looks_the_same_and_is_in_view_is_somebody_else() {
    let mut tracker = Tracker::default();
    let keys = see(&mut tracker, 0, &[(0.1, 0.5), (0.8, 0.5)]).tracks;
    let [Some(first), Some(second)] = keys[..] else { panic!("{keys:?}") };
    tracker.get_mut(first).expect("it is there").recognition.embedding = Some(embedding(1.0));
    assert_eq!(tracker.reunite(second, &embedding(1.0)), None);
}

#[test]
fn a_clock_that_goes_back_ends_all_tracks() {
    let mut tracker = Tracker::default();
    see(&mut tracker, 100_000, &[(0.5, 0.5)]);
    let update = see(&mut tracker, 1000, &[(0.5, 0.5)]);
    assert_eq!(update.ended.len(), 1);
    assert_eq!(update.tracks, [Some(TrackKey(1))]);
}

#[test]
fn rare_frames_are_tracked_as_well() {
    let mut tracker = Tracker::default();
    let mut keys = std::collections::HashSet::new();
    for step in 0..4 {
        keys.extend(see(&mut tracker, step * 2000, &[(0.5, 0.5)]).tracks);
    }
    // Only after the first gap is it known how rare they are.
    assert!(keys.len() <= 2, "{keys:?}");
}

#[test]
fn the_best_shot_is_the_one_of_the_highest_score() {
    let mut tracker = Tracker::default();
    for (at, score) in [(0, 0.2), (100, 0.7), (200, 0.4)] {
        let shot = Shot { score, ..shot(at, 0.5, 0.5) };
        tracker.update(time(at), vec![shot]);
    }
    let ended = tracker.finish();
    assert_eq!(ended[0].best.at, time(100));
    assert!(ended[0].is_confirmed());
}

proptest! {
    #[test]
    fn each_face_has_a_track_of_its_own(
        frames in proptest::collection::vec(
            (0i64..3000, proptest::collection::vec((0.0f32..1.0, 0.0f32..1.0), 0..6)), 1..20),
    ) {
        let mut tracker = Tracker::default();
        let mut at = 0;
        let (mut begun, mut ended) = (std::collections::HashSet::new(), 0);
        for (dt, faces) in frames {
            at += dt;
            let update = see(&mut tracker, at, &faces);
            let keys: std::collections::HashSet<_> = update.tracks.iter().flatten().collect();
            prop_assert_eq!(keys.len(), faces.len());
            begun.extend(update.tracks.iter().flatten().copied());
            ended += update.ended.len();
        }
        prop_assert_eq!(begun.len(), ended + tracker.finish().len());
    }
}
