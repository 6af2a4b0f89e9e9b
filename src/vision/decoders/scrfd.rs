//! SCRFD: two anchors in each cell of 8, 16 and 32 pixels. Edges are distances from the cell's
//! corner, points are offsets from it, both in cells.

use super::{
    Fit, Found, Grid, OutputError, Outputs, Read, Signature, Traits, check_finite, landmarks,
};
use crate::vision::faces::{BoundingBox, Point};
use crate::vision::picture::{Colours, Normalisation};

pub(super) const TRAITS: Traits = Traits {
    normalisation: Normalisation { colours: Colours::Rgb, mean: [127.5; 3], factor: 1.0 / 128.0 },
    fit: Fit::Whole,
    least_confidence: 0.5,
    most_overlap: 0.4,
    input: (640, 384),
    multiple_of: 32,
};

const STRIDES: [usize; 3] = [8, 16, 32];
const ANCHORS: usize = 2;

struct Scale {
    grid: Grid,
    scores: usize,
    boxes: usize,
    points: Option<usize>,
}

struct Reader(Vec<Scale>);

pub(super) fn reader(signature: &Signature) -> Option<Box<dyn Read>> {
    let with_points = match signature.outputs.len() {
        6 => false,
        9 => true,
        _ => return None,
    };
    let scale = |stride: usize| {
        let grid = Grid::new(signature.input, stride);
        let rows = grid.cells() * ANCHORS;
        let points = signature.only(rows, 10);
        let (scores, boxes) = (signature.only(rows, 1)?, signature.only(rows, 4)?);
        (points.is_some() == with_points).then_some(Scale { grid, scores, boxes, points })
    };
    let scales = STRIDES.into_iter().map(scale).collect::<Option<_>>()?;
    Some(Box::new(Reader(scales)))
}

impl Read for Reader {
    fn read(&self, outputs: Outputs<'_>, least: f32, faces: &mut Found) -> Result<(), OutputError> {
        for scale in &self.0 {
            let scores = check_finite(outputs, scale.scores)?;
            for (row, confidence) in scores.iter().enumerate() {
                if *confidence >= least {
                    scale.add(outputs, row, *confidence, faces)?;
                }
            }
        }
        Ok(())
    }
}

impl Scale {
    fn add(
        &self,
        outputs: Outputs<'_>,
        row: usize,
        confidence: f32,
        faces: &mut Found,
    ) -> Result<(), OutputError> {
        let (column, line) = self.grid.cell(row / ANCHORS);
        let stride = self.grid.stride as f32;
        let place = |x: f32, y: f32| Point { x: (column + x) * stride, y: (line + y) * stride };
        let edges = &outputs[self.boxes][row * 4..][..4];
        let (from, to) = (place(-edges[0], -edges[1]), place(edges[2], edges[3]));
        let bounds = BoundingBox { left: from.x, top: from.y, right: to.x, bottom: to.y };
        let numbers = self.points.map(|points| &outputs[points][row * 10..][..10]);
        let points = numbers.map(|numbers| landmarks(numbers, place));
        faces.add(self.boxes, confidence, bounds, points)
    }
}
