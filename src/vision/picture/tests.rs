//! Pictures of every layout, resized.

use proptest::prelude::*;

use super::*;

const PLAIN: Normalisation = Normalisation { colours: Colours::Rgb, mean: [0.0; 3], factor: 1.0 };

fn filled(width: u32, height: u32, colour: [u8; 3]) -> image::RgbImage {
    image::RgbImage::from_pixel(width, height, image::Rgb(colour))
}

#[test]
fn planes_come_in_the_order_and_the_range_that_is_asked_for() {
    let image = filled(4, 4, [10, 20, 30]);
    let picture = Picture::of(&image).expect("it is sound");
    let window = Window::filling((4, 4), (2, 2));
    let asked = Normalisation { colours: Colours::Bgr, mean: [10.0, 0.0, 0.0], factor: 0.5 };
    let planes = resize(&picture, &window, (2, 2), &asked);
    assert_eq!(planes, [10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 5.0, 5.0, 5.0, 5.0]);
}

#[test]
fn what_a_window_shows_beyond_the_picture_is_black() {
    let image = filled(4, 2, [200; 3]);
    let picture = Picture::of(&image).expect("it is sound");
    let window = Window::fitting((4, 2), (4, 4));
    let planes = resize(&picture, &window, (4, 4), &PLAIN);
    assert_eq!(planes[..8], [200.0; 8]);
    assert_eq!(planes[8..16], [0.0; 8]);
}

#[test]
fn part_shows_what_is_there_and_nothing_beyond() {
    let image = image::RgbImage::from_fn(6, 4, |x, y| image::Rgb([x as u8, y as u8, 0]));
    let picture = Picture::of(&image).expect("it is sound");
    let part = picture.part(4, 2, 2, 2).expect("it is inside");
    assert_eq!(part.at(Point { x: 1.5, y: 1.5 })[..2], [5.0, 3.0]);
    assert!(picture.part(4, 2, 3, 2).is_none());
    assert!(picture.part(6, 0, 0, 1).is_none());
    assert!(picture.part(usize::MAX, 0, 2, 1).is_none());
}

#[test]
fn a_pixel_of_the_input_is_the_mean_of_what_it_covers() {
    let image = image::RgbImage::from_fn(6, 1, |x, _| image::Rgb([x as u8 * 10; 3]));
    let picture = Picture::of(&image).expect("it is sound");
    let planes = resize(&picture, &Window::filling((6, 1), (2, 1)), (2, 1), &PLAIN);
    assert!((planes[0] - 10.0).abs() < 0.1 && (planes[1] - 40.0).abs() < 0.1, "{planes:?}");
}

#[test]
fn pixels_that_are_too_few_make_no_picture() {
    assert!(Picture::new(4, 2, 12, &[0; 23]).is_none());
    assert!(Picture::new(4, 2, 11, &[0; 64]).is_none());
    assert!(Picture::new(0, 2, 12, &[0; 64]).is_none());
    assert!(Picture::new(4, 2, usize::MAX, &[0; 64]).is_none());
    assert!(Picture::new(4, 2, 16, &[0; 28]).is_some());
}

/// What video keeps of a picture: I420 planes, each as wide as it must be.
pub(in crate::vision) struct Video {
    size: (u32, u32),
    planes: [Vec<u8>; 3],
    coding: Coding,
}

