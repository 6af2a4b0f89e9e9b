//! Record streams for curl and browsers, and as metrics: what is kept, and what readers have not read.

use std::fmt::{Display, Write};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::names::arn;
use crate::api::{ApiError, App, AppState, Caller, ErrorKind, Routes, blocking};
use crate::records::queue::QueueBacklog;
use crate::records::{RecordsError, StreamBacklog};
use crate::store::{Backlog, CapacityMode, QueueInfo, RecordStreamInfo, ShardInfo};
use crate::types::{ServerTimestamp, StreamId, StreamName};

/// The most streams in one answer of `GET /v1/streams/records`.
const MAX_LISTED: usize = 10_000;
/// The most lines of `/metrics` that have labels; more things are left out, and counted.
const MAX_LABELLED_LINES: usize = 10_000;

/// The routes of this area. A video stream named `records` is hidden by them.
pub fn routes() -> Routes {
    let native = Router::new()
        .route("/v1/streams/records", get(list))
        .route("/v1/streams/records/{stream}", get(describe));
    Routes { native, ..Routes::default() }
}

/// `GET /v1/streams/records`: all record streams, by name.
async fn list(State(app): State<AppState>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.may_do_all()?;
    let list = move || {
        let streams = app.records.list(None, MAX_LISTED).streams;
        // One that is deleted meanwhile is left out.
        let streams: Vec<_> = streams
            .iter()
            .filter_map(|info| Some(summary(&app, info, &app.records.backlog(&info.name).ok()?)))
            .collect();
        Ok(Json(json!({ "streams": streams })))
    };
    blocking(list).await
}

/// `GET /v1/streams/records/{stream}`: a record stream with its shards, consumers and queues, and what
/// each of them has before it.
async fn describe(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.may_do_all()?;
    let name: StreamName = name.parse()?;
    blocking(move || {
        let info = app.records.info(&name).map_err(|error| refusal(&error))?;
        let backlog = app.records.backlog(&name).map_err(|error| refusal(&error))?;
        let mut stream = summary(&app, &info, &backlog);
        stream["shards"] = shards(&app, &info, &backlog);
        stream["consumers"] = consumers(&app, &backlog);
        stream["queues"] = queues(&app, info.id);
        Ok(Json(stream))
    })
    .await
}

fn refusal(error: &RecordsError) -> ApiError {
    match error {
        RecordsError::NoSuchStream(name) => {
            ApiError::new(ErrorKind::ResourceNotFound, format!("There is no record stream {name}."))
        }
        error => ApiError::internal(error),
    }
}

/// A stream in every answer.
fn summary(app: &App, info: &RecordStreamInfo, backlog: &StreamBacklog) -> Value {
    let oldest = backlog.shards.iter().filter_map(|shard| shard.oldest).min();
    let mode = match info.mode {
        CapacityMode::Provisioned => "PROVISIONED",
        CapacityMode::OnDemand => "ON_DEMAND",
    };
    json!({
        "name": info.name.as_str(),
        "arn": arn(app, format_args!("stream/{}", info.name)),
        "created": info.created.as_secs_f64(),
        "mode": mode,
        "retentionHours": info.retention_hours,
        "maxRecordBytes": u64::from(info.max_record_kib) * 1024,
        "tags": info.tags,
        "openShards": info.open_shards().count(),
        "records": backlog.shards.iter().map(|shard| shard.records).sum::<u64>(),
        "bytes": backlog.shards.iter().map(|shard| shard.bytes).sum::<u64>(),
        "oldest": oldest.map(ServerTimestamp::as_secs_f64),
    })
}

fn shards(app: &App, info: &RecordStreamInfo, backlog: &StreamBacklog) -> Value {
    let shard = |shard: &ShardInfo| {
        let kept = backlog.shards.iter().find(|kept| kept.shard == shard.id)?;
        Some(json!({
            "id": shard.id.to_string(),
            "open": kept.open,
            "parents": shard.parents.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "startingHashKey": shard.range.start.to_string(),
            "endingHashKey": shard.range.end.to_string(),
            "records": kept.records,
            "bytes": kept.bytes,
            "oldest": kept.oldest.map(ServerTimestamp::as_secs_f64),
            "oldestAgeMs": age_ms(app, kept.oldest),
        }))
    };
    info.shards.iter().filter_map(shard).collect()
}

fn consumers(app: &App, backlog: &StreamBacklog) -> Value {
    let behind = |behind: &Backlog| {
        json!({
            "records": behind.records,
            "bytes": behind.bytes,
            "oldest": behind.oldest.map(ServerTimestamp::as_secs_f64),
            "oldestAgeMs": age_ms(app, behind.oldest),
        })
    };
    let consumers = backlog.consumers.iter().map(|consumer| {
        let mut value = behind(&consumer.total());
        value["name"] = json!(consumer.consumer);
        let shards = consumer.shards.iter().map(|(id, of_shard)| {
            let mut value = behind(of_shard);
            value["id"] = json!(id.to_string());
            value
        });
        value["shards"] = shards.collect();
        value
    });
    consumers.collect()
}

