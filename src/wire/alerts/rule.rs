//! What a rule says, and what makes one invalid. Pure.

use jiff::civil::{Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::types::StreamName;

/// The longest name of a rule.
pub const MAX_NAME_CHARS: usize = 64;
/// Streams that a rule may name.
pub const MAX_STREAMS: usize = 100;
/// Persons that a rule may name.
pub const MAX_PEOPLE: usize = 100;
/// Receivers of a rule.
pub const MAX_TARGETS: usize = 5;
/// Addresses of one receiver.
pub const MAX_ADDRESSES: usize = 20;
/// The longest name of a person, URL, address or secret.
pub const MAX_TEXT_CHARS: usize = 1024;
/// The shortest secret that signs anything.
pub const MIN_SECRET_CHARS: usize = 8;
/// The longest window of `count` and `absence`: a day.
pub const MAX_WINDOW_SECONDS: u32 = 86_400;
/// The most that is counted.
pub const MAX_COUNT: u32 = 1000;
/// The most that a clip shows before or after.
pub const MAX_CLIP_SECONDS: u32 = 120;
/// The most attempts to deliver an alert; what a queue allows.
pub const MAX_ATTEMPTS: u32 = 1000;

/// What to watch for, and whom to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Whether it is looked at.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The video streams; `null` is all.
    #[serde(default)]
    pub streams: Option<Vec<String>>,
    /// What to watch for.
    pub when: When,
    /// The part of the frame in which a face's middle must be; `null` is all of it.
    #[serde(default)]
    pub region: Option<Region>,
    /// When to look; `null` is always.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// What to show.
    #[serde(default)]
    pub clip: Clip,
    /// Whom to tell; an alert is on the alert stream in any case.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// Attempts to tell a receiver until the alert is a dead letter.
    #[serde(default = "ten")]
    pub max_attempts: u32,
}

/// A rule with its name and history, as the API lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedRule {
    /// Unique.
    pub name: String,
    /// When it was made, in seconds on the server's clock: what was seen before is not told.
    pub created: f64,
    /// When it was last changed, in seconds on the server's clock.
    pub updated: f64,
    /// The rest.
    #[serde(flatten)]
    pub rule: Rule,
    /// The ARN of the queue from which alerts go to the targets; absent without any.
    #[serde(default, rename = "queueARN")]
    pub queue_arn: Option<String>,
}

/// What a rule watches for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum When {
    /// A face that is nobody known; once for each track.
    Unknown,
    /// One of these persons; once for each track.
    Person {
        /// Ids or names.
        people: Vec<String>,
    },
    /// Any face; once for each track.
    Face,
    /// So many tracks that begin within so many seconds.
    Count {
        /// How many.
        count: u32,
        /// Within how long.
        window_seconds: u32,
        /// Ids or names of those who count; all without any.
        #[serde(default)]
        people: Vec<String>,
    },
    /// Nobody for so many seconds; once until somebody comes.
    Absence {
        /// For how long.
        window_seconds: u32,
        /// Ids or names of those who are missed; anybody without any.
        #[serde(default)]
        people: Vec<String>,
    },
}

/// A part of the frame, from its top left: 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Region {
    /// Where it begins from the left.
    pub left: f32,
    /// Where it begins from the top.
    pub top: f32,
    /// How wide it is.
    pub width: f32,
    /// How high it is.
    pub height: f32,
}

/// Hours of certain days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// `mon` to `sun`, the days on which the hours begin; none means all.
    #[serde(default)]
    pub days: Vec<String>,
    /// `HH:MM`, included.
    #[serde(default = "midnight")]
    pub from: String,
    /// `HH:MM`, not included; at or before `from` it is of the next day.
    #[serde(default = "midnight")]
    pub to: String,
    /// An offset such as `+01:00`, or a name such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub time_zone: String,
}

/// What to show around the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Clip {
    /// Seconds before it.
    pub before_seconds: u32,
    /// Seconds after it.
    pub after_seconds: u32,
}

/// Whom to tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Target {
    /// POST to a URL.
    Webhook {
        /// `http` or `https`.
        url: String,
        /// Signs what is sent.
        secret: String,
        /// Whether the clip itself goes with it, as the second part of a multipart form; it is then
        /// sent when the clip's end is stored.
        #[serde(default)]
        attach_clip: bool,
    },
    /// A mail, through the SMTP server of the configuration.
    Email {
        /// The addresses; each gets a mail of its own.
        to: Vec<String>,
        /// Whether the clip itself goes with it, where it is small enough for a mail; it is then
        /// sent when the clip's end is stored.
        #[serde(default)]
        attach_clip: bool,
    },
}

