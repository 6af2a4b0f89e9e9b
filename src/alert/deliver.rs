//! Takes alerts from the queues of rules, and tells the receivers.
//!
//! Each alert of a queue is a task of its own, so that a receiver that does not answer delays nobody
//! else. A receipt is good for some seconds and is renewed while the task lives: after a crash,
//! others have the alert soon. Receivers that took the alert are remembered as long as the process
//! lives, so that an attempt for one is not an attempt for all.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::join_all;
use jiff::tz::TimeZone;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::clip::{Clips, Parcel};
use super::mail::Mailer;
use super::webhook::Webhooks;
use super::{Options, RETRY, Rules, chance};
use crate::client::{Client, Error};
use crate::clock::Clock;
use crate::wire::alerts::{Alert, LinkTarget, NamedRule, Notice, Target};
use crate::wire::records::queues::QueueRecord;

/// Alerts of a rule that are being delivered at a time.
const CONCURRENT: usize = 64;
/// The same to one receiver; more wait for their turn.
const CONCURRENT_PER_TARGET: usize = 8;
/// Seconds that a receipt is good for, and how often it is renewed.
const VISIBILITY: u16 = 20;
const RENEW: Duration = Duration::from_secs(7);
/// Seconds that a receive waits for the first alert.
const WAIT: u8 = 10;
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The longest one attempt may take, a clip that is waited for included.
const ATTEMPT: Duration = Duration::from_secs(400);
/// Alerts whose receivers are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Delivers alerts.
pub struct Courier {
    client: Client,
    clips: Clips,
    webhooks: Webhooks,
    mailer: Option<Arc<Mailer>>,
    retry: Duration,
    link: Duration,
    /// The receivers that took an alert which others have not taken yet.
    took: Mutex<HashMap<String, HashSet<Target>>>,
    turns: Mutex<HashMap<Target, Arc<Semaphore>>>,
}

/// Why a receiver was not told. The text is for the log.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// What it is told of could not be had.
    #[error(transparent)]
    Service(#[from] Error),
    /// The receiver did not take it.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
}

impl Courier {
    /// Delivers nothing yet.
    ///
    /// # Errors
    /// The HTTP client could not be set up.
    pub fn new(client: Client, clock: Clock, options: &Options) -> Result<Self, reqwest::Error> {
        Ok(Self {
            clips: Clips::new(client.clone(), clock.clone()),
            webhooks: Webhooks::new(clock)?,
            mailer: options.mailer.clone(),
            client,
            retry: options.retry,
            link: options.link,
            took: Mutex::default(),
            turns: Mutex::default(),
        })
    }

    /// Delivers what comes into a queue, forever.
    pub async fn serve(self: Arc<Self>, queue: String, rules: watch::Receiver<Rules>) {
        let places = Arc::new(Semaphore::new(CONCURRENT));
        let mut tasks = JoinSet::new();
        let mut backoff = RETRY;
        loop {
            while tasks.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let more = places.available_permits().min(usize::from(MAX_BATCH) - 1);
            let limit = u8::try_from(more + 1).unwrap_or(MAX_BATCH);
            match self.client.receive_queue_records(&queue, (limit, WAIT, VISIBILITY)).await {
                Ok(records) => {
                    backoff.reset();
                    let mut place = Some(place);
                    for record in records {
                        let place = place.take().or_else(|| {
                            // As many as are free were asked for.
                            Arc::clone(&places).try_acquire_owned().ok()
                        });
                        let rules = rules.borrow().clone();
                        let (courier, queue) = (Arc::clone(&self), queue.clone());
                        tasks.spawn(courier.handle(queue, record, rules, place));
                    }
                }
                Err(error) => {
                    tracing::warn!(queue, "alerts are not received: {error}");
                    tokio::time::sleep(backoff.next_wait(chance())).await;
                }
            }
        }
    }

    async fn handle(
        self: Arc<Self>,
        queue: String,
        record: QueueRecord,
        rules: Rules,
        _place: Option<OwnedSemaphorePermit>,
    ) {
        let receipt = record.receipt_handle.clone().unwrap_or_default();
        let alert = record.data.as_ref().and_then(|data| serde_json::from_slice(&data.0).ok());
        let rule = rules.iter().find(|rule| rule.queue_arn.as_ref() == Some(&queue));
        let delivered = match alert.zip(rule) {
            // Alerts of other rules, and what is none.
            Some((alert, rule)) if is_of(&alert, rule) => {
                let renewed = self.renew(&queue, &receipt);
                tokio::select! {
                    delivered = self.deliver(&alert, rule) => delivered,
                    () = renewed => return,
                }
            }
            _ => true,
        };
        let answer = if delivered {
            self.client.acknowledge_queue_record(&queue, &receipt).await
        } else {
            let attempts = record.receive_count.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
            let seconds = match rule.is_some_and(|rule| attempts >= rule.rule.max_attempts) {
                // The next who asks finds it dead.
                true => 0,
                false => wait(self.retry, attempts, chance()),
            };
            self.client.hide_queue_record(&queue, &receipt, seconds).await
        };
        match answer {
            Ok(true) => {}
            Ok(false) => tracing::info!(queue, "an alert is with another deliverer meanwhile"),
            Err(error) => tracing::warn!(queue, "an alert will be delivered again: {error}"),
        }
    }

