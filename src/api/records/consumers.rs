//! `RegisterStreamConsumer`, `DescribeStreamConsumer`, `DeregisterStreamConsumer`,
//! `ListStreamConsumers`

use super::error::Failure;
use super::{Call, facts};
use crate::records::ConsumerRef;
use crate::types::ServerTimestamp;
use crate::wire::records::consumers::{
    self as wire, ConsumerDescription, DescribeStreamConsumerOutput, ListStreamConsumersInput,
    ListStreamConsumersOutput, RegisterStreamConsumerInput, RegisterStreamConsumerOutput,
};

/// Consumers of a page whose request names no number.
const DEFAULT_LIMIT: usize = 100;

/// `RegisterStreamConsumer`
pub(super) async fn register(
    call: Call,
    input: RegisterStreamConsumerInput,
) -> Result<RegisterStreamConsumerOutput, Failure> {
    let stream = call.stream_name(None, input.stream_arn.as_deref())?;
    let (name, tags) = (input.consumer_name.unwrap_or_default(), input.tags.unwrap_or_default());
    let of = stream.clone();
    let info = call.change(move |records| records.register_consumer(&of, &name, tags)).await?;
    Ok(RegisterStreamConsumerOutput { consumer: Some(call.consumer(&stream, &info)) })
}

/// `DescribeStreamConsumer`
pub(super) async fn describe(
    call: Call,
    input: wire::ConsumerRef,
) -> Result<DescribeStreamConsumerOutput, Failure> {
    let consumer = consumer_ref(&call, &input)?;
    let info = call.app.records.consumer(&consumer).map_err(|error| call.failure(error))?;
    let description = ConsumerDescription {
        consumer_arn: Some(call.consumer_arn(&consumer.stream, &info)),
        consumer_name: Some(info.name),
        consumer_status: Some(facts::ACTIVE.to_owned()),
        consumer_creation_timestamp: Some(info.created.into()),
        stream_arn: Some(call.stream_arn(&consumer.stream)),
    };
    Ok(DescribeStreamConsumerOutput { consumer_description: Some(description) })
}

/// `DeregisterStreamConsumer`
pub(super) async fn deregister(call: Call, input: wire::ConsumerRef) -> Result<(), Failure> {
    let consumer = consumer_ref(&call, &input)?;
    call.change(move |records| records.deregister_consumer(&consumer)).await
}

/// `ListStreamConsumers`
pub(super) async fn list(
    call: Call,
    input: ListStreamConsumersInput,
) -> Result<ListStreamConsumersOutput, Failure> {
    let stream = call.stream_name(None, input.stream_arn.as_deref())?;
    let info = call.app.records.info(&stream).map_err(|error| call.failure(error))?;
    let seconds = |at: ServerTimestamp| at.as_millis().div_euclid(1000);
    if input.stream_creation_timestamp.is_some_and(|at| seconds(at.0) != seconds(info.created)) {
        return Err(call.no_stream(&stream));
    }
    let limit = input.max_results.and_then(|max| usize::try_from(max).ok());
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let after: Option<String> = match &input.next_token {
        Some(token) => Some(call.open_page("ListStreamConsumers", token)?),
        None => None,
    };
    let mut consumers = info.consumers.clone();
    consumers.sort_by(|a, b| a.name.cmp(&b.name));
    consumers.retain(|consumer| after.as_ref().is_none_or(|after| consumer.name > *after));
    let more = consumers.len() > limit;
    consumers.truncate(limit);
    let last = consumers.last().filter(|_| more);
    Ok(ListStreamConsumersOutput {
        next_token: last.map(|last| call.seal_page("ListStreamConsumers", &last.name)),
        consumers: Some(consumers.iter().map(|info| call.consumer(&stream, info)).collect()),
    })
}

/// By ARN, or by name and the stream's ARN.
fn consumer_ref(call: &Call, input: &wire::ConsumerRef) -> Result<ConsumerRef, Failure> {
    match (&input.consumer_arn, &input.stream_arn, &input.consumer_name) {
        (Some(arn), ..) => call.consumer_of_arn(arn),
        (None, Some(stream), Some(name)) => Ok(ConsumerRef {
            stream: call.stream_of_arn(stream)?,
            name: name.clone(),
            created_s: None,
        }),
        _ => Err(Failure::invalid(
            "Either ConsumerARN or both StreamARN and ConsumerName need to be provided.",
        )),
    }
}
