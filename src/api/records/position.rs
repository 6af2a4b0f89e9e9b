//! Where a reader begins, as GetShardIterator and SubscribeToShard say it.

use super::Call;
use super::error::Failure;
use crate::records::StartingPosition;
use crate::types::StreamName;
use crate::wire::records::Timestamp;

/// A position as it was asked for.
pub(super) struct Asked<'a> {
    /// One of the model's five.
    pub(super) kind: &'a str,
    /// For two of them.
    pub(super) sequence_number: Option<&'a str>,
    /// For one of them.
    pub(super) timestamp: Option<Timestamp>,
}

impl Call {
    /// The position, with what its kind needs and nothing else.
    pub(super) fn position(
        &self,
        stream: &StreamName,
        asked: &Asked<'_>,
    ) -> Result<StartingPosition, Failure> {
        let Asked { kind, .. } = asked;
        let number = || {
            let text = asked.sequence_number.ok_or_else(|| {
                Failure::invalid(format!("A sequence number needs to be provided for {kind}."))
            })?;
            let account = self.account();
            text.parse().map_err(|_| {
                Failure::invalid(format!(
                    "Sequence number {text} is not one of stream {stream} under account {account}."
                ))
            })
        };
        Ok(match *kind {
            "TRIM_HORIZON" => StartingPosition::TrimHorizon,
            "AT_SEQUENCE_NUMBER" => StartingPosition::At(number()?),
            "AFTER_SEQUENCE_NUMBER" => StartingPosition::After(number()?),
            "AT_TIMESTAMP" => StartingPosition::Timestamp(self.moment(asked.timestamp)?.0),
            _ => StartingPosition::Latest,
        })
    }

    /// A moment that has been.
    fn moment(&self, timestamp: Option<Timestamp>) -> Result<Timestamp, Failure> {
        let at = timestamp.ok_or_else(|| {
            Failure::invalid("A timestamp needs to be provided for AT_TIMESTAMP.")
        })?;
        let now = self.app.clock.now();
        if at.0 > now {
            return Err(Failure::invalid(format!(
                "The timestamp {} lies in the future: it is {now} now.",
                at.0
            )));
        }
        Ok(at)
    }
}
