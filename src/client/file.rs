//! Files: `PUT /v1/streams/{stream}/media` of the native API.

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use reqwest::Method;

use super::{Client, Error, MAX_ACK_BYTES, refusal};
use crate::types::StreamName;
use crate::wire::media::FileLine;
use crate::wire::sigv4::UNSIGNED_PAYLOAD;

const OPERATION: &str = "PUT media";

/// The lines of the answer to a file that is uploaded.
#[derive(Debug)]
pub struct FileLines {
    response: reqwest::Response,
    buffer: BytesMut,
}

impl Client {
    /// Uploads a file. `start` is when its first frame was: seconds since the epoch, or `embedded`.
    ///
    /// Resolves when the service has stored something of it, or refused it.
    pub async fn put_file<S>(
        &self,
        stream: &StreamName,
        start: &str,
        body: S,
    ) -> Result<FileLines, Error>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    {
        let mut url = self.native(&["streams", stream.as_str(), "media"])?;
        url.query_pairs_mut().append_pair("start", start);
        let request = self.signed(Method::PUT, url, &[], UNSIGNED_PAYLOAD);
        let sent = request.body(reqwest::Body::wrap_stream(body)).send().await;
        let response = sent.map_err(|source| Error::Transport { operation: OPERATION, source })?;
        if !response.status().is_success() {
            return Err(refusal(OPERATION, response).await);
        }
        Ok(FileLines { response, buffer: BytesMut::new() })
    }
}

impl FileLines {
    /// The next line; `None` at the answer's end.
    pub async fn next(&mut self) -> Result<Option<FileLine>, Error> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                let line = serde_json::from_slice(&line);
                return line
                    .map(Some)
                    .map_err(|source| Error::Answer { operation: OPERATION, source });
            }
            if self.buffer.len() > MAX_ACK_BYTES {
                return Err(Error::AnswerTooLong { operation: OPERATION, limit: MAX_ACK_BYTES });
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|source| Error::Transport { operation: OPERATION, source })? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}
