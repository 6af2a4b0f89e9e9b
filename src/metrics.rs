//! Every metric, its unit and its meaning, in one table; written as Prometheus text.
//!
//! The names follow the CloudWatch metrics of KVS (`PutMedia.IncomingBytes` is
//! `kinora_put_media_incoming_bytes_total`) where there is one. Values are totals of the server:
//! a label per stream would grow without bound. What shards, consumers and queues have before them
//! is told with labels all the same, up to a bound; `api::records` looks it up when it is asked.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Upper bounds of a histogram's buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The most pairs of operation and status that are kept apart; the table of operations is fixed,
/// so this is never met.
const MAX_REQUEST_LABELS: usize = 1024;

/// Grows only.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    sum_micros: AtomicU64,
}

/// Counts one up on the gauge for as long as it lives.
#[derive(Debug)]
pub struct InProgress(Arc<AtomicI64>);

/// Requests by operation and status.
#[derive(Debug, Default)]
pub struct Requests(Mutex<BTreeMap<(String, u16), u64>>);

macro_rules! metrics {
    ($($kind:ident $member:ident $name:literal $help:literal;)*) => {
        /// The server's metrics, all zero at start. Shared by reference; every method is cheap.
        #[derive(Debug, Default)]
        pub struct Metrics {
            /// HTTP requests answered, by operation (the route's pattern) and status.
            pub http_requests: Requests,
            $(#[doc = $help] pub $member: $kind,)*
        }

        impl Metrics {
            /// All metrics in the Prometheus text format, version 0.0.4.
            pub fn render(&self) -> String {
                let mut text = String::new();
                self.http_requests.write(&mut text);
                $(self.$member.write(&mut text, $name, $help);)*
                text
            }
        }
    };
}

metrics! {
    Gauge http_connections "kinora_http_connections"
        "Open connections.";
    Counter http_refused "kinora_http_auth_refused_total"
        "Requests whose authentication failed.";
    Histogram http_seconds "kinora_http_request_seconds"
        "Seconds from a request's head to the head of its answer.";
    Gauge put_media_connections "kinora_put_media_active_connections"
        "PutMedia connections that are open.";
    Counter put_media_bytes "kinora_put_media_incoming_bytes_total"
        "Bytes of PutMedia bodies received.";
    Counter put_media_fragments "kinora_put_media_incoming_fragments_total"
        "Fragments received completely.";
    Counter put_media_persisted "kinora_put_media_persisted_fragments_total"
        "Fragments made durable and acknowledged.";
    Counter put_media_errors "kinora_put_media_error_acks_total"
        "ERROR acknowledgements sent.";
    Counter put_media_torn "kinora_put_media_connection_errors_total"
        "PutMedia connections that broke before their body's end.";
    Histogram put_media_persist_seconds "kinora_put_media_persisted_ack_seconds"
        "Seconds from a fragment's last byte read to its PERSISTED acknowledgement.";
    Gauge get_media_connections "kinora_get_media_active_connections"
        "GetMedia answers that are open.";
    Counter get_media_bytes "kinora_get_media_outgoing_bytes_total"
        "Bytes of GetMedia answers sent.";
    Counter records_in "kinora_records_incoming_total"
        "Records put and acknowledged.";
    Counter records_in_bytes "kinora_records_incoming_bytes_total"
        "Bytes of their data.";
    Counter records_refused "kinora_records_refused_total"
        "Records of PutRecord and PutRecords that were not stored.";
    Counter records_throttled "kinora_records_throttled_total"
        "Requests and records that exceeded a rate.";
    Counter records_out "kinora_records_outgoing_total"
        "Records given by GetRecords, subscriptions and queues.";
    Counter records_out_bytes "kinora_records_outgoing_bytes_total"
        "Bytes of their data.";
    Gauge subscriptions "kinora_records_active_subscriptions"
        "SubscribeToShard answers that are open.";
    Gauge store_bytes "kinora_store_used_bytes"
        "Bytes of the log's files that hold fragments.";
    Gauge store_disk_bytes "kinora_store_disk_bytes"
        "Bytes of all the log's files, free ones included.";
    Counter store_expired "kinora_store_expired_fragments_total"
        "Fragments that went by the retention or the most bytes of their stream.";
    Counter store_evicted "kinora_store_evicted_fragments_total"
        "Fragments that went early, as the quota or the floor of free space was reached.";
    Counter store_refused "kinora_store_refused_fragments_total"
        "Fragments that were refused, as no space was left and nothing might go.";
    Counter store_copied_bytes "kinora_store_copied_bytes_total"
        "Bytes that were appended again to free the segments they were in.";
    Gauge store_held_bytes "kinora_store_held_bytes"
        "Bytes of media received that are not durable yet.";
    Counter hls_playlists "kinora_hls_playlists_total"
        "Playlists served.";
    Counter hls_segments "kinora_hls_segments_total"
        "Media segments served.";
    Counter hls_bytes "kinora_hls_segment_bytes_total"
        "Bytes of media segments served.";
}

impl Counter {
    /// Adds.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes over a total that is counted elsewhere.
    pub fn raise_to(&self, total: u64) {
        self.0.fetch_max(total, Ordering::Relaxed);
    }

    /// The total so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        head(text, name, help, "counter");
        line(text, name, self.get());
    }
}

