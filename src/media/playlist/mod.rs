//! Playlists as a format: values to text. No HTTP, no choice of fragments.

pub mod m3u8;
