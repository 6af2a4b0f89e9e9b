//! Real pipelines: what GStreamer's sources tell the producer.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::media::mkv::read_chunk;
use crate::produce::SourceSpec;
use crate::produce::gstreamer::{OpenError, SourceOptions, open};
use crate::produce::source::{Source, SourceEvent};
use crate::types::Millis;

const PATIENCE: Duration = Duration::from_secs(20);

async fn open_source(spec: &str, options: SourceOptions) -> Result<Source, OpenError> {
    let spec: SourceSpec = spec.parse().expect("a source");
    open(spec, SourceOptions { fragment: Millis(1000), ..options }, Clock::system()).await
}

/// Events up to the end, or until there are enough video frames.
async fn events(mut source: Source, video_frames: usize) -> Vec<SourceEvent> {
    let mut events = Vec::new();
    let mut count = 0;
    while count < video_frames {
        let next = tokio::time::timeout(PATIENCE, source.events.recv()).await;
        let Some(event) = next.expect("the source goes on") else { break };
        count += usize::from(matches!(&event, SourceEvent::Frame(f) if f.track == VIDEO));
        let last = matches!(event, SourceEvent::End | SourceEvent::Failed(_));
        events.push(event);
        if last {
            break;
        }
    }
    events
}

fn frames(events: &[SourceEvent], track: u64) -> Vec<&SourceFrame> {
    let frames = events.iter().filter_map(|event| match event {
        SourceEvent::Frame(frame) if frame.track == track => Some(frame),
        _ => None,
    });
    frames.collect()
}

fn tracks(events: &[SourceEvent]) -> Vec<&Track> {
    let tracks = events.iter().filter_map(|event| match event {
        SourceEvent::Track(track) => Some(track),
        _ => None,
    });
    tracks.collect()
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("media-fixtures").join(name);
    path.to_str().expect("a path of text").to_owned()
}

fn fast() -> SourceOptions {
    let start = Some(ProducerTimestamp::from_millis(START));
    SourceOptions { fast: true, start, ..SourceOptions::default() }
}

#[tokio::test]
async fn test_picture_comes_in_the_present_with_a_key_frame_per_fragment() {
    let began = Clock::system().now().as_millis();
    let spec = "test://?size=160x120&fps=10&bitrate=200k";
    let source = open_source(spec, SourceOptions::default()).await.expect("opens");
    assert!(source.live);
    let events = events(source, 25).await;
    let now = Clock::system().now().as_millis();

    assert!(events.contains(&SourceEvent::Expect(2)));
    let mut codecs: Vec<_> = tracks(&events).iter().map(|t| t.codec_id.as_str()).collect();
    codecs.sort_unstable();
    assert_eq!(codecs, ["A_AAC", "V_MPEG4/ISO/AVC"]);
    let video = frames(&events, VIDEO);
    let keys: Vec<_> = video.iter().map(|frame| frame.keyframe).collect();
    let expected: Vec<_> = (0..25).map(|n| n % 10 == 0).collect();
    assert_eq!(keys, expected);
    let first = video[0].time.as_millis();
    assert!((began - 100..now).contains(&first), "{began} {first} {now}");
    let length = video[24].time.since(video[0].time).0;
    assert!((2399..=2401).contains(&length), "{length}");
    assert!(frames(&events, AUDIO).len() > 50);
}

