//! `ListStreams`

use super::Call;
use super::error::Failure;
use crate::wire::records::streams::{ListStreamsInput, ListStreamsOutput};

/// Streams of a page whose request names no number.
const DEFAULT_LIMIT: usize = 100;

/// A page of all streams, by name.
pub(super) async fn list_streams(
    call: Call,
    input: ListStreamsInput,
) -> Result<ListStreamsOutput, Failure> {
    let after: Option<String> = match input.next_token {
        Some(token) => Some(call.open_page("ListStreams", &token)?),
        None => input.exclusive_start_stream_name,
    };
    let after = after.map(|name| call.stream_name(Some(&name), None)).transpose()?;
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT);
    let page = call.app.records.list(after.as_ref(), limit);
    let last = page.streams.last().filter(|_| page.more);
    Ok(ListStreamsOutput {
        stream_names: Some(page.streams.iter().map(|info| info.name.to_string()).collect()),
        has_more_streams: Some(page.more),
        next_token: last.map(|info| call.seal_page("ListStreams", &info.name.as_str())),
        stream_summaries: Some(page.streams.iter().map(|info| call.stream_summary(info)).collect()),
    })
}
