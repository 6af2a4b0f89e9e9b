//! Which fragments a playlist lists, and with which tags. Pure.

use std::collections::HashSet;

use super::session::{Discontinuity, SelectorClock};
use crate::store::{FragmentInfo, Order};
use crate::types::{Millis, ProducerTimestamp};

/// The fragments of a playlist, at least one, in their order.
#[derive(Debug)]
pub struct Listing {
    pub fragments: Vec<FragmentInfo>,
    /// As many as fragments.
    pub tags: Vec<Tags>,
    /// `MEDIA-SEQUENCE`.
    pub media_sequence: u64,
    /// `DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// `TARGETDURATION`, in seconds.
    pub target_duration: u64,
}

/// What a playlist says of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags {
    pub discontinuity: bool,
    /// A later fragment has the same producer time.
    pub superseded: bool,
    pub duration: Millis,
}

/// A larger gap or overlap between fragments is a discontinuity (AWS: `ON_DISCONTINUITY`).
const CONTIGUOUS_WITHIN_MS: u64 = 50;
/// Fragments that are asked for at once, so that many of the same time do not cost a page each.
const LEAST_PAGE: usize = 64;

impl Listing {
    /// The first fragment, which stands for the format of the session.
    pub fn first(&self) -> &FragmentInfo {
        &self.fragments[0]
    }
}

/// The end of `newest`, at most `limit`; `None` when there is nothing.
///
/// The sequence numbers are the store's, so all sessions and all restarts agree on them. What a
/// playlist once said of a segment stays: durations are those of the fragments alone. The target
/// duration must not change while the window moves, so it looks at all of `newest`, not only at
/// what is listed; it still follows when a camera changes to longer fragments for good.
pub fn live(
    newest: &[FragmentInfo],
    limit: usize,
    clock: SelectorClock,
    mode: Discontinuity,
) -> Option<Listing> {
    let first = newest.len().saturating_sub(limit);
    let fragments = newest[first..].to_vec();
    let head = fragments.first()?;
    let before = first.checked_sub(1).map(|index| &newest[index]);
    let breaks = |before: &FragmentInfo, fragment: &FragmentInfo| fragment.breaks != before.breaks;
    let mut tags = tags(&fragments, before, mode, breaks);
    if clock == SelectorClock::Producer {
        mark_superseded(&fragments, &mut tags);
    }
    let media_sequence = head.sequence.unwrap_or(0);
    let discontinuity_sequence = match mode {
        Discontinuity::Never => 0,
        // Each fragment before the first one took its tag along.
        Discontinuity::Always => media_sequence,
        Discontinuity::OnDiscontinuity => {
            // The first one's own tag is listed, if it has one.
            u64::from(head.breaks).saturating_sub(tags[0].discontinuity.into())
        }
    };
    let target_duration = target_duration(newest.iter().map(|fragment| fragment.duration));
    Some(Listing { fragments, tags, media_sequence, discontinuity_sequence, target_duration })
}

/// The fragments of a range, at most `limit`, in the order of its clock. By producer time, those
/// whose time belongs to ones with larger numbers are left out: see [`superseded`]. `page` lists
/// up to so many fragments behind one. `None` when there is nothing.
pub fn on_demand(
    mut page: impl FnMut(Option<&FragmentInfo>, usize) -> Vec<FragmentInfo>,
    range: Order,
    limit: usize,
    mode: Discontinuity,
) -> Option<Listing> {
    let by_producer = matches!(range, Order::Producer { .. });
    let mut listed: Vec<FragmentInfo> = Vec::new();
    let mut fragments: Vec<FragmentInfo> = Vec::new();
    loop {
        // One more than listed: only then is it known how long the last one is.
        let wanted = (limit + 1).saturating_sub(fragments.len()).max(LEAST_PAGE);
        let more = page(listed.last(), wanted);
        let complete = more.len() < wanted;
        listed.extend(more);
        fragments.clone_from(&listed);
        if by_producer {
            let mut superseded = superseded(&listed).into_iter();
            fragments.retain(|_| !superseded.next().unwrap_or(false));
        }
        // What is not listed yet supersedes nothing that ends before it begins.
        let seen = listed.last().map(|last| last.producer);
        let decided = |fragment: &&FragmentInfo| {
            !by_producer
                || seen.is_some_and(|seen| fragment.producer < seen && end(fragment) <= seen)
        };
        if complete || fragments.iter().take_while(decided).count() > limit {
            break;
        }
    }
    let mut tags = tags(&fragments, None, mode, |before, fragment| {
        before.format != fragment.format || !contiguous(before, fragment)
    });
    for (index, pair) in fragments.windows(2).enumerate() {
        if contiguous(&pair[0], &pair[1]) {
            tags[index].duration = pair[1].producer.since(pair[0].producer);
        }
    }
    fragments.truncate(limit);
    tags.truncate(limit);
    fragments.first()?;
    let target_duration = target_duration(tags.iter().map(|tags| tags.duration));
    Some(Listing { fragments, tags, media_sequence: 0, discontinuity_sequence: 0, target_duration })
}

