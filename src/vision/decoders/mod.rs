//! What detectors' outputs mean: one file per family, recognised by the shapes of the outputs.
//!
//! Pure: numbers in, faces out. Running a network is `onnx`'s part. Whatever a network gives, the
//! answer is faces with finite numbers or an error; nothing here can fail otherwise.

mod blazeface;
mod retinaface;
mod scrfd;
mod ultraface;
mod yunet;

#[cfg(test)]
mod tests;

use super::faces::{BoundingBox, Face, Landmarks, without_overlaps};
use super::picture::Normalisation;

/// Of more faces than this in one picture, the surest are kept: what follows is quadratic.
pub const MAX_CANDIDATES: usize = 1000;

/// A network's shapes with a fixed input: what its family is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The input's width and height in pixels.
    pub input: (usize, usize),
    /// The lengths of each output's dimensions, with its name.
    pub outputs: Vec<(String, Vec<usize>)>,
}

/// The families of detectors whose outputs are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// MediaPipe's BlazeFace for faces at a distance, as `kinora models build` makes it.
    BlazeFace,
    /// Ultra-Light-Fast-Generic-Face-Detector, RFB and slim.
    UltraFace,
    /// OpenCV's YuNet.
    YuNet,
    /// InsightFace's SCRFD, with or without landmarks.
    Scrfd,
    /// RetinaFace with MobileNet or ResNet; its smallest faces are 16 pixels.
    RetinaFace,
    /// Face-Detector-1MB: RetinaFace's outputs with anchors from 10 pixels on. Its shapes are those
    /// of RetinaFace, so it must be named.
    RetinaFaceSmall,
}

/// What a family is called, and the outputs that it is recognised by.
const KNOWN: [(Family, &str, &str); 6] = [
    (
        Family::BlazeFace,
        "blazeface",
        "4 outputs: scores [1,N,1] and boxes [1,N,16] of cells of 16 and 32 pixels",
    ),
    (Family::UltraFace, "ultraface", "2 outputs: scores [1,N,2] and boxes [1,N,4]"),
    (
        Family::YuNet,
        "yunet",
        "12 outputs: class [1,N,1], object [1,N,1], box [1,N,4] and points [1,N,10] of cells of 8, \
         16 and 32 pixels",
    ),
    (
        Family::Scrfd,
        "scrfd",
        "6 or 9 outputs: scores [N,1], boxes [N,4] and maybe points [N,10] of cells of 8, 16 and \
         32 pixels",
    ),
    (
        Family::RetinaFace,
        "retinaface",
        "3 outputs: boxes [1,N,4], scores [1,N,2] and points [1,N,10]",
    ),
    (Family::RetinaFaceSmall, "retinaface-small", "as retinaface, when named"),
];

impl Family {
    /// The name in settings and messages.
    pub fn name(self) -> &'static str {
        KNOWN.iter().find(|known| known.0 == self).map_or("", |known| known.1)
    }

    /// The family of this name.
    pub fn named(name: &str) -> Option<Self> {
        KNOWN.iter().find(|known| known.1 == name).map(|known| known.0)
    }
}

/// A network that is no detector of a known family.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct UnknownModel {
    /// What it was asked to be.
    pub wanted: Option<Family>,
    /// What it is.
    pub signature: Signature,
}

impl UnknownModel {
    fn text(&self) -> String {
        let outputs =
            self.signature.outputs.iter().map(|(name, shape)| format!("{name} {shape:?}"));
        let (width, height) = self.signature.input;
        let expected =
            KNOWN.iter().filter(|known| self.wanted.is_none_or(|family| family == known.0));
        let expected = expected.map(|(_, name, outputs)| format!("\n  {name}: {outputs}"));
        format!(
            "no detector that is known: with an input of {width}x{height} it has the outputs {}. \
             Expected:{}",
            outputs.collect::<Vec<_>>().join(", "),
            expected.collect::<String>(),
        )
    }
}

/// A network's outputs that are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// A number is infinite or none at all: the weights are broken, or the input was.
    #[error("output {output} has a number that is not finite")]
    NotFinite {
        /// The output, counted from 0.
        output: usize,
    },
    /// An output is not as long as its shape was when the network was loaded.
    #[error("output {output} has {found} numbers, expected {expected}")]
    Length {
        /// The output, counted from 0.
        output: usize,
        /// How many numbers it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
}

/// How a picture is put into a network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Unbent, with black beside or below it.
    Whole,
    /// Bent to fill the input, as the network was trained.
    Filled,
}

/// What a family needs and what to ask of it when nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traits {
    /// What its numbers are.
    pub normalisation: Normalisation,
    /// How a picture is put into it.
    pub fit: Fit,
    /// The confidence from which on its faces are believed.
    pub least_confidence: f32,
    /// Faces that overlap by more than this are one.
    pub most_overlap: f32,
    /// The input that it takes when it takes any.
    pub input: (usize, usize),
    /// What the input's edges must be multiples of.
    pub multiple_of: usize,
}

