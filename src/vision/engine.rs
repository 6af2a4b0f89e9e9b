//! All of it at once: a picture in, its faces out, described and measured.
//!
//! The models are loaded once, when the first picture comes, so a server without them serves all else.
//! A large photograph is looked at twice: as a whole, where large faces are found, and in four
//! overlapping quarters, where faces are found that are too small in the whole.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::faces::{BoundingBox, Embedding, Face, without_overlaps};
use super::measures::{Pose, Quality};
use super::picture::Picture;

#[cfg(feature = "onnx")]
use super::onnx::{Confirmer, Detector, DetectorOptions, Recogniser};

/// A photograph whose longer edge has more pixels is looked at in quarters as well.
const LARGE: usize = 800;
/// The part of an edge that a quarter has, so that neighbours overlap.
const QUARTER: f32 = 0.6;
/// Faces of both looks that overlap by more than this are one.
const MOST_OVERLAP: f32 = 0.3;
/// A face that is so far inside of a surer one is a part of it.
const MOST_COVERED: f32 = 0.6;

/// Where the models are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineOptions {
    /// The folder that `make models` fills.
    pub models: PathBuf,
    /// A detector of one's own, in place of the one there.
    pub detector: Option<PathBuf>,
    /// The confidence from which on a face is believed, 0 to 1; the detector's own where none is given.
    pub least_confidence: Option<f32>,
}

/// A face of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Where it is, in pixels.
    pub face: Face,
    /// How the head is turned.
    pub pose: Option<Pose>,
    /// How well it can be seen.
    pub quality: Quality,
    /// Whom it looks like.
    pub embedding: Option<Embedding>,
}

/// Why a picture got no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The models cannot be used, or this program was built without what runs them.
    #[error("the models of faces cannot be used: {0}; `make models` makes them")]
    NoModels(String),
    /// The networks gave no answer for this picture.
    #[error("{0}")]
    Failed(String),
}

/// Looks at pictures, with models that it loads when the first one comes.
pub struct Engine {
    options: EngineOptions,
    loaded: Mutex<Option<Arc<Networks>>>,
}

impl Engine {
    /// An engine that has loaded nothing yet.
    pub fn new(options: EngineOptions) -> Self {
        Self { options, loaded: Mutex::default() }
    }

    /// The faces of a picture, surest first. Computes for a while; the first time for seconds.
    ///
    /// # Errors
    /// There are no models, which is looked for again with the next picture; or no answer.
    pub fn analyse(&self, picture: &Picture<'_>) -> Result<Vec<Seen>, EngineError> {
        let networks = self.networks()?;
        let mut faces = networks.detect(picture)?;
        if picture.width().max(picture.height()) > LARGE {
            for quarter in quarters(picture) {
                let (left, top) = (quarter.left as usize, quarter.top as usize);
                let (width, height) = (quarter.width() as usize, quarter.height() as usize);
                let Some(part) = picture.part(left, top, width, height) else { continue };
                let found = networks.detect(&part)?.into_iter();
                let found = found.map(|face| moved(face, quarter.left, quarter.top));
                faces.extend(found.filter(|face| !is_cut(face, &quarter, picture)));
            }
        }
        one_of_each(faces).into_iter().map(|face| networks.describe(picture, face)).collect()
    }

    fn networks(&self) -> Result<Arc<Networks>, EngineError> {
        // A thread that panicked while it loaded left nothing.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(networks) = &*loaded {
            return Ok(networks.clone());
        }
        let networks = Arc::new(Networks::load(&self.options)?);
        *loaded = Some(networks.clone());
        Ok(networks)
    }
}

/// The folder with the models: the given one, or that of its name in the data directory where it has
/// none of them.
pub fn models_folder(given: &Path, data: &Path) -> PathBuf {
    let within = data.join(given);
    if !given.exists() && within.exists() { within } else { given.to_owned() }
}

/// Four parts that overlap and cover the picture together, on whole pixels.
fn quarters(picture: &Picture<'_>) -> [BoundingBox; 4] {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let (wide, high) = ((width * QUARTER).ceil(), (height * QUARTER).ceil());
    let part =
        |left: f32, top: f32| BoundingBox { left, top, right: left + wide, bottom: top + high };
    let (right, low) = (width - wide, height - high);
    [part(0.0, 0.0), part(right, 0.0), part(0.0, low), part(right, low)]
}

fn moved(mut face: Face, x: f32, y: f32) -> Face {
    face.bounds.left += x;
    face.bounds.right += x;
    face.bounds.top += y;
    face.bounds.bottom += y;
    for point in face.landmarks.iter_mut().flatten() {
        point.x += x;
        point.y += y;
    }
    face
}

/// Whether a quarter's edge may have cut a face: its neighbour, or the whole, shows all of it.
fn is_cut(face: &Face, quarter: &BoundingBox, picture: &Picture<'_>) -> bool {
    let (bounds, width, height) = (&face.bounds, picture.width() as f32, picture.height() as f32);
    (quarter.left > 0.0 && bounds.left <= quarter.left)
        || (quarter.top > 0.0 && bounds.top <= quarter.top)
        || (quarter.right < width && bounds.right >= quarter.right)
        || (quarter.bottom < height && bounds.bottom >= quarter.bottom)
}

