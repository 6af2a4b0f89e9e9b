//! `IndexFaces`, `ListFaces`, `DeleteFaces`, `SearchFaces`, `SearchFacesByImage`

use super::Call;
use super::collections::{PAGE, collection_id, limit, page};
use super::detect::no_face;
use super::error::{Failure, Kind};
use super::pictures::{Looked, bounding_box, confidence};
use super::quality::Filter;
use crate::people::{DEFAULT_THRESHOLD, FACE_MODEL_VERSION, FaceQuery, Match, NewFace, StoredFace};
use crate::types::FaceId;
use crate::vision::engine::Seen;
use crate::wire::rekognition::collections::{
    DeleteFacesInput, DeleteFacesOutput, Face, FaceMatch, FaceRecord, IndexFacesInput,
    IndexFacesOutput, ListFacesInput, ListFacesOutput, SearchFacesByImageInput,
    SearchFacesByImageOutput, SearchFacesInput, SearchFacesOutput, UnindexedFace, UnsuccessfulFace,
};

/// `IndexFaces`: enrols the largest faces of a picture that are good enough.
pub(super) async fn index(call: Call, input: IndexFacesInput) -> Result<IndexFacesOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    // Before the work is done for a collection that is not there.
    call.app.people.collection(&id)?;
    let looked = call.look(input.image).await?;
    let filter = Filter::asked(input.quality_filter.as_deref(), Filter::Low);
    let most = limit(input.max_faces, usize::MAX);
    let external = input.external_image_id;
    call.change(move |app| {
        let image = app.people.new_image()?;
        let (mut records, mut unindexed) = (Vec::new(), Vec::new());
        for seen in &looked.faces {
            let mut reasons = filter.reasons(seen);
            if reasons.is_empty() && records.len() >= most {
                reasons.push("EXCEEDS_MAX_FACES");
            }
            let detail = looked.detail(seen);
            let Some(embedding) = seen.embedding.clone().filter(|_| reasons.is_empty()) else {
                let reasons = reasons.into_iter().map(str::to_owned).collect();
                let face_detail = Some(detail);
                unindexed.push(UnindexedFace { reasons: Some(reasons), face_detail });
                continue;
            };
            let face = NewFace {
                embedding,
                bounds: looked.place(&seen.face.bounds),
                confidence: seen.face.confidence * 100.0,
                image,
                external: external.clone(),
            };
            let stored = app.people.index_face(&id, face)?;
            records.push(FaceRecord { face: Some(told(stored)), face_detail: Some(detail) });
        }
        Ok(IndexFacesOutput {
            face_records: Some(records),
            face_model_version: Some(FACE_MODEL_VERSION.to_owned()),
            unindexed_faces: Some(unindexed),
        })
    })
    .await
}

/// `ListFaces`: those that were enrolled first first. A token is the face that the page before ended
/// with.
pub(super) async fn list(call: Call, input: ListFacesInput) -> Result<ListFacesOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    let after = input.next_token.map(|token| token.parse()).transpose().map_err(|_| {
        Failure::new(Kind::InvalidPaginationToken, "NextToken is not one of ListFaces.")
    })?;
    let ids = input.face_ids.map(face_ids).transpose()?;
    let query = FaceQuery {
        after,
        limit: limit(input.max_results, PAGE) + 1,
        user: input.user_id.as_deref(),
        ids: ids.as_deref(),
    };
    let found = call.app.people.faces(&id, &query)?;
    let token = |face: &StoredFace| face.info.id.to_string();
    let (faces, next_token) = page(found, input.max_results, PAGE, token);
    Ok(ListFacesOutput {
        faces: Some(faces.into_iter().map(told).collect()),
        next_token,
        face_model_version: Some(FACE_MODEL_VERSION.to_owned()),
    })
}

