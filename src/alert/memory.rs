//! What a rule remembers, within bounds. Pure.
//!
//! A rule remembers what it needs for telling nobody twice, counting, and missing somebody. In memory
//! that is bounded by numbers, and where it is stored by bytes: a rule over many busy streams stores
//! less of each. What is not stored matters after a restart only: what is found again then may be told
//! again, and counts and absences of such a stream begin anew.

use std::collections::BTreeMap;

use crate::wire::alerts::{RuleState, StreamState};

/// Tracks of a stream that a rule remembers, so that it tells of each once. What repeats is what was
/// on its way when somebody crashed: few, and the newest.
pub const MAX_TRACKS: usize = 32;
/// Video streams that a rule remembers.
pub const MAX_STREAMS: usize = 1000;
/// What is stored of a rule, as JSON; a document of the catalog has up to 256 KiB.
pub const MAX_STORED_BYTES: usize = 192 << 10;
/// What of it is not about streams.
const FRAME_BYTES: usize = 64;

/// What a rule remembers of a stream at `now`, on the server's clock. For one more stream than there
/// may be, that one is forgotten that nothing has changed of for the longest time.
pub fn of_stream<'a>(memory: &'a mut RuleState, stream: &str, now: f64) -> &'a mut StreamState {
    let streams = &mut memory.streams;
    if streams.len() >= MAX_STREAMS && !streams.contains_key(stream) {
        let earlier = |(_, a): &(_, &StreamState), (_, b): &(_, &StreamState)| {
            a.changed.total_cmp(&b.changed)
        };
        let stalest = streams.iter().min_by(earlier).map(|(name, _)| name.clone());
        stalest.and_then(|name| streams.remove(&name));
    }
    let unknown = || StreamState { changed: now, ..StreamState::default() };
    streams.entry(stream.to_owned()).or_insert_with(unknown)
}

/// Whether a track is a new one; it is remembered, and the oldest forgotten.
pub fn is_new(state: &mut StreamState, track: &str) -> bool {
    if state.tracks.iter().any(|known| known == track) {
        return false;
    }
    if state.tracks.len() >= MAX_TRACKS {
        state.tracks.remove(0);
    }
    state.tracks.push(track.to_owned());
    true
}

/// As much of it as is stored: fewer tracks of every stream where that is enough, else the streams
/// that changed last.
pub fn to_store(memory: &RuleState) -> RuleState {
    let mut kept = memory.clone();
    let mut tracks = MAX_TRACKS;
    while tracks > 0 && size(&kept) > MAX_STORED_BYTES {
        tracks /= 2;
        for state in kept.streams.values_mut() {
            let older = state.tracks.len().saturating_sub(tracks);
            state.tracks.drain(..older);
        }
    }
    if size(&kept) > MAX_STORED_BYTES {
        kept.streams = newest(kept.streams);
    }
    kept
}

/// The streams that changed last, as many as have room.
fn newest(streams: BTreeMap<String, StreamState>) -> BTreeMap<String, StreamState> {
    let mut streams: Vec<_> = streams.into_iter().collect();
    streams.sort_by(|(_, a), (_, b)| b.changed.total_cmp(&a.changed));
    let mut room = MAX_STORED_BYTES - FRAME_BYTES;
    let fits = |(name, state): &(String, StreamState)| {
        // A colon and a comma are beside them.
        let left = room.checked_sub(size(name) + size(state) + 2);
        room = left.unwrap_or_default();
        left.is_some()
    };
    streams.into_iter().take_while(fits).collect()
}

fn size(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).expect("memories are plain JSON").len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory of many streams, of which later ones changed later.
    fn memory(streams: usize, name_len: usize, state: impl Fn(usize) -> StreamState) -> RuleState {
        let name = |at: usize| format!("{at:0name_len$}");
        let streams = (0..streams)
            .map(|at| (name(at), StreamState { changed: 1.7e9 + at as f64 * 0.123, ..state(at) }));
        RuleState { created: 1_795_309_233.123, streams: streams.collect() }
    }

    fn tracks(_: usize) -> StreamState {
        let tracks = (0..MAX_TRACKS).map(|at| format!("{at:032}")).collect();
        StreamState { tracks, ..StreamState::default() }
    }

    #[test]
    fn small_memory_is_stored_whole() {
        let small = memory(100, 8, tracks);
        assert_eq!(to_store(&small), small);
    }

    #[test]
    fn busy_streams_are_stored_with_their_newest_tracks() {
        let stored = to_store(&memory(500, 16, tracks));
        assert!(size(&stored) <= MAX_STORED_BYTES, "{}", size(&stored));
        assert_eq!(stored.streams.len(), 500);
        for state in stored.streams.values() {
            assert_eq!(state.tracks.last(), Some(&format!("{:032}", MAX_TRACKS - 1)));
        }
    }

    #[test]
    fn largest_memory_is_stored_with_the_streams_that_changed_last() {
        let times = vec![1_795_309_233.123_456; 1000];
        let largest = memory(MAX_STREAMS, 256, |at| StreamState {
            times: times.clone(),
            quiet_since: Some(1_795_309_233.123),
            last_seen: Some(1_795_309_233.123),
            ..tracks(at)
        });
        let stored = to_store(&largest);
        assert!(size(&stored) <= MAX_STORED_BYTES, "{}", size(&stored));
        assert!(stored.streams.contains_key(largest.streams.keys().last().expect("some")));
        assert!(!stored.streams.contains_key(largest.streams.keys().next().expect("some")));
    }

    #[test]
    fn one_stream_more_takes_the_place_of_the_stalest() {
        let mut full = memory(MAX_STREAMS, 4, tracks);
        assert!(is_new(of_stream(&mut full, "another", 2e9), "t1"));
        assert!(!is_new(of_stream(&mut full, "another", 2e9), "t1"));
        assert_eq!(full.streams.len(), MAX_STREAMS);
        assert!(!full.streams.contains_key("0000"));
        assert!(full.streams.contains_key("0001"));
    }
}
