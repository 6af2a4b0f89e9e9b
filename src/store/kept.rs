//! Which of a stream's fragments have not expired, as a set of counters.

use std::ops::Range;

use super::log::entry::u64_at;

/// Bytes of one range in the body of a trim.
const RANGE_BYTES: usize = 16;

/// All counters from one on, and some ranges below it: fragments expire from the oldest on, but for
/// those that a pin holds, and those that were still being received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The first of all that are kept.
    pub from: u64,
    /// What is kept below it: in order, none of them empty, none touching another.
    pub below: Vec<Range<u64>>,
}

impl Kept {
    /// Whether a fragment with this counter is kept.
    pub fn contains(&self, counter: u64) -> bool {
        let at = self.below.partition_point(|range| range.end <= counter);
        counter >= self.from || self.below.get(at).is_some_and(|range| range.contains(&counter))
    }

    /// The first counter that may be kept.
    pub fn first(&self) -> u64 {
        self.below.first().map_or(self.from, |range| range.start)
    }

    /// The ranges that are kept of `counters`, in order.
    pub fn within(&self, counters: Range<u64>) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        let start = self.below.partition_point(|range| range.end <= counters.start);
        let end = self.below.partition_point(|range| range.start < counters.end);
        let below = self.below.get(start..end).unwrap_or_default().iter().cloned();
        let all = below.chain(std::iter::once(self.from..u64::MAX));
        let clipped = all.map(move |r| r.start.max(counters.start)..r.end.min(counters.end));
        clipped.filter(|range| !range.is_empty())
    }

    /// What both keep.
    pub fn and(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.ranges().peekable(), other.ranges().peekable());
        let mut both = Self { from: self.from.max(other.from), below: Vec::new() };
        while let (Some(a), Some(b)) = (left.peek().cloned(), right.peek().cloned()) {
            both.keep(a.start.max(b.start)..a.end.min(b.end));
            // The one that ends first meets nothing more.
            if a.end <= b.end {
                left.next()
            } else {
                right.next()
            };
        }
        both
    }

    /// Keeps a range too, as far as it lies below [`Kept::from`] and behind those that are there.
    pub fn keep(&mut self, range: Range<u64>) {
        let range = range.start..range.end.min(self.from);
        match self.below.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => self.below.push(range),
        }
    }

    /// The counters that are not kept: what lies between the ranges.
    pub fn gaps(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let ends = std::iter::once(0).chain(self.below.iter().map(|range| range.end));
        let starts = self.below.iter().map(|range| range.start).chain([self.from]);
        ends.zip(starts).map(|(end, start)| end..start).filter(|gap| !gap.is_empty())
    }

    /// The ranges below [`Kept::from`] as the body of a trim.
    pub fn encode(&self) -> Vec<u8> {
        let words = self.below.iter().flat_map(|range| [range.start, range.end]);
        words.flat_map(u64::to_le_bytes).collect()
    }

    /// Reads the body of a trim.
    pub fn decode(from: u64, body: &[u8]) -> Self {
        let mut kept = Self { from, below: Vec::new() };
        for bytes in body.chunks_exact(RANGE_BYTES) {
            kept.keep(u64_at(bytes, 0)..u64_at(bytes, 8));
        }
        kept
    }

    fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.below.iter().cloned().chain(std::iter::once(self.from..u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOME: u64 = 60;

    fn any_kept() -> impl Strategy<Value = Kept> {
        (0..SOME, proptest::collection::vec((1..9u64, 1..9u64), 0..8)).prop_map(|(from, steps)| {
            let mut kept = Kept { from, below: Vec::new() };
            let mut at = 0;
            for (gap, len) in steps {
                kept.keep(at + gap..at + gap + len);
                at += gap + len;
            }
            kept
        })
    }

    proptest! {
        #[test]
        fn both_keep_what_each_keeps(
            a in any_kept(), b in any_kept(), part in (0..SOME, 0..SOME),
        ) {
            let both = a.and(&b);
            for counter in 0..2 * SOME {
                let wanted = a.contains(counter) && b.contains(counter);
                prop_assert_eq!(both.contains(counter), wanted, "{}", counter);
                let gone = both.gaps().any(|gap| gap.contains(&counter));
                prop_assert_eq!(gone, !wanted);
                prop_assert_eq!(both.within(counter..counter + 1).count(), usize::from(wanted));
            }
            let ranges = both.within(part.0..part.0 + part.1).collect::<Vec<_>>();
            let mut backward = both.within(part.0..part.0 + part.1).rev().collect::<Vec<_>>();
            backward.reverse();
            prop_assert_eq!(&ranges, &backward);
            let counters = ranges.into_iter().flatten().collect::<Vec<_>>();
            let wanted = (part.0..part.0 + part.1).filter(|&counter| both.contains(counter));
            prop_assert_eq!(counters, wanted.collect::<Vec<_>>());
            let first = (0..3 * SOME).find(|&counter| both.contains(counter));
            prop_assert_eq!(Some(both.first()), first);
            prop_assert_eq!(Kept::decode(both.from, &both.encode()), both);
        }

        #[test]
        fn any_body_is_read_in_order(from in any::<u64>(), body in any::<Vec<u8>>()) {
            let kept = Kept::decode(from, &body);
            let mut ends = kept.below.iter().flat_map(|range| [range.start, range.end]);
            prop_assert!(ends.clone().all(|end| end <= from) && ends.clone().is_sorted());
            prop_assert!(ends.next().is_none_or(|start| kept.contains(start)));
        }
    }
}
