//! `DescribeAccountSettings`, `UpdateAccountSettings`: there is nothing to pay, so no commitment.

use super::Call;
use super::error::Failure;
use crate::wire::records::Empty;
use crate::wire::records::settings::{
    AccountSettingsOutput, BillingCommitment, UpdateAccountSettingsInput,
};

pub(super) async fn describe(_: Call, _: Empty) -> Result<AccountSettingsOutput, Failure> {
    Ok(no_commitment())
}

/// Disabling what is disabled changes nothing; enabling it would promise what does not exist.
pub(super) async fn update(
    _: Call,
    input: UpdateAccountSettingsInput,
) -> Result<AccountSettingsOutput, Failure> {
    let wished = input.minimum_throughput_billing_commitment.and_then(|wish| wish.status);
    if wished.as_deref() == Some("ENABLED") {
        return Err(Failure::invalid(
            "Nothing is billed here, so there is no commitment to a minimum.",
        ));
    }
    Ok(no_commitment())
}

fn no_commitment() -> AccountSettingsOutput {
    let commitment =
        BillingCommitment { status: Some("DISABLED".to_owned()), ..BillingCommitment::default() };
    AccountSettingsOutput { minimum_throughput_billing_commitment: Some(commitment) }
}