impl Video {
    /// Codes a picture; a pixel of colour is the mean of the four that it stands for.
    pub(in crate::vision) fn of(image: &image::RgbImage, coding: Coding) -> Self {
        let (width, height) = image.dimensions();
        let coded = |x: u32, y: u32| {
            let pixel = image.get_pixel(x.min(width - 1), y.min(height - 1));
            encode(pixel.0, coding)
        };
        let luma = (0..width * height).map(|at| coded(at % width, at / width)[0].round() as u8);
        let half = (width.div_ceil(2), height.div_ceil(2));
        let colour = |channel: usize| {
            let at = (0..half.0 * half.1).map(|at| (at % half.0 * 2, at / half.0 * 2));
            let mean = at.map(|(x, y)| {
                let four = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)];
                (four.map(|(x, y)| coded(x, y)[channel]).iter().sum::<f32>() / 4.0).round() as u8
            });
            mean.collect()
        };
        Self { size: (width, height), planes: [luma.collect(), colour(1), colour(2)], coding }
    }

    pub(in crate::vision) fn i420(&self) -> Picture<'_> {
        let half = self.size.0.div_ceil(2) as usize;
        let strides = [self.size.0 as usize, half, half];
        let planes =
            std::array::from_fn(|at| Plane { bytes: &self.planes[at], stride: strides[at] });
        Picture::i420(self.size.0, self.size.1, planes, self.coding).expect("it is sound")
    }

    /// Both colours in turns.
    fn colours(&self) -> Vec<u8> {
        self.planes[1].iter().zip(&self.planes[2]).flat_map(|(blue, red)| [*blue, *red]).collect()
    }

    fn nv12<'a>(&'a self, colours: &'a [u8]) -> Picture<'a> {
        let (width, height) = self.size;
        let stride = width.div_ceil(2) as usize * 2;
        let planes = [
            Plane { bytes: &self.planes[0], stride: width as usize },
            Plane { bytes: colours, stride },
        ];
        Picture::nv12(width, height, planes, self.coding).expect("it is sound")
    }

    /// What a player would show.
    pub(in crate::vision) fn shown(&self) -> image::RgbImage {
        let (width, height) = self.size;
        let half = width.div_ceil(2);
        image::RgbImage::from_fn(width, height, |x, y| {
            let colour = (y / 2 * half + x / 2) as usize;
            let bytes = [
                self.planes[0][(y * width + x) as usize],
                self.planes[1][colour],
                self.planes[2][colour],
            ];
            let rgb = self.coding.transform().rgb(bytes.map(f32::from));
            image::Rgb(rgb.map(|value| value.round() as u8))
        })
    }
}

/// The definition of the codings, from red, green and blue to bytes.
fn encode([red, green, blue]: [u8; 3], coding: Coding) -> [f32; 3] {
    let (of_red, of_blue) = match coding.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    let [red, green, blue] = [red, green, blue].map(|value| f32::from(value) / 255.0);
    let luma = of_red * red + (1.0 - of_red - of_blue) * green + of_blue * blue;
    let differences = [(blue - luma) / (2.0 - 2.0 * of_blue), (red - luma) / (2.0 - 2.0 * of_red)];
    let (black, white, reach) =
        if coding.full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    let [blue, red] = differences.map(|value| 128.0 + reach * value);
    [black + white * luma, blue.clamp(0.0, 255.0), red.clamp(0.0, 255.0)]
}

const CODINGS: [Coding; 3] = [
    Coding { matrix: Matrix::Bt601, full_range: true },
    Coding { matrix: Matrix::Bt709, full_range: false },
    Coding { matrix: Matrix::Bt2020, full_range: false },
];

#[test]
fn every_coding_gives_back_the_colours_that_were_coded() {
    let colours = [[0; 3], [255; 3], [255, 0, 0], [0, 255, 0], [0, 0, 255], [12, 130, 77]];
    for (coding, colour) in CODINGS.iter().flat_map(|coding| colours.map(|c| (coding, c))) {
        let image = filled(6, 4, colour);
        let video = Video::of(&image, *coding);
        let window = Window::filling((6, 4), (3, 2));
        let planes = resize(&video.i420(), &window, (3, 2), &PLAIN);
        for (at, value) in planes.iter().enumerate() {
            let expected = f32::from(colour[at / 6]);
            assert!((value - expected).abs() < 3.0, "{coding:?} {colour:?}: {planes:?}");
        }
    }
}

