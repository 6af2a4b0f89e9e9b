//! `CreateQueue`, `DescribeQueue`, `UpdateQueue`, `DeleteQueue`, `ListQueues`

use std::sync::Arc;

use super::error::{Failure, Kind};
use super::{Call, facts};
use crate::records::queue::{
    DEFAULT_MAX_RECEIVES, DEFAULT_VISIBILITY_SECONDS, NewQueue, QueueAttributes, QueueError, Queues,
};
use crate::store::{CatalogError, QueueInfo, QueueStart, RecordStreamInfo};
use crate::types::{Millis, ServerTimestamp, StreamId, StreamName};
use crate::wire::records::channels::StreamFilter;
use crate::wire::records::queues as wire;

/// Queues of a page whose request names no number.
const DEFAULT_LIMIT: usize = 100;
const MILLIS_PER_HOUR: u64 = 3_600_000;

/// `CreateQueue`
pub(super) async fn create(
    call: Call,
    input: wire::CreateQueueInput,
) -> Result<wire::QueueOutput, Failure> {
    let streams = input.stream_configuration_list.unwrap_or_default();
    let [stream] = &streams[..] else {
        return Err(Failure::invalid("StreamConfigurationList needs to have exactly one stream."));
    };
    let defaults = QueueAttributes {
        visibility_seconds: DEFAULT_VISIBILITY_SECONDS,
        max_receives: Some(DEFAULT_MAX_RECEIVES),
    };
    let new = NewQueue {
        name: input.queue_name.unwrap_or_default(),
        stream: call.stream_name(None, stream.stream_arn.as_deref())?,
        start: start(stream.starting_position.as_ref())?,
        attributes: attributes(input.queue_attributes.unwrap_or_default(), defaults)?,
        tags: input.tags.unwrap_or_default(),
    };
    let info = call.change_queues(move |queues| queues.create(new)).await?;
    call.queue_output(&info)
}

/// `DescribeQueue`
pub(super) async fn describe(
    call: Call,
    input: wire::QueueRef,
) -> Result<wire::QueueOutput, Failure> {
    let key = call.queue_of_arn(&input.queue_arn.unwrap_or_default())?;
    call.queue_output(&*call.queue(&key)?)
}

/// `UpdateQueue`: what is not named stays as it is.
pub(super) async fn update(
    call: Call,
    input: wire::UpdateQueueInput,
) -> Result<wire::QueueOutput, Failure> {
    let key = call.queue_of_arn(&input.queue_arn.unwrap_or_default())?;
    let now = QueueAttributes::from(&*call.queue(&key)?);
    let attributes = attributes(input.queue_attributes.unwrap_or_default(), now)?;
    let info = call.change_queues(move |queues| queues.update(&key, attributes)).await?;
    call.queue_output(&info)
}

/// `DeleteQueue`
pub(super) async fn delete(call: Call, input: wire::QueueRef) -> Result<(), Failure> {
    let key = call.queue_of_arn(&input.queue_arn.unwrap_or_default())?;
    call.change_queues(move |queues| queues.delete(&key)).await
}

/// `ListQueues`
pub(super) async fn list(
    call: Call,
    input: wire::ListQueuesInput,
) -> Result<wire::ListQueuesOutput, Failure> {
    let after: u32 = match &input.next_token {
        Some(token) => call.open_page("ListQueues", token)?,
        None => 0,
    };
    let limit = input.max_results.and_then(|max| usize::try_from(max).ok());
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let wanted = input.stream_filter.map(|filters| call.filtered(&filters)).transpose()?;
    let mut queues = call.app.queues.list();
    queues.retain(|queue| queue.id.0 > after);
    queues.retain(|queue| wanted.as_ref().is_none_or(|wanted| wanted.contains(&queue.stream)));
    let more = queues.len() > limit;
    queues.truncate(limit);
    let last = queues.last().filter(|_| more);
    let next_token = last.map(|last| call.seal_page("ListQueues", &last.id.0));
    // A queue whose stream goes meanwhile goes as well.
    let summaries = queues.iter().filter_map(|info| call.queue_summary(info)).collect();
    Ok(wire::ListQueuesOutput { queue_summaries: Some(summaries), next_token })
}

