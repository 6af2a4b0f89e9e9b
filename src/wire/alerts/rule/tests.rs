use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn rule(changes: Value) -> Result<Rule, String> {
    let mut rule = json!({ "when": { "type": "unknown" } });
    for (member, value) in changes.as_object().expect("members") {
        rule[member] = value.clone();
    }
    let rule: Rule = serde_json::from_value(rule).map_err(|error| error.to_string())?;
    rule.check().map_err(|error| error.to_string())?;
    Ok(rule)
}

#[test]
fn rule_needs_to_say_only_what_it_watches_for() {
    let rule = rule(json!({})).expect("valid");
    assert!(rule.enabled);
    assert_eq!((rule.clip.before_seconds, rule.clip.after_seconds), (5, 5));
    assert_eq!((rule.max_attempts, rule.targets.len()), (10, 0));
    let again: Rule = serde_json::to_string(&rule)
        .and_then(|text| serde_json::from_str(&text))
        .expect("its own shape");
    assert_eq!(again, rule);
}

#[test]
fn refusal_names_the_member_that_is_wrong() {
    let webhook =
        |url: &str, secret: &str| json!([{"type": "webhook", "url": url, "secret": secret}]);
    for (changes, named) in [
        (json!({ "streams": [] }), "streams"),
        (json!({ "streams": ["a b"] }), "streams"),
        (json!({ "when": { "type": "person", "people": [] } }), "when.people"),
        (json!({ "when": { "type": "count", "count": 0, "windowSeconds": 9 } }), "when.count"),
        (json!({ "when": { "type": "absence", "windowSeconds": 0 } }), "when.windowSeconds"),
        (json!({ "region": { "Left": 0.5, "Top": 0, "Width": 0.6, "Height": 1 } }), "region"),
        (json!({ "region": { "Left": 0, "Top": 0, "Width": 0, "Height": 1 } }), "region"),
        (json!({ "schedule": { "days": ["monday"] } }), "schedule.days"),
        (json!({ "schedule": { "from": "24:00" } }), "schedule.from"),
        (json!({ "schedule": { "to": "7:00" } }), "schedule.to"),
        (json!({ "schedule": { "timeZone": "Mars/Olympus" } }), "schedule.timeZone"),
        (json!({ "clip": { "beforeSeconds": 500 } }), "clip.beforeSeconds"),
        (json!({ "clip": { "beforeSeconds": 0, "afterSeconds": 0 } }), "clip"),
        (json!({ "targets": webhook("ftp://x", "secret-secret") }), "targets.url"),
        (json!({ "targets": webhook("http://x/", "short") }), "targets.secret"),
        (json!({ "targets": [{ "type": "email", "to": ["nobody"] }] }), "targets.to"),
        (json!({ "maxAttempts": 0 }), "maxAttempts"),
        (json!({ "colour": "red" }), "colour"),
        (json!({ "when": { "type": "smoke" } }), "smoke"),
    ] {
        let error = rule(changes.clone()).expect_err("refused");
        assert!(error.contains(named), "{changes}: {error}");
    }
}

#[test]
fn name_of_a_rule_is_part_of_a_queue_name() {
    assert!(check_name("unknown-face_2.a").is_ok());
    for name in ["", "a b", "ä", &"a".repeat(65)] {
        assert!(check_name(name).is_err(), "{name}");
    }
}

fn hours(days: &[&str], from: &str, to: &str, zone: &str) -> Hours {
    let days = days.iter().map(|day| (*day).to_owned()).collect();
    let schedule =
        Schedule { days, from: from.to_owned(), to: to.to_owned(), time_zone: zone.to_owned() };
    schedule.hours().expect("a valid schedule")
}

fn at(text: &str) -> f64 {
    text.parse::<jiff::Timestamp>().expect("a date").as_millisecond() as f64 / 1000.0
}

#[test]
fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
    // 2026-11-20 is a Friday.
    let night = hours(&["fri"], "22:00", "06:00", "+01:00");
    assert!(!night.contain(at("2026-11-20T04:00:00+01:00")));
    assert!(!night.contain(at("2026-11-20T21:59:59+01:00")));
    assert!(night.contain(at("2026-11-20T22:00:00+01:00")));
    assert!(night.contain(at("2026-11-21T05:59:59+01:00")));
    assert!(!night.contain(at("2026-11-21T06:00:00+01:00")));
    assert!(!night.contain(at("2026-11-21T23:00:00+01:00")));
}

#[test]
fn hours_follow_the_clock_on_the_wall_when_it_changes() {
    let office = hours(&[], "09:00", "17:00", "Europe/Berlin");
    assert!(office.contain(at("2026-07-01T07:00:00Z")));
    assert!(!office.contain(at("2026-12-01T07:59:59Z")));
    assert!(office.contain(at("2026-12-01T08:00:00Z")));
}

proptest! {
    #[test]
    fn all_days_from_a_time_to_itself_are_always(seconds in 0i64..4_000_000_000, hour in 0u8..24) {
        let text = format!("{hour:02}:00");
        prop_assert!(hours(&[], &text, &text, "-03:30").contain(seconds as f64));
    }

    #[test]
    fn a_moment_is_in_hours_or_in_those_between_them(
        seconds in 0i64..4_000_000_000, from in 0u8..24, length in 1u8..24,
    ) {
        let (from, to) = (format!("{from:02}:00"), format!("{:02}:00", (from + length) % 24));
        let inside = hours(&[], &from, &to, "Asia/Tokyo").contain(seconds as f64);
        let outside = hours(&[], &to, &from, "Asia/Tokyo").contain(seconds as f64);
        prop_assert!(inside != outside);
    }

    #[test]
    fn any_text_as_zone_or_time_is_answered(text: String) {
        let schedule = Schedule {
            days: vec![text.clone()], from: text.clone(), to: text.clone(), time_zone: text,
        };
        prop_assert!(schedule.hours().is_err());
    }
}