fn queues(app: &App, stream: StreamId) -> Value {
    let queues = queues_of(app, stream).into_iter().map(|(queue, backlog)| {
        json!({
            "name": queue.name,
            "arn": arn(app, format_args!("queue/{}", queue.key)),
            "records": backlog.records,
            "bytes": backlog.bytes,
            "inFlight": backlog.in_flight,
            "deadLetters": backlog.dead_letters,
            "oldest": backlog.oldest.map(ServerTimestamp::as_secs_f64),
            "oldestAgeMs": age_ms(app, backlog.oldest),
        })
    });
    queues.collect()
}

/// The queues of a stream, but for those that are deleted meanwhile.
fn queues_of(app: &App, stream: StreamId) -> Vec<(Arc<QueueInfo>, QueueBacklog)> {
    let queues = app.queues.list().into_iter().filter(|queue| queue.stream == stream);
    queues.filter_map(|queue| app.queues.backlog(&queue.key).ok().map(|b| (queue, b))).collect()
}

fn age_ms(app: &App, oldest: Option<ServerTimestamp>) -> Option<u64> {
    oldest.map(|oldest| app.clock.now().since(oldest).0)
}

/// What is kept of each shard, and what each consumer and queue has before it, as Prometheus text.
/// Blocks.
pub fn render_metrics(app: &App) -> String {
    let mut gauges = Gauges::default();
    for info in app.records.list(None, MAX_LISTED).streams {
        let Ok(backlog) = app.records.backlog(&info.name) else { continue };
        gauges.stream(app, &info, &backlog);
    }
    gauges.render()
}

/// The labelled gauges: name, help, lines.
const GAUGES: [(&str, &str); 10] = [
    ("kinora_shard_records", "Records that a shard keeps."),
    ("kinora_shard_bytes", "Bytes of the log that a shard takes."),
    ("kinora_consumer_behind_records", "Records that a consumer was not given yet."),
    ("kinora_consumer_behind_bytes", "Bytes of them."),
    ("kinora_consumer_oldest_seconds", "Age of the oldest of them."),
    ("kinora_queue_records", "Records of a queue that nobody acknowledged, without dead letters."),
    ("kinora_queue_bytes", "Bytes of them."),
    ("kinora_queue_oldest_seconds", "Age of the oldest of them."),
    ("kinora_queue_in_flight", "Records of a queue that receivers have."),
    ("kinora_queue_dead_letters", "Dead letters of a queue."),
];
const SHARD: usize = 0;
const CONSUMER: usize = 2;
const QUEUE: usize = 5;

#[derive(Default)]
struct Gauges {
    lines: [String; GAUGES.len()],
    count: usize,
    left_out: u64,
}

impl Gauges {
    fn stream(&mut self, app: &App, info: &RecordStreamInfo, backlog: &StreamBacklog) {
        let stream = &info.name;
        let seconds = |oldest| age_ms(app, oldest).unwrap_or(0) as f64 / 1000.0;
        for shard in &backlog.shards {
            let labels = format!("stream=\"{stream}\",shard=\"{}\"", shard.shard);
            self.put(SHARD, &labels, &[&shard.records, &shard.bytes]);
        }
        for consumer in &backlog.consumers {
            let behind = consumer.total();
            let labels = format!("stream=\"{stream}\",consumer=\"{}\"", consumer.consumer);
            let age = seconds(behind.oldest);
            self.put(CONSUMER, &labels, &[&behind.records, &behind.bytes, &age]);
        }
        for (queue, backlog) in queues_of(app, info.id) {
            let labels = format!("stream=\"{stream}\",queue=\"{}\"", queue.name);
            let QueueBacklog { records, bytes, in_flight, dead_letters, oldest } = backlog;
            let values: [&dyn Display; 5] =
                [&records, &bytes, &seconds(oldest), &in_flight, &dead_letters];
            self.put(QUEUE, &labels, &values);
        }
    }

    /// One thing's values, of the gauges from `first` on.
    fn put(&mut self, first: usize, labels: &str, values: &[&dyn Display]) {
        if self.count + values.len() > MAX_LABELLED_LINES {
            self.left_out += 1;
            return;
        }
        self.count += values.len();
        for (at, value) in values.iter().enumerate() {
            let (name, _) = GAUGES[first + at];
            writeln!(self.lines[first + at], "{name}{{{labels}}} {value}")
                .expect("memory takes everything");
        }
    }

    fn render(&self) -> String {
        let mut text = String::new();
        for ((name, help), lines) in GAUGES.iter().zip(&self.lines) {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{lines}"));
        }
        let name = "kinora_records_left_out";
        text.push_str(&format!(
            "# HELP {name} Shards, consumers and queues that are too many to be listed here.\n\
             # TYPE {name} gauge\n{name} {}\n",
            self.left_out
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labelled_lines_are_bounded_and_what_is_left_out_is_counted() {
        let mut gauges = Gauges::default();
        for shard in 0..MAX_LABELLED_LINES {
            gauges.put(SHARD, &format!("shard=\"{shard}\""), &[&1, &2]);
        }
        let text = gauges.render();
        let labelled = text.lines().filter(|line| line.contains('{')).count();
        assert_eq!(labelled, MAX_LABELLED_LINES);
        assert!(text.contains("kinora_shard_bytes{shard=\"7\"} 2\n"));
        assert!(text.ends_with("\nkinora_records_left_out 5000\n"), "{text}");
    }
}
