//! The server from outside: one module per subject, over real sockets.

mod auth;
mod control_plane;
mod lifecycle;
mod support;
mod tls;
