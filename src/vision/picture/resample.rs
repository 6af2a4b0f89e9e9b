//! Weighted sums of pixels: first of whole rows, then of neighbours in the one row that remains.

use super::{Layer, Window};

/// The weights of the rows that make one row sum up to this, so that sums of bytes fit in `u16`.
const ROW_WEIGHT: f32 = 256.0;

/// Makes rows of an input of one layer of a picture.
pub(super) struct Resampler<'a> {
    layer: Layer<'a>,
    columns: Taps,
    rows: Taps,
    /// The bytes of each row that the window shows.
    span: std::ops::Range<usize>,
    /// What black is, for each channel.
    zero: Vec<f32>,
    sums: Vec<u16>,
    line: Vec<f32>,
}

impl<'a> Resampler<'a> {
    pub(super) fn new(
        layer: &Layer<'a>,
        window: &Window,
        (width, height): (usize, usize),
        zero: &[f32],
    ) -> Self {
        let taps = |corner: f32, step: f32, count: usize, length: usize| {
            Taps::new(corner * layer.part, step * layer.part, count, length)
        };
        let mut columns = taps(window.corner.x, window.step.x, width, layer.width);
        let rows = taps(window.corner.y, window.step.y, height, layer.height);
        let span = columns.begin_at_first();
        let span = span.start * layer.channels..span.end * layer.channels;
        let (sums, line) = (vec![0; span.len()], vec![0.0; span.len()]);
        Self { layer: *layer, columns, rows, span, zero: zero.to_vec(), sums, line }
    }

    pub(super) fn channels(&self) -> usize {
        self.layer.channels
    }

    /// Fills `into` with a row of the input, channel after channel, from each of which black was
    /// taken.
    pub(super) fn row(&mut self, y: usize, into: &mut [f32]) {
        let (first, weights) = self.rows.of(y);
        self.sums.fill(0);
        let mut weight = 0;
        for (source, part) in (first..).zip(whole(weights)) {
            add_row(&mut self.sums, &self.layer.row(source)[self.span.clone()], part);
            weight += part;
        }
        let to_line = self.line.iter_mut().zip(&self.sums);
        to_line.for_each(|(value, sum)| *value = f32::from(*sum) / ROW_WEIGHT);
        let weight = f32::from(weight) / ROW_WEIGHT;
        let width = into.len() / self.layer.channels;
        for (channel, into) in into.chunks_exact_mut(width).enumerate() {
            let black = self.zero[channel] * weight;
            self.columns.weigh(&self.line, self.layer.channels, channel, black, into);
        }
    }
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

    /// The pixels that have any weight; from now on the first of them counts as 0.
    fn begin_at_first(&mut self) -> std::ops::Range<usize> {
        let used = self.starts.windows(2).filter(|pair| pair[0].1 < pair[1].1);
        let used = used.map(|pair| (pair[0].0, pair[0].0 + pair[1].1 - pair[0].1));
        let (first, end) =
            used.fold((usize::MAX, 0), |(first, end), (from, to)| (first.min(from), end.max(to)));
        let first = first.min(end);
        // What has no weight may begin anywhere.
        let inside = |start: usize| start.saturating_sub(first).min(end - first);
        self.starts.iter_mut().for_each(|start| start.0 = inside(start.0));
        first..end
    }

    fn of(&self, index: usize) -> (usize, &[f32]) {
        let (first, begin) = self.starts[index];
        (first, &self.weights[begin..self.starts[index + 1].1])
    }

    /// One channel of a row of the input, from the weighted sums of source rows. From each pixel
    /// as much of `black` is taken as it has weight.
    fn weigh(&self, line: &[f32], channels: usize, channel: usize, black: f32, into: &mut [f32]) {
        for (index, value) in into.iter_mut().enumerate() {
            let (first, weights) = self.of(index);
            let mut sum = 0.0;
            for (pixel, weight) in line[first * channels..].chunks_exact(channels).zip(weights) {
                sum += (pixel[channel] - black) * weight;
            }
            *value = sum;
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
