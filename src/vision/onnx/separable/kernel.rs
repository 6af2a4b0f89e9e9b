//! Depthwise separable convolutions, computed a few columns of a row at a time.
//!
//! What the depthwise half gives for a tile goes from the nearest cache straight into the pointwise
//! half, with the sum and the ReLU that follow: a plane is read once and written once, where a general
//! engine goes through it five times.

use pulp::{Arch, Simd, WithSimd};

/// Numbers that lie between two rows: what is beyond the edges of both, which is zero. As many as the
/// widest vectors have, so that rows begin where vectors do.
const MARGIN: usize = 16;
/// Columns that are computed together, at most.
const TILE: usize = 48;
/// Output channels that are computed together: with three vectors of each, sums stay in registers.
const TOGETHER: usize = 4;
/// Numbers of a depthwise kernel.
const TAPS: usize = 9;

/// A depthwise convolution of 3×3, and a pointwise one.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    inputs: usize,
    outputs: usize,
    /// Nine numbers for each input channel.
    kernels: Vec<f32>,
    /// One for each input channel.
    depth_bias: Vec<f32>,
    /// For each [`TOGETHER`] output channels: for each input channel, their numbers.
    weights: Vec<f32>,
    /// One for each output channel, and zeros up to a whole number of [`TOGETHER`].
    bias: Vec<f32>,
    /// What follows.
    pub then: Then,
}

/// What a block does beside its convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Then {
    /// A ReLU between the two.
    pub relu_between: bool,
    /// The input is added to the output.
    pub residual: bool,
    /// A ReLU at the end.
    pub relu: bool,
}

/// Planes, as the blocks lay them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// What blocks compute in. All of it that is no pixel is zero, before and after.
#[derive(Debug, Default)]
pub struct Room {
    from: Vec<f32>,
    to: Vec<f32>,
    tile: Vec<f32>,
}

impl Block {
    /// A block of `[inputs, 3, 3]` kernels and `[outputs, inputs]` weights, row after row; none when
    /// the numbers are not as many, or what is to be added has other channels.
    pub fn new(
        (kernels, depth_bias): (Vec<f32>, Vec<f32>),
        (weights, bias): (&[f32], &[f32]),
        then: Then,
    ) -> Option<Self> {
        let (inputs, outputs) = (depth_bias.len(), bias.len());
        let is_sound = kernels.len() == inputs * TAPS
            && weights.len() == inputs * outputs
            && inputs > 0
            && (!then.residual || inputs == outputs);
        let padded = outputs.next_multiple_of(TOGETHER);
        let number = |group: usize, input: usize, one: usize| {
            let output = group * TOGETHER + one;
            if output < outputs { weights[output * inputs + input] } else { 0.0 }
        };
        let group = |group| {
            let of = move |input| (0..TOGETHER).map(move |one| number(group, input, one));
            (0..inputs).flat_map(of)
        };
        is_sound.then(|| Self {
            inputs,
            outputs,
            kernels,
            depth_bias,
            weights: (0..padded / TOGETHER).flat_map(group).collect(),
            bias: bias.iter().copied().chain(std::iter::repeat(0.0)).take(padded).collect(),
            then,
        })
    }

    /// Channels that it takes.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Channels that it gives.
    pub fn outputs(&self) -> usize {
        self.outputs
    }
}

/// Whether this processor has vectors that make it worth while.
pub fn is_quick() -> bool {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes) > 1
}

impl Room {
    /// For blocks on planes of a size.
    pub fn new(blocks: &[Block], size: Size) -> Self {
        let channels = blocks.iter().flat_map(|block| [block.inputs, block.outputs]).max();
        let numbers = channels.unwrap_or(0) * size.plane();
        let inputs = blocks.iter().map(|block| block.inputs).max().unwrap_or(0);
        Self { from: vec![0.0; numbers], to: vec![0.0; numbers], tile: vec![0.0; inputs * TILE] }
    }

    /// Runs blocks, each on what the one before gave, from and to planes that lie close together.
    pub fn run(&mut self, blocks: &[Block], size: Size, input: &[f32], output: &mut [f32]) {
        for (index, row) in input.chunks_exact(size.width).enumerate() {
            let at = size.at(index / size.height, index % size.height);
            self.from[at..][..size.width].copy_from_slice(row);
        }
        for block in blocks {
            let Self { from, to, tile } = self;
            Arch::new().dispatch(Run { block, size, from, to, tile });
            std::mem::swap(&mut self.from, &mut self.to);
        }
        for (index, row) in output.chunks_exact_mut(size.width).enumerate() {
            let at = size.at(index / size.height, index % size.height);
            row.copy_from_slice(&self.from[at..][..size.width]);
        }
    }
}

