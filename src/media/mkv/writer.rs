//! Writes MKV the way the C producer SDK does: unknown-size Segment and Clusters.

use bytes::Bytes;

use super::{Head, Tag};

/// EBML head, Segment start, Info and Tracks.
pub fn head(head: &Head) -> Bytes {
    let _ = head;
    todo!()
}

/// A Cluster's start of unknown size with its Timecode in ticks.
pub fn cluster(timecode: u64) -> Bytes {
    let _ = timecode;
    todo!()
}

/// A SimpleBlock's bytes up to the frame data, which follows uncopied.
pub fn simple_block(track: u64, offset: i16, keyframe: bool, data_len: usize) -> Bytes {
    let _ = (track, offset, keyframe, data_len);
    todo!()
}

/// A Tags element with one Tag that holds all the SimpleTags (4-byte sizes, as KVS inserts them).
pub fn tags(tags: &[Tag]) -> Bytes {
    let _ = tags;
    todo!()
}
