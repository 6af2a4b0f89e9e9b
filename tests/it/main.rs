//! The server from outside: one module per subject, over real sockets.

mod alert_clips;
mod alert_mails;
mod alert_memory;
mod alerts;
mod auth;
mod bad_input;
mod bodies;
#[cfg(feature = "gstreamer")]
mod browser;
#[cfg(all(feature = "gstreamer", feature = "onnx"))]
mod chain;
mod check;
mod clip;
mod console;
mod control_plane;
mod crash;
#[cfg(all(feature = "gstreamer", feature = "onnx"))]
mod detect;
mod disk_failure;
mod events;
mod files;
mod full_disk;
mod get_media;
mod hls;
mod keeping;
mod kvs;
mod lifecycle;
mod native;
mod people;
#[cfg(feature = "gstreamer")]
mod produce;
mod producer;
mod producer_heads;
mod put_media;
mod queue_crash;
mod records;
mod rekognition;
mod samples;
#[cfg(feature = "onnx")]
mod scene;
mod support;
mod tidy;
mod tls;
