//! People over HTTP: what a detector posts, and what people say about it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora::wire::sigv4::Request;
use serde_json::{Value, json};

use crate::support::{Answer, Server};

pub const COLLECTION: &str = "/v1/collections/c";

impl Server {
    /// Calls the native API with a JSON body and the root key.
    pub fn people_call(&self, method: &str, path: &str, body: &str) -> Answer {
        let pair = format!("{}:{}", self.credentials.access_key, self.credentials.secret);
        let basic = format!("Basic {}", STANDARD.encode(pair));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let headers = [("host", "h"), ("authorization", &*basic)];
        self.send(&Request { method, path, query, headers: &headers }, &[], body)
    }

    /// Sends a picture to the native API.
    #[cfg(feature = "onnx")]
    fn people_post(&self, path: &str, picture: &[u8]) -> Answer {
        let pair = format!("{}:{}", self.credentials.access_key, self.credentials.secret);
        let basic = STANDARD.encode(pair);
        let length = picture.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: Basic {basic}\r\n\
             content-length: {length}\r\n\r\n"
        );
        self.exchange(&[head.as_bytes(), picture].concat())
    }

    pub fn people_ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.people_call(method, path, &body);
        assert!(matches!(answer.status, 200 | 204), "{method} {path}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { parse(&answer) }
    }

    /// What becomes of a face that is seen; looks are as far apart as their numbers.
    pub fn observe(&self, track: &str, at: f32) -> Value {
        self.people_ok("POST", &format!("{COLLECTION}/observations"), &observation(track, at))
    }

    fn person(&self, id: &Value) -> Value {
        self.people_ok("GET", &person_path(id), &Value::Null)
    }

    fn sightings_of(&self, id: &Value) -> Vec<Value> {
        let path = format!("{}/sightings", person_path(id));
        let page = self.people_ok("GET", &path, &Value::Null);
        page["sightings"].as_array().expect("a list").iter().map(|s| s["id"].clone()).collect()
    }
}

fn parse(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).expect("JSON")
}

pub fn person_path(id: &Value) -> String {
    format!("{COLLECTION}/people/{}", id.as_str().expect("an id"))
}

fn crop_path(sighting: &Value) -> String {
    format!("{COLLECTION}/sightings/{}/crop.jpg", sighting.as_str().expect("an id"))
}

pub fn observation(track: &str, at: f32) -> Value {
    let mut embedding = vec![0.0; 128];
    embedding[7] = at;
    json!({
        "embedding": embedding, "confidence": 97.5, "stream": "door", "fragmentNumber": "9134",
        "boundingBox": {"Left": 0.25, "Top": 0.5, "Width": 0.125, "Height": 0.25},
        "producerTimestamp": 1795308137.662, "serverTimestamp": 1795308138.5,
        "trackId": track, "crop": STANDARD.encode(format!("JPEG of {track}")),
    })
}

fn with_collection() -> Server {
    let server = Server::start();
    server.people_ok("PUT", COLLECTION, &Value::Null);
    server
}

#[test]
fn stranger_who_is_seen_again_is_the_same_person_named_and_known_across_kill_9() {
    let server = with_collection();
    let first = server.observe("a", 0.0);
    assert_eq!(first["person"]["known"], false);
    assert_eq!(first["matches"], json!([]));
    assert_eq!(server.observe("a", 0.0), first, "a track that is sent again changes nothing");
    let server = Server::start_in(server.kill_9(), &[]);
    let second = server.observe("b", 0.3);
    let id = &first["person"]["id"];
    assert_eq!(&second["person"]["id"], id);

    let named = server.people_ok("PATCH", &person_path(id), &json!({"name": "Anna"}));
    assert_eq!((&named["name"], &named["known"]), (&json!("Anna"), &json!(true)));
    let server = Server::start_in(server.kill_9(), &[]);
    let third = server.observe("c", 0.1);
    assert_eq!(third["person"], json!({"id": id, "name": "Anna", "known": true}));
    assert!(third["matches"][0]["Similarity"].as_f64().is_some_and(|similarity| similarity > 80.0));
    assert!(third["matches"][0]["Face"]["FaceId"].is_string());
    let newest_first = [&third, &second, &first].map(|seen| seen["sightingId"].clone());
    assert_eq!(server.sightings_of(id), newest_first);
    let crop = server.get_with_key(&crop_path(&second["sightingId"]));
    assert_eq!((crop.header("content-type"), crop.text()), (Some("image/jpeg"), "JPEG of b"));
    let sighting = &server.person(id)["newest"];
    assert_eq!(sighting["boundingBox"]["Left"], 0.25);
    assert_eq!(
        (&sighting["stream"], &sighting["producerTimestamp"]),
        (&json!("door"), &json!(1795308137.662))
    );
}

