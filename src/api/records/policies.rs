//! `PutResourcePolicy`, `GetResourcePolicy`, `DeleteResourcePolicy`: policies are kept and given back,
//! and nobody is held to them; every key may do everything.

use super::Call;
use super::error::Failure;
use super::names::Resource;
use crate::wire::records::tags::{GetResourcePolicyOutput, PutResourcePolicyInput, ResourceRef};

/// The longest policy, as on AWS.
const MAX_POLICY_BYTES: usize = 20 << 10;

/// `PutResourcePolicy`
pub(super) async fn put(call: Call, input: PutResourcePolicyInput) -> Result<(), Failure> {
    let resource = call.resource(&input.resource_arn.unwrap_or_default())?;
    let policy = input.policy.unwrap_or_default();
    let is_object = serde_json::from_str::<serde_json::Map<_, _>>(&policy).is_ok();
    if policy.len() > MAX_POLICY_BYTES || !is_object {
        return Err(Failure::invalid(format!(
            "A policy is a JSON object of at most {MAX_POLICY_BYTES} bytes."
        )));
    }
    set(call, resource, Some(policy)).await
}

/// `GetResourcePolicy`
pub(super) async fn get(
    call: Call,
    input: ResourceRef,
) -> Result<GetResourcePolicyOutput, Failure> {
    let arn = input.resource_arn.unwrap_or_default();
    let resource = call.resource(&arn)?;
    let policy = policy_of(&call, &resource)?;
    let none = || Failure::not_found(format!("{arn} has no policy."));
    Ok(GetResourcePolicyOutput { policy: Some(policy.ok_or_else(none)?) })
}

/// `DeleteResourcePolicy`
pub(super) async fn delete(call: Call, input: ResourceRef) -> Result<(), Failure> {
    let arn = input.resource_arn.unwrap_or_default();
    let resource = call.resource(&arn)?;
    if policy_of(&call, &resource)?.is_none() {
        return Err(Failure::not_found(format!("{arn} has no policy.")));
    }
    set(call, resource, None).await
}

async fn set(call: Call, resource: Resource, policy: Option<String>) -> Result<(), Failure> {
    match resource {
        Resource::Stream(name) => {
            call.change(move |records| records.set_policy(&name, policy)).await
        }
        Resource::Consumer(consumer) => {
            call.change(move |records| {
                records.update_consumer(&consumer, |info| info.policy = policy)
            })
            .await
        }
        Resource::Queue(key) => {
            call.change_queue(key, move |info| {
                info.policy = policy;
                Ok(())
            })
            .await
        }
        Resource::Channel => Err(Failure::not_found("There are no channels.")),
    }
}

fn policy_of(call: &Call, resource: &Resource) -> Result<Option<String>, Failure> {
    let records = &call.app.records;
    match resource {
        Resource::Stream(name) => {
            Ok(records.info(name).map_err(|error| call.failure(error))?.policy.clone())
        }
        Resource::Consumer(consumer) => {
            Ok(records.consumer(consumer).map_err(|error| call.failure(error))?.policy)
        }
        Resource::Queue(key) => Ok(call.queue(key)?.policy.clone()),
        Resource::Channel => Err(Failure::not_found("There are no channels.")),
    }
}
