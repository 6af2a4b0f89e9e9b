//! Stream processors.

use super::rules::{
    COLLECTION_ID, DATA_ARN, FRAGMENT_NUMBER, PAGINATION_TOKEN, PERCENT, PROCESSOR_NAME, ROLE_ARN,
    TAGS, VIDEO_ARN,
};
use super::{faces::BoundingBox, shapes};
use crate::wire::records::rule::{ANY, at_least, length, value};
use crate::wire::records::{TagMap, Timestamp};

shapes! {
    /// `CreateStreamProcessor`.
    CreateStreamProcessorInput {
        input: StreamProcessorInput = ANY.required(),
        output: StreamProcessorOutput = ANY.required(),
        name: String = PROCESSOR_NAME.required(),
        settings: StreamProcessorSettings = ANY.required(),
        role_arn: String = ROLE_ARN.required(),
        tags: TagMap = TAGS,
        notification_channel: NotificationChannel,
        kms_key_id: String = length(1, 2048),
        regions_of_interest: Vec<RegionOfInterest> = length(0, 10),
        data_sharing_preference: DataSharingPreference,
    }

    /// What `CreateStreamProcessor` answers.
    CreateStreamProcessorOutput {
        stream_processor_arn: String,
    }

    /// What a processor looks at.
    StreamProcessorInput {
        kinesis_video_stream: KinesisVideoStream,
    }

    /// A video stream.
    KinesisVideoStream {
        arn: String = VIDEO_ARN,
    }

    /// Where findings go.
    StreamProcessorOutput {
        kinesis_data_stream: KinesisDataStream,
        s3_destination as "S3Destination": S3Destination,
    }

    /// A record stream.
    KinesisDataStream {
        arn: String = DATA_ARN,
    }

    /// A bucket, of which there are none.
    S3Destination {
        bucket: String,
        key_prefix: String,
    }

    /// What a processor looks for.
    StreamProcessorSettings {
        face_search: FaceSearchSettings,
        connected_home: ConnectedHomeSettings,
    }

    /// Faces of a collection.
    FaceSearchSettings {
        collection_id: String = COLLECTION_ID,
        face_match_threshold: f64 = PERCENT,
    }

    /// Objects, which are not looked for here.
    ConnectedHomeSettings {
        labels: Vec<String> = length(1, 128).required(),
        min_confidence: f64 = PERCENT,
    }

    /// Who would be notified of objects.
    NotificationChannel {
        sns_topic_arn as "SNSTopicArn": String = ANY.required(),
    }

    /// A part of the picture.
    RegionOfInterest {
        bounding_box: BoundingBox,
        polygon: Vec<Point>,
    }

    /// A corner of a polygon, in parts of the picture.
    Point {
        x: f64,
        y: f64,
    }

    /// Whether AWS may keep pictures; here nobody may.
    DataSharingPreference {
        opt_in: bool = ANY.required(),
    }

    /// Names a processor: `DescribeStreamProcessor`, `StopStreamProcessor`, `DeleteStreamProcessor`.
    ProcessorRef {
        name: String = PROCESSOR_NAME.required(),
    }

    /// What `DescribeStreamProcessor` answers.
    DescribeStreamProcessorOutput {
        name: String,
        stream_processor_arn: String,
        status: String,
        status_message: String,
        creation_timestamp: Timestamp,
        last_update_timestamp: Timestamp,
        input: StreamProcessorInput,
        output: StreamProcessorOutput,
        role_arn: String,
        settings: StreamProcessorSettings,
        notification_channel: NotificationChannel,
        kms_key_id: String,
        regions_of_interest: Vec<RegionOfInterest>,
        data_sharing_preference: DataSharingPreference,
    }

    /// `ListStreamProcessors`.
    ListStreamProcessorsInput {
        next_token: String = PAGINATION_TOKEN,
        max_results: i64 = at_least(1),
    }

    /// What `ListStreamProcessors` answers.
    ListStreamProcessorsOutput {
        next_token: String,
        stream_processors: Vec<ListedProcessor>,
    }

    /// A processor in a listing.
    ListedProcessor {
        name: String,
        status: String,
    }

    /// `UpdateStreamProcessor`.
    UpdateStreamProcessorInput {
        name: String = PROCESSOR_NAME.required(),
        settings_for_update: SettingsForUpdate,
        regions_of_interest_for_update: Vec<RegionOfInterest> = length(0, 10),
        data_sharing_preference_for_update: DataSharingPreference,
        parameters_to_delete: Vec<String>,
    }

    /// Other settings of object search, which there is none of here.
    SettingsForUpdate {
        connected_home_for_update: ConnectedHomeForUpdate,
    }

    /// What changes of object search.
    ConnectedHomeForUpdate {
        labels: Vec<String> = length(1, 128),
        min_confidence: f64 = PERCENT,
    }

    /// `StartStreamProcessor`.
    StartStreamProcessorInput {
        name: String = PROCESSOR_NAME.required(),
        start_selector: StartSelector,
        stop_selector: StopSelector,
    }

    /// Where a run begins.
    StartSelector {
        kvs_stream_start_selector as "KVSStreamStartSelector": KvsStreamStartSelector,
    }

    /// A place in a video stream; the timestamp is in milliseconds.
    KvsStreamStartSelector {
        producer_timestamp: i64 = at_least(0),
        fragment_number: String = FRAGMENT_NUMBER,
    }

    /// Where a run ends.
    StopSelector {
        max_duration_in_seconds: i64 = value(1, 120),
    }

    /// What `StartStreamProcessor` answers.
    StartStreamProcessorOutput {
        session_id: String,
    }
}
