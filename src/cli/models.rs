//! `kinora models`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use crate::vision::accuracy::evaluate;
use crate::vision::decoders::{Family, traits};
use crate::vision::models;
use crate::vision::onnx::{Confirmer, Detector, DetectorOptions, Recogniser};

/// Make the models of faces, and look at those of others.
///
/// kinora brings no weights: `make models` fetches published ones and converts them with `build`.
/// A detector of your own serves as well, when it is an ONNX file of a known family: UltraFace,
/// YuNet, SCRFD, RetinaFace. `describe` tells whether it is.
#[derive(Args)]
#[command(verbatim_doc_comment, about = "Make the models of faces, and look at those of others")]
pub(super) struct ModelsCommand {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    Build(Build),
    Describe(Describe),
    Accuracy(Accuracy),
}

/// Convert the published weights to ONNX files.
///
/// Every source is checked before and every result after: a run writes the same bytes as the one
/// whose checksums are in this program, or fails.
#[derive(Args)]
#[command(verbatim_doc_comment)]
struct Build {
    /// The folder with the unpacked packages
    #[arg(long, value_name = "DIR", default_value = "models/sources")]
    from: PathBuf,
    /// The folder for the models
    #[arg(long, value_name = "DIR", default_value = "models")]
    to: PathBuf,
    /// Print nothing when all goes well
    #[arg(long)]
    quiet: bool,
}

/// Say what a detector's file is taken for, or what was expected of it.
#[derive(Args)]
struct Describe {
    /// The ONNX file
    #[arg(value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    how: How,
}

/// Judge a detector by pictures with and without faces, and print the result as tables.
///
/// Without a file: the models that kinora brings. `make models` fetches the pictures.
#[derive(Args)]
#[command(verbatim_doc_comment)]
struct Accuracy {
    /// A detector's ONNX file
    #[arg(value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    how: How,
    /// Believe a detector of your own without letting O-Net confirm each face
    #[arg(long, requires = "model")]
    alone: bool,
    /// The folder with the models
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// The folder with the unpacked packages, which have the pictures
    #[arg(long, value_name = "DIR", default_value = "models/sources")]
    pictures: PathBuf,
}

/// How a detector is run.
#[derive(Args)]
struct How {
    /// The family, when shapes alone do not tell [values: blazeface, ultraface, yunet, scrfd,
    /// retinaface, retinaface-small]
    #[arg(long, value_name = "NAME", value_parser = family)]
    family: Option<Family>,
    /// The input's size; by default that of the file, or the family's own
    #[arg(long, value_name = "WxH", value_parser = size)]
    input: Option<(usize, usize)>,
    /// The confidence from which on a face is believed, 0 to 1 [default: the family's own]
    #[arg(long, value_name = "PART")]
    confidence: Option<f32>,
}

impl ModelsCommand {
    /// Does what was asked for.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.act {
            Act::Build(build) => build.run()?,
            Act::Describe(describe) => describe.run()?,
            Act::Accuracy(accuracy) => accuracy.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Build {
    fn run(self) -> Result<(), Failure> {
        let built = models::build(&self.from, &self.to)?;
        for model in built.iter().filter(|_| !self.quiet) {
            println!("{}  {}  {} bytes", model.sha256, model.name, model.bytes);
        }
        Ok(())
    }
}

impl Describe {
    fn run(self) -> Result<(), Failure> {
        let detector = Detector::load(&self.model, &self.how.options())?;
        let signature = detector.network().signature();
        let traits = traits(detector.family());
        println!("family      {}", detector.family().name());
        println!("input       {}x{}", signature.input.0, signature.input.1);
        println!("confidence  from {}", traits.least_confidence);
        for (name, shape) in &signature.outputs {
            println!("output      {name} {shape:?}");
        }
        Ok(())
    }
}

impl Accuracy {
    fn run(self) -> Result<(), Failure> {
        let file = self.model.unwrap_or_else(|| self.models.join(models::DETECTOR));
        let mut detector = Detector::load(&file, &self.how.options())?;
        if !self.alone {
            let confirmer = Confirmer::load(&self.models.join(models::CONFIRMER))?;
            detector = detector.confirmed_by(confirmer);
        }
        let recogniser = Recogniser::load(&self.models.join(models::RECOGNISER))?;
        print!("{}", evaluate(&self.pictures, &detector, Some(&recogniser))?);
        Ok(())
    }
}

impl How {
    fn options(&self) -> DetectorOptions {
        DetectorOptions {
            family: self.family,
            input: self.input,
            least_confidence: self.confidence,
        }
    }
}

/// A family by its name.
fn family(name: &str) -> Result<Family, String> {
    Family::named(name).ok_or_else(|| format!("{name} is no family of detectors"))
}

/// A width and a height.
fn size(text: &str) -> Result<(usize, usize), String> {
    let edges = text.split_once('x').map(|(width, height)| (width.parse(), height.parse()));
    match edges {
        Some((Ok(width), Ok(height))) => Ok((width, height)),
        _ => Err(format!("{text} is no size like 384x224")),
    }
}
