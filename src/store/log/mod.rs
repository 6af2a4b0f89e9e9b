//! The log: one append-only sequence of entries in segment files. It knows positions, checksums
//! and what is durable; what entries mean for a stream is its caller's business.
//!
//! - [`entry`]: entries as bytes; pure
//! - [`segment`]: the segment files, which are in use, which are free
//! - [`prepare`]: makes free segments ahead of need
//! - [`writer`]: appends and syncs
//! - [`reader`]: reads bodies back, into [`buffers`] that are used again
//! - [`recovery`]: finds what is valid when the store opens

pub mod buffers;
pub mod entry;
pub mod prepare;
pub mod reader;
pub mod recovery;
pub mod segment;
pub mod writer;
