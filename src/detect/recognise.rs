//! Who somebody is: asked once per track, and again when it is seen much better, not per frame.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{Rgb, RgbImage};

use crate::types::Millis;
use crate::vision::faces::{BoundingBox, Embedding, Point};
use crate::vision::picture::{Colours, Normalisation, Picture, Window, resize};
use crate::wire::people::Observed;

use super::track::{Shot, Track};

/// A face that is seen as well as this is worth asking about at once.
const GOOD_SCORE: f32 = 0.45;
/// After so many frames, the face is asked about as it is.
const PATIENCE_FRAMES: u64 = 3;
/// It is asked again for a face that is better by this factor.
const MUCH_BETTER: f32 = 1.3;
/// So often a face is asked about that nobody knows, before it is told that a stranger appeared: one
/// bad look must not make a stranger of somebody.
const LOOKS_AT_A_STRANGER: u32 = 3;
/// The most questions per track.
const MOST_QUESTIONS: u32 = 6;
/// After so long, it is told that somebody appeared, also when it is not known who.
const PATIENCE: Millis = Millis(1500);
/// Faces narrower than this, in pixels, say too little about who it is.
pub const LEAST_WIDTH: f32 = 40.0;
/// The width from which on more pixels do not tell more, which is what the recogniser looks at.
const FULL_WIDTH: f32 = 100.0;
/// How much is seen around a face in its picture on each side, as a part of its width.
const CROP_RIM: f32 = 0.4;
/// The longest edge of that picture in pixels.
const CROP_EDGE: f32 = 192.0;
const NORMALISATION: Normalisation =
    Normalisation { colours: Colours::Rgb, mean: [0.0; 3], factor: 1.0 };

/// What was found out about a track.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognition {
    /// How the face looks.
    pub embedding: Option<Embedding>,
    /// What the service answered last.
    pub answer: Option<Observed>,
    /// How often it was asked.
    pub questions: u32,
    /// The score of the face that was asked about.
    pub score: f32,
}

/// How well a face is to be seen, 0 to 1.
pub fn score(width: f32, sharpness: f32, frontality: f32) -> f32 {
    let size = (width / FULL_WIDTH).clamp(0.0, 1.0);
    size * (0.5 + sharpness.clamp(0.0, 100.0) / 200.0) * frontality.clamp(0.0, 1.0)
}

/// How much of a face is to be seen that the picture's edge cuts, as a factor of its score: half a
/// face says far less than half about who it is. The bounds are in parts of the picture.
pub fn wholeness(bounds: &BoundingBox) -> f32 {
    let within = |from: f32, to: f32| (to.min(1.0) - from.max(0.0)) / (to - from);
    let seen = within(bounds.left, bounds.right) * within(bounds.top, bounds.bottom);
    if seen.is_finite() { seen.clamp(0.0, 1.0).powi(4) } else { 0.0 }
}

/// Whether it is time to ask who the track is, by its latest face of so many pixels.
pub fn is_due(track: &Track, width: f32) -> bool {
    let Recognition { questions, score, .. } = track.recognition;
    let shot: &Shot = &track.latest;
    if width < LEAST_WIDTH || questions == MOST_QUESTIONS {
        return false;
    }
    if questions == 0 {
        return shot.score >= GOOD_SCORE || track.frames >= PATIENCE_FRAMES;
    }
    let stranger = !is_known(track) && questions < LOOKS_AT_A_STRANGER;
    shot.score > score * MUCH_BETTER || stranger
}

fn is_known(track: &Track) -> bool {
    track.recognition.answer.as_ref().is_some_and(|answer| answer.person.known)
}

/// Whether it is time to tell that the track appeared.
pub fn is_decided(track: &Track) -> bool {
    let waited = track.latest.at.since(track.first) >= PATIENCE;
    let asked = track.recognition.questions >= LOOKS_AT_A_STRANGER;
    track.is_confirmed() && (is_known(track) || asked || waited)
}

