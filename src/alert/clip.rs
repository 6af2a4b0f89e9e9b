//! Clips of alerts as files: fetched when their end is stored, once for all receivers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::deliver::Failed;
use crate::client::{Client, Error};
use crate::clock::Clock;
use crate::types::{Millis, ProducerTimestamp, StreamName};
use crate::wire::alerts::{Alert, Notice};

/// The largest clip that is fetched; of a larger one, there is the link.
pub const MAX_CLIP_BYTES: usize = MAX_CLIP_KIB as usize * KIB;
const MAX_CLIP_KIB: u32 = 64 << 10;
/// What all clips in memory may take; alerts wait for their turn.
const MAX_HELD_KIB: usize = 4 * MAX_CLIP_KIB as usize;
const KIB: usize = 1 << 10;
/// How long after its end a clip is waited for; what is stored then is sent.
const LATEST_CLIP: Millis = Millis(30_000);
/// The longest that its end may be in the future.
const FARTHEST_END: Millis = Millis(150_000);
/// How often it is looked whether it is stored.
const LOOK: Duration = Duration::from_secs(1);

/// Fetches clips.
#[derive(Debug)]
pub struct Clips {
    client: Client,
    clock: Clock,
    /// KiB of memory that are free.
    room: Arc<Semaphore>,
}

/// An alert on its way to its receivers, with its clip when somebody wants it.
#[derive(Debug)]
pub struct Parcel<'a> {
    /// What receivers are told.
    pub notice: Notice,
    clips: &'a Clips,
    clip: OnceCell<Option<Clip>>,
}

/// A clip in memory, and its share of the room.
#[derive(Debug)]
struct Clip {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Clips {
    /// Has none yet.
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, room: Arc::new(Semaphore::new(MAX_HELD_KIB)) }
    }

    /// Begins to tell receivers something.
    pub fn parcel(&self, notice: Notice) -> Parcel<'_> {
        Parcel { notice, clips: self, clip: OnceCell::new() }
    }

    /// The clip, once its end is stored or will not be soon.
    async fn fetch(&self, alert: &Alert) -> Result<Option<Clip>, Failed> {
        let stream: StreamName =
            alert.stream.parse().map_err(|_| Failed::Refused("no stream's name".to_owned()))?;
        let end = ProducerTimestamp::from_secs_f64(alert.clip.end).unwrap_or_default();
        let last = self.clock.now().plus(LATEST_CLIP).plus(self.until(end));
        while self.clock.now() < last && !self.is_stored(&stream, end).await? {
            tokio::time::sleep(LOOK).await;
        }
        let room = Arc::clone(&self.room).acquire_many_owned(MAX_CLIP_KIB).await;
        let mut room = room.map_err(|_| Failed::TimedOut)?;
        let bytes = match self.client.clip(&stream, alert.clip, MAX_CLIP_BYTES).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(Error::AnswerTooLong { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // What it does not need is free again.
        drop(room.split((MAX_CLIP_KIB as usize).saturating_sub(bytes.len().div_ceil(KIB))));
        Ok(Some(Clip { bytes, _room: room }))
    }

    /// How long until a moment, as far as the producer's clock is right; bounded.
    fn until(&self, end: ProducerTimestamp) -> Millis {
        let now = ProducerTimestamp::from_millis(self.clock.now().as_millis());
        end.since(now).min(FARTHEST_END)
    }

    async fn is_stored(&self, stream: &StreamName, end: ProducerTimestamp) -> Result<bool, Failed> {
        let newest = self.client.newest_end(stream).await?;
        Ok(newest.is_some_and(|newest| newest >= end.as_secs_f64()))
    }
}

impl Parcel<'_> {
    /// The clip, an MP4 file; `None` when nothing is stored of it or it is larger than
    /// [`MAX_CLIP_BYTES`].
    ///
    /// # Errors
    /// It could not be read.
    pub async fn clip(&self) -> Result<Option<&Bytes>, Failed> {
        let fetch = || self.clips.fetch(&self.notice.alert);
        let clip = self.clip.get_or_try_init(fetch).await?;
        Ok(clip.as_ref().map(|clip| &clip.bytes))
    }
}
