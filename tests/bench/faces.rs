//! The whole way from video to faces: how many frames of a 720p H.264 film are analysed in one second
//! of processor time, here and in the Python that one would write instead, in turns.
//!
//! Both decode with libav, look at every frame, and confirm every candidate. First our parts are set
//! together just as they are there, without and with describing every face; then `kinora detect` does
//! all that it does for a user: it reads the film from a server's archive, follows each face, asks the
//! server who it is, and writes a finding for every frame. That counts from its start to its end, and
//! Python's time without its start.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use gst::prelude::*;
use kinora::vision::models::{CONFIRMER, DETECTOR, RECOGNISER};
use kinora::vision::onnx::{Confirmer, Detector, DetectorOptions, LEAST_WIDTH, Recogniser};
use kinora::vision::picture::{Coding, Picture, Plane};
use kinora::wire::findings::FindingRecord;

use crate::inference::python;
use crate::server::{Server, cpu, cpu_of_children};

/// The file's picture.
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
/// Seconds of it, at 25 frames each.
const SECONDS: u32 = 8;
/// How often the two take turns, after one that warms both up.
const TURNS: usize = 2;
/// How often the film follows itself in the archive, and when it begins there.
const TIMES: u32 = 3;
const START: u32 = 1_700_000_000;
/// What is behind the faces, and whose pictures move in front.
const PICTURES: [&str; 3] = [
    "models/sources/skimage/data/coffee.png",
    "models/sources/skimage/data/astronaut.png",
    "models/sources/face_recognition-1.3.0/tests/test_images/obama.jpg",
];

/// What was done in one turn.
#[derive(Clone, Copy, Default)]
struct Analysed {
    frames: u32,
    faces: u32,
    on_processor: Duration,
}

/// Prints frames per second of processor time, of the parts and of the whole.
pub fn run() -> io::Result<()> {
    let scene = scene()?;
    let ours = Pipeline::load()?;
    let whole = Whole::start(&scene)?;
    let mut theirs = Peer::start(&scene)?;
    println!("{:24}{:>12}{:>14}{:>8}", "per CPU-second", "ours", "Python's", "ratio");
    compare("frames, faces found", || ours.analyse(&scene, false), || theirs.analyse(false))?;
    compare("and described", || ours.analyse(&scene, true), || theirs.analyse(true))?;
    compare("kinora detect", || whole.analyse(), || theirs.analyse(true))?;
    println!("ratio: how many more frames we analyse");
    theirs.stop()
}

/// Lets both take turns, and prints what became of it.
fn compare(
    what: &str,
    mut ours: impl FnMut() -> io::Result<Analysed>,
    mut theirs: impl FnMut() -> io::Result<Analysed>,
) -> io::Result<()> {
    let mut sums = [Analysed::default(); 2];
    for turn in 0..=TURNS {
        let turns = [ours()?, theirs()?];
        if turn > 0 {
            sums.iter_mut().zip(turns).for_each(|(sum, turn)| sum.add(turn));
        }
    }
    let [ours, theirs] = sums;
    let ratio = ours.rate() / theirs.rate();
    println!("{what:24}{:12.1}{:14.1}{ratio:8.2}", ours.rate(), theirs.rate());
    println!("{:24}{:12.2}{:14.2}", "  faces per frame", ours.density(), theirs.density());
    Ok(())
}

impl Analysed {
    fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.faces += other.faces;
        self.on_processor += other.on_processor;
    }

    fn rate(&self) -> f64 {
        f64::from(self.frames) / self.on_processor.as_secs_f64()
    }

    fn density(&self) -> f64 {
        f64::from(self.faces) / f64::from(self.frames)
    }
}

/// Two portraits that move before a still life, made at the first call and kept between runs.
fn scene() -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("faces-{SECONDS}.mkv"));
    if path.exists() {
        return Ok(path);
    }
    let unfinished = folder.join("unfinished-faces.mkv");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-loglevel", "error", "-y"]);
    for picture in PICTURES {
        ffmpeg.args(["-loop", "1", "-framerate", "25", "-t", &SECONDS.to_string(), "-i", picture]);
    }
    let placed = format!(
        "[0]scale={WIDTH}:{HEIGHT}[still];[1]scale=-2:480[left];[2]scale=-2:480[right];\
         [still][left]overlay=x=40+80*(1-cos(t)):y=100[one];\
         [one][right]overlay=x=700-60*(1-cos(t)):y=160,format=yuv420p"
    );
    let status = ffmpeg
        .args(["-filter_complex", &placed, "-c:v", "libx264", "-preset", "veryfast"])
        .args(["-b:v", "2M", "-g", "50"])
        .arg(&unfinished)
        .status()?;
    if !status.success() {
        return Err(io::Error::other("ffmpeg could not make the scene"));
    }
    std::fs::rename(unfinished, &path)?;
    Ok(path)
}

/// Ours: GStreamer decodes, the pictures are looked at as they lie.
struct Pipeline {
    detector: Detector,
    recogniser: Recogniser,
}

impl Pipeline {
    fn load() -> io::Result<Self> {
        gst::init().map_err(io::Error::other)?;
        let model = |name: &str| Path::new("models").join(name);
        let confirmer = Confirmer::load(&model(CONFIRMER)).map_err(io::Error::other)?;
        let detector = Detector::load(&model(DETECTOR), &DetectorOptions::default());
        let detector = detector.map_err(io::Error::other)?.confirmed_by(confirmer);
        let recogniser = Recogniser::load(&model(RECOGNISER)).map_err(io::Error::other)?;
        Ok(Self { detector, recogniser })
    }

