mod stored;

use proptest::prelude::*;

use super::select::{Listing, live, on_demand};
use super::*;
use crate::store::Order;
use crate::types::{ProducerTimestamp, StreamId};

/// The links of tests: short, and telling all they got.
struct TestLinks;

impl Links for TestLinks {
    fn media_playlist(&self, text: &mut String, track: TrackNumber) {
        text.push_str(&format!("track{}.m3u8", track.0));
    }

    fn init_segment(&self, text: &mut String, track: TrackNumber, format: FormatId) {
        text.push_str(&format!("init{}-{}.mp4", track.0, format.0));
    }

    fn media_segment(&self, text: &mut String, track: TrackNumber, number: FragmentNumber) {
        text.push_str(&format!("{}-{}.mp4", track.0, number.counter()));
    }
}

/// The `counter`-th fragment, received when it began, of two seconds.
fn fragment(counter: u64, producer_ms: i64) -> FragmentInfo {
    let received = ServerTimestamp::from_millis(1_000_000 + counter as i64 * 2000);
    FragmentInfo {
        number: FragmentNumber::new(counter, received, 0),
        producer: ProducerTimestamp::from_millis(producer_ms),
        duration: Millis(2000),
        size: 250_000,
        format: FormatId(9),
        sequence: Some(counter),
        breaks: 0,
    }
}

/// Fragments 0, 1, … that follow each other.
fn contiguous(count: u64) -> Vec<FragmentInfo> {
    (0..count).map(|counter| fragment(counter, counter as i64 * 2000)).collect()
}

const EVER: Order = Order::Producer { from: ProducerTimestamp::MIN, to: ProducerTimestamp::MAX };

fn session(playback: Playback, discontinuity: Discontinuity) -> Session {
    Session {
        stream: StreamId(1),
        playback,
        discontinuity,
        display_timestamps: false,
        max_results: 5,
        expires: ServerTimestamp::MAX,
        unplayable: UnplayableTracks::Refuse,
    }
}

fn live_listing(newest: &[FragmentInfo], limit: usize, mode: Discontinuity) -> Listing {
    live(newest, limit, SelectorClock::Server, mode).expect("fragments")
}

/// Lists from a slice as the store lists from its index.
fn on_demand_listing(
    stored: &[FragmentInfo],
    limit: usize,
    mode: Discontinuity,
) -> Option<Listing> {
    let mut sorted = stored.to_vec();
    sorted.sort_by_key(|fragment| (fragment.producer, fragment.number));
    let page = |last: Option<&FragmentInfo>, limit: usize| {
        let at = last.and_then(|last| sorted.iter().position(|f| f.number == last.number));
        let start = at.map_or(0, |at| at + 1);
        sorted[start..].iter().take(limit).copied().collect()
    };
    on_demand(page, EVER, limit, mode)
}

fn counters(listing: &Listing) -> Vec<u64> {
    listing.fragments.iter().map(|fragment| fragment.number.counter()).collect()
}

#[test]
fn live_playlist_is_the_newest_fragments_under_the_stores_sequence() {
    let session = session(Playback::Live(SelectorClock::Server), Discontinuity::Never);
    let listing = live_listing(&contiguous(10), 2, session.discontinuity);
    let text = write_media_playlist(&session, &listing, TrackNumber(1), &TestLinks);
    let expected = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:8\n\
        #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init1-9.mp4\"\n\
        #EXTINF:2.000,\n1-8.mp4\n#EXTINF:2.000,\n1-9.mp4\n";
    assert_eq!(text, expected);
}

