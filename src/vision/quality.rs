//! Estimates of where a face looks to and how well it is to be seen.
//!
//! They come from five points and the face's own pixels, not from a network trained for them: good
//! for choosing the better of two pictures, and for what APIs report as pose and quality.

use super::faces::{BoundingBox, Landmarks, Point};
use super::picture::{Colours, Normalisation, Picture, Window, resize};

/// How far the tip of the nose stands out before the eyes, as a part of the distance between them.
const NOSE: f32 = 0.6;
/// How far down between eyes and mouth the nose is in a face that looks straight ahead.
const NOSE_LEVEL: f32 = 0.53;
/// Eyes that are closer than this part of the way to the mouth are those of a profile.
const LEAST_EYES: f32 = 0.05;
/// A face's pixels are looked at so many at a time, so that sizes can be compared.
const GRID: usize = 64;
/// The mean step of brightness between neighbours of that grid, in parts of the face's own, with
/// which a face is 63 % sharp.
const SHARP_STEP: f32 = 0.06;
const NORMALISATION: Normalisation =
    Normalisation { colours: Colours::Rgb, mean: [0.0; 3], factor: 1.0 / 255.0 };
/// How bright red, green and blue are (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Where a face looks to, in degrees; all are 0 when it looks straight at the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// Up.
    pub pitch: f32,
    /// Its head leans to the picture's right.
    pub roll: f32,
    /// To the picture's right.
    pub yaw: f32,
}

impl Pose {
    /// 1 for a face that looks straight at the camera, 0 for a profile.
    pub fn frontality(&self) -> f32 {
        (self.yaw.to_radians().cos() * self.pitch.to_radians().cos()).max(0.0)
    }
}

/// How well a face is to be seen, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// The mean brightness of its pixels.
    pub brightness: f32,
    /// How much detail is in them.
    pub sharpness: f32,
}

/// The pose of a face with its eyes, nose and mouth at these places.
pub fn pose(landmarks: &Landmarks) -> Pose {
    let [left_eye, right_eye, nose, left_mouth, right_mouth] = *landmarks;
    let across = difference(right_eye, left_eye);
    let roll = across.y.atan2(across.x);
    let upright = |point: Point| {
        let (sin, cos) = (-roll).sin_cos();
        Point { x: point.x * cos - point.y * sin, y: point.x * sin + point.y * cos }
    };
    let eyes = middle(left_eye, right_eye);
    let mouth = upright(difference(middle(left_mouth, right_mouth), eyes));
    let nose = upright(difference(nose, eyes));
    let height = mouth.y.max(f32::EPSILON);
    let apart = across.x.hypot(across.y).max(LEAST_EYES * height).max(f32::EPSILON);
    let pose = Pose {
        pitch: ((NOSE_LEVEL - nose.y / height) / NOSE).atan().to_degrees(),
        roll: roll.to_degrees(),
        yaw: (nose.x / apart / NOSE).atan().to_degrees(),
    };
    let sound = [pose.pitch, pose.roll, pose.yaw].iter().all(|angle| angle.is_finite());
    if sound { pose } else { Pose::default() }
}

/// The quality of what is within the box.
pub fn quality(picture: &Picture<'_>, bounds: &BoundingBox) -> Quality {
    let (width, height) = (bounds.width(), bounds.height());
    if !bounds.is_finite() || width < 1.0 || height < 1.0 {
        return Quality::default();
    }
    let corner = Point { x: bounds.left, y: bounds.top };
    let step = Point { x: width / GRID as f32, y: height / GRID as f32 };
    let planes = resize(picture, &Window { corner, step }, (GRID, GRID), &NORMALISATION);
    let area = GRID * GRID;
    let luma: Vec<f32> = (0..area)
        .map(|at| LUMA.iter().zip(planes.chunks(area)).map(|(part, plane)| part * plane[at]).sum())
        .collect();
    let mean = luma.iter().sum::<f32>() / area as f32;
    let steps: f32 =
        luma.chunks(GRID).flat_map(|row| row.windows(2)).map(step_between).sum::<f32>()
            + luma.windows(GRID + 1).map(step_between).sum::<f32>();
    let step = steps / (2 * area) as f32 / mean.max(1.0 / 255.0);
    Quality {
        brightness: (100.0 * mean).clamp(0.0, 100.0),
        sharpness: (100.0 * (1.0 - (-step / SHARP_STEP).exp())).clamp(0.0, 100.0),
    }
}

/// How much the ends of a window differ.
fn step_between(window: &[f32]) -> f32 {
    match window {
        [first, .., last] => (last - first).abs(),
        _ => 0.0,
    }
}

fn difference(a: Point, b: Point) -> Point {
    Point { x: a.x - b.x, y: a.y - b.y }
}

fn middle(a: Point, b: Point) -> Point {
    Point { x: (a.x + b.x) / 2.0, y: (a.y + b.y) / 2.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A face that looks ahead, 100 pixels between its eyes.
    fn ahead() -> Landmarks {
        [(0.0, 0.0), (100.0, 0.0), (50.0, 55.0), (5.0, 104.0), (95.0, 104.0)]
            .map(|(x, y)| Point { x, y })
    }

    #[test]
    fn a_face_that_looks_ahead_has_no_angles() {
        let pose = pose(&ahead());
        assert!(
            pose.yaw.abs() < 1.0 && pose.pitch.abs() < 3.0 && pose.roll.abs() < 0.1,
            "{pose:?}"
        );
        assert!(pose.frontality() > 0.99);
    }

    #[test]
    fn a_nose_aside_is_a_turned_head_and_a_leaning_one_is_rolled() {
        let mut turned = ahead();
        turned[2].x += 60.0;
        let turned = pose(&turned);
        assert!((turned.yaw - 45.0).abs() < 1.0, "{turned:?}");
        let leaning = ahead().map(|p| Point { x: -p.y, y: p.x });
        assert!((pose(&leaning).roll - 90.0).abs() < 0.1);
        assert!(pose(&leaning).yaw.abs() < 1.0);
    }

    #[test]
    fn a_blurred_face_is_less_sharp_and_a_dark_one_less_bright() {
        let face = |strength: u8, base: u8| {
            let pixels: Vec<u8> = (0..64 * 64 * 3)
                .map(|at| base + if (at / 3 + at / (3 * 64)) % 2 == 0 { strength } else { 0 })
                .collect();
            let picture = Picture::new(64, 64, 64 * 3, &pixels).expect("it is a picture");
            let bounds = BoundingBox { left: 0.0, top: 0.0, right: 64.0, bottom: 64.0 };
            quality(&picture, &bounds)
        };
        assert!(face(80, 100).sharpness > face(8, 100).sharpness);
        assert!(face(8, 200).brightness > face(8, 20).brightness);
    }

    proptest! {
        #[test]
        fn any_points_have_finite_angles(
            points in proptest::array::uniform5((-1e6f32..1e6, -1e6f32..1e6)),
        ) {
            let pose = pose(&points.map(|(x, y)| Point { x, y }));
            prop_assert!(pose.yaw.is_finite() && pose.pitch.is_finite() && pose.roll.is_finite());
            prop_assert!((0.0..=1.0).contains(&pose.frontality()));
        }
    }
}
