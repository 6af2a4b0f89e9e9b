//! YuNet: one anchor in each cell of 8, 16 and 32 pixels. A face's confidence is the geometric mean
//! of "a face" and "an object"; centres and points are offsets from the cell's corner in cells,
//! sizes are logarithms of cells.

use super::{
    Fit, Found, Grid, OutputError, Outputs, Read, Signature, Traits, check_finite, landmarks,
};
use crate::vision::faces::{BoundingBox, Point};
use crate::vision::picture::{Colours, Normalisation};

pub(super) const TRAITS: Traits = Traits {
    normalisation: Normalisation { colours: Colours::Bgr, mean: [0.0; 3], factor: 1.0 },
    fit: Fit::Whole,
    least_confidence: 0.6,
    most_overlap: 0.45,
    input: (320, 192),
    multiple_of: 32,
};

const STRIDES: [usize; 3] = [8, 16, 32];

struct Scale {
    grid: Grid,
    /// "A face" and "an object"; it does not matter which is which.
    scores: [usize; 2],
    boxes: usize,
    points: usize,
}

struct Reader(Vec<Scale>);

pub(super) fn reader(signature: &Signature) -> Option<Box<dyn Read>> {
    let scale = |stride: usize| {
        let grid = Grid::new(signature.input, stride);
        let scores = signature.with(grid.cells(), 1).try_into().ok()?;
        let boxes = signature.only(grid.cells(), 4)?;
        Some(Scale { grid, scores, boxes, points: signature.only(grid.cells(), 10)? })
    };
    let scales = STRIDES.into_iter().map(scale).collect::<Option<_>>()?;
    (signature.outputs.len() == 12).then(|| Box::new(Reader(scales)) as _)
}

impl Read for Reader {
    fn read(&self, outputs: Outputs<'_>, least: f32, faces: &mut Found) -> Result<(), OutputError> {
        for scale in &self.0 {
            let first = check_finite(outputs, scale.scores[0])?;
            let second = check_finite(outputs, scale.scores[1])?;
            for (cell, (first, second)) in first.iter().zip(second).enumerate() {
                let confidence = (first.clamp(0.0, 1.0) * second.clamp(0.0, 1.0)).sqrt();
                if confidence >= least {
                    scale.add(outputs, cell, confidence, faces)?;
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
        cell: usize,
        confidence: f32,
        faces: &mut Found,
    ) -> Result<(), OutputError> {
        let (column, line) = self.grid.cell(cell);
        let stride = self.grid.stride as f32;
        let place = |x: f32, y: f32| Point { x: (column + x) * stride, y: (line + y) * stride };
        let numbers = &outputs[self.boxes][cell * 4..][..4];
        let bounds = BoundingBox::around(
            place(numbers[0], numbers[1]),
            numbers[2].exp() * stride,
            numbers[3].exp() * stride,
        );
        let points = landmarks(&outputs[self.points][cell * 10..][..10], place);
        faces.add(self.boxes, confidence, bounds, Some(points))
    }
}
