//! What is new: fragments of video streams, findings, alerts.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use futures_util::FutureExt;
use serde::de::DeserializeOwned;

use super::Event;
use crate::api::native::fragment;
use crate::api::{App, AppState};
use crate::records::{RecordsError, Tail};
use crate::store::{FragmentInfo, MediaStream, Order, StreamInfo};
use crate::types::{FragmentNumber, ServerTimestamp, StreamId, StreamName};
use crate::wire::alerts::{ALERT_STREAM, Alert};
use crate::wire::findings::FindingRecord;

/// Larger records are not told: those who want them read the record stream.
pub(super) const MAX_EVENT_BYTES: usize = 128 << 10;
/// Events of a kind that are told at a time; a listener has room for several times as many.
const MOST_AT_A_TIME: usize = 128;
/// Video streams that are looked at.
const MAX_STREAMS: usize = 10_000;
/// Fragments that are remembered as told. Several producers of a stream may persist theirs in another
/// order than that of the numbers, by no more than this.
const REMEMBERED: usize = 32;

/// How far everything was told.
pub(super) struct News {
    since: ServerTimestamp,
    videos: HashMap<StreamId, Place>,
    records: HashMap<StreamName, Tail>,
}

/// How far the fragments of a stream were told.
#[derive(Default)]
struct Place {
    /// The stream's mark when it was looked at.
    mark: u64,
    /// Up to here all.
    floor: Option<FragmentNumber>,
    /// Behind it these.
    told: BTreeSet<FragmentNumber>,
}

impl News {
    /// From now on.
    pub(super) fn new(app: &App) -> Self {
        let videos = app.store.catalog().list("", None, MAX_STREAMS);
        let videos = videos.iter().filter_map(|stream| {
            let (_, newest) = app.store.media(stream.id)?.bounds()?;
            Some((stream.id, Place { floor: Some(newest.number), ..Place::default() }))
        });
        Self { since: app.clock.now(), videos: videos.collect(), records: HashMap::new() }
    }

    /// Tells what is new; whether that was all.
    pub(super) async fn look(&mut self, app: &AppState, mut tell: impl FnMut(Event)) -> bool {
        let fragments = self.fragments(app, &mut tell);
        let outputs = outputs(app);
        self.records.retain(|name, _| outputs.contains(name) || name.as_str() == ALERT_STREAM);
        let mut is_all = fragments < MOST_AT_A_TIME;
        let mut left = MOST_AT_A_TIME;
        for output in outputs {
            let records = self.follow(app, &output, left).await;
            left -= records.len().min(left);
            let findings = records.iter().filter_map(|data| {
                event("finding", data, |finding: FindingRecord| finding.kinora.stream)
            });
            findings.for_each(&mut tell);
        }
        is_all &= left > 0;
        let alerts = ALERT_STREAM.parse().expect("the constant is a stream's name");
        let alerts = self.follow(app, &alerts, MOST_AT_A_TIME).await;
        is_all &= alerts.len() < MOST_AT_A_TIME;
        let alerts = alerts.iter().filter_map(|data| event("alert", data, |it: Alert| it.stream));
        alerts.for_each(&mut tell);
        is_all
    }

    /// Tells fragments; returns how many.
    fn fragments(&mut self, app: &App, tell: &mut impl FnMut(Event)) -> usize {
        let mut before = std::mem::take(&mut self.videos);
        let mut count = 0;
        for stream in app.store.catalog().list("", None, MAX_STREAMS) {
            let Some(media) = app.store.media(stream.id) else { continue };
            let mut place = before.remove(&stream.id).unwrap_or_default();
            if count < MOST_AT_A_TIME {
                let fresh = place.fresh(&media);
                count += fresh.len();
                fresh.iter().filter_map(|info| told(&stream, info)).for_each(&mut *tell);
            }
            self.videos.insert(stream.id, place);
        }
        count
    }

    /// What came to a record stream: its records' data.
    async fn follow(&mut self, app: &App, name: &StreamName, most: usize) -> Vec<Bytes> {
        let tail = self.records.entry(name.clone());
        let tail = tail.or_insert_with(|| Tail::new(self.since));
        match app.records.follow(name, tail, most).await {
            Ok(records) => records.into_iter().map(|record| record.data).collect(),
            // It was deleted, or there was no rule yet.
            Err(RecordsError::NoSuchStream(_)) => Vec::new(),
            Err(error) => {
                tracing::debug!(stream = %name, "not followed: {error}");
                Vec::new()
            }
        }
    }
}

impl Place {
    /// Persisted fragments that were not told yet; the rest the next time when they are many.
    fn fresh(&mut self, media: &MediaStream) -> Vec<FragmentInfo> {
        // Most streams are as they were; the index is not asked about them.
        let Some(mark) = media.changed(self.mark).now_or_never() else { return Vec::new() };
        let all = Order::Server { from: ServerTimestamp::MIN, to: ServerTimestamp::MAX };
        let listed = media.list(all, self.floor, MOST_AT_A_TIME);
        // When there are more, it is looked at again.
        if listed.len() < MOST_AT_A_TIME {
            self.mark = mark;
        }
        let fresh = listed.into_iter().filter(|info| self.told.insert(info.number)).collect();
        while self.told.len() > REMEMBERED {
            self.floor = self.told.pop_first();
        }
        fresh
    }
}

/// The record streams with findings.
fn outputs(app: &App) -> BTreeSet<StreamName> {
    let processors = app.processors.list().unwrap_or_else(|error| {
        tracing::debug!("stream processors are not listed: {error}");
        Vec::new()
    });
    let outputs = processors.iter().map(|seen| seen.facts.settings.output.as_str());
    let added = app.config.alerts.streams.split(',').map(str::trim);
    outputs.chain(added).filter_map(|name| name.parse().ok()).collect()
}

fn told(stream: &StreamInfo, info: &FragmentInfo) -> Option<Event> {
    let mut data = fragment(info);
    let name = stream.name().to_string();
    data.as_object_mut()?.insert("stream".into(), name.clone().into());
    Some(Event { stream: name, frame: frame("fragment", &data.to_string()) })
}

/// A record as it is, if it is what it should be: anybody with a key can put others.
fn event<T: DeserializeOwned>(
    kind: &str,
    data: &[u8],
    stream: impl FnOnce(T) -> String,
) -> Option<Event> {
    if data.len() > MAX_EVENT_BYTES {
        return None;
    }
    let text = std::str::from_utf8(data).ok()?;
    let stream = stream(serde_json::from_str(text).ok()?);
    Some(Event { stream, frame: frame(kind, text) })
}

/// The lines of an event. In JSON, line breaks are only between values, where blanks may be as well.
fn frame(kind: &str, json: &str) -> Bytes {
    let line = json.replace(['\r', '\n'], " ");
    format!("event: {kind}\ndata: {line}\n\n").into()
}
