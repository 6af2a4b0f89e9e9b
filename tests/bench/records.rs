//! Record streams: durable puts beside Redis streams, which sync before they answer, and NATS
//! JetStream, which does not; and how long after a put its subscribers have the record.
//!
//! All are asked the same way: so many connections, each of which waits for the answer to what it
//! sent before it sends the next. A batch is one PutRecords, or as many XADD or PUB in one write.

mod http;
mod nats;
mod redis;
mod subscribers;

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::server::{Process, Server};
use crate::stats::{Latencies, ms};

pub use subscribers::run as fan_out;

/// Bytes of a record's data.
pub const RECORD_BYTES: usize = 1024;
const CONNECTIONS: usize = 64;
/// Shards of kinora's stream; streams of the peers.
const SHARDS: usize = 4;
const WARM_UP: Duration = Duration::from_secs(1);
const WATCHED: Duration = Duration::from_secs(5);
/// Records in one put, and by how many connections at once.
const LOADS: [(usize, usize); 3] = [(1, CONNECTIONS), (100, 16), (500, 16)];

/// A connection that puts records.
pub trait Client: Send + 'static {
    /// Puts one batch, and waits until all of it is acknowledged.
    fn put(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// What the connections saw while they were watched, and what it cost the server.
struct Outcome {
    records: usize,
    acks: Latencies,
    cpu: Duration,
}

/// Puts per second, acknowledgements and CPU, kinora beside the peers.
pub fn run() -> io::Result<()> {
    println!("records of {RECORD_BYTES} bytes, {SHARDS} shards; {} s each", WATCHED.as_secs());
    let runtime = tokio::runtime::Runtime::new()?;
    for (records, connections) in LOADS {
        println!("{connections} connections, {records} records per put:");
        let kinora = runtime.block_on(kinora(records, connections))?;
        kinora.print("kinora, synced", None);
        let redis = runtime.block_on(redis(records, connections))?;
        redis.print("Redis streams, appendfsync always", Some(&kinora));
        let nats = runtime.block_on(nats(records, connections))?;
        nats.print("NATS JetStream on files, not synced", Some(&kinora));
    }
    Ok(())
}

async fn kinora(records: usize, connections: usize) -> io::Result<Outcome> {
    let server = Server::start_configured(&[http::NO_SHARD_LIMITS])?;
    http::create_stream(&server, "load", SHARDS)?;
    let mut clients = Vec::new();
    for at in 0..connections {
        clients.push(http::Putter::connect(&server, "load", at, records).await?);
    }
    watch(clients, records, server.process()).await
}

async fn redis(records: usize, connections: usize) -> io::Result<Outcome> {
    let server = redis::Redis::start()?;
    let mut clients = Vec::new();
    for at in 0..connections {
        clients.push(server.connect(&format!("load-{}", at % SHARDS), records).await?);
    }
    watch(clients, records, server.process()).await
}

async fn nats(records: usize, connections: usize) -> io::Result<Outcome> {
    let server = nats::Nats::start()?;
    for at in 0..SHARDS {
        server.create_stream(&format!("load-{at}")).await?;
    }
    let mut clients = Vec::new();
    for at in 0..connections {
        clients.push(server.connect(&format!("load-{}", at % SHARDS), records).await?);
    }
    watch(clients, records, server.process()).await
}

/// Lets all connections put until the time is over.
async fn watch<C: Client>(
    clients: Vec<C>,
    records: usize,
    process: &Process,
) -> io::Result<Outcome> {
    let start = Instant::now() + WARM_UP;
    let end = start + WATCHED;
    let tasks = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            let mut acks = Latencies::default();
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return io::Result::Ok(acks);
                }
                client.put().await?;
                let answered = Instant::now();
                if sent >= start && answered <= end {
                    acks.0.push(answered - sent);
                }
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::time::sleep_until(start).await;
    let before = process.cpu()?;
    tokio::time::sleep_until(end).await;
    let cpu = process.cpu()? - before;
    let mut acks = Latencies::default();
    for task in tasks {
        acks.0.extend(task.await.map_err(io::Error::other)??.0);
    }
    Ok(Outcome { records: acks.0.len() * records, acks, cpu })
}

impl Outcome {
    fn per_second(&self) -> f64 {
        self.records as f64 / WATCHED.as_secs_f64()
    }

    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.records.max(1) as f64
    }

    /// Prints a line; for a peer, with kinora's figures over its own.
    fn print(&self, name: &str, kinora: Option<&Self>) {
        let mut acks = self.acks.clone();
        let (p50, p99) = (acks.quantile(0.5), acks.quantile(0.99));
        print!(
            "  {name}: {:.0} records/s, ack p50 {:.2} ms, p99 {:.2} ms, {:.1} CPU-µs per record",
            self.per_second(),
            ms(p50),
            ms(p99),
            self.cpu_micros()
        );
        if let Some(kinora) = kinora {
            let mut ours = kinora.acks.clone();
            print!(
                "; kinora is {:.2} x, {:.2} x, {:.2} x, {:.2} x that",
                kinora.per_second() / self.per_second(),
                ms(ours.quantile(0.5)) / ms(p50),
                ms(ours.quantile(0.99)) / ms(p99),
                kinora.cpu_micros() / self.cpu_micros()
            );
        }
        println!();
    }
}
