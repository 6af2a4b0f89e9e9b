//! Decoders on outputs that were made by hand, and on anything at all.

use proptest::prelude::*;

use super::*;

const INPUT: (usize, usize) = (64, 64);

fn signature(shapes: &[&[usize]]) -> Signature {
    let outputs = shapes.iter().enumerate();
    let outputs = outputs.map(|(at, shape)| (format!("o{at}"), shape.to_vec())).collect();
    Signature { input: INPUT, outputs }
}

/// The shapes of each family for an input of 64 × 64.
fn shapes(family: Family) -> Vec<Vec<usize>> {
    let cells = [64, 16, 4];
    match family {
        Family::BlazeFace => {
            vec![vec![1, 32, 1], vec![1, 24, 1], vec![1, 32, 16], vec![1, 24, 16]]
        }
        Family::UltraFace => vec![vec![1, 100, 2], vec![1, 100, 4]],
        Family::YuNet => [1, 1, 4, 10]
            .iter()
            .flat_map(|numbers| cells.map(|cells| vec![1, cells, *numbers]))
            .collect(),
        Family::Scrfd => [1, 4, 10]
            .iter()
            .flat_map(|numbers| cells.map(|cells| vec![cells * 2, *numbers]))
            .collect(),
        Family::RetinaFace | Family::RetinaFaceSmall => {
            vec![vec![1, 168, 4], vec![1, 168, 2], vec![1, 168, 10]]
        }
    }
}

fn all() -> impl Iterator<Item = Family> {
    KNOWN.iter().map(|known| known.0)
}

fn decoder(family: Family) -> Decoder {
    let shapes = shapes(family);
    let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    Decoder::new(&signature(&shapes), Some(family)).expect("it is of the family")
}

/// Outputs of zeros.
fn silent(family: Family) -> Vec<Vec<f32>> {
    shapes(family).iter().map(|shape| vec![0.0; shape.iter().product()]).collect()
}

fn faces(family: Family, outputs: &[Vec<f32>]) -> Result<Vec<Face>, OutputError> {
    let outputs: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
    decoder(family).faces(&outputs, 0.5, 0.4)
}

/// The only face.
fn one(family: Family, outputs: &[Vec<f32>]) -> Face {
    let faces = faces(family, outputs).expect("it is an answer");
    assert_eq!(faces.len(), 1, "{faces:?}");
    faces.into_iter().next().expect("there is one")
}

fn assert_box(face: &Face, expected: [f32; 4]) {
    let bounds = face.bounds;
    let found = [bounds.left, bounds.top, bounds.right, bounds.bottom];
    let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.01);
    assert!(close, "{found:?}, expected {expected:?}");
}

#[test]
fn each_family_is_recognised_by_its_shapes() {
    for family in all() {
        let shapes = shapes(family);
        let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let found = Decoder::new(&signature(&shapes), None).expect("it is known").family();
        let expected = if family == Family::RetinaFaceSmall { Family::RetinaFace } else { family };
        assert_eq!(found, expected);
        assert_eq!(Family::named(family.name()), Some(family));
    }
}

#[test]
fn a_model_that_is_no_detector_is_told_what_was_expected() {
    let classifier = signature(&[&[1, 1000]]);
    let error = Decoder::new(&classifier, None).expect_err("it is none").to_string();
    for word in ["o0 [1, 1000]", "64x64", "yunet", "scrfd", "retinaface", "ultraface"] {
        assert!(error.contains(word), "{word} is missing in: {error}");
    }
    let wrong = Decoder::new(&classifier, Some(Family::YuNet)).expect_err("it is none");
    assert!(!wrong.to_string().contains("scrfd"), "{wrong}");
}

#[test]
fn blazeface_counts_from_the_middle_of_the_cell() {
    let mut outputs = silent(Family::BlazeFace);
    outputs[0].fill(-9.0);
    outputs[1].fill(-9.0);
    // The second anchor of the cell in column 1, row 2, of four columns of 16 pixels.
    let row = (2 * 4 + 1) * 2 + 1;
    outputs[0][row] = 2.0;
    outputs[2][row * 16..][..4].copy_from_slice(&[1.0, -1.0, 20.0, 10.0]);
    let face = one(Family::BlazeFace, &outputs);
    assert_box(&face, [15.0, 34.0, 35.0, 44.0]);
    assert!((face.confidence - 0.8808).abs() < 1e-3);
}

