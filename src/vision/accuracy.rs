//! How well models do: on pictures of the fetched packages, with boxes that we drew.
//!
//! Each picture becomes a camera's frame of 640 × 360 pixels, with black beside it, and is then
//! made worse in one way. A face is found when a box overlaps its own by more than a third.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageReader, RgbImage};
use serde::Deserialize;

use super::faces::{BoundingBox, Embedding, Face};
use super::onnx::{Detector, LEAST_WIDTH, Recogniser, RunError, SAME_PERSON};
use super::picture::Picture;

/// Boxes and pictures: committed, for they are ours.
const ANNOTATIONS: &str = include_str!("../../models/accuracy.json");
/// The frame that every picture is put into.
const FRAME: (u32, u32) = (640, 360);
/// From which overlap on a box is that of the face.
const LEAST_OVERLAP: f32 = 1.0 / 3.0;
/// The parts of the frame that pictures fill, so that faces of all sizes are looked for.
const SCALES: [f32; 6] = [1.0, 0.75, 0.5, 0.375, 0.25, 0.1875];
/// Lower bounds of the widths, in pixels, by which found faces are counted.
const WIDTHS: [f32; 7] = [8.0, 12.0, 16.0, 20.0, 24.0, 32.0, 48.0];
/// Faces are found reliably from a width on when so many of that and every greater one are.
const RELIABLE: f32 = 0.9;

/// Why the models could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum AccuracyError {
    /// A picture cannot be read.
    #[error("{}: {reason}", path.display())]
    Picture {
        /// The picture's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A network gave no answer.
    #[error("{}: {source}", path.display())]
    Run {
        /// The picture.
        path: PathBuf,
        /// What the network said.
        source: RunError,
    },
}

/// The pictures and what is in them.
#[derive(Deserialize)]
struct Annotations {
    faces: Vec<Annotated>,
    without_faces: Vec<String>,
}

#[derive(Deserialize)]
struct Annotated {
    picture: String,
    /// Who the only face is, for those who are in several pictures.
    person: Option<String>,
    /// Left, top, right and bottom in the picture's pixels.
    boxes: Vec<[f32; 4]>,
}

/// A way in which frames are made worse.
#[derive(Clone, Copy)]
struct Condition {
    name: &'static str,
    worsen: fn(&RgbImage) -> RgbImage,
}

const CONDITIONS: [Condition; 5] = [
    Condition { name: "as they are", worsen: RgbImage::clone },
    Condition { name: "blurred (σ 1.5)", worsen: |frame| blurred(frame, 1.5) },
    Condition { name: "darkened to a fourth", worsen: |frame| scaled(frame, 0.25) },
    Condition { name: "JPEG of quality 20", worsen: |frame| recompressed(frame, 20) },
    Condition { name: "JPEG of quality 5", worsen: |frame| recompressed(frame, 5) },
];

/// What was counted under one condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The condition.
    pub condition: &'static str,
    /// Faces that are there.
    pub faces: usize,
    /// Faces of those that were found.
    pub found: usize,
    /// Boxes without a face, in pictures that have faces.
    pub false_beside_faces: usize,
    /// Boxes in pictures that have no face.
    pub false_without_faces: usize,
}

/// What was counted of faces of similar width.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OfWidth {
    /// The least width in pixels.
    pub from: f32,
    /// Faces that are there.
    pub faces: usize,
    /// Faces of those that were found.
    pub found: usize,
}

/// How far apart faces are, by Euclidean distance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distances {
    /// Pairs of pictures of one person, and the largest distance of any.
    pub same: (usize, f32),
    /// Pairs of different persons, and the smallest distance of any.
    pub different: (usize, f32),
}

/// How well models do.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// One entry per condition; the first is the pictures as they are.
    pub conditions: Vec<Counts>,
    /// Faces at all scales, by their width in the frame.
    pub widths: Vec<OfWidth>,
    /// When a recogniser was judged.
    pub distances: Option<Distances>,
}

/// Judges models by the pictures below `sources`.
///
/// # Errors
/// A picture is missing or broken, or a network gave no answer for one.
pub fn evaluate(
    sources: &Path,
    detector: &Detector,
    recogniser: Option<&Recogniser>,
) -> Result<Report, AccuracyError> {
    let annotations: Annotations =
        serde_json::from_str(ANNOTATIONS).expect("the annotations are ours, and a test reads them");
    let judge = Judge { sources, detector };
    let conditions = CONDITIONS.iter().map(|condition| judge.count(&annotations, *condition));
    Ok(Report {
        conditions: conditions.collect::<Result<_, _>>()?,
        widths: judge.by_width(&annotations)?,
        distances: recogniser.map(|network| judge.distances(&annotations, network)).transpose()?,
    })
}

