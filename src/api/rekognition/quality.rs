//! Which faces are good enough to be compared with others, and why others are not.

use crate::vision::engine::Seen;

/// A `QualityFilter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// All that can be described.
    None,
    /// Those that usually are recognised; also `AUTO`.
    Low,
    /// Better ones.
    Medium,
    /// Good ones only.
    High,
}

/// What a filter demands.
struct Demands {
    /// Pixels from ear to ear.
    width: f32,
    /// Degrees to a side, up or down.
    turn: f32,
    /// 0 to 100.
    brightness: f32,
    /// 0 to 100.
    sharpness: f32,
    /// 0 to 1.
    confidence: f32,
}

impl Filter {
    /// The filter of a request, or the operation's own.
    pub(super) fn asked(name: Option<&str>, otherwise: Self) -> Self {
        match name {
            Some("NONE") => Self::None,
            Some("AUTO" | "LOW") => Self::Low,
            Some("MEDIUM") => Self::Medium,
            Some("HIGH") => Self::High,
            _ => otherwise,
        }
    }

    /// Why a face does not pass, in the words of the API; nothing when it does.
    pub(super) fn reasons(self, seen: &Seen) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if seen.embedding.is_none() {
            reasons.push("LOW_FACE_QUALITY");
        }
        let Some(demands) = self.demands() else { return reasons };
        let turn = seen.pose.map_or(0.0, |pose| pose.yaw.abs().max(pose.pitch.abs()));
        for (unmet, reason) in [
            (seen.face.bounds.width() < demands.width, "SMALL_BOUNDING_BOX"),
            (turn > demands.turn, "EXTREME_POSE"),
            (seen.quality.brightness < demands.brightness, "LOW_BRIGHTNESS"),
            (seen.quality.sharpness < demands.sharpness, "LOW_SHARPNESS"),
            (seen.face.confidence < demands.confidence, "LOW_CONFIDENCE"),
        ] {
            if unmet {
                reasons.push(reason);
            }
        }
        reasons
    }

    /// The width is that from which on faces are recognised in video; the rest is a matter of taste.
    fn demands(self) -> Option<Demands> {
        let (width, turn, brightness, sharpness, confidence) = match self {
            Self::None => return None,
            Self::Low => (40.0, 60.0, 8.0, 5.0, 0.6),
            Self::Medium => (60.0, 45.0, 15.0, 12.0, 0.8),
            Self::High => (80.0, 35.0, 20.0, 20.0, 0.9),
        };
        Some(Demands { width, turn, brightness, sharpness, confidence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::faces::{BoundingBox, Embedding, Face};
    use crate::vision::measures::Quality;

    #[test]
    fn small_and_dark_faces_are_told_so_unless_nothing_is_filtered() {
        let bounds = BoundingBox { left: 0.0, top: 0.0, right: 39.0, bottom: 39.0 };
        let seen = Seen {
            face: Face { bounds, confidence: 0.95, landmarks: None },
            pose: None,
            quality: Quality { brightness: 2.0, sharpness: 50.0 },
            embedding: Embedding::new([1.0]),
        };
        let auto = Filter::asked(Some("AUTO"), Filter::None);
        assert_eq!(auto.reasons(&seen), ["SMALL_BOUNDING_BOX", "LOW_BRIGHTNESS"]);
        assert!(Filter::asked(Some("NONE"), Filter::Low).reasons(&seen).is_empty());
        let unknown = Seen { embedding: None, ..seen };
        assert_eq!(Filter::None.reasons(&unknown), ["LOW_FACE_QUALITY"]);
    }
}
