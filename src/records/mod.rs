//! Record streams: what is done with records that lie in shards of the store's log.

pub mod queue;