/// The faces of a frame that are there, and those that were found.
struct Compared {
    there: Vec<BoundingBox>,
    found: Vec<bool>,
    false_hits: usize,
}

struct Judge<'a> {
    sources: &'a Path,
    detector: &'a Detector,
}

impl Judge<'_> {
    fn count(&self, all: &Annotations, condition: Condition) -> Result<Counts, AccuracyError> {
        let mut counts = Counts { condition: condition.name, ..Counts::default() };
        for annotated in &all.faces {
            let compared = self.compare(annotated, 1.0, condition)?;
            counts.faces += compared.there.len();
            counts.found += compared.found.iter().filter(|found| **found).count();
            counts.false_beside_faces += compared.false_hits;
        }
        for name in &all.without_faces {
            let (frame, _) = framed(&self.open(name)?, 1.0);
            counts.false_without_faces += self.detect(name, &(condition.worsen)(&frame))?.len();
        }
        Ok(counts)
    }

    fn by_width(&self, all: &Annotations) -> Result<Vec<OfWidth>, AccuracyError> {
        let mut widths = WIDTHS.map(|from| OfWidth { from, ..OfWidth::default() });
        for annotated in &all.faces {
            for scale in SCALES {
                let compared = self.compare(annotated, scale, CONDITIONS[0])?;
                for (bounds, found) in compared.there.iter().zip(compared.found) {
                    let of_width = widths.iter_mut().rev().find(|of| bounds.width() >= of.from);
                    let Some(of_width) = of_width else { continue };
                    of_width.faces += 1;
                    of_width.found += usize::from(found);
                }
            }
        }
        Ok(widths.to_vec())
    }

    fn compare(
        &self,
        annotated: &Annotated,
        scale: f32,
        condition: Condition,
    ) -> Result<Compared, AccuracyError> {
        let (frame, place) = framed(&self.open(&annotated.picture)?, scale);
        let there: Vec<BoundingBox> = annotated.boxes.iter().map(|edges| place(*edges)).collect();
        let faces = self.detect(&annotated.picture, &(condition.worsen)(&frame))?;
        let mut found = vec![false; there.len()];
        let mut false_hits = 0;
        for face in &faces {
            let overlaps = there.iter().map(|bounds| bounds.overlap(&face.bounds));
            let best = overlaps.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
            match best {
                Some((index, overlap)) if overlap > LEAST_OVERLAP && !found[index] => {
                    found[index] = true;
                }
                _ => false_hits += 1,
            }
        }
        Ok(Compared { there, found, false_hits })
    }

    /// Distances of all faces in the pictures as large as they are.
    fn distances(
        &self,
        all: &Annotations,
        recogniser: &Recogniser,
    ) -> Result<Distances, AccuracyError> {
        let mut described = Vec::new();
        for annotated in &all.faces {
            let image = self.open(&annotated.picture)?.into_rgb8();
            let picture = Picture::of(&image).ok_or_else(|| self.broken(&annotated.picture))?;
            for face in self.detect(&annotated.picture, &image)? {
                let Some(landmarks) = face.landmarks else { continue };
                if face.bounds.width() < LEAST_WIDTH {
                    continue;
                }
                let described_one = recogniser.describe(&picture, &landmarks);
                let embedding =
                    described_one.map_err(|e| self.unanswered(&annotated.picture, e))?;
                described.extend(embedding.map(|embedding| (annotated, embedding)));
            }
        }
        Ok(distances(&described))
    }

    fn open(&self, name: &str) -> Result<DynamicImage, AccuracyError> {
        let path = self.sources.join(name);
        let bytes = fs::read(&path);
        let opened = bytes.map_err(image::ImageError::from).and_then(|bytes| {
            let reader = ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format()?;
            Ok(DynamicImage::from(reader.decode()?.into_rgb8()))
        });
        opened.map_err(|error| AccuracyError::Picture { path, reason: error.to_string() })
    }

    fn detect(&self, name: &str, image: &RgbImage) -> Result<Vec<Face>, AccuracyError> {
        let picture = Picture::of(image).ok_or_else(|| self.broken(name))?;
        self.detector.detect(&picture).map_err(|error| self.unanswered(name, error))
    }

    fn broken(&self, name: &str) -> AccuracyError {
        let path = self.sources.join(name);
        AccuracyError::Picture { path, reason: "it is empty or too large".to_owned() }
    }

    fn unanswered(&self, name: &str, source: RunError) -> AccuracyError {
        AccuracyError::Run { path: self.sources.join(name), source }
    }
}

