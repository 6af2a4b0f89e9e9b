//! PutMedia: a body of MKV comes in while its acks go out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::{HeaderMap, header};
use tokio::sync::mpsc;
use tracing::Span;

use crate::api::{ApiError, AppState, ErrorKind, MediaBody, find_stream};
use crate::config::PutMediaLimits;
use crate::ingest::{self, Ack, End, Limits, Refusal, TimecodeType, Upload};
use crate::media::mkv;
use crate::store::PersistError;
use crate::types::{Millis, ProducerTimestamp};
use crate::wire::media as wire;

/// Acks that may wait for the producer to read them.
const ACKS_WAITING: usize = 64;
/// Complete fragments of one connection that may wait for the disk.
const UNPERSISTED_FRAGMENTS: usize = 16;

pub(super) async fn put_media(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (name, arn) = (text("x-amzn-stream-name"), text("x-amzn-stream-arn"));
    if name.is_some() && arn.is_some() {
        return Err(ApiError::invalid(
            "Exactly one of x-amzn-stream-name and x-amzn-stream-arn must be given.",
        ));
    }
    let stream = find_stream(&app, name, arn)?;
    let media = app.store.media(stream.id).ok_or_else(ApiError::no_stream)?;
    if let Some(reason) = app.store.poisoned() {
        tracing::error!(stream = %stream.name(), "PutMedia refused: {reason}");
        return Err(ApiError::new(
            ErrorKind::Unavailable,
            "The store accepts no writes since a disk failure; see /healthz.",
        ));
    }
    let timecodes = timecode_type(
        text("x-amzn-fragment-timecode-type"),
        text("x-amzn-producer-start-timestamp"),
    )?;
    let wants_acks = text("x-amzn-fragment-acknowledgment-required") != Some("0");

    let (acks, waiting_acks) = mpsc::channel(ACKS_WAITING);
    let limits =
        Limits { strict_timecodes: stream.strict_timecodes, ..limits(&app.config.put_media) };
    let upload = Upload { stream: media, timecodes, limits, acks };
    let body = MediaBody::begin(body).await;
    let span = tracing::info_span!("put_media", stream = %stream.name());
    tokio::spawn(receive(Arc::clone(&app), upload, body, span));
    Ok(answer(app, waiting_acks, wants_acks))
}

/// The upload runs as a task of its own, so that a producer which stops reading its acks, or
/// closes its side, does not keep a complete fragment from the disk. The span is entered only to
/// log: entering it with every frame would cost as much as parsing the frame.
async fn receive(app: AppState, upload: Upload, body: MediaBody, span: Span) {
    let _open = app.metrics.put_media_connections.enter();
    span.in_scope(|| tracing::info!("upload began"));
    let counted = Arc::clone(&app);
    let body = stream::unfold(body, |mut body| async move {
        let next = body.next().await?;
        Some((next, body))
    });
    let body = body.inspect(move |bytes| {
        let bytes = bytes.as_ref().map_or(0, Bytes::len);
        counted.metrics.put_media_bytes.add(bytes as u64);
    });
    // Fused, since a refused upload is drained whether its end was seen or not.
    let body = Box::pin(body.fuse());
    let end = ingest::run(upload, body, app.shutdown.cancelled()).await;
    span.in_scope(|| match end {
        End::Complete => tracing::info!("upload ended"),
        End::Shutdown => tracing::info!("upload ended: the server shuts down"),
        End::Refused(refusal) => tracing::warn!("upload refused: {refusal}"),
        End::Broken(reason) => {
            app.metrics.put_media_torn.add(1);
            tracing::warn!("upload broke off: {reason}");
        }
    });
}

