//! kinora

pub mod types;

pub mod clock;
pub mod media;
pub mod store;
pub mod wire;

pub mod config;
pub mod metrics;

pub mod api;
pub mod cli;
pub mod web;
