//! `StartStreamEncryption`, `StopStreamEncryption`: there is no key service here, and saying that
//! records are encrypted when they are not would be the worst of answers.

use super::Call;
use super::error::{Failure, Kind};
use crate::wire::records::settings::EncryptionInput;

/// `StartStreamEncryption`
pub(super) async fn start(call: Call, input: EncryptionInput) -> Result<(), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    call.app.records.info(&name).map_err(|error| call.failure(error))?;
    let key = input.key_id.unwrap_or_default();
    Err(Failure::new(
        Kind::KeyNotFound,
        format!(
            "The key {key} does not exist: this service has no keys and does not encrypt records. \
             Encrypt the disk that it writes to, or the data before it is put."
        ),
    ))
}

/// `StopStreamEncryption`
pub(super) async fn stop(call: Call, input: EncryptionInput) -> Result<(), Failure> {
    let name = call.stream_name(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    call.app.records.info(&name).map_err(|error| call.failure(error))?;
    Err(Failure::invalid(format!("Stream {name} is not encrypted.")))
}
