//! The searches of the index that reading records needs.

use crate::store::fragments::{FragmentInfo, MediaStream, Order};
use crate::store::index::Record;
use crate::types::ServerTimestamp;

impl MediaStream {
    /// Up to `limit` persisted fragments from the first with this counter or a larger one on.
    pub(super) fn fragments_from(&self, counter: u64, limit: usize) -> Vec<Record> {
        self.state().index.since(counter).take(limit).copied().collect()
    }

    /// The first persisted fragment that the server began to receive at this moment or later.
    pub(super) fn first_since(&self, from: ServerTimestamp) -> Option<FragmentInfo> {
        self.list(Order::Server { from, to: ServerTimestamp::MAX }, None, 1).pop()
    }

    /// Makes the fragments before this counter unfindable.
    pub(super) fn keep_from(&self, counter: u64) {
        self.state().keep_from(counter, self.segments());
        self.wake();
    }
}
