//! `kinora check` on the data directory of a real server.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Output;

use crate::bodies::{START_MS, body};
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