    /// Renews a receipt until it is lost.
    async fn renew(&self, queue: &str, receipt: &str) {
        loop {
            tokio::time::sleep(RENEW).await;
            let seconds = VISIBILITY.into();
            if let Ok(false) = self.client.hide_queue_record(queue, receipt, seconds).await {
                return;
            }
        }
    }

    /// Tells all receivers that do not know yet; whether all know now.
    async fn deliver(&self, alert: &Alert, rule: &NamedRule) -> bool {
        let took = locked(&self.took).get(&alert.id).cloned().unwrap_or_default();
        let missing: Vec<Target> =
            receivers(rule).into_iter().filter(|target| !took.contains(target)).collect();
        if missing.is_empty() {
            return true;
        }
        let notice = match self.notice(alert).await {
            Ok(notice) => notice,
            Err(error) => {
                tracing::warn!(rule = rule.name, alert = alert.id, "alert not told: {error}");
                return false;
            }
        };
        let (parcel, zone) = (self.clips.parcel(notice), rule.rule.zone());
        let outcomes =
            join_all(missing.iter().map(|target| self.tell(target, &zone, &parcel))).await;
        let mut all = true;
        for (target, outcome) in missing.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => self.remember(&alert.id, &target),
                Err(error) => {
                    all = false;
                    let receiver = target.receiver();
                    tracing::warn!(
                        rule = rule.name,
                        alert = alert.id,
                        receiver,
                        "not told: {error}"
                    );
                }
            }
        }
        if all {
            locked(&self.took).remove(&alert.id);
        }
        all
    }

    /// What receivers are told.
    async fn notice(&self, alert: &Alert) -> Result<Notice, Error> {
        let (stream, clip) = (alert.stream.clone(), alert.clip);
        let clip = LinkTarget::Clip { stream, start: clip.start, end: clip.end };
        let clip_url = self.client.link(clip, self.link.as_secs()).await?.url;
        let (mut crop, mut crop_url) = (None, None);
        if let Some((collection, sighting)) =
            alert.collection.as_ref().zip(alert.sighting_id.as_ref())
        {
            crop = self.client.crop(collection, sighting).await?;
            if crop.is_some() {
                let (collection, sighting) = (collection.clone(), sighting.clone());
                let target = LinkTarget::Crop { collection, sighting };
                crop_url = Some(self.client.link(target, self.link.as_secs()).await?.url);
            }
        }
        let crop = crop.map(|jpeg: Bytes| STANDARD.encode(jpeg));
        Ok(Notice { alert: alert.clone(), crop_url, clip_url, crop })
    }

    async fn tell(
        &self,
        target: &Target,
        zone: &TimeZone,
        parcel: &Parcel<'_>,
    ) -> Result<(), Failed> {
        let turns = self.turn_of(target);
        let attempt = async {
            let _turn = turns.acquire().await.map_err(|_| Failed::TimedOut)?;
            match target {
                Target::Webhook { url, secret, attach_clip } => {
                    self.webhooks.send(url, secret, *attach_clip, parcel).await
                }
                Target::Email { to, attach_clip } => {
                    let mailer = self.mailer.as_ref().ok_or_else(|| {
                        Failed::Refused("alerts.smtp.host is not set any more".to_owned())
                    })?;
                    for address in to {
                        mailer.send(address, *attach_clip, zone, parcel).await?;
                    }
                    Ok(())
                }
            }
        };
        tokio::time::timeout(ATTEMPT, attempt).await.unwrap_or(Err(Failed::TimedOut))
    }

    fn turn_of(&self, target: &Target) -> Arc<Semaphore> {
        let mut turns = locked(&self.turns);
        // Those of receivers that are gone, and of nobody just now.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        let turn = || Arc::new(Semaphore::new(CONCURRENT_PER_TARGET));
        Arc::clone(turns.entry(target.clone()).or_insert_with(turn))
    }

    fn remember(&self, alert: &str, target: &Target) {
        let mut took = locked(&self.took);
        if took.len() >= MAX_REMEMBERED && !took.contains_key(alert) {
            // They are told twice, at worst.
            took.clear();
        }
        took.entry(alert.to_owned()).or_default().insert(target.clone());
    }
}

/// Alerts of one receive.
const MAX_BATCH: u8 = 10;

/// Who is told. Each address of a mail is a receiver of its own: one that is refused keeps no other
/// from being told, and nobody is told again because of it.
fn receivers(rule: &NamedRule) -> Vec<Target> {
    let each = |target: &Target| match target {
        Target::Webhook { .. } => vec![target.clone()],
        Target::Email { to, attach_clip } => to
            .iter()
            .map(|address| Target::Email { to: vec![address.clone()], attach_clip: *attach_clip })
            .collect(),
    };
    rule.rule.targets.iter().flat_map(each).collect()
}

fn is_of(alert: &Alert, rule: &NamedRule) -> bool {
    alert.rule == rule.name && rule.rule.enabled
}

/// Seconds until the next attempt after so many: twice as long each time, give or take a quarter.
pub fn wait(first: Duration, attempts: u32, chance: u32) -> u32 {
    let factor = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let wait = first.saturating_mul(factor).min(LONGEST_WAIT).as_secs_f64();
    let share = 0.75 + 0.5 * f64::from(chance) / f64::from(u32::MAX);
    (wait * share).round().max(1.0) as u32
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
