//! `CreateStreamProcessor`, `DescribeStreamProcessor`, `ListStreamProcessors`,
//! `UpdateStreamProcessor`, `StartStreamProcessor`, `StopStreamProcessor`, `DeleteStreamProcessor`

use super::Call;
use super::error::{Failure, Kind};
use crate::api::processors::{region, regions_of};
use crate::api::{App, find_stream, records, rekognition_arn};
use crate::processors::{NewProcessor, Start};
use crate::types::StreamName;
use crate::wire::processors::{Corner, Rectangle, Region};
use crate::wire::records::{Empty, Timestamp};
use crate::wire::rekognition::faces::BoundingBox;
use crate::wire::rekognition::processors::{
    CreateStreamProcessorInput, CreateStreamProcessorOutput, DataSharingPreference,
    DescribeStreamProcessorOutput, FaceSearchSettings, KinesisDataStream, KinesisVideoStream,
    ListStreamProcessorsInput, ListStreamProcessorsOutput, ListedProcessor, NotificationChannel,
    Point, ProcessorRef, RegionOfInterest, StartStreamProcessorInput, StartStreamProcessorOutput,
    StreamProcessorInput, StreamProcessorOutput, StreamProcessorSettings,
    UpdateStreamProcessorInput,
};

/// Processors in a page where none is asked for, and the most in one.
const PAGE: usize = 1000;

/// `CreateStreamProcessor`
pub(super) async fn create(
    call: Call,
    input: CreateStreamProcessorInput,
) -> Result<CreateStreamProcessorOutput, Failure> {
    let new = new_processor(&call.app, input)?;
    call.change(move |app| {
        let created = app.processors.create(new)?;
        let arn = rekognition_arn(app, format_args!("streamprocessor/{}", created.name));
        Ok(CreateStreamProcessorOutput { stream_processor_arn: Some(arn) })
    })
    .await
}

/// `DescribeStreamProcessor`
pub(super) async fn describe(
    call: Call,
    input: ProcessorRef,
) -> Result<DescribeStreamProcessorOutput, Failure> {
    let app = &call.app;
    let facts = app.processors.get(&input.name.unwrap_or_default())?.facts;
    let settings = facts.settings;
    let arn = rekognition_arn(app, format_args!("streamprocessor/{}", facts.name));
    let output = records::arn(app, format_args!("stream/{}", settings.output));
    let regions: Vec<_> = settings.regions.into_iter().map(region).map(of_interest).collect();
    Ok(DescribeStreamProcessorOutput {
        name: Some(facts.name),
        stream_processor_arn: Some(arn),
        status: Some(facts.status.name().to_owned()),
        status_message: Some(facts.message).filter(|message| !message.is_empty()),
        creation_timestamp: Some(Timestamp(facts.created)),
        last_update_timestamp: Some(Timestamp(facts.updated)),
        input: Some(StreamProcessorInput {
            kinesis_video_stream: Some(KinesisVideoStream { arn: Some(settings.stream_arn) }),
        }),
        output: Some(StreamProcessorOutput {
            kinesis_data_stream: Some(KinesisDataStream { arn: Some(output) }),
            s3_destination: None,
        }),
        role_arn: Some(settings.role_arn),
        settings: Some(StreamProcessorSettings {
            face_search: Some(FaceSearchSettings {
                collection_id: Some(settings.collection),
                face_match_threshold: settings.threshold,
            }),
            connected_home: None,
        }),
        notification_channel: settings
            .notification_topic_arn
            .map(|arn| NotificationChannel { sns_topic_arn: Some(arn) }),
        kms_key_id: settings.kms_key_id,
        regions_of_interest: Some(regions).filter(|regions| !regions.is_empty()),
        data_sharing_preference: settings
            .data_sharing
            .map(|opt_in| DataSharingPreference { opt_in: Some(opt_in) }),
    })
}

