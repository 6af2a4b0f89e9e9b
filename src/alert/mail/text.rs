//! The words of a mail. Pure.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::wire::alerts::{Alert, Notice};

/// What a mail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub subject: String,
    pub text: String,
    pub html: String,
}

impl Letter {
    /// Tells of an alert; `picture` is the id of an inline picture of the face, if there is one.
    pub fn new(notice: &Notice, zone: &TimeZone, picture: Option<&str>) -> Self {
        let alert = &notice.alert;
        let what = plain(&format!("{} at {}", who(alert), alert.stream));
        let when = moment(alert.time, zone);
        let facts = [("When", when.as_str()), ("Camera", &alert.stream), ("Rule", &alert.rule)];
        let clip = Some(("Watch the clip", notice.clip_url.as_str()));
        let crop = notice.crop_url.as_deref().map(|url| ("See the picture", url));
        let links: Vec<_> = clip.into_iter().chain(crop).collect();
        Self {
            subject: format!("{what}, {when}"),
            text: text(&what, &facts, &links),
            html: html(&what, &facts, &links, picture),
        }
    }
}

/// Whom it is about.
fn who(alert: &Alert) -> String {
    let event = alert.event.as_ref();
    let name = event.and_then(|event| event.person_name.clone());
    match (alert.kind.as_str(), name) {
        ("absence", _) => "Nobody seen".to_owned(),
        ("count", _) => "Several faces".to_owned(),
        (_, Some(name)) => name,
        _ if event.is_some_and(|event| event.known) => "Known face".to_owned(),
        ("unknown", None) => "Unknown face".to_owned(),
        _ => "Face".to_owned(),
    }
}

fn moment(seconds: f64, zone: &TimeZone) -> String {
    let time = Timestamp::from_millisecond((seconds * 1000.0) as i64).unwrap_or_default();
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// In one line: names of people are whatever somebody typed.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn text(what: &str, facts: &[(&str, &str)], links: &[(&str, &str)]) -> String {
    let mut text = format!("{what}\n\n");
    for (name, value) in facts {
        text += &format!("{name}: {value}\n");
    }
    for (name, url) in links {
        text += &format!("\n{name}:\n{url}\n");
    }
    text + "\nWhoever has a link sees what it shows, until it expires.\n"
}

fn html(
    what: &str,
    facts: &[(&str, &str)],
    links: &[(&str, &str)],
    picture: Option<&str>,
) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html><body style=\"font-family: sans-serif\">\n<h2>{}</h2>\n",
        escaped(what)
    );
    if let Some(id) = picture {
        html += &format!("<p><img src=\"cid:{id}\" alt=\"The face\"></p>\n");
    }
    for (name, value) in facts {
        html += &format!("{name}: {}<br>\n", escaped(value));
    }
    for (name, url) in links {
        html += &format!("<p><a href=\"{}\">{name}</a></p>\n", escaped(url));
    }
    html + "<p><small>Whoever has a link sees what it shows, until it expires.</small></p>\n\
            </body></html>\n"
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c => safe.push(c),
        }
    }
    safe
}
