//! Faces: what is found in pictures, where, and whom it looks like.
//!
//! ```text
//! picture ─resize▶ network ─outputs▶ decoder ─candidates▶ confirmer ─faces▶ recogniser ─numbers▶
//! ```
//! `faces`, `picture`, `measures` and `decoders` are pure; `onnx` runs networks; `engine` is all of it
//! for single pictures; `models` makes the files of the networks that kinora brings; `accuracy` tells
//! how well they do.

pub mod decoders;
pub mod engine;
pub mod faces;
pub mod measures;
pub mod picture;
pub mod quality;

#[cfg(feature = "onnx")]
pub mod accuracy;
#[cfg(feature = "onnx")]
pub mod models;
#[cfg(feature = "onnx")]
pub mod onnx;
