//! Faces as geometry and numbers: boxes, landmarks, the alignment of a face, and how alike two are.
//!
//! All coordinates are pixels of the picture that was looked at, from its top left corner; pixel
//! (0, 0) covers the square from 0 to 1. Every number of a `Face` is finite.

/// A place in a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Pixels from the left edge.
    pub x: f32,
    /// Pixels from the top edge.
    pub y: f32,
}

/// A rectangle in a picture; it may reach beyond the picture's edges.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BoundingBox {
    /// The left edge.
    pub left: f32,
    /// The top edge.
    pub top: f32,
    /// The right edge.
    pub right: f32,
    /// The bottom edge.
    pub bottom: f32,
}

impl BoundingBox {
    /// The rectangle around a centre.
    pub fn around(centre: Point, width: f32, height: f32) -> Self {
        Self {
            left: centre.x - width / 2.0,
            top: centre.y - height / 2.0,
            right: centre.x + width / 2.0,
            bottom: centre.y + height / 2.0,
        }
    }

    /// From left to right; 0 when the edges are the wrong way round.
    pub fn width(&self) -> f32 {
        (self.right - self.left).max(0.0)
    }

    /// From top to bottom; 0 when the edges are the wrong way round.
    pub fn height(&self) -> f32 {
        (self.bottom - self.top).max(0.0)
    }

    /// The middle.
    pub fn centre(&self) -> Point {
        Point { x: (self.left + self.right) / 2.0, y: (self.top + self.bottom) / 2.0 }
    }

    /// The common area of both as a part of what both cover together: 0 when they are apart, 1
    /// when they are the same ("intersection over union").
    pub fn overlap(&self, other: &Self) -> f32 {
        let common = self.common_area(other);
        let together = self.area() + other.area() - common;
        if together > 0.0 { common / together } else { 0.0 }
    }

    /// The common area of both as a part of the smaller one.
    pub fn covered(&self, other: &Self) -> f32 {
        let smaller = self.area().min(other.area());
        if smaller > 0.0 { self.common_area(other) / smaller } else { 0.0 }
    }

    /// Whether no edge is infinite or not a number.
    pub fn is_finite(&self) -> bool {
        [self.left, self.top, self.right, self.bottom].iter().all(|edge| edge.is_finite())
    }

    fn area(&self) -> f32 {
        self.width() * self.height()
    }

    fn common_area(&self, other: &Self) -> f32 {
        let common = Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        };
        common.area()
    }
}

/// The five places by which faces are aligned. Left and right are those of the picture.
pub type Landmarks = [Point; 5];

/// What the places in [`Landmarks`] are, in their order.
pub const LANDMARK_NAMES: [&str; 5] = ["eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight"];

/// A face in a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// Where it is.
    pub bounds: BoundingBox,
    /// How sure the model is, 0 to 1.
    pub confidence: f32,
    /// Where eyes, nose and mouth are, when the model says so.
    pub landmarks: Option<Landmarks>,
}

/// Keeps the surest of faces that overlap by more than `most`, surest first.
pub fn without_overlaps(mut faces: Vec<Face>, most: f32) -> Vec<Face> {
    faces.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut kept: Vec<Face> = Vec::new();
    for face in faces {
        if kept.iter().all(|better| better.bounds.overlap(&face.bounds) <= most) {
            kept.push(face);
        }
    }
    kept
}

/// A turn, a scaling and a move: what maps one face onto another without bending it.
///
/// `x' = a·x − b·y + move.x`, `y' = b·x + a·y + move.y`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    a: f32,
    b: f32,
    shift: Point,
}

impl Similarity {
    /// The one that brings `from` closest to `to`, by the sum of squared distances; none when
    /// all points of `from` are one, or a number is not finite.
    pub fn between(from: &Landmarks, to: &Landmarks) -> Option<Self> {
        let (from_middle, to_middle) = (middle(from), middle(to));
        let (mut a, mut b, mut spread) = (0.0, 0.0, 0.0);
        for (from, to) in from.iter().zip(to) {
            let (u, v) = (from.x - from_middle.x, from.y - from_middle.y);
            let (x, y) = (to.x - to_middle.x, to.y - to_middle.y);
            a += u * x + v * y;
            b += u * y - v * x;
            spread += u * u + v * v;
        }
        let turn = Self { a: a / spread, b: b / spread, shift: Point::default() };
        let moved = turn.apply(from_middle);
        let shift = Point { x: to_middle.x - moved.x, y: to_middle.y - moved.y };
        let found = Self { shift, ..turn };
        let numbers = [found.a, found.b, shift.x, shift.y];
        numbers.iter().all(|number| number.is_finite()).then_some(found)
    }

    /// Where a point comes to lie.
    pub fn apply(&self, point: Point) -> Point {
        Point {
            x: self.a * point.x - self.b * point.y + self.shift.x,
            y: self.b * point.x + self.a * point.y + self.shift.y,
        }
    }

    /// How much longer a line becomes.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }
}

fn middle(points: &Landmarks) -> Point {
    let count = points.len() as f32;
    Point {
        x: points.iter().map(|point| point.x).sum::<f32>() / count,
        y: points.iter().map(|point| point.y).sum::<f32>() / count,
    }
}

