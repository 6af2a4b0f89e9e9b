//! What a producer may send.

use std::time::Duration;

use crate::types::Millis;

/// Bounds of one PutMedia connection. The defaults are those of Kinesis Video Streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one fragment, its head included.
    pub fragment_bytes: usize,
    /// Media time from a fragment's start to its last frame.
    pub fragment_duration: Millis,
    /// Whether a fragment that does not start after the one before it on its connection is refused,
    /// as AWS does. Otherwise it is stored where its time says.
    pub strict_timecodes: bool,
    /// Tracks of a connection.
    pub tracks: usize,
    /// Metadata tags of one fragment; the end-of-fragment tag does not count.
    pub fragment_tags: usize,
    /// Bytes of a tag's name.
    pub tag_name_bytes: usize,
    /// Bytes of a tag's value.
    pub tag_value_bytes: usize,
    /// Bytes per second and connection; a faster producer is slowed down, not refused. 0 is
    /// unlimited.
    pub bytes_per_second: u64,
    /// Fragments per second and connection; a faster producer is slowed down. 0 is unlimited.
    pub fragments_per_second: u64,
    /// How long a connection may stay open.
    pub connection: Duration,
    /// How long a connection may bring no byte.
    pub idle: Duration,
    /// Bytes per second that a connection must bring on average over one `idle` period.
    pub minimum_bytes_per_second: u64,
    /// Complete fragments that may wait for the disk before the producer is slowed down.
    pub unpersisted_fragments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fragment_bytes: 50 << 20,
            fragment_duration: Millis(20_000),
            strict_timecodes: false,
            tracks: 3,
            fragment_tags: 10,
            tag_name_bytes: 128,
            tag_value_bytes: 256,
            bytes_per_second: 12_500_000,
            fragments_per_second: 5,
            connection: Duration::from_secs(45 * 60),
            idle: Duration::from_secs(30),
            minimum_bytes_per_second: 30,
            unpersisted_fragments: 4,
        }
    }
}
