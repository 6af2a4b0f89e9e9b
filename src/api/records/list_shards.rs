//! `ListShards`

use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::{Call, facts};
use crate::records::ShardFilter;
use crate::types::{ServerTimestamp, ShardId};
use crate::wire::records::Timestamp;
use crate::wire::records::shards::{self, ListShardsInput, ListShardsOutput};

/// Shards of a page whose request names no number.
const DEFAULT_LIMIT: usize = 1000;

/// Where a listing goes on, and what it is of: the request may not name the stream again.
#[derive(Serialize, Deserialize)]
struct Place {
    stream: String,
    created_ms: i64,
    after: u32,
    filter: Option<Filter>,
}

/// A filter as it was asked for.
#[derive(Serialize, Deserialize)]
struct Filter {
    kind: String,
    shard: Option<u32>,
    at_ms: Option<i64>,
}

/// A page of a stream's shards.
pub(super) async fn list_shards(
    call: Call,
    input: ListShardsInput,
) -> Result<ListShardsOutput, Failure> {
    let limit = input.max_results.and_then(|max| usize::try_from(max).ok());
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let (mut place, after) = match &input.next_token {
        Some(token) => {
            if names_stream(&input) {
                return Err(Failure::invalid(
                    "NextToken and StreamName cannot be provided together.",
                ));
            }
            let place: Place = call.open_page("ListShards", token)?;
            let after = Some(ShardId(place.after));
            (place, after)
        }
        None => first(&call, &input)?,
    };
    let name = call.stream_name(Some(&place.stream), None)?;
    let records = &call.app.records;
    let info = records.info(&name).map_err(|error| call.failure(error))?;
    if info.created.as_millis() != place.created_ms {
        return Err(call.no_stream(&name));
    }
    let filter = place.filter.as_ref().map(Filter::checked).transpose()?;
    let page = records.shards(&name, filter, after, limit).map_err(|error| call.failure(error))?;
    let next_token = page.shards.last().filter(|_| page.more).map(|shard| {
        place.after = shard.id.0;
        call.seal_page("ListShards", &place)
    });
    let shards = page.shards.iter().map(facts::shard).collect();
    Ok(ListShardsOutput { shards: Some(shards), next_token })
}

/// Whether the request names what its token carries already.
fn names_stream(input: &ListShardsInput) -> bool {
    input.stream_name.is_some()
        || input.stream_arn.is_some()
        || input.exclusive_start_shard_id.is_some()
        || input.stream_creation_timestamp.is_some()
        || input.shard_filter.is_some()
}

fn first(call: &Call, input: &ListShardsInput) -> Result<(Place, Option<ShardId>), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let after = input.exclusive_start_shard_id.as_deref();
    let after = after.map(|id| call.shard_id(&name, id)).transpose()?;
    let info = call.app.records.info(&name).map_err(|error| call.failure(error))?;
    // Seconds are all that some clients keep of the time.
    let seconds = |at: ServerTimestamp| at.as_millis().div_euclid(1000);
    if input.stream_creation_timestamp.is_some_and(|at| seconds(at.0) != seconds(info.created)) {
        return Err(call.no_stream(&name));
    }
    let filter = input.shard_filter.as_ref().map(|filter| {
        let shards::ShardFilter { kind, shard_id, timestamp } = filter;
        let shard = shard_id.as_deref().map(|id| call.shard_id(&name, id)).transpose()?;
        Ok::<_, Failure>(Filter {
            kind: kind.clone().unwrap_or_default(),
            shard: shard.map(|ShardId(id)| id),
            at_ms: timestamp.map(|Timestamp(at)| at.as_millis()),
        })
    });
    let place = Place {
        stream: name.to_string(),
        created_ms: info.created.as_millis(),
        after: 0,
        filter: filter.transpose()?,
    };
    Ok((place, after))
}

impl Filter {
    /// With what its kind needs.
    fn checked(&self) -> Result<ShardFilter, Failure> {
        let kind = &self.kind;
        let at = || {
            let at = self.at_ms.map(ServerTimestamp::from_millis);
            at.ok_or_else(|| Failure::invalid(format!("A Timestamp is needed for {kind}.")))
        };
        let id = || {
            let id = self.shard.map(ShardId);
            id.ok_or_else(|| Failure::invalid(format!("A ShardId is needed for {kind}.")))
        };
        Ok(match kind.as_str() {
            "AFTER_SHARD_ID" => ShardFilter::After(id()?),
            "AT_TRIM_HORIZON" => ShardFilter::AtTrimHorizon,
            "FROM_TRIM_HORIZON" => ShardFilter::FromTrimHorizon,
            "AT_TIMESTAMP" => ShardFilter::AtTimestamp(at()?),
            "FROM_TIMESTAMP" => ShardFilter::FromTimestamp(at()?),
            _ => ShardFilter::AtLatest,
        })
    }
}
