//! Writes findings, and says from when on they are durable.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::emit::Origin;
use super::pipeline::{Finding, RunError, Shared};
use crate::client::{Backoff, NewRecord};
use crate::types::{FragmentNumber, StreamName};
use crate::wire::findings::FindingRecord;

/// The most records and bytes of one PutRecords; the service takes 500 and 10 MiB.
const MAX_RECORDS: usize = 200;
/// First and longest wait between attempts.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// Where findings go.
pub enum Output {
    /// A record stream.
    Records(StreamName),
    /// One JSON object per line.
    Lines(Box<dyn Write + Send>),
}

/// Writes what comes, until no more does. After all records of a fragment are durable, it becomes
/// the checkpoint.
pub(super) async fn emit(
    mut findings: mpsc::Receiver<Finding>,
    mut output: Output,
    origin: Origin,
    shared: Shared,
) -> Result<(), RunError> {
    let mut waiting = Vec::new();
    while findings.recv_many(&mut waiting, MAX_RECORDS).await > 0 {
        let mut records = Vec::new();
        let mut checkpoint: Option<FragmentNumber> = None;
        let mut fragments = 0;
        for finding in waiting.drain(..) {
            match finding {
                Finding::Record(record) => records.push(*record),
                Finding::End(number) => {
                    checkpoint = Some(number);
                    fragments += 1;
                }
            }
        }
        write(&mut output, &records, &origin, &shared).await?;
        if let Some(number) = checkpoint {
            shared.state.set_checkpoint(number);
            shared.state.fragments.fetch_add(fragments, std::sync::atomic::Ordering::Relaxed);
        }
    }
    Ok(())
}

async fn write(
    output: &mut Output,
    records: &[FindingRecord],
    origin: &Origin,
    shared: &Shared,
) -> Result<(), RunError> {
    let json = |record| serde_json::to_vec(record).expect("findings are plain JSON");
    match output {
        Output::Lines(lines) => {
            for record in records {
                let mut line = json(record);
                line.push(b'\n');
                lines.write_all(&line).map_err(RunError::Write)?;
            }
            lines.flush().map_err(RunError::Write)
        }
        Output::Records(stream) => {
            let records = records.iter().map(|record| NewRecord {
                partition_key: origin.stream.clone(),
                // What was sent before a crash and is sent again after it is stored once.
                dedupe_key: Some(format!("{}/{}", origin.processor, record.kinora.result_id)),
                data: Bytes::from(json(record)),
            });
            put(stream, records.collect(), shared).await
        }
    }
}

/// Puts the records again and again until each is stored.
async fn put(
    stream: &StreamName,
    mut records: Vec<NewRecord>,
    shared: &Shared,
) -> Result<(), RunError> {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
    while !records.is_empty() {
        let why = match shared.client.put_records(stream, &records).await {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                let mut why = None;
                records.retain(|_| match outcomes.next() {
                    Some(Err(refused)) => {
                        why = Some(format!("{}: {}", refused.code, refused.message));
                        true
                    }
                    _ => false,
                });
                why
            }
            Err(error) if error.is_transient() => Some(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        let Some(why) = why else { break };
        tracing::warn!(%stream, "findings are put again: {why}");
        let wait = backoff.next_wait(getrandom::u32().unwrap_or(0));
        // A run that is stopped tries once more, no longer.
        let attempts_are_over = shared.stop.is_cancelled() && backoff.attempts() > 1;
        if attempts_are_over {
            return Err(RunError::Write(std::io::Error::other(why)));
        }
        tokio::time::sleep(wait).await;
    }
    Ok(())
}
