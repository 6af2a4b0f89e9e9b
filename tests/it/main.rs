//! The server from outside: one module per subject, over real sockets.

mod auth;
mod bodies;
mod control_plane;
mod crash;
mod get_media;
mod hls;
mod kvs;
mod producer;
mod put_media;
mod lifecycle;
mod support;
mod tidy;
mod tls;