/// The outputs of one run, in the network's order.
pub type Outputs<'a> = &'a [&'a [f32]];

/// A family's reading of one network's outputs.
trait Read: Send + Sync {
    /// Adds the faces from `least` confidence on, in pixels of the input.
    fn read(&self, outputs: Outputs<'_>, least: f32, faces: &mut Found) -> Result<(), OutputError>;
}

/// Understands the outputs of one network.
pub struct Decoder {
    family: Family,
    lengths: Vec<usize>,
    read: Box<dyn Read>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("family", &self.family).finish_non_exhaustive()
    }
}

impl Decoder {
    /// The decoder for a network with these shapes; of the family that is wanted, or of the one
    /// that has them.
    ///
    /// # Errors
    /// The network is none of a known family, or not of the one that is wanted.
    pub fn new(signature: &Signature, wanted: Option<Family>) -> Result<Self, UnknownModel> {
        let families = KNOWN.iter().map(|known| known.0);
        let mut candidates =
            families.filter(|family| wanted.is_none_or(|wanted| wanted == *family));
        let found = candidates.find_map(|family| Some((family, reader(family, signature)?)));
        let Some((family, read)) = found else {
            return Err(UnknownModel { wanted, signature: signature.clone() });
        };
        let lengths = signature.outputs.iter().map(|(_, shape)| shape.iter().product()).collect();
        Ok(Self { family, lengths, read })
    }

    /// The family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The faces of `least` confidence and more, in pixels of the network's input, surest first;
    /// of those that overlap by more than `most_overlap`, the surest.
    ///
    /// # Errors
    /// The outputs are too short or too long, or hold a number that is not finite.
    pub fn faces(
        &self,
        outputs: Outputs<'_>,
        least: f32,
        most_overlap: f32,
    ) -> Result<Vec<Face>, OutputError> {
        for (output, expected) in self.lengths.iter().enumerate() {
            let found = outputs.get(output).map_or(0, |values| values.len());
            if found != *expected {
                return Err(OutputError::Length { output, found, expected: *expected });
            }
        }
        let mut found = Found { faces: Vec::new() };
        self.read.read(outputs, least, &mut found)?;
        let mut faces = found.faces;
        faces.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        faces.truncate(MAX_CANDIDATES);
        Ok(without_overlaps(faces, most_overlap))
    }
}

/// The family that a network with so many outputs may be of, before its shapes are known.
pub fn likely(outputs: usize) -> Option<Family> {
    match outputs {
        2 => Some(Family::UltraFace),
        3 => Some(Family::RetinaFace),
        4 => Some(Family::BlazeFace),
        6 | 9 => Some(Family::Scrfd),
        12 => Some(Family::YuNet),
        _ => None,
    }
}

/// What networks of a family need.
pub fn traits(family: Family) -> Traits {
    match family {
        Family::BlazeFace => blazeface::TRAITS,
        Family::UltraFace => ultraface::TRAITS,
        Family::YuNet => yunet::TRAITS,
        Family::Scrfd => scrfd::TRAITS,
        Family::RetinaFace | Family::RetinaFaceSmall => retinaface::TRAITS,
    }
}

fn reader(family: Family, signature: &Signature) -> Option<Box<dyn Read>> {
    match family {
        Family::BlazeFace => blazeface::reader(signature),
        Family::UltraFace => ultraface::reader(signature),
        Family::YuNet => yunet::reader(signature),
        Family::Scrfd => scrfd::reader(signature),
        Family::RetinaFace => retinaface::reader(signature, &retinaface::ANCHORS),
        // Never by its shapes alone: those are RetinaFace's, which comes first.
        Family::RetinaFaceSmall => retinaface::reader(signature, &retinaface::SMALL_ANCHORS),
    }
}

/// Faces as they are read.
struct Found {
    faces: Vec<Face>,
}

impl Found {
    /// Adds a face that was read from `output`.
    fn add(
        &mut self,
        output: usize,
        confidence: f32,
        bounds: BoundingBox,
        landmarks: Option<Landmarks>,
    ) -> Result<(), OutputError> {
        let points = landmarks.iter().flatten();
        let sound =
            bounds.is_finite() && points.clone().all(|p| p.x.is_finite() && p.y.is_finite());
        if !sound {
            return Err(OutputError::NotFinite { output });
        }
        self.faces.push(Face { bounds, confidence: confidence.clamp(0.0, 1.0), landmarks });
        Ok(())
    }
}

/// The cells of one stride that lie over a network's input, row by row.
#[derive(Clone, Copy, Debug)]
struct Grid {
    stride: usize,
    columns: usize,
    rows: usize,
}

impl Grid {
    fn new((width, height): (usize, usize), stride: usize) -> Self {
        Self { stride, columns: width.div_ceil(stride), rows: height.div_ceil(stride) }
    }

    fn cells(&self) -> usize {
        self.columns * self.rows
    }

    /// The column and the row of a cell.
    fn cell(&self, index: usize) -> (f32, f32) {
        ((index % self.columns) as f32, (index / self.columns) as f32)
    }
}

impl Signature {
    /// The places of the outputs with so many rows of so many numbers each.
    fn with(&self, rows: usize, numbers: usize) -> Vec<usize> {
        let fits = |shape: &[usize]| {
            shape.last() == Some(&numbers) && shape.iter().product::<usize>() == rows * numbers
        };
        let places = self.outputs.iter().enumerate();
        places.filter(|(_, (_, shape))| fits(shape)).map(|(place, _)| place).collect()
    }

    /// The place of the only output with so many rows of so many numbers each.
    fn only(&self, rows: usize, numbers: usize) -> Option<usize> {
        match self.with(rows, numbers)[..] {
            [place] => Some(place),
            _ => None,
        }
    }
}

/// Whether every score is a finite number. One that is not would else be lost in silence: it is
/// never above a threshold.
fn check_finite(outputs: Outputs<'_>, output: usize) -> Result<&[f32], OutputError> {
    let values = outputs[output];
    let finite = values.iter().all(|value| value.is_finite());
    if finite { Ok(values) } else { Err(OutputError::NotFinite { output }) }
}

/// Five points from ten numbers.
fn landmarks(numbers: &[f32], place: impl Fn(f32, f32) -> super::faces::Point) -> Landmarks {
    std::array::from_fn(|point| place(numbers[2 * point], numbers[2 * point + 1]))
}
