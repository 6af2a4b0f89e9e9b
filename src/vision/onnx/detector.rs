//! Finds the faces of a picture.

use std::path::Path;

use super::{Confirmer, LoadError, Network, RunError};
use crate::vision::decoders::{Decoder, Family, Fit, Traits, likely, traits};
use crate::vision::faces::{BoundingBox, Face, Point, without_overlaps};
use crate::vision::picture::{Picture, Window, resize};

/// Confirmed faces that overlap by more than this are one.
const MOST_CONFIRMED_OVERLAP: f32 = 0.4;

/// What a detector is asked for; what is left out is its family's own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DetectorOptions {
    /// The family, when shapes alone do not tell.
    pub family: Option<Family>,
    /// The width and height of the network's input in pixels.
    pub input: Option<(usize, usize)>,
    /// The confidence from which on a face is believed, 0 to 1.
    pub least_confidence: Option<f32>,
}

/// A network that finds faces, and the one that confirms them, when there is one.
pub struct Detector {
    network: Network,
    decoder: Decoder,
    traits: Traits,
    least_confidence: f32,
    confirmer: Option<Confirmer>,
}

impl Detector {
    /// Loads a model of any family that [`Decoder`] knows.
    ///
    /// # Errors
    /// The file cannot be used; the message names what was expected.
    pub fn load(path: &Path, options: &DetectorOptions) -> Result<Self, LoadError> {
        let network = Network::load(path, options.input, |outputs| {
            Some(traits(options.family.or_else(|| likely(outputs))?).input)
        })?;
        let decoder = Decoder::new(network.signature(), options.family)
            .map_err(|source| LoadError::Unknown { path: path.into(), source })?;
        let traits = traits(decoder.family());
        let least_confidence = options.least_confidence.unwrap_or(traits.least_confidence);
        Ok(Self { network, decoder, traits, least_confidence, confirmer: None })
    }

    /// Lets another network look at every face before it counts, and say where its eyes, nose and
    /// mouth are.
    #[must_use]
    pub fn confirmed_by(mut self, confirmer: Confirmer) -> Self {
        self.confirmer = Some(confirmer);
        self
    }

    /// The family of the network.
    pub fn family(&self) -> Family {
        self.decoder.family()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The faces of a picture, in its pixels, surest first.
    ///
    /// # Errors
    /// The network gave no answer for this picture.
    pub fn detect(&self, picture: &Picture<'_>) -> Result<Vec<Face>, RunError> {
        let found = self.candidates(picture)?;
        let Some(confirmer) = &self.confirmer else { return Ok(found) };
        let mut confirmed = Vec::with_capacity(found.len());
        for face in &found {
            confirmed.extend(confirmer.confirm(picture, face)?);
        }
        Ok(without_overlaps(confirmed, MOST_CONFIRMED_OVERLAP))
    }

    /// What the first network alone takes for faces.
    fn candidates(&self, picture: &Picture<'_>) -> Result<Vec<Face>, RunError> {
        let (from, into) = ((picture.width(), picture.height()), self.network.signature().input);
        let window = match self.traits.fit {
            Fit::Whole => Window::fitting(from, into),
            Fit::Filled => Window::filling(from, into),
        };
        let planes = resize(picture, &window, into, &self.traits.normalisation);
        let mut faces = self.network.run(&planes, |outputs| {
            self.decoder.faces(outputs, self.least_confidence, self.traits.most_overlap)
        })?;
        faces.iter_mut().for_each(|face| place(face, &window));
        Ok(faces)
    }
}

/// Moves a face from the network's input to where it is in the picture.
fn place(face: &mut Face, window: &Window) {
    let bounds = face.bounds;
    let from = window.place(Point { x: bounds.left, y: bounds.top });
    let to = window.place(Point { x: bounds.right, y: bounds.bottom });
    face.bounds = BoundingBox { left: from.x, top: from.y, right: to.x, bottom: to.y };
    face.landmarks.iter_mut().flatten().for_each(|point| *point = window.place(*point));
}
