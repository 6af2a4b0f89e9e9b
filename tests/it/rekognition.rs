//! Stream processors as clients of Rekognition see them, signed as boto3 does, and as their runners do.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora::wire::sigv4::Target;
use serde_json::{Value, json};

use crate::support::Server;

const REKOGNITION: Target<'static> = Target { region: "eu-west-1", service: "rekognition" };
const KINESIS: Target<'static> = Target { region: "eu-west-1", service: "kinesis" };
const JSON: &str = "application/x-amz-json-1.1";
const FINDINGS: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/findings";
const DOOR: &str = "arn:aws:rekognition:us-east-1:000000000000:streamprocessor/door";

impl Server {
    /// Calls an operation; status and body.
    fn rekognition(&self, operation: &str, input: Value) -> (u16, Value) {
        let target = format!("RekognitionService.{operation}");
        self.target(&target, REKOGNITION, input)
    }

    fn target(&self, target: &str, scope: Target<'_>, input: Value) -> (u16, Value) {
        let headers =
            [("content-type", JSON), ("host", self.authority()), ("x-amz-target", target)];
        let answer = self.kds_send("/", &headers, scope, input.to_string().as_bytes());
        assert_eq!(answer.header("content-type"), Some(JSON), "{answer:?}");
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// Calls an operation that succeeds.
    fn rekognition_ok(&self, operation: &str, input: Value) -> Value {
        let (status, body) = self.rekognition(operation, input);
        assert_eq!(status, 200, "{operation}: {body}");
        body
    }

    /// Calls an operation that is refused; the error's name and message.
    fn rekognition_refused(&self, operation: &str, input: Value) -> (String, String) {
        let (status, body) = self.rekognition(operation, input);
        assert_eq!(status, 400, "{operation}: {body}");
        let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
        (text("__type"), text("Message"))
    }

    /// Calls the native API with a body.
    fn native(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = body.to_string();
        let pair = format!("{}:{}", self.credentials.access_key, self.credentials.secret);
        let (host, basic) = (self.authority(), STANDARD.encode(pair));
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        head.push_str(&format!("authorization: Basic {basic}\r\n"));
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let answer = self.exchange(&[head.as_bytes(), body.as_bytes()].concat());
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn door(&self) -> Value {
        let (status, door) = self.native("GET", "/v1/processors/door", json!({}));
        assert_eq!(status, 200, "{door}");
        door
    }

    fn report(&self, report: Value) -> Value {
        let (status, answer) = self.native("PUT", "/v1/processors/door/report", report);
        assert_eq!(status, 200, "{answer}");
        answer["wanted"].clone()
    }
}

/// What `door` is created with, over a video stream.
fn door(video: &str) -> Value {
    let region = json!({"BoundingBox": {"Left": 0.25, "Top": 0.0, "Width": 0.5, "Height": 1.0}});
    json!({
        "Name": "door",
        "Input": {"KinesisVideoStream": {"Arn": video}},
        "Output": {"KinesisDataStream": {"Arn": FINDINGS}},
        "Settings": {"FaceSearch": {"CollectionId": "people", "FaceMatchThreshold": 85.5}},
        "RoleArn": "arn:aws:iam::000000000000:role/any",
        "RegionsOfInterest": [region],
        "Tags": {"floor": "1"},
    })
}

/// A server with a video stream, whose ARN is told, and a record stream for findings.
fn with_streams() -> (Server, String) {
    let server = Server::start();
    let created = server.call("/createStream", r#"{"StreamName": "front"}"#);
    let created: Value = serde_json::from_slice(&created.body).expect("JSON");
    let stream = json!({"StreamName": "findings", "ShardCount": 1});
    assert_eq!(server.target("Kinesis_20131202.CreateStream", KINESIS, stream).0, 200);
    (server, created["StreamARN"].as_str().expect("an ARN").to_owned())
}

#[test]
fn processor_lives_as_on_aws_while_its_runner_reports() {
    let (server, video) = with_streams();
    let name = json!({"Name": "door"});
    let created = server.rekognition_ok("CreateStreamProcessor", door(&video));
    assert_eq!(created, json!({"StreamProcessorArn": DOOR}));
    let described = server.rekognition_ok("DescribeStreamProcessor", name.clone());
    assert_eq!(described["Status"], "STOPPED");
    for member in ["Name", "Input", "Output", "Settings", "RoleArn", "RegionsOfInterest"] {
        assert_eq!(described[member], door(&video)[member], "{member}");
    }
    assert_eq!(server.door()["stream"], "front");

    let at = json!({"KVSStreamStartSelector": {"ProducerTimestamp": 1500}});
    let start = json!({"Name": "door", "StartSelector": at});
    let started = server.rekognition_ok("StartStreamProcessor", start.clone());
    assert_eq!(started["SessionId"], "door-1");
    let seen = server.door();
    assert_eq!((&seen["status"], &seen["generation"]), (&json!("STARTING"), &json!(1)));
    assert_eq!(seen["start"], json!({"producerTimestamp": 1.5}));
    let again = server.rekognition_refused("StartStreamProcessor", start);
    assert_eq!(again.0, "ResourceInUseException");

    let frames = json!({"decoded": 9, "analysed": 5, "skipped": 1});
    let running = json!({"generation": 1, "status": "RUNNING", "checkpoint": "77", "frames": frames,
        "lagSeconds": 0.5});
    assert_eq!(server.report(running.clone()), "RUNNING");
    let listed = server.rekognition_ok("ListStreamProcessors", json!({}));
    assert_eq!(listed["StreamProcessors"], json!([{"Name": "door", "Status": "RUNNING"}]));
    let seen = server.door();
    assert_eq!((&seen["checkpoint"], &seen["frames"]), (&json!("77"), &frames));
    assert!(server.metric("kinora_processor_lag_seconds{processor=\"door\"}") >= 0.5);

    assert_eq!(server.rekognition_ok("StopStreamProcessor", name.clone()), json!({}));
    assert_eq!(server.report(running), "STOPPED");
    let busy = server.rekognition_refused("DeleteStreamProcessor", name.clone());
    assert_eq!(busy.0, "ResourceInUseException");
    assert_eq!(server.report(json!({"generation": 1, "status": "STOPPED"})), "STOPPED");
    assert_eq!(server.rekognition_ok("DeleteStreamProcessor", name.clone()), json!({}));
    let gone = server.rekognition_refused("DescribeStreamProcessor", name);
    assert_eq!(gone.0, "ResourceNotFoundException");
}

#[test]
fn running_processor_is_still_wanted_after_kill_9() {
    let (server, video) = with_streams();
    server.rekognition_ok("CreateStreamProcessor", door(&video));
    server.rekognition_ok("StartStreamProcessor", json!({"Name": "door"}));
    server.report(json!({"generation": 1, "status": "RUNNING", "checkpoint": "77"}));
    let server = Server::start_in(server.kill_9(), &[]);
    let seen = server.door();
    assert_eq!((&seen["status"], &seen["checkpoint"]), (&json!("RUNNING"), &json!("77")));
    assert_eq!(server.report(json!({"generation": 1, "status": "RUNNING"})), "RUNNING");
}

#[test]
fn processors_over_what_is_not_there_are_refused() {
    let (server, video) = with_streams();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut input = door(&video);
        change(&mut input);
        server.rekognition_refused("CreateStreamProcessor", input)
    };
    let (name, message) = refused(&|input| {
        let other = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/other/1";
        input["Input"]["KinesisVideoStream"]["Arn"] = json!(other);
    });
    assert_eq!(name, "InvalidParameterException");
    assert!(message.contains("no video stream"), "{message}");
    let (name, message) = refused(&|input| {
        input["Output"]["KinesisDataStream"]["Arn"] = json!(format!("{FINDINGS}2"));
    });
    assert_eq!(name, "InvalidParameterException");
    assert!(message.contains("no record stream"), "{message}");
    let (name, message) = refused(&|input| input["Name"] = json!("a b"));
    assert_eq!(name, "ValidationException");
    assert!(message.starts_with("1 validation error detected: Value 'a b' at 'name'"), "{message}");
    let bent = json!([{"Polygon": [{"X": 0.1, "Y": 0.1}, {"X": 2.0, "Y": 0.1}]}]);
    let (name, _) = refused(&|input| input["RegionsOfInterest"] = bent.clone());
    assert_eq!(name, "InvalidParameterException");
    let labels = json!({"ConnectedHome": {"Labels": ["PERSON"]}});
    let (name, _) = refused(&|input| input["Settings"] = labels.clone());
    assert_eq!(name, "AccessDeniedException");
    server.rekognition_ok("CreateStreamProcessor", door(&video));
    let (name, _) = server.rekognition_refused("CreateStreamProcessor", door(&video));
    assert_eq!(name, "ResourceInUseException");
}

#[test]
fn settings_and_tags_can_be_changed() {
    let (server, video) = with_streams();
    server.rekognition_ok("CreateStreamProcessor", door(&video));
    let options = json!({"policy": "complete", "maxFps": 2.0, "everyNth": 1,
        "keyFramesWhenBehind": true, "motionGate": false, "minFaceWidth": 40});
    let patch = json!({"options": {"policy": "complete", "maxFps": 2, "minFaceWidth": 40}});
    let (status, changed) = server.native("PATCH", "/v1/processors/door", patch);
    assert_eq!((status, &changed["options"]), (200, &options));
    let (status, _) =
        server.native("PATCH", "/v1/processors/door", json!({"options": {"maxFps": 0}}));
    assert_eq!(status, 400);
    let delete = json!({"Name": "door", "ParametersToDelete": ["RegionsOfInterest"]});
    server.rekognition_ok("UpdateStreamProcessor", delete);
    assert_eq!(server.door()["regions"], json!([]));

    let tags = json!({"ResourceArn": DOOR, "Tags": {"room": "hall"}});
    server.rekognition_ok("TagResource", tags);
    let untag = json!({"ResourceArn": DOOR, "TagKeys": ["floor"]});
    server.rekognition_ok("UntagResource", untag);
    let left = server.rekognition_ok("ListTagsForResource", json!({"ResourceArn": DOOR}));
    assert_eq!(left, json!({"Tags": {"room": "hall"}}));
}

#[test]
fn operations_that_are_not_offered_say_why() {
    let server = Server::start();
    let (name, message) = server.rekognition_refused("DetectLabels", json!({}));
    assert_eq!((&*name, &*message), ("AccessDeniedException", "Only faces are looked for here."));
    let (name, _) = server.rekognition_refused("DetectNothing", json!({}));
    assert_eq!(name, "UnknownOperationException");
    let wrong = Target { region: "eu-west-1", service: "kinesis" };
    let (status, body) = server.target("RekognitionService.ListStreamProcessors", wrong, json!({}));
    assert_eq!((status, &body["__type"]), (400, &json!("InvalidSignatureException")));
}

#[test]
fn description_names_the_properties_that_processors_have() {
    let (server, video) = with_streams();
    server.rekognition_ok("CreateStreamProcessor", door(&video));
    let (_, description) = server.native("GET", "/v1/openapi.json", json!({}));
    let described = |name: &str| keys(&description["components"]["schemas"][name]["properties"]);
    let (_, listed) = server.native("GET", "/v1/processors", json!({}));
    let door = &listed["processors"][0];
    assert_eq!(keys(door), described("Processor"));
    assert_eq!(keys(&door["options"]), described("ProcessorOptions"));
    assert_eq!(keys(&door["frames"]), described("ProcessorFrames"));
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().expect("an object").keys().cloned().collect()
}
