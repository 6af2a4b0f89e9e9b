//! Alerts as mails: a mail server in the test, which refuses, takes, and encrypts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::alert_clips::{mp4, seen};
use crate::alerts::{PATIENCE, appears_at, put_rule, server};
use crate::clip::{assert_plays, record};
use crate::support::Server;

/// One connection to the mail server, from its beginning to its end.
#[derive(Debug, Default)]
struct Talk {
    /// What the client said before and after the connection was encrypted, but for the mail.
    plain: Vec<String>,
    encrypted: Vec<String>,
    mail: Option<String>,
}

impl Talk {
    /// The mail without the breaks of its lines, as each encoding has them.
    fn unfolded(&self) -> String {
        let mail = self.mail.as_deref().expect("a mail");
        let quoted = mail.contains("Content-Transfer-Encoding: quoted-printable");
        let whole = mail.replace("=\r\n", "").replace("\r\n", "");
        if quoted { whole.replace("=3D", "=") } else { whole }
    }

    fn header(&self, name: &str) -> &str {
        let mut lines = self.mail.as_deref().expect("a mail").lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).expect(name)
    }

    /// Whether somebody of this address was to get it.
    fn is_to(&self, address: &str) -> bool {
        let command = format!("RCPT TO:<{address}>");
        self.plain.iter().chain(&self.encrypted).any(|said| *said == command)
    }
}

/// Takes mails, but none for an address that begins with `nobody`.
struct Sink {
    /// What is said of the first mails; all others are taken.
    first: Vec<&'static str>,
    mails: AtomicUsize,
    tls: Option<Arc<ServerConfig>>,
    talks: Mutex<Sender<Talk>>,
}

impl Sink {
    fn start(
        first: &[&'static str],
        tls: Option<Arc<ServerConfig>>,
    ) -> (SocketAddr, Receiver<Talk>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (sender, talks) = channel();
        let (first, mails) = (first.to_vec(), AtomicUsize::default());
        let sink = Arc::new(Self { first, mails, tls, talks: Mutex::new(sender) });
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let sink = Arc::clone(&sink);
                std::thread::spawn(move || sink.serve(socket));
            }
        });
        (address, talks)
    }

    fn serve(&self, mut socket: TcpStream) {
        let mut talk = Talk::default();
        let _ = socket.write_all(b"220 sink.example.org ESMTP\r\n");
        let mut socket = BufReader::new(socket);
        let starts_tls = self.converse(&mut socket, self.tls.is_some(), &mut talk);
        if let Some(config) = self.tls.as_ref().filter(|_| starts_tls) {
            let connection = ServerConnection::new(Arc::clone(config)).expect("a valid setting");
            let mut socket = BufReader::new(StreamOwned::new(connection, socket.into_inner()));
            talk.plain = std::mem::take(&mut talk.encrypted);
            self.converse(&mut socket, false, &mut talk);
        } else {
            talk.plain = std::mem::take(&mut talk.encrypted);
        }
        let _ = self.talks.lock().unwrap_or_else(PoisonError::into_inner).send(talk);
    }

    /// Talks until the client goes away; whether it wants to go on encrypted.
    fn converse<S: Read + Write>(
        &self,
        socket: &mut BufReader<S>,
        offers_tls: bool,
        talk: &mut Talk,
    ) -> bool {
        let mut line = String::new();
        while matches!(socket.read_line(&mut line), Ok(read) if read > 0) {
            let said = line.trim_end().to_owned();
            line.clear();
            let answer = match said.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" if offers_tls => "250-sink.example.org\r\n250 STARTTLS",
                "EHLO" => "250-sink.example.org\r\n250 AUTH PLAIN",
                "AUTH" => "235 2.7.0 welcome",
                "STARTTLS" => "220 go ahead",
                "RCPT" if said.contains("<nobody") => "550 5.1.1 nobody of that name",
                "QUIT" => "221 bye",
                "DATA" => {
                    if socket.get_mut().write_all(b"354 go on\r\n").is_err() {
                        return false;
                    }
                    talk.mail = Some(read_mail(socket));
                    let number = self.mails.fetch_add(1, Ordering::Relaxed);
                    self.first.get(number).copied().unwrap_or("250 taken")
                }
                _ => "250 ok",
            };
            let starts_tls = said == "STARTTLS";
            talk.encrypted.push(said);
            let answer = format!("{answer}\r\n");
            if socket.get_mut().write_all(answer.as_bytes()).is_err() || starts_tls {
                return starts_tls;
            }
        }
        false
    }
}

fn read_mail(from: &mut impl BufRead) -> String {
    let mut mail = String::new();
    let mut line = String::new();
    while matches!(from.read_line(&mut line), Ok(read) if read > 0) && line != ".\r\n" {
        mail += line.strip_prefix('.').unwrap_or(&line);
        line.clear();
    }
    mail
}

/// A server with findings whose mails go to the sink, unencrypted.
async fn with_sink(address: SocketAddr) -> Server {
    let port = address.port().to_string();
    server(&[
        ("KINORA_ALERTS_SMTP_HOST", "127.0.0.1"),
        ("KINORA_ALERTS_SMTP_PORT", &port),
        ("KINORA_ALERTS_SMTP_ENCRYPTION", "none"),
        ("KINORA_ALERTS_SMTP_FROM", "kinora@example.org"),
    ])
    .await
}

