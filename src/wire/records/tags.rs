//! Tags and policies: by stream, and by the ARN of any resource.

use super::rule::{ANY, NAME, RESOURCE_ARN, STREAM_ARN, STREAM_ID, TAG_KEY, TAGS, length, value};
use super::{TagMap, shapes};

shapes! {
    /// `AddTagsToStream`.
    AddTagsToStreamInput {
        stream_name: String = NAME,
        tags: TagMap = TAGS.required(),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// `RemoveTagsFromStream`.
    RemoveTagsFromStreamInput {
        stream_name: String = NAME,
        tag_keys: Vec<String> = length(1, 50).each(&TAG_KEY).required(),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// `ListTagsForStream`.
    ListTagsForStreamInput {
        stream_name: String = NAME,
        exclusive_start_tag_key: String = TAG_KEY,
        limit: i64 = value(1, 50),
        stream_arn as "StreamARN": String = STREAM_ARN,
        stream_id: String = STREAM_ID,
    }

    /// What `ListTagsForStream` answers.
    ListTagsForStreamOutput {
        tags: Vec<Tag>,
        has_more_tags: bool,
    }

    /// One tag of a list.
    Tag {
        key: String,
        value: String,
    }

    /// `TagResource`.
    TagResourceInput {
        tags: TagMap = TAGS.required(),
        resource_arn as "ResourceARN": String = RESOURCE_ARN.required(),
        stream_id: String = STREAM_ID,
    }

    /// `UntagResource`.
    UntagResourceInput {
        tag_keys: Vec<String> = length(1, 50).each(&TAG_KEY).required(),
        resource_arn as "ResourceARN": String = RESOURCE_ARN.required(),
        stream_id: String = STREAM_ID,
    }

    /// Names a resource: `ListTagsForResource`, `GetResourcePolicy`, `DeleteResourcePolicy`.
    ResourceRef {
        resource_arn as "ResourceARN": String = RESOURCE_ARN.required(),
        stream_id: String = STREAM_ID,
    }

    /// What `ListTagsForResource` answers.
    ListTagsForResourceOutput {
        tags: Vec<Tag>,
    }

    /// `PutResourcePolicy`.
    PutResourcePolicyInput {
        resource_arn as "ResourceARN": String = RESOURCE_ARN.required(),
        stream_id: String = STREAM_ID,
        policy: String = ANY.required(),
    }

    /// What `GetResourcePolicy` answers.
    GetResourcePolicyOutput {
        policy: String,
    }
}
