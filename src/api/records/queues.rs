//! Queues' facts, for what all resources have: tags and policies.

use std::sync::Arc;

use super::Call;
use super::error::{Failure, Kind};
use crate::store::{CatalogError, QueueInfo};

/// Why a queue's facts were not changed.
pub(super) enum Changed {
    /// There is no room for so many tags.
    TooManyTags,
    /// The catalog refused.
    Catalog(CatalogError),
}

impl From<CatalogError> for Changed {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl Call {
    /// The facts of a queue.
    pub(super) fn queue(&self, key: &str) -> Result<Arc<QueueInfo>, Failure> {
        let queues = self.app.store.record_catalog().queues();
        queues.into_iter().find(|queue| queue.key == key).ok_or_else(|| self.no_queue(key))
    }

    /// Changes a queue's tags or policy.
    pub(super) async fn change_queue(
        &self,
        key: String,
        change: impl FnOnce(&mut QueueInfo) -> Result<(), Changed> + Send + 'static,
    ) -> Result<(), Failure> {
        let id = self.queue(&key)?.id;
        let app = Arc::clone(&self.app);
        let work = move || app.store.record_catalog().update_queue(id, change);
        let done = tokio::task::spawn_blocking(work).await.map_err(Failure::internal)?;
        done.map(drop).map_err(|error| match error {
            Changed::TooManyTags => Failure::new(Kind::LimitExceeded, "Too many tags."),
            Changed::Catalog(CatalogError::NotFound) => self.no_queue(&key),
            Changed::Catalog(error) => Failure::internal(error),
        })
    }

    /// A queue that does not exist.
    pub(super) fn no_queue(&self, key: &str) -> Failure {
        Failure::not_found(format!("Queue {} not found.", self.queue_arn(key)))
    }
}
