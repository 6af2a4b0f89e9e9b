//! What faces look like, in memory: rows of numbers back to back, compared with one look after the
//! other, which is as fast as memory gives them.
//!
//! So that it has to give less, each row is there once more in a quarter of the space, with its numbers
//! rounded to a byte each. A search reads these, and of the rows themselves only those which, for all
//! that rounding can hide, may be near enough: it finds exactly what comparing all rows would.

use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use crate::types::PersonId;

/// Rows that are allocated together, so that a collection that grows is not copied.
const BLOCK_ROWS: usize = 4096;
/// Numbers that are added up side by side.
const LANES: usize = 16;
/// After so many numbers of a row it is looked whether it is too far away already, as most are.
const STRIDE: usize = 2 * LANES;
/// The byte that 0 is rounded to.
const MIDDLE: f32 = 128.0;

/// Whose a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The face or the sighting.
    pub id: u128,
    /// The person.
    pub person: PersonId,
}

/// A row that was found.
#[derive(Clone, Copy, Debug)]
pub struct Near {
    /// How far it is away.
    pub distance: f32,
    /// Whose it is.
    pub owner: Owner,
}

/// Looks of one length, each with its owner. The order of rows means nothing.
#[derive(Debug, Default)]
pub struct Vectors {
    /// Numbers of a row; that of the first one, until all are gone.
    dimensions: usize,
    owners: Vec<Owner>,
    rows: HashMap<u128, u32>,
    blocks: Vec<Block>,
    rounding: Rounding,
}

/// Some rows: as they are, and rounded.
#[derive(Debug)]
struct Block {
    rows: Box<[f32]>,
    codes: Box<[u8]>,
}

/// How numbers become bytes.
#[derive(Debug)]
struct Rounding {
    /// What a number is multiplied by.
    scale: f32,
    /// The most that rounding moved a row.
    worst: f32,
}

impl Default for Rounding {
    fn default() -> Self {
        Self { scale: 1.0, worst: 0.0 }
    }
}

impl Rounding {
    /// One for looks like this: numbers up to twice its largest are not cut off.
    fn like(look: &[f32]) -> Self {
        let largest = look.iter().fold(0.0f32, |largest, number| largest.max(number.abs()));
        let scale = f32::from(i8::MAX) / (2.0 * largest);
        Self { scale: if scale.is_normal() { scale } else { 1.0 }, worst: 0.0 }
    }

    /// The bytes of a look, and how far away they are from it.
    fn round(&self, look: &[f32]) -> (Box<[u8]>, f32) {
        let most = f32::from(i8::MAX);
        let byte = |number: &f32| ((number * self.scale).round().clamp(-most, most) + MIDDLE) as u8;
        let codes: Box<[u8]> = look.iter().map(byte).collect();
        let exact = codes.iter().map(|code| (f32::from(*code) - MIDDLE) / self.scale);
        let squares = exact.zip(look).map(|(code, number)| (code - number) * (code - number));
        let moved = squares.sum::<f32>().sqrt();
        (codes, moved)
    }

    /// The square of the distance in bytes beyond which no row is within a distance of a look that
    /// rounding moved so far.
    fn most(&self, distance: f32, moved: f32) -> i32 {
        /// For what adding floats loses.
        const SLACK: f32 = 1.001;
        let most = (distance + moved + self.worst) * self.scale * SLACK;
        // Larger ones are cut off at the largest that there is.
        (most * most).ceil() as i32
    }
}

impl Vectors {
    /// Rows that there are.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Numbers of each row, when there is one.
    pub fn dimensions(&self) -> Option<usize> {
        (!self.is_empty()).then_some(self.dimensions)
    }

    /// Whose the row of an id is.
    pub fn owner(&self, id: u128) -> Option<Owner> {
        self.rows.get(&id).map(|&row| self.owners[row as usize])
    }

    /// The row of an id.
    pub fn look(&self, id: u128) -> Option<&[f32]> {
        self.rows.get(&id).map(|&row| self.row(row as usize))
    }

