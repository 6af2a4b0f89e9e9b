//! What the model demands of members, and the words in which AWS says that it does not hold.

use std::fmt::Write;

use super::{Blob, TagMap, Timestamp};

/// The most problems that are told at once, as on AWS.
const MAX_PROBLEMS: usize = 10;
/// The most characters of an offending value that are shown.
const MAX_SHOWN: usize = 512;

/// Tags of a request.
pub const TAGS: Rule = length(1, 200).each(&ANY);

/// A member's demands. All of them hold for a member that is absent, but for `required`.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    required: bool,
    /// Characters of a text, items of a list, bytes of a blob.
    length: Option<(u64, u64)>,
    value: Option<(i64, i64)>,
    pattern: Option<Pattern>,
    one_of: Option<&'static [&'static str]>,
    /// Of a list's items.
    each: Option<&'static Rule>,
}

/// A form of texts: how the model writes it, and whether a text has it.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// As the model writes it.
    pub text: &'static str,
    /// Whether a text has it.
    pub matches: fn(&str) -> bool,
}

/// No demands.
pub const ANY: Rule =
    Rule { required: false, length: None, value: None, pattern: None, one_of: None, each: None };

/// Names of streams, consumers, queues and shards.
pub const NAME: Rule = length(1, 128).like(Pattern {
    text: "[a-zA-Z0-9_.-]+",
    matches: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
});
/// A stream's ARN.
pub const STREAM_ARN: Rule = length(1, 2048).like(Pattern {
    text: r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+",
    matches: |text| is_arn(text, |resource| after(resource, "stream/")),
});
/// A consumer's ARN.
pub const CONSUMER_ARN: Rule = length(1, 2048).like(Pattern {
    text: r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+",
    matches: |text| is_arn(text, is_consumer),
});
/// A queue's ARN.
pub const QUEUE_ARN: Rule = length(1, 2048).like(Pattern {
    text: r"arn:aws.*:kinesis:.*:\d{12}:queue/\S+",
    matches: |text| is_arn(text, |resource| after(resource, "queue/")),
});
/// A channel's ARN.
pub const CHANNEL_ARN: Rule = length(1, 2048).like(Pattern {
    text: r"arn:aws.*:kinesis:.*:\d{12}:channel/\S+",
    matches: |text| is_arn(text, |resource| after(resource, "channel/")),
});
/// The ARN of whatever can have tags or a policy.
pub const RESOURCE_ARN: Rule = length(1, 2048).like(Pattern {
    text: r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+",
    matches: |text| {
        is_arn(text, |resource| {
            ["stream/", "channel/", "queue/"].iter().any(|kind| after(resource, kind))
        })
    },
});
/// A stream's reserved id.
pub const STREAM_ID: Rule = length(1, 24).like(Pattern {
    text: "[a-z0-9]{20}-[a-z0-9]{3}",
    matches: |text| {
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        text.split_once('-').is_some_and(|(id, check)| {
            (id.len(), check.len()) == (20, 3) && plain(id) && plain(check)
        })
    },
});
/// A hash key in decimal.
pub const HASH_KEY: Rule =
    ANY.like(Pattern { text: r"0|([1-9]\d{0,38})", matches: |text| is_decimal(text, 39) });
/// A sequence number in decimal.
pub const SEQUENCE_NUMBER: Rule =
    ANY.like(Pattern { text: r"0|([1-9]\d{0,128})", matches: |text| is_decimal(text, 129) });
/// A partition key; bounds count characters.
pub const PARTITION_KEY: Rule = length(1, 256);
/// A record's data. Each stream has its own, smaller bound as well.
pub const DATA: Rule = length(0, 10 << 20);
/// A tag's key.
pub const TAG_KEY: Rule = length(1, 128);
/// A tag's value.
pub const TAG_VALUE: Rule = length(0, 256);
/// A token of a listing.
pub const NEXT_TOKEN: Rule = length(1, 1 << 20);
/// Results of a page.
pub const PAGE: Rule = value(1, 10_000);

/// A bound of a text's, list's or blob's length, both ends included.
pub const fn length(min: u64, max: u64) -> Rule {
    Rule { length: Some((min, max)), ..ANY }
}

/// A bound of a number, both ends included.
pub const fn value(min: i64, max: i64) -> Rule {
    Rule { value: Some((min, max)), ..ANY }
}

/// A lower bound of a number.
pub const fn at_least(min: i64) -> Rule {
    value(min, i64::MAX)
}

