//! Fragments that are still being received, readable piece by piece.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::fragments::FragmentInfo;
use super::locked;
use super::log::entry::{FormatId, Lsn};
use crate::types::{FragmentNumber, ProducerTimestamp};

/// A fragment from its beginning until it is persisted or given up. Its bytes are held here and
/// nowhere else: they go at once when its fate is decided, however slow its readers are.
#[derive(Debug)]
pub struct OpenFragment {
    /// Fixed from the beginning.
    pub number: FragmentNumber,
    /// When it starts on the producer's clock.
    pub producer: ProducerTimestamp,
    /// What decoders need.
    pub format: FormatId,
    /// What makes the chunk a complete file by itself.
    pub head: Bytes,
    body: Mutex<Body>,
    compared_before: AtomicU64,
}

#[derive(Debug)]
struct Body {
    /// The cluster, and what follows it.
    pieces: Vec<Bytes>,
    fate: Fate,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// More may come, or it is on its way to the log.
    Open,
    /// It is durable and findable.
    Persisted(FragmentInfo),
    /// It never will be.
    GivenUp,
    /// Its stream went away.
    StreamDeleted,
}

/// What a reader finds behind what it has read.
#[derive(Clone, Debug)]
pub enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// Nothing at the moment, or never again.
    Nothing(Fate),
}

impl OpenFragment {
    /// A fragment that begins.
    pub fn new(
        number: FragmentNumber,
        producer: ProducerTimestamp,
        format: FormatId,
        head: Bytes,
    ) -> Self {
        let body = Mutex::new(Body { pieces: Vec::new(), fate: Fate::Open });
        let compared_before = AtomicU64::new(Lsn::MAX);
        Self { number, producer, format, head, body, compared_before }
    }

    /// Adds bytes; none after its fate is decided, as nobody would let go of them again.
    pub fn push(&self, bytes: Bytes) {
        let mut body = locked(&self.body);
        if matches!(body.fate, Fate::Open) {
            body.pieces.push(bytes);
        }
    }

    /// It is complete, and is being compared with the stored ones before this position. It will
    /// be compared with later ones just before it is written.
    pub fn compare_before(&self, position: Lsn) {
        self.compared_before.store(position, Ordering::Relaxed);
    }

    /// What lies from this position on in the log has to stay in memory for a comparison.
    pub fn compared_before(&self) -> Lsn {
        self.compared_before.load(Ordering::Relaxed)
    }

    /// All pieces so far.
    pub fn pieces(&self) -> Vec<Bytes> {
        locked(&self.body).pieces.clone()
    }

    /// The piece at `at`.
    pub fn piece(&self, at: usize) -> Piece {
        let body = locked(&self.body);
        match body.pieces.get(at) {
            Some(bytes) => Piece::Bytes(bytes.clone()),
            None => Piece::Nothing(body.fate),
        }
    }

    /// Decides what became of it, and lets go of its bytes.
    pub fn settle(&self, fate: Fate) {
        let mut body = locked(&self.body);
        body.fate = fate;
        body.pieces = Vec::new();
    }
}