    fn analyse(&self, scene: &Path, recognised: bool) -> io::Result<Analysed> {
        let start = cpu("self")?;
        let mut analysed = Analysed::default();
        let (pipeline, frames) = decoder(scene)?;
        pipeline.set_state(gst::State::Playing).map_err(io::Error::other)?;
        // The end of the stream gives no sample.
        while let Ok(sample) = frames.pull_sample() {
            let buffer = sample.buffer().ok_or_else(|| io::Error::other("a frame is empty"))?;
            let bytes = buffer.map_readable().map_err(io::Error::other)?;
            let picture = picture(&bytes).ok_or_else(|| io::Error::other("a frame is short"))?;
            analysed.faces += self.faces(&picture, recognised)?;
            analysed.frames += 1;
        }
        pipeline.set_state(gst::State::Null).map_err(io::Error::other)?;
        analysed.on_processor = cpu("self")? - start;
        Ok(analysed)
    }

    fn faces(&self, picture: &Picture<'_>, recognised: bool) -> io::Result<u32> {
        let faces = self.detector.detect(picture).map_err(io::Error::other)?;
        let wide = faces.iter().filter(|face| recognised && face.bounds.width() >= LEAST_WIDTH);
        for landmarks in wide.filter_map(|face| face.landmarks) {
            self.recogniser.describe(picture, &landmarks).map_err(io::Error::other)?;
        }
        Ok(faces.len() as u32)
    }
}

/// What decodes the scene, and where its frames come out.
fn decoder(scene: &Path) -> io::Result<(gst::Pipeline, gst_app::AppSink)> {
    let described = format!(
        "filesrc location=\"{}\" ! matroskademux ! h264parse ! avdec_h264 max-threads=1 ! \
         video/x-raw,format=I420 ! appsink name=frames sync=false max-buffers=2",
        scene.display()
    );
    let pipeline = gst::parse::launch(&described).map_err(io::Error::other)?;
    let pipeline = pipeline.downcast::<gst::Pipeline>();
    let pipeline = pipeline.map_err(|_| io::Error::other("several elements are a pipeline"))?;
    let frames = pipeline.by_name("frames").and_then(|sink| sink.downcast().ok());
    Ok((pipeline, frames.ok_or_else(|| io::Error::other("there is no sink"))?))
}

/// The planes of a frame, one behind the other as GStreamer lays them when nobody asks otherwise.
fn picture(bytes: &[u8]) -> Option<Picture<'_>> {
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let (luma, colours) = bytes.split_at_checked(width * height)?;
    let (blue, red) = colours.split_at_checked(width / 2 * (height / 2))?;
    let plane = |bytes, stride| Plane { bytes, stride };
    let planes = [plane(luma, width), plane(blue, width / 2), plane(red, width / 2)];
    Picture::i420(WIDTH, HEIGHT, planes, Coding::usual(HEIGHT))
}

/// Ours as a user has it: a server with the film in its archive, and `kinora detect`.
struct Whole {
    server: Server,
}

impl Whole {
    fn start(scene: &Path) -> io::Result<Self> {
        let whole = Self { server: Server::start()? };
        for time in 0..TIMES {
            let start = (START + time * SECONDS).to_string();
            let scene = scene.as_os_str().to_string_lossy();
            whole.kinora(&["import", "door", &scene, "--start", &start])?;
        }
        whole.server.put("/v1/collections/people")?;
        Ok(whole)
    }

    fn analyse(&self) -> io::Result<Analysed> {
        let before = cpu_of_children()?;
        let start = START.to_string();
        let every = ["--stream", "door", "--from", &start, "--max-fps", "0"];
        let output = self.kinora(&[&["detect", "--collection", "people"][..], &every].concat())?;
        let mut analysed =
            Analysed { on_processor: cpu_of_children()? - before, ..Analysed::default() };
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let finding: FindingRecord = serde_json::from_slice(line)?;
            // The last one only ends the tracks.
            if !finding.face_search_response.is_empty() {
                analysed.frames += 1;
                analysed.faces += finding.face_search_response.len() as u32;
            }
        }
        Ok(analysed)
    }

    fn kinora(&self, arguments: &[&str]) -> io::Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinora"));
        command.args(arguments).args(["--endpoint", &format!("http://{}", self.server.address)]);
        command.env("AWS_SHARED_CREDENTIALS_FILE", self.server.credentials_file());
        let output = command.output()?;
        match output.status.success() {
            true => Ok(output),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }
}

/// Theirs: a line in, what was done out.
struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(scene: &Path) -> io::Result<Self> {
        let models = [DETECTOR, CONFIRMER, RECOGNISER].map(|name| Path::new("models").join(name));
        let mut child = Command::new(python()?)
            .arg("tests/bench/faces.py")
            .arg(scene)
            .args(models)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (ask, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(ask), Some(answers)) = (ask, answers) else {
            return Err(io::Error::other("the peer has no pipes"));
        };
        Ok(Self { child, ask, answers: BufReader::new(answers) })
    }

    fn analyse(&mut self, recognised: bool) -> io::Result<Analysed> {
        writeln!(self.ask, "{}", if recognised { "recognise" } else { "find" })?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let numbers =
            line.split_whitespace().map(|number| number.parse().map_err(io::Error::other));
        match numbers.collect::<io::Result<Vec<u32>>>()?[..] {
            [frames, faces, micros] => {
                let on_processor = Duration::from_micros(micros.into());
                Ok(Analysed { frames, faces, on_processor })
            }
            _ => Err(io::Error::other(format!("the peer said {line:?}"))),
        }
    }

    /// An end of its input ends it.
    fn stop(self) -> io::Result<()> {
        let Self { mut child, ask, answers } = self;
        drop((ask, answers));
        child.wait().map(drop)
    }
}
