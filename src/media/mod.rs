//! Formats: bytes to values and back. No sockets, no files, no time, no tasks.

pub mod codec;
pub mod ebml;
pub mod file;
pub mod mkv;
pub mod mp4;
pub mod playlist;
pub mod remux;
