//! `kinora produce` against the real server: what it sends arrives whole, also when the server
//! dies in between.

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::kvs::{fixture, frames_of};
use crate::support::{Server, command};

/// Starts `kinora produce SOURCE --stream camera …` with the server's root key.
fn produce(server: &Server, source: &str, arguments: &[&str]) -> Child {
    command()
        .args(["produce", source, "--stream", "camera", "--endpoint", &server.endpoint])
        .args(["--access-key", &server.credentials.access_key, "--fragment-seconds", "1"])
        .args(arguments)
        .env("AWS_SECRET_ACCESS_KEY", &server.credentials.secret)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the producer starts")
}

fn succeeds(producer: Child) -> String {
    let output = producer.wait_with_output().expect("our own child");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// Milliseconds between the end of each stored fragment and the start of the next one.
async fn distances(server: &Server) -> Vec<i64> {
    let fragments = server.list_fragments("camera").await;
    let mut spans: Vec<(i64, i64)> = fragments
        .iter()
        .map(|fragment| {
            let start = fragment.producer_timestamp().expect("a time").to_millis().expect("small");
            (start, start + fragment.fragment_length_in_milliseconds())
        })
        .collect();
    spans.sort_unstable();
    spans.windows(2).map(|pair| pair[1].0 - pair[0].1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn file_arrives_with_every_frame_and_its_codecs_as_they_were() {
    let server = Server::start();
    let name = "ffmpeg-h264_aac-sized_clusters";
    let path = format!("{}/media-fixtures/{name}.mkv", env!("CARGO_MANIFEST_DIR"));
    succeeds(produce(&server, &path, &["--fast"]));
    let sent = frames_of(&fixture(name));
    let chunks = server.chunks("camera").await;
    let stored: Vec<_> = chunks.values().flat_map(|chunk| frames_of(chunk)).collect();
    for track in [1, 2] {
        let sizes = |frames: &[kinora::media::mkv::Frame]| -> Vec<usize> {
            frames.iter().filter(|f| f.track == track).map(|f| f.data.len()).collect()
        };
        assert_eq!(sizes(&stored), sizes(&sent), "track {track}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_leaves_no_gap_when_the_server_is_killed_and_comes_back() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let producer = produce(&server, "test://?fps=15", &["--duration", "10"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let authority = server.authority().to_owned();
    let data = server.kill_9();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let server = Server::start_again(data, &authority);
    succeeds(producer);
    let distances = distances(&server).await;
    assert!(distances.len() >= 8, "{distances:?}");
    assert!(distances.iter().all(|gap| gap.abs() <= 70), "a gap or a repeat: {distances:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn producer_with_a_wrong_key_is_told_so() {
    let server = Server::start();
    let producer = produce(&server, "test://", &["--secret-key", "wrong", "--duration", "2"]);
    let output = producer.wait_with_output().expect("our own child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("key"), "{said}");
}