/// A server with findings that signs in to the sink, encrypted as it is by default.
async fn with_login(address: SocketAddr, more: &[(&str, &str)]) -> Server {
    let port = address.port().to_string();
    let login = [
        ("KINORA_ALERTS_SMTP_HOST", "localhost"),
        ("KINORA_ALERTS_SMTP_PORT", &port),
        ("KINORA_ALERTS_SMTP_FROM", "kinora@example.org"),
        ("KINORA_ALERTS_SMTP_USER", "kinora"),
        ("KINORA_ALERTS_SMTP_PASSWORD", "hush"),
    ];
    server(&[&login, more].concat()).await
}

fn rule(target: &Value) -> Value {
    json!({
        "when": { "type": "unknown" }, "targets": [target],
        "clip": { "beforeSeconds": 1, "afterSeconds": 0 },
    })
}

fn next(talks: &Receiver<Talk>) -> Talk {
    talks.recv_timeout(PATIENCE).expect("somebody who brings a mail")
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_comes_again_until_it_is_taken_with_the_picture_and_links() {
    let (address, talks) = Sink::start(&["451 4.3.0 the disk is full"], None);
    let server = with_sink(address).await;
    let times = record(&server).await;
    let (jpeg, sighting) = seen(&server);
    let target = json!({ "type": "email", "to": ["guard@example.org"] });
    put_rule(&server, "night", &rule(&target));
    appears_at(&server, "t1", times[1].0 + 0.1, &sighting).await;
    let (refused, taken) = (next(&talks), next(&talks));
    assert!(taken.is_to("guard@example.org"), "{taken:?}");
    assert_eq!(refused.header("Message-ID"), taken.header("Message-ID"));
    assert!(taken.header("Subject").starts_with("Unknown face at camera, "), "{taken:?}");
    let mail = taken.unfolded();
    assert!(mail.contains(&STANDARD_NO_PAD.encode(&jpeg)), "no picture: {mail}");
    let link = format!("{}/v1/streams/camera/clip.mp4?", server.endpoint);
    let link = &mail[mail.find(&link).expect("a link to the clip")..];
    let end = link.find(|c: char| c.is_whitespace() || c.is_control()).unwrap_or(link.len());
    let end = end.min(link.find("See the picture").expect("a link to the picture"));
    assert_plays(&link[..end], times[1].1 - times[0].0);
    // What was taken does not come again.
    appears_at(&server, "t2", times[1].0 + 0.2, &Value::Null).await;
    assert_ne!(next(&talks).header("Message-ID"), taken.header("Message-ID"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_encrypted_with_a_login_and_the_clip() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a valid certificate");
    let (address, talks) = Sink::start(&[], Some(Arc::new(tls)));
    let trusted = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(trusted.path(), cert.pem()).expect("written");
    let trusted = ("SSL_CERT_FILE", trusted.path().to_str().expect("text"));
    let server = with_login(address, &[trusted]).await;
    let times = record(&server).await;
    let target = json!({ "type": "email", "to": ["guard@example.org"], "attachClip": true });
    put_rule(&server, "night", &rule(&target));
    appears_at(&server, "t1", times[1].0 + 0.1, &Value::Null).await;
    let talk = next(&talks);
    assert_eq!(talk.plain.len(), 2, "EHLO and STARTTLS: {:?}", talk.plain);
    let login = format!("AUTH PLAIN {}", STANDARD.encode("\0kinora\0hush"));
    assert!(talk.encrypted.contains(&login), "{:?}", talk.encrypted);
    let mail = talk.mail.as_deref().expect("a mail");
    let clip = &mail[mail.find("attachment; filename=\"clip.mp4\"").expect("a clip")..];
    let (head, body) = clip.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.contains("Content-Type: video/mp4"), "{head}");
    let body = &body[..body.find("\r\n--").expect("the part's end")];
    let clip = STANDARD.decode(body.replace("\r\n", "")).expect("base64");
    assert_plays(mp4(&clip).path(), times[1].1 - times[0].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_does_not_encrypt_gets_no_mail_and_no_password() {
    let (address, talks) = Sink::start(&[], None);
    let server = with_login(address, &[]).await;
    let target = json!({ "type": "email", "to": ["guard@example.org"] });
    put_rule(&server, "night", &rule(&target));
    appears_at(&server, "t1", 1.0e9, &Value::Null).await;
    let talk = next(&talks);
    let said = |what: &str| talk.plain.iter().any(|said| said.starts_with(what));
    assert!(said("EHLO") && !said("AUTH") && !said("MAIL"), "{talk:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn address_that_is_refused_keeps_no_other_from_its_one_mail() {
    let (address, talks) = Sink::start(&[], None);
    let server = with_sink(address).await;
    let to = ["nobody@example.org", "guard@example.org"];
    let mut rule = rule(&json!({ "type": "email", "to": to }));
    rule["maxAttempts"] = json!(3);
    put_rule(&server, "night", &rule);
    appears_at(&server, "t1", 1.0e9, &Value::Null).await;
    let talks = [next(&talks), next(&talks), next(&talks), next(&talks)];
    let count = |address: &str| talks.iter().filter(|talk| talk.is_to(address)).count();
    assert_eq!(to.map(count), [3, 1]);
    assert_eq!(talks.iter().filter(|talk| talk.mail.is_some()).count(), 1);
}

#[test]
fn sender_that_is_no_address_keeps_the_server_from_starting() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = crate::support::command()
        .envs([("KINORA_ALERTS_SMTP_HOST", "localhost"), ("KINORA_ALERTS_SMTP_FROM", "kinora")])
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(dir.path().join("data"))
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("alerts.smtp.from"), "{message}");
}
