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

    pub fn target(&self, target: &str, scope: Target<'_>, input: Value) -> (u16, Value) {
        let headers =
            [("content-type", JSON), ("host", self.authority()), ("x-amz-target", target)];
        let answer = self.kds_send("/", &headers, scope, input.to_string().as_bytes());
        assert_eq!(answer.header("content-type"), Some(JSON), "{answer:?}");
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// Calls an operation that succeeds.
    pub fn rekognition_ok(&self, operation: &str, input: Value) -> Value {
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
    pub fn native(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = body.to_string();
        let pair = format!("{}:{}", self.credentials.access_key, self.credentials.secret);
        let (host, basic) = (self.authority(), STANDARD.encode(pair));
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        head.push_str(&format!("authorization: Basic {basic}\r\n"));
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let answer = self.exchange(&[head.as_bytes(), body.as_bytes()].concat());
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    pub fn door(&self) -> Value {
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
pub fn door(video: &str) -> Value {
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
pub fn with_streams() -> (Server, String) {
    let server = Server::start();
    let created = server.call("/createStream", r#"{"StreamName": "front"}"#);
    let created: Value = serde_json::from_slice(&created.body).expect("JSON");
    let stream = json!({"StreamName": "findings", "ShardCount": 1});
    assert_eq!(server.target("Kinesis_20131202.CreateStream", KINESIS, stream).0, 200);
    server.rekognition_ok("CreateCollection", json!({"CollectionId": "people"}));
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

    let frames = json!({"decoded": 9, "analysed": 5, "skipped": 1, "failed": 3});
    let running = json!({"generation": 1, "status": "RUNNING", "checkpoint": "77", "frames": frames,
        "lagSeconds": 0.5, "message": "fragment 78: 3 pictures were not decoded"});
    assert_eq!(server.report(running.clone()), "RUNNING");
    let listed = server.rekognition_ok("ListStreamProcessors", json!({}));
    assert_eq!(listed["StreamProcessors"], json!([{"Name": "door", "Status": "RUNNING"}]));
    let seen = server.door();
    assert_eq!((&seen["checkpoint"], &seen["frames"]), (&json!("77"), &frames));
    assert_eq!(seen["message"], "fragment 78: 3 pictures were not decoded");
    // One that is told later is seen as soon, though nothing else has changed.
    let mut worse = running.clone();
    worse["message"] = json!("fragment 79: 9 pictures were not decoded");
    assert_eq!(server.report(worse.clone()), "RUNNING");
    assert_eq!(server.door()["message"], worse["message"]);
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
    let (name, message) = refused(&|input| {
        input["Settings"]["FaceSearch"]["CollectionId"] = json!("nobody");
    });
    assert_eq!(name, "InvalidParameterException");
    assert!(message.contains("no collection nobody"), "{message}");
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
fn collections_are_listed_in_pages_and_tagged() {
    let server = Server::start();
    for id in ["a", "b", "c"] {
        let created = server.rekognition_ok("CreateCollection", json!({"CollectionId": id}));
        let arn = format!("arn:aws:rekognition:us-east-1:000000000000:collection/{id}");
        assert_eq!((&created["StatusCode"], &created["CollectionArn"]), (&json!(200), &json!(arn)));
    }
    let again = server.rekognition_refused("CreateCollection", json!({"CollectionId": "a"}));
    assert_eq!(again.0, "ResourceAlreadyExistsException");
    let first = server.rekognition_ok("ListCollections", json!({"MaxResults": 2}));
    assert_eq!(first["CollectionIds"], json!(["a", "b"]));
    let next = json!({"MaxResults": 2, "NextToken": first["NextToken"]});
    let second = server.rekognition_ok("ListCollections", next);
    assert_eq!((&second["CollectionIds"], &second["NextToken"]), (&json!(["c"]), &Value::Null));

    let arn = "arn:aws:rekognition:us-east-1:000000000000:collection/a";
    server.rekognition_ok("TagResource", json!({"ResourceArn": arn, "Tags": {"site": "north"}}));
    let tags = server.rekognition_ok("ListTagsForResource", json!({"ResourceArn": arn}));
    assert_eq!(tags, json!({"Tags": {"site": "north"}}));
    let user = json!({"CollectionId": "a", "UserId": "ada"});
    server.rekognition_ok("CreateUser", user.clone());
    assert_eq!(server.rekognition_refused("CreateUser", user).0, "ConflictException");
    let users = server.rekognition_ok("ListUsers", json!({"CollectionId": "a"}));
    assert_eq!(users["Users"], json!([{"UserId": "ada", "UserStatus": "ACTIVE"}]));
    let described = server.rekognition_ok("DescribeCollection", json!({"CollectionId": "a"}));
    assert_eq!((&described["FaceCount"], &described["UserCount"]), (&json!(0), &json!(1)));
    server.rekognition_ok("DeleteCollection", json!({"CollectionId": "a"}));
    let gone = server.rekognition_refused("DescribeCollection", json!({"CollectionId": "a"}));
    assert_eq!(gone.0, "ResourceNotFoundException");
}

#[test]
fn pictures_that_cannot_be_looked_at_say_why() {
    let server = Server::start();
    let refused = |image: Value| server.rekognition_refused("DetectFaces", json!({"Image": image}));
    let (name, message) = refused(json!({"S3Object": {"Bucket": "b", "Name": "n"}}));
    assert_eq!(name, "InvalidS3ObjectException");
    assert!(message.contains("Image.Bytes"), "{message}");
    assert_eq!(
        refused(json!({"Bytes": STANDARD.encode("GIF89a")})).0,
        "InvalidImageFormatException"
    );
    assert_eq!(refused(json!({"Bytes": ""})).0, "ValidationException");
    let large = STANDARD.encode(vec![0; (5 << 20) + 1]);
    assert_eq!(refused(json!({"Bytes": large})).0, "ImageTooLargeException");
    assert_eq!(refused(json!({})).0, "InvalidParameterException");

    let server = Server::start_configured(&[("KINORA_VISION_MODELS_DIR", "/nowhere")]);
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(8, 8).write_to(&mut png, image::ImageFormat::Png).expect("a picture");
    let image = json!({"Image": {"Bytes": STANDARD.encode(png.into_inner())}});
    let (name, message) = server.rekognition_refused("DetectFaces", image);
    assert_eq!(name, "AccessDeniedException");
    assert!(message.contains("make models"), "{message}");
}

#[cfg(feature = "onnx")]
#[test]
fn enrolled_person_is_found_by_another_photograph_and_a_stranger_is_not() {
    let pictures = "models/sources/face_recognition-1.3.0/tests/test_images";
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let image = |name: &str| {
        let bytes = std::fs::read(root.join(pictures).join(name));
        json!({"Bytes": STANDARD.encode(bytes.expect("`make models` fetched it"))})
    };
    let models = root.join("models").display().to_string();
    let server = Server::start_configured(&[("KINORA_VISION_MODELS_DIR", &models)]);
    server.rekognition_ok("CreateCollection", json!({"CollectionId": "c"}));
    let index =
        json!({"CollectionId": "c", "Image": image("obama.jpg"), "ExternalImageId": "first"});
    let indexed = server.rekognition_ok("IndexFaces", index);
    let records = indexed["FaceRecords"].as_array().expect("a list");
    assert_eq!((records.len(), &records[0]["Face"]["ExternalImageId"]), (1, &json!("first")));
    assert_eq!(records[0]["FaceDetail"]["Landmarks"].as_array().map(Vec::len), Some(5));
    let face = &records[0]["Face"]["FaceId"];

    let search = |name: &str| {
        let input = json!({"CollectionId": "c", "Image": image(name)});
        server.rekognition_ok("SearchFacesByImage", input)["FaceMatches"].clone()
    };
    let found = search("obama2.jpg");
    assert_eq!(&found[0]["Face"]["FaceId"], face);
    assert!(found[0]["Similarity"].as_f64() >= Some(80.0), "{found}");
    assert_eq!(search("biden.jpg"), json!([]));

    let user = json!({"CollectionId": "c", "UserId": "ada", "FaceIds": [face]});
    server.rekognition_ok("CreateUser", json!({"CollectionId": "c", "UserId": "ada"}));
    server.rekognition_ok("AssociateFaces", user);
    let users = json!({"CollectionId": "c", "Image": image("obama2.jpg")});
    let users = server.rekognition_ok("SearchUsersByImage", users);
    assert_eq!(users["UserMatches"][0]["User"]["UserId"], "ada");

    let deleted =
        server.rekognition_ok("DeleteFaces", json!({"CollectionId": "c", "FaceIds": [face]}));
    assert_eq!(deleted["DeletedFaces"], json!([face]));
    assert_eq!(search("obama2.jpg"), json!([]));
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
