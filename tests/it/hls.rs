//! HLS as players use it: session URLs, playlists, segments, and what ffprobe and GStreamer say.

use std::process::Command;

use aws_sdk_kinesisvideoarchivedmedia::types::{
    HlsDiscontinuityMode, HlsFragmentSelector, HlsFragmentSelectorType, HlsPlaybackMode,
    HlsTimestampRange,
};
use m3u8_rs::{MasterPlaylist, MediaPlaylist, Playlist};

use crate::bodies::{self, body};
use crate::kvs::{fixture, frames_of};
use crate::producer::{Head, of_kind, put_media};
use crate::support::Server;

type Time = aws_sdk_kinesisvideoarchivedmedia::primitives::DateTime;

/// A server with a recorded upload of H.264 and AAC.
async fn recorded() -> Server {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let acks = put_media(
        &server,
        &Head::absolute("camera"),
        &fixture("kvssink-h264_aac-two_tracks"),
        65_524,
    );
    assert!(of_kind(&acks, "ERROR").is_empty(), "{acks:?}");
    server
}

async fn on_demand_url(server: &Server, stream: &str) -> String {
    let fragments = server.list_fragments(stream).await;
    let times = || fragments.iter().filter_map(|f| f.producer_timestamp()).map(Time::as_nanos);
    let (first, last) = (times().min().expect("a fragment"), times().max().expect("a fragment"));
    let second = 1_000_000_000;
    let range = HlsTimestampRange::builder()
        .start_timestamp(Time::from_nanos(first - second).expect("a time"))
        .end_timestamp(Time::from_nanos(last + second).expect("a time"))
        .build();
    let selector = HlsFragmentSelector::builder()
        .fragment_selector_type(HlsFragmentSelectorType::ProducerTimestamp)
        .timestamp_range(range)
        .build();
    let request = server.archive().get_hls_streaming_session_url().stream_name(stream);
    let output = request
        .playback_mode(HlsPlaybackMode::OnDemand)
        .hls_fragment_selector(selector)
        .discontinuity_mode(HlsDiscontinuityMode::OnDiscontinuity)
        .send()
        .await
        .expect("a session");
    output.hls_streaming_session_url().expect("a URL").to_owned()
}

fn master(text: &[u8]) -> MasterPlaylist {
    match m3u8_rs::parse_playlist_res(text).expect("a playlist") {
        Playlist::MasterPlaylist(playlist) => playlist,
        Playlist::MediaPlaylist(_) => panic!("not a master playlist"),
    }
}

fn media(text: &[u8]) -> MediaPlaylist {
    match m3u8_rs::parse_playlist_res(text).expect("a playlist") {
        Playlist::MediaPlaylist(playlist) => playlist,
        Playlist::MasterPlaylist(_) => panic!("not a media playlist"),
    }
}

