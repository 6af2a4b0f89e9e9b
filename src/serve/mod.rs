//! Reads: what consumers and players get from the store, without HTTP or the protocols of AWS.

pub mod clip;
#[cfg(test)]
mod fixtures;
mod get_media;
pub mod hls;
pub mod package;

pub use get_media::{GetMedia, fragment_list_item};
