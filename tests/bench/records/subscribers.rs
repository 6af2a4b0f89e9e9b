//! How long after a put its subscribers have the record: many consumers of one shard.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::RECORD_BYTES;
use super::http::{self, Connection};
use crate::server::Server;
use crate::stats::{Latencies, ms};

const CONSUMERS: usize = 20;
/// Connections that put, each so many records every so often: 5000 records/s together.
const PRODUCERS: u64 = 10;
const BATCH: usize = 10;
const PERIOD: Duration = Duration::from_millis(20);
const WARM_UP: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(8);
/// What the data begins with: digits of when it was put, in microseconds of the run.
const DIGITS: usize = 12;
const DATA: &[u8] = b"\"Data\":\"";

/// Subscribes, puts at a fixed rate, and prints how long records took.
pub fn run() -> io::Result<()> {
    let rate = PRODUCERS as usize * BATCH * (1000 / PERIOD.as_millis() as usize);
    println!("{rate} records/s of {RECORD_BYTES} bytes to one shard with {CONSUMERS} subscribers");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(fan_out())
}

async fn fan_out() -> io::Result<()> {
    let server = Arc::new(Server::start_configured(&[http::NO_SHARD_LIMITS])?);
    http::create_stream(&server, "load", 1)?;
    let start = Instant::now();
    let end = start + WARM_UP + WATCHED;
    let mut subscribers = Vec::new();
    for at in 0..CONSUMERS {
        let connection = subscribe(&server, at).await?;
        subscribers.push(tokio::spawn(watch(connection, start, end)));
    }
    let producers = (0..PRODUCERS).map(|at| tokio::spawn(produce(server.clone(), at, start, end)));
    let producers: Vec<_> = producers.collect();
    tokio::time::sleep_until(start + WARM_UP).await;
    let before = server.cpu()?;
    tokio::time::sleep_until(end).await;
    let cpu = server.cpu()? - before;
    let mut puts = Latencies::default();
    for producer in producers {
        puts.0.extend(producer.await.map_err(io::Error::other)??.0);
    }
    let mut events = Latencies::default();
    for subscriber in subscribers {
        events.0.extend(subscriber.await.map_err(io::Error::other)??.0);
    }
    let share = cpu.as_secs_f64() / WATCHED.as_secs_f64();
    println!(
        "  put to event: p50 {:.2} ms, p99 {:.2} ms, {} records; put to answer: p50 {:.2} ms, \
         p99 {:.2} ms; {share:.2} cores",
        ms(events.quantile(0.5)),
        ms(events.quantile(0.99)),
        events.0.len(),
        ms(puts.quantile(0.5)),
        ms(puts.quantile(0.99)),
    );
    Ok(())
}

/// Registers a consumer and subscribes it to the shard, from now on.
async fn subscribe(server: &Server, at: usize) -> io::Result<Connection> {
    const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/load";
    let body = format!(r#"{{"StreamARN":"{STREAM}","ConsumerName":"consumer-{at}"}}"#);
    let answer = server.call_records("RegisterStreamConsumer", &body)?;
    let arn = answer.split("\"ConsumerARN\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let arn = arn.ok_or_else(|| io::Error::other(answer.clone()))?;
    let body = format!(
        r#"{{"ConsumerARN":"{arn}","ShardId":"shardId-000000000000","StartingPosition":{{"Type":"LATEST"}}}}"#
    );
    let request = server.records_request("SubscribeToShard", &body, "keep-alive");
    let mut connection = Connection::open(server).await?;
    connection.send(request.as_bytes()).await?;
    let head = connection.head().await?;
    let read = connection.taken(head);
    if !read.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other(String::from_utf8_lossy(&read).into_owned()));
    }
    Ok(connection)
}

/// Finds records in the events by their text: decoding all of it would cost more than the server
/// that is measured.
async fn watch(mut connection: Connection, start: Instant, end: Instant) -> io::Result<Latencies> {
    let mut seen = Latencies::default();
    loop {
        let Ok(read) = tokio::time::timeout_at(end, connection.read()).await else {
            return Ok(seen);
        };
        let buffer = read?;
        let now = Instant::now();
        let mut at = 0;
        while let Some(found) = find(&buffer[at..], DATA) {
            let digits = at + found + DATA.len();
            let Some(text) = buffer.get(digits..digits + DIGITS / 3 * 4) else { break };
            let put = STANDARD.decode(text).map_err(io::Error::other)?;
            let put = String::from_utf8_lossy(&put).parse().map_err(io::Error::other)?;
            let put = start + Duration::from_micros(put);
            if put >= start + WARM_UP {
                seen.0.push(now.saturating_duration_since(put));
            }
            at = digits + text.len();
        }
        // What may be the beginning of another one stays.
        let kept = buffer.len().saturating_sub(DATA.len() + DIGITS / 3 * 4).max(at);
        buffer.drain(..kept);
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes[at..].iter().position(|byte| *byte == wanted[0])?;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

async fn produce(
    server: Arc<Server>,
    at: u64,
    start: Instant,
    end: Instant,
) -> io::Result<Latencies> {
    let mut connection = Connection::open(&server).await?;
    let mut acks = Latencies::default();
    // Spread over the period, as producers are that do not know each other.
    let mut due = start + PERIOD * at as u32 / PRODUCERS as u32;
    while due < end {
        tokio::time::sleep_until(due).await;
        let put = Instant::now();
        let mut data = format!("{:0DIGITS$}", (put - start).as_micros()).into_bytes();
        data.resize(RECORD_BYTES, b'x');
        let data = STANDARD.encode(data);
        let records = vec![format!(r#"{{"Data":"{data}","PartitionKey":"{at}"}}"#); BATCH];
        let body = format!(r#"{{"StreamName":"load","Records":[{}]}}"#, records.join(","));
        let request = server.records_request("PutRecords", &body, "keep-alive");
        connection.send(request.as_bytes()).await?;
        connection.answer().await?;
        if put >= start + WARM_UP {
            acks.0.push(put.elapsed());
        }
        due += PERIOD;
    }
    Ok(acks)
}
