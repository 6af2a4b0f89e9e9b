//! `kinora produce`: takes media from a source, uploads it with PutMedia, and keeps every fragment
//! until the service has confirmed it.
//!
//! ```text
//! source ─frames▶ interleave ─in order▶ fragmenter ─pieces▶ spool ─bytes▶ session ─PutMedia▶
//!                                                             ▲────────────acks──────┘
//! ```
//! `interleave`, `fragmenter`, `spool` and `spec` are pure; `gstreamer` makes sources;
//! `session` talks to the service; the upload loop in `upload` joins them.

mod fragmenter;
#[cfg(feature = "gstreamer")]
pub mod gstreamer;
mod interleave;
mod progress;
mod session;
mod source;
mod spec;
mod spool;
mod upload;

#[cfg(test)]
mod tests;

pub use fragmenter::FragmentLimits;
pub use progress::{Manner, Progress, Snapshot, time_of_day};
pub use source::{
    MAX_WAITING_EVENTS, SOURCE_STOP_TIMEOUT, Source, SourceControl, SourceEvent, SourceFrame,
};
pub use spec::{SourceSpec, SpecError, TestPicture};
pub use spool::{DEFAULT_SPOOL_BYTES, SpoolStats};
pub use upload::{Options, Summary, UploadError, upload};