#[test]
fn people_are_merged_split_and_told_apart() {
    let server = with_collection();
    let (a, b) = (server.observe("a", 0.0), server.observe("b", 0.9));
    let (anna, ben) = (&a["person"]["id"], &b["person"]["id"]);
    assert_ne!(anna, ben);
    server.people_ok("POST", &format!("{}/merge", person_path(ben)), &json!({"into": anna}));
    assert_eq!(server.sightings_of(anna), [b["sightingId"].clone(), a["sightingId"].clone()]);
    assert_eq!(server.people_call("GET", &person_path(ben), "").status, 404);

    let split = json!({"sightings": [b["sightingId"]]});
    let new = server.people_ok("POST", &format!("{}/split", person_path(anna)), &split);
    assert_eq!(server.sightings_of(&new["id"]), [b["sightingId"].clone()]);
    assert_eq!(server.observe("c", 0.8)["person"]["id"], new["id"]);

    let wrong = server.observe("d", 0.2);
    assert_eq!(&wrong["person"]["id"], anna);
    let not = json!({"sighting": wrong["sightingId"]});
    let other = server.people_ok("POST", &format!("{}/not", person_path(anna)), &not);
    assert_ne!(&other["id"], anna);
    assert_eq!(server.sightings_of(anna), [a["sightingId"].clone()]);
    let again = server.people_call("POST", &format!("{}/not", person_path(anna)), &not.to_string());
    assert_eq!(again.refusal(), (404, "ResourceNotFoundException"));
}

#[test]
fn deleted_person_leaves_no_vector_and_no_picture() {
    let server = with_collection();
    let (a, other) = (server.observe("a", 0.0), server.observe("b", 5.0));
    server.people_ok("DELETE", &person_path(&a["person"]["id"]), &Value::Null);
    let server = Server::start_in(server.kill_9(), &[]);
    assert_eq!(server.get_with_key(&crop_path(&a["sightingId"])).status, 404);
    let search = json!({"embedding": observation("", 0.0)["embedding"], "threshold": 0});
    let found = server.people_ok("POST", &format!("{COLLECTION}/search"), &search);
    assert_eq!(found["sightings"].as_array().expect("a list").len(), 1);
    assert_eq!(found["sightings"][0]["id"], other["sightingId"]);
    let collection = server.people_ok("GET", COLLECTION, &Value::Null);
    assert_eq!((&collection["people"], &collection["sightings"]), (&json!(1), &json!(1)));
    server.people_ok("DELETE", COLLECTION, &Value::Null);
    assert_eq!(server.people_call("GET", COLLECTION, "").status, 404);
}

