//! Tag names that Kinesis Video Streams gives a meaning.

/// Ends the current fragment without waiting for the next Cluster.
pub const END_OF_FRAGMENT: &str = "AWS_KINESISVIDEO_END_OF_FRAGMENT";