impl Size {
    /// Columns with those that only fill the last vector.
    fn columns(self) -> usize {
        self.width.next_multiple_of(MARGIN)
    }

    /// From row to row.
    fn stride(self) -> usize {
        self.columns() + MARGIN
    }

    /// From plane to plane: rows, and one beyond on either side.
    fn plane(self) -> usize {
        (self.height + 2) * self.stride() + MARGIN
    }

    /// Where a row of a plane begins.
    fn at(self, channel: usize, row: usize) -> usize {
        channel * self.plane() + (row + 1) * self.stride() + MARGIN
    }
}

/// One block on all of a plane.
struct Run<'a> {
    block: &'a Block,
    size: Size,
    from: &'a [f32],
    to: &'a mut [f32],
    tile: &'a mut [f32],
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (columns, width) = (self.size.columns(), self.size.width);
        for row in 0..self.size.height {
            for left in (0..columns).step_by(TILE) {
                let length = TILE.min(columns - left);
                self.depthwise(simd, row, left, length);
                self.pointwise(simd, row, left, length);
            }
            for channel in 0..self.block.outputs {
                let at = self.size.at(channel, row);
                self.to[at + width..at + columns].fill(0.0);
            }
        }
    }
}

impl Run<'_> {
    /// The depthwise half, into the tile.
    #[inline(always)]
    fn depthwise<S: Simd>(&mut self, simd: S, row: usize, left: usize, length: usize) {
        let zero = simd.splat_f32s(0.0);
        let stride = self.size.stride();
        let (kernels, _) = self.block.kernels.as_chunks::<TAPS>();
        for (channel, kernel) in kernels.iter().enumerate() {
            let above = self.size.at(channel, row) + left - 1 - stride;
            let kernel = kernel.map(|number| simd.splat_f32s(number));
            let bias = simd.splat_f32s(self.block.depth_bias[channel]);
            let near: [&[f32]; TAPS] = std::array::from_fn(|tap| {
                &self.from[above + tap / 3 * stride + tap % 3..][..length]
            });
            let near = near.map(|near| S::as_simd_f32s(near).0);
            let sums = S::as_mut_simd_f32s(&mut self.tile[channel * TILE..][..length]).0;
            let near = near.map(|near| &near[..sums.len()]);
            for (at, sum) in sums.iter_mut().enumerate() {
                let taps = kernel.iter().zip(&near);
                *sum = taps.fold(bias, |sum, (tap, near)| simd.mul_add_f32s(*tap, near[at], sum));
                if self.block.then.relu_between {
                    *sum = simd.max_f32s(*sum, zero);
                }
            }
        }
    }

    /// The pointwise half, from the tile.
    #[inline(always)]
    fn pointwise<S: Simd>(&mut self, simd: S, row: usize, left: usize, length: usize) {
        for first in (0..self.block.outputs).step_by(TOGETHER) {
            let mut at = 0;
            while at + 3 * S::F32_LANES <= length {
                self.sums::<S, 3>(simd, first, row, left, at);
                at += 3 * S::F32_LANES;
            }
            while at + 2 * S::F32_LANES <= length {
                self.sums::<S, 2>(simd, first, row, left, at);
                at += 2 * S::F32_LANES;
            }
            while at + S::F32_LANES <= length {
                self.sums::<S, 1>(simd, first, row, left, at);
                at += S::F32_LANES;
            }
        }
    }

    /// [`TOGETHER`] channels from the `first` on, in vectors from a place in the tile on.
    #[inline(always)]
    fn sums<S: Simd, const VECTORS: usize>(
        &mut self,
        simd: S,
        first: usize,
        row: usize,
        left: usize,
        at: usize,
    ) {
        let Block { inputs, outputs, ref weights, ref bias, then, .. } = *self.block;
        let numbers = VECTORS * S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; TOGETHER];
        for (sums, bias) in sums.iter_mut().zip(&bias[first..]) {
            *sums = [simd.splat_f32s(*bias); VECTORS];
        }
        let (weights, _) = weights[first * inputs..][..TOGETHER * inputs].as_chunks::<TOGETHER>();
        for (tile, weights) in self.tile.chunks_exact(TILE).zip(weights) {
            let near = &S::as_simd_f32s(&tile[at..][..numbers]).0[..VECTORS];
            for (sums, weight) in sums.iter_mut().zip(weights) {
                let weight = simd.splat_f32s(*weight);
                for (sum, near) in sums.iter_mut().zip(near) {
                    *sum = simd.mul_add_f32s(weight, *near, *sum);
                }
            }
        }
        let zero = simd.splat_f32s(0.0);
        for (channel, sums) in (first..outputs).zip(sums) {
            let place = self.size.at(channel, row) + left + at;
            let before = S::as_simd_f32s(&self.from[place..][..numbers]).0;
            let after = S::as_mut_simd_f32s(&mut self.to[place..][..numbers]).0;
            for ((after, before), sum) in after.iter_mut().zip(before).zip(sums) {
                let sum = if then.residual { simd.add_f32s(sum, *before) } else { sum };
                *after = if then.relu { simd.max_f32s(sum, zero) } else { sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers in ±1 that look like noise.
    fn noise(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| (((at + 1) * (seed * 2 + 7919)) % 509) as f32 / 254.0 - 1.0).collect()
    }

    /// What a block is by its definition, one number at a time.
    fn by_definition(
        (kernels, depth_bias): (&[f32], &[f32]),
        (weights, bias): (&[f32], &[f32]),
        then: Then,
        size: Size,
        input: &[f32],
    ) -> Vec<f32> {
        let Size { height, width } = size;
        let relu = |on: bool, number: f32| if on { number.max(0.0) } else { number };
        let pixel = |channel: usize, y: usize, x: usize| {
            // One beyond on either side counts as 0 and as the length + 1.
            let inside = (1..=height).contains(&y) && (1..=width).contains(&x);
            if inside { input[(channel * height + y - 1) * width + x - 1] } else { 0.0 }
        };
        let deep = |channel: usize, y: usize, x: usize| {
            let taps = (0..9)
                .map(|tap| kernels[channel * 9 + tap] * pixel(channel, y + tap / 3, x + tap % 3));
            relu(then.relu_between, taps.sum::<f32>() + depth_bias[channel])
        };
        let inputs = depth_bias.len();
        let mut output = Vec::new();
        for channel in 0..bias.len() {
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let row = &weights[channel * inputs..][..inputs];
                let terms =
                    row.iter().enumerate().map(|(input, weight)| weight * deep(input, y, x));
                let sum = terms.sum::<f32>() + bias[channel];
                let before = if then.residual { pixel(channel, y + 1, x + 1) } else { 0.0 };
                output.push(relu(then.relu, sum + before));
            }
        }
        output
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn blocks_give_what_their_definition_does(
            (inputs, between, outputs) in (1..7_usize, 1..7_usize, 1..7_usize),
            (height, width) in (1..6_usize, 1..70_usize),
            flags in any::<[bool; 4]>(),
        ) {
            let size = Size { height, width };
            let mut room = None;
            let mut expected = noise(inputs * height * width, 1);
            let input = expected.clone();
            let mut blocks = Vec::new();
            for (seed, (inputs, outputs)) in [(inputs, between), (between, outputs)].into_iter().enumerate() {
                let then = Then {
                    relu_between: flags[0],
                    residual: flags[1] && inputs == outputs,
                    relu: flags[2 + seed],
                };
                let depth = (noise(inputs * 9, seed), noise(inputs, seed + 2));
                let point = (noise(inputs * outputs, seed + 3), noise(outputs, seed + 4));
                let (depth_as, point_as) = ((&depth.0[..], &depth.1[..]), (&point.0[..], &point.1[..]));
                expected = by_definition(depth_as, point_as, then, size, &expected);
                blocks.push(Block::new(depth.clone(), point_as, then).expect("it is sound"));
            }
            // The second time in what the first one left.
            for _ in 0..2 {
                let mut output = vec![f32::NAN; expected.len()];
                room.get_or_insert_with(|| Room::new(&blocks, size)).run(&blocks, size, &input, &mut output);
                for (got, wanted) in output.iter().zip(&expected) {
                    prop_assert!((got - wanted).abs() < 1e-4 * wanted.abs().max(1.0), "{got} {wanted}");
                }
            }
        }
    }

    #[test]
    fn block_of_other_numbers_is_refused() {
        let then = Then { residual: true, ..Then::default() };
        assert_eq!(Block::new((vec![0.0; 9], vec![0.0]), (&[0.0; 2], &[0.0; 2]), then), None);
        assert_eq!(Block::new((vec![0.0; 8], vec![0.0]), (&[0.0], &[0.0]), Then::default()), None);
    }
}
