//! Tags, by the ARN of any resource.

use super::rules::{RESOURCE_ARN, TAGS};
use super::shapes;
use crate::wire::records::TagMap;
use crate::wire::records::rule::{TAG_KEY, length};

shapes! {
    /// `TagResource`.
    TagResourceInput {
        resource_arn: String = RESOURCE_ARN.required(),
        tags: TagMap = TAGS.required(),
    }

    /// `UntagResource`.
    UntagResourceInput {
        resource_arn: String = RESOURCE_ARN.required(),
        tag_keys: Vec<String> = length(0, 200).each(&TAG_KEY).required(),
    }

    /// `ListTagsForResource`.
    ListTagsForResourceInput {
        resource_arn: String = RESOURCE_ARN.required(),
    }

    /// What `ListTagsForResource` answers.
    ListTagsForResourceOutput {
        tags: TagMap,
    }
}
