//! The shapes of the KVS control plane (API version 2017-09-30, `rest-json`).
//!
//! Every member of a request is optional here, also where the service requires it, so that the
//! service can say which one is missing. Unknown members are ignored. Members of an answer that
//! are unset are left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Declares shapes: members in Pascal case on the wire, all of them optional in requests.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $member:ident: $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
            #[serde(rename_all = "PascalCase", default)]
            #[allow(missing_docs, reason = "members are named and documented by the AWS API")]
            pub struct $name {
                $(
                    $(#[$attribute])*
                    #[serde(skip_serializing_if = "Option::is_none")]
                    pub $member: Option<$kind>,
                )*
            }
        )*
    };
}

/// Tag keys and values.
pub type TagMap = BTreeMap<String, String>;

shapes! {
    /// The answer of operations that return nothing: `{}`.
    Empty {}

    /// `POST /createStream`.
    CreateStreamInput {
        stream_name: String,
        device_name: String,
        media_type: String,
        kms_key_id: String,
        data_retention_in_hours: i64,
        tags: TagMap,
        stream_storage_configuration: StreamStorageConfiguration,
    }

    /// Where a stream's media is kept: `HOT` or `WARM`, which are one here.
    StreamStorageConfiguration {
        default_storage_tier: String,
    }

    /// What `/createStream` answers.
    CreateStreamOutput {
        #[serde(rename = "StreamARN")]
        stream_arn: String,
    }

    /// Names a stream by name or ARN: the whole request of `/describeStream`.
    StreamRef {
        stream_name: String,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
    }

    /// What `/describeStream` answers.
    DescribeStreamOutput {
        stream_info: StreamInfo,
    }

    /// A stream's facts. `creation_time` is in epoch seconds.
    StreamInfo {
        device_name: String,
        stream_name: String,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        media_type: String,
        kms_key_id: String,
        version: String,
        status: String,
        creation_time: f64,
        data_retention_in_hours: i64,
    }

    /// `POST /listStreams`.
    ListStreamsInput {
        max_results: i64,
        next_token: String,
        stream_name_condition: StreamNameCondition,
    }

    /// Which names to list; the only operator is `BEGINS_WITH`.
    StreamNameCondition {
        comparison_operator: String,
        comparison_value: String,
    }

    /// What `/listStreams` answers.
    ListStreamsOutput {
        stream_info_list: Vec<StreamInfo>,
        next_token: String,
    }

    /// `POST /updateStream`.
    UpdateStreamInput {
        stream_name: String,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        current_version: String,
        device_name: String,
        media_type: String,
    }

    /// `POST /updateDataRetention`. The change is a difference, not the new retention.
    UpdateDataRetentionInput {
        stream_name: String,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        current_version: String,
        operation: String,
        data_retention_change_in_hours: i64,
    }

    /// `POST /deleteStream`.
    DeleteStreamInput {
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        current_version: String,
    }

    /// `POST /getDataEndpoint`.
    GetDataEndpointInput {
        stream_name: String,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        #[serde(rename = "APIName")]
        api_name: String,
    }

    /// What `/getDataEndpoint` answers: scheme and host, no path.
    GetDataEndpointOutput {
        data_endpoint: String,
    }

    /// `POST /tagStream`, where tags are a map.
    TagStreamInput {
        stream_name: String,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        tags: TagMap,
    }

    /// `POST /untagStream`.
    UntagStreamInput {
        stream_name: String,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        tag_key_list: Vec<String>,
    }

    /// `POST /listTagsForStream`.
    ListTagsForStreamInput {
        stream_name: String,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        next_token: String,
    }

    /// `POST /TagResource`, where tags are a list.
    TagResourceInput {
        #[serde(rename = "ResourceARN")]
        resource_arn: String,
        tags: Vec<Tag>,
    }

    /// One tag of a list.
    Tag {
        key: String,
        value: String,
    }

    /// `POST /UntagResource`.
    UntagResourceInput {
        #[serde(rename = "ResourceARN")]
        resource_arn: String,
        tag_key_list: Vec<String>,
    }

    /// `POST /ListTagsForResource`.
    ListTagsForResourceInput {
        #[serde(rename = "ResourceARN")]
        resource_arn: String,
        next_token: String,
    }

    /// What both listings of tags answer.
    ListTagsOutput {
        tags: TagMap,
        next_token: String,
    }
}