/// The head goes out at once; then each ack as its own chunk, since the C producer parses one
/// ack per chunk and its buffer has 1024 bytes.
fn answer(app: AppState, acks: mpsc::Receiver<Ack>, wants_acks: bool) -> Response {
    // When each fragment that is not persisted yet was received; both come in the same order.
    let received = VecDeque::<Instant>::new();
    let state = (app, acks, received);
    let lines = stream::unfold(state, move |(app, mut acks, mut received)| async move {
        loop {
            let ack = acks.recv().await?;
            match ack {
                Ack::Received { .. } => {
                    app.metrics.put_media_fragments.add(1);
                    received.push_back(Instant::now());
                }
                Ack::Persisted { .. } => {
                    app.metrics.put_media_persisted.add(1);
                    if let Some(received) = received.pop_front() {
                        app.metrics.put_media_persist_seconds.observe(received.elapsed());
                    }
                }
                Ack::Error { .. } => app.metrics.put_media_errors.add(1),
                Ack::Buffering { .. } | Ack::Idle => {}
            }
            if wants_acks {
                let line = Ok::<_, std::convert::Infallible>(line_of(&ack));
                return Some((line, (app, acks, received)));
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

fn timecode_type(kind: Option<&str>, start: Option<&str>) -> Result<TimecodeType, ApiError> {
    let start = start
        .and_then(|text| text.parse().ok())
        .and_then(ProducerTimestamp::from_secs_f64)
        .ok_or_else(|| {
            ApiError::invalid(
                "x-amzn-producer-start-timestamp must be seconds since the Unix epoch.",
            )
        })?;
    match kind {
        Some("ABSOLUTE") => Ok(TimecodeType::Absolute),
        Some("RELATIVE") => Ok(TimecodeType::Relative(start)),
        _ => Err(ApiError::invalid("x-amzn-fragment-timecode-type must be ABSOLUTE or RELATIVE.")),
    }
}

pub(super) fn limits(config: &PutMediaLimits) -> Limits {
    let rate = |rate: u64| if config.enforce_rates { rate } else { 0 };
    Limits {
        fragment_bytes: usize::try_from(config.max_fragment_bytes).unwrap_or(usize::MAX),
        fragment_duration: Millis(config.max_fragment_ms),
        strict_timecodes: false,
        tracks: config.max_tracks,
        fragment_tags: config.max_tags,
        tag_name_bytes: config.max_tag_name_bytes,
        tag_value_bytes: config.max_tag_value_bytes,
        bytes_per_second: rate(config.max_bytes_per_second),
        fragments_per_second: rate(u64::from(config.max_fragments_per_second)),
        connection: Duration::from_secs(config.max_connection_seconds),
        idle: Duration::from_secs(config.idle_seconds),
        minimum_bytes_per_second: config.min_bytes_per_second,
        unpersisted_fragments: UNPERSISTED_FRAGMENTS,
    }
}

fn line_of(ack: &Ack) -> Bytes {
    let mut line = serde_json::to_vec(&shape_of(ack)).unwrap_or_default();
    line.extend_from_slice(b"\r\n");
    line.into()
}

pub(super) fn shape_of(ack: &Ack) -> wire::Ack {
    let (event, timecode, number) = match ack {
        Ack::Buffering { timecode_ms, number } => ("BUFFERING", Some(*timecode_ms), Some(number)),
        Ack::Received { timecode_ms, number } => ("RECEIVED", Some(*timecode_ms), Some(number)),
        Ack::Persisted { timecode_ms, number } => ("PERSISTED", Some(*timecode_ms), Some(number)),
        Ack::Error { timecode_ms, number, .. } => ("ERROR", *timecode_ms, number.as_ref()),
        Ack::Idle => ("IDLE", None, None),
    };
    let error = match ack {
        Ack::Error { refusal, .. } => Some(error_of(refusal)),
        _ => None,
    };
    wire::Ack {
        event_type: event.to_owned(),
        // The C producer throws an ack with a negative timecode away.
        fragment_timecode: timecode.filter(|&ms| ms >= 0),
        fragment_number: number.map(ToString::to_string).or(error.map(|_| String::new())),
        error_code: error.map(|(_, code)| code.to_owned()),
        error_id: error.map(|(id, _)| id),
    }
}

/// The ids and names of the KVS API's error acks.
fn error_of(refusal: &Refusal) -> (u32, &'static str) {
    use mkv::ErrorKind;
    match refusal {
        Refusal::ReadFailed(_) | Refusal::TooSlow { .. } => (4000, "STREAM_READ_ERROR"),
        Refusal::FragmentTooLarge { .. } | Refusal::TooManyElements { .. } => {
            (4001, "MAX_FRAGMENT_SIZE_REACHED")
        }
        Refusal::FragmentTooLong { .. } => (4002, "MAX_FRAGMENT_DURATION_REACHED"),
        Refusal::ConnectionTooLong => (4003, "MAX_CONNECTION_DURATION_REACHED"),
        Refusal::TimecodeNotAfterPrevious { .. } => {
            (4004, "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS")
        }
        Refusal::InvalidMkv(mkv::Error { kind: ErrorKind::ElementTooLarge { .. }, .. }) => {
            (4001, "MAX_FRAGMENT_SIZE_REACHED")
        }
        Refusal::InvalidMkv(_) | Refusal::InvalidOrder(_) => (4006, "INVALID_MKV_DATA"),
        Refusal::InvalidProducerTimestamp => (4007, "INVALID_PRODUCER_TIMESTAMP"),
        Refusal::StreamNotActive => (4008, "STREAM_NOT_ACTIVE"),
        Refusal::TooManyTags => (4009, "FRAGMENT_METADATA_LIMIT_REACHED"),
        Refusal::UnknownTrack(_) => (4010, "TRACK_NUMBER_MISMATCH"),
        Refusal::MissingFrames(_) => (4011, "FRAMES_MISSING_FOR_TRACK"),
        Refusal::TooManyTracks { .. } => (4012, "MORE_THAN_ALLOWED_TRACKS_FOUND"),
        Refusal::NotPersisted(PersistError::StreamDeleted) => (4008, "STREAM_NOT_ACTIVE"),
        Refusal::NotPersisted(_) => (5001, "ARCHIVAL_ERROR"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FragmentNumber, ServerTimestamp};

    #[test]
    fn acks_are_written_as_producers_parse_them() {
        let number = FragmentNumber::new(1, ServerTimestamp::from_millis(1), 1);
        let line = |ack: Ack| String::from_utf8(line_of(&ack).to_vec()).expect("text");
        let buffering = line(Ack::Buffering { timecode_ms: 1_597_730_826_769, number });
        assert_eq!(
            buffering,
            format!(
                "{{\"EventType\":\"BUFFERING\",\"FragmentTimecode\":1597730826769,\
                 \"FragmentNumber\":\"{number}\"}}\r\n"
            )
        );
        let refusal = Refusal::TimecodeNotAfterPrevious { previous_ms: 2, got_ms: 1 };
        let error = line(Ack::Error { timecode_ms: Some(-1), number: None, refusal });
        assert_eq!(
            error,
            "{\"EventType\":\"ERROR\",\"FragmentNumber\":\"\",\
             \"ErrorCode\":\"FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS\",\"ErrorId\":4004}\r\n"
        );
        assert_eq!(line(Ack::Idle), "{\"EventType\":\"IDLE\"}\r\n");
    }

    #[test]
    fn timestamps_that_are_no_numbers_are_refused() {
        assert!(timecode_type(Some("ABSOLUTE"), Some("1795308686.969")).is_ok());
        for start in [None, Some(""), Some("today"), Some("NaN"), Some("1e300")] {
            assert!(timecode_type(Some("ABSOLUTE"), start).is_err(), "{start:?}");
        }
    }
}
