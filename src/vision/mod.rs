//! Faces: what is found in pictures, where, and whom it looks like.
//!
//! ```text
//! picture ─resize▶ network ─outputs▶ decoder ─candidates▶ confirmer ─faces▶ recogniser ─numbers▶
//! ```
//! `faces`, `picture` and `decoders` are pure; `onnx` runs networks; `models` makes the files of
//! those that kinora brings; `accuracy` tells how well they do.

pub mod decoders;
pub mod faces;
pub mod picture;
pub mod quality;

#[cfg(feature = "onnx")]
pub mod accuracy;
#[cfg(feature = "onnx")]
pub mod models;
#[cfg(feature = "onnx")]
pub mod onnx;
