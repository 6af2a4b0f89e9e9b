//! Pictures, and what networks are given of them: resized, normalised, plane by plane.
//!
//! A picture lies as whoever decoded it left it: as RGB, or as the brightness and the colours of
//! half the size that video is coded in. Resizing, turning to RGB and normalising are one pass over
//! the bytes: rows are weighted and summed as whole numbers, which compilers turn into vector code,
//! and only what remains is turned to colours and scaled to floats.

mod coding;
mod resample;

#[cfg(test)]
pub(super) mod tests;

use super::faces::{Point, Similarity};

use coding::Colour;
pub use coding::{Coding, Matrix};
use resample::Resampler;

/// The longest edge of a picture. Larger ones are no video frames, and sums over them no `u32`.
pub const MAX_EDGE: u32 = 16_384;
/// Red, green and blue; or brightness and two of colour.
const CHANNELS: usize = 3;
/// A turned face is sampled at most so many times per pixel and direction.
const MAX_SAMPLES: usize = 8;

/// One of a picture's planes, borrowed from whoever decoded it.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// Row after row.
    pub bytes: &'a [u8],
    /// How many bytes apart rows begin.
    pub stride: usize,
}

/// Pixels of 8 bits, borrowed from whoever decoded them.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    width: usize,
    height: usize,
    /// Together they have [`CHANNELS`]; what is left over has none.
    layers: [Layer<'a>; CHANNELS],
    /// How its channels become red, green and blue; none when they are that already.
    coding: Option<Coding>,
}

/// A checked plane.
#[derive(Clone, Copy)]
struct Layer<'a> {
    plane: Plane<'a>,
    width: usize,
    height: usize,
    /// Bytes per pixel; 0 for a layer that is not there.
    channels: usize,
    /// The part of the picture's edges that its own have: 1, or ½ for colours of half the size.
    part: f32,
}

impl<'a> Picture<'a> {
    /// A picture of red, green and blue, whose rows begin `stride` bytes apart; none when an edge is
    /// 0 or longer than [`MAX_EDGE`], or `pixels` is too short for it.
    pub fn new(width: u32, height: u32, stride: usize, pixels: &'a [u8]) -> Option<Self> {
        let (width, height) = edges(width, height)?;
        let plane = Plane { bytes: pixels, stride };
        let rgb = Layer::new(plane, (width, height), CHANNELS, 1.0)?;
        Some(Self { width, height, layers: [rgb, Layer::NONE, Layer::NONE], coding: None })
    }

    /// A picture in memory.
    pub fn of(image: &'a image::RgbImage) -> Option<Self> {
        Self::new(image.width(), image.height(), image.width() as usize * CHANNELS, image.as_raw())
    }

    /// A picture of brightness and two planes of colour (Cb, Cr) that are half as wide and high,
    /// rounded up: "I420", what most decoders give. None as for [`Picture::new`].
    pub fn i420(width: u32, height: u32, planes: [Plane<'a>; 3], coding: Coding) -> Option<Self> {
        let (width, height) = edges(width, height)?;
        let half = (width.div_ceil(2), height.div_ceil(2));
        let [luma, blue, red] = planes;
        let layers = [
            Layer::new(luma, (width, height), 1, 1.0)?,
            Layer::new(blue, half, 1, 0.5)?,
            Layer::new(red, half, 1, 0.5)?,
        ];
        Some(Self { width, height, layers, coding: Some(coding) })
    }

    /// The same with both colours in one plane, Cb and Cr in turns: "NV12", what hardware gives.
    pub fn nv12(width: u32, height: u32, planes: [Plane<'a>; 2], coding: Coding) -> Option<Self> {
        let (width, height) = edges(width, height)?;
        let half = (width.div_ceil(2), height.div_ceil(2));
        let [luma, colours] = planes;
        let luma = Layer::new(luma, (width, height), 1, 1.0)?;
        let layers = [luma, Layer::new(colours, half, 2, 0.5)?, Layer::NONE];
        Some(Self { width, height, layers, coding: Some(coding) })
    }

    /// A part of it, as a picture of its own; none when it reaches beyond the edges, or begins at an
    /// odd pixel where colours are of half the size.
    pub fn part(&self, left: usize, top: usize, width: usize, height: usize) -> Option<Self> {
        let inside =
            left.checked_add(width)? <= self.width && top.checked_add(height)? <= self.height;
        if !inside || width == 0 || height == 0 {
            return None;
        }
        let [first, second, third] = &self.layers;
        let part = |layer: &Layer<'a>| layer.part(left, top, width, height);
        let layers = [part(first)?, part(second)?, part(third)?];
        Some(Self { width, height, layers, coding: self.coding })
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.height
    }

    /// What a window shows, as red, green and blue bytes: a face to keep or to look at.
    pub fn cut(&self, window: &Window, (width, height): (u32, u32)) -> image::RgbImage {
        let size = (width as usize, height as usize);
        let mut image = image::RgbImage::new(width, height);
        let mut rows = image.chunks_exact_mut((size.0 * CHANNELS).max(1));
        each_row(self, window, size, |_, channels| {
            let Some(row) = rows.next() else { return };
            for (x, pixel) in row.chunks_exact_mut(CHANNELS).enumerate() {
                let colour = pixel.iter_mut().zip(channels);
                colour.for_each(|(byte, of_channel)| *byte = of_channel[x].round() as u8);
            }
        });
        image
    }

    fn layers(&self) -> impl Iterator<Item = &Layer<'a>> {
        self.layers.iter().filter(|layer| layer.channels > 0)
    }

    /// The channels at a place, from the four pixels around it; beyond the edge it goes on as
    /// there.
    fn at(&self, place: Point) -> Colour {
        let mut colour = [0.0; CHANNELS];
        let mut rest = &mut colour[..];
        for layer in self.layers() {
            let (own, others) = rest.split_at_mut(layer.channels);
            layer.at(place, own);
            rest = others;
        }
        colour
    }

    /// Red, green and blue of channels.
    fn rgb(&self, channels: Colour) -> Colour {
        self.coding.map_or(channels, |coding| coding.transform().rgb(channels))
    }
}

fn edges(width: u32, height: u32) -> Option<(usize, usize)> {
    let edges = 1..=MAX_EDGE;
    let sound = edges.contains(&width) && edges.contains(&height);
    sound.then_some((width as usize, height as usize))
}

impl<'a> Layer<'a> {
    const NONE: Self = Self {
        plane: Plane { bytes: &[], stride: 0 },
        width: 0,
        height: 0,
        channels: 0,
        part: 1.0,
    };

