//! Benchmarks. Each prints ratios against a limit or a peer that it measures in the same run,
//! because absolute figures drift with the machine's other load.
//!
//! `cargo bench --bench bench -- NAME…` runs those, without a name all; `--list` lists them.

mod expiry;
#[cfg(feature = "onnx")]
mod inference;
mod ingest;
mod limits;
mod load;
mod log_designs;
mod media;
mod peers;
mod people_search;
mod readers;
mod records;
mod records_store;
mod scale;
mod segments;
mod server;
mod stats;
mod store_append;

/// A benchmark: its name, what it tells, and how to run it.
type Bench = (&'static str, &'static str, fn() -> std::io::Result<()>);

const BENCHES: &[Bench] = &[
    ("ack", "PERSISTED acks of 300 cameras / bare append and overwrite + fdatasync", ingest::acks),
    ("ingest", "CPU per stream-second / nginx-rtmp with HLS and record", ingest::real_time),
    ("full-speed", "durable PutMedia / a bare sequential write", ingest::full_speed),
    ("segments", "HLS segments and playlists per second / nginx with files", segments::run),
    ("one-core", "500 cameras with the server on one core: late acks", ingest::one_core),
    ("slow-readers", "acks beside ten slow readers of old data / acks alone", readers::run),
    ("records", "PutRecord and PutRecords / Redis streams, NATS JetStream", records::run),
    ("fan-out", "from PutRecords to 20 subscribers of a shard", records::fan_out),
    ("store-append", "the store alone: durable ingest and acknowledgements", store_append::run),
    ("scale", "the index with a month of fragments: open, memory, queries, rebuild", scale::run),
    ("records-store", "records in the store alone / bare append + fdatasync", records_store::run),
    ("expiry", "PERSISTED acks while a million fragments expire / without", expiry::run),
    ("limits", "what a full-speed ingest exceeds the limits of space by", limits::run),
    #[cfg(feature = "onnx")]
    ("inference", "each face model in tract / ONNX Runtime with one thread", inference::run),
    (
        "people-search",
        "one face among a million seen, on one core / reading as much memory",
        people_search::run,
    ),
    ("log-designs", "ways to make many small appends durable", log_designs::run),
];

fn main() -> std::io::Result<()> {
    if let Some(outcome) = scale::child() {
        return outcome;
    }
    // Cargo adds flags of its own.
    let (flags, names): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    if flags.iter().any(|flag| flag == "--list") {
        BENCHES.iter().for_each(|(name, what, _)| println!("{name:14} {what}"));
        return Ok(());
    }
    if let Some(name) = names.iter().find(|name| BENCHES.iter().all(|(known, ..)| known != name)) {
        return Err(std::io::Error::other(format!("there is no benchmark {name}; see --list")));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    for (name, what, run) in BENCHES.iter().filter(|(name, ..)| wanted(name)) {
        println!("\n## {name}: {what}");
        run()?;
    }
    Ok(())
}
