//! Queues over record streams: receiving records, acknowledging them, and hiding them for a while.

use super::{Client, Error};
use crate::wire::records::queues::{
    BatchOutput, QueueRecord, ReceiptEntry, ReceiptsInput, ReceiveInput, ReceiveOutput,
    VisibilityEntry, VisibilityInput,
};

impl Client {
    /// ReceiveQueueRecords: up to `limit` records (1 to 10), each hidden from others for
    /// `visibility` seconds; waits up to `wait` seconds (1 to 12) for the first.
    pub async fn receive_queue_records(
        &self,
        queue_arn: &str,
        (limit, wait, visibility): (u8, u8, u16),
    ) -> Result<Vec<QueueRecord>, Error> {
        let request = ReceiveInput {
            queue_arn: Some(queue_arn.to_owned()),
            limit: Some(limit.into()),
            wait_time_seconds: Some(wait.into()),
            visibility_timeout_seconds: Some(visibility.into()),
        };
        let answer: ReceiveOutput = self.call_records("ReceiveQueueRecords", &request).await?;
        Ok(answer.queue_records.unwrap_or_default())
    }

    /// AcknowledgeQueueRecords: a record is done with. `false` when the receipt is not valid any
    /// more, as another receiver has the record.
    pub async fn acknowledge_queue_record(
        &self,
        queue_arn: &str,
        receipt: &str,
    ) -> Result<bool, Error> {
        let entry = ReceiptEntry { receipt_handle: Some(receipt.to_owned()) };
        let request =
            ReceiptsInput { queue_arn: Some(queue_arn.to_owned()), entries: Some(vec![entry]) };
        let operation = "AcknowledgeQueueRecords";
        Ok(done(self.call_records(operation, &request).await?))
    }

    /// UpdateQueueRecordsVisibility: a record stays hidden for so many seconds from now on. `false`
    /// as with [`Client::acknowledge_queue_record`].
    pub async fn hide_queue_record(
        &self,
        queue_arn: &str,
        receipt: &str,
        seconds: u32,
    ) -> Result<bool, Error> {
        let entry = VisibilityEntry {
            receipt_handle: Some(receipt.to_owned()),
            visibility_timeout_seconds: Some(seconds.into()),
        };
        let request =
            VisibilityInput { queue_arn: Some(queue_arn.to_owned()), entries: Some(vec![entry]) };
        let operation = "UpdateQueueRecordsVisibility";
        Ok(done(self.call_records(operation, &request).await?))
    }
}

fn done(answer: BatchOutput) -> bool {
    answer.failed.unwrap_or_default().is_empty()
}
