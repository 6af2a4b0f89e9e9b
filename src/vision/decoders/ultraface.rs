//! Ultra-Light-Fast-Generic-Face-Detector: its boxes are ready, as parts of the input's edges.

use super::{Fit, Found, OutputError, Outputs, Read, Signature, Traits, check_finite};
use crate::vision::faces::BoundingBox;
use crate::vision::picture::{Colours, Normalisation};

pub(super) const TRAITS: Traits = Traits {
    normalisation: Normalisation { colours: Colours::Rgb, mean: [127.0; 3], factor: 1.0 / 128.0 },
    fit: Fit::Filled,
    least_confidence: 0.7,
    most_overlap: 0.3,
    input: (320, 240),
    multiple_of: 1,
};

struct Reader {
    input: (f32, f32),
    scores: usize,
    boxes: usize,
}

pub(super) fn reader(signature: &Signature) -> Option<Box<dyn Read>> {
    let [first, _] = &signature.outputs[..] else { return None };
    let rows = first.1.iter().product::<usize>() / first.1.last().filter(|length| **length > 0)?;
    let (scores, boxes) = (signature.only(rows, 2)?, signature.only(rows, 4)?);
    let input = (signature.input.0 as f32, signature.input.1 as f32);
    Some(Box::new(Reader { input, scores, boxes }))
}

impl Read for Reader {
    fn read(&self, outputs: Outputs<'_>, least: f32, faces: &mut Found) -> Result<(), OutputError> {
        let scores = check_finite(outputs, self.scores)?;
        let boxes = outputs[self.boxes].chunks_exact(4);
        for (score, edges) in scores.chunks_exact(2).zip(boxes) {
            if score[1] < least {
                continue;
            }
            let (width, height) = self.input;
            let bounds = BoundingBox {
                left: edges[0] * width,
                top: edges[1] * height,
                right: edges[2] * width,
                bottom: edges[3] * height,
            };
            faces.add(self.boxes, score[1], bounds, None)?;
        }
        Ok(())
    }
}
