//! Faces in video streams: a customer of our own API, in the server's process or far from it.
//!
//! ```text
//! GetMedia ▶ read, demux ▶ select ▶ decode ▶ detect ▶ track ▶ recognise ▶ emit ▶ PutRecords
//! ```
//! `demux`, `select`, `track`, `recognise` and `emit` are pure; `analyse` is what happens to one frame
//! after another, without knowing which networks look at them. `read`, `pipeline` and `output` move
//! things; `gstreamer` decodes.

pub mod analyse;
pub mod demux;
pub mod emit;
pub mod frame;
#[cfg(feature = "gstreamer")]
pub mod gstreamer;
#[cfg(feature = "onnx")]
pub mod models;
#[cfg(feature = "gstreamer")]
pub mod output;
#[cfg(feature = "gstreamer")]
pub mod pipeline;
#[cfg(feature = "gstreamer")]
pub mod read;
pub mod recognise;
#[cfg(all(feature = "gstreamer", feature = "onnx"))]
pub mod runner;
pub mod select;
pub mod track;
