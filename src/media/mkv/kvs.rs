//! Tags that Kinesis Video Streams gives a meaning: those producers send, and those the service
//! inserts into what it sends to consumers.

use bytes::Bytes;

use super::{Tag, tags};
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp};

/// Names of the service's own tags begin with this; of producers' tags only the control tags below.
pub const RESERVED_PREFIX: &str = "AWS_KINESISVIDEO";

// Control tags, from the producer.

/// Ends the current fragment without waiting for the next Cluster; empty.
pub const END_OF_FRAGMENT: &str = "AWS_KINESISVIDEO_END_OF_FRAGMENT";
/// The fragment it follows is to give an image; empty.
pub const IMAGE_GENERATION: &str = "AWS_KINESISVIDEO_IMAGE_GENERATION";
/// Begins the object name of that image.
pub const IMAGE_PREFIX: &str = "AWS_KINESISVIDEO_IMAGE_PREFIX";
/// The fragment it follows is to be notified of; empty.
pub const NOTIFICATION: &str = "AWS_KINESISVIDEO_NOTIFICATION";

/// All names with the reserved prefix that a producer may send.
pub const CONTROL: [&str; 4] = [END_OF_FRAGMENT, IMAGE_GENERATION, IMAGE_PREFIX, NOTIFICATION];

// Tags of GetMedia, to the consumer.

/// The fragment's number, 47 digits.
pub const FRAGMENT_NUMBER: &str = "AWS_KINESISVIDEO_FRAGMENT_NUMBER";
/// When the service received it: seconds with three decimals.
pub const SERVER_TIMESTAMP: &str = "AWS_KINESISVIDEO_SERVER_TIMESTAMP";
/// When the producer says it began: seconds with three decimals.
pub const PRODUCER_TIMESTAMP: &str = "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP";
/// How far this consumer is behind the newest fragment, in milliseconds.
pub const MILLIS_BEHIND_NOW: &str = "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW";
/// Where the next GetMedia goes on.
pub const CONTINUATION_TOKEN: &str = "AWS_KINESISVIDEO_CONTINUATION_TOKEN";
/// Why no fragment follows, as a word.
pub const ERROR_CODE: &str = "AWS_KINESISVIDEO_ERROR_CODE";
/// Why no fragment follows, as a number.
pub const ERROR_ID: &str = "AWS_KINESISVIDEO_ERROR_ID";

// Tags of GetMediaForFragmentList, to the consumer, as its documentation names them.

/// [`SERVER_TIMESTAMP`] by its other name.
pub const SERVER_SIDE_TIMESTAMP: &str = "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP";
/// [`PRODUCER_TIMESTAMP`] by its other name.
pub const PRODUCER_SIDE_TIMESTAMP: &str = "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP";
/// Why no fragment follows, as a word.
pub const EXCEPTION_ERROR_CODE: &str = "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE";
/// Why no fragment follows, in a sentence.
pub const EXCEPTION_MESSAGE: &str = "AWS_KINESISVIDEO_EXCEPTION_MESSAGE";

/// Whether a producer's tag of this name must be refused: it takes the service's prefix without
/// being a control tag.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED_PREFIX) && !CONTROL.contains(&name)
}

/// The Tags that GetMedia inserts before a fragment's Cluster.
pub fn leading_tags(
    number: FragmentNumber,
    server: ServerTimestamp,
    producer: ProducerTimestamp,
) -> Bytes {
    tags(&identity(number, server, producer))
}

/// The Tags that GetMedia inserts behind a fragment.
pub fn trailing_tags(millis_behind: Millis, continuation_token: FragmentNumber) -> Bytes {
    tags(&[
        tag(MILLIS_BEHIND_NOW, millis_behind.0.to_string()),
        tag(CONTINUATION_TOKEN, continuation_token.to_string()),
    ])
}

/// The Tags that end a GetMedia body early: `code` and `id` are the service's error, `number` the
/// fragment it concerns, without which AWS's parser library does not report it.
pub fn error_tags(number: Option<FragmentNumber>, code: &str, id: u16) -> Bytes {
    let number = number.map(|number| tag(FRAGMENT_NUMBER, number.to_string()));
    let error = [tag(ERROR_CODE, code.to_owned()), tag(ERROR_ID, id.to_string())];
    tags(&number.into_iter().chain(error).collect::<Vec<_>>())
}

/// The Tags that GetMediaForFragmentList inserts before a fragment's Cluster. Its documentation and
/// AWS's parser library disagree on two names, so both are written.
pub fn fragment_list_tags(
    number: FragmentNumber,
    server: ServerTimestamp,
    producer: ProducerTimestamp,
) -> Bytes {
    let documented = [
        tag(SERVER_SIDE_TIMESTAMP, server.to_string()),
        tag(PRODUCER_SIDE_TIMESTAMP, producer.to_string()),
    ];
    tags(&identity(number, server, producer).into_iter().chain(documented).collect::<Vec<_>>())
}

/// The Tags that end a GetMediaForFragmentList body early.
pub fn fragment_list_error_tags(code: &str, message: &str) -> Bytes {
    tags(&[tag(EXCEPTION_ERROR_CODE, code.to_owned()), tag(EXCEPTION_MESSAGE, message.to_owned())])
}

fn identity(
    number: FragmentNumber,
    server: ServerTimestamp,
    producer: ProducerTimestamp,
) -> [Tag; 3] {
    [
        tag(FRAGMENT_NUMBER, number.to_string()),
        tag(SERVER_TIMESTAMP, server.to_string()),
        tag(PRODUCER_TIMESTAMP, producer.to_string()),
    ]
}

fn tag(name: &str, value: String) -> Tag {
    Tag { name: name.to_owned(), value }
}
