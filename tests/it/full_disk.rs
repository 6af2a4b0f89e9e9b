//! A disk that fills up under a running server.

use std::path::Path;
use std::process::Command;

use crate::bodies::{START_MS, end_of_fragment, fragment, head};
use crate::keeping::answer;
use crate::kvs::frames_of;
use crate::producer::{Ack, Head, Producer, of_kind};
use crate::support::Server;

/// A small disk of its own, which takes the rights of root to make.
struct SmallDisk {
    place: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let place = tempfile::tempdir().expect("a directory");
        let options = format!("size={bytes}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "kinora-test"])
            .arg(place.path())
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self { place })
    }

    fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.place.path()).status();
    }
}

/// Uploads fragments of a megabyte until one is refused.
fn fill(server: &Server, stream: &str, first_ms: u64) -> Vec<Ack> {
    let mut producer = Producer::connect(server, &Head::absolute(stream));
    producer.send(&head());
    for at in 0..200 {
        if producer.is_refused() {
            break;
        }
        producer.send(&fragment(first_ms + at * 1_000, 100_000));
        producer.send(&end_of_fragment());
    }
    producer.finish();
    producer.remaining_acks()
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_refuses_fragments_keeps_what_it_has_and_recovers_with_space() {
    let Some(disk) = SmallDisk::mount(40 << 20) else {
        // The gate must not pass without it; elsewhere the store's own tests, which fill a disk
        // in memory, have to do.
        assert!(std::env::var_os("CI").is_none(), "the gate may mount a file system");
        println!("not run: this user may not mount a file system");
        return;
    };
    let settings =
        [("KINORA_STORE_RETENTION_INTERVAL_SECONDS", "1"), ("KINORA_STORE_MIN_FREE_BYTES", "0")];
    let server = Server::start_at(disk.path(), &settings);
    for stream in ["camera", "other"] {
        server.create_stream(stream, 24).await;
        // Else the oldest would go for the newest.
        let pins = format!("/v1/streams/{stream}/pins");
        answer(&server, "PUT", &pins, "start=0&end=4000000000", "");
    }
    let acks = fill(&server, "camera", START_MS);
    let last = acks.last().expect("an ack");
    assert_eq!((last.event(), last.error_id()), ("ERROR", 5001), "{acks:?}");
    assert_eq!(last.0["ErrorCode"], "ARCHIVAL_ERROR");
    let persisted = of_kind(&acks, "PERSISTED");
    assert!(persisted.len() > 10, "{acks:?}");
    // The refused one is named, and nothing behind it was called persisted.
    let newest = persisted.iter().map(|ack| ack.timecode()).max().expect("there are some");
    assert_eq!(last.timecode(), newest + 1_000, "{acks:?}");

    let chunks = server.chunks("camera").await;
    assert_eq!(chunks.len(), persisted.len());
    assert!(chunks.values().all(|chunk| frames_of(chunk).len() == 10));
    assert_eq!(server.get("/healthz").status, 200, "it takes writes again when there is space");

    // Deleting a stream frees its segments.
    let arn = server.kinesisvideo().describe_stream().stream_name("camera").send().await;
    let arn = arn.expect("described").stream_info.and_then(|info| info.stream_arn);
    let delete = server.kinesisvideo().delete_stream().stream_arn(arn.expect("an ARN"));
    delete.send().await.expect("deleted");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let acks = fill(&server, "other", START_MS);
    let kept = of_kind(&acks, "PERSISTED").len();
    assert!(kept > 5, "there is space again: {acks:?}");

    let dir = server.kill_9();
    let server = Server::start_in(dir, &[]);
    assert_eq!(server.list_fragments("other").await.len(), kept);
    assert_eq!(server.get("/healthz").status, 200);
    drop(server);
}
