//! What faces look like, in memory: rows of numbers back to back, compared with one look after the
//! other. Searching reads all of it; that is as fast as memory gives it.

use std::collections::{BinaryHeap, HashMap};

use crate::types::PersonId;

/// Rows that are allocated together, so that a collection that grows is not copied.
const BLOCK_ROWS: usize = 4096;
/// Numbers that are added up side by side.
const LANES: usize = 16;
/// After so many numbers of a row it is looked whether it is too far away already, as most are.
const STRIDE: usize = 2 * LANES;

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
    blocks: Vec<Box<[f32]>>,
}

impl Vectors {
    /// Rows that there are.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Numbers of each row, when there is one.
    pub fn dimensions(&self) -> Option<usize> {
        (self.len() > 0).then_some(self.dimensions)
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
                self.blocks.push(vec![0.0; BLOCK_ROWS * self.dimensions].into());
            }
        }
        self.owners[row] = owner;
        self.row_mut(row).copy_from_slice(look);
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
            self.row_mut(row as usize).copy_from_slice(&moved);
            self.rows.insert(self.owners[last].id, row);
        }
        // No trace of a face stays behind.
        self.row_mut(last).fill(0.0);
        self.owners.swap_remove(row as usize);
        self.blocks.truncate(self.owners.len().div_ceil(BLOCK_ROWS));
    }

    /// Calls `found` for each row within a distance, in any order.
    pub fn within(&self, look: &[f32], distance: f32, mut found: impl FnMut(Near)) {
        if look.len() != self.dimensions {
            return;
        }
        let most = distance * distance;
        for (block, owners) in self.blocks.iter().zip(self.owners.chunks(BLOCK_ROWS)) {
            for (row, owner) in block.chunks_exact(self.dimensions).zip(owners) {
                if let Some(square) = squared_distance(look, row, most) {
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
        let from = row % BLOCK_ROWS * self.dimensions;
        &self.blocks[row / BLOCK_ROWS][from..from + self.dimensions]
    }

    fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let from = row % BLOCK_ROWS * self.dimensions;
        &mut self.blocks[row / BLOCK_ROWS][from..from + self.dimensions]
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
            let counts = |id: u128| id % 3 != 0;
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