    /// Puts a row in, or in the place of the one with its id. One of another length than the rest
    /// is left out; callers refuse it before.
    pub fn put(&mut self, owner: Owner, look: &[f32]) {
        if self.owners.is_empty() {
            self.dimensions = look.len();
            self.blocks.clear();
            self.rounding = Rounding::like(look);
        }
        if look.len() != self.dimensions || look.is_empty() {
            return;
        }
        let row = match self.rows.get(&owner.id) {
            Some(&row) => row as usize,
            None => self.owners.len(),
        };
        let Ok(index) = u32::try_from(row) else { return };
        if row == self.owners.len() {
            self.owners.push(owner);
            self.rows.insert(owner.id, index);
            if row == self.blocks.len() * BLOCK_ROWS {
                let numbers = BLOCK_ROWS * self.dimensions;
                let block =
                    Block { rows: vec![0.0; numbers].into(), codes: vec![0; numbers].into() };
                self.blocks.push(block);
            }
        }
        let (codes, moved) = self.rounding.round(look);
        // Not a number when it is too large for one: then nothing is left out by it.
        self.rounding.worst =
            if moved.is_nan() { f32::INFINITY } else { moved.max(self.rounding.worst) };
        self.owners[row] = owner;
        self.write(row, look, &codes);
    }

    /// Gives a row to another person.
    pub fn give(&mut self, id: u128, person: PersonId) {
        if let Some(&row) = self.rows.get(&id) {
            self.owners[row as usize].person = person;
        }
    }

    /// Takes a row out; the last one comes into its place.
    pub fn remove(&mut self, id: u128) {
        let Some(row) = self.rows.remove(&id) else { return };
        let last = self.owners.len() - 1;
        if row as usize != last {
            let moved = self.row(last).to_vec();
            let codes = self.blocks[last / BLOCK_ROWS].codes[self.range(last)].to_vec();
            self.write(row as usize, &moved, &codes);
            self.rows.insert(self.owners[last].id, row);
        }
        // No trace of a face stays behind.
        self.write(last, &vec![0.0; self.dimensions], &vec![0; self.dimensions]);
        self.owners.swap_remove(row as usize);
        self.blocks.truncate(self.owners.len().div_ceil(BLOCK_ROWS));
    }

    /// Calls `found` for each row within a distance, in any order.
    pub fn within(&self, look: &[f32], distance: f32, mut found: impl FnMut(Near)) {
        if look.len() != self.dimensions {
            return;
        }
        let (wanted, moved) = self.rounding.round(look);
        let (most, most_rounded) = (distance * distance, self.rounding.most(distance, moved));
        for (block, owners) in self.blocks.iter().zip(self.owners.chunks(BLOCK_ROWS)) {
            let codes = block.codes.chunks_exact(self.dimensions);
            for (at, (codes, owner)) in codes.zip(owners).enumerate() {
                if rounded_distance(&wanted, codes) > most_rounded {
                    continue;
                }
                if let Some(square) = squared_distance(look, &block.rows[self.range(at)], most) {
                    found(Near { distance: square.sqrt(), owner: *owner });
                }
            }
        }
    }

    /// The `limit` nearest rows within a distance that `counts`, nearest first.
    pub fn nearest(
        &self,
        look: &[f32],
        distance: f32,
        limit: usize,
        counts: impl Fn(&Owner) -> bool,
    ) -> Vec<Near> {
        // The farthest of those that are kept is on top.
        let mut nearest = BinaryHeap::new();
        self.within(look, distance, |near| {
            if !counts(&near.owner) {
                return;
            }
            nearest.push(Ranked(near));
            if nearest.len() > limit {
                nearest.pop();
            }
        });
        nearest.into_sorted_vec().into_iter().map(|Ranked(near)| near).collect()
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.blocks[row / BLOCK_ROWS].rows[self.range(row)]
    }

    fn write(&mut self, row: usize, look: &[f32], codes: &[u8]) {
        let range = self.range(row);
        let block = &mut self.blocks[row / BLOCK_ROWS];
        block.rows[range.clone()].copy_from_slice(look);
        block.codes[range].copy_from_slice(codes);
    }

    /// Where in its block a row is.
    fn range(&self, row: usize) -> Range<usize> {
        let from = row % BLOCK_ROWS * self.dimensions;
        from..from + self.dimensions
    }
}

/// The distance between two looks of one length.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    squared_distance(a, b, f32::INFINITY).unwrap_or(f32::INFINITY).sqrt()
}

/// The square of the distance; none when it is more than `most`.
fn squared_distance(a: &[f32], b: &[f32], most: f32) -> Option<f32> {
    let (a_strides, a_rest) = a.as_chunks::<STRIDE>();
    let (b_strides, b_rest) = b.as_chunks::<STRIDE>();
    let mut sum = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    for (a, b) in a_strides.iter().zip(b_strides) {
        let mut lanes = [0.0; LANES];
        for lane in 0..LANES {
            let (near, far) = (a[lane] - b[lane], a[lane + LANES] - b[lane + LANES]);
            lanes[lane] = near * near + far * far;
        }
        sum += lanes.iter().sum::<f32>();
        if sum > most {
            return None;
        }
    }
    (sum <= most).then_some(sum)
}

