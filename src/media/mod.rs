//! Formats: bytes to values and back. No sockets, no files, no time, no tasks.

pub mod ebml;
pub mod mkv;
