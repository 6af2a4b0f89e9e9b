//! BlazeFace, the variant for faces at a distance: two anchors in each cell of 16 pixels, six in
//! each of 32. Boxes and key points are offsets from the cell's middle, in pixels of the input.
//! Its key points (eyes, nose, middle of the mouth, ears) are not the five that faces are aligned
//! by, so they are left to a confirming network.

use super::{Fit, Found, Grid, OutputError, Outputs, Read, Signature, Traits, check_finite};
use crate::vision::faces::{BoundingBox, Point};
use crate::vision::picture::{Colours, Normalisation};

pub(super) const TRAITS: Traits = Traits {
    normalisation: Normalisation { colours: Colours::Rgb, mean: [127.5; 3], factor: 1.0 / 127.5 },
    fit: Fit::Whole,
    least_confidence: 0.35,
    most_overlap: 0.3,
    // Larger ones find smaller faces, and lose very large ones.
    input: (384, 224),
    multiple_of: 32,
};

/// Strides, and anchors per cell.
const SCALES: [(usize, usize); 2] = [(16, 2), (32, 6)];
/// Centre, size and six key points.
const NUMBERS: usize = 16;

struct Scale {
    grid: Grid,
    anchors: usize,
    scores: usize,
    boxes: usize,
}

struct Reader([Scale; 2]);

pub(super) fn reader(signature: &Signature) -> Option<Box<dyn Read>> {
    let scale = |(stride, anchors): (usize, usize)| {
        let grid = Grid::new(signature.input, stride);
        let rows = grid.cells() * anchors;
        let (scores, boxes) = (signature.only(rows, 1)?, signature.only(rows, NUMBERS)?);
        Some(Scale { grid, anchors, scores, boxes })
    };
    let scales = [scale(SCALES[0])?, scale(SCALES[1])?];
    (signature.outputs.len() == 4).then(|| Box::new(Reader(scales)) as _)
}

impl Read for Reader {
    fn read(&self, outputs: Outputs<'_>, least: f32, faces: &mut Found) -> Result<(), OutputError> {
        // Scores are compared before the sigmoid, so that only faces pay for it.
        let least_score = (least / (1.0 - least)).ln();
        for scale in &self.0 {
            let scores = check_finite(outputs, scale.scores)?;
            let boxes = outputs[scale.boxes].chunks_exact(NUMBERS);
            for (row, (score, numbers)) in scores.iter().zip(boxes).enumerate() {
                if *score < least_score {
                    continue;
                }
                let (column, line) = scale.grid.cell(row / scale.anchors);
                let stride = scale.grid.stride as f32;
                let centre = Point {
                    x: (column + 0.5) * stride + numbers[0],
                    y: (line + 0.5) * stride + numbers[1],
                };
                let bounds = BoundingBox::around(centre, numbers[2], numbers[3]);
                faces.add(scale.boxes, 1.0 / (1.0 + (-score).exp()), bounds, None)?;
            }
        }
        Ok(())
    }
}
