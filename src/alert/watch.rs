//! Reads findings, follows the rules, puts alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::watch as channel;
use tokio::time::Instant;

use super::rule::Watch;
use super::{RETRY, Rules, chance, memory};
use crate::client::{Client, Error, NewRecord, Place, RecordsPage};
use crate::clock::Clock;
use crate::types::{ServerTimestamp, ShardId, StreamName};
use crate::wire::alerts::{ALERT_STREAM, Alert, AlerterState, NamedRule, RuleState};
use crate::wire::findings::FindingRecord;
use crate::wire::records::data::Record;

/// How often a shard is read; a reader may call five times a second, and others read too.
const POLL: Duration = Duration::from_millis(400);
/// How often it is looked which shards there are.
const LOOK: Duration = Duration::from_secs(2);
/// How often the state is stored that no alert has changed.
const STORE: Duration = Duration::from_secs(5);
/// Records that are read at once.
const PAGE: u16 = 1000;
/// Shards that are read at a time.
const CONCURRENT: usize = 16;
/// Shards that are read in all.
const MAX_SHARDS: usize = 1000;

/// A shard of a record stream.
type Shard = (StreamName, ShardId);

/// Follows the rules over all record streams with findings.
#[derive(Debug)]
pub struct Watcher {
    client: Client,
    clock: Clock,
    /// Record streams besides those of stream processors.
    added: Vec<StreamName>,
    /// The rules, and what each remembers.
    watches: Vec<(Watch, Memory)>,
    state: AlerterState,
    /// Where each shard is read next, and whether its newest record was read.
    readers: BTreeMap<Shard, Reader>,
    looked: Option<Instant>,
    stored: Instant,
    /// Whether the places are not those that are stored.
    changed: bool,
}

#[derive(Clone, Debug, Default)]
struct Memory {
    state: RuleState,
    /// Whether it is not what is stored.
    changed: bool,
}

#[derive(Clone, Debug, Default)]
struct Reader {
    iterator: Option<String>,
    at_tip: bool,
    /// A closed shard was read to its end.
    ended: bool,
}

impl Watcher {
    /// Nothing is read yet.
    pub fn new(client: Client, clock: Clock, added: Vec<StreamName>) -> Self {
        Self {
            client,
            clock,
            added,
            watches: Vec::new(),
            state: AlerterState::default(),
            readers: BTreeMap::new(),
            looked: None,
            stored: Instant::now(),
            changed: false,
        }
    }

