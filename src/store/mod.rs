//! The embedded store: one log under every stream, an index derived from it, and a catalog of
//! what streams exist.
//!
//! Here: bytes plus times, durable and findable. Not here: what the bytes mean (`media`), HTTP,
//! JSON of any protocol.

mod catalog;
mod fragments;

pub use catalog::{Catalog, CatalogError, NewStream, StreamInfo, StreamStatus};
pub use fragments::{
    Chunk, Cursor, FormatId, FragmentInfo, FragmentReader, FragmentWriter, MediaStream, Order,
    PersistError, ReadError, Start, TornFragment,
};

use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::types::StreamId;

/// What the store may use; every default is decided in `config.rs`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of one segment file.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// An open store. All its methods may be called from any thread.
pub struct Store {}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io { context: String, source: std::io::Error },
}

/// What opening found and did.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// Bytes of an unacknowledged tail that were cut.
    pub torn_tail_bytes: u64,
    /// Damaged ranges in the middle of the log, in words.
    pub damage: Vec<String>,
    /// Fragments found.
    pub fragments: u64,
}

impl Store {
    /// Opens or creates the store in `dir`, recovering from a crash. Blocks; takes the lock file.
    pub fn open(
        dir: &Path,
        options: Options,
        clock: Clock,
    ) -> Result<(Self, OpenReport), OpenError> {
        let _ = (dir, options, clock);
        todo!()
    }

    /// What streams exist.
    pub fn catalog(&self) -> &Catalog {
        todo!()
    }

    /// The media of a stream that the catalog knows; `None` after its deletion.
    pub fn media(&self, id: StreamId) -> Option<Arc<MediaStream>> {
        let _ = id;
        todo!()
    }

    /// Applies each stream's retention once: unfindable at once, and segments that hold nothing
    /// live any more are recycled. Blocks.
    pub fn enforce_retention(&self) {
        todo!()
    }

    /// Why the store refuses writes since a failed write or sync, if it does.
    pub fn poisoned(&self) -> Option<String> {
        todo!()
    }

    /// Waits until all that was handed over is synced, and stops the commit thread. Blocks.
    pub fn close(&self) {
        todo!()
    }
}
