//! Of the product's `wire`, what is read before a caller is known.

#[path = "../../src/wire/sigv4/mod.rs"]
pub mod sigv4;
#[path = "../../src/wire/token.rs"]
pub mod token;
