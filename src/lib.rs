#![doc = include_str!("README.md")]

pub mod types;

pub mod clock;
pub mod ingest;
pub mod media;
pub mod people;
pub mod processors;
pub mod records;
pub mod serve;
pub mod store;
pub mod vision;
pub mod wire;

pub mod config;
pub mod metrics;

pub mod api;
pub mod web;

pub mod alert;
pub mod client;
pub mod detect;
pub mod files;
pub mod produce;

pub mod cli;
