//! Stream processors: `/v1/processors` of the native API.

use reqwest::Method;

use super::{Client, Error};
use crate::wire::processors::{Processor, Processors, Report, ReportAnswer};

impl Client {
    /// All stream processors.
    pub async fn processors(&self) -> Result<Vec<Processor>, Error> {
        let path = (Method::GET, &["processors"][..]);
        let answer: Processors = self.call_native("GET processors", path, None::<&()>).await?;
        Ok(answer.processors)
    }

    /// Tells how far a run of a processor is, and learns whether it is still wanted.
    pub async fn report(&self, processor: &str, report: &Report) -> Result<ReportAnswer, Error> {
        let path = ["processors", processor, "report"];
        self.call_native("PUT report", (Method::PUT, &path), Some(report)).await
    }
}
