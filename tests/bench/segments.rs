//! HLS over HTTP: what a player asks for most, beside nginx serving the very same bytes as files.
//! Both are driven by wrk.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::ingest;
use crate::media::{self, VIDEO_TRACK};
use crate::peers::Files;
use crate::server::{START_TIMESTAMP, Server};
use crate::stats::{directory, ms};

/// Fragments of two seconds hold about 250 KB of video, and all of them three times as much as
/// the server's cache of packaged segments.
const FRAGMENT_MS: u64 = 2_000;
const SECONDS: u64 = 800;
const CONNECTIONS: &str = "16";
const TIME: &str = "4s";

/// Asks for one address after the other.
const SCRIPT: &str = r#"
local requests, at = {}, 0
function init(args)
  for line in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", line) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"#;

/// Everything, one ratio per line.
pub fn run() -> io::Result<()> {
    let server = Server::start()?;
    let load = media::load(SECONDS, FRAGMENT_MS)?.whole_fragments();
    ingest::run(&server, "load", 1, &load, false)?;
    let on_demand = Playlist::open(&server, &on_demand_session()?)?;
    let live = Playlist::open(&server, r#"{"StreamName":"load-0"}"#)?;
    let segments = on_demand.segments(&server)?;
    assert_eq!(segments.len() as u64, SECONDS * 1000 / FRAGMENT_MS, "the playlist lists them all");

    let (sendfile, readwrite) = (Files::start(true)?, Files::start(false)?);
    let mut names = Vec::new();
    let mut bytes = 0;
    for (at, segment) in segments.iter().enumerate() {
        let segment = server.get(segment)?;
        bytes += segment.len();
        let name = format!("segment-{at}.mp4");
        sendfile.add(&name, &segment)?;
        readwrite.add(&name, &segment)?;
        names.push(format!("/{name}"));
    }
    let playlist = server.get(&live.path)?;
    sendfile.add("live.m3u8", &playlist)?;
    println!(
        "{} segments of {} KB, a live playlist of {:.1} KB, {CONNECTIONS} connections",
        segments.len(),
        bytes / segments.len() / 1000,
        playlist.len() as f64 / 1e3
    );

    let nginx = |files: &Files, paths: &[String]| drive(files.address, paths, || files.cpu());
    let all_sendfile = nginx(&sendfile, &names)?;
    let all_readwrite = nginx(&readwrite, &names)?;
    let made = drive(server.address, &segments, || server.cpu())?;
    let one_sendfile = nginx(&sendfile, &names[..1])?;
    let same = drive(server.address, &segments[..1], || server.cpu())?;
    let file = nginx(&sendfile, &["/live.m3u8".to_owned()])?;
    let playlist = drive(server.address, &[live.path], || server.cpu())?;

    all_sendfile.print("nginx sendfile, all segments in turn", None);
    all_readwrite.print("nginx read/write, all segments in turn", None);
    made.print("kinora, each made from its stored fragment", Some(&all_sendfile));
    made.print("  the same", Some(&all_readwrite));
    one_sendfile.print("nginx sendfile, the same segment again", None);
    same.print("kinora, the same segment again", Some(&one_sendfile));
    file.print("nginx, the live playlist as a file", None);
    playlist.print("kinora, the live playlist", Some(&file));
    Ok(())
}

fn on_demand_session() -> io::Result<String> {
    let start: u64 = START_TIMESTAMP.parse().map_err(io::Error::other)?;
    Ok(format!(
        r#"{{"StreamName":"load-0","PlaybackMode":"ON_DEMAND","MaxMediaPlaylistFragmentResults":1000,
            "HLSFragmentSelector":{{"FragmentSelectorType":"PRODUCER_TIMESTAMP","TimestampRange":
            {{"StartTimestamp":{start},"EndTimestamp":{}}}}}}}"#,
        start + SECONDS
    ))
}

/// The video's media playlist of a session.
struct Playlist {
    path: String,
}

impl Playlist {
    fn open(server: &Server, session: &str) -> io::Result<Self> {
        let answer = server.call("/getHLSStreamingSessionURL", session)?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let url = answer["HLSStreamingSessionURL"].as_str().unwrap_or_default();
        let master =
            url.split_once("//").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let master = master.ok_or_else(|| io::Error::other(format!("no address: {url}")))?;
        let text = String::from_utf8(server.get(master)?).map_err(io::Error::other)?;
        let links = links(master, &text);
        let video = format!("&TrackNumber={VIDEO_TRACK}");
        let path = links.into_iter().find(|link| link.ends_with(&video));
        Ok(Self { path: path.ok_or_else(|| io::Error::other(format!("no video: {text}")))? })
    }

    fn segments(&self, server: &Server) -> io::Result<Vec<String>> {
        let text = String::from_utf8(server.get(&self.path)?).map_err(io::Error::other)?;
        Ok(links(&self.path, &text))
    }
}

/// The links of a playlist as paths.
fn links(playlist: &str, text: &str) -> Vec<String> {
    let path = playlist.split('?').next().unwrap_or_default();
    let folder = &path[..path.rfind('/').map_or(0, |at| at + 1)];
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| format!("{folder}{line}")).collect()
}

/// What wrk saw of a server.
struct Rate {
    requests_per_second: f64,
    /// Requests per second of the server's CPU time.
    per_cpu_second: f64,
}

impl Rate {
    fn print(&self, name: &str, peer: Option<&Self>) {
        let Self { requests_per_second: rate, per_cpu_second } = self;
        print!("{name}: {rate:.0} requests/s, {per_cpu_second:.0} per CPU-second");
        match peer {
            Some(peer) => println!(
                " = {:.2} x, {:.2} x",
                rate / peer.requests_per_second,
                per_cpu_second / peer.per_cpu_second
            ),
            None => println!(),
        }
    }
}

fn drive(
    address: SocketAddr,
    paths: &[String],
    cpu: impl Fn() -> io::Result<Duration>,
) -> io::Result<Rate> {
    let dir = directory()?;
    let (script, list) = (dir.path().join("turn.lua"), dir.path().join("paths"));
    std::fs::write(&script, SCRIPT)?;
    std::fs::write(&list, paths.join("\n"))?;
    // What is asked for is in the page cache, and the connections' buffers have their size.
    wrk(address, "1s", &script, &list)?;
    let before = cpu()?;
    let (requests, seconds) = wrk(address, TIME, &script, &list)?;
    let cpu_ms = ms(cpu()? - before);
    Ok(Rate { requests_per_second: requests / seconds, per_cpu_second: requests / cpu_ms * 1e3 })
}

/// Requests that were answered with 200, and seconds.
fn wrk(address: SocketAddr, time: &str, script: &Path, paths: &Path) -> io::Result<(f64, f64)> {
    let output = Command::new("wrk")
        .args(["-t1", "-c", CONNECTIONS, "-d", time, "-s"])
        .arg(script)
        .arg(format!("http://{address}/"))
        .arg("--")
        .arg(paths)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = || io::Error::other(format!("wrk: {text}"));
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(failed());
    }
    // "  53412 requests in 4.00s, 12.63GB read"
    let line = text.lines().find(|line| line.contains(" requests in ")).ok_or_else(failed)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| {
        let word = words.get(at)?.trim_end_matches(',').trim_end_matches('s');
        word.parse::<f64>().ok()
    };
    number(0).zip(number(3)).ok_or_else(failed)
}