#[tokio::test]
async fn file_of_h264_and_aac_goes_through_as_it_is() {
    let path = fixture("ffmpeg-h264_aac-live.mkv");
    let chunk = read_chunk(&std::fs::read(&path).expect("the fixture").into()).expect("MKV");
    let source = open_source(&path, fast()).await.expect("opens");
    assert!(!source.live);
    let events = events(source, usize::MAX).await;
    assert_eq!(events.last(), Some(&SourceEvent::End));
    for (number, codec) in [(VIDEO, "V_MPEG4/ISO/AVC"), (AUDIO, "A_AAC")] {
        let original = chunk
            .tracks
            .iter()
            .find(|track| matches!(track.kind, TrackKind::Video { .. }) == (number == VIDEO));
        let original = original.expect("the fixture has both").number;
        let of_track = |frame: &&Frame| frame.track == original;
        let expected: Vec<_> =
            chunk.frames.iter().filter(of_track).map(|frame| frame.data.clone()).collect();
        let got: Vec<_> = frames(&events, number).iter().map(|f| f.data.clone()).collect();
        assert_eq!(got, expected, "{codec}");
        assert!(tracks(&events).iter().any(|track| track.codec_id == codec));
    }
    let first = frames(&events, VIDEO)[0].time.as_millis();
    assert!((START..START + 200).contains(&first), "{first}");
}

#[tokio::test]
async fn file_that_repeats_goes_on_without_a_gap() {
    let path = fixture("ffmpeg-h264_aac-sized_clusters.mkv");
    let once = events(open_source(&path, fast()).await.expect("opens"), usize::MAX).await;
    let once = frames(&once, VIDEO).len();
    let options = SourceOptions { repeat: true, ..fast() };
    let source = open_source(&path, options).await.expect("opens");
    let events = events(source, 3 * once).await;
    let video = frames(&events, VIDEO);
    assert_eq!(video.len(), 3 * once);
    for (first, second) in video[..once].iter().zip(&video[once..]) {
        assert_eq!(first.data, second.data);
    }
    let mut times: Vec<_> = video.iter().map(|frame| frame.time.as_millis()).collect();
    times.sort_unstable();
    let gaps = times.windows(2).map(|two| two[1] - two[0]);
    assert!(gaps.clone().all(|gap| (1..200).contains(&gap)), "{:?}", gaps.collect::<Vec<_>>());
}

#[tokio::test]
async fn other_codecs_are_encoded_again() {
    let source = open_source(&fixture("ffmpeg-opus-codec_delay.mkv"), fast()).await;
    let events_of_audio = events(source.expect("opens"), usize::MAX).await;
    assert_eq!(tracks(&events_of_audio)[0].codec_id, "A_AAC");
    assert!(!frames(&events_of_audio, AUDIO).is_empty());

    let launch = "gst:videotestsrc num-buffers=20 ! video/x-raw,width=160,height=120 ! vp8enc";
    let source = open_source(launch, SourceOptions::default()).await;
    let events_of_video = events(source.expect("opens"), usize::MAX).await;
    assert_eq!(tracks(&events_of_video)[0].codec_id, "V_MPEG4/ISO/AVC");
    assert_eq!(frames(&events_of_video, VIDEO).len(), 20);
}

#[tokio::test]
async fn audio_that_is_not_wanted_is_left_out() {
    let path = fixture("ffmpeg-h264_aac-live.mkv");
    let options = SourceOptions { audio: false, ..fast() };
    let events = events(open_source(&path, options).await.expect("opens"), usize::MAX).await;
    assert!(events.contains(&SourceEvent::Expect(1)));
    assert!(frames(&events, AUDIO).is_empty());
}

#[tokio::test]
async fn source_that_is_asked_to_stop_ends() {
    let mut source =
        open_source("test://?size=160x120", SourceOptions::default()).await.expect("opens");
    source.control.stop();
    let events = events(source, usize::MAX).await;
    assert_eq!(events.last(), Some(&SourceEvent::End));
}

#[tokio::test]
async fn what_is_no_media_fails_with_a_reason() {
    let source = open_source(&fixture("README.md"), fast()).await;
    let failed = match source {
        Ok(source) => {
            matches!(events(source, usize::MAX).await.last(), Some(SourceEvent::Failed(_)))
        }
        Err(_) => true,
    };
    assert!(failed);
    for launch in ["gst:nosuchelement", "gst:fakesrc ! fakesink"] {
        assert!(open_source(launch, fast()).await.is_err(), "{launch}");
    }
    let missing = open_source("/nonexistent.mp4", fast()).await;
    assert!(matches!(missing, Err(OpenError::File(..))));
}
