//! Channels, which deliver to object storage. What asks for one is read and checked; answers that
//! describe one are never given, so they have no shape here.

use super::rule::{ANY, CHANNEL_ARN, NAME, NEXT_TOKEN, PAGE, STREAM_ARN, TAGS, length};
use super::{TagMap, Timestamp, shapes};

shapes! {
    /// `CreateChannel`, as far as every channel has it.
    CreateChannelInput {
        channel_name: String = NAME.required(),
        service_execution_role_arn as "ServiceExecutionRoleARN": String = length(1, 512).required(),
        stream_configuration_list: Vec<ChannelStreamConfiguration> = length(1, 10_000).required(),
        tags: TagMap = TAGS,
    }

    /// A stream that a channel would deliver.
    ChannelStreamConfiguration {
        stream_arn as "StreamARN": String = STREAM_ARN.required(),
        record_configuration: RecordConfiguration = ANY.required(),
    }

    /// How a channel would read the records.
    RecordConfiguration {
        record_format_type: String
            = super::rule::one_of(&["GSR_JSON", "JSON", "STRING", "BYTE_ARRAY"]).required(),
        gsr_schema_arn as "GSRSchemaARN": String = length(1, 512),
    }

    /// Names a channel: `DescribeChannel`, `UpdateChannel`, `DeleteChannel`.
    ChannelRef {
        channel_arn as "ChannelARN": String = CHANNEL_ARN.required(),
    }

    /// `ListChannels`.
    ListChannelsInput {
        stream_filter: Vec<StreamFilter> = length(1, 10_000),
        max_results: i64 = PAGE,
        next_token: String = NEXT_TOKEN,
    }

    /// The stream whose channels or queues to list; also that of `ListQueues`.
    StreamFilter {
        stream_arn as "StreamARN": String = STREAM_ARN.required(),
        stream_creation_timestamp: Timestamp,
    }

    /// What `ListChannels` answers: none.
    ListChannelsOutput {
        channel_summaries: Vec<ChannelSummary>,
    }

    /// A channel in a listing.
    ChannelSummary {
        channel_name: String,
    }
}
