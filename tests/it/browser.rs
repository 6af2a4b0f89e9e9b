//! The console in a real browser, as somebody sees it who has just run `make demo`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::alerts::{nobody, receiver};
use crate::events::{finding, put};
use crate::rekognition::{door, with_streams};
use crate::support::{Server, command};

/// How long a process may take to end after SIGINT.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn demo_plays_live_and_recorded_shows_faces_and_leaves_nothing_behind() {
    let _turn = one_browser_at_a_time();
    let temporary = tempfile::tempdir().expect("a directory");
    let mut demo = command();
    demo.args(["demo", "--listen", "127.0.0.1:0"])
        .env("RUST_LOG", "warn")
        .env("TMPDIR", temporary.path())
        .env("KINORA_STORE_SEGMENT_BYTES", "4194304");
    let mut demo = Process::start(&mut demo);
    let line = demo.line().expect("the demo prints its link");
    let link = line.strip_prefix("kinora demo: watch it at ").expect(&line);
    assert!(!link.contains(":0/"), "the link names the real port: {link}");

    browse(&["live", "demo", link], |request| panic!("the demo's browser asks: {request}"));
    if cfg!(feature = "onnx") {
        browse(&["faces", "film", link], |request| panic!("the demo's browser asks: {request}"));
    }

    assert_eq!(demo.interrupt().code(), Some(0));
    let left: Vec<_> = std::fs::read_dir(temporary.path()).expect("a directory").collect();
    assert!(left.is_empty(), "the demo leaves {left:?}");
}

#[test]
fn test_picture_moves_with_its_clock() {
    let _turn = one_browser_at_a_time();
    let server = Server::start();
    let _camera = start_camera(&server);
    let link = server.key(&["link", "--url", &server.endpoint]);
    browse(&["live", "camera", link.trim()], |request| panic!("the browser asks: {request}"));
}

#[test]
fn playing_goes_on_by_itself_when_the_camera_returns() {
    let _turn = one_browser_at_a_time();
    let server = Server::start();
    let mut camera = Some(start_camera(&server));
    let link = server.key(&["link", "--url", &server.endpoint]);
    browse(&["live", "pause", link.trim()], |request| match request {
        "stop the camera" => {
            let camera = camera.take().expect("it runs");
            assert_eq!(camera.interrupt().code(), Some(0));
        }
        "start the camera" => camera = Some(start_camera(&server)),
        other => panic!("the browser asks: {other}"),
    });
}

#[test]
#[cfg(feature = "onnx")]
fn people_are_enrolled_split_merged_and_deleted_in_the_browser() {
    let _turn = one_browser_at_a_time();
    let server = Server::start();
    let link = server.key(&["link", "--url", &server.endpoint]);
    let portrait = root().join("models/sources/skimage/data/astronaut.png");
    let portrait = portrait.to_str().expect("a path in Unicode");
    browse(&["faces", "people", link.trim(), portrait], |request| {
        assert_eq!(request, "somebody is seen twice");
        for (track, look) in [("a", 0.0), ("b", 0.1)] {
            let path = "/v1/collections/people/observations";
            let (status, said) =
                server.native("POST", path, crate::people::observation(track, look));
            assert_eq!(status, 200, "{said}");
        }
    });
}

#[test]
fn rule_is_made_and_what_it_could_not_deliver_is_sent_again_in_the_browser() {
    let _turn = one_browser_at_a_time();
    let (server, video) = with_streams();
    server.rekognition_ok("CreateStreamProcessor", door(&video));
    let (receiver, posts) = receiver("127.0.0.1:0", 200);
    let (nobody, receiver) = (format!("http://{}/", nobody()), format!("http://{receiver}/hook"));
    let link = server.key(&["link", "--url", &server.endpoint]);
    browse(&["faces", "rules", link.trim(), &nobody, &receiver], |request| {
        assert_eq!(request, "a stranger passes");
        put(&server, &finding("front", "t1").to_string());
    });
    let post = posts.recv_timeout(STOP_TIMEOUT).expect("the receiver is told");
    assert_eq!(post.json()["alert"]["Event"]["TrackId"], "t1");
}

/// Two browsers that decode video at a time are too much for a small machine.
fn one_browser_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start_camera(server: &Server) -> Process {
    let mut produce = command();
    produce
        .env("RUST_LOG", "warn")
        .args(["produce", "test://", "--stream", "door", "--fragment-seconds", "1"])
        .args(["--endpoint", &server.endpoint, "--credentials"])
        .arg(server.data().join("credentials"));
    Process::start(&mut produce)
}

/// Runs a browser script to its good end, given its name, a scenario, a link and what the scenario
/// takes, doing what its lines ask for.
fn browse(words: &[&str], mut request: impl FnMut(&str)) {
    let (script, arguments) = words.split_first().expect("a script is named");
    let script = root().join(format!("tests/browser/{script}.mjs"));
    let mut browser = Process::start(Command::new("node").arg(script).args(arguments));
    while let Some(line) = browser.line() {
        request(&line);
    }
    assert!(browser.wait().success(), "the browser script failed; it says why above");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A child process with its standard output in hand, killed when dropped.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("{:?}: {error}; `make setup` installs what is missing", command.get_program())
        });
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        Self { child, output }
    }

    /// The next line of its standard output; `None` at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        (!line.is_empty()).then(|| line.trim_end().to_owned())
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for the end.
    fn interrupt(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it runs");
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
