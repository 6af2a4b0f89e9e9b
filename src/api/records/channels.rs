//! Channels deliver records to object storage, which this service does not. There are never any.

use super::Call;
use super::error::Failure;
use crate::wire::records::channels::{
    ChannelRef, CreateChannelInput, ListChannelsInput, ListChannelsOutput,
};

/// `CreateChannel`
pub(super) async fn create(_: Call, _: CreateChannelInput) -> Result<(), Failure> {
    Err(Failure::invalid(
        "Channels are not offered: this service does not deliver records to object storage.",
    ))
}

/// `DescribeChannel`, `UpdateChannel`, `DeleteChannel`
pub(super) async fn find(_: Call, input: ChannelRef) -> Result<(), Failure> {
    let arn = input.channel_arn.unwrap_or_default();
    Err(Failure::not_found(format!("Channel {arn} not found.")))
}

/// `ListChannels`
pub(super) async fn list(_: Call, _: ListChannelsInput) -> Result<ListChannelsOutput, Failure> {
    Ok(ListChannelsOutput { channel_summaries: Some(Vec::new()) })
}
