//! What can be measured of a face beside its place: how the head is turned, how well it can be seen.
//!
//! All of it is an estimate. Roll is exact as far as the eyes are; yaw and pitch come from where the
//! nose is between eyes and mouth, on a head of usual proportions. Brightness and sharpness are those
//! of the pixels in the box.

use super::faces::{BoundingBox, Landmarks, Point};
use super::picture::{Colours, Normalisation, Picture, Window, resize};

/// Edge of the square on which brightness and sharpness are measured.
const SIDE: usize = 64;
/// How far the nose stands out, as a part of the distance between the eyes.
const NOSE_DEPTH: f32 = 0.5;
/// Where the nose is between eyes (0) and mouth (1) of a face that looks straight ahead.
const NOSE_HEIGHT: f32 = 0.53;
/// The deviation of the Laplacian at which sharpness is about two thirds of its range.
const SHARP: f32 = 20.0;

/// How a head is turned, in degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// Leaning: clockwise is positive.
    pub roll: f32,
    /// To the sides: towards the picture's right is positive.
    pub yaw: f32,
    /// Up, which is positive, and down.
    pub pitch: f32,
}

/// How well a face can be seen, each 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// The mean lightness.
    pub brightness: f32,
    /// How much detail there is.
    pub sharpness: f32,
}

/// The pose of a head; none when the places are those of no face.
pub fn pose(landmarks: &Landmarks) -> Option<Pose> {
    let [left, right, nose, mouth_left, mouth_right] = *landmarks;
    let (across, down) = (right.x - left.x, right.y - left.y);
    let between = across.hypot(down);
    let (eyes, mouth) = (middle(left, right), middle(mouth_left, mouth_right));
    // Along the line of the eyes, and square to it.
    let along = |p: Point| ((p.x - eyes.x) * across + (p.y - eyes.y) * down) / between;
    let below = |p: Point| ((p.y - eyes.y) * across - (p.x - eyes.x) * down) / between;
    let height = below(mouth);
    let aside = along(nose) - along(mouth) * NOSE_HEIGHT;
    let above = NOSE_HEIGHT * height - below(nose);
    let pose = Pose {
        roll: down.atan2(across).to_degrees(),
        yaw: aside.atan2(NOSE_DEPTH * between).to_degrees(),
        pitch: above.atan2(NOSE_DEPTH * height).to_degrees(),
    };
    let sound = height > 0.0 && [pose.roll, pose.yaw, pose.pitch].iter().all(|d| d.is_finite());
    sound.then_some(pose)
}

/// How well the face in a box can be seen.
pub fn quality(picture: &Picture<'_>, bounds: &BoundingBox) -> Quality {
    let step = Point { x: bounds.width() / SIDE as f32, y: bounds.height() / SIDE as f32 };
    if !(bounds.is_finite() && step.x > 0.0 && step.y > 0.0) {
        return Quality::default();
    }
    let window = Window { corner: Point { x: bounds.left, y: bounds.top }, step };
    let plain = Normalisation { colours: Colours::Rgb, mean: [0.0; 3], factor: 1.0 };
    let planes = resize(picture, &window, (SIDE, SIDE), &plain);
    let (red, rest) = planes.split_at(SIDE * SIDE);
    let (green, blue) = rest.split_at(SIDE * SIDE);
    let colours = red.iter().zip(green).zip(blue);
    let light: Vec<f32> = colours.map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect();
    let mean = light.iter().sum::<f32>() / light.len() as f32;
    let sharpness = 1.0 - (-roughness(&light) / SHARP).exp();
    Quality {
        brightness: (mean / 255.0 * 100.0).clamp(0.0, 100.0),
        sharpness: (sharpness * 100.0).clamp(0.0, 100.0),
    }
}

/// The root mean square of the Laplacian.
fn roughness(light: &[f32]) -> f32 {
    let at = |x: usize, y: usize| light[y * SIDE + x];
    let inner = || 1..SIDE - 1;
    let squares = inner().flat_map(|y| inner().map(move |x| (x, y))).map(|(x, y)| {
        let around = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
        (around - 4.0 * at(x, y)).powi(2)
    });
    (squares.sum::<f32>() / ((SIDE - 2) * (SIDE - 2)) as f32).sqrt()
}

fn middle(a: Point, b: Point) -> Point {
    Point { x: (a.x + b.x) / 2.0, y: (a.y + b.y) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, y: f32) -> Point {
        Point { x, y }
    }

    /// A face that looks straight ahead, its eyes 40 pixels apart.
    fn ahead() -> Landmarks {
        [at(80.0, 100.0), at(120.0, 100.0), at(100.0, 121.2), at(84.0, 140.0), at(116.0, 140.0)]
    }

    #[test]
    fn face_that_looks_ahead_is_not_turned() {
        let pose = pose(&ahead()).expect("a face");
        assert!(
            pose.roll.abs() < 0.1 && pose.yaw.abs() < 0.1 && pose.pitch.abs() < 0.1,
            "{pose:?}"
        );
    }

    #[test]
    fn turns_have_the_signs_that_are_documented() {
        let mut face = ahead();
        face[2] = at(110.0, 117.0);
        let turned = pose(&face).expect("a face");
        assert!(turned.yaw > 10.0 && turned.pitch > 5.0, "{turned:?}");
        let leaning = ahead()
            .map(|point| at(point.x - (point.y - 100.0) * 0.5, point.y + (point.x - 100.0) * 0.5));
        let leaning = pose(&leaning).expect("a face");
        assert!((leaning.roll - 26.565).abs() < 0.01 && leaning.yaw.abs() < 0.5, "{leaning:?}");
        assert_eq!(pose(&[at(1.0, 1.0); 5]), None);
    }

    #[test]
    fn quality_tells_light_from_dark_and_sharp_from_flat() {
        let fine = image::RgbImage::from_fn(64, 64, |x, y| {
            image::Rgb([if (x / 2 + y / 2) % 2 == 0 { 255 } else { 155 }; 3])
        });
        let flat = image::RgbImage::from_pixel(64, 64, image::Rgb([51; 3]));
        let bounds = BoundingBox { left: 0.0, top: 0.0, right: 64.0, bottom: 64.0 };
        let of =
            |image: &image::RgbImage| quality(&Picture::of(image).expect("it is sound"), &bounds);
        assert!((of(&flat).brightness - 20.0).abs() < 0.5 && of(&flat).sharpness < 1.0);
        assert!(of(&fine).brightness > 75.0 && of(&fine).sharpness > 60.0, "{:?}", of(&fine));
        let nowhere = BoundingBox { left: 5.0, top: 5.0, right: 5.0, bottom: 5.0 };
        let picture = Picture::of(&flat).expect("it is sound");
        assert_eq!(quality(&picture, &nowhere), Quality::default());
    }
}
