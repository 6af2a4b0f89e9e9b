//! RetinaFace: two anchors in each cell of 8, 16 and 32 pixels. Centres and points are offsets from
//! the cell's middle in tenths of the anchor, sizes are logarithms in fifths.

use super::{
    Fit, Found, Grid, OutputError, Outputs, Read, Signature, Traits, check_finite, landmarks,
};
use crate::vision::faces::{BoundingBox, Point};
use crate::vision::picture::{Colours, Normalisation};

pub(super) const TRAITS: Traits = Traits {
    normalisation: Normalisation {
        colours: Colours::Bgr,
        mean: [104.0, 117.0, 123.0],
        factor: 1.0,
    },
    fit: Fit::Whole,
    least_confidence: 0.6,
    most_overlap: 0.4,
    input: (640, 384),
    multiple_of: 32,
};

/// Edges of the two square anchors of each stride, in pixels.
pub(super) type Anchors = [(usize, [f32; 2]); 3];

pub(super) const ANCHORS: Anchors = [(8, [16.0, 32.0]), (16, [64.0, 128.0]), (32, [256.0, 512.0])];
pub(super) const SMALL_ANCHORS: Anchors =
    [(8, [10.0, 20.0]), (16, [32.0, 64.0]), (32, [128.0, 256.0])];

/// The scale of offsets, and that of logarithms ("variances").
const OFFSET: f32 = 0.1;
const LOGARITHM: f32 = 0.2;

struct Reader {
    anchors: Vec<(Point, f32)>,
    scores: usize,
    boxes: usize,
    points: usize,
}

pub(super) fn reader(signature: &Signature, anchors: &Anchors) -> Option<Box<dyn Read>> {
    let mut places = Vec::new();
    for (stride, edges) in anchors {
        let grid = Grid::new(signature.input, *stride);
        for cell in 0..grid.cells() {
            let (column, line) = grid.cell(cell);
            let stride = *stride as f32;
            let middle = Point { x: (column + 0.5) * stride, y: (line + 0.5) * stride };
            places.extend(edges.map(|edge| (middle, edge)));
        }
    }
    let rows = places.len();
    let (scores, boxes) = (signature.only(rows, 2)?, signature.only(rows, 4)?);
    let points = signature.only(rows, 10)?;
    let reader = Reader { anchors: places, scores, boxes, points };
    (signature.outputs.len() == 3).then(|| Box::new(reader) as _)
}

impl Read for Reader {
    fn read(&self, outputs: Outputs<'_>, least: f32, faces: &mut Found) -> Result<(), OutputError> {
        let scores = check_finite(outputs, self.scores)?;
        for (row, score) in scores.chunks_exact(2).enumerate() {
            if score[1] < least {
                continue;
            }
            let (middle, edge) = self.anchors[row];
            let place = |x: f32, y: f32| Point {
                x: middle.x + x * OFFSET * edge,
                y: middle.y + y * OFFSET * edge,
            };
            let numbers = &outputs[self.boxes][row * 4..][..4];
            let bounds = BoundingBox::around(
                place(numbers[0], numbers[1]),
                edge * (numbers[2] * LOGARITHM).exp(),
                edge * (numbers[3] * LOGARITHM).exp(),
            );
            let points = landmarks(&outputs[self.points][row * 10..][..10], place);
            faces.add(self.boxes, score[1], bounds, Some(points))?;
        }
        Ok(())
    }
}
