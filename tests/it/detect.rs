//! Faces on the real chain: GStreamer makes a film, the server stores it, `kinora detect` looks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora::wire::findings::{FindingRecord, TrackEventType};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Server;

/// When the film begins.
pub const START: f64 = 1_700_000_000.0;
const FINDINGS: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/findings";
const PORTRAIT: &str = "models/sources/skimage/data/astronaut.png";

/// Three seconds of a portrait at a size, 25 pictures a second, a key frame each second.
pub fn film(dir: &Path, name: &str, size: &str) -> PathBuf {
    let h264 = "x264enc key-int-max=25 tune=zerolatency bitrate=800 ! h264parse ! matroskamux";
    film_by(dir, name, size, h264)
}

/// The same by another encoder and muxer.
pub fn film_by(dir: &Path, name: &str, size: &str, encoder: &str) -> PathBuf {
    let file = dir.join(name);
    let line = format!(
        "filesrc location={PORTRAIT} ! pngdec ! videoconvert ! videoscale add-borders=true ! \
         video/x-raw,{size} ! imagefreeze num-buffers=75 ! video/x-raw,framerate=25/1 ! \
         {encoder} ! filesink location={}",
        file.display()
    );
    let output = Command::new("gst-launch-1.0").arg("-q").args(line.split_whitespace()).output();
    let output = output.expect("gst-launch-1.0 is installed");
    assert!(output.status.success(), "{}", said(&output));
    file
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn kinora(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinora"));
    command.args(arguments).args(["--endpoint", &server.endpoint]);
    command.env("AWS_SHARED_CREDENTIALS_FILE", server.data().join("credentials"));
    let output = command.output().expect("kinora runs");
    assert!(output.status.success(), "{}", said(&output));
    output
}

pub fn import(server: &Server, stream: &str, file: &Path, start: f64) {
    let (file, start) = (file.display().to_string(), start.to_string());
    kinora(server, &["import", stream, &file, "--start", &start]);
}

/// What `kinora detect` finds from the film's beginning on.
pub fn findings(server: &Server, stream: &str) -> (Vec<FindingRecord>, String) {
    let start = START.to_string();
    let output = kinora(server, &["detect", "--stream", stream, "--from", &start]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let parse = |line: &str| serde_json::from_str(line).expect("a line is a finding");
    (lines.lines().map(parse).collect(), said(&output))
}

fn events(records: &[FindingRecord]) -> Vec<TrackEventType> {
    let events = records.iter().flat_map(|record| &record.kinora.events);
    events.map(|event| event.kind).collect()
}

#[test]
fn one_face_in_view_is_one_track_with_a_finding_per_slot_of_time() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start();
    import(&server, "door", &film(dir.path(), "a.mkv", "width=640,height=360"), START);
    let (records, said) = findings(&server, "door");
    assert!(!said.contains("CRITICAL"), "{said}");
    let (closing, frames) = records.split_last().expect("there are findings");
    let times: Vec<_> = frames.iter().map(|record| record.kinora.frame_timestamp).collect();
    let slots: Vec<_> = (0..15).map(|slot| START + f64::from(slot) * 0.2).collect();
    for (time, slot) in times.iter().zip(&slots) {
        assert!((time - slot).abs() < 0.041, "{times:?}");
    }
    assert_eq!(times.len(), slots.len(), "{times:?}");
    assert!(frames.iter().all(|record| record.face_search_response.len() == 1));
    assert_eq!(events(&records), [TrackEventType::Appeared, TrackEventType::Left]);
    assert_eq!(closing.kinora.events[0].frames, 15);
    // Again, and it is the same.
    let (again, _) = findings(&server, "door");
    assert_eq!(again, records);
}

#[test]
fn a_picture_of_a_new_size_goes_on_with_the_track() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start();
    let small = film(dir.path(), "small.mkv", "width=640,height=360");
    import(&server, "door", &small, START);
    let large = film(dir.path(), "large.mkv", "width=1280,height=720");
    import(&server, "door", &large, START + 3.0);
    let (records, _) = findings(&server, "door");
    let with_face = records.iter().filter(|record| !record.face_search_response.is_empty());
    assert_eq!(with_face.count(), 30);
    assert_eq!(events(&records), [TrackEventType::Appeared, TrackEventType::Left]);
}

