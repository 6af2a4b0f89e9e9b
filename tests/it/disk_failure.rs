//! A disk that refuses a write under a running server.

use crate::bodies::{START_MS, end_of_fragment, fragment, head};
use crate::producer::{Head, Producer, of_kind, put_media};
use crate::support::Server;

/// Fragments of a hundred kilobytes.
const FRAME_BYTES: usize = 10_000;

/// The operating system refuses a write in the middle of the log (`RLIMIT_FSIZE`, hence `EFBIG`):
/// as real a failure as one can have on a machine whose disks are sound.
#[tokio::test(flavor = "multi_thread")]
async fn failed_write_turns_health_red_until_a_restart_and_loses_nothing() {
    let server = Server::start_limitable();
    server.create_stream("camera", 24).await;
    let camera = Head::absolute("camera");
    let mut producer = Producer::connect(&server, &camera);
    producer.send(&head());
    for at in 0..40 {
        if at == 5 {
            assert_eq!(server.get("/healthz").status, 200);
            server.limit_files(1 << 20);
        }
        if producer.is_refused() {
            break;
        }
        producer.send(&fragment(START_MS + at * 1_000, FRAME_BYTES));
        producer.send(&end_of_fragment());
        // One at a time, so that the limit comes in the middle.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    producer.finish();
    let acks = producer.remaining_acks();
    let last = acks.last().expect("an ack");
    assert_eq!((last.event(), last.error_id()), ("ERROR", 5001), "{acks:?}");
    let persisted = of_kind(&acks, "PERSISTED").len();
    assert!((5..40).contains(&persisted), "{acks:?}");

    let health = server.get("/healthz");
    assert_eq!(health.status, 503);
    assert!(health.text().contains("append to the log"), "it says why: {}", health.text());
    let refused = Producer::connect(&server, &camera);
    assert_eq!(refused.status, 503, "a producer that comes now is told at once");
    assert_eq!(server.list_fragments("camera").await.len(), persisted, "reading goes on");

    let server = Server::start_in(server.kill_9(), &[]);
    assert_eq!(server.get("/healthz").status, 200);
    let stored = server.list_fragments("camera").await.len();
    assert!(stored >= persisted, "{stored} of {persisted} are there");
    let again = [head().to_vec(), fragment(START_MS + 1_000_000, FRAME_BYTES)].concat();
    let acks = put_media(&server, &camera, &again, again.len());
    assert_eq!(of_kind(&acks, "PERSISTED").len(), 1, "{acks:?}");
}