/// `ListStreamProcessors`: by name. A token is the name that the page before ended with.
pub(super) async fn list(
    call: Call,
    input: ListStreamProcessorsInput,
) -> Result<ListStreamProcessorsOutput, Failure> {
    let asked = input.max_results.and_then(|most| usize::try_from(most).ok());
    let most = asked.unwrap_or(PAGE).clamp(1, PAGE);
    let after = input.next_token.unwrap_or_default();
    let mut all = call.app.processors.list()?;
    all.retain(|seen| seen.facts.name > after);
    let more = all.len() > most;
    all.truncate(most);
    let last = all.last().map(|seen| seen.facts.name.clone());
    let listed = all.into_iter().map(|seen| ListedProcessor {
        name: Some(seen.facts.name),
        status: Some(seen.facts.status.name().to_owned()),
    });
    Ok(ListStreamProcessorsOutput {
        stream_processors: Some(listed.collect()),
        next_token: last.filter(|_| more),
    })
}

/// `UpdateStreamProcessor`: its regions, and whether pictures may be shared, which they never are.
pub(super) async fn update(
    call: Call,
    input: UpdateStreamProcessorInput,
) -> Result<Empty, Failure> {
    if input.settings_for_update.is_some_and(|s| s.connected_home_for_update.is_some()) {
        return Err(faces_only());
    }
    let name = input.name.unwrap_or_default();
    let regions = input.regions_of_interest_for_update.map(regions).transpose()?;
    let sharing = input.data_sharing_preference_for_update.map(|preference| preference.opt_in);
    let deleted = input.parameters_to_delete.unwrap_or_default();
    if let Some(other) = deleted.iter().find(|what| *what != "RegionsOfInterest") {
        return Err(Failure::invalid(format!("{other} cannot be deleted: faces are looked for.")));
    }
    call.change(move |app| {
        app.processors.update(&name, |facts| {
            if !deleted.is_empty() {
                facts.settings.regions.clear();
            }
            if let Some(regions) = regions {
                facts.settings.regions = regions;
            }
            facts.settings.data_sharing = sharing.unwrap_or(facts.settings.data_sharing);
        })?;
        Ok(Empty::default())
    })
    .await
}

