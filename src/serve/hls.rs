//! HLS: a session's playlists, and the segments they name.
//!
//! Here: which fragments a playlist lists, and with which tags. Not here: HTTP, session tokens and
//! their signature, the form of links (`api`), packaging (`package`), text (`media::playlist`).
//!
//! Everything is stateless: a session is a plain value that travels in the player's links, a
//! media segment depends on nothing but its fragment, and an init segment is named by the digest
//! of its format, so its link stays the same while a live window moves on.

mod select;
mod session;

use bytes::Bytes;

use super::package::{Error, Packager, Selection, TrackNumber};
use crate::media::playlist::m3u8;
use crate::store::{FormatId, FragmentInfo, MediaStream, Order};
use crate::types::{FragmentNumber, Millis, ServerTimestamp};

pub use session::{
    DecodeSessionError, Discontinuity, MAX_RESULTS, Playback, SelectorClock, Session,
    UnplayableTracks,
};

use select::{Listing, live, on_demand};

/// Fragments that a live playlist's target duration and a variant's bandwidth look back on.
const HISTORY: usize = 64;

/// How a session's resources are addressed. Each method appends a URI, relative to the playlist
/// or absolute, without line ends or quotation marks.
pub trait Links {
    /// The media playlist of a track.
    fn media_playlist(&self, text: &mut String, track: TrackNumber);
    /// The init segment of a track in a format.
    fn init_segment(&self, text: &mut String, track: TrackNumber, format: FormatId);
    /// A fragment's media segment of a track.
    fn media_segment(&self, text: &mut String, track: TrackNumber, number: FragmentNumber);
}

/// Checks that a session can begin: there are fragments, for a live session one that ended no
/// longer than `live_within` ago, and the tracks of the first can be played.
///
/// # Errors
/// `NoFragments`, or why a track cannot be played.
pub async fn open(
    packager: &Packager,
    stream: &MediaStream,
    session: &Session,
    now: ServerTimestamp,
    live_within: Millis,
) -> Result<(), Error> {
    if session.playback.is_live() {
        let newest = stream.newest(1);
        let newest = newest.last().ok_or(Error::NoFragments)?;
        if now.since(newest.server().plus(newest.duration)) > live_within {
            return Err(Error::NoFragments);
        }
    }
    let listing = list(stream, session)?;
    let description = packager.describe(stream, listing.first()).await?;
    description.select(session.refuses_unplayable()).map(|_selection| ())
}

/// The master playlist: the video track with its sound, or the sound alone.
///
/// # Errors
/// `NoFragments`, or why a track cannot be played.
pub async fn master_playlist(
    packager: &Packager,
    stream: &MediaStream,
    session: &Session,
    links: &(dyn Links + Sync),
) -> Result<String, Error> {
    let listing = list(stream, session)?;
    let description = packager.describe(stream, listing.first()).await?;
    let Selection { main, audio } = description.select(session.refuses_unplayable())?;
    let mut codecs = main.codec.rfc6381();
    if let Some(audio) = audio {
        codecs.push(',');
        codecs.push_str(&audio.codec.rfc6381());
    }
    let main_uri = |text: &mut String| links.media_playlist(text, main.number);
    let audio_uri = audio.map(|track| |text: &mut String| links.media_playlist(text, track.number));
    Ok(m3u8::Master {
        codecs: &codecs,
        size: main.codec.size(),
        frame_rate: main.frame_rate,
        bandwidth: bandwidth(&listing.fragments),
        uri: &main_uri,
        audio: audio_uri.as_ref().map(|uri| uri as m3u8::WriteUri<'_>),
    }
    .write())
}

/// The media playlist of a track.
///
/// # Errors
/// `NoFragments`, `NotFound` for a track that is not played, or why a track cannot be.
pub async fn media_playlist(
    packager: &Packager,
    stream: &MediaStream,
    session: &Session,
    track: TrackNumber,
    links: &(dyn Links + Sync),
) -> Result<String, Error> {
    let listing = list(stream, session)?;
    let description = packager.describe(stream, listing.first()).await?;
    let selection = description.select(session.refuses_unplayable())?;
    selection.track(track).ok_or(Error::NotFound)?;
    Ok(write_media_playlist(session, &listing, track, links))
}

/// The init segment of a track in a format that one of the session's playlists named.
///
/// # Errors
/// `NotFound` when no listed fragment has the format or the track, or why the track cannot be
/// played.
pub async fn init_segment(
    packager: &Packager,
    stream: &MediaStream,
    session: &Session,
    track: TrackNumber,
    format: FormatId,
) -> Result<Bytes, Error> {
    let description = match packager.described(stream.id(), format) {
        Some(known) => known,
        None => {
            let listing = list(stream, session)?;
            let of_format = |fragment: &&FragmentInfo| fragment.format == format;
            let fragment = listing.fragments.iter().find(of_format).ok_or(Error::NotFound)?;
            packager.describe(stream, fragment).await?
        }
    };
    let selection = description.select(session.refuses_unplayable())?;
    let rendition = selection.track(track).ok_or(Error::NotFound)?;
    Ok(rendition.init.clone())
}

/// The fragments of a range by producer time, at most `limit`: those whose time belongs to ones with
/// larger numbers are left out, as in a playlist.
pub(super) fn listed(stream: &MediaStream, range: Order, limit: usize) -> Vec<FragmentInfo> {
    let listing = on_demand(page(stream, range), range, limit, Discontinuity::Never);
    listing.map_or_else(Vec::new, |listing| listing.fragments)
}

fn page(
    stream: &MediaStream,
    range: Order,
) -> impl FnMut(Option<&FragmentInfo>, usize) -> Vec<FragmentInfo> + '_ {
    move |last, limit| {
        let rest = last.map_or(range, |last| range.rest(last));
        stream.list(rest, last.map(|last| last.number), limit)
    }
}

