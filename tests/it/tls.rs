//! TLS: certificates from files, HTTP/1.1 unless told otherwise.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::Server;

/// What a server with these settings chooses for a client that offers both, and its connection.
async fn chosen(settings: &[(&str, &str)]) -> (Option<Vec<u8>>, TlsStream<TcpStream>, Server) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let dir = tempfile::tempdir().expect("a directory");
    let (cert_file, key_file) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert_file, cert.pem()).expect("written");
    std::fs::write(&key_file, signing_key.serialize_pem()).expect("written");
    let files = [("KINORA_TLS_CERT", &cert_file), ("KINORA_TLS_KEY", &key_file)];
    let files = files.map(|(name, file)| (name, file.to_str().expect("text")));
    let server = Server::start_configured(&[&files, settings].concat());
    assert!(server.endpoint.starts_with("https://127.0.0.1:"), "{}", server.endpoint);

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a valid certificate");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let socket = TcpStream::connect(server.authority()).await.expect("connects");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    let tls = connector.connect(name, socket).await.expect("a handshake");
    (tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec), tls, server)
}

/// C producers ask curl for HTTP/2 where it is offered, and their signatures then break.
#[tokio::test]
async fn client_that_offers_http_2_gets_http_1_1() {
    let (chosen, mut tls, _server) = chosen(&[]).await;
    assert_eq!(chosen.as_deref(), Some(&b"http/1.1"[..]));
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    tls.write_all(request).await.expect("writes");
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn client_that_offers_http_2_gets_it_where_the_operator_says_so() {
    let (chosen, tls, _server) = chosen(&[("KINORA_TLS_HTTP2", "on")]).await;
    assert_eq!(chosen.as_deref(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(tls).await.expect("a handshake");
    tokio::spawn(connection);
    let request = http::Request::get("https://localhost/healthz").body(()).expect("a request");
    let mut client = client.ready().await.expect("ready");
    let (answer, _) = client.send_request(request, true).expect("sent");
    assert_eq!(answer.await.expect("an answer").status(), 200);
}

#[test]
fn file_without_a_certificate_is_named_in_the_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("empty.pem");
    std::fs::write(&file, "").expect("written");
    let output = crate::support::command()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(dir.path().join("data"))
        .arg("--tls-cert")
        .arg(&file)
        .arg("--tls-key")
        .arg(&file)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("empty.pem"), "{message}");
}
