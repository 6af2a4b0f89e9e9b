//! Every operation of the model: its name, and what answers it or why nothing does. The table in
//! `OPERATIONS.md` is held to this one by a test.

use axum::response::Response;
use bytes::Bytes;

use super::error::{Failure, Kind};
use super::{Call, processors, tags};

/// Collections are managed elsewhere.
const COLLECTIONS: &str = "Collections, their faces and users are managed with the native API: see \
    /v1/collections.";
/// Pictures that are no video.
const PICTURES: &str = "Single pictures are not looked at here: send them as a video stream.";
const LIVENESS: &str = "Whether somebody is alive is not judged here.";
const TRAINING: &str = "Models are not trained here: bring one as an ONNX file by configuration.";
const CELEBRITIES: &str = "Only the people of your own collections are known here.";
const JOBS: &str = "Files in buckets are not looked at here: import the file as a video stream, and \
    start a stream processor from its beginning.";
const OTHER: &str = "Only faces are looked for here.";

/// A row of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    name: &'static str,
    /// Whether it does what AWS documents; otherwise it is refused.
    #[cfg_attr(not(test), allow(dead_code, reason = "told in the documentation"))]
    works: bool,
}

macro_rules! operations {
    (@row Works $name:ident) => { Row { name: stringify!($name), works: true } };
    (@row Refused $name:ident) => { Row { name: stringify!($name), works: false } };
    (@answer Works $call:ident $body:ident $handler:path) => {
        Box::pin($call.answer($body, $handler)).await
    };
    (@answer Refused $call:ident $body:ident $why:path) => {
        Err(Failure::new(Kind::AccessDenied, $why))
    };
    ($($state:ident $name:ident: $answer:path;)*) => {
        /// By name.
        const OPERATIONS: &[Row] = &[$(operations!(@row $state $name),)*];

        /// Lets the operation of that name answer.
        pub(super) async fn dispatch(
            call: Call,
            name: &str,
            body: Bytes,
        ) -> Result<Response, Failure> {
            match name {
                $(stringify!($name) => operations!(@answer $state call body $answer),)*
                _ => Err(Failure::new(Kind::UnknownOperation, "")),
            }
        }
    };
}

operations! {
    Refused AssociateFaces: COLLECTIONS;
    Refused CompareFaces: PICTURES;
    Refused CopyProjectVersion: TRAINING;
    Refused CreateCollection: COLLECTIONS;
    Refused CreateDataset: TRAINING;
    Refused CreateFaceLivenessSession: LIVENESS;
    Refused CreateProject: TRAINING;
    Refused CreateProjectVersion: TRAINING;
    Works CreateStreamProcessor: processors::create;
    Refused CreateUser: COLLECTIONS;
    Refused DeleteCollection: COLLECTIONS;
    Refused DeleteDataset: TRAINING;
    Refused DeleteFaces: COLLECTIONS;
    Refused DeleteProject: TRAINING;
    Refused DeleteProjectPolicy: TRAINING;
    Refused DeleteProjectVersion: TRAINING;
    Works DeleteStreamProcessor: processors::delete;
    Refused DeleteUser: COLLECTIONS;
    Refused DescribeCollection: COLLECTIONS;
    Refused DescribeDataset: TRAINING;
    Refused DescribeProjectVersions: TRAINING;
    Refused DescribeProjects: TRAINING;
    Works DescribeStreamProcessor: processors::describe;
    Refused DetectCustomLabels: TRAINING;
    Refused DetectFaces: PICTURES;
    Refused DetectLabels: OTHER;
    Refused DetectModerationLabels: OTHER;
    Refused DetectProtectiveEquipment: OTHER;
    Refused DetectText: OTHER;
    Refused DisassociateFaces: COLLECTIONS;
    Refused DistributeDatasetEntries: TRAINING;
    Refused GetCelebrityInfo: CELEBRITIES;
    Refused GetCelebrityRecognition: CELEBRITIES;
    Refused GetContentModeration: JOBS;
    Refused GetFaceDetection: JOBS;
    Refused GetFaceLivenessSessionResults: LIVENESS;
    Refused GetFaceSearch: JOBS;
    Refused GetLabelDetection: JOBS;
    Refused GetMediaAnalysisJob: JOBS;
    Refused GetPersonTracking: JOBS;
    Refused GetSegmentDetection: JOBS;
    Refused GetTextDetection: JOBS;
    Refused IndexFaces: COLLECTIONS;
    Refused ListCollections: COLLECTIONS;
    Refused ListDatasetEntries: TRAINING;
    Refused ListDatasetLabels: TRAINING;
    Refused ListFaces: COLLECTIONS;
    Refused ListMediaAnalysisJobs: JOBS;
    Refused ListProjectPolicies: TRAINING;
    Works ListStreamProcessors: processors::list;
    Works ListTagsForResource: tags::list;
    Refused ListUsers: COLLECTIONS;
    Refused PutProjectPolicy: TRAINING;
    Refused RecognizeCelebrities: CELEBRITIES;
    Refused SearchFaces: COLLECTIONS;
    Refused SearchFacesByImage: COLLECTIONS;
    Refused SearchUsers: COLLECTIONS;
    Refused SearchUsersByImage: COLLECTIONS;
    Refused StartCelebrityRecognition: CELEBRITIES;
    Refused StartContentModeration: JOBS;
    Refused StartFaceDetection: JOBS;
    Refused StartFaceSearch: JOBS;
    Refused StartLabelDetection: JOBS;
    Refused StartMediaAnalysisJob: JOBS;
    Refused StartPersonTracking: JOBS;
    Refused StartProjectVersion: TRAINING;
    Refused StartSegmentDetection: JOBS;
    Works StartStreamProcessor: processors::start;
    Refused StartTextDetection: JOBS;
    Refused StopProjectVersion: TRAINING;
    Works StopStreamProcessor: processors::stop;
    Works TagResource: tags::add;
    Works UntagResource: tags::remove;
    Refused UpdateDatasetEntries: TRAINING;
    Works UpdateStreamProcessor: processors::update;
}

/// The operation of that name.
pub(super) fn find(name: &str) -> Option<&'static str> {
    let at = OPERATIONS.binary_search_by_key(&name, |row| row.name).ok()?;
    Some(OPERATIONS[at].name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kept beside the code, for people.
    const DOCUMENT: &str = include_str!("OPERATIONS.md");

    /// How many the model has.
    const MODEL: usize = 75;

    #[test]
    fn document_tells_every_operation_and_its_state() {
        let rows = DOCUMENT.lines().filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (name, state) = (cells.next()?, cells.next()?);
            Some((name, state)).filter(|(name, _)| name.starts_with(char::is_uppercase))
        });
        let state = |row: &Row| if row.works { "works" } else { "refused" };
        let expected: Vec<_> = OPERATIONS.iter().map(|row| (row.name, state(row))).collect();
        assert_eq!(rows.collect::<Vec<_>>(), expected);
        assert_eq!(OPERATIONS.len(), MODEL);
    }

    #[test]
    fn every_operation_is_found_by_its_name() {
        assert!(OPERATIONS.is_sorted_by_key(|row| row.name));
        for row in OPERATIONS {
            assert_eq!(find(row.name), Some(row.name));
        }
        assert_eq!(find("DetectFace"), None);
    }
}