    /// Follows the rules, forever.
    pub async fn run(mut self, mut rules: channel::Receiver<Rules>) {
        let mut backoff = RETRY;
        let mut begun = false;
        loop {
            let step = async {
                if !begun {
                    self.state = self.client.alerter_state().await?;
                    begun = true;
                }
                let now = rules.borrow_and_update().clone();
                self.follow(&now).await?;
                self.step().await
            };
            match step.await {
                Ok(()) => {
                    backoff.reset();
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => {
                    tracing::warn!("findings are not read: {error}");
                    tokio::time::sleep(backoff.next_wait(chance())).await;
                }
            }
        }
    }

    /// Takes the rules as they are now; one that is not followed yet remembers what is stored of it.
    async fn follow(&mut self, rules: &[NamedRule]) -> Result<(), Error> {
        if self.watches.iter().map(|(watch, _)| watch.rule()).eq(rules) {
            return Ok(());
        }
        let mut watches = Vec::new();
        for rule in rules {
            let watch = match Watch::new(rule.clone()) {
                Ok(watch) => watch,
                Err(error) => {
                    tracing::error!(rule = rule.name, "the rule is not followed: {error}");
                    continue;
                }
            };
            let same = |(known, _): &&(Watch, Memory)| is_same(known.rule(), rule);
            let memory = match self.watches.iter().find(same) {
                Some((_, memory)) => memory.clone(),
                None => self.memory(&watch).await?,
            };
            watches.push((watch, memory));
        }
        self.watches = watches;
        Ok(())
    }

    /// What is stored that a rule remembers.
    async fn memory(&self, watch: &Watch) -> Result<Memory, Error> {
        let rule = watch.rule();
        let state = match self.client.alert_rule_state(&rule.name).await {
            Ok(state) => state,
            // The rule was deleted a moment ago.
            Err(error) if error.is_no_resource() => RuleState::default(),
            Err(error) => return Err(error),
        };
        // Otherwise it is that of an earlier rule, or nothing.
        if state.created == rule.created {
            return Ok(Memory { state, changed: false });
        }
        Ok(Memory { state: watch.begin(self.clock.now().as_secs_f64()), changed: true })
    }

    async fn step(&mut self) -> Result<(), Error> {
        if !self.watches.iter().any(|(watch, _)| watch.rule().rule.enabled) {
            // Whoever is told of nothing needs no place to go on from.
            self.changed |= !self.state.places.is_empty();
            (self.readers, self.state.places) = (BTreeMap::new(), BTreeMap::new());
            return self.store(false).await;
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            self.look_for_shards().await?;
            self.looked = Some(Instant::now());
        }
        let mut told = false;
        for (shard, page) in self.read().await? {
            told |= self.take(&shard, page).await?;
        }
        if self.readers.values().all(|reader| reader.at_tip || reader.ended) {
            told |= self.look_for_absence().await?;
        }
        self.store(told).await
    }

    /// Which shards there are now.
    async fn look_for_shards(&mut self) -> Result<(), Error> {
        let mut streams: BTreeSet<StreamName> = self.added.iter().cloned().collect();
        let outputs = match self.client.processors().await {
            Ok(outputs) => outputs,
            // A service that has none.
            Err(error) if error.is_no_resource() => Vec::new(),
            Err(error) => return Err(error),
        };
        streams.extend(outputs.iter().filter_map(|processor| processor.output.parse().ok()));
        let mut shards = BTreeSet::new();
        for stream in streams {
            match self.client.list_shards(&stream).await {
                Ok(ids) => shards.extend(ids.into_iter().map(|id| (stream.clone(), id))),
                Err(error) if error.is_no_resource() => {}
                Err(error) => return Err(error),
            }
        }
        if shards.len() > MAX_SHARDS {
            tracing::warn!("of {} shards with findings only {MAX_SHARDS} are read", shards.len());
        }
        let shards: BTreeSet<Shard> = shards.into_iter().take(MAX_SHARDS).collect();
        self.readers.retain(|shard, _| shards.contains(shard));
        self.state.places.retain(|stream, places| {
            places.retain(|id, _| {
                shards
                    .iter()
                    .any(|(name, shard)| name.as_str() == stream && shard.to_string() == *id)
            });
            !places.is_empty()
        });
        for shard in shards {
            self.readers.entry(shard).or_default();
        }
        Ok(())
    }

    /// One page of each shard.
    async fn read(&mut self) -> Result<Vec<(Shard, RecordsPage)>, Error> {
        let reads: Vec<_> = self
            .readers
            .iter()
            .filter(|(_, reader)| !reader.ended)
            .map(|(shard, reader)| (shard.clone(), reader.iterator.clone()))
            .collect();
        let this = &*self;
        let pages: Vec<(Shard, Result<RecordsPage, Error>)> = stream::iter(reads)
            .map(|(shard, iterator)| async move {
                let page = this.read_shard(&shard, iterator).await;
                (shard, page)
            })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        let mut read = Vec::new();
        for (shard, page) in pages {
            match page {
                Ok(page) => read.push((shard, page)),
                // Its iterator may be too old: the next begins at the place that is remembered.
                Err(error) => {
                    self.readers.insert(shard, Reader::default());
                    if !error.is_throttled() {
                        return Err(error);
                    }
                }
            }
        }
        Ok(read)
    }

    async fn read_shard(
        &self,
        shard: &Shard,
        iterator: Option<String>,
    ) -> Result<RecordsPage, Error> {
        let iterator = match iterator {
            Some(iterator) => iterator,
            None => self.iterator(shard).await?,
        };
        self.client.get_records(&iterator, PAGE).await
    }

    async fn iterator(&self, (stream, shard): &Shard) -> Result<String, Error> {
        let places = self.state.places.get(stream.as_str());
        if let Some(number) = places.and_then(|places| places.get(&shard.to_string())) {
            let place = Place::After(number);
            match self.client.shard_iterator_at(stream, *shard, place).await {
                // A stream that was made anew does not know the number.
                Err(error) if error.is_invalid() => {}
                answer => return answer,
            }
        }
        // No rule tells of what was there before it.
        let made = self.watches.iter().map(|(watch, _)| watch.rule().created);
        let first = ServerTimestamp::from_secs_f64(made.fold(f64::INFINITY, f64::min));
        let place = Place::At(first.unwrap_or_else(|| self.clock.now()));
        self.client.shard_iterator_at(stream, *shard, place).await
    }

    /// Follows the rules over a page, and puts the alerts; whether there were any.
    async fn take(&mut self, shard: &Shard, page: RecordsPage) -> Result<bool, Error> {
        let findings: Vec<_> = page.records.iter().filter_map(finding).collect();
        let sees = |_: &Watch| !findings.is_empty();
        let see = |watch: &Watch, state: &mut RuleState| {
            findings.iter().flat_map(|(finding, at)| watch.see(finding, *at, state)).collect()
        };
        let told = self.follow_up(sees, see).await?;
        if let Some(last) = page.records.last().and_then(|record| record.sequence_number.clone()) {
            let places = self.state.places.entry(shard.0.to_string()).or_default();
            places.insert(shard.1.to_string(), last);
            self.changed = true;
        }
        let reader = Reader {
            at_tip: page.millis_behind == 0,
            ended: page.next.is_none(),
            iterator: page.next,
        };
        self.readers.insert(shard.clone(), reader);
        Ok(told)
    }

    async fn look_for_absence(&mut self) -> Result<bool, Error> {
        let now = self.clock.now().as_secs_f64();
        self.follow_up(Watch::misses_somebody, |watch, state| watch.look(now, state)).await
    }

    /// Puts the alerts of some rules; whether there are any. What the rules remember changes only
    /// then: what failed is looked at again, as it was.
    async fn follow_up(
        &mut self,
        concerns: impl Fn(&Watch) -> bool,
        alerts_of: impl Fn(&Watch, &mut RuleState) -> Vec<Alert>,
    ) -> Result<bool, Error> {
        let mut alerts = Vec::new();
        let mut changed = Vec::new();
        let watches = self.watches.iter().enumerate();
        for (at, (watch, memory)) in watches.filter(|(_, (watch, _))| concerns(watch)) {
            let mut state = memory.state.clone();
            alerts.extend(alerts_of(watch, &mut state));
            if state != memory.state {
                changed.push((at, state));
            }
        }
        self.put(&alerts).await?;
        for (at, state) in changed {
            self.watches[at].1 = Memory { state, changed: true };
        }
        Ok(!alerts.is_empty())
    }

    /// Puts alerts on the alert stream, each once.
    async fn put(&self, alerts: &[Alert]) -> Result<(), Error> {
        let stream = ALERT_STREAM.parse().expect("the constant is a stream's name");
        let record = |alert: &Alert| NewRecord {
            partition_key: alert.stream.clone(),
            dedupe_key: Some(alert.id.clone()),
            data: Bytes::from(serde_json::to_vec(alert).expect("an alert is plain JSON")),
        };
        for batch in alerts.chunks(100) {
            let records: Vec<_> = batch.iter().map(record).collect();
            for (alert, outcome) in
                batch.iter().zip(self.client.put_records(&stream, &records).await?)
            {
                outcome.map_err(|error| Error::Refused {
                    operation: "PutRecords",
                    status: 400,
                    code: error.code,
                    message: error.message,
                })?;
                tracing::info!(rule = alert.rule, stream = alert.stream, id = alert.id, "alert");
            }
        }
        Ok(())
    }

    /// Stores what rules remember and then where to go on, at once after alerts, else now and then.
    async fn store(&mut self, told: bool) -> Result<(), Error> {
        if !told && self.stored.elapsed() < STORE {
            return Ok(());
        }
        for (watch, memory) in self.watches.iter_mut().filter(|(_, memory)| memory.changed) {
            let state = memory::to_store(&memory.state);
            match self.client.put_alert_rule_state(&watch.rule().name, &state).await {
                Ok(()) => memory.changed = false,
                // The rule was deleted a moment ago, and is not followed soon.
                Err(error) if error.is_no_resource() => {}
                Err(error) => return Err(error),
            }
        }
        if self.changed {
            self.client.put_alerter_state(&self.state).await?;
            self.changed = false;
        }
        self.stored = Instant::now();
        Ok(())
    }
}

/// Whether two are the same rule, perhaps set anew.
fn is_same(one: &NamedRule, other: &NamedRule) -> bool {
    one.name == other.name && one.created == other.created
}

/// A record as a finding, and when it arrived; other records are nobody's business here.
fn finding(record: &Record) -> Option<(FindingRecord, f64)> {
    let finding = serde_json::from_slice(&record.data.as_ref()?.0).ok()?;
    let arrival = record.approximate_arrival_timestamp?.0.as_secs_f64();
    Some((finding, arrival))
}
