//! Sample entries (`stsd`): which codec a track has, and its configuration record, verbatim.

use bytes::Bytes;
use mp4_atom::{Esds, Hdlr};

use super::boxes::Child;
use super::{Error, ErrorKind};
use crate::media::mkv::TrackKind;

/// What a track's first sample entry says.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub kind: TrackKind,
    /// Matroska's name of the codec.
    pub codec_id: &'static str,
    /// The codec's configuration record.
    pub record: Bytes,
}

/// `reserved` and `data_reference_index` of every entry.
const ENTRY_HEAD: usize = 8;
/// Fields of a `VisualSampleEntry` in front of its boxes (12.1.3).
const VISUAL_HEAD: usize = ENTRY_HEAD + 70;
/// Fields of an `AudioSampleEntry` in front of its boxes (12.2.3).
const AUDIO_HEAD: usize = ENTRY_HEAD + 20;
/// What QuickTime's versions 1 and 2 of it have more.
const QUICKTIME_EXTRA: [usize; 3] = [0, 16, 36];
/// `objectTypeIndication`s of AAC (ISO/IEC 14496-1 table 5): MPEG-4, MPEG-2 Main, LC and SSR.
const AAC: [u8; 4] = [0x40, 0x66, 0x67, 0x68];

/// Reads a track's entry; `Err` holds the codec's name when it is none that is taken.
pub fn read(minf: &Child, hdlr: &Child) -> Result<Result<Entry, String>, Error> {
    let handler = hdlr.read::<Hdlr>("hdlr")?.handler;
    let is_media = [*b"vide", *b"soun"].contains(handler.as_ref());
    let stsd = minf.need(b"stbl")?.need(b"stsd")?;
    let mut entries = stsd.children(8);
    let entry = entries.next().ok_or_else(|| stsd.malformed("stsd", "it is empty"))??;
    let name = entry.name.escape_ascii().to_string();
    if !is_media {
        return Ok(Err(name));
    }
    if entries.next().is_some() {
        // Its parameter sets change on the way, which one record cannot say.
        return Ok(Err(format!("{name} with several sample entries")));
    }
    match &entry.name {
        b"avc1" | b"avc3" => video(&entry, "V_MPEG4/ISO/AVC", b"avcC").map(Ok),
        b"hvc1" | b"hev1" => video(&entry, "V_MPEGH/ISO/HEVC", b"hvcC").map(Ok),
        b"mp4a" => audio(&entry).map(|entry| entry.ok_or(name)),
        _ => Ok(Err(name)),
    }
}

fn video(entry: &Child, codec_id: &'static str, record: &'static [u8; 4]) -> Result<Entry, Error> {
    let side = |at: usize| {
        let bytes = entry.content.get(at..).and_then(|rest| rest.first_chunk::<2>());
        bytes.map_or(0, |bytes| u32::from(u16::from_be_bytes(*bytes)))
    };
    let (width, height) = (side(ENTRY_HEAD + 16), side(ENTRY_HEAD + 18));
    for child in entry.children(VISUAL_HEAD) {
        let child = child?;
        if child.name == *record {
            let record = Bytes::copy_from_slice(child.content);
            return Ok(Entry { kind: TrackKind::Video { width, height }, codec_id, record });
        }
    }
    let name = std::str::from_utf8(record).unwrap_or_default();
    Err(Error { at: entry.at, kind: ErrorKind::Missing { name } })
}

/// `None` for what is not AAC.
fn audio(entry: &Child) -> Result<Option<Entry>, Error> {
    let word = |at: usize| {
        let bytes = entry.content.get(at..).and_then(|rest| rest.first_chunk::<2>());
        bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes))
    };
    let extra = QUICKTIME_EXTRA.get(usize::from(word(ENTRY_HEAD))).copied().unwrap_or_default();
    let Some(esds) = find_esds(entry.children(AUDIO_HEAD + extra))? else {
        return Err(Error { at: entry.at, kind: ErrorKind::Missing { name: "esds" } });
    };
    let decoder = esds.read::<Esds>("esds")?.es_desc.dec_config;
    if !AAC.contains(&decoder.object_type_indication) {
        return Ok(None);
    }
    let record = decoder.dec_specific.map(|specific| Bytes::from(specific.raw)).unwrap_or_default();
    if record.is_empty() {
        return Err(esds.malformed("esds", "it has no AudioSpecificConfig"));
    }
    let kind = TrackKind::Audio {
        sampling_hz: f64::from(word(ENTRY_HEAD + 16)).max(1.0),
        channels: u32::from(word(ENTRY_HEAD + 8)),
    };
    Ok(Some(Entry { kind, codec_id: "A_AAC", record }))
}

/// The box stands in the entry, or in QuickTime's `wave` inside it.
fn find_esds(children: super::boxes::Children<'_>) -> Result<Option<Child<'_>>, Error> {
    for child in children {
        let child = child?;
        match &child.name {
            b"esds" => return Ok(Some(child)),
            b"wave" => return child.find(b"esds"),
            _ => {}
        }
    }
    Ok(None)
}
