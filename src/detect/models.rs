//! The networks that look at frames.

use std::path::{Path, PathBuf};

use super::analyse::Eyes;
use crate::vision::faces::{Embedding, Face, Landmarks};
use crate::vision::models::{CONFIRMER, DETECTOR, RECOGNISER};
use crate::vision::onnx::{Confirmer, Detector, DetectorOptions, LoadError, Recogniser};
use crate::vision::picture::Picture;

/// A detector with what confirms it, and a recogniser. One serves all streams.
pub struct Models {
    detector: Detector,
    recogniser: Recogniser,
}

/// Where the models are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The folder that `kinora models build` writes.
    pub folder: PathBuf,
    /// A detector of one's own in place of the one in there.
    pub detector: Option<PathBuf>,
}

impl Models {
    /// Loads them all, which takes seconds.
    ///
    /// # Errors
    /// A file is missing or cannot be used.
    pub fn load(files: &ModelFiles) -> Result<Self, LoadError> {
        let of = |name: &str| files.folder.join(name);
        let own: Option<&Path> = files.detector.as_deref();
        let detector = own.map_or_else(|| of(DETECTOR), Path::to_owned);
        let detector = Detector::load(&detector, &DetectorOptions::default())?;
        let confirmer = Confirmer::load(&of(CONFIRMER))?;
        let recogniser = Recogniser::load(&of(RECOGNISER))?;
        Ok(Self { detector: detector.confirmed_by(confirmer), recogniser })
    }
}

impl Eyes for Models {
    fn detect(&self, picture: &Picture<'_>) -> Result<Vec<Face>, String> {
        self.detector.detect(picture).map_err(|error| error.to_string())
    }

    fn describe(
        &self,
        picture: &Picture<'_>,
        landmarks: &Landmarks,
    ) -> Result<Option<Embedding>, String> {
        self.recogniser.describe(picture, landmarks).map_err(|error| error.to_string())
    }
}
