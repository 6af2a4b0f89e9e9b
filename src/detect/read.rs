//! Reads a stream's media, live or out of the archive, and feeds the decoder.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::demux::{DemuxError, Demuxer, Ending, Part};
use super::frame::EncodedFrame;
use super::pipeline::{Feed, Job, RunError, Shared};
use super::select::Selector;
use crate::client::{ApiName, Backoff, Error as ClientError, Media, StartSelector};
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, StreamName};
use crate::wire::processors::Policy;

/// No fragment is longer than this, so none that begins earlier reaches into a range.
const LOOK_BACK: Millis = Millis(60_000);
/// The end of a range that has none: the year 9999.
const OPEN_END: ProducerTimestamp = ProducerTimestamp::from_millis(253_402_300_799_000);
/// Fragments of one run over the archive: forty days of two seconds each.
const MAX_FRAGMENTS: usize = 2_000_000;
/// Fragments that are asked for at once.
const BATCH: usize = 100;
/// First and longest wait before the stream is asked for again.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// Where to begin.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// Live, from here on.
    Live(StartSelector),
    /// What is stored of this range of producer time, and no more.
    Archive {
        /// From its beginning, when absent.
        from: Option<ProducerTimestamp>,
        /// To its end, when absent.
        to: Option<ProducerTimestamp>,
    },
}

/// Why an answer was of no further use.
enum Broken {
    Client(ClientError),
    Media(DemuxError),
    /// Nobody wants more.
    Unwanted,
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// Feeds the decoder of one run.
pub(super) struct Reader {
    job: Job,
    stream: Option<StreamName>,
    shared: Shared,
    feed: mpsc::Sender<Feed>,
    selector: Selector,
    /// The last fragment that was read to its end.
    whole: Option<FragmentNumber>,
    /// The fragment at hand, and how many of its frames were fed.
    partial: Option<(FragmentNumber, u32)>,
    /// How many frames of a fragment that is read again were fed before.
    again: Option<(FragmentNumber, u32)>,
    /// The rest of the fragment at hand is left out.
    leaves_out: bool,
    /// Only its key frames are fed.
    keys_only: bool,
}

impl Reader {
    pub(super) fn new(job: Job, shared: Shared, feed: mpsc::Sender<Feed>) -> Self {
        let selector = Selector::new(&job.options);
        let stream = job.origin.stream.parse().ok();
        Self {
            job,
            stream,
            shared,
            feed,
            selector,
            whole: None,
            partial: None,
            again: None,
            leaves_out: false,
            keys_only: false,
        }
    }

    /// Reads until the end of the range, or until it is stopped.
    pub(super) async fn run(&mut self) -> Result<(), RunError> {
        let Some(stream) = self.stream.clone() else { return Ok(()) };
        let stop = self.shared.stop.clone();
        let reading = async {
            match self.job.start.clone() {
                Start::Live(start) => self.follow(&stream, start).await,
                Start::Archive { from, to } => self.replay(&stream, (from, to)).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            outcome = reading => outcome,
        }
    }

    /// Follows the stream, and goes on behind what was read when the answer ends.
    async fn follow(&mut self, stream: &StreamName, start: StartSelector) -> Result<(), RunError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        loop {
            let before = self.whole;
            let after = self.whole.map(|number| StartSelector::AfterFragment(number.to_string()));
            let from = after.unwrap_or_else(|| start.clone());
            match self.one_answer(stream, &from).await {
                Ok(()) => {}
                Err(Broken::Unwanted) => return Ok(()),
                Err(Broken::Client(error)) if error.is_transient() => {
                    tracing::warn!(%stream, "{error}; trying again");
                }
                Err(Broken::Client(error)) => return Err(error.into()),
                Err(Broken::Media(error)) => {
                    tracing::warn!(%stream, "{error}");
                    // It would be as unreadable again.
                    if let DemuxError::Media(_) = error {
                        self.whole = self.partial.map(|(number, _)| number).max(self.whole);
                    }
                }
            }
            self.break_off().await;
            if self.whole > before {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next_wait(getrandom::u32().unwrap_or(0))).await;
        }
    }

    async fn one_answer(
        &mut self,
        stream: &StreamName,
        from: &StartSelector,
    ) -> Result<(), Broken> {
        let client = self.shared.client.clone();
        let endpoint = client.get_data_endpoint(stream, ApiName::GetMedia).await?;
        let media = client.get_media(&endpoint, stream, from).await?;
        self.take(media, Ending::Tagged, None).await
    }

