//! People for detectors, curl and browsers: what was seen, who it is, and where else.

mod enrol;
mod shapes;

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::{ApiError, App, AppState, AwsJson, Caller, ErrorKind, Routes, blocking};
use crate::people::{DEFAULT_THRESHOLD, NewSighting, PeopleError, Wanted};
use crate::types::{
    CollectionId, InvalidCollectionId, InvalidUuid, PersonId, ProducerTimestamp, ServerTimestamp,
    SightingId,
};
use crate::vision::faces::Embedding;
use crate::wire::people as wire;

/// The most people or sightings in one answer, and how many there are where no limit is given.
const MAX_PAGE: usize = 1000;
const DEFAULT_PAGE: usize = 100;
/// Matches of an observation where it does not say how many.
const DEFAULT_MATCHES: usize = 5;

/// The routes of this area.
pub(super) fn routes() -> Routes {
    const PERSON: &str = "/v1/collections/{collection}/people/{person}";
    let person = get(one_person).patch(rename).delete(delete);
    let native = Router::new()
        .route("/v1/collections", get(collections))
        .route(
            "/v1/collections/{collection}",
            get(collection).put(create).delete(delete_collection),
        )
        .route("/v1/collections/{collection}/observations", post(observe))
        .route("/v1/collections/{collection}/search", post(search))
        .route("/v1/collections/{collection}/people", get(people).post(enrol::somebody))
        .route(PERSON, person)
        .route(&format!("{PERSON}/faces"), post(enrol::another_face))
        .route(&format!("{PERSON}/merge"), post(merge))
        .route(&format!("{PERSON}/split"), post(split))
        .route(&format!("{PERSON}/not"), post(not_this_person))
        .route(&format!("{PERSON}/sightings"), get(sightings))
        .route("/v1/collections/{collection}/sightings/{sighting}", get(one_sighting))
        .route("/v1/collections/{collection}/sightings/{sighting}/crop.jpg", get(crop));
    Routes { native, ..Routes::default() }
}

/// `GET /v1/collections`
async fn collections(
    State(app): State<AppState>,
    caller: Caller,
) -> Result<Json<wire::Collections>, ApiError> {
    caller.may_do_all()?;
    let list = move |app: &App| Ok(app.people.collections());
    let collections = asked(app, list).await?;
    Ok(Json(wire::Collections {
        collections: collections.iter().map(shapes::collection).collect(),
    }))
}

/// `GET /v1/collections/{collection}`
async fn collection(
    State(app): State<AppState>,
    Path(collection): Path<String>,
    caller: Caller,
) -> Result<Json<wire::Collection>, ApiError> {
    caller.may_do_all()?;
    let id: CollectionId = collection.parse()?;
    let collection = asked(app, move |app| app.people.collection(&id)).await?;
    Ok(Json(shapes::collection(&collection)))
}

/// `PUT /v1/collections/{collection}`: creates it; once more changes nothing.
async fn create(
    State(app): State<AppState>,
    Path(collection): Path<String>,
    caller: Caller,
) -> Result<Json<wire::Collection>, ApiError> {
    caller.may_do_all()?;
    let id: CollectionId = collection.parse()?;
    let create = move |app: &App| match app.people.create_collection(&id, BTreeMap::new()) {
        Ok(_) | Err(PeopleError::CollectionExists(_)) => app.people.collection(&id),
        Err(error) => Err(error),
    };
    let collection = asked(app, create).await?;
    Ok(Json(shapes::collection(&collection)))
}

