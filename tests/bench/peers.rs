//! The peers: nginx with its RTMP module, which records the same media, and nginx as a server of
//! files. Each is one process with one event loop.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::Process;
use crate::stats::directory;

/// Debian's place for it.
const RTMP_MODULE: &str = "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;";
/// How long a peer may take to listen.
const START: Duration = Duration::from_secs(5);

/// nginx-rtmp that writes HLS and a recording of every stream; killed when dropped.
pub struct Rtmp {
    process: Process,
    port: u16,
    dir: tempfile::TempDir,
}

impl Rtmp {
    /// Starts it on a free port and the disk under test.
    pub fn start() -> io::Result<Self> {
        let dir = directory()?;
        let port = free_port()?;
        let root = std::path::absolute(dir.path())?;
        let root = root.display();
        let config = format!(
            "rtmp {{
                 access_log off;
                 server {{
                     listen 127.0.0.1:{port};
                     chunk_size 4096;
                     application live {{
                         live on;
                         hls on; hls_path {root}/hls; hls_fragment 1s; hls_cleanup off;
                         record all; record_path {root}/record;
                     }}
                 }}
             }}"
        );
        ["hls", "record"].iter().try_for_each(|name| std::fs::create_dir(dir.path().join(name)))?;
        let process = nginx(dir.path(), RTMP_MODULE, &config, port)?;
        Ok(Self { process, port, dir })
    }

    /// Plays a file to it in real time, again and again, until the process is dropped.
    pub fn push(&self, file: &Path, index: usize) -> io::Result<Process> {
        let url = format!("rtmp://127.0.0.1:{}/live/load-{index}", self.port);
        let child = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i"])
            .arg(file)
            .args(["-c", "copy", "-f", "flv", &url])
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Process(child))
    }

    /// CPU time so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.process.cpu()
    }

    /// Streams that were recorded.
    pub fn recordings(&self) -> io::Result<usize> {
        let files = std::fs::read_dir(self.dir.path().join("record"))?;
        let files =
            files.map(|file| Ok(file?.metadata()?.len())).collect::<io::Result<Vec<_>>>()?;
        Ok(files.into_iter().filter(|&len| len > 0).count())
    }
}

/// nginx that serves a folder of files; killed when dropped.
pub struct Files {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Files {
    /// Starts it; `sendfile` or read and write.
    pub fn start(sendfile: bool) -> io::Result<Self> {
        let dir = directory()?;
        let port = free_port()?;
        let root = std::path::absolute(dir.path())?;
        let root = root.display();
        let sendfile = if sendfile { "on" } else { "off" };
        let config = format!(
            "http {{
                 access_log off; sendfile {sendfile}; tcp_nopush on;
                 keepalive_requests 1000000000;
                 open_file_cache max=10000; open_file_cache_valid 1h;
                 default_type video/mp4; client_body_temp_path {root}/body;
                 server {{ listen 127.0.0.1:{port}; root {root}; }}
             }}"
        );
        let process = nginx(dir.path(), "", &config, port)?;
        Ok(Self { process, address: (Ipv4Addr::LOCALHOST, port).into(), dir })
    }

    /// Makes bytes available as `/name`.
    pub fn add(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        std::fs::write(self.dir.path().join(name), bytes)
    }

    /// CPU time so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.process.cpu()
    }
}

/// Starts nginx as one process with an event loop, and waits until it listens.
fn nginx(dir: &Path, module: &str, config: &str, port: u16) -> io::Result<Process> {
    let root = std::path::absolute(dir)?;
    let file = root.join("nginx.conf");
    let config = format!(
        "{module}
         daemon off; master_process off; pid {0}/pid; error_log {0}/errors;
         events {{ worker_connections 1024; }}
         {config}",
        root.display()
    );
    std::fs::write(&file, config)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let child = Command::new("nginx")
        .env("PATH", format!("{path}:/usr/sbin"))
        .arg("-c")
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()?;
    let process = Process(child);
    wait_for("nginx", port).map_err(|error| {
        let errors = std::fs::read_to_string(root.join("errors")).unwrap_or_default();
        io::Error::other(format!("{error}: {errors}"))
    })?;
    Ok(process)
}

/// Waits until a peer listens.
pub fn wait_for(peer: &str, port: u16) -> io::Result<()> {
    let start = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if start.elapsed() > START {
            return Err(io::Error::other(format!("{peer} does not start")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A port that nobody listens on, unless somebody takes it at once.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
