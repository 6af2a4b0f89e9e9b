//! Files in and out: `PUT media`, `kinora import`, `kinora export`, and what ffprobe and GStreamer
//! say of each stored chunk by itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kinora::media::mkv::Frame;
use serde_json::Value;
use tempfile::TempDir;

use crate::kvs::{captures, fixture, fixture_names, frames_of};
use crate::producer::{Head, of_kind, put_media};
use crate::support::{Server, command};

/// 2024-05-01T12:00:00Z.
const START: &str = "1714564800";
const START_MS: i64 = 1_714_564_800_000;

/// Ten seconds of pictures with B-frames and a key frame every two seconds, and sound.
const FILM: &str = "-f lavfi -i testsrc2=size=160x90:rate=25:duration=10 \
    -f lavfi -i sine=frequency=440:sample_rate=48000:duration=10 -c:a aac -b:a 32k";
const H264: &str = "-c:v libx264 -preset veryfast -g 50 -bf 2";
const H265: &str =
    "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=50 -tag:v hvc1";

/// A folder of films.
struct Films(TempDir);

impl Films {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a file with ffmpeg.
    fn make(&self, name: &str, arguments: &str) -> PathBuf {
        let path = self.path(name);
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-y"])
            .args(arguments.split_whitespace())
            .arg(&path)
            .output()
            .expect("ffmpeg is installed (make setup)");
        assert!(output.status.success(), "{name}: {}", said(&output));
        path
    }

    /// The film in H.264 as a plain MP4 file with its index at the end.
    fn plain(&self) -> PathBuf {
        self.make("plain.mp4", &format!("{FILM} {H264}"))
    }

    /// The film's frames in another form.
    fn copy(&self, from: &Path, name: &str, arguments: &str) -> PathBuf {
        self.make(name, &format!("-i {} -c copy {arguments}", from.display()))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Uploads a file with curl: the status, and the lines of the answer.
fn put(server: &Server, stream: &str, file: &Path, query: &str) -> (u16, Vec<Value>) {
    let key = format!("{}:{}", server.credentials.access_key, server.credentials.secret);
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "60", "-w", "%{stderr}%{http_code}", "-u", &key, "-T"])
        .arg(file)
        .arg(format!("{}/v1/streams/{stream}/media?{query}", server.endpoint))
        .output()
        .expect("curl is installed (make setup)");
    let lines = String::from_utf8(output.stdout.clone()).expect("text");
    let lines = lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
    let status = said(&output).trim().parse().expect("a status");
    (status, lines.collect())
}

/// The last line of an upload that must go well.
fn stored(server: &Server, stream: &str, file: &Path, query: &str) -> Value {
    let (status, lines) = put(server, stream, file, query);
    let end = lines.last().cloned().unwrap_or_default();
    assert_eq!((status, &end["EventType"]), (200, &"END".into()), "{file:?}: {lines:?}");
    end
}

/// Runs `kinora import` or `export` with the server's root key.
fn kinora(server: &Server, arguments: &[&str], files: &[&Path]) -> Output {
    command()
        .args(arguments)
        .args(files)
        .args(["--endpoint", &server.endpoint, "--credentials"])
        .arg(server.data().join("credentials"))
        .output()
        .expect("kinora runs")
}