impl Gauge {
    /// One more, until the result is dropped.
    pub fn enter(&self) -> InProgress {
        self.0.fetch_add(1, Ordering::Relaxed);
        InProgress(Arc::clone(&self.0))
    }

    /// Sets a value that is measured rather than counted.
    pub fn set(&self, value: u64) {
        self.0.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        head(text, name, help, "gauge");
        line(text, name, self.get());
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Histogram {
    /// Counts one that took so long.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        head(text, name, help, "histogram");
        let mut sum = 0;
        for (bound, bucket) in BUCKETS.iter().zip(&self.buckets) {
            sum += bucket.load(Ordering::Relaxed);
            line(text, &format!("{name}_bucket{{le=\"{bound}\"}}"), sum);
        }
        let count = self.count.load(Ordering::Relaxed);
        line(text, &format!("{name}_bucket{{le=\"+Inf\"}}"), count);
        let seconds = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        line(text, &format!("{name}_sum"), seconds);
        line(text, &format!("{name}_count"), count);
    }
}

impl Requests {
    /// Counts an answered request.
    pub fn count(&self, operation: &str, status: u16) {
        // A poisoned lock only means that another thread stopped half-way through a count.
        let mut counts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(count) = counts.get_mut(&(operation.to_owned(), status)) {
            *count += 1;
        } else if counts.len() < MAX_REQUEST_LABELS {
            counts.insert((operation.to_owned(), status), 1);
        }
    }

    fn write(&self, text: &mut String) {
        let name = "kinora_http_requests_total";
        head(text, name, "HTTP requests answered, by operation and status.", "counter");
        let counts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for ((operation, status), count) in counts.iter() {
            let labels = format!("{name}{{operation=\"{operation}\",status=\"{status}\"}}");
            line(text, &labels, count);
        }
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    line(text, &format!("# HELP {name}"), help);
    line(text, &format!("# TYPE {name}"), kind);
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    writeln!(text, "{name} {value}").expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.put_media_bytes.add(7);
        metrics.http_requests.count("/listStreams", 200);
        metrics.http_seconds.observe(Duration::from_millis(15));
        let connection = metrics.http_connections.enter();
        let text = metrics.render();
        for line in [
            "# TYPE kinora_put_media_incoming_bytes_total counter",
            "kinora_put_media_incoming_bytes_total 7",
            "kinora_http_requests_total{operation=\"/listStreams\",status=\"200\"} 1",
            "kinora_http_request_seconds_bucket{le=\"0.01\"} 0",
            "kinora_http_request_seconds_bucket{le=\"0.02\"} 1",
            "kinora_http_request_seconds_bucket{le=\"+Inf\"} 1",
            "kinora_http_request_seconds_sum 0.015",
            "kinora_http_connections 1",
        ] {
            assert!(text.lines().any(|written| written == line), "{line}\n{text}");
        }
        drop(connection);
        assert_eq!(metrics.http_connections.get(), 0);
    }
}
