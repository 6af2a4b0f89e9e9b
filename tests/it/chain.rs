//! What goes wrong on the real chain, and how runs begin and end: film, server, processor, findings.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kinora::client::{Client, Options};
use kinora::clock::Clock;
use kinora::media::mkv::{EventKind, Reader};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::detect::{START, film, film_by, findings, frames_of, import};
use crate::support::{Random, Server};

const SIZE: &str = "width=640,height=360";
/// Pictures with a face that are looked at in a film.
const IN_A_FILM: usize = 15;

impl Server {
    /// The processor, when it is as it should be.
    fn wait_for_door(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..300 {
            let door = self.door();
            if is(&door) {
                return door;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("never {what}: {}", self.door())
    }

    /// A processor over the film at `START`, which has begun to look at it.
    fn started(&self, film: &Path) {
        import(self, "door", film, START);
        self.create_processor();
        self.start_door(json!({"start": {"producerTimestamp": START}}));
    }

    fn start_door(&self, how: Value) {
        let (status, answer) = self.native("POST", "/v1/processors/door/start", how);
        assert_eq!(status, 200, "{answer}");
    }
}

fn failed(door: &Value) -> u64 {
    door["frames"]["failed"].as_u64().expect("a number")
}

fn says(door: &Value, what: &str) -> bool {
    door["message"].as_str().expect("a text").contains(what)
}

/// Overwrites the frames of a film where `damage` does so; frames are counted from 0.
fn damage(film: &Path, mut damage: impl FnMut(usize, &mut [u8])) {
    let mut bytes = std::fs::read(film).expect("the film is there");
    let mut reader = Reader::new(16 << 20);
    reader.push(&bytes);
    let mut frames = Vec::new();
    while let Some(event) = reader.next_event().expect("it is sound") {
        if let EventKind::Frames(some) = event.kind {
            frames.extend(some.into_iter().map(|frame| frame.data));
        }
    }
    let mut from = 0;
    for (index, frame) in frames.iter().enumerate() {
        let at = bytes[from..].windows(frame.len()).position(|part| part == &frame[..]);
        let at = from + at.expect("frames lie in the file as they are");
        from = at + frame.len();
        damage(index, &mut bytes[at..from]);
    }
    std::fs::write(film, bytes).expect("written");
}

#[test]
fn damaged_pictures_are_told_and_those_around_them_are_looked_at() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start();
    let good = film(dir.path(), "good.mkv", SIZE);
    let (flipped, garbage) = (dir.path().join("flipped.mkv"), dir.path().join("garbage.mkv"));
    // The first fragment of each, of two seconds: bits that turned within slices, which decoders
    // hide as well as they can, and nothing that is H.264 at all.
    std::fs::copy(&good, &flipped).expect("copied");
    damage(&flipped, |index, frame| {
        let middle = frame.len() / 2;
        let bytes = frame[middle..].iter_mut().step_by(3).filter(|_| index < 50);
        bytes.for_each(|byte| *byte ^= 0x5a);
    });
    std::fs::copy(&good, &garbage).expect("copied");
    let mut random = Random(5);
    damage(&garbage, |index, frame| {
        let bytes = frame.iter_mut().filter(|_| index < 50);
        bytes.for_each(|byte| *byte = random.below(256) as u8);
    });
    server.started(&good);
    server.wait_for_findings(IN_A_FILM);
    import(&server, "door", &flipped, START + 3.0);
    import(&server, "door", &garbage, START + 6.0);
    import(&server, "door", &good, START + 9.0);
    let damaged = [3.0..5.0, 6.0..8.0];
    let sound = |time: f64| !damaged.iter().any(|part| part.contains(&(time - START + 0.001)));
    let wanted = 2 * IN_A_FILM + 2 * IN_A_FILM / 3;
    let found = (0..120).find_map(|_| {
        std::thread::sleep(Duration::from_millis(300));
        let mut found = server.stored_findings();
        found.retain(|record| sound(record.kinora.frame_timestamp));
        (frames_of(&found).len() >= wanted).then_some(found)
    });
    let door = server.door();
    let found = found.unwrap_or_else(|| panic!("sound pictures are missing: {door}"));
    assert_eq!(frames_of(&found).len(), wanted);
    assert_eq!(door["status"], "RUNNING", "{door}");
    assert!(failed(&door) >= 10 && says(&door, "were not decoded"), "{door}");
    assert!(server.metric("kinora_processor_failed_frames{processor=\"door\"}") >= 10.0);
}

#[test]
fn codec_may_change_and_one_that_is_not_decoded_is_named() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start();
    let h264 = film(dir.path(), "h264.mkv", SIZE);
    let h265 = "x265enc key-int-max=25 tune=zerolatency bitrate=800 ! h265parse ! matroskamux";
    let h265 = film_by(dir.path(), "h265.mkv", SIZE, h265);
    let vp8 = film_by(dir.path(), "vp8.mkv", SIZE, "vp8enc keyframe-max-dist=25 ! matroskamux");
    server.started(&h264);
    import(&server, "door", &h265, START + 3.0);
    server.wait_for_findings(2 * IN_A_FILM);
    import(&server, "door", &vp8, START + 6.0);
    let door = server.wait_for_door("told", |door| says(door, "V_VP8 is not decoded"));
    assert_eq!((&door["status"], failed(&door) > 0), (&json!("RUNNING"), true), "{door}");
    import(&server, "door", &h264, START + 9.0);
    server.wait_for_findings(3 * IN_A_FILM);
}

