//! Portraits: somebody is enrolled by a picture, as `IndexFaces` does it for clients with an SDK.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::{asked, in_collection, told};
use crate::api::body::read_whole;
use crate::api::rekognition::{MAX_PICTURE_BYTES, portrait};
use crate::api::{ApiError, AppState, Caller};
use crate::people::Whose;
use crate::types::{CollectionId, PersonId};
use crate::wire::people as wire;

/// Who is in the picture.
#[derive(Deserialize)]
pub(super) struct Naming {
    name: Option<String>,
}

/// `POST /v1/collections/{collection}/people?name=`: the body is a JPEG or PNG of the person.
pub(super) async fn somebody(
    State(app): State<AppState>,
    Path(collection): Path<String>,
    Query(naming): Query<Naming>,
    caller: Caller,
    body: Body,
) -> Result<Json<wire::Person>, ApiError> {
    caller.may_do_all()?;
    let name = naming.name.ok_or_else(|| ApiError::invalid("name must be given."))?;
    enrol(app, collection.parse()?, Whose::Named(name), body).await
}

/// `POST /v1/collections/{collection}/people/{person}/faces`: another picture of the person.
pub(super) async fn another_face(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    caller: Caller,
    body: Body,
) -> Result<Json<wire::Person>, ApiError> {
    caller.may_do_all()?;
    let (collection, person): (CollectionId, PersonId) = in_collection(path)?;
    enrol(app, collection, Whose::Of(person), body).await
}

async fn enrol(
    app: AppState,
    collection: CollectionId,
    whose: Whose,
    body: Body,
) -> Result<Json<wire::Person>, ApiError> {
    // Before the work is done for somebody who is not there.
    app.people.collection(&collection)?;
    if let Whose::Of(person) = whose {
        app.people.person(&collection, person)?;
    }
    let timeout = Duration::from_secs(app.config.http.body_timeout_seconds);
    let picture = read_whole(body, MAX_PICTURE_BYTES, timeout).await?;
    let face = portrait(&app, picture).await?;
    let of = collection.clone();
    let person = asked(app.clone(), move |app| app.people.enrol(&of, face, whose)).await?;
    told(app, collection, person).await
}
