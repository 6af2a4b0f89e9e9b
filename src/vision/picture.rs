//! Pictures, and what networks are given of them: resized, normalised, plane by plane.
//!
//! Resizing and normalising are one pass over the bytes: rows are weighted and summed as whole
//! numbers, which compilers turn into vector code, and only what remains is scaled to floats.

use super::faces::{Point, Similarity};

/// The longest edge of a picture. Larger ones are no video frames, and sums over them no `u32`.
pub const MAX_EDGE: u32 = 16_384;
/// Red, green and blue.
const CHANNELS: usize = 3;
/// The weights of the rows that make one row sum up to this, so that sums of bytes fit in `u16`.
const ROW_WEIGHT: f32 = 256.0;
/// A turned face is sampled at most so many times per pixel and direction.
const MAX_SAMPLES: usize = 8;

/// Pixels of 8-bit red, green and blue, row by row, borrowed from whoever decoded them.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    width: usize,
    height: usize,
    stride: usize,
    pixels: &'a [u8],
}

impl<'a> Picture<'a> {
    /// A picture whose rows begin `stride` bytes apart; none when an edge is 0 or longer than
    /// [`MAX_EDGE`], or `pixels` is too short for it.
    pub fn new(width: u32, height: u32, stride: usize, pixels: &'a [u8]) -> Option<Self> {
        let edges = 1..=MAX_EDGE;
        if !edges.contains(&width) || !edges.contains(&height) {
            return None;
        }
        let (width, height) = (width as usize, height as usize);
        let row = width * CHANNELS;
        let length = stride.checked_mul(height - 1)?.checked_add(row)?;
        let sound = stride >= row && pixels.len() >= length;
        sound.then_some(Self { width, height, stride, pixels })
    }

    /// A picture in memory.
    pub fn of(image: &'a image::RgbImage) -> Option<Self> {
        Self::new(image.width(), image.height(), image.width() as usize * CHANNELS, image.as_raw())
    }

    /// A part of it, as a picture of its own; none when it reaches beyond the edges.
    pub fn part(&self, left: usize, top: usize, width: usize, height: usize) -> Option<Self> {
        let inside =
            left.checked_add(width)? <= self.width && top.checked_add(height)? <= self.height;
        if !inside || width == 0 || height == 0 {
            return None;
        }
        let pixels = self.pixels.get(top * self.stride + left * CHANNELS..)?;
        Some(Self { width, height, stride: self.stride, pixels })
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.height
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.pixels[y * self.stride..][..self.width * CHANNELS]
    }

    /// The colour at a place, from the four pixels around it; beyond the edge it goes on as there.
    fn at(&self, place: Point) -> [f32; CHANNELS] {
        let inside = |at: f32, length: usize| (at - 0.5).clamp(0.0, (length - 1) as f32);
        let (x, y) = (inside(place.x, self.width), inside(place.y, self.height));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let (dx, dy) = (x - left as f32, y - top as f32);
        let (upper, lower) = (self.row(top), self.row(bottom));
        std::array::from_fn(|channel| {
            let of = |row: &[u8], x: usize| f32::from(row[x * CHANNELS + channel]);
            let upper = of(upper, left) * (1.0 - dx) + of(upper, right) * dx;
            let lower = of(lower, left) * (1.0 - dx) + of(lower, right) * dx;
            upper * (1.0 - dy) + lower * dy
        })
    }
}

/// The order in which a network expects the planes of colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// What a network expects of the numbers that it is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// The order of the planes.
    pub colours: Colours,
    /// What is taken from each plane's bytes of 0 to 255.
    pub mean: [f32; 3],
    /// What the rest is multiplied with.
    pub factor: f32,
}

/// The part of a picture that fills a network's input: where its top left corner is, and how many
/// pixels of the picture one of the input covers. It may reach beyond the picture; there is black.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// The corner at the top left.
    pub corner: Point,
    /// Pixels of the picture per pixel of the input, from left to right and from top to bottom.
    pub step: Point,
}

impl Window {
    /// The whole picture at the top left, as large as it fits without being bent.
    pub fn fitting(from: (usize, usize), into: (usize, usize)) -> Self {
        let step = (from.0 as f32 / into.0 as f32).max(from.1 as f32 / into.1 as f32);
        Self { corner: Point::default(), step: Point { x: step, y: step } }
    }

    /// The whole picture, bent to fill everything.
    pub fn filling(from: (usize, usize), into: (usize, usize)) -> Self {
        let step = Point { x: from.0 as f32 / into.0 as f32, y: from.1 as f32 / into.1 as f32 };
        Self { corner: Point::default(), step }
    }

    /// Where a place of the input is in the picture.
    pub fn place(&self, input: Point) -> Point {
        Point { x: self.corner.x + input.x * self.step.x, y: self.corner.y + input.y * self.step.y }
    }
}

/// Fills a network's input of `width` by `height` with what the window shows. Each pixel is the
/// mean of the area that it covers; where one covers less than a pixel, it lies between two.
pub fn resize(
    picture: &Picture<'_>,
    window: &Window,
    (width, height): (usize, usize),
    normalisation: &Normalisation,
) -> Vec<f32> {
    let columns = Taps::new(window.corner.x, window.step.x, width, picture.width);
    let rows = Taps::new(window.corner.y, window.step.y, height, picture.height);
    let mut planes = vec![0.0; CHANNELS * width * height];
    let mut sums = vec![0_u16; picture.width * CHANNELS];
    let mut colours = vec![0.0; CHANNELS * width];
    for y in 0..height {
        let (first, weights) = rows.of(y);
        sums.fill(0);
        for (source, weight) in (first..).zip(whole(weights)) {
            add_row(&mut sums, picture.row(source), weight);
        }
        columns.weigh(&sums, &mut colours);
        write_row(&mut planes, &colours, y, (width, height), normalisation);
    }
    planes
}