/// The picture in the middle of a frame, of which it fills a part, and where its boxes are then.
fn framed(image: &DynamicImage, part: f32) -> (RgbImage, impl Fn([f32; 4]) -> BoundingBox + use<>) {
    let fit = (FRAME.0 as f32 / image.width() as f32).min(FRAME.1 as f32 / image.height() as f32);
    let scale = fit * part;
    let edge = |length: u32| ((length as f32 * scale).round() as u32).max(1);
    let (width, height) = (edge(image.width()), edge(image.height()));
    let small = image.resize_exact(width, height, FilterType::Triangle).into_rgb8();
    let (left, top) = ((FRAME.0 - width.min(FRAME.0)) / 2, (FRAME.1 - height.min(FRAME.1)) / 2);
    let mut frame = RgbImage::new(FRAME.0, FRAME.1);
    imageops::replace(&mut frame, &small, i64::from(left), i64::from(top));
    let place = move |[x0, y0, x1, y1]: [f32; 4]| BoundingBox {
        left: x0 * scale + left as f32,
        top: y0 * scale + top as f32,
        right: x1 * scale + left as f32,
        bottom: y1 * scale + top as f32,
    };
    (frame, place)
}

fn blurred(frame: &RgbImage, sigma: f32) -> RgbImage {
    DynamicImage::from(frame.clone()).blur(sigma).into_rgb8()
}

fn scaled(frame: &RgbImage, factor: f32) -> RgbImage {
    let mut darker = frame.clone();
    darker.iter_mut().for_each(|byte| *byte = (f32::from(*byte) * factor) as u8);
    darker
}

fn recompressed(frame: &RgbImage, quality: u8) -> RgbImage {
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    frame.write_with_encoder(encoder).expect("a frame in memory is written to memory");
    image::load_from_memory(&bytes).expect("what was just written is a picture").into_rgb8()
}

fn distances(described: &[(&Annotated, Embedding)]) -> Distances {
    let mut distances = Distances { same: (0, 0.0), different: (0, f32::INFINITY) };
    for (index, (annotated, one)) in described.iter().enumerate() {
        for (other_annotated, other) in &described[..index] {
            let Some(distance) = one.distance(other) else { continue };
            let Distances { same, different } = &mut distances;
            match same_person(annotated, other_annotated) {
                Some(true) => *same = (same.0 + 1, same.1.max(distance)),
                Some(false) => *different = (different.0 + 1, different.1.min(distance)),
                None => {}
            }
        }
    }
    distances
}

/// Whether faces of two pictures are one person's, as far as the pictures' origin tells: nobody is
/// twice in one picture, and who is named is nobody else. Of the others nothing is known.
fn same_person(one: &Annotated, other: &Annotated) -> Option<bool> {
    match (&one.person, &other.person) {
        (Some(one), Some(other)) => Some(one == other),
        (None, None) => (one.picture == other.picture).then_some(false),
        _ => Some(false),
    }
}

impl Report {
    /// The least width from which on faces are found reliably; none when even large ones are not.
    pub fn reliable_from(&self) -> Option<f32> {
        let reliable = self.widths.iter().rev().filter(|of| of.faces > 0);
        let reliable = reliable.take_while(|of| of.found as f32 >= RELIABLE * of.faces as f32);
        reliable.last().map(|of| of.from)
    }
}

/// Tables in Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| frames | faces found | false beside faces | false in pictures without |")?;
        writeln!(f, "|---|---|---|---|")?;
        for counts in &self.conditions {
            let Counts { condition, faces, found, false_beside_faces, false_without_faces } =
                counts;
            let found = format!("{found} of {faces}");
            writeln!(
                f,
                "| {condition} | {found} | {false_beside_faces} | {false_without_faces} |"
            )?;
        }
        writeln!(f, "\n| width in the frame | faces found |\n|---|---|")?;
        for (index, of) in self.widths.iter().enumerate() {
            let to =
                self.widths.get(index + 1).map_or(String::new(), |next| format!("{}", next.from));
            writeln!(f, "| {}–{to} px | {} of {} |", of.from, of.found, of.faces)?;
        }
        if let Some(from) = self.reliable_from() {
            writeln!(f, "\nReliable (nine of ten) from {from} pixels on.")?;
        }
        let Some(Distances { same, different }) = &self.distances else { return Ok(()) };
        writeln!(f, "\n| faces of | pairs | distance |\n|---|---|---|")?;
        writeln!(f, "| one person | {} | at most {:.3} |", same.0, same.1)?;
        writeln!(f, "| different persons | {} | at least {:.3} |", different.0, different.1)?;
        writeln!(f, "\nTaken for one person below {SAME_PERSON}.")
    }
}