/// Why a queue's facts were not changed.
pub(super) enum Changed {
    /// There is no room for so many tags.
    TooManyTags,
    /// The queue refused.
    Queue(QueueError),
}

impl From<QueueError> for Changed {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}

impl From<CatalogError> for Changed {
    fn from(error: CatalogError) -> Self {
        Self::Queue(error.into())
    }
}

impl Call {
    /// The facts of a queue.
    pub(super) fn queue(&self, key: &str) -> Result<Arc<QueueInfo>, Failure> {
        self.app.queues.describe(key).map_err(|error| self.queue_failure(error))
    }

    /// Changes a queue's tags or policy.
    pub(super) async fn change_queue(
        &self,
        key: String,
        change: impl FnOnce(&mut QueueInfo) -> Result<(), Changed> + Send + 'static,
    ) -> Result<(), Failure> {
        let app = Arc::clone(&self.app);
        let work = move || app.queues.change(&key, change).map(drop);
        let done = tokio::task::spawn_blocking(work).await.map_err(Failure::internal)?;
        done.map_err(|error| match error {
            Changed::TooManyTags => Failure::new(Kind::LimitExceeded, "Limit reached: 50 tags."),
            Changed::Queue(error) => self.queue_failure(error),
        })
    }

    /// What a client is told when a queue does not do what was asked.
    pub(super) fn queue_failure(&self, error: QueueError) -> Failure {
        use QueueError as E;
        let account = self.account();
        match error {
            E::NotFound | E::Catalog(CatalogError::NotFound) => {
                Failure::not_found(format!("The queue does not exist under account {account}."))
            }
            E::StreamNotFound(name) => self.no_stream(&name),
            E::Exists(name) => Failure::new(
                Kind::ResourceInUse,
                format!("Queue {name} under account {account} already exists."),
            ),
            E::NotOnDemand(name) => Failure::invalid(format!(
                "The mode of stream {name} under account {account} is not ON_DEMAND, which queues \
                 need."
            )),
            E::TooManyReaders { .. } => {
                Failure::new(Kind::LimitExceeded, format!("Limit reached: {error}."))
            }
            E::TooManyInFlight => Failure::new(Kind::Throttling, format!("Wait: {error}.")),
            error => Failure::internal(error),
        }
    }

    async fn change_queues<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Queues) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, Failure> {
        let app = Arc::clone(&self.app);
        let done = tokio::task::spawn_blocking(move || work(&app.queues)).await;
        done.map_err(Failure::internal)?.map_err(|error| self.queue_failure(error))
    }

    fn queue_output(&self, info: &QueueInfo) -> Result<wire::QueueOutput, Failure> {
        let stream = self.stream_with_id(info.stream);
        let stream = stream.ok_or_else(|| self.queue_failure(QueueError::NotFound))?;
        let description = wire::QueueDescription {
            queue_name: Some(info.name.clone()),
            queue_arn: Some(self.queue_arn(&info.key)),
            queue_status: Some(facts::ACTIVE.to_owned()),
            queue_creation_timestamp: Some(info.created.into()),
            stream_configuration_list: Some(vec![wire::QueueStreamConfiguration {
                stream_arn: Some(self.stream_arn(&stream.name)),
                starting_position: Some(effective_start(info, &stream)),
            }]),
            queue_attributes: Some(queue_attributes(info)),
        };
        Ok(wire::QueueOutput { queue_description: Some(description) })
    }

    fn queue_summary(&self, info: &QueueInfo) -> Option<wire::QueueSummary> {
        let stream = self.stream_with_id(info.stream)?;
        Some(wire::QueueSummary {
            queue_name: Some(info.name.clone()),
            queue_arn: Some(self.queue_arn(&info.key)),
            queue_status: Some(facts::ACTIVE.to_owned()),
            queue_creation_timestamp: Some(info.created.into()),
            streams: Some(vec![StreamFilter {
                stream_arn: Some(self.stream_arn(&stream.name)),
                stream_creation_timestamp: Some(stream.created.into()),
            }]),
        })
    }

    /// The streams whose queues are to be listed.
    fn filtered(&self, filters: &[StreamFilter]) -> Result<Vec<StreamId>, Failure> {
        let seconds = |at: ServerTimestamp| at.as_millis().div_euclid(1000);
        let stream = |filter: &StreamFilter| {
            let name: StreamName = self.stream_name(None, filter.stream_arn.as_deref())?;
            let info = self.app.records.info(&name).map_err(|error| self.failure(error))?;
            let created = filter.stream_creation_timestamp;
            if created.is_some_and(|at| seconds(at.0) != seconds(info.created)) {
                return Err(self.no_stream(&name));
            }
            Ok(info.id)
        };
        filters.iter().map(stream).collect()
    }

    fn stream_with_id(&self, id: StreamId) -> Option<Arc<RecordStreamInfo>> {
        self.app.store.record_catalog().stream_by_id(id)
    }
}