/// Why a rule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {problem}")]
pub struct InvalidRule {
    /// Which member.
    pub member: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// A schedule that can be asked.
#[derive(Clone, Debug)]
pub struct Hours {
    days: Vec<Weekday>,
    from: Time,
    to: Time,
    zone: TimeZone,
}

impl Rule {
    /// Whether the rule can be followed.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn check(&self) -> Result<(), InvalidRule> {
        if let Some(streams) = &self.streams {
            within("streams", streams.len(), 1, MAX_STREAMS)?;
            for stream in streams {
                let name = stream.parse::<StreamName>();
                name.map_err(|error| invalid("streams", format!("{stream:?}: {error}")))?;
            }
        }
        self.when.check()?;
        if let Some(region) = &self.region {
            region.check()?;
        }
        if let Some(schedule) = &self.schedule {
            schedule.hours()?;
        }
        let longest = MAX_CLIP_SECONDS as usize;
        within("clip.beforeSeconds", self.clip.before_seconds as usize, 0, longest)?;
        within("clip.afterSeconds", self.clip.after_seconds as usize, 0, longest)?;
        if self.clip.before_seconds + self.clip.after_seconds == 0 {
            return Err(invalid("clip", "must show at least a second"));
        }
        within("targets", self.targets.len(), 0, MAX_TARGETS)?;
        self.targets.iter().try_for_each(Target::check)?;
        within("maxAttempts", self.max_attempts as usize, 1, MAX_ATTEMPTS as usize)
    }

    /// The zone that times are told in: the schedule's, where there is one.
    pub fn zone(&self) -> TimeZone {
        let named = self.schedule.as_ref().and_then(|schedule| zone(&schedule.time_zone).ok());
        named.unwrap_or(TimeZone::UTC)
    }
}

impl When {
    /// Its name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Person { .. } => "person",
            Self::Face => "face",
            Self::Count { .. } => "count",
            Self::Absence { .. } => "absence",
        }
    }

    /// The persons it is about; none means anybody.
    pub fn people(&self) -> &[String] {
        match self {
            Self::Unknown | Self::Face => &[],
            Self::Person { people } | Self::Count { people, .. } | Self::Absence { people, .. } => {
                people
            }
        }
    }

    fn check(&self) -> Result<(), InvalidRule> {
        let least = usize::from(matches!(self, Self::Person { .. }));
        within("when.people", self.people().len(), least, MAX_PEOPLE)?;
        for person in self.people() {
            within("when.people", person.chars().count(), 1, MAX_TEXT_CHARS)?;
        }
        let window = |seconds: u32| {
            within("when.windowSeconds", seconds as usize, 1, MAX_WINDOW_SECONDS as usize)
        };
        match self {
            Self::Count { count, window_seconds, .. } => {
                within("when.count", *count as usize, 1, MAX_COUNT as usize)?;
                window(*window_seconds)
            }
            Self::Absence { window_seconds, .. } => window(*window_seconds),
            Self::Unknown | Self::Person { .. } | Self::Face => Ok(()),
        }
    }
}

impl Region {
    /// Whether a place of the frame is in it.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        (self.left..=self.left + self.width).contains(&x)
            && (self.top..=self.top + self.height).contains(&y)
    }

    fn check(&self) -> Result<(), InvalidRule> {
        let parts = [self.left, self.top, self.width, self.height];
        let inside = parts.iter().all(|part| (0.0..=1.0).contains(part))
            && self.left + self.width <= 1.001
            && self.top + self.height <= 1.001;
        if !inside || self.width <= 0.0 || self.height <= 0.0 {
            return Err(invalid("region", "must be a part of the frame, in numbers from 0 to 1"));
        }
        Ok(())
    }
}

impl Schedule {
    /// The schedule in a form that can be asked.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn hours(&self) -> Result<Hours, InvalidRule> {
        within("schedule.days", self.days.len(), 0, 7)?;
        let days: Result<_, _> = self.days.iter().map(|day| weekday(day)).collect();
        Ok(Hours {
            days: days?,
            from: time("schedule.from", &self.from)?,
            to: time("schedule.to", &self.to)?,
            zone: zone(&self.time_zone)?,
        })
    }
}

