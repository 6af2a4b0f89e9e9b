//! All queues of the server.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::live::Queue;
use super::{
    EntryError, Kind, NewQueue, QueueAttributes, QueueBacklog, QueueError, QueueRecord, Receive,
};
use crate::clock::Clock;
use crate::store::{CapacityMode, CatalogError, LogIds, QueueInfo, QueueStart, Store};
use crate::types::StreamId;

/// The alphabet of queues' keys.
const KEY_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const KEY_CHARS: usize = 20;

/// The queues over a store's record streams. A queue is named by its key, the end of its ARN.
pub struct Queues {
    store: Arc<Store>,
    clock: Clock,
    max_readers: usize,
    open: RwLock<BTreeMap<String, Arc<Queue>>>,
}

impl Queues {
    /// Goes on with the queues that there are. A stream may have `max_readers` queues and consumers
    /// together. Blocks while the queues' journals are read.
    pub fn open(store: Arc<Store>, clock: Clock, max_readers: usize) -> Result<Self, QueueError> {
        let queues = Self { store, clock, max_readers, open: RwLock::default() };
        for info in queues.store.record_catalog().queues() {
            queues.start(&info)?;
        }
        Ok(queues)
    }

    /// Creates a queue; it can be received from at once. Blocks for one sync.
    pub fn create(&self, new: NewQueue) -> Result<Arc<QueueInfo>, QueueError> {
        let now = self.clock.now();
        if matches!(new.start, QueueStart::At(at) if at > now) {
            return Err(QueueError::StartsInFuture);
        }
        let (key, receipt_key) = (new_key()?, random::<32>()?);
        let make = |others: &[Arc<QueueInfo>], ids: &mut LogIds| {
            let stream = self.accepting_stream(&new, others)?;
            Ok::<_, QueueError>(QueueInfo {
                id: ids.take(),
                key,
                receipt_key,
                name: new.name,
                stream,
                created: now,
                start: new.start,
                visibility_seconds: new.attributes.visibility_seconds,
                max_receives: new.attributes.max_receives,
                tags: new.tags,
                policy: None,
            })
        };
        let info = self.store.record_catalog().create_queue(make)?;
        let queue = self.start(&info)?;
        if info.start == QueueStart::Latest {
            queue.begin_at_tail();
        }
        Ok(info)
    }

    /// The id of the stream that a new queue is for, if it may have another one.
    fn accepting_stream(
        &self,
        new: &NewQueue,
        others: &[Arc<QueueInfo>],
    ) -> Result<StreamId, QueueError> {
        if others.iter().any(|other| other.name == new.name) {
            return Err(QueueError::Exists(new.name.clone()));
        }
        let stream = self.store.record_catalog().stream(&new.stream);
        let stream = stream.ok_or_else(|| QueueError::StreamNotFound(new.stream.clone()))?;
        if stream.mode != CapacityMode::OnDemand {
            return Err(QueueError::NotOnDemand(new.stream.clone()));
        }
        let queues = others.iter().filter(|other| other.stream == stream.id).count();
        let (limit, stream_name) = (self.max_readers, new.stream.clone());
        if queues + stream.consumers.len() >= limit {
            return Err(QueueError::TooManyReaders { stream: stream_name, limit });
        }
        Ok(stream.id)
    }

    /// A queue's facts.
    pub fn describe(&self, key: &str) -> Result<Arc<QueueInfo>, QueueError> {
        self.queue(key)?.info()
    }

    /// All queues, in the order of creation.
    pub fn list(&self) -> Vec<Arc<QueueInfo>> {
        self.store.record_catalog().queues()
    }

    /// Sets a queue's attributes. Records in flight keep their timeouts, and dead letters stay
    /// dead. Blocks for one sync.
    pub fn update(
        &self,
        key: &str,
        attributes: QueueAttributes,
    ) -> Result<Arc<QueueInfo>, QueueError> {
        self.change(key, |info| {
            info.visibility_seconds = attributes.visibility_seconds;
            info.max_receives = attributes.max_receives;
            Ok(())
        })
    }

    /// Changes facts of a queue, such as its tags or policy; `change` may refuse with an error of
    /// its own. Blocks for one sync.
    pub fn change<E: From<QueueError> + From<CatalogError>>(
        &self,
        key: &str,
        change: impl FnOnce(&mut QueueInfo) -> Result<(), E>,
    ) -> Result<Arc<QueueInfo>, E> {
        let queue = self.queue(key)?;
        let info = self.store.record_catalog().update_queue(queue.id(), change)?;
        queue.reconfigure();
        Ok(info)
    }

    /// Deletes a queue with its dead letters; the stream's records stay. Blocks for one sync.
    pub fn delete(&self, key: &str) -> Result<(), QueueError> {
        let queue = self.queue(key)?;
        self.store.record_catalog().delete_queue(queue.id())?;
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }

    /// Receives records or dead letters; waits for some when there are none. Those that are
    /// returned are hidden from other receivers, which no crash undoes.
    pub async fn receive(
        &self,
        key: &str,
        request: Receive,
    ) -> Result<Vec<QueueRecord>, QueueError> {
        self.queue(key)?.receive(&request).await
    }

    /// Acknowledges deliveries of records or of dead letters; the outcomes in the order of the
    /// handles.
    pub async fn acknowledge(
        &self,
        key: &str,
        kind: Kind,
        handles: &[String],
    ) -> Result<Vec<Result<(), EntryError>>, QueueError> {
        self.queue(key)?.acknowledge(kind, handles).await
    }

    /// Lets deliveries become visible again after a time from now; the outcomes in order.
    pub async fn set_visibility(
        &self,
        key: &str,
        kind: Kind,
        entries: &[(String, Duration)],
    ) -> Result<Vec<Result<(), EntryError>>, QueueError> {
        self.queue(key)?.set_visibility(kind, entries).await
    }

    /// Puts dead letters back among the other records, as if they had never been received; the
    /// outcomes in the order of the handles.
    pub async fn restore(
        &self,
        key: &str,
        handles: &[String],
    ) -> Result<Vec<Result<(), EntryError>>, QueueError> {
        self.queue(key)?.restore(handles).await
    }

    /// What of a queue is still to be done.
    pub fn backlog(&self, key: &str) -> Result<QueueBacklog, QueueError> {
        Ok(self.queue(key)?.backlog())
    }

    fn queue(&self, key: &str) -> Result<Arc<Queue>, QueueError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(key).cloned().ok_or(QueueError::NotFound)
    }

    fn start(&self, info: &QueueInfo) -> Result<Arc<Queue>, QueueError> {
        let queue = Queue::open(info, self.store.clone(), self.clock.clone())?;
        let queue = Arc::new(queue);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(info.key.clone(), queue.clone());
        Ok(queue)
    }
}

/// A key that no queue had. Its characters are told apart by eye; 2¹⁰⁰ of them.
fn new_key() -> Result<String, QueueError> {
    let random = random::<KEY_CHARS>()?;
    let chars = random.map(|byte| char::from(KEY_ALPHABET[usize::from(byte) % KEY_ALPHABET.len()]));
    Ok(chars.iter().collect())
}

fn random<const LEN: usize>() -> Result<[u8; LEN], QueueError> {
    let mut bytes = [0; LEN];
    let failed = |error: getrandom::Error| CatalogError::Database(error.to_string());
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