/// One of these texts.
pub const fn one_of(texts: &'static [&'static str]) -> Rule {
    Rule { one_of: Some(texts), ..ANY }
}

impl Rule {
    /// It must be there as well.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Each item of the list has demands as well.
    pub const fn each(self, rule: &'static Rule) -> Self {
        Self { each: Some(rule), ..self }
    }

    /// It has a form as well.
    pub const fn like(self, pattern: Pattern) -> Self {
        Self { pattern: Some(pattern), ..self }
    }

    /// The demands that the value does not meet.
    fn unmet(&self, value: &dyn Value) -> Vec<String> {
        let mut unmet = Vec::new();
        if let (Some(bounds), Some(length)) = (self.length, value.length()) {
            unmet.extend(outside("length", bounds, length));
        }
        if let (Some(bounds), Some(number)) = (self.value, value.number()) {
            unmet.extend(outside("value", bounds, number));
        }
        let text = value.text();
        if let Some(pattern) = self.pattern.filter(|p| text.is_some_and(|t| !(p.matches)(t))) {
            let words = "Member must satisfy regular expression pattern:";
            unmet.push(format!("{words} {}", pattern.text));
        }
        if let Some(texts) = self.one_of.filter(|o| text.is_some_and(|t| !o.contains(&t))) {
            unmet.push(format!("Member must satisfy enum value set: [{}]", texts.join(", ")));
        }
        unmet
    }
}

/// What a rule can look at. A value answers only what it has.
pub trait Value {
    /// The value in a message.
    fn shown(&self) -> String;

    /// Characters, items or bytes.
    fn length(&self) -> Option<u64> {
        None
    }

    /// A number's value.
    fn number(&self) -> Option<i64> {
        None
    }

    /// A text.
    fn text(&self) -> Option<&str> {
        None
    }

    /// Whether it is made of members, whose problems are told one by one.
    fn inside(&self, _: &mut Checker) {}

    /// The demands on items that some item does not meet.
    fn unmet_by_items(&self, _: &Rule) -> Vec<String> {
        Vec::new()
    }
}

/// A member's name: the field's, and the wire's where it does not follow from it.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// In snake case.
    pub member: &'static str,
    /// As on the wire.
    pub wire: Option<&'static str>,
}

/// Collects problems while it walks through a shape.
#[derive(Default)]
pub struct Checker {
    /// The members and positions that lead to the present one.
    path: Vec<Step>,
    problems: Vec<String>,
}

#[derive(Clone, Copy)]
enum Step {
    Member(Name),
    /// Counts from 0 here, from 1 on the wire.
    Item(usize),
}

/// What is wrong with a request by the model, as AWS says it; `None` when nothing is.
pub fn problems(shape: &impl Value) -> Option<String> {
    let mut checker = Checker::default();
    shape.inside(&mut checker);
    let count = checker.problems.len();
    let errors = if count == 1 { "error" } else { "errors" };
    (count > 0)
        .then(|| format!("{count} validation {errors} detected: {}", checker.problems.join("; ")))
}

impl Checker {
    /// Holds a member against its rule, then what is inside of it against theirs.
    pub fn member<T: Value>(&mut self, name: Name, value: Option<&T>, rule: &Rule) {
        match value {
            None if rule.required => {
                self.problem(name, "null", "Member must not be null");
            }
            None => {}
            Some(value) => {
                let mut unmet = rule.unmet(value);
                if let Some(each) = rule.each {
                    unmet.extend(value.unmet_by_items(each));
                }
                for words in unmet {
                    self.problem(name, &format!("'{}'", shown(value)), &words);
                }
                self.path.push(Step::Member(name));
                value.inside(self);
                self.path.pop();
            }
        }
    }

    fn problem(&mut self, name: Name, value: &str, words: &str) {
        if self.problems.len() == MAX_PROBLEMS {
            return;
        }
        let mut at = String::new();
        for step in &self.path {
            at.push_str(&match step {
                Step::Member(name) => format!("{name}."),
                Step::Item(index) => format!("{}.member.", index + 1),
            });
        }
        let problem =
            format!("Value {value} at '{at}{name}' failed to satisfy constraint: {words}");
        self.problems.push(problem);
    }
}