#[test]
fn video_is_resized_as_the_picture_that_a_player_shows() {
    // Waves of colour that stay inside what can be shown.
    let image = image::RgbImage::from_fn(97, 61, |x, y| {
        let wave = |at: u32, length: f32| 128.0 + 60.0 * (at as f32 / length).sin();
        image::Rgb([wave(x, 5.0) as u8, wave(y, 7.0) as u8, wave(x + y, 9.0) as u8])
    });
    for (coding, into) in CODINGS.iter().flat_map(|c| [(c, (40, 30)), (c, (97, 61)), (c, (13, 90))])
    {
        let video = Video::of(&image, *coding);
        let shown = video.shown();
        let window =
            Window { corner: Point { x: -4.0, y: 3.5 }, ..Window::fitting((97, 61), into) };
        let expected = resize(&Picture::of(&shown).expect("it is sound"), &window, into, &PLAIN);
        let colours = video.colours();
        for picture in [video.i420(), video.nv12(&colours)] {
            let planes = resize(&picture, &window, into, &PLAIN);
            let far = planes.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let (sum, most) = far.fold((0.0, 0.0_f32), |(sum, most), d| (sum + d, most.max(d)));
            let mean = sum / planes.len() as f32;
            // A player repeats colours where we go from one to the next, and at the picture's edge
            // a pixel of colour reaches farther into the black.
            assert!(mean < 2.5 && most < 48.0, "{coding:?} {into:?}: mean {mean}, most {most}");
        }
    }
}

#[test]
fn what_is_beyond_video_is_black() {
    let video = Video::of(&filled(5, 5, [200; 3]), CODINGS[1]);
    let window = Window { corner: Point { x: -20.0, y: 0.0 }, step: Point { x: 1.0, y: 1.0 } };
    let planes = resize(&video.i420(), &window, (10, 10), &PLAIN);
    assert!(planes.iter().all(|value| value.abs() < 0.01), "{planes:?}");
}

#[test]
fn a_part_is_cut_out_in_its_own_colours() {
    let image = image::RgbImage::from_fn(64, 64, |x, _| {
        image::Rgb(if x < 32 { [200, 60, 40] } else { [20, 90, 160] })
    });
    let video = Video::of(&image, CODINGS[0]);
    let window = Window { corner: Point { x: 32.0, y: 8.0 }, step: Point { x: 1.0, y: 1.0 } };
    let cut = video.i420().cut(&window, (16, 16));
    let pixel = cut.get_pixel(8, 8).0;
    let far = pixel.iter().zip([20, 90, 160]).map(|(a, b)| i32::from(*a).abs_diff(b)).max();
    assert!(far <= Some(3), "{pixel:?}");
}

#[test]
fn planes_that_are_too_short_make_no_picture() {
    let luma = Plane { bytes: &[0; 15], stride: 5 };
    let plane = |bytes, stride| Plane { bytes, stride };
    let colour = plane(&[0; 6][..], 3);
    let coding = Coding::usual(480);
    assert!(Picture::i420(5, 3, [luma, colour, colour], coding).is_some());
    assert!(Picture::i420(5, 3, [luma, colour, plane(&[0; 5], 3)], coding).is_none());
    assert!(Picture::i420(5, 3, [luma, plane(&[0; 6], 2), colour], coding).is_none());
    assert!(Picture::i420(5, 4, [luma, colour, colour], coding).is_none());
    assert!(Picture::nv12(5, 3, [luma, plane(&[0; 12], 6)], coding).is_some());
    assert!(Picture::nv12(5, 3, [luma, plane(&[0; 11], 6)], coding).is_none());
    assert!(Picture::nv12(5, 3, [luma, plane(&[0; 12], 5)], coding).is_none());
}

proptest! {
    #[test]
    fn grey_stays_grey_at_every_size(
        from in (1u32..40, 1u32..40), into in (1usize..40, 1usize..40), grey: u8,
    ) {
        let image = filled(from.0, from.1, [grey; 3]);
        let picture = Picture::of(&image).expect("it is sound");
        let window = Window::filling((from.0 as usize, from.1 as usize), into);
        for value in resize(&picture, &window, into, &PLAIN) {
            prop_assert!((value - f32::from(grey)).abs() <= 1.01, "{value}");
        }
    }

    #[test]
    fn windows_anywhere_are_filled_with_colours(
        corner in (-100.0f32..100.0, -100.0f32..100.0), step in (0.01f32..20.0, 0.01f32..20.0),
    ) {
        let image = filled(20, 10, [255; 3]);
        let picture = Picture::of(&image).expect("it is sound");
        let window = Window {
            corner: Point { x: corner.0, y: corner.1 },
            step: Point { x: step.0, y: step.1 },
        };
        for value in resize(&picture, &window, (9, 7), &PLAIN) {
            prop_assert!((0.0..=256.0).contains(&value), "{value}");
        }
    }
}
