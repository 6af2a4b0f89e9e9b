//! Those who read a stream with a throughput of their own.

use std::collections::BTreeMap;

use super::streams::check_tags;
use super::{LimitExceeded, RecordStreams, RecordsError};
use crate::store::{ConsumerInfo, RecordStreamInfo};
use crate::types::{StreamId, StreamName};

/// Names a consumer: by its name, or as its ARN does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRef {
    /// The stream.
    pub stream: StreamName,
    /// The consumer.
    pub name: String,
    /// The seconds of its registration, if they are to be the same.
    pub created_s: Option<i64>,
}

impl ConsumerRef {
    fn is(&self, consumer: &ConsumerInfo) -> bool {
        let created = consumer.created.as_millis().div_euclid(1000);
        consumer.name == self.name && self.created_s.is_none_or(|seconds| seconds == created)
    }

    /// Why there is nothing to be done with it.
    pub(super) fn missing(&self) -> RecordsError {
        let (stream, consumer) = (self.stream.clone(), self.name.clone());
        RecordsError::NoSuchConsumer { stream, consumer }
    }

    /// The consumer in its stream's facts.
    pub(super) fn find(&self, info: &RecordStreamInfo) -> Result<ConsumerInfo, RecordsError> {
        let found = info.consumers.iter().find(|consumer| self.is(consumer));
        found.cloned().ok_or_else(|| self.missing())
    }
}

impl RecordStreams {
    /// Registers a consumer, which can subscribe at once. Queues count as consumers. Blocks for one
    /// sync.
    pub fn register_consumer(
        &self,
        stream: &StreamName,
        name: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<ConsumerInfo, RecordsError> {
        check_tags(&tags)?;
        let consumer =
            ConsumerInfo { name: name.to_owned(), created: self.clock.now(), tags, policy: None };
        self.update(stream, |info| {
            if info.consumers.iter().any(|other| other.name == name) {
                let (stream, consumer) = (stream.clone(), name.to_owned());
                return Err(RecordsError::ConsumerExists { stream, consumer });
            }
            let limit = self.options.max_consumers;
            if info.consumers.len() + self.queues_of(info.id) >= limit {
                return Err(LimitExceeded::Consumers { limit }.into());
            }
            info.consumers.push(consumer.clone());
            Ok(())
        })?;
        Ok(consumer)
    }

    /// How many queues a stream has.
    fn queues_of(&self, stream: StreamId) -> usize {
        let queues = self.store.record_catalog().queues();
        queues.iter().filter(|queue| queue.stream == stream).count()
    }

    /// A consumer's facts.
    pub fn consumer(&self, consumer: &ConsumerRef) -> Result<ConsumerInfo, RecordsError> {
        consumer.find(&*self.info(&consumer.stream)?)
    }

    /// Deregisters a consumer; its subscriptions end. Blocks for one sync.
    pub fn deregister_consumer(&self, consumer: &ConsumerRef) -> Result<(), RecordsError> {
        self.update(&consumer.stream, |info| {
            consumer.find(info)?;
            info.consumers.retain(|other| !consumer.is(other));
            Ok(())
        })
    }

    /// Changes a consumer's tags or policy; with more than 50 tags, nothing is changed. Blocks for
    /// one sync.
    pub fn update_consumer(
        &self,
        consumer: &ConsumerRef,
        change: impl FnOnce(&mut ConsumerInfo),
    ) -> Result<(), RecordsError> {
        self.update(&consumer.stream, |info| {
            let found = info.consumers.iter_mut().find(|other| consumer.is(other));
            let found = found.ok_or_else(|| consumer.missing())?;
            let (name, created) = (found.name.clone(), found.created);
            change(found);
            (found.name, found.created) = (name, created);
            check_tags(&found.tags)
        })
    }
}
