//! Stream processors in the server's own process.

use serde::{Deserialize, Serialize};

/// Stream processors in the server's own process; the models are those of [`VisionConfig`].
///
/// [`VisionConfig`]: super::VisionConfig
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectConfig {
    /// Whether they run here; else `kinora detect --processors` runs them elsewhere.
    pub enabled: bool,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}