/// `DeleteFaces`
pub(super) async fn delete(
    call: Call,
    input: DeleteFacesInput,
) -> Result<DeleteFacesOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    let ids = face_ids(input.face_ids.unwrap_or_default())?;
    call.change(move |app| {
        let done = app.people.delete_faces(&id, &ids)?;
        let unknown = done.unknown.iter().map(|face| unsuccessful(*face, "FACE_NOT_FOUND"));
        Ok(DeleteFacesOutput {
            deleted_faces: Some(done.deleted.iter().map(FaceId::to_string).collect()),
            unsuccessful_face_deletions: Some(unknown.collect()),
        })
    })
    .await
}

/// `SearchFaces`
pub(super) async fn search(
    call: Call,
    input: SearchFacesInput,
) -> Result<SearchFacesOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    let face = face_id(&input.face_id.unwrap_or_default())?;
    let (least, most) = (threshold(input.face_match_threshold), limit(input.max_faces, PAGE));
    call.change(move |app| {
        let matches = app.people.search_by_face(&id, face, least, most)?;
        Ok(SearchFacesOutput {
            searched_face_id: Some(face.to_string()),
            face_matches: Some(matches.into_iter().map(told_match).collect()),
            face_model_version: Some(FACE_MODEL_VERSION.to_owned()),
        })
    })
    .await
}

/// `SearchFacesByImage`: those that are like the largest face of a picture.
pub(super) async fn search_by_image(
    call: Call,
    input: SearchFacesByImageInput,
) -> Result<SearchFacesByImageOutput, Failure> {
    let id = collection_id(input.collection_id)?;
    call.app.people.collection(&id)?;
    let looked = call.look(input.image).await?;
    let filter = Filter::asked(input.quality_filter.as_deref(), Filter::None);
    let (least, most) = (threshold(input.face_match_threshold), limit(input.max_faces, PAGE));
    call.change(move |app| {
        let seen = largest(&looked, filter)?;
        let embedding = seen.embedding.as_ref().ok_or_else(no_face)?;
        let matches = app.people.search(&id, embedding, least, most)?;
        Ok(SearchFacesByImageOutput {
            searched_face_bounding_box: Some(bounding_box(looked.place(&seen.face.bounds))),
            searched_face_confidence: Some(confidence(seen)),
            face_matches: Some(matches.into_iter().map(told_match).collect()),
            face_model_version: Some(FACE_MODEL_VERSION.to_owned()),
        })
    })
    .await
}

/// The face of a picture that is looked for.
pub(super) fn largest(looked: &Looked, filter: Filter) -> Result<&Seen, Failure> {
    let passes = |seen: &&Seen| filter.reasons(seen).is_empty();
    looked.faces.iter().find(passes).ok_or_else(no_face)
}

/// The least similarity of matches.
pub(super) fn threshold(asked: Option<f64>) -> f32 {
    asked.map_or(DEFAULT_THRESHOLD, |asked| asked as f32)
}

/// The ids of a request, which the model's constraints have looked at.
pub(super) fn face_ids(ids: Vec<String>) -> Result<Vec<FaceId>, Failure> {
    ids.iter().map(|id| face_id(id)).collect()
}

/// See [`face_ids`].
pub(super) fn face_id(id: &str) -> Result<FaceId, Failure> {
    id.parse().map_err(|error| Failure::invalid(format!("FaceId: {error}.")))
}

/// A face with which something was not done.
pub(super) fn unsuccessful(face: FaceId, reason: &str) -> UnsuccessfulFace {
    UnsuccessfulFace {
        face_id: Some(face.to_string()),
        reasons: Some(vec![reason.to_owned()]),
        ..UnsuccessfulFace::default()
    }
}

fn told(face: StoredFace) -> Face {
    let info = &face.info;
    Face {
        face_id: Some(info.id.to_string()),
        bounding_box: Some(bounding_box(info.bounds)),
        image_id: Some(info.image.to_string()),
        external_image_id: info.external.clone(),
        confidence: Some(f64::from(info.confidence)),
        index_faces_model_version: Some(FACE_MODEL_VERSION.to_owned()),
        user_id: face.user,
    }
}

fn told_match(found: Match) -> FaceMatch {
    FaceMatch { similarity: Some(f64::from(found.similarity)), face: Some(told(found.face)) }
}
