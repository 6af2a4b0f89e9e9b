//! The demo's film holds what its script says, to the eyes of the models that the demo runs.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kinora::vision::faces::{BoundingBox, Embedding, Face, Point};
use kinora::vision::models::{CONFIRMER, DETECTOR, RECOGNISER};
use kinora::vision::onnx::{Confirmer, Detector, DetectorOptions, Recogniser, SAME_PERSON};
use kinora::vision::picture::Picture;
use serde::Deserialize;

/// From which overlap on a box is that of the face.
const LEAST_OVERLAP: f32 = 0.33;
/// Boxes count from so many seconds after a face came in, and until so many before it goes out.
const MARGIN: f32 = 0.1;

/// `media-fixtures/scene.json`.
#[derive(Deserialize)]
struct Script {
    width: u32,
    height: u32,
    fps: u32,
    seconds: f32,
    persons: Persons,
    passages: Vec<Passage>,
}

#[derive(Deserialize)]
struct Persons {
    enrolled: Enrolled,
}

#[derive(Deserialize)]
struct Enrolled {
    portrait: PathBuf,
}

#[derive(Deserialize)]
struct Passage {
    person: String,
    from: f32,
    to: f32,
    whole: Whole,
}

/// While the whole face is in the picture.
#[derive(Deserialize)]
struct Whole {
    first: Moment,
    last: Moment,
}

#[derive(Deserialize)]
struct Moment {
    seconds: f32,
    face: Place,
}

#[derive(Deserialize)]
struct Place {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
}

impl Passage {
    /// Where the face is; `None` while it is not wholly to be seen.
    fn face_at(&self, seconds: f32) -> Option<BoundingBox> {
        let Whole { first, last } = &self.whole;
        if !(first.seconds + MARGIN..last.seconds - MARGIN).contains(&seconds) {
            return None;
        }
        let part = (seconds - first.seconds) / (last.seconds - first.seconds);
        let left = first.face.left + part * (last.face.left - first.face.left);
        let Place { top, width, height, .. } = first.face;
        let centre = Point { x: left + width / 2.0, y: top + height / 2.0 };
        Some(BoundingBox::around(centre, width, height))
    }

    fn is_on(&self, seconds: f32) -> bool {
        (self.from..=self.to).contains(&seconds)
    }
}

#[test]
fn who_passes_in_the_scene_is_found_and_told_apart_whenever_the_script_says_so() {
    let text = std::fs::read_to_string(root().join("media-fixtures/scene.json"));
    let script: Script = serde_json::from_str(&text.expect("the script")).expect("its shape");
    let eyes = Eyes::open();
    let enrolled = eyes.portrait(&root().join(&script.persons.enrolled.portrait));

    let film = root().join("media-fixtures/scene.mp4");
    let every_second = format!("select='not(mod(n,{}))'", script.fps);
    let mut frames = Frames::of(&film, &["-vf", &every_second], (script.width, script.height));
    let (mut known, mut strangers) = (0, 0);
    let mut seconds = 0.0;
    while let Some(frame) = frames.next() {
        let picture = frames.picture(&frame);
        let mut found = eyes.detector.detect(&picture).expect("an answer");
        for passage in &script.passages {
            let Some(place) = passage.face_at(seconds) else { continue };
            let of_it = found.iter().position(|face| face.bounds.overlap(&place) > LEAST_OVERLAP);
            let at = of_it.unwrap_or_else(|| {
                panic!("{} is not found at {seconds} s; found: {found:?}", passage.person)
            });
            let face = found.remove(at);
            assert!(face.bounds.width() >= 60.0, "large enough to be known: {face:?}");
            let distance = eyes.describe(&picture, &face).distance(&enrolled).expect("one size");
            match passage.person.as_str() {
                "enrolled" => known += 1,
                _ => strangers += 1,
            }
            let same = passage.person == "enrolled";
            assert_eq!(distance < SAME_PERSON, same, "{} at {seconds} s", passage.person);
        }
        let somebody = script.passages.iter().any(|passage| passage.is_on(seconds));
        assert!(somebody || found.is_empty(), "nobody is there at {seconds} s: {found:?}");
        seconds += 1.0;
    }
    assert!(seconds >= script.seconds - 1.0, "the film ends at {seconds} s");
    assert!(known > 8 && strangers > 8, "{known} and {strangers} faces were compared");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The models that the demo runs.
struct Eyes {
    detector: Detector,
    recogniser: Recogniser,
}

impl Eyes {
    fn open() -> Self {
        let model = |name: &str| root().join("models").join(name);
        let detector = Detector::load(&model(DETECTOR), &DetectorOptions::default());
        let confirmer = Confirmer::load(&model(CONFIRMER)).expect("`make models` makes it");
        Self {
            detector: detector.expect("`make models` makes it").confirmed_by(confirmer),
            recogniser: Recogniser::load(&model(RECOGNISER)).expect("`make models` makes it"),
        }
    }

    /// Whom the one face of a picture looks like.
    fn portrait(&self, path: &Path) -> Embedding {
        // Any size will do whose proportions are those of a portrait.
        let mut frames = Frames::of(path, &["-vf", "scale=600:-2,crop=600:720:0:0"], (600, 720));
        let frame = frames.next().expect("a picture");
        let picture = frames.picture(&frame);
        let found = self.detector.detect(&picture).expect("an answer");
        assert_eq!(found.len(), 1, "one face is in {}", path.display());
        self.describe(&picture, &found[0])
    }

    fn describe(&self, picture: &Picture<'_>, face: &Face) -> Embedding {
        let landmarks = face.landmarks.expect("O-Net gives them");
        self.recogniser.describe(picture, &landmarks).expect("an answer").expect("a usable face")
    }
}

/// Frames as ffmpeg decodes them.
struct Frames {
    ffmpeg: std::process::Child,
    width: u32,
    height: u32,
}

impl Frames {
    fn of(file: &Path, arguments: &[&str], (width, height): (u32, u32)) -> Self {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-i"]).arg(file).args(arguments);
        ffmpeg.args(["-vsync", "0", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
        let ffmpeg = ffmpeg.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        Self { ffmpeg: ffmpeg.expect("`make setup` installs ffmpeg"), width, height }
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; self.width as usize * self.height as usize * 3];
        let output = self.ffmpeg.stdout.as_mut().expect("standard output is piped");
        output.read_exact(&mut frame).ok()?;
        Some(frame)
    }

    fn picture<'a>(&self, frame: &'a [u8]) -> Picture<'a> {
        let stride = self.width as usize * 3;
        Picture::new(self.width, self.height, stride, frame).expect("a whole frame")
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // It has ended by itself where all frames were read.
        let _ = self.ffmpeg.kill();
        let _ = self.ffmpeg.wait();
    }
}
