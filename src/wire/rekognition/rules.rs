//! What the model demands of the members of Rekognition's shapes.

use crate::wire::records::rule::{ANY, Pattern, Rule, length, one_of, value};

/// Names of stream processors.
pub const PROCESSOR_NAME: Rule = length(1, 128).like(NAME);
/// Ids of collections.
pub const COLLECTION_ID: Rule = length(1, 255).like(NAME);
/// Ids of faces.
pub const FACE_ID: Rule = ANY.like(Pattern {
    text: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    matches: |text| {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let groups = text.split('-').map(|group| (group.len(), group.bytes().all(hex)));
        groups.eq([8, 4, 4, 4, 12].map(|length| (length, true)))
    },
});
/// Ids of users.
pub const USER_ID: Rule = length(1, 128).like(CALLER_NAME);
/// What callers name pictures.
pub const EXTERNAL_IMAGE_ID: Rule = length(1, 255).like(CALLER_NAME);
/// Tells a request that is sent again.
pub const REQUEST_TOKEN: Rule = length(1, 64);
/// A percentage.
pub const PERCENT: Rule = value(0, 100);
/// A token of a listing.
pub const PAGINATION_TOKEN: Rule = length(0, 255);
/// A quality that faces should have.
pub const QUALITY_FILTER: Rule = one_of(&["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"]);
/// Tags of a resource.
pub const TAGS: Rule = length(0, 200).each(&ANY);
/// The ARN of what has tags.
pub const RESOURCE_ARN: Rule = length(20, 2048);
/// The role of a stream processor: kept and shown, for it has no effect here.
pub const ROLE_ARN: Rule = ANY.like(Pattern {
    text: r"arn:aws:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
    matches: |text| {
        let rest = text.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":role"));
        rest.is_some_and(|(account, name)| is_account(account) && name.len() > 1)
    },
});
/// The ARN of a video stream.
pub const VIDEO_ARN: Rule = ANY.like(Pattern {
    text: r"(^arn:([a-z\d-]+):kinesisvideo:([a-z\d-]+):\d{12}:.+$)",
    matches: |text| is_arn_of(text, "kinesisvideo"),
});
/// The ARN of a record stream.
pub const DATA_ARN: Rule = ANY.like(Pattern {
    text: r"(^arn:([a-z\d-]+):kinesis:([a-z\d-]+):\d{12}:.+$)",
    matches: |text| is_arn_of(text, "kinesis"),
});
/// The number of a fragment.
pub const FRAGMENT_NUMBER: Rule = length(1, 128).like(Pattern {
    text: "^[0-9]+$",
    matches: |text| text.bytes().all(|byte| byte.is_ascii_digit()),
});

const NAME: Pattern = Pattern {
    text: r"[a-zA-Z0-9_.\-]+",
    matches: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
};

const CALLER_NAME: Pattern = Pattern {
    text: r"[a-zA-Z0-9_.\-:]+",
    matches: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-:".contains(&b)),
};

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_arn_of(text: &str, wanted: &str) -> bool {
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts[..] else { return false };
    arn == "arn"
        && service == wanted
        && is_account(account)
        && ![partition, region, resource].contains(&"")
}
