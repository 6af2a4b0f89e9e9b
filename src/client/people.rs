//! People: `/v1/collections` of the native API.

use reqwest::Method;

use super::{Client, Error};
use crate::wire::people::{Observation, Observed};

impl Client {
    /// Tells a face that was seen, and learns who it is. The same track told again is one sighting.
    ///
    /// # Errors
    /// [`Error::is_not_found`] when there is no such collection.
    pub async fn observe(
        &self,
        collection: &str,
        observation: &Observation,
    ) -> Result<Observed, Error> {
        let path = ["collections", collection, "observations"];
        self.call_native("POST observations", (Method::POST, &path), Some(observation)).await
    }
}
