//! HLS playlists (RFC 8216), with the tags and in the order in which AWS writes them.
//!
//! URIs are closures that append to the text, so that a playlist of thousands of segments is
//! written into one buffer.

use std::fmt::Write;

use crate::media::codec::Size;
use crate::types::Millis;

/// Appends a URI to the playlist. It must not write line ends or quotation marks.
pub type WriteUri<'a> = &'a dyn Fn(&mut String);

/// A master playlist: one variant, perhaps with its sound apart.
pub struct Master<'a> {
    /// `CODECS`: RFC 6381 strings, separated by commas.
    pub codecs: &'a str,
    /// `RESOLUTION` of the picture.
    pub size: Option<Size>,
    /// `FRAME-RATE`, frames per second.
    pub frame_rate: Option<f64>,
    /// `BANDWIDTH`: bits per second of the densest segment, sound included.
    pub bandwidth: u64,
    /// The media playlist of the variant.
    pub uri: WriteUri<'a>,
    /// The media playlist of the sound that goes with it.
    pub audio: Option<WriteUri<'a>>,
}

/// What a media playlist says before its first segment.
#[derive(Clone, Copy, Debug)]
pub struct MediaHead {
    /// The list is complete and will never change: `PLAYLIST-TYPE:VOD`.
    pub on_demand: bool,
    /// Whole seconds that no segment's rounded duration exceeds.
    pub target_duration: u64,
    /// Number of the first segment.
    pub media_sequence: u64,
    /// Discontinuities before the first segment.
    pub discontinuity_sequence: u64,
}

/// A media segment and the tags that apply to it, in their order.
pub struct Segment<'a> {
    /// Timestamps or format break between the preceding segment and this one.
    pub discontinuity: bool,
    /// A new init segment, for this segment and those after it.
    pub map: Option<WriteUri<'a>>,
    /// `PROGRAM-DATE-TIME`: milliseconds since the Unix epoch.
    pub date_time_ms: Option<i64>,
    /// The segment is known to be unavailable or superseded, and must not be loaded.
    pub gap: bool,
    /// `EXTINF`.
    pub duration: Millis,
    /// The segment.
    pub uri: WriteUri<'a>,
}

/// A media playlist being written.
pub struct Media {
    text: String,
}

/// Text that a segment with a long session token takes, for sizing the buffer.
const SEGMENT_TEXT: usize = 400;
/// `GROUP-ID` of the only audio group.
const AUDIO_GROUP: &str = "audio";

impl Master<'_> {
    /// The playlist's text.
    pub fn write(&self) -> String {
        let mut text = String::with_capacity(2 * SEGMENT_TEXT);
        // EXT-X-MEDIA came with version 4.
        let version = if self.audio.is_some() { 4 } else { 1 };
        put(&mut text, format_args!("#EXTM3U\n#EXT-X-VERSION:{version}\n"));
        if let Some(uri) = self.audio {
            put(&mut text, format_args!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\","));
            text.push_str("NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,URI=\"");
            uri(&mut text);
            text.push_str("\"\n");
        }
        put(&mut text, format_args!("#EXT-X-STREAM-INF:CODECS=\"{}\"", self.codecs));
        if let Some(Size { width, height }) = self.size {
            put(&mut text, format_args!(",RESOLUTION={width}x{height}"));
        }
        if let Some(rate) = self.frame_rate {
            text.push_str(",FRAME-RATE=");
            put_frame_rate(&mut text, rate);
        }
        put(&mut text, format_args!(",BANDWIDTH={}", self.bandwidth));
        if self.audio.is_some() {
            put(&mut text, format_args!(",AUDIO=\"{AUDIO_GROUP}\""));
        }
        text.push('\n');
        (self.uri)(&mut text);
        text.push('\n');
        text
    }
}

