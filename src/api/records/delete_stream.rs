//! `DeleteStream`

use super::Call;
use super::error::Failure;
use crate::wire::records::streams::DeleteStreamInput;

/// Deletes a stream with its records; consumers go with it only on demand.
pub(super) async fn delete_stream(call: Call, input: DeleteStreamInput) -> Result<(), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let consumers = input.enforce_consumer_deletion.unwrap_or(false);
    call.change(move |records| records.delete(&name, consumers)).await
}
