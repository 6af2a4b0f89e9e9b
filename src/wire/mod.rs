//! The AWS wire: request and answer shapes, signatures and signed tokens, shared by the server
//! (`api`) and its customers (`client`).
//!
//! Here: bytes and text in, values out. Not here: sockets, the present time, what the service
//! does with a request.

pub mod alerts;
pub mod event_stream;
pub mod findings;
pub mod media;
pub mod people;
pub mod processors;
pub mod records;
pub mod rekognition;
pub mod sigv4;
pub mod token;
pub mod video;