#[test]
fn model_that_gives_no_numbers_is_told_and_nothing_else_suffers() {
    let dir = TempDir::new().expect("a directory");
    // All bits set is no number; the last weights are those of scores.
    let mut model = std::fs::read("models/blazeface-back.onnx").expect("`make models` made it");
    let scores = model.len() - 1800;
    model[scores..scores + 256].fill(0xff);
    let own = dir.path().join("own.onnx");
    std::fs::write(&own, model).expect("written");
    let settings = [("KINORA_VISION_DETECTOR", own.to_str().expect("text"))];
    let server = Server::start_configured(&settings);
    server.started(&film(dir.path(), "a.mkv", SIZE));
    let door = server.wait_for_door("through", |door| failed(door) >= IN_A_FILM as u64);
    assert!(says(&door, "not finite"), "{door}");
    assert_eq!((&door["status"], &door["frames"]["analysed"]), (&json!("RUNNING"), &json!(0)));
    assert_eq!(server.stored_findings(), []);
    // Whoever looks with a sound model finds the face.
    let (records, _) = findings(&server, "door");
    assert_eq!(frames_of(&records).len(), IN_A_FILM);
    let (status, _) = server.native("POST", "/v1/processors/door/stop", json!({}));
    assert_eq!(status, 200);
    server.wait_for_door("stopped", |door| door["status"] == "STOPPED");
}

#[test]
fn run_ends_by_itself_when_its_time_is_over() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start();
    let film = film(dir.path(), "a.mkv", SIZE);
    import(&server, "door", &film, START);
    server.create_processor();
    let start = json!({"KVSStreamStartSelector": {"ProducerTimestamp": (START * 1000.0) as i64}});
    let stop = json!({"MaxDurationInSeconds": 15});
    let start = json!({"Name": "door", "StartSelector": start, "StopSelector": stop});
    server.rekognition_ok("StartStreamProcessor", start);
    server.wait_for_findings(IN_A_FILM);
    let door = server.wait_for_door("stopped", |door| door["status"] == "STOPPED");
    assert_eq!(door["stopAfterSeconds"], 15);

    for refused in [
        json!({"stopAfterSeconds": 0}),
        json!({"stop": 5}),
        json!({"start": {"fragmentNumber": "first"}}),
        json!({"start": {"producerTimestamp": -1}}),
    ] {
        let (status, answer) = server.native("POST", "/v1/processors/door/start", refused);
        assert_eq!(status, 400, "{answer}");
    }
    // Again from the beginning, and the same findings are no new ones.
    let start = json!({"start": {"producerTimestamp": START}, "stopAfterSeconds": 15});
    server.start_door(start);
    let looked = |door: &Value| door["frames"]["analysed"] == IN_A_FILM;
    let door = server.wait_for_door("looked at", looked);
    assert_eq!(door["start"], json!({"producerTimestamp": START}));
    let door = server.wait_for_door("stopped", |door| door["status"] == "STOPPED");
    assert_eq!((&door["generation"], &door["message"]), (&json!(2), &json!("")));
    let found = server.stored_findings();
    let with_face = found.iter().filter(|record| !record.face_search_response.is_empty());
    assert_eq!(with_face.count(), IN_A_FILM);
    // Without a body, it goes on behind what is done.
    server.start_door(json!({}));
    server.wait_for_door("running", |door| door["status"] == "RUNNING");
}

/// `kinora detect --processors` with an address and a key, killed when dropped.
struct Elsewhere(Child);

