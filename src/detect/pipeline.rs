//! One stream from GetMedia to durable findings: the stages wired, with bounded queues between.
//!
//! ```text
//! read (task) ─feed▶ decode (thread) ─work▶ analyse (thread) ─results▶ emit (task) ─▶ checkpoint
//! ```
//! A full queue holds up whoever fills it, back to the connection; with the policy `current`, the
//! reader leaves out frames instead and counts them. Whoever ends closes its queue, and so the next.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::analyse::{Analyser, Eyes, Outcome, Registry};
use super::emit::Origin;
use super::frame::{DecodedFrame, EncodedFrame, FragmentHead};
use super::gstreamer::{DecodeError, Decoder};
use super::output::{Output, emit};
use super::read::{Reader, Start};
use crate::client::{Backoff, Client, Error as ClientError};
use crate::clock::Clock;
use crate::types::FragmentNumber;
use crate::wire::findings::FindingRecord;
use crate::wire::people::{Observation, Observed};
use crate::wire::processors::{Frames, Options, Policy, Region};

/// Frames that wait for the decoder: two seconds of a fast camera.
const MAX_ENCODED: usize = 64;
/// Pictures that wait to be looked at; each has megabytes.
const MAX_DECODED: usize = 3;
/// Records that wait to be written.
const MAX_RESULTS: usize = 512;
/// When no frame came for so long, whoever was in view has left.
const IDLE: Duration = Duration::from_secs(5);
/// First and longest wait between questions that could not be answered.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// Who writes, and about which stream.
    pub origin: Origin,
    /// How frames are chosen.
    pub options: Options,
    /// Where faces count.
    pub regions: Vec<Region>,
    /// The least similarity of a match; the service's own when absent.
    pub threshold: Option<f32>,
    /// Where to begin, and where to end.
    pub start: Start,
}

/// What a run shares with the outside.
#[derive(Clone)]
pub struct Shared {
    /// Calls the service.
    pub client: Client,
    /// Tells how late frames are.
    pub clock: Clock,
    /// How far the run is.
    pub state: Arc<State>,
    /// Ends the run.
    pub stop: CancellationToken,
}

/// How far a run is; it may be read at any time.
#[derive(Debug, Default)]
pub struct State {
    pub(super) decoded: AtomicU64,
    pub(super) analysed: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) fragments: AtomicU64,
    pub(super) fragments_in_all: AtomicU64,
    lag_ms: AtomicI64,
    checkpoint: Mutex<Option<FragmentNumber>>,
    trouble: Mutex<Option<Trouble>>,
}

/// What went wrong with a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trouble {
    fragment: FragmentNumber,
    what: String,
}

impl State {
    /// Frames so far.
    pub fn frames(&self) -> Frames {
        Frames {
            decoded: self.decoded.load(Ordering::Relaxed),
            analysed: self.analysed.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            failed: self.lost() + self.failed(),
        }
    }

    /// Wanted frames that could not be decoded.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Frames for which a network gave no answer.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Fragments that are done, and those that there are; of the archive only.
    pub fn fragments(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.fragments), of(&self.fragments_in_all))
    }

    /// Seconds from a frame's arrival at the server until it was looked at.
    pub fn lag_seconds(&self) -> f64 {
        self.lag_ms.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// The last fragment of which every record is durable.
    pub fn checkpoint(&self) -> Option<FragmentNumber> {
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What went wrong last, in words; empty when nothing did.
    pub fn trouble(&self) -> String {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let told = trouble.as_ref();
        told.map(|Trouble { fragment, what }| format!("fragment {fragment}: {what}"))
            .unwrap_or_default()
    }

    /// Tells that something went wrong with a fragment; the same of the same fragment once.
    fn tell(&self, fragment: FragmentNumber, what: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Trouble { fragment, what: what.to_owned() };
        if trouble.as_ref() != Some(&now) {
            tracing::warn!(%fragment, "{what}");
            *trouble = Some(now);
        }
    }

    pub(super) fn set_checkpoint(&self, number: FragmentNumber) {
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
    }
}

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The service refused, or could not be reached.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// Findings could not be written where they should go.
    #[error("write findings: {0}")]
    Write(std::io::Error),
    /// A stage broke off.
    #[error("a stage broke off: {0}")]
    Stage(#[from] tokio::task::JoinError),
}

impl RunError {
    /// Nothing will change by trying again: what is needed does not exist.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_not_found())
    }
}

