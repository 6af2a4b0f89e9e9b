//! Benchmarks. Each prints ratios against a limit or a peer that it measures in the same run,
//! because absolute figures drift with the machine's other load.
//!
//! `cargo bench --bench bench -- NAME` runs one; without a name it lists them.

mod log_designs;
mod stats;
mod store_append;

/// A benchmark: its name, what it tells, and how to run it.
type Bench = (&'static str, &'static str, fn() -> std::io::Result<()>);

const BENCHES: &[Bench] = &[
    ("log-designs", "three ways to make many small appends durable", log_designs::run),
    ("store-append", "the store's durable ingest and its acknowledgements", store_append::run),
];

fn main() -> std::io::Result<()> {
    // Cargo adds flags of its own.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    match BENCHES.iter().find(|(name, ..)| Some(*name) == wanted.as_deref()) {
        Some((_, _, run)) => run(),
        None => {
            BENCHES.iter().for_each(|(name, what, _)| println!("{name:16} {what}"));
            Ok(())
        }
    }
}
