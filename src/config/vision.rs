//! What looks at single pictures.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What looks at single pictures: the operations of Rekognition that take one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VisionConfig {
    /// The folder that `make models` fills. A relative one is looked for in the working directory,
    /// then in the data directory.
    pub models_dir: PathBuf,
    /// A detector of one's own, as an ONNX file of a known family; empty: the one of `models_dir`.
    pub detector: PathBuf,
    /// The confidence from which on it is believed, 1 to 100; 0: its family's own.
    pub least_confidence: u8,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self { models_dir: "models".into(), detector: PathBuf::new(), least_confidence: 0 }
    }
}

impl VisionConfig {
    /// What is out of its bounds, if anything is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        (self.least_confidence > 100).then_some("vision.least_confidence must be from 0 to 100")
    }
}
