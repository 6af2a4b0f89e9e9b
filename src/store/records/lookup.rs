//! The searches of the index that reading records needs.

use crate::store::fragments::{FragmentInfo, MediaStream, Order};
use crate::store::index::{Index, Record};
use crate::store::kept::Kept;
use crate::store::streams::Dead;
use crate::types::ServerTimestamp;

impl MediaStream {
    /// Up to `limit` persisted fragments from the first with this counter or a larger one on.
    pub(super) fn fragments_from(&self, counter: u64, limit: usize) -> Vec<Record> {
        self.since(counter, limit)
    }

    /// The first persisted fragment that the server began to receive at this moment or later.
    pub(super) fn first_since(&self, from: ServerTimestamp) -> Option<FragmentInfo> {
        self.list(Order::Server { from, to: ServerTimestamp::MAX }, None, 1).pop()
    }

    /// Makes the fragments before this counter unfindable.
    pub(super) fn keep_from(&self, counter: u64) {
        let after = Kept { from: counter, below: Vec::new() };
        loop {
            let state = self.state();
            let (late, old, held_bytes) =
                (state.late(), state.kept().clone(), state.space.held_bytes);
            drop(state);
            let kept = old.and(&after);
            let (dead, held_bytes) = Dead::between(&old, &kept, held_bytes, self);
            let mut state = self.state();
            if state.deleted {
                return;
            }
            if state.late() == late && *state.kept() == old {
                state.expire(kept, &dead, held_bytes, self.segments());
                break;
            }
        }
        self.wake();
    }
}