/// `StartStreamProcessor`
pub(super) async fn start(
    call: Call,
    input: StartStreamProcessorInput,
) -> Result<StartStreamProcessorOutput, Failure> {
    let selector = input.start_selector.and_then(|selector| selector.kvs_stream_start_selector);
    let start = match selector.map(|s| (s.fragment_number, s.producer_timestamp)) {
        Some((Some(_), Some(_))) => {
            return Err(Failure::invalid(
                "A start selector has a FragmentNumber or a ProducerTimestamp, not both.",
            ));
        }
        Some((Some(number), None)) => Some(Start::Fragment(number)),
        Some((None, Some(millis))) => Some(Start::ProducerMillis(millis)),
        Some((None, None)) | None => None,
    };
    let seconds = input.stop_selector.and_then(|stop| stop.max_duration_in_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let name = input.name.unwrap_or_default();
    call.change(move |app| {
        let started = app.processors.start(&name, start, seconds)?;
        let session = format!("{name}-{}", started.generation);
        Ok(StartStreamProcessorOutput { session_id: Some(session) })
    })
    .await
}

/// `StopStreamProcessor`
pub(super) async fn stop(call: Call, input: ProcessorRef) -> Result<Empty, Failure> {
    let name = input.name.unwrap_or_default();
    call.change(move |app| {
        app.processors.stop(&name)?;
        Ok(Empty::default())
    })
    .await
}

/// `DeleteStreamProcessor`
pub(super) async fn delete(call: Call, input: ProcessorRef) -> Result<Empty, Failure> {
    let name = input.name.unwrap_or_default();
    call.change(move |app| {
        app.processors.delete(&name)?;
        Ok(Empty::default())
    })
    .await
}

/// Holds what is asked for against what there is.
fn new_processor(app: &App, input: CreateStreamProcessorInput) -> Result<NewProcessor, Failure> {
    let settings = input.settings.unwrap_or_default();
    if settings.connected_home.is_some() {
        return Err(faces_only());
    }
    let faces = settings.face_search;
    let faces = faces.ok_or_else(|| Failure::invalid("Settings have to have a FaceSearch."))?;
    let collection = faces.collection_id.ok_or_else(|| {
        Failure::invalid("FaceSearch has to have the CollectionId of the faces to compare with.")
    })?;
    let stream_arn = input.input.and_then(|input| input.kinesis_video_stream?.arn);
    let stream_arn = stream_arn
        .ok_or_else(|| Failure::invalid("Input has to have the Arn of a KinesisVideoStream."))?;
    find_stream(app, None, Some(&stream_arn)).map_err(|_| {
        Failure::invalid(format!("There is no video stream {stream_arn}. Create it first."))
    })?;
    let output = input.output.and_then(|output| output.kinesis_data_stream?.arn);
    let output = output
        .ok_or_else(|| Failure::invalid("Output has to have the Arn of a KinesisDataStream."))?;
    Ok(NewProcessor {
        name: input.name.unwrap_or_default(),
        stream_arn,
        output: record_stream(app, &output)?.to_string(),
        collection,
        threshold: faces.face_match_threshold,
        regions: regions(input.regions_of_interest.unwrap_or_default())?,
        role_arn: input.role_arn.unwrap_or_default(),
        kms_key_id: input.kms_key_id,
        notification_topic_arn: input
            .notification_channel
            .and_then(|channel| channel.sns_topic_arn),
        data_sharing: input.data_sharing_preference.and_then(|preference| preference.opt_in),
        tags: input.tags.unwrap_or_default(),
    })
}

/// The record stream of an ARN.
fn record_stream(app: &App, arn: &str) -> Result<StreamName, Failure> {
    let name = arn.strip_prefix(&records::arn(app, "stream/")).and_then(|name| name.parse().ok());
    let found = name.and_then(|name: StreamName| app.records.info(&name).ok());
    found.map(|info| info.name.clone()).ok_or_else(|| {
        Failure::invalid(format!("There is no record stream {arn}. Create it first."))
    })
}

fn regions(regions: Vec<RegionOfInterest>) -> Result<Vec<crate::processors::Region>, Failure> {
    let shapes = regions.into_iter().map(shape).collect::<Result<_, _>>()?;
    Ok(regions_of(shapes)?)
}

/// A region in the native API's shape; numbers that are left out are 0.
fn shape(region: RegionOfInterest) -> Result<Region, Failure> {
    let number = |part: Option<f64>| part.unwrap_or_default();
    match (region.bounding_box, region.polygon) {
        (Some(bounds), None) => Ok(Region::Box(Rectangle {
            left: number(bounds.left),
            top: number(bounds.top),
            width: number(bounds.width),
            height: number(bounds.height),
        })),
        (None, Some(corners)) => {
            let corners = corners.into_iter();
            let corner = |point: Point| Corner { x: number(point.x), y: number(point.y) };
            Ok(Region::Polygon(corners.map(corner).collect()))
        }
        _ => Err(Failure::invalid("A region of interest has a BoundingBox or a Polygon.")),
    }
}

fn of_interest(region: Region) -> RegionOfInterest {
    match region {
        Region::Box(Rectangle { left, top, width, height }) => RegionOfInterest {
            bounding_box: Some(BoundingBox {
                left: Some(left),
                top: Some(top),
                width: Some(width),
                height: Some(height),
            }),
            polygon: None,
        },
        Region::Polygon(corners) => {
            let point = |corner: Corner| Point { x: Some(corner.x), y: Some(corner.y) };
            let polygon = corners.into_iter().map(point).collect();
            RegionOfInterest { bounding_box: None, polygon: Some(polygon) }
        }
    }
}

fn faces_only() -> Failure {
    Failure::new(Kind::AccessDenied, "Only faces are looked for here: use FaceSearch settings.")
}
