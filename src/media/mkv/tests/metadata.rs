//! Info, Tracks and Tags.

use super::*;
use crate::types::TimestampScale;

fn only_event(next: Vec<u8>) -> EventKind {
    events(&join(&[opened(), next])).remove(2)
}

fn entry(fields: &[Vec<u8>]) -> Vec<u8> {
    element(ids::TRACKS, &element(ids::TRACK_ENTRY, &join(fields)))
}

#[test]
fn doc_type_and_scale_have_their_defaults() {
    let webm = element(ids::EBML, &element(ids::DOC_TYPE, b"webm\0\0"));
    assert_eq!(events(&webm), [EventKind::EbmlHead { doc_type: "webm".to_owned() }]);
    let bare = element(ids::EBML, &[]);
    assert_eq!(events(&bare), [EventKind::EbmlHead { doc_type: "matroska".to_owned() }]);
    let info = EventKind::Info { scale: TimestampScale::MILLISECOND };
    assert_eq!(only_event(element(ids::INFO, &[])), info);
    for scale in [&[0][..], &[0xff; 8], &[0; 9]] {
        let info = element(ids::INFO, &element(ids::TIMESTAMP_SCALE, scale));
        let kind = error(&join(&[opened(), info])).kind;
        assert_eq!(kind, ErrorKind::InvalidValue { id: ids::TIMESTAMP_SCALE });
    }
}

#[test]
fn track_entry_is_read_in_full() {
    let audio = join(&[
        element(ids::SAMPLING_FREQUENCY, &44_100f32.to_be_bytes()),
        element(ids::CHANNELS, &[2]),
    ]);
    let fields = [
        element(ids::TRACK_NUMBER, &[3]),
        element(ids::TRACK_TYPE, &[2]),
        element(ids::NAME, b"microphone"),
        element(ids::CODEC_ID, b"A_OPUS"),
        element(ids::CODEC_PRIVATE, b"OpusHead"),
        element(ids::CODEC_DELAY, &6_500_000u32.to_be_bytes()),
        element(ids::DEFAULT_DURATION, &20_000_000u32.to_be_bytes()),
        element(ids::AUDIO, &audio),
    ];
    let track = Track {
        number: 3,
        kind: TrackKind::Audio { sampling_hz: 44_100.0, channels: 2 },
        name: Some("microphone".to_owned()),
        codec_id: "A_OPUS".to_owned(),
        codec_private: Some(Bytes::from_static(b"OpusHead")),
        codec_delay_ns: 6_500_000,
        default_duration_ns: Some(20_000_000),
    };
    assert_eq!(only_event(entry(&fields)), EventKind::Tracks(vec![track]));
}

#[test]
fn track_without_number_or_codec_is_refused() {
    let (number, codec) = (element(ids::TRACK_NUMBER, &[1]), element(ids::CODEC_ID, b"V_VP8"));
    let zero = element(ids::TRACK_NUMBER, &[0]);
    let kind = |fields: &[Vec<u8>]| error(&join(&[opened(), entry(fields)])).kind;
    assert_eq!(kind(std::slice::from_ref(&codec)), ErrorKind::TrackWithoutNumber);
    assert_eq!(kind(&[zero, codec]), ErrorKind::TrackWithoutNumber);
    assert_eq!(kind(std::slice::from_ref(&number)), ErrorKind::TrackWithoutCodec { track: 1 });
    let nameless = element(ids::CODEC_ID, b"");
    assert_eq!(kind(&[number, nameless]), ErrorKind::TrackWithoutCodec { track: 1 });
}

#[test]
fn values_out_of_range_are_refused() {
    for (kind, holder, id, value) in [
        (1, ids::VIDEO, ids::PIXEL_WIDTH, &[1, 0, 0, 0, 0][..]),
        (2, ids::AUDIO, ids::CHANNELS, &[1, 0, 0, 0, 0]),
        (2, ids::AUDIO, ids::SAMPLING_FREQUENCY, &f64::NAN.to_be_bytes()),
        (2, ids::AUDIO, ids::SAMPLING_FREQUENCY, &[0; 3]),
    ] {
        let fields = [
            element(ids::TRACK_NUMBER, &[1]),
            element(ids::TRACK_TYPE, &[kind]),
            element(ids::CODEC_ID, b"X"),
            element(holder, &element(id, value)),
        ];
        let body = join(&[opened(), entry(&fields)]);
        assert_eq!(error(&body).kind, ErrorKind::InvalidValue { id });
    }
}

#[test]
fn tags_are_read_in_order_and_nested_ones_passed_over() {
    let simple = |fields: &[Vec<u8>]| element(ids::SIMPLE_TAG, &join(fields));
    let (name, value) = (|n: &[u8]| element(ids::TAG_NAME, n), |v| element(ids::TAG_STRING, v));
    let first = simple(&[name(b"A"), value(b"1"), simple(&[name(b"NESTED")])]);
    let body = element(
        ids::TAGS,
        &join(&[
            element(ids::TAG, &join(&[element(0x63C0, &[]), first, simple(&[name(b"B")])])),
            element(ids::TAG, &simple(&[value(b"nameless")])),
        ]),
    );
    let tag = |name: &str, value: &str| Tag { name: name.to_owned(), value: value.to_owned() };
    let expected = vec![tag("A", "1"), tag("B", ""), tag("", "nameless")];
    assert_eq!(only_event(body), EventKind::Tags(expected));
}

#[test]
fn tracks_and_tags_are_counted() {
    let codec = [element(ids::TRACK_NUMBER, &[1]), element(ids::CODEC_ID, b"X")].concat();
    let entries = element(ids::TRACK_ENTRY, &codec).repeat(MAX_TRACKS + 1);
    let body = join(&[opened(), element(ids::TRACKS, &entries)]);
    let kind = ErrorKind::TooMany { id: ids::TRACK_ENTRY, limit: MAX_TRACKS };
    assert_eq!(error(&body).kind, kind);
    let simple = element(ids::SIMPLE_TAG, &[]).repeat(MAX_TAGS + 1);
    let body = join(&[opened(), element(ids::TAGS, &element(ids::TAG, &simple))]);
    let kind = ErrorKind::TooMany { id: ids::SIMPLE_TAG, limit: MAX_TAGS };
    assert_eq!(error(&body).kind, kind);
}

#[test]
fn malformed_children_are_reported_where_they_stand() {
    let tags = element(ids::TAGS, &element(ids::TAG, &[0x67, 0xc8, 0x85, 0x45]));
    let body = join(&[opened(), tags]);
    let at = body.len() as u64 - 4;
    let kind = ErrorKind::BeyondParent { id: ids::SIMPLE_TAG };
    assert_eq!(error(&body), Error { at, kind });
}
