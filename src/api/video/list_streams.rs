//! `POST /listStreams`

use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::describe_stream::stream_info;
use super::rules;
use crate::api::{ApiError, AppState, AwsJson};
use crate::types::StreamName;
use crate::wire::video::{ListStreamsInput, ListStreamsOutput, StreamNameCondition};

/// Also the default.
const MAX_RESULTS: usize = 10_000;

/// Lists streams by name, a page at a time.
pub(super) async fn list_streams(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<ListStreamsInput>,
) -> Result<Json<ListStreamsOutput>, ApiError> {
    let limit = max_results(input.max_results)?;
    let prefix = input.stream_name_condition.map_or(Ok(String::new()), prefix)?;
    let after = input.next_token.as_deref().map_or(Ok(None), after)?;
    // One more than asked for tells whether there is another page.
    let mut streams = app.store.catalog().list(&prefix, after.as_ref(), limit + 1);
    let more = streams.len() > limit;
    streams.truncate(limit);
    let last = streams.last().filter(|_| more);
    Ok(Json(ListStreamsOutput {
        next_token: last.map(|stream| STANDARD.encode(stream.name().as_str())),
        stream_info_list: Some(streams.iter().map(|stream| stream_info(stream)).collect()),
    }))
}

fn max_results(asked: Option<i64>) -> Result<usize, ApiError> {
    let asked = asked.map_or(Ok(MAX_RESULTS), usize::try_from).ok();
    asked
        .filter(|count| (1..=MAX_RESULTS).contains(count))
        .ok_or_else(|| ApiError::invalid("MaxResults must be from 1 to 10000."))
}

fn prefix(condition: StreamNameCondition) -> Result<String, ApiError> {
    if condition.comparison_operator.is_some_and(|operator| operator != "BEGINS_WITH") {
        return Err(ApiError::invalid("ComparisonOperator must be BEGINS_WITH."));
    }
    let value = rules::required(condition.comparison_value, "ComparisonValue")?;
    // A prefix of a name is itself a name.
    value
        .parse::<StreamName>()
        .map_err(|error| ApiError::invalid(format!("ComparisonValue: {error}.")))?;
    Ok(value)
}

/// A token is the last name of the page before; clients must not know.
fn after(token: &str) -> Result<Option<StreamName>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    STANDARD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok())
        .map(Some)
        .ok_or_else(|| ApiError::invalid("NextToken is not one that this operation gave out."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_size_is_bounded_and_defaults_to_the_largest() {
        assert_eq!(max_results(None), Ok(10_000));
        assert_eq!(max_results(Some(1)), Ok(1));
        for asked in [0, -1, 10_001, i64::MIN] {
            assert!(max_results(Some(asked)).is_err(), "{asked}");
        }
    }

    #[test]
    fn tokens_of_others_are_refused() {
        let name = "cam1".parse().expect("a name");
        assert_eq!(after(&STANDARD.encode("cam1")), Ok(Some(name)));
        assert_eq!(after(""), Ok(None));
        for token in ["?", "a", "YSBi"] {
            assert!(after(token).is_err(), "{token}");
        }
    }
}