fn list(stream: &MediaStream, session: &Session) -> Result<Listing, Error> {
    let limit = session.max_results();
    let listing = match session.playback {
        Playback::Live(clock) => {
            // One more than listed tells whether the first begins after a break.
            let newest = stream.newest(HISTORY.max(limit + 1));
            live(&newest, limit, clock, session.discontinuity)
        }
        Playback::OnDemand(range) => {
            on_demand(page(stream, range), range, limit, session.discontinuity)
        }
    };
    listing.ok_or(Error::NoFragments)
}

fn write_media_playlist(
    session: &Session,
    listing: &Listing,
    track: TrackNumber,
    links: &(dyn Links + Sync),
) -> String {
    let on_demand = !session.playback.is_live();
    let head = m3u8::MediaHead {
        on_demand,
        target_duration: listing.target_duration,
        media_sequence: listing.media_sequence,
        discontinuity_sequence: listing.discontinuity_sequence,
    };
    let mut playlist = m3u8::Media::new(&head, listing.fragments.len());
    let mut format = None;
    for (fragment, tags) in listing.fragments.iter().zip(&listing.tags) {
        let map = |text: &mut String| links.init_segment(text, track, fragment.format);
        let uri = |text: &mut String| links.media_segment(text, track, fragment.number);
        let new_format = format.replace(fragment.format) != Some(fragment.format);
        playlist.segment(&m3u8::Segment {
            discontinuity: tags.discontinuity,
            map: new_format.then_some(&map),
            date_time_ms: session.display_timestamps.then(|| shown_time(session, fragment)),
            gap: tags.superseded,
            duration: tags.duration,
            uri: &uri,
        });
    }
    if on_demand { playlist.finish_ended() } else { playlist.finish_open() }
}

/// A fragment's start on the clock that the session selects by.
fn shown_time(session: &Session, fragment: &FragmentInfo) -> i64 {
    match session.playback.clock() {
        SelectorClock::Producer => fragment.producer.as_millis(),
        SelectorClock::Server => fragment.server().as_millis(),
    }
}

/// Bits per second of the densest of the newest listed fragments; all of its tracks, and what
/// Matroska adds, which is about what MP4 adds.
fn bandwidth(fragments: &[FragmentInfo]) -> u64 {
    let rate =
        |fragment: &FragmentInfo| u64::from(fragment.size) * 8 * 1000 / fragment.duration.0.max(1);
    let newest = &fragments[fragments.len().saturating_sub(HISTORY)..];
    newest.iter().map(rate).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
