//! Of the product's `wire`, what reads bytes of others.

#[path = "../../src/wire/event_stream.rs"]
pub mod event_stream;
#[path = "../../src/wire/records/mod.rs"]
pub mod records;
#[path = "../../src/wire/sigv4/mod.rs"]
pub mod sigv4;
#[path = "../../src/wire/token.rs"]
pub mod token;