#[test]
fn ultraface_gives_parts_of_the_edges() {
    let mut outputs = silent(Family::UltraFace);
    outputs[0][7 * 2 + 1] = 0.9;
    outputs[1][7 * 4..][..4].copy_from_slice(&[0.25, 0.5, 0.5, 0.75]);
    assert_box(&one(Family::UltraFace, &outputs), [16.0, 32.0, 32.0, 48.0]);
}

#[test]
fn yunet_multiplies_its_scores_and_counts_from_the_corner() {
    let mut outputs = silent(Family::YuNet);
    // Column 3, row 1, of four columns of 16 pixels.
    (outputs[1][7], outputs[4][7]) = (0.81, 1.0);
    outputs[7][7 * 4..][..4].copy_from_slice(&[0.5, 0.5, 0.0, 0.0]);
    outputs[10][7 * 10] = 1.0;
    let face = one(Family::YuNet, &outputs);
    assert!((face.confidence - 0.9).abs() < 1e-6);
    assert_box(&face, [48.0, 16.0, 64.0, 32.0]);
    let landmarks = face.landmarks.expect("it has landmarks");
    assert_eq!(landmarks[0], super::super::faces::Point { x: 64.0, y: 16.0 });
}

#[test]
fn scrfd_gives_distances_from_the_corner() {
    let mut outputs = silent(Family::Scrfd);
    // Column 1, row 1, of two columns of 32 pixels; its first anchor.
    outputs[2][6] = 0.7;
    outputs[5][6 * 4..][..4].copy_from_slice(&[0.5, 0.25, 0.5, 0.25]);
    assert_box(&one(Family::Scrfd, &outputs), [16.0, 24.0, 48.0, 40.0]);
}

#[test]
fn retinaface_counts_in_parts_of_its_anchor() {
    let mut outputs = silent(Family::RetinaFace);
    // The first row of 32-pixel cells, second anchor: 512 pixels.
    let row = 64 * 2 + 16 * 2 + 1;
    outputs[1][row * 2 + 1] = 0.7;
    assert_box(&one(Family::RetinaFace, &outputs), [-240.0, -240.0, 272.0, 272.0]);
    assert_box(&one(Family::RetinaFaceSmall, &outputs), [-112.0, -112.0, 144.0, 144.0]);
}

#[test]
fn a_number_that_is_none_is_an_error_in_every_family() {
    for family in all() {
        for output in 0..shapes(family).len() {
            let mut outputs = silent(family);
            outputs.iter_mut().for_each(|values| values.fill(0.9));
            outputs[output].fill(f32::NAN);
            let found = faces(family, &outputs);
            assert!(matches!(found, Err(OutputError::NotFinite { .. })), "{family:?} {output}");
        }
    }
}

#[test]
fn outputs_of_another_length_are_an_error_in_every_family() {
    for family in all() {
        let mut outputs = silent(family);
        outputs[0].pop();
        assert!(matches!(faces(family, &outputs), Err(OutputError::Length { output: 0, .. })));
        assert!(matches!(faces(family, &[]), Err(OutputError::Length { .. })));
    }
}

proptest! {
    #[test]
    fn any_outputs_give_finite_faces_or_an_error(
        family in proptest::sample::select(all().collect::<Vec<_>>()),
        numbers in proptest::collection::vec(proptest::num::f32::ANY, 1..64),
        tame in -3.0f32..3.0, wild: bool,
    ) {
        let mut outputs = silent(family);
        for (at, value) in outputs.iter_mut().flatten().enumerate() {
            let number = numbers[at % numbers.len()];
            *value = if wild || number.abs() < 100.0 { number } else { tame };
        }
        if let Ok(faces) = faces(family, &outputs) {
            prop_assert!(faces.len() <= MAX_CANDIDATES);
            for face in faces {
                prop_assert!((0.0..=1.0).contains(&face.confidence));
                prop_assert!(face.bounds.is_finite());
            }
        }
    }

    #[test]
    fn any_shapes_are_recognised_or_refused(
        shapes in proptest::collection::vec(
            proptest::collection::vec(0usize..40, 0..4), 0..13),
        width in 1usize..200, height in 1usize..200,
    ) {
        let outputs = shapes.into_iter().map(|shape| (String::new(), shape)).collect();
        let signature = Signature { input: (width, height), outputs };
        for wanted in all().map(Some).chain([None]) {
            let _ = Decoder::new(&signature, wanted);
        }
    }
}