impl Elsewhere {
    fn run(server: &Server, arguments: &[&str]) -> Self {
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinora"));
        command.args(["detect", "--processors", "--models", models]).args(arguments);
        command.args(["--endpoint", &server.endpoint]);
        command.env("AWS_ACCESS_KEY_ID", &server.credentials.access_key);
        command.env("AWS_SECRET_ACCESS_KEY", &server.credentials.secret);
        command.current_dir(std::env::temp_dir()).stderr(Stdio::piped());
        Self(command.spawn().expect("kinora runs"))
    }

    /// Sends SIGINT and waits; what it said.
    fn stop(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
        let status = self.0.wait().expect("our own child");
        let mut words = String::new();
        let mut stderr = self.0.stderr.take().expect("it is piped");
        std::io::Read::read_to_string(&mut stderr, &mut words).expect("text");
        assert!(status.success(), "{status}: {words}");
        words
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // It has ended by itself where it was asked to.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processors_run_elsewhere_with_an_address_and_a_key() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start_configured(&[("KINORA_DETECT_ENABLED", "false")]);
    let film = film(dir.path(), "a.mkv", SIZE);
    server.started(&film);
    let first = Elsewhere::run(&server, &[]);
    server.wait_for_findings(IN_A_FILM);
    server.wait_for_door("running", |door| door["status"] == "RUNNING");
    let words = first.stop();
    assert!(!words.contains("ERROR"), "{words}");
    // Nobody stopped the processor: whoever comes next goes on where the first one was.
    assert_eq!(server.door()["status"], "RUNNING");
    import(&server, "door", &film, START + 3.0);
    let second = Elsewhere::run(&server, &[]);
    server.wait_for_findings(2 * IN_A_FILM);
    let (status, _) = server.native("POST", "/v1/processors/door/stop", json!({}));
    assert_eq!(status, 200);
    server.wait_for_door("stopped", |door| door["status"] == "STOPPED");
    second.stop();
}

/// A certificate that no authority signed, and its key, as files and settings.
fn own_certificate(dir: &Path, name: &str) -> [(&'static str, String); 2] {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (cert_file, key_file) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert_file, cert.pem()).expect("written");
    std::fs::write(&key_file, signing_key.serialize_pem()).expect("written");
    [("KINORA_TLS_CERT", cert_file), ("KINORA_TLS_KEY", key_file)]
        .map(|(name, file)| (name, file.display().to_string()))
}

/// What the processor is by a client that trusts this certificate.
async fn wait_for_frames(server: &Server, certificate: &str, frames: u64) {
    let trusted = CertificateDer::pem_file_iter(certificate).expect("a file");
    let options = Options {
        endpoint: Some(server.endpoint.clone()),
        region: "us-east-1".to_owned(),
        credentials: server.credentials.clone(),
        user_agent: "test".to_owned(),
        trusted: trusted.collect::<Result<_, _>>().expect("a certificate"),
        sole_endpoint: false,
    };
    let client = Client::new(options, Clock::system()).expect("sound options");
    let mut last = None;
    for _ in 0..300 {
        let door = client.processors().await.expect("an answer").remove(0);
        if door.frames.analysed >= frames {
            return;
        }
        last = Some(door);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("never so far: {last:?}");
}

#[tokio::test]
async fn processors_run_here_and_elsewhere_where_no_authority_signed_the_certificate() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start_configured(&[("KINORA_DETECT_ENABLED", "false")]);
    let film = film(dir.path(), "a.mkv", SIZE);
    server.started(&film);
    let (_, data) = server.stop();
    // The certificate is for a name that leads nowhere from here.
    let tls = own_certificate(dir.path(), "video.example.org");
    let [(_, certificate), _] = &tls;
    let mut settings: Vec<_> = tls.iter().map(|(name, file)| (*name, file.as_str())).collect();
    settings.push(("KINORA_DETECT_ENABLED", "false"));
    let server = Server::start_with_settings_in(data, &settings);
    let doubtful = Elsewhere::run(&server, &[]);
    std::thread::sleep(Duration::from_secs(3));
    let words = doubtful.stop();
    assert!(words.contains("certificate"), "{words}");
    let trusting = Elsewhere::run(&server, &["--ca-bundle", certificate]);
    wait_for_frames(&server, certificate, IN_A_FILM as u64).await;
    trusting.stop();
    let (_, data) = server.stop();
    let disabled = settings.pop().expect("there are three");
    let server = Server::start_with_settings_in(data, &[disabled]);
    import(&server, "door", &film, START + 3.0);
    let (_, data) = server.stop();
    // The server itself needs to be told nothing, wherever the world finds it.
    settings.push(("KINORA_PUBLIC_URL", "https://video.example.org"));
    let server = Server::start_with_settings_in(data, &settings);
    wait_for_frames(&server, certificate, IN_A_FILM as u64).await;
}
