//! Who gets in and who does not: every client's way of signing, every error.

use kinora::clock::Clock;
use kinora::types::{Millis, ServerTimestamp};
use kinora::wire::sigv4::{
    self, Credentials, EMPTY_PAYLOAD, Request, Target, UNSIGNED_PAYLOAD, payload_hash,
};

use crate::support::{Answer, Server, TARGET};

const LIST: &str = "/listStreams";
const BODY: &str = r#"{"MaxResults":5}"#;

type Headers<'a> = &'a [(&'a str, &'a str)];

fn now() -> ServerTimestamp {
    Clock::system().now()
}

fn post<'a>(path: &'a str, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
    Request { method: "POST", path, query: "", headers }
}

/// Signs ListStreams with something about it changed, and sends it.
fn list(
    server: &Server,
    credentials: &Credentials,
    target: Target<'_>,
    at: ServerTimestamp,
) -> Answer {
    let headers = [("host", server.authority())];
    let request = post(LIST, &headers);
    let hash = payload_hash(BODY.as_bytes());
    let added = sigv4::sign_headers(&request, &hash, credentials, target, at);
    server.send(&request, &added, BODY)
}

#[test]
fn control_calls_of_every_client_are_accepted() {
    let server = Server::start();
    let hash = payload_hash(BODY.as_bytes());
    let host = server.authority();
    let bare_host = "127.0.0.1";
    let clients: [(&str, Headers<'_>, &str, Headers<'_>); 6] = [
        ("boto3", &[("content-type", "application/json"), ("host", host)], &hash, &[]),
        (
            "C producer: Host without port, content type unsigned",
            &[("host", bare_host), ("user-agent", "AWS-SDK-KVS/3.5.0  GCC/12.2.0")],
            &hash,
            &[("content-type", "application/json")],
        ),
        ("Go: hash header signed", &[("host", host), ("x-amz-content-sha256", &hash)], &hash, &[]),
        ("unsigned payload", &[("host", host)], UNSIGNED_PAYLOAD, &[]),
        (
            "unsigned session token",
            &[("host", host)],
            &hash,
            &[("x-amz-security-token", "of another account")],
        ),
        ("headers in any case", &[("Host", host), ("X-Amzn-Test", "  a   b ")], &hash, &[]),
    ];
    for (client, headers, hash, unsigned) in clients {
        let request = post(LIST, headers);
        let mut added = sigv4::sign_headers(&request, hash, &server.credentials, TARGET, now());
        added.extend(unsigned.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let answer = server.send(&request, &added, BODY);
        assert_eq!(answer.status, 200, "{client}: {answer:?}");
    }
}

#[test]
fn session_token_may_be_signed_and_any_region_named() {
    let server = Server::start();
    let token = Some("a session token".to_owned());
    let credentials = Credentials { session_token: token, ..server.credentials.clone() };
    assert_eq!(list(&server, &credentials, TARGET, now()).status, 200);
    let elsewhere = Target { region: "ap-southeast-2", ..TARGET };
    assert_eq!(list(&server, &credentials, elsewhere, now()).status, 200);
}

/// Streaming operations verify the head alone, as the native API does.
#[test]
fn heads_of_streaming_clients_are_accepted() {
    let server = Server::start();
    let host = server.authority();
    let hop_by_hop: Headers<'_> = &[
        ("host", "127.0.0.1"),
        ("connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("user-agent", "AWS-PRODUCER-SDK-KVS/1.6.4"),
        ("x-amzn-stream-name", "cam1"),
    ];
    let clients: [(&str, Headers<'_>, &str); 3] = [
        ("C producer", hop_by_hop, EMPTY_PAYLOAD),
        ("Java producer", &[("host", host), ("x-amzn-stream-name", "cam1")], UNSIGNED_PAYLOAD),
        ("hash of the body in the head", &[("host", host), ("x-amz-content-sha256", "0a")], "0a"),
    ];
    for (client, headers, hash) in clients {
        let request = Request { method: "GET", ..post("/v1/streams", headers) };
        let added = sigv4::sign_headers(&request, hash, &server.credentials, TARGET, now());
        let answer = server.send(&request, &added, "");
        assert_eq!(answer.status, 200, "{client}: {answer:?}");
    }
    // What a proxy makes of the first one.
    let signed = Request { method: "GET", ..post("/v1/streams", hop_by_hop) };
    let added = sigv4::sign_headers(&signed, EMPTY_PAYLOAD, &server.credentials, TARGET, now());
    let left = [hop_by_hop[0], hop_by_hop[3], hop_by_hop[4]];
    let proxied = Request { headers: &left, ..signed };
    assert_eq!(server.send(&proxied, &added, "").status, 200);
}

#[test]
fn each_fault_has_the_name_and_status_that_clients_know() {
    let server = Server::start();
    let root = &server.credentials;
    let host = [("host", server.authority())];
    let minutes = |count: u64| Millis(count * 60 * 1000);

    let check = |answer: Answer, name: &str, text: &str| {
        assert_eq!(answer.refusal(), (403, name), "{answer:?}");
        let start = format!("{{\"message\":\"{text}");
        assert!(answer.text().starts_with(&start), "{}", answer.text());
    };
    let unsigned = server.send(&post(LIST, &host), &[], BODY);
    check(unsigned, "MissingAuthenticationTokenException", "Missing Authentication Token");

    let malformed = [("authorization", "AWS4-HMAC-SHA256 Credential=x".to_owned())];
    let answer = server.send(&post(LIST, &host), &malformed, BODY);
    check(answer, "IncompleteSignatureException", "Authorization header requires 'Signature'");

    let other_scheme = [("authorization", "Bearer x".to_owned())];
    let answer = server.send(&post(LIST, &host), &other_scheme, BODY);
    check(answer, "IncompleteSignatureException", "Unsupported AWS 'algorithm'");

    let both = Request { query: "X-Amz-Algorithm=AWS4-HMAC-SHA256", ..post(LIST, &host) };
    let answer = server.send(&both, &malformed, BODY);
    check(answer, "InvalidSignatureException", "Found both 'X-Amz-Algorithm' as a query-string");

    let wrong = Credentials { secret: "wrong".to_owned(), ..root.clone() };
    let mismatch = "The request signature we calculated does not match";
    check(list(&server, &wrong, TARGET, now()), "InvalidSignatureException", mismatch);

    let past = list(&server, root, TARGET, now().minus(minutes(6)));
    check(past, "InvalidSignatureException", "Signature expired: ");
    let future = list(&server, root, TARGET, now().plus(minutes(6)));
    check(future, "InvalidSignatureException", "Signature not yet current: ");
    assert_eq!(list(&server, root, TARGET, now().minus(minutes(4))).status, 200);

    let unknown = Credentials { access_key: "AKIAUNKNOWN".to_owned(), ..root.clone() };
    let invalid = "The security token included in the request is invalid.";
    check(list(&server, &unknown, TARGET, now()), "UnrecognizedClientException", invalid);

    let s3 = Target { service: "s3", ..TARGET };
    let scope = "Credential should be scoped to correct service: 'kinesisvideo'.";
    check(list(&server, root, s3, now()), "InvalidSignatureException", scope);

    let request = post(LIST, &host);
    let hash = payload_hash(BODY.as_bytes());
    let mut added = sigv4::sign_headers(&request, &hash, root, TARGET, now());
    let answer = server.send(&request, &added, r#"{"MaxResults":6}"#);
    check(answer, "InvalidSignatureException", mismatch);
    let day = &sigv4::amz_date(now())[..8];
    added[0].1 = added[0].1.replace(&format!("/{day}/"), "/20200101/");
    let answer = server.send(&request, &added, BODY);
    check(answer, "InvalidSignatureException", "Date in Credential scope does not match");
}

#[test]
fn url_signed_in_its_query_is_accepted() {
    let server = Server::start();
    let host = [("host", server.authority())];
    let request = Request { method: "GET", ..post("/v1/streams", &host) };
    let query = sigv4::presign_query(&request, &server.credentials, TARGET, now(), 60);
    let signed = Request { query: &query, ..request };
    assert_eq!(server.send(&signed, &[], "").status, 200);
    let query = format!("{query}&more=1");
    let altered = Request { query: &query, ..request };
    assert_eq!(server.send(&altered, &[], "").refusal(), (403, "InvalidSignatureException"));
}

#[test]
fn keys_made_expired_and_revoked_take_effect_while_the_server_runs() {
    let server = Server::start();
    let made = |arguments: &[&str]| {
        let text = server.key(arguments);
        let value = |at: usize| {
            let line = text.lines().nth(at).expect("three lines");
            line.split(" = ").nth(1).expect("a value").to_owned()
        };
        Credentials { access_key: value(1), secret: value(2), session_token: None }
    };
    let lasting = made(&["create", "camera"]);
    let brief = made(&["create", "visitor", "--expires", "2s"]);
    std::thread::sleep(std::time::Duration::from_millis(3500));
    assert_eq!(list(&server, &lasting, TARGET, now()).status, 200);
    let expired = list(&server, &brief, TARGET, now());
    assert_eq!(expired.refusal(), (403, "ExpiredTokenException"));
    assert!(server.key(&["list"]).contains("camera"));

    let link = server.key(&["link", "--key", &lasting.access_key, "--url", "http://h"]);
    let token = link.trim().strip_prefix("http://h/#token=").expect("a sign-in link").to_owned();
    let with_link = || native(&server, "/v1/streams", &format!("Bearer {token}"));
    assert_eq!(with_link().status, 200);
    server.key(&["revoke", &lasting.access_key]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let revoked = list(&server, &lasting, TARGET, now());
    assert_eq!(revoked.refusal(), (403, "UnrecognizedClientException"));
    assert_eq!(with_link().refusal(), (403, "UnrecognizedClientException"));
}

fn native(server: &Server, path: &str, authorization: &str) -> Answer {
    let headers = [("host", "h"), ("authorization", authorization)];
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    server.send(&Request { method: "GET", path, query, headers: &headers }, &[], "")
}

#[test]
fn native_api_takes_basic_bearer_and_links_and_keeps_to_their_reach() {
    use base64::Engine;
    let server = Server::start();
    for name in ["cam1", "cam2"] {
        let created = server.call("/createStream", &format!(r#"{{"StreamName":"{name}"}}"#));
        assert_eq!(created.status, 200);
    }
    let basic = |secret: &str| {
        let pair = format!("{}:{secret}", server.credentials.access_key);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let all = native(&server, "/v1/streams", &basic(&server.credentials.secret));
    assert!(all.text().contains("cam1") && all.text().contains("cam2"), "{all:?}");
    let wrong = native(&server, "/v1/streams", &basic("wrong"));
    assert_eq!(wrong.refusal(), (403, "UnrecognizedClientException"));
    let nothing = native(&server, "/v1/streams", "");
    assert_eq!(nothing.refusal(), (401, "MissingAuthenticationTokenException"));
    assert_eq!(nothing.header("www-authenticate"), Some("Bearer realm=\"kinora\""));
    assert_eq!(nothing.header("access-control-allow-origin"), Some("*"));

    let link = server.key(&["link", "--stream", "cam1", "--url", "http://h"]);
    let token = link.trim().rsplit_once("?token=").expect("a token").1.to_owned();
    let one = native(&server, &format!("/v1/streams?token={token}"), "");
    assert!(one.text().contains("cam1") && !one.text().contains("cam2"), "{one:?}");
    let metrics = native(&server, "/metrics", &format!("Bearer {token}"));
    assert_eq!(metrics.refusal(), (403, "AccessDeniedException"));
    let metrics = native(&server, "/metrics", &basic(&server.credentials.secret));
    assert!(metrics.text().contains("kinora_http_auth_refused_total "), "{metrics:?}");
    assert_eq!(native(&server, "/metrics", "").status, 401);
}

#[test]
fn health_description_and_console_are_open_and_preflight_is_answered() {
    let server = Server::start();
    let health = native(&server, "/healthz", "");
    assert_eq!((health.status, health.text()), (200, r#"{"status":"ok"}"#));
    let console = native(&server, "/", "");
    assert_eq!(console.header("content-type"), Some("text/html; charset=utf-8"));
    let preflight = Request { method: "OPTIONS", ..post("/v1/streams", &[("host", "h")]) };
    let answer = server.send(&preflight, &[], "");
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-headers").is_some_and(|h| h.contains("Author")));

    let description = native(&server, "/v1/openapi.json", "");
    let description: serde_json::Value =
        serde_json::from_slice(&description.body).expect("the description is JSON");
    let paths = description["paths"].as_object().expect("paths");
    for (path, item) in paths {
        let path = path.replace("{stream}", "cam1");
        let methods = item.as_object().expect("an object").keys();
        for method in methods.filter(|key| *key != "parameters") {
            let headers = [("host", "h")];
            let method = method.to_ascii_uppercase();
            let request = Request { method: &method, ..post(&path, &headers) };
            let status = server.send(&request, &[], "").status;
            assert!(matches!(status, 200 | 401), "{method} {path}: {status}");
        }
    }
}

#[test]
fn auth_can_be_off_on_loopback_only() {
    let server = Server::start_with(&["--auth", "off"]);
    assert_eq!(server.send(&post(LIST, &[("host", "h")]), &[], "").status, 200);
    assert_eq!(native(&server, "/v1/streams", "").status, 200);
    let output = crate::support::command()
        .args(["serve", "--auth", "off", "--listen", "0.0.0.0:0"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("auth can be off only on a loopback address"), "{message}");
}

#[test]
fn sender_that_stops_in_the_middle_of_its_body_is_answered_and_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("short.toml");
    std::fs::write(&config, "[http]\nbody_timeout_seconds = 1\n").expect("written");
    let server = Server::start_with(&["--config", config.to_str().expect("text")]);
    let headers = [("host", server.authority())];
    let request = post(LIST, &headers);
    let hash = payload_hash(BODY.as_bytes());
    let added = sigv4::sign_headers(&request, &hash, &server.credentials, TARGET, now());
    let mut text = format!("POST {LIST} HTTP/1.1\r\nhost: {}\r\n", server.authority());
    for (name, value) in added {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("content-length: 16\r\n\r\n{\"Max");
    let answer = server.exchange(text.as_bytes());
    assert_eq!(answer.refusal(), (408, "RequestTimeoutException"));
}
