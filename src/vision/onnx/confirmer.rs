//! O-Net: is it a face, where exactly, and where are its eyes, nose and mouth.

use std::path::Path;

use super::{LoadError, Network, RunError, listed};
use crate::vision::decoders::OutputError;
use crate::vision::faces::{BoundingBox, Face, Landmarks, Point};
use crate::vision::picture::{Colours, Normalisation, Picture, Window, resize};

/// The edge of its input in pixels.
const SIDE: usize = 48;
/// The confidence from which on it says that it is a face.
const LEAST_CONFIDENCE: f32 = 0.6;
/// How much more than the candidate's box it sees: it was trained with rims, more of them above.
const RIM: f32 = 1.15;
const ABOVE: f32 = 0.05;
const NORMALISATION: Normalisation =
    Normalisation { colours: Colours::Rgb, mean: [127.5; 3], factor: 1.0 / 128.0 };
/// Edges, points (all x, then all y) and "no face, face".
const OUTPUTS: [usize; 3] = [4, 10, 2];

/// A network that looks at one candidate at a time.
#[derive(Clone)]
pub struct Confirmer(Network);

impl Confirmer {
    /// Loads the O-Net that `kinora models build` makes.
    ///
    /// # Errors
    /// The file cannot be used, or is another model.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let network = Network::load(path, Some((SIDE, SIDE)), |_| None)?;
        let outputs = &network.signature().outputs;
        let numbers: Vec<usize> = outputs.iter().map(|(_, shape)| shape.iter().product()).collect();
        if numbers != OUTPUTS {
            return Err(LoadError::Outputs {
                path: path.into(),
                expected: "O-Net (box [1,4], points [1,10], face [1,2])",
                found: listed(network.signature()),
            });
        }
        Ok(Self(network))
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.0
    }

    /// The face as it sees it; none when it sees none there.
    ///
    /// # Errors
    /// The network gave no answer for this candidate.
    pub fn confirm(&self, picture: &Picture<'_>, face: &Face) -> Result<Option<Face>, RunError> {
        let edge = face.bounds.width().max(face.bounds.height()) * RIM;
        if !(edge.is_finite() && edge > 0.0) {
            return Ok(None);
        }
        let centre = face.bounds.centre();
        let corner = Point { x: centre.x - edge / 2.0, y: centre.y - edge / 2.0 - edge * ABOVE };
        let step = edge / SIDE as f32;
        let window = Window { corner, step: Point { x: step, y: step } };
        let planes = resize(picture, &window, (SIDE, SIDE), &NORMALISATION);
        self.0.run(&planes, |outputs| read(outputs, corner, edge))
    }
}

fn read(outputs: &[&[f32]], corner: Point, edge: f32) -> Result<Option<Face>, OutputError> {
    for (output, values) in outputs.iter().enumerate() {
        if !values.iter().all(|value| value.is_finite()) {
            return Err(OutputError::NotFinite { output });
        }
    }
    let [edges, points, confidence] = outputs else {
        return Err(OutputError::Length { output: outputs.len(), found: 0, expected: 1 });
    };
    if confidence[1] < LEAST_CONFIDENCE {
        return Ok(None);
    }
    let place = |x: f32, y: f32| Point { x: corner.x + x * edge, y: corner.y + y * edge };
    let (from, to) = (place(edges[0], edges[1]), place(1.0 + edges[2], 1.0 + edges[3]));
    let landmarks: Landmarks = std::array::from_fn(|at| place(points[at], points[at + 5]));
    Ok(Some(Face {
        bounds: BoundingBox { left: from.x, top: from.y, right: to.x, bottom: to.y },
        confidence: confidence[1].clamp(0.0, 1.0),
        landmarks: Some(landmarks),
    }))
}