fn kinora_succeeds(server: &Server, arguments: &[&str], files: &[&Path]) -> String {
    let output = kinora(server, arguments, files);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// What ffprobe says of a file's tracks: codec, packets. It must find nothing wrong.
fn probe(file: &Path) -> Vec<(String, u64)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=codec_name,nb_read_packets"])
        .arg(file)
        .output()
        .expect("ffprobe is installed (make setup)");
    assert!(output.status.success() && output.stderr.is_empty(), "{file:?}: {}", said(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    let mut tracks: Vec<(String, u64)> = text
        .lines()
        .filter_map(|line| line.split_once(','))
        .map(|(codec, count)| (codec.to_owned(), count.parse().expect("a count")))
        .collect();
    tracks.sort();
    tracks
}

/// Seconds that ffprobe gives a file.
fn length(file: &Path) -> f64 {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0", "-show_entries", "format=duration"])
        .arg(file)
        .output()
        .expect("ffprobe is installed (make setup)");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a length")
}

/// Decodes all of a file; ffmpeg must find nothing wrong.
fn decode(file: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed (make setup)");
    assert!(output.status.success() && output.stderr.is_empty(), "{file:?}: {}", said(&output));
}

/// Plays a file with GStreamer.
fn play(file: &Path) {
    let output = Command::new("timeout")
        .args([
            "60",
            "gst-launch-1.0",
            "-q",
            "playbin",
            "video-sink=fakesink",
            "audio-sink=fakesink",
        ])
        .arg(format!("uri=file://{}", file.display()))
        .output()
        .expect("GStreamer is installed (make setup)");
    let said = said(&output);
    assert!(output.status.success() && !said.contains("ERROR"), "{file:?}: {said}");
}

/// The stored chunks of a stream, byte by byte, in the order of their times.
fn chunks(server: &Server, stream: &str) -> Vec<Vec<u8>> {
    let listing = server.get_with_key(&format!("/v1/streams/{stream}/fragments"));
    let listing: Value = serde_json::from_slice(&listing.body).expect("JSON");
    let fragments = listing["fragments"].as_array().expect("a list");
    let numbers = fragments.iter().map(|fragment| fragment["number"].as_str().expect("a number"));
    numbers
        .map(|number| {
            let path = format!("/v1/streams/{stream}/fragments/{number}");
            let answer = server.get_with_key(&path);
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("content-type"), Some("video/x-matroska"));
            answer.body
        })
        .collect()
}

/// Each chunk is a file by itself: ffprobe finds every frame in it and nothing wrong with it, and
/// GStreamer plays the first.
fn chunks_play(server: &Server, stream: &str) -> Vec<Frame> {
    let folder = Films::new();
    let mut frames = Vec::new();
    for (index, chunk) in chunks(server, stream).iter().enumerate() {
        let path = folder.path(&format!("{stream}-{index}.mkv"));
        std::fs::write(&path, chunk).expect("a file");
        let own = frames_of(chunk);
        let probed: u64 = probe(&path).iter().map(|(_, count)| count).sum();
        assert_eq!(probed, own.len() as u64, "{stream}: chunk {index}");
        if index == 0 {
            play(&path);
        }
        frames.extend(own);
    }
    frames
}

/// Bytes of each track's frames, in the order of the file.
fn sizes(frames: &[Frame], track: u64) -> Vec<usize> {
    frames.iter().filter(|frame| frame.track == track).map(|frame| frame.data.len()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_chunk_of_a_producers_upload_is_a_file_by_itself() {
    let server = Server::start();
    for (name, body) in captures() {
        server.create_stream(&name, 24).await;
        let relative = name.contains("relative");
        let head = if relative { Head::relative(&name, START) } else { Head::absolute(&name) };
        let acks = put_media(&server, &head, &body, 65_524);
        assert!(!of_kind(&acks, "PERSISTED").is_empty(), "{name}");
        chunks_play(&server, &name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mkv_file_that_is_put_becomes_chunks_with_all_its_frames() {
    let server = Server::start();
    for name in fixture_names().iter().filter(|name| !name.ends_with("zlib")) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("media-fixtures/{name}.mkv"));
        server.create_stream(name, 24).await;
        let (_, lines) = put(&server, name, &path, &format!("start={START}"));
        let last = lines.last().expect("a line");
        let whole = last["EventType"] == "END";
        // Some were cut in the middle of an element when the connection broke.
        let cut = last["Message"].as_str().is_some_and(|text| text.contains("ends too early"));
        assert!(whole || cut, "{name}: {last}");
        let (read, sent) = (chunks_play(&server, name), frames_of(&fixture(name)));
        for track in [1, 2] {
            let (read, sent) = (sizes(&read, track), sizes(&sent, track));
            assert!(sent.starts_with(&read) && !(whole && read != sent), "{name}: track {track}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mp4_in_every_form_becomes_the_same_chunks() {
    let server = Server::start();
    let films = Films::new();
    let plain = films.plain();
    let expected = probe(&plain);
    let forms = [
        ("plain", plain.clone()),
        ("faststart", films.copy(&plain, "fast.mp4", "-movflags +faststart")),
        ("fragmented", films.copy(&plain, "frag.mp4", "-movflags frag_keyframe+empty_moov")),
        (
            "cmaf",
            films.copy(
                &plain,
                "cmaf.mp4",
                "-movflags frag_every_frame+empty_moov+default_base_moof",
            ),
        ),
        ("quicktime", films.copy(&plain, "film.mov", "")),
        ("matroska", films.copy(&plain, "film.mkv", "")),
    ];
    for (name, path) in forms {
        server.create_stream(name, 24).await;
        let end = stored(&server, name, &path, &format!("start={START}"));
        assert_eq!((&end["Fragments"], &end["AlreadyStored"]), (&5.into(), &0.into()), "{name}");
        let frames = chunks_play(&server, name);
        let counts = [2, 1].map(|track| sizes(&frames, track).len() as u64);
        let probed: Vec<u64> = expected.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts.to_vec(), probed, "{name}");
        let times: Vec<i64> = server
            .list_fragments(name)
            .await
            .iter()
            .map(|f| f.producer_timestamp().expect("a time").to_millis().expect("small"))
            .collect();
        let expected: Vec<i64> = (0..5).map(|n| START_MS + 2000 * n).collect();
        assert_eq!(times, expected, "{name}");
        let again = stored(&server, name, &path, &format!("start={START}"));
        assert_eq!(again["AlreadyStored"], 5, "{name}");
        assert_eq!(chunks(&server, name).len(), 5, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_codecs_and_sound_alone_are_stored_too() {
    let server = Server::start();
    let films = Films::new();
    let forms = [
        ("h265", films.make("h265.mp4", &format!("{FILM} {H265} -movflags +faststart"))),
        ("sound", films.make("sound.m4a", "-f lavfi -i sine=duration=5 -c:a aac")),
        (
            "webm",
            films.make(
                "film.webm",
                "-f lavfi -i testsrc2=size=160x90:rate=25:duration=4 -f lavfi -i sine=duration=4 \
                 -c:v libvpx -g 50 -c:a libopus",
            ),
        ),
    ];
    for (name, path) in forms {
        server.create_stream(name, 24).await;
        stored(&server, name, &path, &format!("start={START}"));
        let frames = chunks_play(&server, name).len() as u64;
        assert_eq!(frames, probe(&path).iter().map(|(_, count)| count).sum::<u64>(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_in_words_and_what_came_before_stays() {
    let server = Server::start();
    server.create_stream("camera", 24).await;
    let films = Films::new();
    let plain = films.plain();
    let fast = films.copy(&plain, "fast.mp4", "-movflags +faststart");
    let cut = films.path("cut.mp4");
    let whole = std::fs::read(&fast).expect("the film");
    std::fs::write(&cut, &whole[..whole.len() * 7 / 10]).expect("a file");
    let (status, lines) = put(&server, "camera", &cut, &format!("start={START}"));
    let last = lines.last().expect("a line");
    assert_eq!((status, &last["EventType"]), (200, &"ERROR".into()), "{lines:?}");
    assert!(last["Message"].as_str().is_some_and(|text| text.contains("ends too early")), "{last}");
    let persisted = lines.iter().filter(|line| line["EventType"] == "PERSISTED").count();
    assert!(persisted >= 2, "{lines:?}");
    assert_eq!(chunks(&server, "camera").len(), persisted);

    let text = films.path("text");
    std::fs::write(&text, "once upon a time").expect("a file");
    let zlib = Path::new(env!("CARGO_MANIFEST_DIR")).join("media-fixtures/mkvmerge-h264-zlib.mkv");
    let vp9 = films.make("vp9.mp4", "-f lavfi -i testsrc2=duration=1:size=64x64 -c:v libvpx-vp9");
    let transport = films.copy(&plain, "film.ts", "");
    for (path, query, expected) in [
        (&text, "start=1", "expected a file in Matroska (MKV), WebM or MP4 form"),
        (&zlib, "start=1", "track 1 is compressed or encrypted"),
        (&vp9, "start=1", "no track has a codec that is taken"),
        (&transport, "start=1", "MPEG-TS"),
        (&fast, "start=soon", "Times are seconds since the Unix epoch"),
        (&fast, "start=embedded", "does not say when it was recorded"),
    ] {
        let (status, lines) = put(&server, "camera", path, query);
        let message = lines.last().and_then(|line| line["Message"].as_str()).unwrap_or_default();
        let first_note = lines.first().is_some_and(|line| line["EventType"] == "NOTE");
        assert_eq!(status, if first_note { 200 } else { 400 }, "{path:?}: {lines:?}");
        assert!(message.contains(expected), "{path:?}: {message}");
    }
    assert_eq!(put(&server, "nothing", &fast, "").0, 404);
    assert_eq!(chunks(&server, "camera").len(), persisted);
}

#[tokio::test(flavor = "multi_thread")]
async fn body_with_its_index_at_the_end_is_kept_within_a_bound_and_removed() {
    let server = Server::start_configured(&[("KINORA_FILES_MAX_SPOOL_BYTES", "100000")]);
    server.create_stream("camera", 24).await;
    let films = Films::new();
    let plain = films.plain();
    let (_, lines) = put(&server, "camera", &plain, &format!("start={START}"));
    let last = lines.last().expect("a line");
    assert!(last["Message"].as_str().is_some_and(|text| text.contains("faststart")), "{last}");
    let left = std::fs::read_dir(server.data().join("uploads")).expect("the folder").count();
    assert_eq!(left, 0);
    let small = films.make("small.mp4", "-f lavfi -i sine=duration=1 -c:a aac");
    stored(&server, "camera", &small, &format!("start={START}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_is_exported_whole_imported_again_and_stored_once() {
    let server = Server::start();
    let films = Films::new();
    for (name, codec) in [("h264", H264), ("h265", H265)] {
        let film = films.make(&format!("{name}.mp4"), &format!("{FILM} {codec}"));
        let import = ["import", name, "--start", "2024-05-01T12:00:00Z"];
        assert!(kinora_succeeds(&server, &import, &[&film]).contains("5 fragments stored"));
        let again = kinora_succeeds(&server, &import, &[&film]);
        assert!(again.contains("all 5 fragments were stored before"), "{again}");
        for form in ["mkv", "mp4"] {
            let out = films.path(&format!("{name}-out.{form}"));
            let told = kinora_succeeds(&server, &["export", name, "-o"], &[&out]);
            assert!(told.contains("in 5 fragments") && !told.contains("missing"), "{told}");
            assert_eq!(probe(&out), probe(&film), "{out:?}");
            assert!((length(&out) - length(&film)).abs() < 0.1, "{out:?}: {}", length(&out));
            decode(&out);
            play(&out);
        }
        let out = films.path(&format!("{name}-out.mkv"));
        let told = kinora_succeeds(&server, &["import", name], &[&out]);
        assert!(told.contains("all 5 fragments were stored before"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn export_of_a_range_tells_gaps_and_lets_the_larger_number_win() {
    let server = Server::start();
    let films = Films::new();
    let film = films.plain();
    for start in ["2024-05-01T12:00:00Z", "2024-05-01T12:01:00Z"] {
        kinora_succeeds(&server, &["import", "camera", "--start", start], &[&film]);
    }
    let out = films.path("out.mkv");
    let range = ["--start", "2024-05-01T12:00:03Z", "--end", "2024-05-01T12:01:03Z"];
    let export = [&["export", "camera"][..], &range, &["-o"]].concat();
    let told = kinora_succeeds(&server, &export, &[&out]);
    let gap = "50.000 s are missing: 2024-05-01T12:00:10.000Z to 2024-05-01T12:01:00.000Z";
    assert!(told.contains(gap), "{told}");
    // From 12:00:02 to 12:00:10, and from 12:01:00 to 12:01:04.
    assert!((length(&out) - 12.0).abs() < 0.1, "{}", length(&out));
    decode(&out);
    let kept = [&["export", "camera", "--overwrite", "--keep-gaps"][..], &range, &["-o"]].concat();
    kinora_succeeds(&server, &kept, &[&out]);
    assert!((length(&out) - 62.0).abs() < 0.1, "{}", length(&out));
    assert!(!kinora(&server, &export, &[&out]).status.success(), "a file is not overwritten");

    // Another film over the end of the first, beginning a second after one of its fragments.
    kinora_succeeds(&server, &["import", "camera", "--start", "2024-05-01T12:00:07Z"], &[&film]);
    let all = ["export", "camera", "--end", "2024-05-01T12:00:30Z", "--overwrite", "-o"];
    let told = kinora_succeeds(&server, &all, &[&out]);
    assert!(told.contains("in 9 fragments"), "{told}");
    assert!((length(&out) - 17.0).abs() < 0.2, "{}", length(&out));
    decode(&out);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fragment_is_exported_as_it_is_stored_or_as_mp4() {
    let server = Server::start();
    let films = Films::new();
    kinora_succeeds(&server, &["import", "camera", "--start", START], &[&films.plain()]);
    let fragments = server.list_fragments("camera").await;
    let number = fragments[2].fragment_number().expect("a number");
    let (mkv, mp4) = (films.path("one.mkv"), films.path("one.mp4"));
    let export = ["export", "camera", "--fragment", number, "-o"];
    kinora_succeeds(&server, &export, &[&mkv]);
    assert_eq!(std::fs::read(&mkv).expect("the file"), chunks(&server, "camera")[2]);
    kinora_succeeds(&server, &export, &[&mp4]);
    assert_eq!(probe(&mkv), probe(&mp4));
    for file in [&mkv, &mp4] {
        decode(file);
        play(file);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_imported_one_behind_the_other_or_at_their_own_times() {
    let server = Server::start();
    let films = Films::new();
    let plain = films.plain();
    let fast = films.copy(&plain, "fast.mp4", "-movflags +faststart");
    kinora_succeeds(&server, &["import", "row", "--start", START], &[&plain, &fast]);
    let fragments = server.list_fragments("row").await;
    let last = fragments.last().and_then(|f| f.producer_timestamp()).expect("a time");
    assert_eq!(last.to_millis().expect("small"), START_MS + 18_000);
    let refused = kinora(&server, &["import", "row"], &[&fast]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("does not say when it was recorded"), "{}", said(&refused));
    let date = "-metadata creation_time=2024-05-01T13:00:00Z";
    for (stream, file) in [
        ("mp4", films.copy(&plain, "dated.mp4", date)),
        ("mkv", films.copy(&plain, "dated.mkv", date)),
    ] {
        kinora_succeeds(&server, &["import", stream], &[&file]);
        let fragments = server.list_fragments(stream).await;
        let first = fragments.first().and_then(|f| f.producer_timestamp()).expect("a time");
        let late = first.to_millis().expect("small") - (START_MS + 3_600_000);
        assert!((0..100).contains(&late), "{stream}: {late} ms");
    }
}

#[cfg(feature = "gstreamer")]
#[tokio::test(flavor = "multi_thread")]
async fn transport_stream_is_imported_by_way_of_gstreamer_and_stored_once() {
    let server = Server::start();
    let films = Films::new();
    let transport = films.copy(&films.plain(), "film.ts", "");
    let import = ["import", "camera", "--start", START];
    let told = kinora_succeeds(&server, &import, &[&transport]);
    assert!(told.contains("5 fragments stored"), "{told}");
    let again = kinora_succeeds(&server, &import, &[&transport]);
    assert!(again.contains("all 5 fragments were stored before"), "{again}");
    let frames = chunks_play(&server, "camera");
    let pictures = probe(&transport).iter().find(|(codec, _)| codec == "h264").expect("it has").1;
    assert_eq!(sizes(&frames, 1).len() as u64, pictures);
    let refused = kinora(&server, &["import", "camera"], &[&transport]);
    assert!(said(&refused).contains("give --start"), "{}", said(&refused));
}
