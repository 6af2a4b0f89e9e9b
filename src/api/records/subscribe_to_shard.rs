//! `SubscribeToShard`: an answer that goes on for minutes, as an event stream.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header;

use super::error::{Failure, Kind};
use super::position::Asked;
use super::{Call, facts};
use crate::records::{Push, Subscription, SubscriptionEnd};
use crate::wire::event_stream::{CONTENT_TYPE, Message};
use crate::wire::records::Empty;
use crate::wire::records::consumers::{SubscribeToShardEvent, SubscribeToShardInput};

/// What the answer has come to.
enum State {
    /// Nothing was sent. Clients take nothing but this message first.
    Begun(Subscription),
    Going(Subscription),
    Ended,
}

/// Subscribes a consumer to a shard, from the position on.
pub(super) async fn subscribe_to_shard(
    call: Call,
    input: SubscribeToShardInput,
) -> Result<Response, Failure> {
    let consumer = call.consumer_of_arn(&input.consumer_arn.unwrap_or_default())?;
    let shard = call.shard_id(&consumer.stream, &input.shard_id.unwrap_or_default())?;
    let start = input.starting_position.unwrap_or_default();
    let asked = Asked {
        kind: &start.kind.unwrap_or_default(),
        sequence_number: start.sequence_number.as_deref(),
        timestamp: start.timestamp,
    };
    let position = call.position(&consumer.stream, &asked)?;
    let records = &call.app.records;
    if input.dry_run == Some(true) {
        records.consumer(&consumer).map_err(|error| call.failure(error))?;
        return Err(call.dry_run(&consumer.stream));
    }
    let subscription = records.subscribe(&consumer, shard, position);
    let subscription = subscription.map_err(|error| call.failure(error))?;
    let open = call.app.metrics.subscriptions.enter();
    let events = stream::unfold((State::Begun(subscription), open), move |(state, open)| {
        let next = next(call.clone(), state);
        async move { next.await.map(|(message, state)| (message, (state, open))) }
    });
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], Body::from_stream(events)).into_response())
}

/// The next message.
async fn next(call: Call, state: State) -> Option<(Result<Bytes, Infallible>, State)> {
    let (message, state) = match state {
        State::Begun(subscription) => {
            let message = call.event("initial-response", call.format.write(&Empty {}));
            (message, State::Going(subscription))
        }
        State::Going(mut subscription) => {
            let push = tokio::select! {
                push = subscription.next() => push?,
                // The client comes back with its continuation, to a server that is there.
                () = call.app.shutdown.cancelled() => return None,
            };
            match push {
                Ok(push) => {
                    let payload = call.format.write(&call.push(push));
                    let message = call.event("SubscribeToShardEvent", payload);
                    (message, State::Going(subscription))
                }
                Err(end) => (call.exception(end), State::Ended),
            }
        }
        State::Ended => return None,
    };
    match message.encode() {
        Ok(bytes) => Some((Ok(bytes), state)),
        Err(error) => {
            tracing::error!("an event was not sent: {error}");
            None
        }
    }
}

impl Call {
    fn push(&self, push: Push) -> SubscribeToShardEvent {
        let children: Vec<_> = push.children.iter().map(facts::child_shard).collect();
        SubscribeToShardEvent {
            records: Some(self.given(push.records)),
            child_shards: push.continuation.is_none().then_some(children),
            continuation_sequence_number: push.continuation.map(|number| number.to_string()),
            millis_behind_latest: Some(i64::try_from(push.behind.0).unwrap_or(i64::MAX)),
        }
    }

    fn event(&self, kind: &str, payload: Vec<u8>) -> Message {
        let headers = [
            (":event-type", kind),
            (":content-type", self.format.content_type()),
            (":message-type", "event"),
        ];
        Message::new(&headers, payload)
    }

    fn exception(&self, end: SubscriptionEnd) -> Message {
        let failure = match end {
            SubscriptionEnd::TakenOver => Failure::new(
                Kind::ResourceInUse,
                "Another subscription of the consumer to the shard took over.",
            ),
            SubscriptionEnd::Gone => Failure::not_found("The stream or consumer was deleted."),
            SubscriptionEnd::Failed(error) => self.failure(error),
        };
        let headers = [
            (":exception-type", failure.kind.name()),
            (":content-type", self.format.content_type()),
            (":message-type", "exception"),
        ];
        Message::new(&headers, failure.body(self.format))
    }
}
