//! Switches of streams and of the account, and limits.

use super::rule::{ANY, NAME, Rule, STREAM_ARN, STREAM_ID, length, one_of};
use super::{Timestamp, shapes};

/// What can be measured for each shard.
const SHARD_LEVEL_METRICS: Rule = one_of(&[
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
    "ALL",
]);

shapes! {
    /// `EnableEnhancedMonitoring` and `DisableEnhancedMonitoring`.
    EnhancedMonitoringInput {
        stream_name: String = NAME,
        shard_level_metrics: Vec<String> = length(1, 7).each(&SHARD_LEVEL_METRICS).required(),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// What both of them answer.
    EnhancedMonitoringOutput {
        stream_name: String,
        current_shard_level_metrics: Vec<String>,
        desired_shard_level_metrics: Vec<String>,
        stream_arn as "StreamARN": String,
    }

    /// `StartStreamEncryption` and `StopStreamEncryption`.
    EncryptionInput {
        stream_name: String = NAME,
        encryption_type: String = one_of(&["NONE", "KMS"]).required(),
        key_id: String = length(1, 2048).required(),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// What `DescribeLimits` answers.
    DescribeLimitsOutput {
        shard_limit: i64,
        open_shard_count: i64,
        on_demand_stream_count: i64,
        on_demand_stream_count_limit: i64,
        channel_count: i64,
        channel_count_limit: i64,
    }

    /// What `DescribeAccountSettings` and `UpdateAccountSettings` answer.
    AccountSettingsOutput {
        minimum_throughput_billing_commitment: BillingCommitment,
    }

    /// Whether a minimum is paid for.
    BillingCommitment {
        status: String,
        started_at: Timestamp,
        ended_at: Timestamp,
        earliest_allowed_end_at: Timestamp,
    }

    /// `UpdateAccountSettings`.
    UpdateAccountSettingsInput {
        minimum_throughput_billing_commitment: BillingCommitmentInput = ANY.required(),
    }

    /// The commitment that is wished.
    BillingCommitmentInput {
        status: String = one_of(&["ENABLED", "DISABLED"]).required(),
    }
}
