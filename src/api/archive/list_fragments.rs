//! ListFragments: what is stored in a range of either clock, page by page.

use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::order_of;
use crate::api::{ApiError, AppState, AwsJson, find_stream};
use crate::store::{FragmentInfo, Order};
use crate::types::{FragmentNumber, ProducerTimestamp, ServerTimestamp};
use crate::wire::media::{Fragment, ListFragmentsInput, ListFragmentsOutput};

const DEFAULT_PAGE: i64 = 100;
const LARGEST_PAGE: i64 = 1000;

pub(super) async fn list_fragments(
    State(app): State<AppState>,
    AwsJson(input): AwsJson<ListFragmentsInput>,
) -> Result<Json<ListFragmentsOutput>, ApiError> {
    let stream = find_stream(&app, input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let media = app.store.media(stream.id).ok_or_else(ApiError::no_stream)?;
    let page = input.max_results.unwrap_or(DEFAULT_PAGE);
    if !(1..=LARGEST_PAGE).contains(&page) {
        return Err(ApiError::invalid(format!("MaxResults must be from 1 to {LARGEST_PAGE}.")));
    }
    let Position { order, after } = match (&input.next_token, &input.fragment_selector) {
        (Some(token), _) => Position::from_token(token)
            .ok_or_else(|| ApiError::invalid("NextToken is not one of this service."))?,
        (None, Some(selector)) => Position { order: order_of(selector, None)?, after: None },
        (None, None) => {
            return Err(ApiError::invalid("FragmentSelector must be given without a NextToken."));
        }
    };
    let page = usize::try_from(page).unwrap_or(1);
    // One more than asked for tells whether there is a next page.
    let mut found = media.list(order, after, page + 1);
    let more = found.len() > page;
    found.truncate(page);
    let next_token = found
        .last()
        .filter(|_| more)
        .map(|last| Position { order: order.rest(last), after: Some(last.number) }.to_token());
    Ok(Json(ListFragmentsOutput { fragments: found.iter().map(fragment).collect(), next_token }))
}

/// A fragment in the words of the wire.
pub(super) fn fragment(info: &FragmentInfo) -> Fragment {
    Fragment {
        fragment_number: info.number.to_string(),
        fragment_size_in_bytes: u64::from(info.size),
        producer_timestamp: info.producer.as_secs_f64(),
        server_timestamp: info.server().as_secs_f64(),
        fragment_length_in_milliseconds: info.duration.0,
    }
}

/// Where a listing goes on: what is left of its range, behind a fragment. The token holds it whole, so the server keeps nothing between pages.
struct Position {
    order: Order,
    after: Option<FragmentNumber>,
}

/// Clock, both ends, and the last fragment listed.
const TOKEN_BYTES: usize = 1 + 8 + 8 + 20;

impl Position {
    fn to_token(&self) -> String {
        let (kind, from, to) = match self.order {
            Order::Producer { from, to } => (0, from.as_millis(), to.as_millis()),
            Order::Server { from, to } => (1, from.as_millis(), to.as_millis()),
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&from.to_be_bytes());
        bytes.extend_from_slice(&to.to_be_bytes());
        bytes.extend_from_slice(&self.after.unwrap_or(FragmentNumber::MIN).to_bytes());
        STANDARD.encode(bytes)
    }

    fn from_token(token: &str) -> Option<Self> {
        let bytes: [u8; TOKEN_BYTES] = STANDARD.decode(token).ok()?.try_into().ok()?;
        let (kind, rest) = bytes.split_first()?;
        let (from, rest) = rest.split_first_chunk::<8>()?;
        let (to, rest) = rest.split_first_chunk::<8>()?;
        let (from, to) = (i64::from_be_bytes(*from), i64::from_be_bytes(*to));
        let order = match kind {
            0 => Order::Producer {
                from: ProducerTimestamp::from_millis(from),
                to: ProducerTimestamp::from_millis(to),
            },
            1 => Order::Server {
                from: ServerTimestamp::from_millis(from),
                to: ServerTimestamp::from_millis(to),
            },
            _ => return None,
        };
        let after = FragmentNumber::from_bytes(rest.try_into().ok()?);
        Some(Self { order, after: Some(after) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_token_carries_the_whole_position() {
        let from = ServerTimestamp::from_millis(-5);
        let to = ServerTimestamp::from_millis(1_795_308_000_123);
        let after = FragmentNumber::new(7, to, 9);
        let position = Position { order: Order::Server { from, to }, after: Some(after) };
        let read = Position::from_token(&position.to_token()).expect("our own token");
        assert_eq!((read.order, read.after), (position.order, position.after));
        for token in ["", "AAAA", "!", &position.to_token()[4..]] {
            assert!(Position::from_token(token).is_none(), "{token}");
        }
    }
}