#[cfg(test)]
mod tests {
    use super::super::models::{CONFIRMER, DETECTOR, RECOGNISER};
    use super::super::onnx::{Confirmer, DetectorOptions};
    use super::super::picture::Coding;
    use super::super::picture::tests::Video;
    use super::*;

    fn models() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
    }

    fn of_the_house() -> (Detector, Recogniser, Annotations) {
        let load = |name: &str| models().join(name);
        let confirmer = Confirmer::load(&load(CONFIRMER)).expect("`make models` made it");
        let detector = Detector::load(&load(DETECTOR), &DetectorOptions::default());
        let detector = detector.expect("`make models` made it").confirmed_by(confirmer);
        let recogniser = Recogniser::load(&load(RECOGNISER)).expect("`make models` made it");
        let all = serde_json::from_str(ANNOTATIONS).expect("they are sound");
        (detector, recogniser, all)
    }

    #[test]
    fn annotations_name_29_faces_in_13_pictures_and_24_without() {
        let all: Annotations = serde_json::from_str(ANNOTATIONS).expect("they are sound");
        assert_eq!(all.faces.len(), 13);
        assert_eq!(all.faces.iter().map(|annotated| annotated.boxes.len()).sum::<usize>(), 29);
        assert_eq!(all.without_faces.len(), 24);
    }

    #[test]
    fn the_models_of_the_house_find_faces_and_tell_people_apart() {
        let (detector, recogniser, all) = of_the_house();
        let sources = models().join("sources");
        let judge = Judge { sources: &sources, detector: &detector };

        let counts = judge.count(&all, CONDITIONS[0]).expect("every picture is judged");
        assert!(counts.found >= 28, "{counts:?}");
        assert_eq!(counts.false_without_faces, 0, "{counts:?}");
        assert_eq!(counts.false_beside_faces, 0, "{counts:?}");
        let distances = judge.distances(&all, &recogniser).expect("every face is described");
        assert!(distances.same.1 < SAME_PERSON, "{distances:?}");
        assert!(distances.different.1 > SAME_PERSON, "{distances:?}");
    }

    #[test]
    fn video_shows_the_faces_that_its_frames_as_rgb_show() {
        let (detector, recogniser, all) = of_the_house();
        let sources = models().join("sources");
        let judge = Judge { sources: &sources, detector: &detector };
        let mut compared = 0;
        for annotated in &all.faces {
            let name = &annotated.picture;
            let (frame, _) = framed(&judge.open(name).expect("it is fetched"), 1.0);
            let video = Video::of(&frame, Coding::usual(FRAME.1));
            let (coded, shown) = (video.i420(), video.shown());
            let shown = Picture::of(&shown).expect("it is sound");
            let faces =
                [&coded, &shown].map(|picture| detector.detect(picture).expect("an answer"));
            assert_eq!(faces[0].len(), faces[1].len(), "{name}: {faces:?}");
            for face in &faces[0] {
                let overlap = |other: &&Face| face.bounds.overlap(&other.bounds);
                let nearest = faces[1].iter().max_by(|a, b| overlap(a).total_cmp(&overlap(b)));
                let other = nearest.expect("there are as many");
                assert!(overlap(&other) > 0.9, "{name}: {face:?} {other:?}");
                assert!((face.confidence - other.confidence).abs() < 0.02, "{name}");
                let [one, other] = [(&coded, face), (&shown, other)].map(|(picture, face)| {
                    let landmarks = face.landmarks.expect("it was confirmed");
                    let described = recogniser.describe(picture, &landmarks);
                    described.expect("an answer").expect("it is a face")
                });
                let distance = one.distance(&other).expect("one network described both");
                assert!(face.bounds.width() < LEAST_WIDTH || distance < 0.1, "{name}: {distance}");
                compared += 1;
            }
        }
        assert!(compared >= 28, "{compared}");
    }
}