/// Each face once, surest first.
fn one_of_each(faces: Vec<Face>) -> Vec<Face> {
    let mut kept: Vec<Face> = Vec::new();
    for face in without_overlaps(faces, MOST_OVERLAP) {
        if kept.iter().all(|surer| surer.bounds.covered(&face.bounds) <= MOST_COVERED) {
            kept.push(face);
        }
    }
    kept
}

#[cfg(feature = "onnx")]
struct Networks {
    detector: Detector,
    confirmer: Confirmer,
    recogniser: Recogniser,
}

#[cfg(feature = "onnx")]
impl Networks {
    fn load(options: &EngineOptions) -> Result<Self, EngineError> {
        use super::models;
        use super::onnx::LoadError;

        let missing = |error: LoadError| EngineError::NoModels(error.to_string());
        let file = |name: &str| options.models.join(name);
        let detector = options.detector.clone().unwrap_or_else(|| file(models::DETECTOR));
        let how = DetectorOptions {
            least_confidence: options.least_confidence,
            ..DetectorOptions::default()
        };
        let confirmer = Confirmer::load(&file(models::CONFIRMER)).map_err(missing)?;
        let detector = Detector::load(&detector, &how).map_err(missing)?;
        Ok(Self {
            detector: detector.confirmed_by(confirmer.clone()),
            confirmer,
            recogniser: Recogniser::load(&file(models::RECOGNISER)).map_err(missing)?,
        })
    }

    fn detect(&self, picture: &Picture<'_>) -> Result<Vec<Face>, EngineError> {
        self.detector.detect(picture).map_err(|error| EngineError::Failed(error.to_string()))
    }

    fn describe(&self, picture: &Picture<'_>, face: Face) -> Result<Seen, EngineError> {
        use super::measures;

        let failed = |error: super::onnx::RunError| EngineError::Failed(error.to_string());
        let landmarks = match face.landmarks {
            Some(landmarks) => Some(landmarks),
            None => {
                let confirmed = self.confirmer.confirm(picture, &face).map_err(failed)?;
                confirmed.and_then(|confirmed| confirmed.landmarks)
            }
        };
        let embedding = match &landmarks {
            Some(landmarks) => self.recogniser.describe(picture, landmarks).map_err(failed)?,
            None => None,
        };
        Ok(Seen {
            pose: landmarks.as_ref().and_then(measures::pose),
            quality: measures::quality(picture, &face.bounds),
            face: Face { landmarks, ..face },
            embedding,
        })
    }
}

/// Nothing, as this program was built without what runs networks.
#[cfg(not(feature = "onnx"))]
enum Networks {}

#[cfg(not(feature = "onnx"))]
impl Networks {
    fn load(_: &EngineOptions) -> Result<Self, EngineError> {
        let why = "this program was built without the feature `onnx`, which runs them";
        Err(EngineError::NoModels(why.to_owned()))
    }

    fn detect(&self, _: &Picture<'_>) -> Result<Vec<Face>, EngineError> {
        match *self {}
    }

    fn describe(&self, _: &Picture<'_>, _: Face) -> Result<Seen, EngineError> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(left: f32, top: f32, side: f32, confidence: f32) -> Face {
        let bounds = BoundingBox { left, top, right: left + side, bottom: top + side };
        Face { bounds, confidence, landmarks: None }
    }

    #[test]
    fn quarters_cover_the_picture_and_give_cut_faces_to_their_neighbours() {
        let image = image::RgbImage::new(1001, 801);
        let picture = Picture::of(&image).expect("it is sound");
        let quarters = quarters(&picture);
        assert_eq!((quarters[3].right, quarters[3].bottom), (1001.0, 801.0));
        assert!(quarters[0].right > quarters[1].left);
        let at_edge = face(590.0, 10.0, 40.0, 1.0);
        assert!(is_cut(&at_edge, &quarters[0], &picture));
        assert!(!is_cut(&at_edge, &quarters[1], &picture));
    }

    #[test]
    fn part_of_a_face_is_not_another_face() {
        let kept = one_of_each(vec![
            face(0.0, 0.0, 100.0, 0.9),
            face(10.0, 10.0, 40.0, 0.8),
            face(200.0, 0.0, 40.0, 0.7),
        ]);
        assert_eq!(kept.iter().map(|face| face.confidence).collect::<Vec<_>>(), [0.9, 0.7]);
    }

    #[test]
    fn missing_models_are_an_error_that_says_how_to_get_them() {
        let options = EngineOptions { models: "/nowhere".into(), ..EngineOptions::default() };
        let image = image::RgbImage::new(8, 8);
        let picture = Picture::of(&image).expect("it is sound");
        let error = Engine::new(options).analyse(&picture).expect_err("there are none");
        assert!(error.to_string().contains("make models"), "{error}");
    }
}
