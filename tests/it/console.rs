//! The console's files as browsers get them. What they do there is in `browser`.

use kinora::wire::sigv4::Request;

use crate::support::{Answer, Server};

fn get(server: &Server, path: &str, more: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("host", server.authority())];
    headers.extend(more);
    server.send(&Request { method: "GET", path, query: "", headers: &headers }, &[], "")
}

#[test]
fn every_file_of_the_console_has_its_type_its_lifetime_and_the_policy() {
    let server = Server::start();
    let start = get(&server, "/", &[]);
    let files: Vec<&str> = start.text().split('"').filter(|text| text.starts_with('/')).collect();
    assert!(files.len() >= 3, "the console is not built; run `make web`: {}", start.text());
    for file in files {
        let answer = get(&server, file, &[]);
        let kind = answer.header("content-type").expect("a type");
        let expected = match file.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => panic!("{file} is of no kind that the console has"),
        };
        assert_eq!(kind, expected, "{file}");
        let lifetime = match file.starts_with("/assets/") {
            true => "public, max-age=31536000, immutable",
            false => "no-cache",
        };
        assert_eq!(answer.header("cache-control"), Some(lifetime), "{file}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{file}");
    }
    let policy = start.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe-eval"));
}

#[test]
fn start_page_is_asked_for_again_and_not_sent_again() {
    let server = Server::start();
    let first = get(&server, "/", &[]);
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let tag = first.header("etag").expect("a tag");
    let again = get(&server, "/", &[("if-none-match", tag)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    // Views are paths of the page; a missing file is none.
    assert_eq!(get(&server, "/streams/cam1", &[]).body, first.body);
    assert_eq!(get(&server, "/assets/none.js", &[]).status, 404);
}
