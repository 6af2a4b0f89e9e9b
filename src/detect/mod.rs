//! Faces in video streams: a customer of our own API, in the server's process or far from it.
//!
//! ```text
//! GetMedia ▶ demux ▶ select ▶ decode ▶ detect ▶ track ▶ recognise ▶ emit ▶ PutRecords
//! ```
//! `demux`, `select`, `track` and `emit` are pure.

pub mod demux;
pub mod emit;
pub mod frame;
pub mod recognise;
pub mod select;
pub mod track;
