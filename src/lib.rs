//! kinora

pub mod types;

pub mod clock;
pub mod media;
pub mod serve;
pub mod store;