fn start(position: Option<&wire::QueueStartingPosition>) -> Result<QueueStart, Failure> {
    let kind = position.and_then(|position| position.kind.as_deref());
    let timestamp = position.and_then(|position| position.timestamp);
    match (kind, timestamp) {
        (Some("AT_TIMESTAMP"), Some(at)) => Ok(QueueStart::At(at.0)),
        (Some("AT_TIMESTAMP"), None) => {
            Err(Failure::new(Kind::Validation, "AT_TIMESTAMP needs a Timestamp."))
        }
        (_, Some(_)) => {
            Err(Failure::new(Kind::Validation, "Only AT_TIMESTAMP can have a Timestamp."))
        }
        (Some("TRIM_HORIZON"), None) => Ok(QueueStart::TrimHorizon),
        _ => Ok(QueueStart::Latest),
    }
}

/// What is asked for, over what is there already.
fn attributes(
    asked: wire::QueueAttributes,
    before: QueueAttributes,
) -> Result<QueueAttributes, Failure> {
    let visibility = asked.visibility_timeout_seconds.and_then(|s| u32::try_from(s).ok());
    let max_receives = match asked.dead_letter_configuration {
        None => before.max_receives,
        Some(dead_letters) => {
            let count = dead_letters.max_receive_count.and_then(|n| u32::try_from(n).ok());
            let built_in = dead_letters.target_type.as_deref() == Some("BUILT_IN");
            if built_in != count.is_some() {
                return Err(Failure::new(
                    Kind::Validation,
                    "MaxReceiveCount needs to be provided for BUILT_IN, and only for it.",
                ));
            }
            count
        }
    };
    Ok(QueueAttributes {
        visibility_seconds: visibility.unwrap_or(before.visibility_seconds),
        max_receives,
    })
}

fn queue_attributes(info: &QueueInfo) -> wire::QueueAttributes {
    let target = if info.max_receives.is_some() { "BUILT_IN" } else { "NONE" };
    wire::QueueAttributes {
        visibility_timeout_seconds: Some(info.visibility_seconds.into()),
        dead_letter_configuration: Some(wire::DeadLetterConfiguration {
            target_type: Some(target.to_owned()),
            max_receive_count: info.max_receives.map(i64::from),
        }),
    }
}

/// Where the queue really began: not before anything that its stream had then.
fn effective_start(info: &QueueInfo, stream: &RecordStreamInfo) -> wire::QueueStartingPosition {
    let kept = Millis(u64::from(stream.retention_hours) * MILLIS_PER_HOUR);
    let oldest = info.created.minus(kept).max(stream.created);
    let (kind, at) = match info.start {
        QueueStart::TrimHorizon => ("TRIM_HORIZON", oldest),
        QueueStart::Latest => ("LATEST", info.created),
        QueueStart::At(at) => ("AT_TIMESTAMP", at.max(oldest)),
    };
    wire::QueueStartingPosition { kind: Some(kind.to_owned()), timestamp: Some(at.into()) }
}
