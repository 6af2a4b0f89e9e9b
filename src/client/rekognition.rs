//! What customers need of the Rekognition API: collections, faces in them, stream processors.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Client, Error, answer_within};
use crate::wire::sigv4;

/// What signatures name, what operations' names begin with, and the JSON that is spoken.
const SERVICE: &str = "rekognition";
const TARGET: &str = "RekognitionService";
const MEDIA_TYPE: &str = "application/x-amz-json-1.1";
/// How long a call may take: the first one with a picture waits until the models are loaded.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream processor that is to be: who looks for which faces where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStreamProcessor {
    /// Unique.
    pub name: String,
    /// ARN of the video stream.
    pub input: String,
    /// ARN of the record stream that findings go to.
    pub output: String,
    /// The collection of faces that are compared with.
    pub collection: String,
    /// ARN of a role, which AWS asks for.
    pub role: String,
}

impl Client {
    /// CreateCollection. [`Error::is_in_use`] when there is one of that name.
    pub async fn create_collection(&self, collection: &str) -> Result<(), Error> {
        let request = json!({ "CollectionId": collection });
        let _: Value = self.call_rekognition("CreateCollection", &request).await?;
        Ok(())
    }

    /// IndexFaces: enrols the largest face of a JPEG or PNG; how many were enrolled, 1 or none.
    pub async fn index_face(
        &self,
        collection: &str,
        picture: &[u8],
        external_image_id: &str,
    ) -> Result<usize, Error> {
        let request = json!({
            "CollectionId": collection,
            "Image": { "Bytes": STANDARD.encode(picture) },
            "ExternalImageId": external_image_id,
            "MaxFaces": 1,
        });
        let answer: Value = self.call_rekognition("IndexFaces", &request).await?;
        Ok(answer["FaceRecords"].as_array().map_or(0, Vec::len))
    }

    /// CreateStreamProcessor, one that searches faces. [`Error::is_in_use`] when there is one of that
    /// name.
    pub async fn create_stream_processor(&self, new: &NewStreamProcessor) -> Result<(), Error> {
        let request = json!({
            "Name": new.name,
            "Input": { "KinesisVideoStream": { "Arn": new.input } },
            "Output": { "KinesisDataStream": { "Arn": new.output } },
            "Settings": { "FaceSearch": { "CollectionId": new.collection } },
            "RoleArn": new.role,
        });
        let _: Value = self.call_rekognition("CreateStreamProcessor", &request).await?;
        Ok(())
    }

    /// StartStreamProcessor, at the newest fragment. [`Error::is_in_use`] when it runs.
    pub async fn start_stream_processor(&self, name: &str) -> Result<(), Error> {
        let request = json!({ "Name": name });
        let _: Value = self.call_rekognition("StartStreamProcessor", &request).await?;
        Ok(())
    }

    async fn call_rekognition<O: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: &Value,
    ) -> Result<O, Error> {
        let body = request.to_string();
        let target = format!("{TARGET}.{operation}");
        let headers = [("x-amz-target", target.as_str())];
        let hash = sigv4::payload_hash(body.as_bytes());
        let url = self.endpoint.clone();
        let request = self.signed_for(SERVICE, Method::POST, url, &headers, &hash);
        answer_within(PATIENCE, operation, request.header(CONTENT_TYPE, MEDIA_TYPE).body(body))
            .await
    }
}