/// What the reader hands to the decoder.
pub(super) enum Feed {
    Begin(Box<FragmentHead>),
    Frame(EncodedFrame, bool),
    End(FragmentNumber, bool),
}

/// What the decoder hands on to be looked at.
enum Work {
    Frame(DecodedFrame),
    End(FragmentNumber),
}

/// What is to be written, in the order of the stream.
pub(super) enum Finding {
    Record(Box<FindingRecord>),
    /// All records of the fragment came before.
    End(FragmentNumber),
}

/// Runs until the end of the range, until it is stopped, or until it cannot go on.
///
/// # Errors
/// It cannot go on by itself; [`RunError::is_final`] tells whether trying again may help.
pub async fn run<E>(job: Job, eyes: Arc<E>, output: Output, shared: Shared) -> Result<(), RunError>
where
    E: Eyes + Send + Sync + 'static,
{
    // What the two threads log carries the stream's name.
    let span = tracing::error_span!("detect", stream = job.origin.stream);
    let (feed, fed) = mpsc::channel(MAX_ENCODED);
    let (work, worked) = mpsc::channel(MAX_DECODED);
    let (results, resulted) = mpsc::channel(MAX_RESULTS);
    let decoding = {
        let (shared, span) = (shared.clone(), span.clone());
        tokio::task::spawn_blocking(move || span.in_scope(|| decode(fed, &work, &shared)))
    };
    let analysing = {
        let (job, shared) = (job.clone(), shared.clone());
        let service = Service::new(&job, &shared);
        let Job { origin, options, regions, threshold, .. } = job;
        let analyser = Analyser::new((eyes, service), origin, options, regions, threshold);
        let looking = move || analyse(analyser, worked, &results, &shared);
        tokio::task::spawn_blocking(move || span.in_scope(looking))
    };
    let emitting = tokio::spawn(emit(resulted, output, job.origin.clone(), shared.clone()));
    let mut reader = Reader::new(job, shared, feed);
    let read = reader.run().await;
    drop(reader);
    decoding.await?;
    analysing.await?;
    emitting.await??;
    read
}

/// Decodes each fragment by itself, until there is no more to be fed.
fn decode(mut fed: mpsc::Receiver<Feed>, work: &mpsc::Sender<Work>, shared: &Shared) {
    let mut decoding = Decoding { work, state: &shared.state, decoder: None, lost: 0, why: None };
    while let Some(feed) = fed.blocking_recv() {
        match feed {
            Feed::Begin(head) => decoding.begin(&head),
            Feed::Frame(frame, wanted) => decoding.frame(frame, wanted),
            Feed::End(number, whole) => decoding.end(number, whole),
        }
        if work.is_closed() {
            return;
        }
    }
}

/// The fragment that is decoded.
struct Decoding<'a> {
    work: &'a mpsc::Sender<Work>,
    state: &'a Arc<State>,
    /// None before the first fragment, and when the one at hand cannot be decoded further.
    decoder: Option<Decoder>,
    /// Wanted frames of it that came to nothing.
    lost: u64,
    /// What the decoder had to say of that.
    why: Option<DecodeError>,
}

