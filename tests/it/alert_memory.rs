//! Many cameras under many rules: what the rules remember outgrows what one document holds.

use serde_json::{Value, json};

use crate::alerts::{SETTINGS, finding, next, put, put_rule, receiver, server, webhook};
use crate::keeping::answer;
use crate::support::Server;

const RULES: usize = 20;
const CAMERAS: usize = 250;

/// A track's name, as long as those of the detector.
fn track(number: usize) -> String {
    format!("{number:032x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rules_over_many_cameras_go_on_and_remember_across_kill_9() {
    let (address, posts) = receiver("127.0.0.1:0", 200);
    let server = server(&[]).await;
    for number in 0..RULES {
        put_rule(&server, &format!("all-{number}"), &json!({ "when": { "type": "face" } }));
    }
    let one = json!({
        "when": { "type": "unknown" }, "streams": ["gate"], "targets": [webhook(address)],
    });
    put_rule(&server, "gate", &one);
    let cameras = (0..CAMERAS).map(|camera| {
        finding(&format!("camera-number-{camera}"), &track(camera), 1.0e9, &Value::Null)
    });
    put(&server, &cameras.collect::<Vec<_>>()).await;
    // The shard is read in its order: whoever is told of the gate has seen all cameras.
    put(&server, &[finding("gate", &track(999_999), 1.0e9, &Value::Null)]).await;
    assert_eq!(next(&posts).json()["alert"]["Event"]["TrackId"], track(999_999));
    let stored = || answer(&server, "GET", "/v1/alerts/rules/gate/state", "", "");
    let deadline = std::time::Instant::now() + crate::alerts::PATIENCE;
    while stored()["streams"]["gate"]["tracks"] != json!([track(999_999)]) {
        assert!(std::time::Instant::now() < deadline, "{}", stored());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let all = answer(&server, "GET", "/v1/alerts/rules/all-7/state", "", "");
    assert_eq!(all["streams"].as_object().map(serde_json::Map::len), Some(CAMERAS + 1));

    let server = Server::start_with_settings_in(server.kill_9(), &SETTINGS);
    let again = [999_999, 1_000_000].map(|at| finding("gate", &track(at), 1.0e9, &Value::Null));
    put(&server, &again).await;
    assert_eq!(next(&posts).json()["alert"]["Event"]["TrackId"], track(1_000_000));
}
