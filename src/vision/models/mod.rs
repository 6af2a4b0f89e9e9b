//! The models that kinora brings: published weights → ONNX files, the same bytes on every run.
//!
//! The packages that carry the weights are fetched by the package managers of the machine
//! (`make models`); here each file is checked, converted and checked again. What the models are,
//! and how well they do, is in `models/README.md`.
//!
//! Not here: what a model's outputs mean (`decoders`) and how it is run (`onnx`).

mod blazeface;
mod graph;
mod onet;
mod resnet;
mod tfjs;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use graph::Graph;

/// Finds faces: boxes and six key points, trained by MediaPipe for faces at two to five metres.
pub const DETECTOR: &str = "blazeface-back.onnx";
/// Looks at one candidate: is it a face, where exactly, and where are eyes, nose and mouth.
pub const CONFIRMER: &str = "onet.onnx";
/// Turns an aligned face into 128 numbers that are close for the same person.
pub const RECOGNISER: &str = "face-recognition.onnx";

/// Lines of `sha256sum` for the built models: what a script may check without this program.
const EXPECTED: &str = include_str!("../../../models/SHA256SUMS");

/// Why the models could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source is not the one that the conversion was written for.
    #[error("{}: its SHA-256 is {found}, expected {expected}", path.display())]
    Source {
        /// The source file.
        path: PathBuf,
        /// The checksum that it should have, in hex.
        expected: &'static str,
        /// The checksum that it has, in hex.
        found: String,
    },
    /// A source does not hold what its conversion needs.
    #[error("{model}: {source}")]
    Convert {
        /// The model that was to be made.
        model: &'static str,
        /// What was missing or unknown.
        source: ConvertError,
    },
    /// The conversion gave other bytes than it gave when its checksum was written down.
    #[error("{model}: the built file's SHA-256 is {found}, expected {expected}")]
    Result {
        /// The model that was made.
        model: &'static str,
        /// The checksum that it should have, in hex.
        expected: String,
        /// The checksum that it has, in hex.
        found: String,
    },
}

/// What a source lacks for its conversion.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The description of the model is no JSON.
    #[error("the model's description: {0}")]
    Json(#[from] serde_json::Error),
    /// A part of the description or a tensor is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// The file with the weights is too short or too long.
    #[error("the weights have {found} bytes, expected {expected}")]
    Length {
        /// What the description adds up to.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// An operation, a type of number or an attribute that no model of ours has.
    #[error("{0} is not known")]
    Unknown(String),
}

/// One model that was built.
#[derive(Debug)]
pub struct Built {
    /// Its file name.
    pub name: &'static str,
    /// Its length in bytes.
    pub bytes: usize,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// A published file, below the folder into which the packages were unpacked.
struct Source {
    path: &'static str,
    sha256: &'static str,
}

/// How a model is made of its sources.
struct Recipe {
    model: &'static str,
    sources: &'static [Source],
    convert: fn(&[Vec<u8>]) -> Result<Graph, ConvertError>,
}

const RECIPES: &[Recipe] = &[
    Recipe {
        model: DETECTOR,
        sources: &[
            Source {
                path: "node_modules/@vladmandic/human/models/blazeface.json",
                sha256: "cd7bbfc078270572beb39f9e5ae67aadbd50b5e67cff37e6d4f6b3ea39312e5f",
            },
            Source {
                path: "node_modules/@vladmandic/human/models/blazeface.bin",
                sha256: "dc9a97fdc50bc43216554bdd69aa3e7b9361a519ee7bdd996a2f69a98a6f9b72",
            },
        ],
        convert: |sources| blazeface::convert(&sources[0], &sources[1]),
    },
    Recipe {
        model: CONFIRMER,
        sources: &[Source {
            path: "facenet_pytorch/data/onet.pt",
            sha256: "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
        }],
        convert: |sources| onet::convert(&sources[0]),
    },
    Recipe {
        model: RECOGNISER,
        sources: &[
            Source {
                path: "node_modules/@vladmandic/face-api/model/face_recognition_model-weights_manifest.json",
                sha256: "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
            },
            Source {
                path: "node_modules/@vladmandic/face-api/model/face_recognition_model.bin",
                sha256: "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
            },
        ],
        convert: |sources| resnet::convert(&sources[0], &sources[1]),
    },
];

/// Builds every model from the packages unpacked in `sources` into the folder `into`.
///
/// # Errors
/// The first file that is not what it should be; models built before it stay.
pub fn build(sources: &Path, into: &Path) -> Result<Vec<Built>, BuildError> {
    fs::create_dir_all(into).map_err(|source| BuildError::File { path: into.into(), source })?;
    RECIPES.iter().map(|recipe| build_one(recipe, sources, into)).collect()
}

fn build_one(recipe: &Recipe, sources: &Path, into: &Path) -> Result<Built, BuildError> {
    let model = recipe.model;
    let read = recipe.sources.iter().map(|source| read_source(sources, source));
    let graph = (recipe.convert)(&read.collect::<Result<Vec<_>, _>>()?)
        .map_err(|source| BuildError::Convert { model, source })?;
    let bytes = graph.into_bytes();
    let found = sha256(&bytes);
    let expected = expected(model);
    if found != expected {
        return Err(BuildError::Result { model, expected: expected.to_owned(), found });
    }
    write_whole(&into.join(model), &bytes)?;
    Ok(Built { name: model, bytes: bytes.len(), sha256: found })
}

fn read_source(dir: &Path, source: &Source) -> Result<Vec<u8>, BuildError> {
    let path = dir.join(source.path);
    let bytes =
        fs::read(&path).map_err(|source| BuildError::File { path: path.clone(), source })?;
    let found = sha256(&bytes);
    if found != source.sha256 {
        return Err(BuildError::Source { path, expected: source.sha256, found });
    }
    Ok(bytes)
}

/// Puts the file in its place in one step, so that a run cut short leaves no half model behind.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let part = path.with_extension("part");
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, path))
        .map_err(|source| BuildError::File { path: path.into(), source })
}

/// The checksum that a built model must have; empty for one without a line, which nothing equals.
fn expected(model: &str) -> &'static str {
    let line = EXPECTED.lines().find_map(|line| line.split_once("  ").filter(|l| l.1 == model));
    line.map_or("", |(sum, _)| sum)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_committed_checksum() {
        for recipe in RECIPES {
            assert_eq!(expected(recipe.model).len(), 64, "{}", recipe.model);
        }
    }

    #[test]
    fn a_source_with_other_bytes_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join(RECIPES[1].sources[0].path);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("the folder is made");
        fs::write(&path, b"other weights").expect("the file is written");
        let error = build_one(&RECIPES[1], dir.path(), dir.path()).expect_err("it is refused");
        assert!(error.to_string().contains("onet.pt"), "{error}");
        assert!(!dir.path().join(CONFIRMER).exists());
    }
}
