//! What streams exist: small facts in a transactional database, kept in memory for reading.

use std::collections::BTreeMap;

use crate::types::{Arn, ServerTimestamp, StreamId, StreamName};

/// The catalog of streams. Reads are from memory; each change is one durable transaction.
pub struct Catalog {}

/// What a stream is created with.
#[derive(Clone, Debug)]
pub struct NewStream {
    pub arn: Arn,
    pub device_name: Option<String>,
    pub media_type: Option<String>,
    pub kms_key_id: Option<String>,
    pub retention_hours: u32,
    pub tags: BTreeMap<String, String>,
}

/// A stream's facts at one moment.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    pub id: StreamId,
    pub arn: Arn,
    pub device_name: Option<String>,
    pub media_type: Option<String>,
    pub kms_key_id: Option<String>,
    pub retention_hours: u32,
    pub tags: BTreeMap<String, String>,
    /// Twenty random alphanumerics, new on each change of metadata.
    pub version: String,
    pub status: StreamStatus,
}

impl StreamInfo {
    /// The stream's name.
    pub fn name(&self) -> &StreamName {
        &self.arn.name
    }

    /// When it was created.
    pub fn created(&self) -> ServerTimestamp {
        ServerTimestamp::from_millis(self.arn.created_ms)
    }
}

/// Changes are applied synchronously, so the in-between states are never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    Active,
    Deleting,
}

/// Why a change was refused.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the stream {0} already exists")]
    Exists(StreamName),
    #[error("no such stream")]
    NotFound,
    #[error("the version {given} is not the stream's current version")]
    VersionMismatch { given: String },
    #[error("the catalog could not be changed: {0}")]
    Database(String),
}

impl Catalog {
    /// A stream by name.
    pub fn by_name(&self, name: &StreamName) -> Option<std::sync::Arc<StreamInfo>> {
        let _ = name;
        todo!()
    }

    /// Up to `limit` streams whose name starts with `prefix` and sorts after `after`, by name.
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Vec<std::sync::Arc<StreamInfo>> {
        let _ = (prefix, after, limit);
        todo!()
    }

    /// Creates a stream; exactly one of several racing creates succeeds. Blocks for one sync.
    pub fn create(&self, stream: NewStream) -> Result<std::sync::Arc<StreamInfo>, CatalogError> {
        let _ = stream;
        todo!()
    }

    /// Changes a stream in one transaction. `version` must be the current one where given;
    /// `change` may refuse with its own error. A new version is set when `rotate_version`.
    pub fn update<E: From<CatalogError>>(
        &self,
        arn: &Arn,
        version: Option<&str>,
        rotate_version: bool,
        change: impl FnOnce(&mut StreamInfo) -> Result<(), E>,
    ) -> Result<std::sync::Arc<StreamInfo>, E> {
        let _ = (arn, version, rotate_version, change);
        todo!()
    }

    /// Deletes a stream; its fragments are unreachable at once. The whole ARN must match.
    pub fn delete(&self, arn: &Arn, version: Option<&str>) -> Result<(), CatalogError> {
        let _ = (arn, version);
        todo!()
    }
}
