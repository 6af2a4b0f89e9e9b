//! Which parts of which fragments make a recording. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::ListedFragment;
use crate::types::{Millis, ProducerTimestamp};

/// Neighbours that overlap by no more than this, as playlists have it, are taken to touch: the length
/// of a fragment is rounded, and its last frame's is a guess.
pub const CONTIGUOUS: Millis = Millis(50);

/// A fragment, or the part of it that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The fragment.
    pub fragment: ListedFragment,
    /// The part begins with the first key frame here, if not with the fragment.
    pub from: Option<ProducerTimestamp>,
    /// The part ends here, if not with the fragment.
    pub until: Option<ProducerTimestamp>,
}

impl Piece {
    /// When it begins at the earliest.
    pub fn begin(&self) -> ProducerTimestamp {
        self.from.unwrap_or(self.fragment.producer)
    }

    /// When it ends.
    pub fn end(&self) -> ProducerTimestamp {
        self.until.unwrap_or(self.fragment.producer.plus(self.fragment.duration))
    }
}

/// The pieces in the order of their times: where fragments overlap, the one with the larger number
/// counts (Kinesis Video Streams does the same in playback).
pub fn plan(mut fragments: Vec<ListedFragment>) -> Vec<Piece> {
    fragments.sort_by_key(|fragment| std::cmp::Reverse(fragment.number));
    fragments.dedup_by_key(|fragment| fragment.number);
    let mut taken = Taken::default();
    // Where stretches end that are nobody's piece.
    let mut left_out = BTreeSet::new();
    let mut pieces: Vec<Piece> = Vec::with_capacity(fragments.len());
    for fragment in fragments {
        let begin = fragment.producer.as_millis();
        let end = fragment.producer.plus(fragment.duration).as_millis();
        let certain = end.saturating_sub_unsigned(CONTIGUOUS.0).max(begin.saturating_add(1));
        for (from, until) in taken.take(begin, certain) {
            // Nothing but the rounding of the end of the fragment that covers what stands before,
            // unless that one is left out itself.
            let rounding = from > begin && until.abs_diff(from) <= CONTIGUOUS.0;
            if rounding && !left_out.contains(&from) {
                left_out.insert(until);
                continue;
            }
            let millis = ProducerTimestamp::from_millis;
            pieces.push(Piece {
                fragment,
                from: (from > begin).then(|| millis(from)),
                until: (until < certain).then(|| millis(until)),
            });
        }
    }
    pieces.sort_by_key(|piece| (piece.begin(), piece.fragment.number));
    pieces
}

/// Stretches of time that are spoken for: begin → end, apart from one another.
#[derive(Default)]
struct Taken(BTreeMap<i64, i64>);

impl Taken {
    /// Takes what is free of a stretch; the free parts.
    fn take(&mut self, begin: i64, end: i64) -> Vec<(i64, i64)> {
        let before = self.0.range(..begin).next_back().map(|(_, &end)| end);
        let mut at = before.map_or(begin, |before| before.max(begin));
        let mut free = Vec::new();
        for (&next, &next_end) in self.0.range(begin..end) {
            if at < next {
                free.push((at, next));
            }
            at = at.max(next_end);
        }
        if at < end {
            free.push((at, end));
        }
        self.0.extend(free.iter().copied());
        free
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{FragmentNumber, ServerTimestamp};

    fn fragment(counter: u64, begin: i64, length: u64) -> ListedFragment {
        ListedFragment {
            number: FragmentNumber::new(counter, ServerTimestamp::from_millis(1), 0),
            producer: ProducerTimestamp::from_millis(begin),
            duration: Millis(length),
        }
    }

    /// Counter, begin and end of each piece.
    fn outline(pieces: &[Piece]) -> Vec<(u64, i64, i64)> {
        let millis = ProducerTimestamp::as_millis;
        let line = |p: &Piece| (p.fragment.number.counter(), millis(p.begin()), millis(p.end()));
        pieces.iter().map(line).collect()
    }

    #[test]
    fn neighbours_are_whole_though_their_lengths_are_rounded() {
        let pieces = plan(vec![fragment(1, 0, 2040), fragment(2, 2000, 2000)]);
        assert!(pieces.iter().all(|piece| piece.from.is_none() && piece.until.is_none()));
        assert_eq!(outline(&pieces), [(1, 0, 2040), (2, 2000, 4000)]);
    }

    #[test]
    fn larger_number_counts_where_fragments_overlap() {
        let late = plan(vec![fragment(1, 0, 2000), fragment(2, 1000, 2000)]);
        assert_eq!(outline(&late), [(1, 0, 1000), (2, 1000, 3000)]);
        let early = plan(vec![fragment(2, 0, 2000), fragment(1, 1000, 2000)]);
        assert_eq!(outline(&early), [(2, 0, 2000), (1, 1950, 3000)]);
        let same = plan(vec![fragment(1, 0, 2000), fragment(2, 0, 2000)]);
        assert_eq!(outline(&same), [(2, 0, 2000)]);
        let shifted = [fragment(1, 1000, 2000), fragment(2, 0, 2000), fragment(3, 2000, 2000)];
        assert_eq!(outline(&plan(shifted.to_vec())), [(2, 0, 2000), (3, 2000, 4000)]);
        let inside = plan(vec![fragment(1, 0, 9000), fragment(2, 4000, 1000)]);
        assert_eq!(outline(&inside), [(1, 0, 4000), (2, 4000, 5000), (1, 4950, 9000)]);
    }

    proptest! {
        #[test]
        fn each_moment_belongs_to_the_largest_number_that_covers_it(
            lengths in prop::collection::vec((0i64..20_000, 100u64..5_000), 0..40),
        ) {
            let fragments: Vec<_> = (1..)
                .zip(&lengths)
                .map(|(counter, &(begin, length))| fragment(counter, begin, length))
                .collect();
            let pieces = plan(fragments.clone());
            for at in (0..25_000).step_by(37) {
                let at = ProducerTimestamp::from_millis(at);
                let certain = |begin: ProducerTimestamp, end: ProducerTimestamp| {
                    begin <= at && at < end.minus(CONTIGUOUS)
                };
                let covers = |f: &&ListedFragment| certain(f.producer, f.producer.plus(f.duration));
                let expected = fragments.iter().filter(covers).map(|f| f.number).max();
                let covering = pieces.iter().filter(|piece| {
                    let end = piece.until.unwrap_or(piece.end().minus(CONTIGUOUS));
                    piece.begin() <= at && at < end
                });
                let found: Vec<_> = covering.map(|piece| piece.fragment.number).collect();
                let rounded = |p: &Piece| p.end().minus(CONTIGUOUS) <= at && at < p.end();
                if !found.is_empty() || !pieces.iter().any(rounded) {
                    prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
                }
            }
        }
    }
}
