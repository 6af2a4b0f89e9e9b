//! Alerts: what rules watch for in the records of stream processors, told to people.
//!
//! A customer of our API. Findings are read from the record streams of the processors; an alert is a
//! record of the alert stream, put there once. A queue for each rule gives it to the rule's receivers,
//! again and again until they take it.
//!
//! - [`rule`]: whether what was seen is what a rule watches for; pure
//! - [`memory`]: what rules remember, within bounds; pure
//! - [`watch`]: reads findings, follows the rules, puts alerts
//! - [`deliver`]: takes alerts from the queues of rules, and tells the receivers
//! - [`webhook`], [`mail`]: how a receiver is told
//! - [`clip`]: the clip as a file, for receivers that want it
//!
//! At least once: alerts are put, then what the rules remember is stored, then where the watcher goes
//! on. What is read again after a crash was told and is remembered, or gives the same alerts with the
//! same ids, which the alert stream takes once.

pub mod clip;
pub mod deliver;
pub mod mail;
pub mod memory;
pub mod rule;
pub mod watch;
pub mod webhook;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::task::JoinHandle;

use crate::client::{Backoff, Client};
use crate::clock::Clock;
use crate::types::StreamName;
use crate::wire::alerts::NamedRule;
use deliver::Courier;
use mail::Mailer;

/// How often the rules are looked at.
const REFRESH: Duration = Duration::from_secs(1);
/// How long to wait when the service does not answer, at first and at most.
const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));

/// How alerts are made and delivered.
#[derive(Clone, Debug)]
pub struct Options {
    /// Record streams with findings besides those of stream processors.
    pub streams: Vec<StreamName>,
    /// How long the first wait is after an attempt to deliver failed.
    pub retry: Duration,
    /// How long links hold.
    pub link: Duration,
    /// What sends mails, if anything does.
    pub mailer: Option<Arc<Mailer>>,
}

/// All rules as they are now.
pub type Rules = Arc<Vec<NamedRule>>;

/// Follows the rules of a service until it is dropped.
pub async fn run(client: Client, clock: Clock, options: Options) {
    let (sender, rules) = channel::channel(Rules::default());
    let watcher = watch::Watcher::new(client.clone(), clock.clone(), options.streams.clone());
    let courier = match Courier::new(client.clone(), clock, &options) {
        Ok(courier) => Arc::new(courier),
        Err(error) => return tracing::error!("alerts are not delivered: {error}"),
    };
    tokio::join!(refresh(client, sender), watcher.run(rules.clone()), dispatch(courier, rules),);
}

/// Keeps the rules up to date.
async fn refresh(client: Client, sender: channel::Sender<Rules>) {
    let mut backoff = RETRY;
    loop {
        let wait = match client.alert_rules().await {
            Ok(rules) => {
                backoff.reset();
                sender.send_if_modified(|known| {
                    let changed = **known != rules;
                    *known = Arc::new(rules);
                    changed
                });
                REFRESH
            }
            Err(error) => {
                tracing::warn!("the rules of alerts are not to be had: {error}");
                backoff.next_wait(chance())
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// One deliverer for each rule that has receivers.
async fn dispatch(courier: Arc<Courier>, mut rules: channel::Receiver<Rules>) {
    let mut lanes: HashMap<String, Lane> = HashMap::new();
    loop {
        let now = Arc::clone(&rules.borrow_and_update());
        let queue = |rule: &NamedRule| rule.queue_arn.clone();
        let wanted: Vec<String> = now.iter().filter_map(queue).collect();
        lanes.retain(|queue, _| wanted.contains(queue));
        for queue in wanted {
            let lane = || {
                let (courier, rules) = (Arc::clone(&courier), rules.clone());
                Lane(tokio::spawn(courier.serve(queue.clone(), rules)))
            };
            lanes.entry(queue.clone()).or_insert_with(lane);
        }
        if rules.changed().await.is_err() {
            return;
        }
    }
}

/// The deliverer of a queue; dropping it ends it.
struct Lane(JoinHandle<()>);

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A random number, for waits that are not those of others; the same one where there is none.
fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
