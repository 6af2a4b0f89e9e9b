//! Reads: what a consumer or player asked for becomes fragments, and fragments become bytes.
//!
//! Here: selection and packaging. Not here: HTTP, AWS shapes, tokens (`api`).

mod get_media;

pub use get_media::{GetMedia, fragment_list_item};