    /// Reads what is stored of a range, fragment by fragment in the order of producer time.
    async fn replay(
        &mut self,
        stream: &StreamName,
        (from, to): (Option<ProducerTimestamp>, Option<ProducerTimestamp>),
    ) -> Result<(), RunError> {
        let range = (from.unwrap_or_default(), to.unwrap_or(OPEN_END));
        let fragments = self.list(stream, range).await?;
        let client = self.shared.client.clone();
        let state = self.shared.state.clone();
        state.fragments_in_all.store(fragments.len() as u64, Ordering::Relaxed);
        let endpoint = client.get_data_endpoint(stream, ApiName::GetMediaForFragmentList).await?;
        for batch in fragments.chunks(BATCH) {
            let media = client.get_fragments(&endpoint, stream, batch).await?;
            match self.take(media, Ending::Next, Some(range)).await {
                Ok(()) => {}
                Err(Broken::Unwanted) => return Ok(()),
                Err(Broken::Client(error)) => return Err(error.into()),
                // Whatever else is in the batch cannot be found behind it.
                Err(Broken::Media(error)) => tracing::warn!(%stream, "passed over: {error}"),
            }
        }
        Ok(())
    }

    async fn list(
        &self,
        stream: &StreamName,
        (from, to): (ProducerTimestamp, ProducerTimestamp),
    ) -> Result<Vec<FragmentNumber>, RunError> {
        let client = &self.shared.client;
        let endpoint = client.get_data_endpoint(stream, ApiName::ListFragments).await?;
        let begin = from.minus(LOOK_BACK).max(ProducerTimestamp::default());
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let page =
                client.list_fragments(&endpoint, stream, (begin, to), next.as_deref()).await?;
            let inside = page.fragments.into_iter();
            all.extend(inside.filter(|f| f.producer.plus(f.duration) > from && f.producer < to));
            next = page.next.filter(|_| all.len() < MAX_FRAGMENTS);
            if next.is_none() {
                break;
            }
        }
        all.sort_by_key(|fragment| (fragment.producer, fragment.number));
        Ok(all.into_iter().map(|fragment| fragment.number).collect())
    }

    /// Feeds an answer to its end. Frames outside of the range are decoded and not looked at.
    async fn take(
        &mut self,
        mut media: Media,
        ending: Ending,
        range: Option<(ProducerTimestamp, ProducerTimestamp)>,
    ) -> Result<(), Broken> {
        let mut demuxer = Demuxer::new(ending);
        while let Some(bytes) = media.next().await? {
            demuxer.push(&bytes);
            while let Some(part) = demuxer.next_part().map_err(Broken::Media)? {
                self.give(part, range).await?;
            }
        }
        match demuxer.finish() {
            Some(part) => self.give(part, range).await,
            None => Ok(()),
        }
    }

    async fn give(
        &mut self,
        part: Part,
        range: Option<(ProducerTimestamp, ProducerTimestamp)>,
    ) -> Result<(), Broken> {
        match part {
            Part::Begin(head) => {
                self.again = self.partial.take().filter(|(number, _)| *number == head.number);
                self.partial = Some((head.number, 0));
                self.leaves_out = false;
                self.keys_only = self.is_behind() && self.job.options.key_frames_when_behind;
                self.send(Feed::Begin(Box::new(head))).await
            }
            Part::Frame(frame) => {
                let chosen = self.selector.wants(&frame.place) || self.keys_only;
                let inside = range.is_none_or(|(from, to)| (from..to).contains(&frame.place.time));
                let known = self.again.is_some_and(|(_, count)| frame.place.index < count);
                if let Some((_, count)) = &mut self.partial {
                    *count = frame.place.index + 1;
                }
                self.feed_frame(frame, chosen && inside && !known).await
            }
            Part::End { number, whole } => {
                if whole {
                    self.whole = Some(number);
                    self.partial = None;
                }
                self.send(Feed::End(number, whole)).await
            }
        }
    }

    /// Feeds a frame, or leaves it out with what follows in its fragment.
    async fn feed_frame(&mut self, frame: EncodedFrame, wanted: bool) -> Result<(), Broken> {
        let skipped = &self.shared.state.skipped;
        if self.leaves_out || (self.keys_only && !frame.keyframe) {
            skipped.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let feed = Feed::Frame(frame, wanted);
        if self.job.options.policy == Policy::Complete {
            return self.send(feed).await;
        }
        match self.feed.try_send(feed) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                // What follows refers to it.
                self.leaves_out = true;
                skipped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(Broken::Unwanted),
        }
    }

    /// More than half of the room for frames that wait is taken.
    fn is_behind(&self) -> bool {
        let current = self.job.options.policy == Policy::Current;
        current && self.feed.capacity() < self.feed.max_capacity() / 2
    }

    async fn send(&self, feed: Feed) -> Result<(), Broken> {
        self.feed.send(feed).await.map_err(|_| Broken::Unwanted)
    }

    /// The answer ended within a fragment: the decoder must not wait for the rest.
    async fn break_off(&mut self) {
        if let Some((number, _)) = self.partial {
            // Nobody who listens any more needs to know.
            let _ = self.feed.send(Feed::End(number, false)).await;
        }
    }
}
