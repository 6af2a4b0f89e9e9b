//! Queues: competing consumers over one record stream, with dead letters.

mod event;
mod place;
mod state;