/// The playlist of the video track behind a session URL, and the folder that its links are in.
fn video_playlist(server: &Server, url: &str) -> (MediaPlaylist, String) {
    let (folder, _) = url.split_at(url.find("getHLS").expect("AWS's form of the URL"));
    let playlist = master(&server.get(url).body);
    let variant = playlist.variants.first().expect("a variant");
    (media(&server.get(&format!("{folder}{}", variant.uri)).body), folder.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_session_plays_in_ffprobe_with_every_frame() {
    let server = recorded().await;
    let url = on_demand_url(&server, "camera").await;
    let expected = frames_of(&fixture("kvssink-h264_aac-two_tracks"));
    for (kind, track) in [("v", 1), ("a", 2)] {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", kind, "-count_packets"])
            .args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", &url])
            .output()
            .expect("ffprobe is installed (make setup)");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "ffprobe: {said}");
        let packets = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // ffprobe lists a rendition once per program and once by itself.
        let packets = packets.lines().next().unwrap_or_default().trim_end_matches(',').to_owned();
        let frames = expected.iter().filter(|frame| frame.track == track).count();
        assert_eq!(packets, frames.to_string(), "track {track}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_session_plays_in_gstreamer() {
    let server = recorded().await;
    let url = on_demand_url(&server, "camera").await;
    let pipeline = ["uri", "=", &url].concat();
    let output = Command::new("timeout")
        .args(["60", "gst-launch-1.0", "-q", "playbin", &pipeline])
        .args(["video-sink=fakesink", "audio-sink=fakesink"])
        .output()
        .expect("GStreamer is installed (make setup)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "gst-launch: {said}");
    assert!(!said.contains("ERROR"), "gst-launch: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_demand_playlist_is_complete_and_its_segments_are_cmaf() {
    let server = recorded().await;
    let url = on_demand_url(&server, "camera").await;
    let (playlist, folder) = video_playlist(&server, &url);
    assert!(playlist.end_list);
    assert_eq!(playlist.segments.len(), server.list_fragments("camera").await.len());
    let map = playlist.segments[0].map.as_ref().expect("an init segment");
    let init = server.get(&format!("{folder}{}", map.uri));
    assert_eq!((init.status, init.header("content-type")), (200, Some("video/mp4")));
    assert_eq!(&init.body[4..8], b"ftyp");
    for segment in &playlist.segments {
        let bytes = server.get(&format!("{folder}{}", segment.uri)).body;
        assert!(bytes.windows(4).any(|window| window == b"moof"), "a movie fragment");
        assert!(f64::from(segment.duration) > 0.5 && f64::from(segment.duration) < 3.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_playlist_moves_on_and_keeps_its_numbers() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let now_ms = kinora::clock::Clock::system().now().as_millis() as u64;
    let head = bodies::head_of(vec![bodies::playable_video(1)]);
    let upload = |from: u64, to: u64| {
        let fragments = (from..to).flat_map(|at| bodies::fragment(now_ms + at * 1000, 200));
        let body: Vec<u8> = head.iter().copied().chain(fragments).collect();
        put_media(&server, &Head::absolute("camera"), &body, 4_096)
    };
    upload(0, 7);
    let request = server.archive().get_hls_streaming_session_url().stream_name("camera");
    let output = request.send().await.expect("a live session");
    let url = output.hls_streaming_session_url().expect("a URL");
    let (before, _) = video_playlist(&server, url);
    assert_eq!(before.segments.len(), 5);
    assert!(!before.end_list);
    upload(7, 9);
    let (after, _) = video_playlist(&server, url);
    assert_eq!(after.media_sequence, before.media_sequence + 2);
    assert_eq!(after.segments[0].uri, before.segments[2].uri);
}

#[tokio::test(flavor = "multi_thread")]
async fn native_playlists_are_played_with_a_token_and_refused_without() {
    let server = recorded().await;
    let live = format!("{}/v1/streams/camera/live.m3u8", server.endpoint);
    assert_eq!(server.get(&live).status, 401);
    let played = server.get_with_key(&live);
    assert_eq!(played.status, 200, "the capture just arrived: {}", played.text());
    let variant = master(&played.body).variants.first().expect("a variant").uri.clone();
    let playlist = media(&server.get(&format!("{}{variant}", server.endpoint)).body);
    assert!(playlist.segments.iter().all(|segment| segment.program_date_time.is_some()));
    let start =
        server.list_fragments("camera").await[0].producer_timestamp().expect("a time").secs();
    let range = format!(
        "{}/v1/streams/camera/hls.m3u8?start={}&end={}",
        server.endpoint,
        start - 60,
        start + 60
    );
    assert_eq!(server.get_with_key(&range).status, 200);
    let none = format!("{}/v1/streams/camera/hls.m3u8?start=1000&end=2000", server.endpoint);
    assert_eq!(server.get_with_key(&none).status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_that_cannot_be_played_says_why() {
    let server = Server::start();
    let session =
        |stream: &str| server.archive().get_hls_streaming_session_url().stream_name(stream).send();
    server.create_stream("empty", 24).await;
    let error = session("empty").await.expect_err("refused").into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
    server.create_stream("unretained", 0).await;
    let error = session("unretained").await.expect_err("refused").into_service_error();
    assert!(error.is_no_data_retention_exception(), "{error:?}");
    server.create_stream("codec", 24).await;
    put_media(&server, &Head::absolute("codec"), &body(1, 100), 4_096);
    let error = session("codec").await.expect_err("refused").into_service_error();
    assert!(error.is_missing_codec_private_data_exception(), "{error:?}");
    let message = error.meta().message().unwrap_or_default().to_owned();
    assert_eq!(message, "Missing codec private data in fragment for track 1.");
    let request = server.archive().get_hls_streaming_session_url().stream_name("codec");
    let error = request.expires(10).send().await.expect_err("refused").into_service_error();
    assert!(error.is_invalid_argument_exception(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_session_token_is_refused() {
    let server = recorded().await;
    let url = on_demand_url(&server, "camera").await;
    let (path, token) = url.split_once("SessionToken=").expect("a token");
    for at in [2, 20, token.len() / 2, token.len() - 5] {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let altered = format!("{path}SessionToken={}{other}{}", &token[..at], &token[at + 1..]);
        assert_eq!(server.get(&altered).status, 403, "{altered}");
    }
    assert_eq!(server.get(url.split('?').next().expect("a path")).status, 400);
}
