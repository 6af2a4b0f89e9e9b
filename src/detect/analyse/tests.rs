use std::cell::RefCell;

use super::*;
use crate::detect::frame::Pixels;
use crate::types::{FragmentNumber, ProducerTimestamp, ServerTimestamp};
use crate::vision::faces::BoundingBox;
use crate::wire::people::PersonRef;

/// Sees what a script says, one frame after another; none stands for a network that gave NaN.
struct Script(RefCell<Vec<Option<Vec<Face>>>>);

impl Eyes for Script {
    fn detect(&self, _: &Picture<'_>) -> Result<Vec<Face>, String> {
        let mut frames = self.0.borrow_mut();
        let next = if frames.is_empty() { Some(Vec::new()) } else { frames.remove(0) };
        next.ok_or_else(|| "output 0 is not finite".to_owned())
    }

    fn describe(&self, _: &Picture<'_>, _: &Landmarks) -> Result<Option<Embedding>, String> {
        Ok(Embedding::new([1.0]))
    }
}

/// Knows one person, and counts the questions.
#[derive(Default)]
struct OnePerson(RefCell<Vec<Observation>>);

impl Registry for &OnePerson {
    fn observe(&self, observation: &Observation) -> Option<Observed> {
        self.0.borrow_mut().push(observation.clone());
        let person = PersonRef { id: "p1".to_owned(), name: Some("Ann".to_owned()), known: true };
        Some(Observed { matches: Vec::new(), person, sighting_id: "s1".to_owned() })
    }
}

fn face(left: f32, width: f32) -> Face {
    let at = |x: f32, y: f32| Point { x: left + x * width, y: 100.0 + y * width };
    Face {
        bounds: BoundingBox { left, top: 100.0, right: left + width, bottom: 100.0 + width },
        confidence: 0.95,
        landmarks: Some([at(0.3, 0.4), at(0.7, 0.4), at(0.5, 0.6), at(0.35, 0.8), at(0.65, 0.8)]),
    }
}

impl Pixels for image::RgbImage {
    fn picture(&self) -> Option<Picture<'_>> {
        Picture::of(self)
    }
}

fn frame(index: u32) -> DecodedFrame {
    let producer = ProducerTimestamp::from_millis(1_000_000);
    let place = FramePlace {
        fragment: FragmentNumber::new(1, ServerTimestamp::from_millis(1_000_000), 0),
        server: ServerTimestamp::from_millis(1_000_000),
        producer,
        index,
        time: producer.plus(Millis(u64::from(index) * 200)),
    };
    let pixels = Box::new(image::RgbImage::from_pixel(640, 360, image::Rgb([120; 3])));
    DecodedFrame { place, pixels }
}

/// The records of a script, and the one at the end.
fn run(
    frames: Vec<Option<Vec<Face>>>,
    people: &OnePerson,
    options: Options,
) -> (Vec<Outcome>, Option<FindingRecord>) {
    let origin = Origin {
        processor: "door".to_owned(),
        stream: "camera".to_owned(),
        stream_arn: "arn".to_owned(),
        collection: Some("staff".to_owned()),
    };
    let count = frames.len() as u32;
    let eyes = Script(RefCell::new(frames));
    let mut analyser = Analyser::new((eyes, people), origin, options, Vec::new(), None);
    let outcomes = (0..count).map(|index| analyser.analyse(&frame(index))).collect();
    (outcomes, analyser.finish())
}

fn records(outcomes: &[Outcome]) -> Vec<&FindingRecord> {
    let mut records = Vec::new();
    for outcome in outcomes {
        if let Outcome::Record(record) = outcome {
            records.push(&**record);
        }
    }
    records
}

fn events<'a>(records: impl IntoIterator<Item = &'a FindingRecord>) -> Vec<TrackEventType> {
    let all = records.into_iter().flat_map(|record| &record.kinora.events);
    all.map(|event| event.kind).collect()
}

#[test]
fn one_passage_is_one_question_one_arrival_and_one_leaving() {
    let people = OnePerson::default();
    let mut frames: Vec<_> =
        (0..20).map(|step| Some(vec![face(20.0 + 20.0 * step as f32, 90.0)])).collect();
    frames.extend((0..20).map(|_| Some(Vec::new())));
    let (outcomes, closing) = run(frames, &people, Options::default());
    let records = records(&outcomes);
    assert_eq!(records.len(), 40);
    assert_eq!(events(records.iter().copied()), [TrackEventType::Appeared, TrackEventType::Left]);
    assert_eq!(closing, None);
    assert_eq!(people.0.borrow().len(), 1);
    let seen = &records[19].face_search_response[0].kinora;
    assert_eq!((seen.person_name.as_deref(), seen.known), (Some("Ann"), true));
    assert_eq!(seen.track_id, records[0].face_search_response[0].kinora.result_id);
    let left = records.iter().flat_map(|record| &record.kinora.events).next_back();
    let left = left.expect("somebody left");
    assert_eq!(left.frames, 20);
    assert!((left.last - left.first - 3.8).abs() < 1e-6);
}

#[test]
fn whoever_is_in_view_at_the_end_leaves_then() {
    let people = OnePerson::default();
    let frames = vec![Some(vec![face(20.0, 90.0)]); 3];
    let (outcomes, closing) = run(frames, &people, Options::default());
    let closing = closing.expect("somebody was there");
    assert_eq!(events([&closing]), [TrackEventType::Left]);
    let last = records(&outcomes)[2];
    assert_ne!(closing.kinora.result_id, last.kinora.result_id);
}

#[test]
fn a_network_without_an_answer_costs_that_frame_alone() {
    let people = OnePerson::default();
    let there = || Some(vec![face(20.0, 90.0)]);
    let (outcomes, _) = run(vec![there(), None, there(), there()], &people, Options::default());
    assert!(matches!(&outcomes[1], Outcome::Failed(why) if why.contains("not finite")));
    let records = records(&outcomes);
    assert_eq!(records.len(), 3);
    assert_eq!(events(records), [TrackEventType::Appeared]);
}

#[test]
fn a_face_too_small_to_tell_appears_without_a_person() {
    let people = OnePerson::default();
    let frames = vec![Some(vec![face(20.0, 30.0)]); 10];
    let (outcomes, _) = run(frames, &people, Options::default());
    assert!(people.0.borrow().is_empty());
    let records = records(&outcomes);
    let appeared = records.iter().flat_map(|record| &record.kinora.events).next();
    let appeared = appeared.expect("it was told in the end");
    assert_eq!((appeared.person_id.as_deref(), appeared.known), (None, false));
    let narrow = Options { min_face_width: 31, ..Options::default() };
    let (outcomes, closing) = run(vec![Some(vec![face(20.0, 30.0)]); 10], &people, narrow);
    assert!(super::tests::records(&outcomes).iter().all(|r| r.face_search_response.is_empty()));
    assert_eq!(closing, None);
}

#[test]
fn frames_in_which_nothing_moved_are_passed_over_when_that_is_asked_for() {
    let people = OnePerson::default();
    let gated = Options { motion_gate: true, ..Options::default() };
    let (outcomes, _) = run(vec![Some(Vec::new()); 5], &people, gated);
    assert!(matches!(outcomes[0], Outcome::Record(_)));
    assert!(outcomes[1..].iter().all(|outcome| matches!(outcome, Outcome::Still)));
}
