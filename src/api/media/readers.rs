//! How many GetMedia answers each stream has under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::types::StreamId;

/// The counts of all streams.
#[derive(Clone, Debug, Default)]
pub struct Readers(Arc<Mutex<HashMap<StreamId, usize>>>);

/// One answer under way; dropping it ends it.
#[derive(Debug)]
pub(super) struct Reading {
    readers: Readers,
    stream: StreamId,
}

impl Readers {
    /// Counts one more, unless the stream has `most` already.
    pub(super) fn enter(&self, stream: StreamId, most: usize) -> Option<Reading> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(stream).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Reading { readers: self.clone(), stream })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut counts = self.readers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.stream) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_a_stream_are_bounded_and_places_come_back() {
        let readers = Readers::default();
        let first = readers.enter(StreamId(1), 2);
        let second = readers.enter(StreamId(1), 2);
        assert!(first.is_some() && second.is_some());
        assert!(readers.enter(StreamId(1), 2).is_none());
        assert!(readers.enter(StreamId(2), 2).is_some());
        drop(first);
        assert!(readers.enter(StreamId(1), 2).is_some());
        drop(second);
        assert!(readers.0.lock().expect("no panic").is_empty());
    }
}
