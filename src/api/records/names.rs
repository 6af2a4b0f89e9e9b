//! How requests name streams, shards, consumers and queues, and how answers do.

use std::fmt::Display;

use super::Call;
use super::error::Failure;
use crate::api::App;
use crate::records::ConsumerRef;
use crate::store::ConsumerInfo;
use crate::types::{ShardId, StreamName};

/// What has tags and a policy.
pub(super) enum Resource {
    /// A stream.
    Stream(StreamName),
    /// A consumer of a stream.
    Consumer(ConsumerRef),
    /// A queue, by its key.
    Queue(String),
    /// A channel, of which there are none.
    Channel,
}

impl Call {
    /// The stream that a request names by `StreamName` or `StreamARN`. Where both are given they
    /// must mean the same stream. Whether there is such a stream is not looked at.
    pub(super) fn stream_name(
        &self,
        name: Option<&str>,
        arn: Option<&str>,
    ) -> Result<StreamName, Failure> {
        let named = name.map(parse_name).transpose()?;
        let by_arn = arn.map(|arn| self.stream_of_arn(arn)).transpose()?;
        match (named, by_arn) {
            (Some(name), Some(other)) if name != other => {
                Err(Failure::invalid("StreamName and StreamARN name different streams."))
            }
            (Some(name), _) | (None, Some(name)) => Ok(name),
            (None, None) => {
                Err(Failure::invalid("Either StreamName or StreamARN needs to be provided."))
            }
        }
    }

    /// The stream of a `StreamARN`.
    pub(super) fn stream_of_arn(&self, arn: &str) -> Result<StreamName, Failure> {
        match self.resource(arn)? {
            Resource::Stream(name) => Ok(name),
            _ => Err(Failure::invalid(format!("{arn} is not the ARN of a stream."))),
        }
    }

    /// The consumer of a `ConsumerARN`.
    pub(super) fn consumer_of_arn(&self, arn: &str) -> Result<ConsumerRef, Failure> {
        match self.resource(arn)? {
            Resource::Consumer(consumer) => Ok(consumer),
            _ => Err(Failure::invalid(format!("{arn} is not the ARN of a consumer."))),
        }
    }

    /// The key of a `QueueARN`.
    pub(super) fn queue_of_arn(&self, arn: &str) -> Result<String, Failure> {
        match self.resource(arn)? {
            Resource::Queue(key) => Ok(key),
            _ => Err(Failure::invalid(format!("{arn} is not the ARN of a queue."))),
        }
    }

    /// What an ARN names.
    pub(super) fn resource(&self, arn: &str) -> Result<Resource, Failure> {
        let not_found = || Failure::not_found(format!("{arn} not found."));
        // Another region or account is somewhere else.
        let resource = arn.strip_prefix(&self.arn("")).ok_or_else(not_found)?;
        match resource.split_once('/') {
            Some(("stream", rest)) => match rest.split_once("/consumer/") {
                None => Ok(Resource::Stream(parse_name(rest)?)),
                Some((stream, consumer)) => {
                    let (name, seconds) = consumer.rsplit_once(':').ok_or_else(not_found)?;
                    let created_s = Some(seconds.parse().map_err(|_| not_found())?);
                    let (stream, name) = (parse_name(stream)?, name.to_owned());
                    Ok(Resource::Consumer(ConsumerRef { stream, name, created_s }))
                }
            },
            Some(("queue", key)) => Ok(Resource::Queue(key.to_owned())),
            Some(("channel", _)) => Ok(Resource::Channel),
            _ => Err(not_found()),
        }
    }

    /// A stream's ARN.
    pub(super) fn stream_arn(&self, name: &StreamName) -> String {
        self.arn(format_args!("stream/{name}"))
    }

    /// A consumer's ARN.
    pub(super) fn consumer_arn(&self, stream: &StreamName, consumer: &ConsumerInfo) -> String {
        let seconds = consumer.created.as_millis().div_euclid(1000);
        self.arn(format_args!("stream/{stream}/consumer/{}:{seconds}", consumer.name))
    }

    /// A queue's ARN.
    pub(super) fn queue_arn(&self, key: &str) -> String {
        self.arn(format_args!("queue/{key}"))
    }

    /// The account in messages and ARNs.
    pub(super) fn account(&self) -> &str {
        &self.app.config.account
    }

    /// A shard's id; one in another form names no shard.
    pub(super) fn shard_id(&self, stream: &StreamName, id: &str) -> Result<ShardId, Failure> {
        id.parse().map_err(|_| self.no_shard(stream, &id))
    }

    /// A shard that does not exist.
    pub(super) fn no_shard(&self, stream: &StreamName, shard: &dyn Display) -> Failure {
        let account = self.account();
        Failure::not_found(format!(
            "Shard {shard} in stream {stream} under account {account} does not exist"
        ))
    }

    fn arn(&self, resource: impl Display) -> String {
        arn(&self.app, resource)
    }
}

/// The ARN of a resource of this server: `stream/NAME`, `queue/KEY`, …
pub(in crate::api) fn arn(app: &App, resource: impl Display) -> String {
    format!("arn:aws:kinesis:{}:{}:{resource}", app.config.region, app.config.account)
}

fn parse_name(name: &str) -> Result<StreamName, Failure> {
    name.parse().map_err(|error| Failure::invalid(format!("StreamName: {error}.")))
}