impl Decoding<'_> {
    fn begin(&mut self, head: &FragmentHead) {
        let (work, state) = (self.work.clone(), Arc::clone(self.state));
        let taker = Box::new(move |frame| {
            state.decoded.fetch_add(1, Ordering::Relaxed);
            work.blocking_send(Work::Frame(frame)).is_ok()
        });
        self.lost = 0;
        (self.decoder, self.why) = match Decoder::open(head, taker) {
            Ok(decoder) => (Some(decoder), None),
            Err(error) => (None, Some(error)),
        };
    }

    fn frame(&mut self, frame: EncodedFrame, wanted: bool) {
        match &mut self.decoder {
            None => self.lost += u64::from(wanted),
            Some(decoder) => {
                if let Err(error) = decoder.feed(frame, wanted) {
                    self.give_up(Some(error));
                }
            }
        }
    }

    fn end(&mut self, number: FragmentNumber, whole: bool) {
        if let Some(decoder) = &mut self.decoder {
            let error = decoder.drain(|| !self.work.is_closed()).err();
            self.give_up(error);
        }
        if self.work.is_closed() {
            return;
        }
        self.state.lost.fetch_add(self.lost, Ordering::Relaxed);
        match (self.lost, self.why.take()) {
            (0, None) => {}
            (0, Some(error)) => self.state.tell(number, &error.to_string()),
            (lost, None) => self.state.tell(number, &format!("{lost} pictures were not decoded")),
            (lost, Some(error)) => {
                self.state.tell(number, &format!("{lost} pictures were not decoded: {error}"));
            }
        }
        if whole {
            // Nobody who looks any more is noticed by whoever feeds.
            let _ = self.work.blocking_send(Work::End(number));
        }
    }

    /// Ends the decoder; what it still holds is lost.
    fn give_up(&mut self, error: Option<DecodeError>) {
        self.lost += self.decoder.take().map_or(0, |decoder| decoder.lost());
        self.why = error;
    }
}

/// Looks at one frame after another.
fn analyse<E: Eyes, R: Registry>(
    mut analyser: Analyser<E, R>,
    mut work: mpsc::Receiver<Work>,
    results: &mpsc::Sender<Finding>,
    shared: &Shared,
) {
    let handle = Handle::current();
    let state = &shared.state;
    loop {
        let next = handle.block_on(async { tokio::time::timeout(IDLE, work.recv()).await });
        let result = match next {
            Ok(Some(Work::Frame(frame))) => {
                let outcome = analyser.analyse(&frame);
                let late = shared.clock.now().since(frame.place.arrival());
                state.lag_ms.store(i64::try_from(late.0).unwrap_or(i64::MAX), Ordering::Relaxed);
                match outcome {
                    Outcome::Record(record) => {
                        state.analysed.fetch_add(1, Ordering::Relaxed);
                        Some(Finding::Record(record))
                    }
                    Outcome::Still => None,
                    Outcome::Failed(why) => {
                        state.tell(frame.place.fragment, &format!("no answer: {why}"));
                        state.failed.fetch_add(1, Ordering::Relaxed);
                        None
                    }
                }
            }
            Ok(Some(Work::End(number))) => Some(Finding::End(number)),
            Ok(None) => break,
            Err(_) => analyser.finish().map(|record| Finding::Record(Box::new(record))),
        };
        if let Some(result) = result
            && results.blocking_send(result).is_err()
        {
            return;
        }
    }
    if let Some(record) = analyser.finish() {
        // Nobody is left who would write it.
        let _ = results.blocking_send(Finding::Record(Box::new(record)));
    }
}

/// People, as the service knows them.
struct Service {
    client: Client,
    collection: Option<String>,
    handle: Handle,
    stop: CancellationToken,
    /// A question is asked again until it is answered.
    insists: bool,
    told: AtomicU64,
}

impl Service {
    fn new(job: &Job, shared: &Shared) -> Self {
        Self {
            client: shared.client.clone(),
            collection: job.origin.collection.clone(),
            handle: Handle::current(),
            stop: shared.stop.clone(),
            insists: job.options.policy == Policy::Complete,
            told: AtomicU64::new(0),
        }
    }

    async fn ask(&self, collection: &str, observation: &Observation) -> Option<Observed> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        loop {
            match self.client.observe(collection, observation).await {
                Ok(observed) => return Some(observed),
                Err(error) if error.is_transient() && self.insists => {
                    tracing::warn!("people are not known for now: {error}");
                    let wait = backoff.next_wait(getrandom::u32().unwrap_or(0));
                    tokio::select! {
                        () = self.stop.cancelled() => return None,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                Err(error) => {
                    // A missing collection is one cause of many faces without a name.
                    if self.told.fetch_add(1, Ordering::Relaxed) == 0 {
                        tracing::warn!("findings have no people: {error}");
                    }
                    return None;
                }
            }
        }
    }
}

impl Registry for Service {
    fn observe(&self, observation: &Observation) -> Option<Observed> {
        let collection = self.collection.as_ref()?;
        self.handle.block_on(self.ask(collection, observation))
    }
}
