//! `DetectFaces`, `CompareFaces`

use super::Call;
use super::error::Failure;
use super::pictures::{bounding_box, confidence};
use super::quality::Filter;
use crate::people::DEFAULT_THRESHOLD;
use crate::vision::faces::similarity;
use crate::wire::rekognition::faces::{
    CompareFacesInput, CompareFacesMatch, CompareFacesOutput, ComparedSourceImageFace,
    DetectFacesInput, DetectFacesOutput,
};

/// `DetectFaces`: what is known of each face, whatever attributes are asked for.
pub(super) async fn detect(
    call: Call,
    input: DetectFacesInput,
) -> Result<DetectFacesOutput, Failure> {
    let looked = call.look(input.image).await?;
    let details = looked.faces.iter().map(|seen| looked.detail(seen)).collect();
    Ok(DetectFacesOutput { face_details: Some(details) })
}

/// `CompareFaces`: the largest face of the source with all of the target.
pub(super) async fn compare(
    call: Call,
    input: CompareFacesInput,
) -> Result<CompareFacesOutput, Failure> {
    let threshold = input.similarity_threshold.unwrap_or(f64::from(DEFAULT_THRESHOLD));
    let filter = Filter::asked(input.quality_filter.as_deref(), Filter::None);
    let source = call.look(input.source_image).await?;
    let target = call.look(input.target_image).await?;
    let largest = source.faces.first().ok_or_else(no_face)?;
    let wanted = largest.embedding.as_ref().ok_or_else(no_face)?;
    let (mut matches, mut unmatched) = (Vec::new(), Vec::new());
    for seen in target.faces.iter().filter(|seen| filter.reasons(seen).is_empty()) {
        let distance = seen.embedding.as_ref().and_then(|found| wanted.distance(found));
        let alike = distance.map_or(0.0, |distance| f64::from(similarity(distance)));
        let face = target.detail(seen);
        if alike >= threshold {
            matches.push(CompareFacesMatch { similarity: Some(alike), face: Some(face) });
        } else {
            unmatched.push(face);
        }
    }
    matches.sort_by(|a, b| b.similarity.unwrap_or(0.0).total_cmp(&a.similarity.unwrap_or(0.0)));
    Ok(CompareFacesOutput {
        source_image_face: Some(ComparedSourceImageFace {
            bounding_box: Some(bounding_box(source.place(&largest.face.bounds))),
            confidence: Some(confidence(largest)),
        }),
        face_matches: Some(matches),
        unmatched_faces: Some(unmatched),
    })
}

/// In the words of AWS, and ours.
pub(super) fn no_face() -> Failure {
    Failure::invalid("There are no faces in the image that can be compared with others.")
}
