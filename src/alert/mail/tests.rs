use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::types::ServerTimestamp;
use crate::wire::alerts::{ClipRange, Rule};

fn mailer() -> Mailer {
    let server = SmtpServer {
        host: "localhost".to_owned(),
        port: 25,
        encryption: Encryption::None,
        login: None,
        from: "kinora@example.org".to_owned(),
    };
    let clock = Clock::simulated(ServerTimestamp::from_millis(1_795_309_240_000));
    Mailer::new(server, clock).expect("an address")
}

/// Somebody of this name is seen at 2026-11-22 00:20:33 UTC.
fn notice(kind: &str, name: Option<&str>) -> Notice {
    let bounds = json!({ "Height": 0.2, "Width": 0.2, "Left": 0.4, "Top": 0.4 });
    let alert = json!({
        "Id": "4711", "Rule": "night", "Type": kind, "Stream": "door", "Time": 1_795_306_833.5,
        "Event": {
            "Type": "appeared", "TrackId": "t", "ResultId": "t", "Stream": "door",
            "Time": 0.0, "First": 0.0, "Last": 0.0, "Frames": 3,
            "PersonId": "u1", "PersonName": name, "Known": name.is_some(), "Similarity": null,
            "SightingId": null, "FaceId": null, "BoundingBox": bounds, "Confidence": 99.0,
        },
        "Clip": { "start": 0.0, "end": 1.0 },
    });
    let mut alert: crate::wire::alerts::Alert = serde_json::from_value(alert).expect("an alert");
    alert.clip = ClipRange { start: 0.0, end: 1.0 };
    let clip_url = "https://x/clip.mp4?a=1&token=t".to_owned();
    let crop = Some(STANDARD.encode([0xff, 0xd8, 0xff]));
    Notice { alert, crop_url: Some("https://x/crop".to_owned()), clip_url, crop }
}

fn sent(notice: &Notice, zone: &TimeZone, clip: Option<&[u8]>) -> String {
    let message = mailer().message("guard@example.org", zone, notice, clip).expect("a mail");
    String::from_utf8(message.formatted()).expect("text")
}

#[test]
fn mail_shows_what_happened_and_has_the_id_of_its_alert() {
    let mail = sent(&notice("unknown", None), &TimeZone::UTC, Some(b"a film"));
    for part in [
        "Subject: Unknown face at door, 2026-11-22 00:20:33 UTC\r\n",
        "Message-ID: <4711@example.org>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "To: guard@example.org\r\n",
        "https://x/clip.mp4?a",
        "cid:face",
        "Content-ID: <face>\r\n",
        "filename=\"clip.mp4\"",
        &STANDARD.encode("a film"),
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    let without = sent(&notice("unknown", None), &TimeZone::UTC, None);
    assert!(!without.contains("video/mp4"), "{without}");
}

#[test]
fn time_is_that_of_the_rules_zone() {
    let tokyo = TimeZone::get("Asia/Tokyo").expect("a zone");
    let mail = sent(&notice("face", Some("Ada")), &tokyo, None);
    assert!(mail.contains("Subject: Ada at door, 2026-11-22 09:20:33 JST\r\n"), "{mail}");
}

#[test]
fn name_of_a_person_is_neither_a_header_nor_markup() {
    let notice = notice("person", Some("Ada\r\nBcc: all@example.org<b>"));
    let letter = Letter::new(&notice, &TimeZone::UTC, None);
    assert!(letter.subject.starts_with("Ada  Bcc: all@example.org<b> at door, "));
    assert!(letter.html.contains("all@example.org&lt;b&gt;"), "{}", letter.html);
    let mail = sent(&notice, &TimeZone::UTC, None);
    assert!(!mail.lines().any(|line| line.starts_with("Bcc:")), "{mail}");
}

#[test]
fn sender_that_is_no_address_is_named() {
    let server = SmtpServer {
        host: "localhost".to_owned(),
        port: 25,
        encryption: Encryption::None,
        login: None,
        from: "kinora".to_owned(),
    };
    let error = Mailer::new(server, Clock::system()).expect_err("no address").to_string();
    assert_eq!(error, "alerts.smtp.from: \"kinora\" is not a mail address");
}

proptest! {
    /// What a rule may name, a mail can be sent to.
    #[test]
    fn address_that_a_rule_takes_is_one_for_mails(
        address in "[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~@\"\\\\ ()<>\\[\\]-]{1,12}@[a-zA-Z0-9.\\[\\]:_-]{1,12}",
    ) {
        let rule = json!({
            "when": { "type": "face" }, "targets": [{ "type": "email", "to": [address] }],
        });
        let rule: Rule = serde_json::from_value(rule).expect("a rule");
        if rule.check().is_ok() {
            let mail = mailer().message(&address, &TimeZone::UTC, &notice("face", None), None);
            prop_assert!(mail.is_ok(), "{address}");
        }
    }
}