#[test]
fn on_demand_playlist_is_complete_and_tells_the_times_of_its_clock() {
    let mut session = session(Playback::OnDemand(EVER), Discontinuity::Always);
    session.display_timestamps = true;
    let mut stored = contiguous(2);
    stored[1].format = FormatId(10);
    let listing = on_demand_listing(&stored, 5, session.discontinuity).expect("fragments");
    let text = write_media_playlist(&session, &listing, TrackNumber(2), &TestLinks);
    let expected = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-PLAYLIST-TYPE:VOD\n\
        #EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init2-9.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n#EXTINF:2.000,\n2-0.mp4\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init2-10.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:02.000Z\n#EXTINF:2.000,\n2-1.mp4\n\
        #EXT-X-ENDLIST\n";
    assert_eq!(text, expected);
    session.playback = Playback::Live(SelectorClock::Server);
    let text = write_media_playlist(&session, &listing, TrackNumber(2), &TestLinks);
    assert!(text.contains("1970-01-01T00:16:40.000Z"), "server time is shown: {text}");
}

#[test]
fn discontinuity_numbers_stay_true_while_the_window_moves() {
    let mut stored = contiguous(20);
    for (index, fragment) in stored.iter_mut().enumerate() {
        fragment.breaks = [0, 0, 1, 2, 2, 2, 3, 4, 5, 5][index / 2];
    }
    for mode in [Discontinuity::Always, Discontinuity::OnDiscontinuity] {
        let mut known = std::collections::HashMap::new();
        for end in 1..=stored.len() {
            let listing = live_listing(&stored[..end], 3, mode);
            let mut number = listing.discontinuity_sequence;
            for (fragment, tags) in listing.fragments.iter().zip(&listing.tags) {
                number += u64::from(tags.discontinuity);
                let earlier = *known.entry(fragment.number).or_insert(number);
                assert_eq!(number, earlier, "{mode:?} {:?} at {end}", fragment.number);
            }
        }
    }
}

#[test]
fn live_target_duration_does_not_change_while_a_long_fragment_leaves_the_window() {
    let mut stored = contiguous(20);
    stored[4].duration = Millis(3600);
    let targets: Vec<_> = (5..=20)
        .map(|end| live_listing(&stored[..end], 3, Discontinuity::Never).target_duration)
        .collect();
    assert_eq!(targets, [4; 16]);
}

#[test]
fn a_live_fragment_of_the_same_producer_time_as_a_later_one_becomes_a_gap() {
    let stored = [fragment(0, 0), fragment(1, 2000), fragment(2, 2000)];
    let superseded = |clock| {
        let listing = live(&stored, 5, clock, Discontinuity::Never).expect("fragments");
        listing.tags.iter().map(|tags| tags.superseded).collect::<Vec<_>>()
    };
    assert_eq!(superseded(SelectorClock::Producer), [false, true, false]);
    assert_eq!(superseded(SelectorClock::Server), [false, false, false]);
}

#[test]
fn of_equal_producer_times_on_demand_lists_the_larger_number_only() {
    let mut stored = contiguous(4);
    stored.push(fragment(7, 2000));
    stored.push(fragment(8, 6000));
    let listing = on_demand_listing(&stored, 10, Discontinuity::Never).expect("fragments");
    assert_eq!(counters(&listing), [0, 7, 2, 8]);
    // The last one that is listed is superseded by one that would not be listed any more.
    let listing = on_demand_listing(&stored, 2, Discontinuity::Never).expect("fragments");
    assert_eq!(counters(&listing), [0, 7]);
}

#[test]
fn on_demand_leaves_out_what_larger_numbers_cover() {
    let mut stored = contiguous(5);
    // A second recording of the same time, a second later: of the first one, only what begins
    // before it and what ends after it is left.
    stored.extend((0..3).map(|n| fragment(10 + n, 1_000 + n as i64 * 2_000)));
    let listing = on_demand_listing(&stored, 10, Discontinuity::OnDiscontinuity);
    let listing = listing.expect("fragments");
    assert_eq!(counters(&listing), [0, 10, 11, 12, 3, 4]);
    let breaks: Vec<_> = listing.tags.iter().map(|tags| tags.discontinuity).collect();
    assert_eq!(breaks, [false, true, false, false, true, false]);
    // Of those that overlap, none covers an earlier number.
    stored.truncate(5);
    stored.iter_mut().for_each(|fragment| fragment.duration = Millis(3_000));
    let listing = on_demand_listing(&stored, 10, Discontinuity::Never).expect("fragments");
    assert_eq!(counters(&listing), [0, 1, 2, 3, 4]);
    // Nor do short ones in a row.
    let mut short = contiguous(4);
    for (at, fragment) in (0..).zip(&mut short) {
        fragment.producer = ProducerTimestamp::from_millis(at * 40);
        fragment.duration = Millis(40);
    }
    let listing = on_demand_listing(&short, 10, Discontinuity::Never).expect("fragments");
    assert_eq!(counters(&listing), [0, 1, 2, 3]);
}