/// Lower camel case: `streamName`, `streamARN`.
impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(wire) = self.wire {
            let (first, rest) = wire.split_at(wire.len().min(1));
            return write!(f, "{}{rest}", first.to_ascii_lowercase());
        }
        let mut upper = false;
        for letter in self.member.chars() {
            match letter {
                '_' => upper = true,
                letter if upper => {
                    f.write_char(letter.to_ascii_uppercase())?;
                    upper = false;
                }
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// The bound that is not kept.
fn outside<N: PartialOrd + std::fmt::Display>(
    what: &str,
    (min, max): (N, N),
    number: N,
) -> Option<String> {
    let words = format_args!("Member must have {what}");
    if number > max {
        Some(format!("{words} less than or equal to {max}"))
    } else if number < min {
        Some(format!("{words} greater than or equal to {min}"))
    } else {
        None
    }
}

fn shown(value: &dyn Value) -> String {
    let mut text = value.shown();
    if let Some((at, _)) = text.char_indices().nth(MAX_SHOWN) {
        text.truncate(at);
        text.push_str("...");
    }
    text
}

impl Value for String {
    fn shown(&self) -> String {
        self.clone()
    }

    fn length(&self) -> Option<u64> {
        Some(self.chars().count() as u64)
    }

    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Value for i64 {
    fn shown(&self) -> String {
        self.to_string()
    }

    fn number(&self) -> Option<i64> {
        Some(*self)
    }
}

impl Value for f64 {
    fn shown(&self) -> String {
        self.to_string()
    }

    /// The next whole number away from zero: it is within whole bounds exactly when the value is.
    fn number(&self) -> Option<i64> {
        Some(if *self > 0.0 { self.ceil() } else { self.floor() } as i64)
    }
}

impl Value for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Value for Timestamp {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

impl Value for Blob {
    fn shown(&self) -> String {
        format!("java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", self.0.len())
    }

    fn length(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }
}

impl Value for TagMap {
    fn shown(&self) -> String {
        let pairs: Vec<_> = self.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{{{}}}", pairs.join(", "))
    }

    fn length(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    /// Tags are the only maps, so what holds for their parts is known.
    fn unmet_by_items(&self, _: &Rule) -> Vec<String> {
        let parts: [(&str, Rule, Vec<&String>); 2] = [
            ("keys", TAG_KEY, self.keys().collect()),
            ("value", TAG_VALUE, self.values().collect()),
        ];
        let unmet = parts.into_iter().filter_map(|(part, rule, texts)| {
            let unmet = texts.into_iter().map(|text| rule.unmet(text)).find(|u| !u.is_empty())?;
            Some(format!("Map {part} must satisfy constraint: [{}]", unmet.join(", ")))
        });
        unmet.collect()
    }
}

impl<T: Value> Value for Vec<T> {
    fn shown(&self) -> String {
        let items: Vec<_> = self.iter().take(MAX_SHOWN).map(|item| shown(item)).collect();
        format!("[{}]", items.join(", "))
    }

    fn length(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    fn inside(&self, checker: &mut Checker) {
        for (at, item) in self.iter().enumerate() {
            checker.path.push(Step::Item(at));
            item.inside(checker);
            checker.path.pop();
        }
    }

    fn unmet_by_items(&self, rule: &Rule) -> Vec<String> {
        let unmet = self.iter().map(|item| rule.unmet(item)).find(|unmet| !unmet.is_empty());
        let words =
            |unmet: Vec<String>| format!("Member must satisfy constraint: [{}]", unmet.join(", "));
        unmet.map(words).into_iter().collect()
    }
}

/// Whether it reads `arn:aws…:kinesis:…:ACCOUNT:RESOURCE` with a resource to the taste of `fits`.
fn is_arn(text: &str, fits: impl Fn(&str) -> bool) -> bool {
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let [arn, partition, service, _, account, resource] = parts[..] else { return false };
    arn == "arn"
        && partition.starts_with("aws")
        && service == "kinesis"
        && is_account(account)
        && fits(resource)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn after(resource: &str, kind: &str) -> bool {
    let name = resource.strip_prefix(kind);
    name.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

/// `stream/NAME/consumer/NAME:SECONDS`
fn is_consumer(resource: &str) -> bool {
    let name = |text: &str| NAME.unmet(&text.to_owned()).is_empty();
    let parts = resource.strip_prefix("stream/").and_then(|rest| rest.split_once("/consumer/"));
    parts.is_some_and(|(stream, rest)| {
        rest.split_once(':').is_some_and(|(consumer, seconds)| {
            let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
            name(stream) && name(consumer) && digits
        })
    })
}

/// Without leading zeros.
fn is_decimal(text: &str, most_digits: usize) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (1..=most_digits).contains(&text.len()) && (text == "0" || !text.starts_with('0'))
}
