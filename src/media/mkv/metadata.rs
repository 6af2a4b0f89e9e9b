//! What stands in front of and between clusters: EBML head, Info, Tracks and Tags.

use bytes::Bytes;

use super::ids;
use super::{Error, ErrorKind, MAX_STRIPPED_HEADER, MAX_TAGS, MAX_TRACKS, Tag, Track, TrackKind};
use crate::media::ebml::{Element, Header};
use crate::types::TimestampScale;

/// What the reader must know of a track to hand out its frames.
#[derive(Clone, Debug)]
pub struct TrackRule {
    /// The track's number.
    pub number: u64,
    /// Places the later frames of a lace.
    pub default_duration_ns: Option<u64>,
    /// Bytes to put back in front of each frame; empty for nearly all tracks.
    pub stripped: Bytes,
}

/// The EBML head's DocType; `matroska` (RFC 9559 4.1) where it has none.
pub fn doc_type(head: &Element) -> Result<String, Error> {
    let mut doc_type = None;
    for child in head.children() {
        let child = child?;
        if child.id == ids::DOC_TYPE {
            doc_type = Some(child.text().into_owned());
        }
    }
    Ok(doc_type.unwrap_or_else(|| "matroska".to_owned()))
}

/// The Info's TimestampScale; a millisecond where it has none.
pub fn scale(info: &Element) -> Result<TimestampScale, Error> {
    let mut scale = TimestampScale::MILLISECOND;
    for child in info.children() {
        let child = child?;
        if child.id == ids::TIMESTAMP_SCALE {
            scale = TimestampScale::from_nanos(child.uint()?).ok_or_else(|| child.invalid())?;
        }
    }
    Ok(scale)
}

/// The `DateUTC` of a whole Info element: nanoseconds since 2001 (RFC 9559 5.1.2.9).
pub fn date_utc(info: &[u8]) -> Option<i64> {
    let header = Header::read(info).ok()??;
    let content = info.get(header.len..)?;
    let info = Element { id: header.id, at: 0, header_len: header.len, data: content };
    let mut children = info.children().map_while(Result::ok);
    let date = children.find(|child| child.id == ids::DATE_UTC)?;
    date.data.try_into().ok().map(i64::from_be_bytes)
}

/// The entries of a Tracks element, and what the reader must know of each.
pub fn tracks(tracks: &Element) -> Result<(Vec<Track>, Vec<TrackRule>), Error> {
    let (mut entries, mut rules) = (Vec::new(), Vec::new());
    for child in tracks.children() {
        let child = child?;
        if child.id != ids::TRACK_ENTRY {
            continue;
        }
        if entries.len() == MAX_TRACKS {
            return Err(too_many(&child, MAX_TRACKS));
        }
        let (track, rule) = track(&child)?;
        entries.push(track);
        rules.push(rule);
    }
    Ok((entries, rules))
}

fn track(entry: &Element) -> Result<(Track, TrackRule), Error> {
    let (mut number, mut kind, mut codec_id) = (0, 0, String::new());
    let (mut name, mut codec_private, mut codec_delay_ns) = (None, None, 0);
    let mut default_duration_ns = None;
    let (mut video, mut audio, mut encodings) = (None, None, None);
    for child in entry.children() {
        let child = child?;
        match child.id {
            ids::TRACK_NUMBER => number = child.uint()?,
            ids::TRACK_TYPE => kind = child.uint()?,
            ids::NAME => name = Some(child.text().into_owned()),
            ids::CODEC_ID => codec_id = child.text().into_owned(),
            ids::CODEC_PRIVATE => codec_private = Some(Bytes::copy_from_slice(child.data)),
            ids::CODEC_DELAY => codec_delay_ns = child.uint()?,
            ids::DEFAULT_DURATION => {
                default_duration_ns = Some(child.uint()?).filter(|&nanos| nanos > 0);
            }
            ids::VIDEO => video = Some(child),
            ids::AUDIO => audio = Some(child),
            ids::CONTENT_ENCODINGS => encodings = Some(child),
            _ => {}
        }
    }
    let error = |kind| Error { at: entry.at, kind };
    if number == 0 {
        return Err(error(ErrorKind::TrackWithoutNumber));
    }
    if codec_id.is_empty() {
        return Err(error(ErrorKind::TrackWithoutCodec { track: number }));
    }
    let kind = match kind {
        1 => video_kind(video)?,
        2 => audio_kind(audio)?,
        other => TrackKind::Other(other),
    };
    let stripped = match encodings {
        Some(encodings) => stripped_header(&encodings)?
            .ok_or_else(|| error(ErrorKind::EncodedTrack { track: number }))?,
        None => Bytes::new(),
    };
    let rule = TrackRule { number, default_duration_ns, stripped };
    let track =
        Track { number, kind, name, codec_id, codec_private, codec_delay_ns, default_duration_ns };
    Ok((track, rule))
}

