//! Reads: what a consumer or player asked for becomes fragments, and fragments become bytes.
//!
//! Here: selection and packaging. Not here: HTTP, AWS shapes, tokens (`api`).

#[cfg(test)]
mod fixtures;
pub mod hls;
pub mod package;
