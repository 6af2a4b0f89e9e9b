//! `kinora check` on the data directory of a real server.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::bodies::{START_MS, body};
use crate::people::{COLLECTION, person_path};
use crate::producer::{Head, of_kind, put_media};
use crate::support::{Server, command};

fn check(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        command().arg("check").arg(data).args(arguments).output().expect("it runs");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// Flips a bit in the middle of the cluster that begins with this timecode.
fn damage(data: &Path, timecode_ms: u64) {
    let cluster = kinora::media::mkv::cluster(timecode_ms);
    for entry in std::fs::read_dir(data.join("log")).expect("readable") {
        let path = entry.expect("readable").path();
        let bytes = std::fs::read(&path).expect("readable");
        if let Some(at) = bytes.windows(cluster.len()).position(|window| window == cluster) {
            let at = at + 1_000;
            let file = std::fs::File::options().write(true).open(&path).expect("it opens");
            return file.write_all_at(&[bytes[at] ^ 1], at as u64).expect("written");
        }
    }
    panic!("the cluster is not stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_the_damaged_second_and_repair_makes_it_a_gap() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let acks = put_media(&server, &Head::absolute("camera"), &body(10, 500), 10_000);
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 10);
    let (code, text) = check(server.data(), &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("another process has the data directory open"), "{text}");
    let (status, dir) = server.stop();
    assert!(status.success());

    let (code, text) = check(dir.path(), &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 stream, 10 whole fragments") && text.contains("no damage"), "{text}");

    damage(dir.path(), START_MS + 3_000);
    let (code, text) = check(dir.path(), &[]);
    assert_eq!(code, Some(1), "{text}");
    let second =
        "camera: 2026-11-22T00:40:03.000Z to 2026-11-22T00:40:04.000Z (1.000 s, 1 fragment)";
    assert!(text.contains(&format!("{second} is damaged")), "{text}");

    let (code, text) = check(dir.path(), &["--repair"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("repaired: "), "{text}");
    let (code, text) = check(dir.path(), &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("as an earlier repair noted"), "{text}");

    let server = Server::start_in(dir, &[]);
    assert_eq!(server.chunks("camera").await.len(), 9, "the others are whole");
    let (code, text) = check(Path::new("/nowhere"), &[]);
    assert_eq!(code, Some(2), "{text}");
}

/// A server with media of a camera, and somebody who was seen and named.
async fn with_anna() -> Server {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let acks = put_media(&server, &Head::absolute("camera"), &body(3, 500), 10_000);
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 3);
    server.people_ok("PUT", COLLECTION, &Value::Null);
    let seen = server.observe("a", 0.0);
    server.people_ok("PATCH", &person_path(&seen["person"]["id"]), &json!({"name": "Anna"}));
    server
}

/// Flips a bit of every row that has the name, also of those that were replaced.
fn damage_anna(people: &Path) {
    let mut bytes = std::fs::read(people).expect("readable");
    let name = b"\"name\":\"Anna\"";
    while let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
        bytes[at] ^= 1;
    }
    std::fs::write(people, bytes).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_people_are_told_and_after_a_repair_the_server_starts_without_them() {
    let (status, dir) = with_anna().await.stop();
    assert!(status.success());
    let (code, text) = check(dir.path(), &[]);
    assert_eq!(code, Some(0), "{text}");

    let people = dir.path().join("people.redb");
    damage_anna(&people);
    let damaged = std::fs::read(&people).expect("readable");
    let mut serve = command();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path());
    let Output { status, stderr, .. } = serve.output().expect("it runs");
    let said = String::from_utf8_lossy(&stderr);
    assert!(!status.success() && said.contains("kinora check --repair"), "{said}");

    std::fs::write(&people, &damaged).expect("written");
    let (code, text) = check(dir.path(), &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("people: ") && text.contains("enrolled and seen cannot be read"),
        "{text}"
    );
    assert!(std::fs::read(&people).expect("readable") == damaged, "a check changes nothing");

    let (code, text) = check(dir.path(), &["--repair"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("collections, people and faces"), "{text}");
    assert!(text.contains("aside/people.redb"), "{text}");
    let aside = std::fs::read(dir.path().join("aside/people.redb"));
    assert!(aside.expect("it is kept") == damaged);
    let (code, text) = check(dir.path(), &[]);
    assert_eq!(code, Some(0), "{text}");

    let server = Server::start_in(dir, &[]);
    assert_eq!(server.chunks("camera").await.len(), 3, "media is still there");
    assert_eq!(server.people_call("GET", &format!("{COLLECTION}/people"), "").status, 404);
    server.people_ok("PUT", COLLECTION, &Value::Null);
    assert_eq!(server.observe("a", 0.0)["person"]["known"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_server_that_was_killed_are_not_damaged_and_check_changes_nothing() {
    let server = with_anna().await;
    for track in ["b", "c", "d"] {
        server.observe(track, 0.1);
    }
    let dir = server.kill_9();
    let people = dir.path().join("people.redb");
    let before = std::fs::read(&people).expect("readable");
    for arguments in [&[][..], &["--repair"]] {
        let (code, text) = check(dir.path(), arguments);
        assert_eq!(code, Some(0), "{text}");
        assert!(std::fs::read(&people).expect("readable") == before);
    }
    let server = Server::start_in(dir, &[]);
    assert_eq!(server.observe("e", 0.1)["person"]["name"], "Anna");
}
