//! "Where else was this face?" over a million faces that were seen: how long it takes on one core, as
//! a ratio to adding up as many numbers that lie in one piece of memory.

use std::hint::black_box;
use std::io;
use std::time::Instant;

use kinora::people::vectors::{Owner, Vectors};
use kinora::types::PersonId;

use crate::stats::{Latencies, ms};

const FACES: usize = 1_000_000;
const DIMENSIONS: usize = 128;
const SEARCHES: usize = 15;
/// Sightings of each person.
const SIGHTINGS: usize = 20;
/// How far people are apart, and the sightings of one: about 1 and 0.4, as real ones are.
const PERSON_SPREAD: f32 = 0.0625;
const SIGHTING_SPREAD: f32 = 0.025;

/// See the module.
pub fn run() -> io::Result<()> {
    let mut random = Random(7);
    let mut vectors = Vectors::default();
    let mut person = [0.0; DIMENSIONS];
    let mut wanted = Vec::new();
    for id in 0..FACES {
        if id % SIGHTINGS == 0 {
            person = std::array::from_fn(|_| random.normal() * PERSON_SPREAD);
        }
        let look = person.map(|number| number + random.normal() * SIGHTING_SPREAD);
        if id % (FACES / SEARCHES) == 1 {
            wanted.push(look);
        }
        let owner = PersonId::from_u128((id / SIGHTINGS) as u128);
        vectors.put(Owner { id: id as u128, person: owner }, &look);
    }
    let plain = vec![1.0f32; FACES * DIMENSIONS];

    let (mut searches, mut reads) = (Latencies::default(), Latencies::default());
    let mut found = 0;
    for look in wanted.iter().take(SEARCHES) {
        let start = Instant::now();
        found += vectors.nearest(black_box(look), 0.5, 100, |_| true).len();
        searches.0.push(start.elapsed());
        let start = Instant::now();
        black_box(sum(black_box(&plain)));
        reads.0.push(start.elapsed());
    }
    let (search, read) = (ms(searches.p50()), ms(reads.p50()));
    println!("{FACES} faces of {DIMENSIONS} numbers, median of {SEARCHES} searches:");
    println!("search {search:.1} ms (slowest {:.1} ms)", ms(searches.quantile(1.0)));
    println!("read   {read:.1} ms for as many bytes");
    println!("ratio  {:.2}", search / read);
    println!("found  {:.1} sightings each", found as f64 / SEARCHES as f64);
    if search > 100.0 {
        return Err(io::Error::other("a search took longer than 100 ms"));
    }
    Ok(())
}

/// Adds up side by side, as fast as memory gives the numbers.
fn sum(numbers: &[f32]) -> f32 {
    let mut lanes = [0.0; 32];
    for chunk in numbers.as_chunks::<32>().0 {
        for (lane, number) in lanes.iter_mut().zip(chunk) {
            *lane += number;
        }
    }
    lanes.iter().sum()
}

/// The same numbers in every run (splitmix64).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }

    /// Nearly normal: the sum of four, with a spread of 1.
    fn normal(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.uniform()).sum();
        (sum - 2.0) * 3.0f32.sqrt()
    }
}
