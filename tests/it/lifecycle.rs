//! The server as a process: its connections and its end.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::Server;

#[test]
fn connection_beyond_the_limit_waits_for_its_turn() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("few.toml");
    std::fs::write(&config, "[http]\nmax_connections = 2\n").expect("written");
    let server = Server::start_with(&["--config", config.to_str().expect("text")]);
    let idle = [(); 2].map(|()| TcpStream::connect(server.authority()).expect("connects"));
    let waiting = std::thread::scope(|scope| {
        let third = scope.spawn(|| server.call("/listStreams", "").status);
        std::thread::sleep(Duration::from_millis(200));
        let waiting = !third.is_finished();
        drop(idle);
        assert_eq!(third.join().expect("no panic"), 200);
        waiting
    });
    assert!(waiting, "the third connection was served beside two others");
}

/// A request that is under way may hold up the end; an operator who asks twice does not wait.
#[test]
fn second_signal_ends_the_server_at_once() {
    let mut server = Server::start();
    let mut socket = TcpStream::connect(server.authority()).expect("connects");
    // Whoever has no key is refused before the body.
    let key = &server.credentials.access_key;
    let head = format!(
        "POST /listStreams HTTP/1.1\r\nhost: h\r\nx-amz-date: 20260101T000000Z\r\n\
         authorization: AWS4-HMAC-SHA256 Credential={key}/20260101/r/kinesisvideo/aws4_request, \
         SignedHeaders=host, Signature=0\r\ncontent-length: 5\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("writes");
    std::thread::sleep(Duration::from_millis(300));
    server.terminate();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.exit_status(Duration::ZERO), None, "it waits for the request");
    server.terminate();
    let status = server.exit_status(Duration::from_secs(2)).expect("it ends at once");
    assert_eq!(status.code(), Some(1));
}