/// The square of the distance between two rounded looks of one length. No overflow: a look has up
/// to 4096 numbers.
fn rounded_distance(a: &[u8], b: &[u8]) -> i32 {
    let square = |(a, b): (&u8, &u8)| {
        let apart = i32::from(a.abs_diff(*b));
        apart * apart
    };
    let (a_strides, a_rest) = a.as_chunks::<STRIDE>();
    let (b_strides, b_rest) = b.as_chunks::<STRIDE>();
    let strides = a_strides.iter().zip(b_strides);
    let sum: i32 = strides.map(|(a, b)| a.iter().zip(b).map(square).sum::<i32>()).sum();
    sum + a_rest.iter().zip(b_rest).map(square).sum::<i32>()
}

/// Ordered by distance, then by id, so that equal ones come in the same order every time.
struct Ranked(Near);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let distances = self.0.distance.total_cmp(&other.0.distance);
        distances.then(self.0.owner.id.cmp(&other.0.owner.id))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(id: u128) -> Owner {
        Owner { id, person: PersonId::from_u128(id / 2) }
    }

    fn plain_distance(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
    }

    #[test]
    fn row_of_another_length_is_never_near() {
        let mut vectors = Vectors::default();
        vectors.put(owner(1), &[0.0; 128]);
        vectors.put(owner(2), &[0.0; 64]);
        assert_eq!(vectors.len(), 1);
        assert!(vectors.nearest(&[0.0; 64], 9.0, 9, |_| true).is_empty());
        vectors.remove(1);
        assert_eq!(vectors.dimensions(), None);
        vectors.put(owner(2), &[0.0; 64]);
        assert_eq!(vectors.nearest(&[0.0; 64], 0.0, 9, |_| true).len(), 1);
    }

    #[test]
    fn rows_beyond_a_block_are_found_and_removed() {
        let mut vectors = Vectors::default();
        for id in 0..BLOCK_ROWS as u128 + 2 {
            vectors.put(owner(id), &[id as f32; 3]);
        }
        let last = BLOCK_ROWS as u128 + 1;
        vectors.remove(0);
        assert_eq!(vectors.look(last), Some(&[last as f32; 3][..]), "it moved to the front");
        vectors.remove(last - 1);
        assert_eq!((vectors.len(), vectors.blocks.len()), (BLOCK_ROWS, 1));
    }

    proptest! {
        /// Against a plain map, for rows whose length is no multiple of anything.
        #[test]
        fn nearest_are_those_that_comparing_all_gives(
            steps in proptest::collection::vec((0u128..20, any::<bool>(), 0.0f32..1.0), 1..80),
            at in 0.0f32..1.0, distance in 0.0f32..3.0, limit in 0usize..6,
        ) {
            const DIMENSIONS: usize = 37;
            let look_at = |at: f32| (0..DIMENSIONS).map(|i| (at * i as f32).sin()).collect::<Vec<_>>();
            let (mut vectors, mut model) = (Vectors::default(), HashMap::new());
            for (id, put, at) in steps {
                if put {
                    vectors.put(owner(id), &look_at(at));
                    model.insert(id, look_at(at));
                } else {
                    vectors.remove(id);
                    model.remove(&id);
                }
            }
            let look = look_at(at);
            let counts = |id: u128| !id.is_multiple_of(3);
            let near = vectors.nearest(&look, distance, limit, |owner| counts(owner.id));
            let mut expected: Vec<_> = model.iter()
                .map(|(id, row)| (plain_distance(&look, row), *id))
                .filter(|(away, id)| *away <= distance - 1e-4 && counts(*id))
                .collect();
            expected.sort_by(|a, b| a.0.total_cmp(&b.0));
            expected.truncate(limit);
            prop_assert_eq!(vectors.len(), model.len());
            prop_assert!(near.len() >= expected.len() && near.len() <= limit);
            prop_assert!(near.is_sorted_by(|a, b| a.distance <= b.distance));
            for (near, (away, _)) in near.iter().zip(&expected) {
                prop_assert!((near.distance - away).abs() < 1e-3);
                let row = &model[&near.owner.id];
                prop_assert!((near.distance - plain_distance(&look, row)).abs() < 1e-3);
            }
        }
    }
}
