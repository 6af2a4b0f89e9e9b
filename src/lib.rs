//! kinora

pub mod types;

pub mod clock;
pub mod media;
pub mod store;
pub mod wire;