/// Fills a square input with what lies where `place` puts it in the picture, turned as it is.
pub fn turned(
    picture: &Picture<'_>,
    place: &Similarity,
    side: usize,
    normalisation: &Normalisation,
) -> Vec<f32> {
    let samples = (place.scale().round() as usize).clamp(1, MAX_SAMPLES);
    let part = 1.0 / samples as f32;
    let mut planes = vec![0.0; CHANNELS * side * side];
    let mut colours = vec![0.0; CHANNELS * side];
    for y in 0..side {
        for (x, sum) in colours.chunks_exact_mut(CHANNELS).enumerate() {
            sum.fill(0.0);
            for sample in 0..samples * samples {
                let offset = |at: usize| (at as f32 + 0.5) * part;
                let point = Point {
                    x: x as f32 + offset(sample % samples),
                    y: y as f32 + offset(sample / samples),
                };
                let colour = picture.at(place.apply(point));
                sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += colour * part * part);
            }
        }
        write_row(&mut planes, &colours, y, (side, side), normalisation);
    }
    planes
}

/// Which pixels of one direction make each pixel of the input, and how much of each.
struct Taps {
    /// The first source pixel and the place of its weight, for each pixel of the input; one more
    /// at the end.
    starts: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

impl Taps {
    fn new(corner: f32, step: f32, count: usize, length: usize) -> Self {
        let mut taps = Self { starts: Vec::with_capacity(count + 1), weights: Vec::new() };
        let reach = step.max(1.0) / 2.0;
        for index in 0..count {
            let centre = corner + (index as f32 + 0.5) * step;
            taps.add(centre - reach, centre + reach, length);
        }
        taps.starts.push((0, taps.weights.len()));
        taps
    }

    /// The pixels between two places. Half a pixel beyond the edge counts as the edge, so that
    /// enlarging does not darken it; what is farther away has no weight.
    fn add(&mut self, from: f32, to: f32, length: usize) {
        let end = length as f32;
        let begin = self.weights.len();
        let (first, last) = (from.clamp(0.0, end - 1.0) as usize, to.clamp(0.0, end));
        self.starts.push((first, begin));
        if to <= 0.0 || from >= end {
            return;
        }
        let last = (last.ceil() as usize).clamp(first + 1, length);
        for pixel in first..last {
            let left = if pixel == 0 && from > -0.5 { from.min(0.0) } else { pixel as f32 };
            let beyond = pixel + 1 == length && to < end + 0.5;
            let right = if beyond { to.max(end) } else { (pixel + 1) as f32 };
            let part = (to.min(right) - from.max(left)).max(0.0);
            self.weights.push(part / (to - from));
        }
    }

    fn of(&self, index: usize) -> (usize, &[f32]) {
        let (first, begin) = self.starts[index];
        (first, &self.weights[begin..self.starts[index + 1].1])
    }

    /// The colours of one row of the input, from the weighted sums of source rows.
    fn weigh(&self, sums: &[u16], colours: &mut [f32]) {
        for (index, colour) in colours.chunks_exact_mut(CHANNELS).enumerate() {
            let (first, weights) = self.of(index);
            let mut sum = [0.0; CHANNELS];
            let pixels = sums[first * CHANNELS..].chunks_exact(CHANNELS);
            for (pixel, weight) in pixels.zip(weights) {
                for channel in 0..CHANNELS {
                    sum[channel] += f32::from(pixel[channel]) * weight;
                }
            }
            colour.copy_from_slice(&sum.map(|sum| sum / ROW_WEIGHT));
        }
    }
}

/// The weights of rows as whole numbers. What rounding takes from one goes to the next, so the
/// sum stays right, and grey stays grey.
fn whole(weights: &[f32]) -> impl Iterator<Item = u16> {
    let mut sum = 0.0;
    let mut given = 0;
    weights.iter().map(move |weight| {
        sum += weight * ROW_WEIGHT;
        let weight = (sum.round() as u16).saturating_sub(given);
        given += weight;
        weight
    })
}

fn add_row(sums: &mut [u16], row: &[u8], weight: u16) {
    for (sum, byte) in sums.iter_mut().zip(row) {
        *sum = sum.wrapping_add(u16::from(*byte).wrapping_mul(weight));
    }
}

/// Normalises a row of colours into the planes.
fn write_row(
    planes: &mut [f32],
    colours: &[f32],
    y: usize,
    (width, height): (usize, usize),
    normalisation: &Normalisation,
) {
    for (plane, of_plane) in planes.chunks_exact_mut(width * height).enumerate() {
        let channel = match normalisation.colours {
            Colours::Rgb => plane,
            Colours::Bgr => CHANNELS - 1 - plane,
        };
        let mean = normalisation.mean[plane];
        let row = &mut of_plane[y * width..][..width];
        for (value, colour) in row.iter_mut().zip(colours.chunks_exact(CHANNELS)) {
            *value = (colour[channel] - mean) * normalisation.factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Normalisation =
        Normalisation { colours: Colours::Rgb, mean: [0.0; 3], factor: 1.0 };

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

    #[test]
    fn part_shows_what_is_there_and_nothing_beyond() {
        let image = image::RgbImage::from_fn(6, 4, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let picture = Picture::of(&image).expect("it is sound");
        let part = picture.part(4, 2, 2, 2).expect("it is inside");
        assert_eq!(part.row(1), [4, 3, 0, 5, 3, 0]);
        assert!(picture.part(4, 2, 3, 2).is_none());
        assert!(picture.part(6, 0, 0, 1).is_none());
        assert!(picture.part(usize::MAX, 0, 2, 1).is_none());
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
}