impl Server {
    /// Every finding in the record stream so far.
    pub fn stored_findings(&self) -> Vec<FindingRecord> {
        let from = json!({"StreamName": "findings", "ShardId": "shardId-000000000000",
            "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = self.kds_ok("GetShardIterator", from)["ShardIterator"].clone();
        let answer = self.kds_ok("GetRecords", json!({"ShardIterator": iterator}));
        let records = answer["Records"].as_array().expect("records").iter();
        let data = records.map(|record| record["Data"].as_str().expect("base64"));
        let json = data.map(|data| STANDARD.decode(data).expect("base64"));
        json.map(|json| serde_json::from_slice(&json).expect("a finding")).collect()
    }

    /// A processor with the policy `complete`, over a stream that is there.
    pub fn create_processor(&self) {
        let described = self.call("/describeStream", r#"{"StreamName": "door"}"#);
        let described: Value = serde_json::from_slice(&described.body).expect("JSON");
        self.kds_ok("CreateStream", json!({"StreamName": "findings", "ShardCount": 1}));
        self.rekognition_ok("CreateCollection", json!({"CollectionId": "people"}));
        let processor = json!({
            "Name": "door",
            "Input": {"KinesisVideoStream": {"Arn": described["StreamInfo"]["StreamARN"]}},
            "Output": {"KinesisDataStream": {"Arn": FINDINGS}},
            "Settings": {"FaceSearch": {"CollectionId": "people"}},
            "RoleArn": "arn:aws:iam::000000000000:role/any",
        });
        self.rekognition_ok("CreateStreamProcessor", processor);
        let options = json!({"options": {"policy": "complete"}});
        let (status, answer) = self.native("PATCH", "/v1/processors/door", options);
        assert_eq!(status, 200, "{answer}");
    }

    /// Waits until there are so many findings of frames.
    pub fn wait_for_findings(&self, count: usize) -> Vec<FindingRecord> {
        for _ in 0..120 {
            let found = self.stored_findings();
            if frames_of(&found).len() >= count {
                return found;
            }
            // A shard is read five times a second at most.
            std::thread::sleep(Duration::from_millis(300));
        }
        let (_, door) = self.native("GET", "/v1/processors/door", json!({}));
        panic!("{} findings; {door}", self.stored_findings().len());
    }
}

/// The frames that findings are about, by fragment and result, without those that only close tracks.
pub fn frames_of(records: &[FindingRecord]) -> BTreeSet<(String, String)> {
    let with_face = records.iter().filter(|record| !record.face_search_response.is_empty());
    let place = |record: &FindingRecord| {
        let fragment = record.input_information.kinesis_video.fragment_number.clone();
        (fragment, record.kinora.result_id.clone())
    };
    with_face.map(place).collect()
}

#[test]
fn processor_misses_no_frame_when_the_server_is_killed() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start();
    let film = film(dir.path(), "a.mkv", "width=640,height=360");
    for part in 0..4 {
        import(&server, "door", &film, START + f64::from(part) * 3.0);
    }
    let (expected, _) = findings(&server, "door");
    server.create_processor();
    let first = &expected[0].input_information.kinesis_video.fragment_number;
    let at = json!({"KVSStreamStartSelector": {"FragmentNumber": first}});
    let start = json!({"Name": "door", "StartSelector": at});
    server.rekognition_ok("StartStreamProcessor", start);
    server.wait_for_findings(10);
    let server = Server::start_in(server.kill_9(), &[]);
    let found = server.wait_for_findings(60);
    // The first fragment is the one that was asked for, and the same frame has the same id.
    assert_eq!(frames_of(&found), frames_of(&expected));
}
