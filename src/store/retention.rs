//! What has expired, and the freeing of its space.

use std::io;
use std::sync::Arc;

use super::commit::Committer;
use super::fragments::MediaStream;
use super::log::entry::Kind;
use crate::types::{Millis, ServerTimestamp};

const HOUR: Millis = Millis(3_600_000);

/// Fragments that the server began to receive before this moment have expired. A stream with a
/// retention of zero hours keeps its fragments for `unretained_keep`, for readers at the tail.
pub fn horizon(
    now: ServerTimestamp,
    retention_hours: u32,
    unretained_keep: Millis,
) -> ServerTimestamp {
    match retention_hours {
        0 => now.minus(unretained_keep),
        hours => now.minus(Millis(HOUR.0 * u64::from(hours))),
    }
}

/// Makes a stream's expired fragments unfindable at once, and then logs it, so that they stay so
/// when the retention is raised again and the store reopened.
pub fn expire(stream: &Arc<MediaStream>, horizon: ServerTimestamp, committer: &Committer) {
    let Some(keep_from) = stream.expired_before(horizon) else { return };
    stream.trim(keep_from);
    let trim = Kind::Trim { stream: stream.id(), keep_from };
    match committer.trim(trim) {
        Ok(()) => tracing::debug!(stream = stream.id().0, keep_from, "fragments expired"),
        // They may be findable again after a restart, and then expire again.
        Err(error) => tracing::warn!(stream = stream.id().0, %error, "could not log an expiry"),
    }
}

/// Recycles the segments that hold nothing findable any more.
pub fn recycle(committer: &Committer) -> io::Result<usize> {
    if committer.poisoned().is_some() {
        return Ok(0);
    }
    committer.segments.recycle(committer.recyclable_before())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unretained_fragments_are_kept_for_live_readers_only() {
        let now = ServerTimestamp::from_millis(10_000_000);
        assert_eq!(horizon(now, 0, Millis(300_000)).as_millis(), 9_700_000);
        assert_eq!(horizon(now, 2, Millis(300_000)).as_millis(), 2_800_000);
    }
}