impl Hours {
    /// Whether a moment, in seconds since the epoch, is within them.
    pub fn contain(&self, seconds: f64) -> bool {
        let Ok(moment) = jiff::Timestamp::from_millisecond((seconds * 1000.0) as i64) else {
            return false;
        };
        let local = moment.to_zoned(self.zone.clone());
        let (time, today) = (local.time(), local.weekday());
        let is_day = |day| self.days.is_empty() || self.days.contains(&day);
        if self.from < self.to {
            return is_day(today) && (self.from..self.to).contains(&time);
        }
        // Over midnight: the hours belong to the day on which they begin.
        (is_day(today) && time >= self.from) || (is_day(today.previous()) && time < self.to)
    }
}

impl Target {
    /// Who it is, for logs: no secret is in it.
    pub fn receiver(&self) -> String {
        match self {
            // What follows a question mark may be a secret of the receiver's own.
            Self::Webhook { url, .. } => url.split('?').next().unwrap_or_default().to_owned(),
            Self::Email { to, .. } => to.join(", "),
        }
    }

    fn check(&self) -> Result<(), InvalidRule> {
        match self {
            Self::Webhook { url, secret, .. } => {
                within("targets.url", url.chars().count(), 1, MAX_TEXT_CHARS)?;
                let parsed = url.parse::<http::Uri>().ok();
                let usable = parsed.is_some_and(|url| {
                    matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
                });
                if !usable {
                    return Err(invalid("targets.url", "must be an http or https URL"));
                }
                within("targets.secret", secret.chars().count(), MIN_SECRET_CHARS, MAX_TEXT_CHARS)
            }
            Self::Email { to, .. } => {
                within("targets.to", to.len(), 1, MAX_ADDRESSES)?;
                to.iter().try_for_each(|address| mail_address(address))
            }
        }
    }
}

impl Default for Clip {
    fn default() -> Self {
        Self { before_seconds: 5, after_seconds: 5 }
    }
}

/// Whether a text can name a rule: 1 to 64 of `[a-zA-Z0-9_.-]`, as it is part of a queue's name.
///
/// # Errors
/// It can not.
pub fn check_name(name: &str) -> Result<(), InvalidRule> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=MAX_NAME_CHARS).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(invalid("name", format!("has 1 to {MAX_NAME_CHARS} characters of [a-zA-Z0-9_.-]")))
}

fn invalid(member: &'static str, problem: impl Into<String>) -> InvalidRule {
    InvalidRule { member, problem: problem.into() }
}

fn within(
    member: &'static str,
    value: usize,
    least: usize,
    most: usize,
) -> Result<(), InvalidRule> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(invalid(member, format!("must be from {least} to {most} (count, characters or number)")))
}

/// Whether mails can be sent there, as far as can be told from its form (RFC 5321, without quotes);
/// whether there is such an address, its server says.
fn mail_address(address: &str) -> Result<(), InvalidRule> {
    let dotted = |text: &str, longest: usize, is_part: fn(&str) -> bool| {
        text.len() <= longest && text.split('.').all(is_part)
    };
    let word = |text: &str| {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte);
        !text.is_empty() && text.bytes().all(allowed)
    };
    let label = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let edge = text.starts_with('-') || text.ends_with('-');
        (1..=63).contains(&text.len()) && !edge && text.bytes().all(allowed)
    };
    match address.split_once('@') {
        Some((user, host)) if dotted(user, 64, word) && dotted(host, 189, label) => Ok(()),
        _ => Err(invalid("targets.to", format!("{address:?} is not a mail address"))),
    }
}

fn weekday(day: &str) -> Result<Weekday, InvalidRule> {
    Ok(match day {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return Err(invalid("schedule.days", "are mon, tue, wed, thu, fri, sat and sun")),
    })
}

fn time(member: &'static str, text: &str) -> Result<Time, InvalidRule> {
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i8>().ok()).flatten()
    };
    let parts = text.split_once(':').and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)));
    let time = parts.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
    time.ok_or_else(|| invalid(member, "must be a time of day such as 22:00"))
}

fn zone(text: &str) -> Result<TimeZone, InvalidRule> {
    let named = || TimeZone::get(text).ok().filter(|_| !text.is_empty());
    offset(text).or_else(named).ok_or_else(|| {
        let problem =
            format!("{text:?} is no offset such as +01:00 and no zone such as Asia/Tokyo");
        invalid("schedule.timeZone", problem)
    })
}

/// `+01:00`, `-0330`, `Z`.
fn offset(text: &str) -> Option<TimeZone> {
    if text == "Z" {
        return Some(TimeZone::UTC);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok().map(TimeZone::fixed)
}

fn yes() -> bool {
    true
}

fn ten() -> u32 {
    10
}

fn midnight() -> String {
    "00:00".to_owned()
}

fn utc() -> String {
    "Z".to_owned()
}

#[cfg(test)]
mod tests;