#[test]
fn on_demand_lists_to_its_limit_through_any_number_of_superseded_fragments() {
    let mut stored = contiguous(3);
    let old = (0..500).map(|n| FragmentInfo { duration: Millis(3), ..fragment(n, 100 + n as i64) });
    let new = fragment(600, 0);
    stored = old.chain([new]).chain(stored.drain(1..)).collect();
    let listing = on_demand_listing(&stored, 2, Discontinuity::Never).expect("fragments");
    assert_eq!(counters(&listing), [600, 1]);
}

#[test]
fn on_demand_durations_reach_to_the_next_fragment_unless_there_is_a_gap() {
    let stored = [
        fragment(0, 0),
        fragment(1, 2033),
        fragment(2, 4000),
        fragment(3, 6100),
        fragment(4, 8100),
    ];
    let mode = Discontinuity::OnDiscontinuity;
    let listing = on_demand_listing(&stored, 4, mode).expect("fragments");
    let durations: Vec<_> = listing.tags.iter().map(|tags| tags.duration.0).collect();
    assert_eq!(durations, [2033, 1967, 2000, 2000]);
    let breaks: Vec<_> = listing.tags.iter().map(|tags| tags.discontinuity).collect();
    assert_eq!(breaks, [false, false, false, true]);
}

#[test]
fn nothing_stored_is_no_playlist() {
    assert!(live(&[], 5, SelectorClock::Server, Discontinuity::Always).is_none());
    assert!(on_demand_listing(&[], 5, Discontinuity::Always).is_none());
}

#[test]
fn bandwidth_is_that_of_the_densest_fragment() {
    let mut stored = contiguous(3);
    stored[1].duration = Millis(1000);
    stored[2].duration = Millis(0);
    stored[2].size = 100;
    assert_eq!(bandwidth(&stored), 2_000_000);
}

proptest! {
    #[test]
    fn any_playlist_is_understood_by_a_parser_and_holds_its_promises(
        stored in prop::collection::vec((0i64..100_000, 0u64..30_000, 0u32..2), 1..100),
        limit in 1usize..100,
        at in any::<bool>(),
        mode in prop::sample::select(vec![
            Discontinuity::Always, Discontinuity::Never, Discontinuity::OnDiscontinuity,
        ]),
    ) {
        let stored: Vec<_> = (0u64..).zip(stored).map(|(counter, (producer, duration, format))| {
            let duration = Millis(duration);
            FragmentInfo { duration, format: FormatId(format), ..fragment(counter, producer) }
        }).collect();
        let (playback, listing) = if at {
            (Playback::OnDemand(EVER), on_demand_listing(&stored, limit, mode))
        } else {
            let clock = SelectorClock::Producer;
            (Playback::Live(clock), live(&stored, limit, clock, mode))
        };
        let listing = listing.expect("fragments");
        let session = session(playback, mode);
        let text = write_media_playlist(&session, &listing, TrackNumber(1), &TestLinks);
        let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes());
        let parsed = parsed.expect("a valid playlist");
        prop_assert!(!parsed.segments.is_empty() && parsed.segments.len() <= limit);
        prop_assert!(parsed.segments[0].map.is_some());
        for segment in &parsed.segments {
            prop_assert!(segment.duration.round() as u64 <= parsed.target_duration);
        }
        prop_assert_eq!(parsed.end_list, at);
        if at {
            let times: Vec<_> = listing.fragments.iter().map(|f| f.producer).collect();
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