/// The face with what is around it, as a JPEG in base64; none when it cannot be made.
pub fn crop(picture: &Picture<'_>, bounds: &BoundingBox) -> Option<String> {
    let rim = bounds.width() * CROP_RIM;
    let left = (bounds.left - rim).max(0.0);
    let top = (bounds.top - rim).max(0.0);
    let width = (bounds.right + rim).min(picture.width() as f32) - left;
    let height = (bounds.bottom + rim).min(picture.height() as f32) - top;
    if !bounds.is_finite() || width < 1.0 || height < 1.0 {
        return None;
    }
    let step = (width.max(height) / CROP_EDGE).max(1.0);
    let (columns, rows) = ((width / step) as usize, (height / step) as usize);
    if columns == 0 || rows == 0 {
        return None;
    }
    let window = Window { corner: Point { x: left, y: top }, step: Point { x: step, y: step } };
    let planes = resize(picture, &window, (columns, rows), &NORMALISATION);
    let area = columns * rows;
    let image = RgbImage::from_fn(columns as u32, rows as u32, |x, y| {
        let at = y as usize * columns + x as usize;
        Rgb(std::array::from_fn(|plane| planes[plane * area + at] as u8))
    });
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image.write_to(&mut jpeg, image::ImageFormat::Jpeg).ok()?;
    Some(STANDARD.encode(jpeg.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::track::Tracker;
    use crate::types::ProducerTimestamp;
    use crate::wire::people::PersonRef;

    /// A track whose faces had these scores, a fifth of a second apart.
    fn track(scores: &[f32]) -> Track {
        let mut tracker = Tracker::default();
        for (at, score) in scores.iter().enumerate() {
            let at = ProducerTimestamp::from_millis(at as i64 * 200);
            let bounds = BoundingBox { left: 0.1, top: 0.1, right: 0.2, bottom: 0.3 };
            let shot =
                Shot { result_id: String::new(), at, bounds, confidence: 0.8, score: *score };
            tracker.update(at, vec![shot]);
        }
        tracker.finish().remove(0)
    }

    #[test]
    fn a_good_face_is_asked_about_at_once_and_a_poor_one_a_little_later() {
        assert!(is_due(&track(&[0.6]), 100.0));
        assert!(!is_due(&track(&[0.2, 0.2]), 100.0));
        assert!(is_due(&track(&[0.2, 0.2, 0.2]), 100.0));
    }

    #[test]
    fn it_is_asked_again_only_for_a_much_better_face() {
        let mut asked = track(&[0.5, 0.55]);
        asked.recognition =
            Recognition { questions: LOOKS_AT_A_STRANGER, score: 0.5, ..Recognition::default() };
        assert!(!is_due(&asked, 100.0));
        asked.latest.score = 0.8;
        assert!(is_due(&asked, 100.0));
        asked.recognition.questions = MOST_QUESTIONS;
        assert!(!is_due(&asked, 100.0));
    }

    #[test]
    fn a_stranger_is_told_after_several_looks_and_a_known_person_at_once() {
        let answered = |known: bool, questions: u32| {
            let mut track = track(&[0.9, 0.9]);
            let person = PersonRef { id: "1".to_owned(), name: None, known };
            let answer = Observed { matches: Vec::new(), person, sighting_id: "2".to_owned() };
            track.recognition = Recognition {
                questions,
                score: 0.9,
                answer: Some(answer),
                ..Recognition::default()
            };
            (is_due(&track, 100.0), is_decided(&track))
        };
        assert_eq!(answered(true, 1), (false, true));
        assert_eq!(answered(false, 1), (true, false), "it may have been a bad look");
        assert_eq!(answered(false, LOOKS_AT_A_STRANGER), (false, true));
    }

    #[test]
    fn a_face_that_the_edge_cuts_waits_until_it_is_whole() {
        let whole = BoundingBox { left: 0.1, top: 0.2, right: 0.2, bottom: 0.4 };
        assert_eq!(wholeness(&whole), 1.0);
        let cut = BoundingBox { left: -0.03, right: 0.07, ..whole };
        assert!(wholeness(&cut) * score(120.0, 80.0, 1.0) < GOOD_SCORE);
        let nowhere = BoundingBox { left: 1.1, right: 1.2, ..whole };
        assert_eq!(wholeness(&nowhere), 0.0);
    }

    #[test]
    fn a_face_too_small_is_never_asked_about_and_told_all_the_same() {
        let small = track(&[0.9; 9]);
        assert!(!is_due(&small, LEAST_WIDTH - 1.0));
        assert!(is_decided(&small));
        assert!(!is_decided(&track(&[0.9; 3])));
    }

    #[test]
    fn a_crop_is_a_jpeg_with_a_rim_and_not_too_large() {
        let pixels = vec![90u8; 640 * 360 * 3];
        let picture = Picture::new(640, 360, 640 * 3, &pixels).expect("it is a picture");
        let bounds = BoundingBox { left: 0.0, top: 0.0, right: 300.0, bottom: 300.0 };
        let crop = crop(&picture, &bounds).expect("it is made");
        let jpeg = STANDARD.decode(crop).expect("it is base64");
        let image = image::load_from_memory(&jpeg).expect("it is a picture").to_rgb8();
        assert_eq!((image.width(), image.height()), (192, 164));
        assert!(image.pixels().all(|pixel| pixel.0[0].abs_diff(90) < 4));
    }
}