fn video_kind(video: Option<Element>) -> Result<TrackKind, Error> {
    let (mut width, mut height) = (0, 0);
    for child in video.iter().flat_map(Element::children) {
        let child = child?;
        match child.id {
            ids::PIXEL_WIDTH => width = narrow(&child)?,
            ids::PIXEL_HEIGHT => height = narrow(&child)?,
            _ => {}
        }
    }
    Ok(TrackKind::Video { width, height })
}

fn audio_kind(audio: Option<Element>) -> Result<TrackKind, Error> {
    let (mut sampling_hz, mut channels) = (8000.0, 1);
    for child in audio.iter().flat_map(Element::children) {
        let child = child?;
        match child.id {
            ids::SAMPLING_FREQUENCY => {
                let hz = child.float()?;
                let plausible = hz.is_finite() && hz > 0.0;
                sampling_hz = plausible.then_some(hz).ok_or_else(|| child.invalid())?;
            }
            ids::CHANNELS => channels = narrow(&child)?,
            _ => {}
        }
    }
    Ok(TrackKind::Audio { sampling_hz, channels })
}

fn narrow(element: &Element) -> Result<u32, Error> {
    u32::try_from(element.uint()?).map_err(|_| element.invalid().into())
}

/// The header that a track's ContentEncodings take off each frame (RFC 9559 5.1.4.1.31); `None`
/// when they do anything else to the frames.
fn stripped_header(encodings: &Element) -> Result<Option<Bytes>, Error> {
    let (mut header, mut count) = (None, 0);
    for child in encodings.children() {
        let child = child?;
        if child.id == ids::CONTENT_ENCODING {
            count += 1;
            header = header_of_encoding(&child)?;
        }
    }
    Ok(match count {
        0 => Some(Bytes::new()),
        1 => header,
        _ => None,
    })
}

fn header_of_encoding(encoding: &Element) -> Result<Option<Bytes>, Error> {
    const SCOPE_FRAMES: u64 = 1;
    const TYPE_COMPRESSION: u64 = 0;
    const ALGO_HEADER_STRIPPING: u64 = 3;
    let (mut scope, mut kind, mut compression) = (SCOPE_FRAMES, TYPE_COMPRESSION, None);
    for child in encoding.children() {
        let child = child?;
        match child.id {
            ids::CONTENT_ENCODING_SCOPE => scope = child.uint()?,
            ids::CONTENT_ENCODING_TYPE => kind = child.uint()?,
            ids::CONTENT_COMPRESSION => compression = Some(child),
            _ => {}
        }
    }
    // Without a ContentCompAlgo the algorithm is zlib.
    let (mut algo, mut header) = (0, Bytes::new());
    for child in compression.iter().flat_map(Element::children) {
        let child = child?;
        match child.id {
            ids::CONTENT_COMP_ALGO => algo = child.uint()?,
            ids::CONTENT_COMP_SETTINGS if child.data.len() > MAX_STRIPPED_HEADER => {
                return Err(child.invalid().into());
            }
            ids::CONTENT_COMP_SETTINGS => header = Bytes::copy_from_slice(child.data),
            _ => {}
        }
    }
    let stripping = (scope, kind, algo) == (SCOPE_FRAMES, TYPE_COMPRESSION, ALGO_HEADER_STRIPPING);
    Ok(stripping.then_some(header))
}

/// The SimpleTags of all Tags in their order, whatever they are about; those nested in other
/// SimpleTags, which no producer of ours writes, are passed over.
pub fn tags(tags: &Element) -> Result<Vec<Tag>, Error> {
    let mut found = Vec::new();
    for tag in tags.children() {
        let tag = tag?;
        if tag.id != ids::TAG {
            continue;
        }
        for child in tag.children() {
            let child = child?;
            if child.id != ids::SIMPLE_TAG {
                continue;
            }
            if found.len() == MAX_TAGS {
                return Err(too_many(&child, MAX_TAGS));
            }
            found.push(simple_tag(&child)?);
        }
    }
    Ok(found)
}

fn simple_tag(element: &Element) -> Result<Tag, Error> {
    let (mut name, mut value) = (String::new(), String::new());
    for child in element.children() {
        let child = child?;
        match child.id {
            ids::TAG_NAME => name = child.text().into_owned(),
            ids::TAG_STRING => value = child.text().into_owned(),
            _ => {}
        }
    }
    Ok(Tag { name, value })
}

fn too_many(element: &Element, limit: usize) -> Error {
    Error { at: element.at, kind: ErrorKind::TooMany { id: element.id, limit } }
}