/// Durations as stored, and discontinuities by `mode`.
fn tags(
    fragments: &[FragmentInfo],
    before: Option<&FragmentInfo>,
    mode: Discontinuity,
    breaks: impl Fn(&FragmentInfo, &FragmentInfo) -> bool,
) -> Vec<Tags> {
    let mut before = before;
    let mut tags = Vec::with_capacity(fragments.len());
    for fragment in fragments {
        let discontinuity = match mode {
            Discontinuity::Always => true,
            Discontinuity::Never => false,
            Discontinuity::OnDiscontinuity => before.is_some_and(|before| breaks(before, fragment)),
        };
        tags.push(Tags { discontinuity, superseded: false, duration: fragment.duration });
        before = Some(fragment);
    }
    tags
}

/// Which fragments, in the order of producer time, give way to ones with larger numbers: those of
/// which one has the same producer time (as AWS has it), and those whose time others cover.
fn superseded(listed: &[FragmentInfo]) -> Vec<bool> {
    let longest = listed.iter().map(|fragment| fragment.duration).max().unwrap_or_default();
    let mut first = 0;
    let is_superseded = |at: usize| {
        let fragment = &listed[at];
        while end_within(&listed[first], longest) < fragment.producer {
            first += 1;
        }
        let later = listed[first..].iter().take_while(|other| other.producer <= end(fragment));
        let mut later = later.filter(|other| other.number > fragment.number);
        // Short fragments in a row do not cover each other.
        let within = Millis(CONTIGUOUS_WITHIN_MS.min(fragment.duration.0 / 4));
        let mut covered = fragment.producer;
        later.any(|other| {
            if other.producer <= covered.plus(within) {
                covered = covered.max(end(other));
            }
            let all = covered > fragment.producer && covered.plus(within) >= end(fragment);
            other.producer == fragment.producer || all
        })
    };
    (0..listed.len()).map(is_superseded).collect()
}

fn end(fragment: &FragmentInfo) -> ProducerTimestamp {
    end_within(fragment, fragment.duration)
}

fn end_within(fragment: &FragmentInfo, duration: Millis) -> ProducerTimestamp {
    fragment.producer.plus(duration)
}

/// Whether `next` starts where `fragment` ends, on the producer's clock.
fn contiguous(fragment: &FragmentInfo, next: &FragmentInfo) -> bool {
    let distance = end(fragment).as_millis().abs_diff(next.producer.as_millis());
    next.producer > fragment.producer && distance <= CONTIGUOUS_WITHIN_MS
}

/// A live playlist numbers its segments without gaps, so a superseded one stays, as a gap.
fn mark_superseded(fragments: &[FragmentInfo], tags: &mut [Tags]) {
    let mut later = HashSet::with_capacity(fragments.len());
    for (fragment, tags) in fragments.iter().zip(tags).rev() {
        tags.superseded = !later.insert(fragment.producer);
    }
}

/// No duration, rounded to seconds, may exceed it (RFC 8216 4.3.3.1).
fn target_duration(durations: impl Iterator<Item = Millis>) -> u64 {
    durations.map(|Millis(duration)| duration.saturating_add(500) / 1000).max().unwrap_or(0).max(1)
}
