//! Files that are not what they should be. `make models` made those that are.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::decoders::OutputError;
use super::super::models::{CONFIRMER, DETECTOR, RECOGNISER};
use super::super::picture::Picture;
use super::*;

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

fn detector(path: &Path) -> Result<Detector, LoadError> {
    Detector::load(path, &DetectorOptions::default())
}

/// A file of these bytes.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("own.onnx");
    fs::write(&path, bytes).expect("the file is written");
    (dir, path)
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let whole = fs::read(model(DETECTOR)).expect("`make models` made it");
    for bytes in [&b""[..], b"no model at all", &whole[..whole.len() / 2], &[0xff; 4096]] {
        let (_dir, path) = file(bytes);
        let refused = detector(&path).err().expect("it is refused").to_string();
        assert!(refused.contains("own.onnx"), "{refused}");
    }
    assert!(matches!(detector(Path::new("missing.onnx")), Err(LoadError::File { .. })));
}

#[test]
fn a_model_in_the_place_of_another_is_told_what_was_expected() {
    let error = detector(&model(RECOGNISER)).err().expect("it finds no faces").to_string();
    assert!(error.contains("descriptor [1, 128]") && error.contains("yunet"), "{error}");
    let error = Confirmer::load(&model(DETECTOR)).err().expect("it is no O-Net").to_string();
    assert!(error.contains("O-Net"), "{error}");
    let error = Recogniser::load(&model(DETECTOR)).err().expect("it describes none").to_string();
    assert!(error.contains("recogniser"), "{error}");
}

#[test]
fn weights_that_are_no_numbers_fail_the_picture_and_nothing_else() {
    let mut bytes = fs::read(model(DETECTOR)).expect("`make models` made it");
    // The weights of the last scores: a ReLU behind them would make zeros of what is no number. All
    // bits set is none, wherever a number begins.
    let scores = bytes.len() - 1800;
    bytes[scores..scores + 256].fill(0xff);
    let (_dir, path) = file(&bytes);
    let broken = detector(&path).expect("its shapes are those of a detector");
    let image = image::RgbImage::from_pixel(640, 360, image::Rgb([128; 3]));
    let picture = Picture::of(&image).expect("it is sound");
    let answer = broken.detect(&picture);
    let refused = matches!(answer, Err(RunError::Output(OutputError::NotFinite { .. })));
    assert!(refused, "{answer:?}");
}

#[test]
fn pictures_of_every_shape_are_looked_at() {
    let confirmer = Confirmer::load(&model(CONFIRMER)).expect("`make models` made it");
    let detector = detector(&model(DETECTOR)).expect("`make models` made it");
    let detector = detector.confirmed_by(confirmer);
    for (width, height) in [(1, 1), (1, 700), (700, 1), (64, 1000)] {
        let image = image::RgbImage::new(width, height);
        let picture = Picture::of(&image).expect("it is sound");
        let faces = detector.detect(&picture).expect("there is an answer");
        assert_eq!(faces, [], "{width}x{height}");
    }
}