/// A face as a recogniser sees it: numbers that are close together for the same person.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Takes a recogniser's output; none when it is empty or a number is not finite.
    pub fn new(numbers: impl Into<Box<[f32]>>) -> Option<Self> {
        let numbers = numbers.into();
        let sound = !numbers.is_empty() && numbers.iter().all(|number| number.is_finite());
        sound.then_some(Self(numbers))
    }

    /// The numbers.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The Euclidean distance; none between embeddings of different recognisers, whose lengths
    /// differ.
    pub fn distance(&self, other: &Self) -> Option<f32> {
        if self.0.len() != other.0.len() {
            return None;
        }
        let squares = self.0.iter().zip(&other.0).map(|(a, b)| (a - b) * (a - b));
        Some(squares.sum::<f32>().sqrt())
    }
}

/// What a distance of 1 takes from the similarity of 100, so that Rekognition's default threshold of
/// 80 is the distance below which two faces are taken for one person's.
const SIMILARITY_PER_DISTANCE: f32 = 40.0;

/// How alike two faces are, 0 to 100 as Rekognition counts, from the [`Embedding::distance`] between
/// them.
pub fn similarity(distance: f32) -> f32 {
    (100.0 - SIMILARITY_PER_DISTANCE * distance).clamp(0.0, 100.0)
}

/// The distance of faces that have a similarity; for 0, the smallest one.
pub fn distance_of(similarity: f32) -> f32 {
    (100.0 - similarity) / SIMILARITY_PER_DISTANCE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn square(left: f32, top: f32, side: f32) -> BoundingBox {
        BoundingBox { left, top, right: left + side, bottom: top + side }
    }

    fn face(bounds: BoundingBox, confidence: f32) -> Face {
        Face { bounds, confidence, landmarks: None }
    }

    #[test]
    fn overlap_is_the_common_part_of_all_that_is_covered() {
        let overlap = square(0.0, 0.0, 2.0).overlap(&square(1.0, 0.0, 2.0));
        assert!((overlap - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(square(0.0, 0.0, 2.0).overlap(&square(5.0, 0.0, 2.0)), 0.0);
        assert_eq!(square(1.0, 1.0, 0.0).overlap(&square(1.0, 1.0, 0.0)), 0.0);
    }

    #[test]
    fn of_overlapping_faces_the_surest_is_kept() {
        let faces = vec![
            face(square(0.0, 0.0, 10.0), 0.6),
            face(square(1.0, 0.0, 10.0), 0.9),
            face(square(30.0, 0.0, 10.0), 0.5),
        ];
        let kept = without_overlaps(faces, 0.3);
        assert_eq!(kept.iter().map(|face| face.confidence).collect::<Vec<_>>(), [0.9, 0.5]);
    }

    #[test]
    fn points_that_are_one_have_no_alignment() {
        let one = [Point { x: 3.0, y: 4.0 }; 5];
        let spread = std::array::from_fn(|i| Point { x: i as f32, y: (i * i) as f32 });
        assert_eq!(Similarity::between(&one, &spread), None);
    }

    #[test]
    fn embeddings_of_different_recognisers_have_no_distance() {
        let short = Embedding::new([1.0]).expect("it is sound");
        let long = Embedding::new([1.0, 2.0]).expect("it is sound");
        assert_eq!(short.distance(&long), None);
        assert_eq!(Embedding::new([f32::NAN]), None);
    }

    #[test]
    fn threshold_of_80_is_the_distance_of_one_person() {
        assert_eq!(distance_of(80.0), 0.5);
        assert_eq!(similarity(0.5), 80.0);
        assert_eq!((similarity(0.0), similarity(9.0)), (100.0, 0.0));
    }

    proptest! {
        #[test]
        fn alignment_finds_the_turn_that_was_made(
            points in proptest::array::uniform5((0.0f32..100.0, 0.0f32..100.0)),
            turn in -3.0f32..3.0, scale in 0.1f32..10.0, x in -100.0f32..100.0, y in -100.0f32..100.0,
        ) {
            let from = points.map(|(x, y)| Point { x, y });
            let centre = middle(&from);
            let spread = from.iter().map(|p| (p.x - centre.x).hypot(p.y - centre.y)).sum::<f32>();
            prop_assume!(spread > 5.0);
            let made =
                Similarity { a: scale * turn.cos(), b: scale * turn.sin(), shift: Point { x, y } };
            let to = from.map(|point| made.apply(point));
            let found = Similarity::between(&from, &to).expect("the points are apart");
            for (from, to) in from.iter().zip(to) {
                let got = found.apply(*from);
                prop_assert!((got.x - to.x).hypot(got.y - to.y) < 0.05 * scale.max(1.0));
            }
        }

        #[test]
        fn overlap_is_symmetric_and_between_none_and_all(
            a in (-10.0f32..10.0, -10.0f32..10.0, 0.0f32..10.0),
            b in (-10.0f32..10.0, -10.0f32..10.0, 0.0f32..10.0),
        ) {
            let (a, b) = (square(a.0, a.1, a.2), square(b.0, b.1, b.2));
            prop_assert!((0.0..=1.0001).contains(&a.overlap(&b)));
            prop_assert_eq!(a.overlap(&b), b.overlap(&a));
        }
    }
}