impl Media {
    /// Begins a playlist of about `segments` segments.
    pub fn new(head: &MediaHead, segments: usize) -> Self {
        let mut text = String::with_capacity((segments + 1) * SEGMENT_TEXT);
        text.push_str("#EXTM3U\n#EXT-X-VERSION:7\n");
        if head.on_demand {
            text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n");
        }
        put(&mut text, format_args!("#EXT-X-TARGETDURATION:{}\n", head.target_duration));
        put(&mut text, format_args!("#EXT-X-MEDIA-SEQUENCE:{}\n", head.media_sequence));
        if head.discontinuity_sequence > 0 {
            let sequence = head.discontinuity_sequence;
            put(&mut text, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{sequence}\n"));
        }
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        Self { text }
    }

    /// Adds a segment.
    pub fn segment(&mut self, segment: &Segment<'_>) {
        let text = &mut self.text;
        if segment.discontinuity {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if let Some(uri) = segment.map {
            text.push_str("#EXT-X-MAP:URI=\"");
            uri(text);
            text.push_str("\"\n");
        }
        if let Some(time) =
            segment.date_time_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        {
            put(text, format_args!("#EXT-X-PROGRAM-DATE-TIME:{time:.3}\n"));
        }
        if segment.gap {
            text.push_str("#EXT-X-GAP\n");
        }
        let Millis(duration) = segment.duration;
        put(text, format_args!("#EXTINF:{}.{:03},\n", duration / 1000, duration % 1000));
        (segment.uri)(text);
        text.push('\n');
    }

    /// The text of a playlist to which segments will be added.
    pub fn finish_open(self) -> String {
        self.text
    }

    /// The text of a playlist that is complete: `ENDLIST`.
    pub fn finish_ended(mut self) -> String {
        self.text.push_str("#EXT-X-ENDLIST\n");
        self.text
    }
}

/// Appends formatted text.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _infallible = text.write_fmt(arguments);
}

/// At most three decimals (RFC 8216 4.3.4.2) and, as AWS writes it, at least one: `15.0`.
fn put_frame_rate(text: &mut String, rate: f64) {
    put(text, format_args!("{rate:.3}"));
    while text.ends_with("00") || (text.ends_with('0') && !text.ends_with(".0")) {
        text.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_playlist_reads_as_aws_writes_it() {
        let master = Master {
            codecs: "avc1.4d4029",
            size: Some(Size { width: 1280, height: 720 }),
            frame_rate: Some(15.0),
            bandwidth: 1_953_544,
            uri: &|text| text.push_str("getHLSMediaPlaylist.m3u8?SessionToken=T&TrackNumber=1"),
            audio: None,
        };
        let expected = "#EXTM3U\n#EXT-X-VERSION:1\n#EXT-X-STREAM-INF:CODECS=\"avc1.4d4029\",\
            RESOLUTION=1280x720,FRAME-RATE=15.0,BANDWIDTH=1953544\n\
            getHLSMediaPlaylist.m3u8?SessionToken=T&TrackNumber=1\n";
        assert_eq!(master.write(), expected);
    }

    #[test]
    fn sound_apart_is_an_audio_group_of_the_variant() {
        let text = Master {
            codecs: "avc1.4d4029,mp4a.40.2",
            size: Some(Size { width: 640, height: 360 }),
            frame_rate: Some(30_000.0 / 1001.0),
            bandwidth: 1,
            uri: &|text| text.push_str("video"),
            audio: Some(&|text| text.push_str("audio")),
        }
        .write();
        let master = m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect("valid");
        assert_eq!(master.version, Some(4));
        let (variant, group) = (&master.variants[0], &master.alternatives[0]);
        assert_eq!((variant.uri.as_str(), group.uri.as_deref()), ("video", Some("audio")));
        assert_eq!(variant.audio.as_ref(), Some(&group.group_id));
        assert_eq!(variant.frame_rate, Some(29.97));
        assert!(group.default && group.autoselect);
    }

    #[test]
    fn frame_rates_have_one_to_three_decimals() {
        for (rate, expected) in
            [(15.0, "15.0"), (29.97003, "29.97"), (12.5, "12.5"), (100.0, "100.0")]
        {
            let mut text = String::new();
            put_frame_rate(&mut text, rate);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn on_demand_playlist_reads_as_aws_writes_it() {
        let head = MediaHead {
            on_demand: true,
            target_duration: 3,
            media_sequence: 0,
            discontinuity_sequence: 0,
        };
        let mut media = Media::new(&head, 1);
        media.segment(&Segment {
            discontinuity: true,
            map: Some(&|text| text.push_str("getMP4InitFragment.mp4?SequenceNumber=0")),
            date_time_ms: Some(1_684_331_315_994),
            gap: false,
            duration: Millis(2663),
            uri: &|text| text.push_str("getMP4MediaFragment.mp4?FragmentNumber=9134"),
        });
        let expected = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-PLAYLIST-TYPE:VOD\n\
            #EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n\
            #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"getMP4InitFragment.mp4?SequenceNumber=0\"\n\
            #EXT-X-PROGRAM-DATE-TIME:2023-05-17T13:48:35.994Z\n#EXTINF:2.663,\n\
            getMP4MediaFragment.mp4?FragmentNumber=9134\n#EXT-X-ENDLIST\n";
        assert_eq!(media.finish_ended(), expected);
    }

    #[test]
    fn live_playlist_is_understood_by_a_parser() {
        let head = MediaHead {
            on_demand: false,
            target_duration: 2,
            media_sequence: 41,
            discontinuity_sequence: 7,
        };
        let mut media = Media::new(&head, 2);
        for (gap, date_time_ms) in [(true, None), (false, Some(0))] {
            media.segment(&Segment {
                discontinuity: gap,
                map: None,
                date_time_ms,
                gap,
                duration: Millis(2005),
                uri: &|text| text.push_str("segment"),
            });
        }
        let text = media.finish_open();
        assert!(text.contains("#EXT-X-GAP\n#EXTINF:2.005,\nsegment\n"), "{text}");
        assert!(text.contains("#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n"), "{text}");
        let media = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("valid");
        assert_eq!((media.media_sequence, media.discontinuity_sequence), (41, 7));
        assert!(!media.end_list && media.playlist_type.is_none());
        assert_eq!(media.segments.len(), 2);
        assert!(media.segments[0].discontinuity && !media.segments[1].discontinuity);
    }
}