/// `DELETE /v1/collections/{collection}`: with all people, vectors and pictures in it.
async fn delete_collection(
    State(app): State<AppState>,
    Path(collection): Path<String>,
    caller: Caller,
) -> Result<StatusCode, ApiError> {
    caller.may_do_all()?;
    let id: CollectionId = collection.parse()?;
    asked(app, move |app| app.people.delete_collection(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/collections/{collection}/observations`
async fn observe(
    State(app): State<AppState>,
    Path(collection): Path<String>,
    caller: Caller,
    AwsJson(seen): AwsJson<wire::Observation>,
) -> Result<Json<wire::Observed>, ApiError> {
    caller.may_do_all()?;
    let collection: CollectionId = collection.parse()?;
    let seen = new_sighting(seen)?;
    let observed = asked(app, move |app| app.people.observe(&collection, seen)).await?;
    Ok(Json(shapes::observed(&observed)))
}

fn new_sighting(seen: wire::Observation) -> Result<NewSighting, ApiError> {
    let crop = seen.crop.map(|text| STANDARD.decode(text)).transpose();
    let producer = ProducerTimestamp::from_secs_f64(seen.producer_timestamp);
    let server = ServerTimestamp::from_secs_f64(seen.server_timestamp);
    Ok(NewSighting {
        embedding: embedding(seen.embedding)?,
        confidence: seen.confidence,
        bounds: shapes::from_box(seen.bounding_box),
        stream: seen.stream,
        fragment: seen.fragment_number,
        producer: producer.ok_or_else(|| ApiError::invalid("producerTimestamp is no time."))?,
        server: server.ok_or_else(|| ApiError::invalid("serverTimestamp is no time."))?,
        track: seen.track_id,
        crop: crop.map_err(|_| ApiError::invalid("crop is not base64."))?,
        threshold: seen.threshold.unwrap_or(DEFAULT_THRESHOLD),
        max_matches: seen.max_matches.unwrap_or(DEFAULT_MATCHES).min(MAX_PAGE),
    })
}

fn embedding(numbers: Vec<f32>) -> Result<Embedding, ApiError> {
    let invalid = || ApiError::invalid("embedding must be a list of finite numbers.");
    Embedding::new(numbers).ok_or_else(invalid)
}

/// `POST /v1/collections/{collection}/search`
async fn search(
    State(app): State<AppState>,
    Path(collection): Path<String>,
    caller: Caller,
    AwsJson(search): AwsJson<wire::Search>,
) -> Result<Json<wire::Found>, ApiError> {
    caller.may_do_all()?;
    let collection: CollectionId = collection.parse()?;
    let limit = page(search.limit);
    let threshold = search.threshold.unwrap_or(DEFAULT_THRESHOLD);
    let wanted = match (search.sighting_id, search.face_id, search.embedding) {
        (Some(id), None, None) => Wanted::Sighting(id.parse()?),
        (None, Some(id), None) => Wanted::Face(id.parse()?),
        (None, None, Some(numbers)) => Wanted::Look(embedding(numbers)?),
        _ => return Err(ApiError::invalid("Give one of sightingId, faceId and embedding.")),
    };
    let search =
        move |app: &App| app.people.search_sightings(&collection, &wanted, threshold, limit);
    let found = asked(app, search).await?;
    Ok(Json(wire::Found { sightings: found.iter().map(shapes::found).collect() }))
}

/// Which people are listed.
#[derive(Deserialize)]
struct PeopleQuery {
    known: Option<bool>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/collections/{collection}/people?known=&after=&limit=`
async fn people(
    State(app): State<AppState>,
    Path(collection): Path<String>,
    Query(query): Query<PeopleQuery>,
    caller: Caller,
) -> Result<Json<wire::PeoplePage>, ApiError> {
    caller.may_do_all()?;
    let collection: CollectionId = collection.parse()?;
    let after = query.after.map(|id| id.parse()).transpose()?;
    let limit = page(query.limit);
    let list = move |app: &App| app.people.people(&collection, query.known, after, limit);
    let people = asked(app, list).await?;
    let people: Vec<_> =
        people.iter().map(|(person, newest)| shapes::person(person, newest)).collect();
    let next = people.last().filter(|_| people.len() == limit).map(|last| last.id.clone());
    Ok(Json(wire::PeoplePage { people, next }))
}

/// `GET /v1/collections/{collection}/people/{person}`
async fn one_person(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<wire::Person>, ApiError> {
    caller.may_do_all()?;
    let (collection, id) = in_collection(path)?;
    told(app, collection, id).await
}

/// `PATCH /v1/collections/{collection}/people/{person}`
async fn rename(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    caller: Caller,
    AwsJson(change): AwsJson<Value>,
) -> Result<Json<wire::Person>, ApiError> {
    caller.may_do_all()?;
    let (collection, id): (CollectionId, PersonId) = in_collection(path)?;
    // A name that is absent must not be taken for null.
    if change.get("name").is_none() {
        return Err(ApiError::invalid("name must be given; null takes it away."));
    }
    let change = serde_json::from_value(change);
    let wire::Rename { name } = change.map_err(|error| ApiError::invalid(format!("{error}.")))?;
    let of = collection.clone();
    asked(app.clone(), move |app| app.people.rename(&of, id, name)).await?;
    told(app, collection, id).await
}

/// `DELETE /v1/collections/{collection}/people/{person}`: with all vectors and pictures.
async fn delete(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    caller: Caller,
) -> Result<StatusCode, ApiError> {
    caller.may_do_all()?;
    let (collection, id): (CollectionId, PersonId) = in_collection(path)?;
    asked(app, move |app| app.people.delete_person(&collection, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/collections/{collection}/people/{person}/merge`: the person that both are now.
async fn merge(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    caller: Caller,
    AwsJson(merge): AwsJson<wire::Merge>,
) -> Result<Json<wire::Person>, ApiError> {
    caller.may_do_all()?;
    let (collection, from): (CollectionId, PersonId) = in_collection(path)?;
    let into = merge.into.parse()?;
    let of = collection.clone();
    asked(app.clone(), move |app| app.people.merge(&of, from, into)).await?;
    told(app, collection, into).await
}

/// `POST /v1/collections/{collection}/people/{person}/split`: the new person.
async fn split(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    caller: Caller,
    AwsJson(split): AwsJson<wire::Split>,
) -> Result<Json<wire::Person>, ApiError> {
    caller.may_do_all()?;
    let (collection, from): (CollectionId, PersonId) = in_collection(path)?;
    let ids: Result<Vec<SightingId>, _> = split.sightings.iter().map(|id| id.parse()).collect();
    let (ids, of) = (ids?, collection.clone());
    let new = asked(app.clone(), move |app| app.people.split(&of, from, &ids)).await?;
    told(app, collection, new).await
}

/// `POST /v1/collections/{collection}/people/{person}/not`: who was seen then instead.
async fn not_this_person(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    caller: Caller,
    AwsJson(not): AwsJson<wire::NotThisPerson>,
) -> Result<Json<wire::Person>, ApiError> {
    caller.may_do_all()?;
    let (collection, person): (CollectionId, PersonId) = in_collection(path)?;
    let (sighting, of) = (not.sighting.parse()?, collection.clone());
    let say = move |app: &App| app.people.not_this_person(&of, person, sighting);
    let other = asked(app.clone(), say).await?;
    told(app, collection, other).await
}

/// Which sightings are listed.
#[derive(Deserialize)]
struct SightingsQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/collections/{collection}/people/{person}/sightings?after=&limit=`: newest first.
async fn sightings(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    Query(query): Query<SightingsQuery>,
    caller: Caller,
) -> Result<Json<wire::SightingsPage>, ApiError> {
    caller.may_do_all()?;
    let (collection, person): (CollectionId, PersonId) = in_collection(path)?;
    let after = query.after.map(|id| id.parse()).transpose()?;
    let limit = page(query.limit);
    let list = move |app: &App| app.people.sightings(&collection, person, after, limit);
    let sightings = asked(app, list).await?;
    let sightings: Vec<_> = sightings.iter().map(shapes::sighting).collect();
    let next = sightings.last().filter(|_| sightings.len() == limit).map(|last| last.id.clone());
    Ok(Json(wire::SightingsPage { sightings, next }))
}

/// `GET /v1/collections/{collection}/sightings/{sighting}`
async fn one_sighting(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<wire::Sighting>, ApiError> {
    caller.may_do_all()?;
    let (collection, id): (CollectionId, SightingId) = in_collection(path)?;
    let sighting = asked(app, move |app| app.people.sighting(&collection, id)).await?;
    Ok(Json(shapes::sighting(&sighting)))
}

/// `GET /v1/collections/{collection}/sightings/{sighting}/crop.jpg`
async fn crop(
    State(app): State<AppState>,
    Path(path): Path<(String, String)>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.may_read_crop(&path.0, &path.1)?;
    let (collection, id): (CollectionId, SightingId) = in_collection(path)?;
    let crop = asked(app, move |app| app.people.crop(&collection, id)).await?;
    let missing = || ApiError::new(ErrorKind::ResourceNotFound, "There is no such picture.");
    let jpeg = crop.ok_or_else(missing)?;
    // A surer look may replace it.
    let head = [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "private, no-cache")];
    Ok((head, jpeg).into_response())
}

/// Asks the domain, where it may block.
async fn asked<T: Send + 'static>(
    app: AppState,
    ask: impl FnOnce(&App) -> Result<T, PeopleError> + Send + 'static,
) -> Result<T, ApiError> {
    blocking(move || Ok(ask(&app)?)).await
}

/// A person as it is now.
async fn told(
    app: AppState,
    collection: CollectionId,
    id: PersonId,
) -> Result<Json<wire::Person>, ApiError> {
    let (person, newest) = asked(app, move |app| app.people.person(&collection, id)).await?;
    Ok(Json(shapes::person(&person, &newest)))
}

fn in_collection<T>((collection, id): (String, String)) -> Result<(CollectionId, T), ApiError>
where
    T: std::str::FromStr<Err = InvalidUuid>,
{
    Ok((collection.parse()?, id.parse()?))
}

fn page(limit: Option<usize>) -> usize {
    limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
}

impl From<PeopleError> for ApiError {
    fn from(error: PeopleError) -> Self {
        use PeopleError as E;
        let kind = match &error {
            E::NoCollection(_)
            | E::NoFace(_)
            | E::NoPerson(_)
            | E::NoSighting(_)
            | E::NoUser(_) => ErrorKind::ResourceNotFound,
            E::CollectionExists(_) | E::UserExists(_) => ErrorKind::ResourceInUse,
            E::WrongLength { .. } | E::Invalid(_) => ErrorKind::InvalidArgument,
            E::Limit { .. } => ErrorKind::ClientLimitExceeded,
            E::Store(_) | E::Random(_) => return Self::internal(error),
        };
        let mut text = error.to_string();
        text[..1].make_ascii_uppercase();
        Self::new(kind, text + ".")
    }
}

impl From<InvalidCollectionId> for ApiError {
    fn from(error: InvalidCollectionId) -> Self {
        Self::invalid(format!("Collection: {error}."))
    }
}

impl From<InvalidUuid> for ApiError {
    fn from(error: InvalidUuid) -> Self {
        Self::invalid(format!("{error}."))
    }
}
