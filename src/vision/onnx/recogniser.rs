//! dlib's face recognition network: an aligned face in, 128 numbers out.

use std::path::Path;

use super::{LoadError, Network, RunError, listed};
use crate::vision::decoders::OutputError;
use crate::vision::faces::{Embedding, Landmarks, Point, Similarity};
use crate::vision::picture::{Colours, Normalisation, Picture, turned};

/// Two faces that are closer than this are the same person. dlib's own threshold is 0.6, with which
/// one pair of strangers in two hundred would be taken for one person.
pub const SAME_PERSON: f32 = 0.5;
/// Faces narrower than this, in pixels, say too little about who it is.
pub const LEAST_WIDTH: f32 = 40.0;

/// The edge of its input in pixels.
const SIDE: usize = 150;
/// How many numbers describe a face.
const NUMBERS: usize = 128;
/// How much is seen around the face on each side, as a part of its edge.
const RIM: f32 = 0.25;
/// Where eyes, nose and mouth of an upright face are, as parts of its edge.
const TEMPLATE: [(f32, f32); 5] = [
    (0.225_492, 0.215_990),
    (0.754_761, 0.215_990),
    (0.490_127, 0.515_625),
    (0.254_149, 0.780_233),
    (0.726_104, 0.780_233),
];
const NORMALISATION: Normalisation =
    Normalisation { colours: Colours::Rgb, mean: [0.0; 3], factor: 1.0 };

/// A network that describes faces.
#[derive(Clone)]
pub struct Recogniser(Network);

impl Recogniser {
    /// Loads the recogniser that `kinora models build` makes.
    ///
    /// # Errors
    /// The file cannot be used, or is another model.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let network = Network::load(path, Some((SIDE, SIDE)), |_| None)?;
        let outputs = &network.signature().outputs;
        if !matches!(&outputs[..], [(_, shape)] if shape.iter().product::<usize>() == NUMBERS) {
            return Err(LoadError::Outputs {
                path: path.into(),
                expected: "a face recogniser (descriptor [1,128])",
                found: listed(network.signature()),
            });
        }
        Ok(Self(network))
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.0
    }

    /// The numbers that describe the face whose eyes, nose and mouth are at these places; none when
    /// the places are those of no face.
    ///
    /// # Errors
    /// The network gave no answer for this face.
    pub fn describe(
        &self,
        picture: &Picture<'_>,
        landmarks: &Landmarks,
    ) -> Result<Option<Embedding>, RunError> {
        let Some(place) = Similarity::between(&template(), landmarks) else { return Ok(None) };
        let planes = turned(picture, &place, SIDE, &NORMALISATION);
        let embedding = self.0.run(&planes, |outputs| {
            Embedding::new(outputs[0]).ok_or(OutputError::NotFinite { output: 0 })
        })?;
        Ok(Some(embedding))
    }
}

/// The template in pixels of the input.
fn template() -> Landmarks {
    let place = |part: f32| (part + RIM) / (1.0 + 2.0 * RIM) * SIDE as f32;
    TEMPLATE.map(|(x, y)| Point { x: place(x), y: place(y) })
}