    fn new(plane: Plane<'a>, size: (usize, usize), channels: usize, part: f32) -> Option<Self> {
        let (width, height) = size;
        let row = width * channels;
        let length = plane.stride.checked_mul(height - 1)?.checked_add(row)?;
        let sound = plane.stride >= row && plane.bytes.len() >= length;
        sound.then_some(Self { plane, width, height, channels, part })
    }

    fn part(&self, left: usize, top: usize, width: usize, height: usize) -> Option<Self> {
        if self.channels == 0 {
            return Some(*self);
        }
        let step = if self.part < 1.0 { 2 } else { 1 };
        if !left.is_multiple_of(step) || !top.is_multiple_of(step) {
            return None;
        }
        let skipped = top / step * self.plane.stride + left / step * self.channels;
        let plane = Plane { bytes: self.plane.bytes.get(skipped..)?, ..self.plane };
        let size = (width.div_ceil(step), height.div_ceil(step));
        Self::new(plane, size, self.channels, self.part)
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.plane.bytes[y * self.plane.stride..][..self.width * self.channels]
    }

    fn at(&self, place: Point, channels: &mut [f32]) {
        let inside =
            |at: f32, length: usize| (at * self.part - 0.5).clamp(0.0, (length - 1) as f32);
        let (x, y) = (inside(place.x, self.width), inside(place.y, self.height));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let (dx, dy) = (x - left as f32, y - top as f32);
        let (upper, lower) = (self.row(top), self.row(bottom));
        for (channel, value) in channels.iter_mut().enumerate() {
            let of = |row: &[u8], x: usize| f32::from(row[x * self.channels + channel]);
            let upper = of(upper, left) * (1.0 - dx) + of(upper, right) * dx;
            let lower = of(lower, left) * (1.0 - dx) + of(lower, right) * dx;
            *value = upper * (1.0 - dy) + lower * dy;
        }
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
    size: (usize, usize),
    normalisation: &Normalisation,
) -> Vec<f32> {
    let mut planes = vec![0.0; CHANNELS * size.0 * size.1];
    each_row(picture, window, size, |y, channels| {
        write_row(&mut planes, channels, y, size, normalisation);
    });
    planes
}

/// Hands each row of what the window shows to `with`, as red, green and blue.
fn each_row(
    picture: &Picture<'_>,
    window: &Window,
    size: (usize, usize),
    mut with: impl FnMut(usize, [&[f32]; CHANNELS]),
) {
    let (width, height) = size;
    let zero = picture.coding.map_or([0.0; CHANNELS], Coding::zero);
    let mut zeros = &zero[..];
    let mut resamplers = Vec::with_capacity(CHANNELS);
    for layer in picture.layers() {
        let (own, others) = zeros.split_at(layer.channels);
        resamplers.push(Resampler::new(layer, window, size, own));
        zeros = others;
    }
    let transform = picture.coding.map(Coding::transform);
    let mut channels = vec![0.0; CHANNELS * width];
    for y in 0..height {
        let mut rest = &mut channels[..];
        for resampler in &mut resamplers {
            let (own, others) = rest.split_at_mut(resampler.channels() * width);
            resampler.row(y, own);
            rest = others;
        }
        let (red, rest) = channels.split_at_mut(width);
        let (green, blue) = rest.split_at_mut(width);
        if let Some(transform) = &transform {
            transform.row(red, green, blue);
        }
        with(y, [red, green, blue]);
    }
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
    let mut row = vec![0.0; CHANNELS * side];
    for y in 0..side {
        for x in 0..side {
            let mut sum = [0.0; CHANNELS];
            for sample in 0..samples * samples {
                let offset = |at: usize| (at as f32 + 0.5) * part;
                let point = Point {
                    x: x as f32 + offset(sample % samples),
                    y: y as f32 + offset(sample / samples),
                };
                let colour = picture.at(place.apply(point));
                sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += colour * part * part);
            }
            let colour = picture.rgb(sum);
            (0..CHANNELS).for_each(|channel| row[channel * side + x] = colour[channel]);
        }
        let channels = std::array::from_fn(|channel| &row[channel * side..][..side]);
        write_row(&mut planes, channels, y, (side, side), normalisation);
    }
    planes
}

/// Normalises a row of red, green and blue into the planes.
fn write_row(
    planes: &mut [f32],
    channels: [&[f32]; CHANNELS],
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
        for (value, colour) in row.iter_mut().zip(channels[channel]) {
            *value = (colour - mean) * normalisation.factor;
        }
    }
}
