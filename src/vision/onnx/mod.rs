//! Networks: loading ONNX files for a fixed input, running them, and what ours are run for.
//!
//! The only place that knows the inference engine (tract). A network is shared by its clones and
//! runs on the thread that calls it: a stream's pictures are looked at by one thread, and two on
//! one picture gain little.

mod confirmer;
mod detector;
mod recogniser;
mod separable;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use super::decoders::{OutputError, Signature, UnknownModel};

pub use confirmer::Confirmer;
pub use detector::{Detector, DetectorOptions};
pub use recogniser::{LEAST_WIDTH, Recogniser, SAME_PERSON};

/// The largest model file that is read.
pub const MAX_MODEL_BYTES: u64 = 512 * 1024 * 1024;
/// The longest edge of a network's input in pixels.
pub const MAX_INPUT_EDGE: usize = 4096;
/// Planes of colour in every input.
const CHANNELS: usize = 3;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than [`MAX_MODEL_BYTES`].
    #[error("{}: it has {bytes} bytes, at most {MAX_MODEL_BYTES} are read", path.display())]
    Large {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The engine does not understand the file, or not with this input.
    #[error("{}: no ONNX model that can be run: {reason}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        reason: String,
    },
    /// The input is none of a picture.
    #[error("{}: its input is {found}, expected [1, 3, height, width]", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// The input that it has.
        found: String,
    },
    /// The outputs are none of a known detector.
    #[error("{}: {source}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        source: UnknownModel,
    },
    /// The outputs are not those of the model that was expected.
    #[error("{}: {expected} was expected; it has the outputs {found}", path.display())]
    Outputs {
        /// The file.
        path: PathBuf,
        /// The model that was expected, with its outputs.
        expected: &'static str,
        /// The outputs that it has.
        found: String,
    },
}

/// Why a picture got no answer. The next one may.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The engine gave up.
    #[error("the network could not be run: {0}")]
    Engine(String),
    /// The outputs are no answer.
    #[error("the network's answer is none: {0}")]
    Output(#[from] OutputError),
}

/// A network that is ready to run.
#[derive(Clone)]
pub struct Network {
    plan: Arc<TypedRunnableModel>,
    signature: Arc<Signature>,
}

impl Network {
    /// Loads a model for an input of this size; for the size that the file fixes when none is given,
    /// or for the one that `otherwise` chooses by the number of outputs.
    ///
    /// # Errors
    /// The file cannot be read, or is no network that takes a picture.
    pub fn load(
        path: &Path,
        input: Option<(usize, usize)>,
        otherwise: impl FnOnce(usize) -> Option<(usize, usize)>,
    ) -> Result<Self, LoadError> {
        let engine = |error: TractError| LoadError::Engine {
            path: path.into(),
            reason: format!("{error:#}"),
        };
        let bytes = read(path)?;
        let mut model = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_read(&mut &bytes[..])
            .map_err(engine)?;
        let outputs = model.output_outlets().map_err(engine)?.to_vec();
        let (width, height) = match input.or_else(|| fixed_input(&model)) {
            Some(size) => size,
            None => otherwise(outputs.len()).ok_or_else(|| wrong_input(path, &model))?,
        };
        let edges = 1..=MAX_INPUT_EDGE;
        if model.inputs.len() != 1 || !edges.contains(&width) || !edges.contains(&height) {
            return Err(wrong_input(path, &model));
        }
        let names = outputs.iter().map(|outlet| {
            let label = model.outlet_label(*outlet).map(str::to_owned);
            label.unwrap_or_else(|| model.node(outlet.node).name.clone())
        });
        let names: Vec<String> = names.collect();
        let fact = f32::fact([1, CHANNELS, height, width]).into();
        model.set_input_fact(0, fact).map_err(engine)?;
        let model = model.into_typed().and_then(separable::join).map_err(engine)?;
        let model = model.into_optimized().map_err(engine)?;
        let shapes = (0..names.len()).map(|output| shape(&model, output));
        let shapes = shapes.collect::<TractResult<Vec<_>>>().map_err(engine)?;
        let outputs = names.into_iter().zip(shapes).collect();
        let signature = Arc::new(Signature { input: (width, height), outputs });
        Ok(Self { plan: model.into_runnable().map_err(engine)?, signature })
    }

    /// The input's size and the outputs.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Runs the network on the planes of one picture and hands its outputs to `with`.
    ///
    /// # Errors
    /// The planes are not of the input's size, the engine gave up, or `with` found no answer.
    pub fn run<T>(
        &self,
        planes: &[f32],
        with: impl FnOnce(&[&[f32]]) -> Result<T, OutputError>,
    ) -> Result<T, RunError> {
        let engine = |error: TractError| RunError::Engine(format!("{error:#}"));
        let (width, height) = self.signature.input;
        let input = Tensor::from_shape(&[1, CHANNELS, height, width], planes).map_err(engine)?;
        let outputs = self.plan.run(tvec!(input.into())).map_err(engine)?;
        let slices = outputs.iter().map(|output| output.try_as_plain_ram()?.as_slice::<f32>());
        let slices = slices.collect::<TractResult<Vec<_>>>().map_err(engine)?;
        Ok(with(&slices)?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let file = |source| LoadError::File { path: path.into(), source };
    let bytes = std::fs::metadata(path).map_err(file)?.len();
    if bytes > MAX_MODEL_BYTES {
        return Err(LoadError::Large { path: path.into(), bytes });
    }
    std::fs::read(path).map_err(file)
}

/// Width and height, when the file fixes both.
fn fixed_input(model: &InferenceModel) -> Option<(usize, usize)> {
    let shape = &model.input_fact(0).ok()?.shape;
    let length = |dim: usize| shape.dim(dim)?.concretize()?.to_i64().ok()?.try_into().ok();
    Some((length(3)?, length(2)?))
}

fn wrong_input(path: &Path, model: &InferenceModel) -> LoadError {
    let found = model.input_fact(0).map_or("none".to_owned(), |fact| format!("{:?}", fact.shape));
    LoadError::Input { path: path.into(), found }
}

fn shape(model: &TypedModel, output: usize) -> TractResult<Vec<usize>> {
    let fact = model.output_fact(output)?;
    let shape = fact.shape.as_concrete().map(<[usize]>::to_vec);
    shape.ok_or_else(|| TractError::msg(format!("output {output} has no fixed shape: {fact:?}")))
}

/// Outputs as they are named in messages.
fn listed(signature: &Signature) -> String {
    let outputs = signature.outputs.iter().map(|(name, shape)| format!("{name} {shape:?}"));
    outputs.collect::<Vec<_>>().join(", ")
}