#[test]
fn sightings_beyond_the_most_that_are_kept_go_the_oldest_first() {
    let settings =
        [("KINORA_PEOPLE_MAX_SIGHTINGS", "3"), ("KINORA_STORE_RETENTION_INTERVAL_SECONDS", "1")];
    let server = Server::start_configured(&settings);
    server.people_ok("PUT", COLLECTION, &Value::Null);
    let seen: Vec<Value> = (0..5).map(|n| server.observe(&format!("t{n}"), 0.1)).collect();
    let id = &seen[0]["person"]["id"];
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while server.sightings_of(id).len() > 3 {
        assert!(std::time::Instant::now() < deadline, "they stay");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let kept: Vec<Value> = seen.iter().rev().take(3).map(|s| s["sightingId"].clone()).collect();
    assert_eq!(server.sightings_of(id), kept);
    assert_eq!(server.get_with_key(&crop_path(&seen[0]["sightingId"])).status, 404);
}

#[test]
fn people_are_listed_page_by_page_and_by_what_is_known() {
    let server = with_collection();
    let ids: Vec<Value> = (0..3u8)
        .map(|n| server.observe(&n.to_string(), f32::from(n) * 2.0)["person"]["id"].clone())
        .collect();
    server.people_ok("PATCH", &person_path(&ids[1]), &json!({"name": "Anna"}));
    let list = |query: &str| {
        let page = server.people_ok("GET", &format!("{COLLECTION}/people?{query}"), &Value::Null);
        let people = page["people"].as_array().expect("a list").iter();
        let known = |id: &Value| ids.iter().position(|known| known == id).expect("one of them");
        (people.map(|person| known(&person["id"])).collect::<Vec<_>>(), page["next"].clone())
    };
    let (first, next) = list("limit=2");
    let (second, _) = list(&format!("limit=2&after={}", next.as_str().expect("another page")));
    let mut all = [first, second].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
    assert_eq!(list("known=true").0, [1]);
    assert_eq!(list("known=false").0.len(), 2);
}

#[test]
fn what_is_wrong_is_refused_with_words() {
    let server = with_collection();
    server.observe("a", 0.0);
    let path = &format!("{COLLECTION}/observations");
    for (field, value) in [
        ("embedding", json!([])),
        ("embedding", json!([1.0, 2.0])),
        ("confidence", json!(101)),
        ("threshold", json!(-1)),
        ("trackId", json!("")),
        ("crop", json!("no base64")),
        ("producerTimestamp", json!(1e300)),
    ] {
        let mut observation = observation("b", 0.0);
        observation[field] = value;
        let answer = server.people_call("POST", path, &observation.to_string());
        assert_eq!(answer.refusal(), (400, "InvalidArgumentException"), "{field}: {answer:?}");
        assert!(parse(&answer)["Message"].as_str().is_some_and(|text| text.ends_with('.')));
    }
    let elsewhere = "/v1/collections/other/observations";
    let answer = server.people_call("POST", elsewhere, &observation("b", 0.0).to_string());
    assert_eq!(answer.refusal(), (404, "ResourceNotFoundException"));
    assert_eq!(server.people_call("PUT", "/v1/collections/a%20b", "").status, 400);
    let person = &server.observe("a", 0.0)["person"]["id"];
    assert_eq!(
        server.people_call("PATCH", &person_path(person), "{}").status,
        400,
        "no name is no null"
    );
}

#[cfg(feature = "onnx")]
#[test]
fn picture_of_one_face_enrols_and_others_are_refused() {
    let server = with_collection();
    let astronaut = std::fs::read("models/sources/skimage/data/astronaut.png").expect("read");
    let wall = {
        let mut png = std::io::Cursor::new(Vec::new());
        let wall = image::RgbImage::new(64, 64);
        wall.write_to(&mut png, image::ImageFormat::Png).expect("memory takes everything");
        png.into_inner()
    };
    let people = format!("{COLLECTION}/people");
    let named = format!("{people}?name=Eileen%20C.");
    let answer = server.people_post(&named, &astronaut);
    let eileen = parse(&answer);
    assert_eq!((&eileen["name"], &eileen["faces"]), (&json!("Eileen C."), &json!(1)), "{eileen}");
    assert_eq!(eileen["known"], true);
    let more = format!("{}/faces", person_path(&eileen["id"]));
    assert_eq!(parse(&server.people_post(&more, &astronaut))["faces"], 2);

    for (path, picture, status, said) in [
        (&*named, &*wall, 400, "No face is in the picture."),
        (&named, b"no picture", 400, "no JPEG or PNG"),
        (&people, &astronaut, 400, "name must be given"),
        (&format!("{people}?name="), &astronaut, 400, "1 to 256 characters"),
        (&named.replace("/c/", "/none/"), &astronaut, 404, "none"),
        (&more.replace(eileen["id"].as_str().expect("an id"), "none"), &astronaut, 400, "id"),
    ] {
        let refused = server.people_post(path, picture);
        assert_eq!(refused.status, status, "{path}: {refused:?}");
        assert!(refused.text().contains(said), "{path}: {}", refused.text());
    }
    let listed = server.people_ok("GET", &people, &Value::Null);
    assert_eq!(listed["people"].as_array().map(Vec::len), Some(1));
}

#[test]
fn description_names_the_properties_that_answers_have() {
    let server = with_collection();
    let seen = server.observe("a", 0.0);
    let person =
        server.people_ok("PATCH", &person_path(&seen["person"]["id"]), &json!({"name": "Anna"}));
    let observed = server.observe("b", 0.0);
    let search = json!({"sightingId": seen["sightingId"]});
    let found = server.people_ok("POST", &format!("{COLLECTION}/search"), &search);
    let description = server.people_ok("GET", "/v1/openapi.json", &Value::Null);
    let all = server.people_ok("GET", "/v1/collections", &Value::Null);
    for (name, value) in [
        ("Collection", &all["collections"][0]),
        ("Person", &person),
        ("Sighting", &person["newest"]),
        ("FoundSighting", &found["sightings"][0]),
        ("Observed", &observed),
        ("Match", &observed["matches"][0]),
        ("Observation", &observation("a", 0.0)),
    ] {
        let described = &description["components"]["schemas"][name];
        let properties = described["properties"].as_object().expect(name);
        for key in value.as_object().expect("an object").keys() {
            assert!(properties.contains_key(key), "{name} has {key}");
        }
        let required = described["required"].as_array().expect("a list");
        let lacking =
            required.iter().filter_map(Value::as_str).find(|key| value.get(key).is_none());
        assert_eq!(lacking, None, "{name} lacks it");
    }
}
