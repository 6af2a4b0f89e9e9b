use proptest::prelude::*;

use super::canonical::canonical_request;
use super::*;
use crate::types::ServerTimestamp;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const DATE: &str = "20260102T030405Z";
const TARGET: Target<'_> = Target { region: "us-west-2", service: "kinesisvideo" };
const SERVICES: &[&str] = &["kinesisvideo"];

fn now() -> ServerTimestamp {
    parse_amz_date(DATE).expect("a valid date")
}

fn credentials() -> Credentials {
    Credentials {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret: SECRET.to_owned(),
        session_token: None,
    }
}

fn post<'a>(path: &'a str, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
    Request { method: "POST", path, query: "", headers }
}

/// Signs `request`, checks the signature's text, and that the server's side accepts it.
fn check_vector(request: Request<'_>, payload: &str, canonical_hash: &str, signature: &str) {
    let mut headers = request.headers.to_vec();
    headers.push(("x-amz-date", DATE));
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let canonical = canonical_request(&Request { headers: &headers, ..request }, &names, payload)
        .expect("all headers are there");
    assert_eq!(payload_hash(canonical.as_bytes()), canonical_hash);

    let added = sign_headers(&request, payload, &credentials(), TARGET, now());
    assert!(added[0].1.ends_with(&format!("Signature={signature}")), "{}", added[0].1);
    assert_eq!(verify_signed(&request, &added, &[payload], now()), Ok(()));
}

fn verify_signed(
    request: &Request<'_>,
    added: &[(&str, String)],
    payloads: &[&str],
    now: ServerTimestamp,
) -> Result<(), Error> {
    let mut headers = request.headers.to_vec();
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
    let request = Request { headers: &headers, ..*request };
    parse(&request)?.verify(&request, SECRET, payloads, SERVICES, now)
}

#[test]
fn header_that_is_named_over_and_over_is_refused_before_it_is_hashed() {
    let value = format!(
        "{ALGORITHM} Credential=AKID/20260102/us-west-2/kinesisvideo/aws4_request, \
         SignedHeaders=host;{}x-long, Signature=00",
        "x-long;".repeat(2_000)
    );
    let long = "v".repeat(30_000);
    let headers = [
        ("host", "h"),
        ("x-amz-date", DATE),
        ("x-long", long.as_str()),
        ("authorization", value.as_str()),
    ];
    let refused = parse(&post("/listStreams", &headers));
    assert!(matches!(refused, Err(Error::Incomplete(_))), "{refused:?}");
}

#[test]
fn control_call_is_signed_as_boto3_signs_it() {
    let headers = [("content-type", "application/json"), ("host", "127.0.0.1:8080")];
    check_vector(
        post("/describeStream", &headers),
        &payload_hash(br#"{"StreamName":"cam1"}"#),
        "413f0f184a32959e58380b819059999cd23503f023be70cf9833e7ec14d27591",
        "7a62f7f9ccf9eb4ebd498c9e0a48c2a667f132ba323244f753eb4a414846b079",
    );
}

const C_HEADERS: [(&str, &str); 8] = [
    ("connection", "keep-alive"),
    ("host", "127.0.0.1"),
    ("transfer-encoding", "chunked"),
    ("user-agent", "AWS-PRODUCER-SDK-KVS/1.6.4"),
    ("x-amzn-fragment-acknowledgment-required", "1"),
    ("x-amzn-fragment-timecode-type", "ABSOLUTE"),
    ("x-amzn-producer-start-timestamp", "1767323045.5"),
    ("x-amzn-stream-name", "cam1"),
];

#[test]
fn put_media_is_signed_as_the_c_producer_signs_it() {
    check_vector(
        post("/putMedia", &C_HEADERS),
        EMPTY_PAYLOAD,
        "8afec5bdaa2dd1dc54e076658d4dfef4810b265fd52737c64bff6deedcad024c",
        "2faf1553579924f07f2eab3ae93cb9ae6ad5b28c5f4f3da308db067240fc4592",
    );
}

#[test]
fn put_media_verifies_after_a_proxy_removed_the_hop_by_hop_headers() {
    let added =
        sign_headers(&post("/putMedia", &C_HEADERS), EMPTY_PAYLOAD, &credentials(), TARGET, now());
    let left: Vec<_> = C_HEADERS
        .into_iter()
        .filter(|(name, _)| !["connection", "transfer-encoding"].contains(name))
        .collect();
    let request = post("/putMedia", &left);
    assert_eq!(verify_signed(&request, &added, &[UNSIGNED_PAYLOAD, EMPTY_PAYLOAD], now()), Ok(()));
}

/// Heads of real requests; see the `README` beside the bodies in the wire reference. Their secret
/// is unknown, so what is shown is that every signed header is found.
#[test]
fn head_of_a_captured_put_media_is_canonicalised() {
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDTEST/20261122/us-west-2/kinesisvideo/aws4_request, SignedHeaders=connection;host;transfer-encoding;user-agent;x-amz-date;x-amzn-fragment-acknowledgment-required;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name, Signature=e24a73604bd1dc73b0b7012bf245218c6a013b08a23f55721ec2253ce579b476";
    let agent = "AWS-SDK-KVS-CPP-CLIENT/3.5.0/1.6.0 GCC/12.2.0 Linux/6.18 x86_64 CPPSDK";
    let headers = [
        ("Host", "127.0.0.1"),
        ("Accept", "*/*"),
        ("Authorization", authorization),
        ("connection", "keep-alive"),
        ("content-type", "application/json"),
        ("transfer-encoding", "chunked"),
        ("user-agent", agent),
        ("X-Amz-Date", "20261122T004812Z"),
        ("x-amz-security-token", "never signed by the C producer"),
        ("x-amzn-fragment-acknowledgment-required", "1"),
        ("x-amzn-fragment-timecode-type", "ABSOLUTE"),
        ("x-amzn-producer-start-timestamp", "1795308492.759"),
        ("x-amzn-stream-name", "cam1"),
        ("Expect", "100-continue"),
    ];
    let request = post("/putMedia", &headers);
    let presented = parse(&request).expect("a well-formed head");
    assert_eq!(presented.access_key(), "AKIDTEST");
    let now = parse_amz_date("20261122T004812Z").expect("a valid date");
    let outcome = presented.verify(&request, "unknown", &[EMPTY_PAYLOAD], SERVICES, now);
    assert_eq!(outcome, Err(Error::Mismatch));
    let names: Vec<&str> = "connection;host;transfer-encoding;user-agent;x-amz-date;\
        x-amzn-fragment-acknowledgment-required;x-amzn-fragment-timecode-type;\
        x-amzn-producer-start-timestamp;x-amzn-stream-name"
        .split(';')
        .collect();
    let expected = format!(
        "POST\n/putMedia\n\nconnection:keep-alive\nhost:127.0.0.1\ntransfer-encoding:chunked\n\
         user-agent:{agent}\nx-amz-date:20261122T004812Z\n\
         x-amzn-fragment-acknowledgment-required:1\nx-amzn-fragment-timecode-type:ABSOLUTE\n\
         x-amzn-producer-start-timestamp:1795308492.759\nx-amzn-stream-name:cam1\n\n{}\n{EMPTY_PAYLOAD}",
        names.join(";")
    );
    assert_eq!(canonical_request(&request, &names, EMPTY_PAYLOAD), Some(expected));
}

#[test]
fn each_fault_of_a_signature_has_its_error() {
    let host = [("host", "h")];
    let request = post("/describeStream", &host);
    assert_eq!(parse(&request), Err(Error::Missing));

    let malformed = [("host", "h"), ("authorization", "AWS4-HMAC-SHA256 Signature=1")];
    let Err(Error::Incomplete(text)) = parse(&post("/", &malformed)) else {
        panic!("must be incomplete")
    };
    assert!(text.starts_with("Authorization header requires 'Credential' parameter. Auth"));
    assert!(!text.contains("'Signature' parameter"), "{text}");

    let added = sign_headers(&request, EMPTY_PAYLOAD, &credentials(), TARGET, now());
    let both = Request { query: "X-Amz-Algorithm=AWS4-HMAC-SHA256", ..request };
    assert_eq!(verify_signed(&both, &added, &[EMPTY_PAYLOAD], now()), Err(Error::BothForms));

    let other = Target { service: "s3", ..TARGET };
    let added_s3 = sign_headers(&request, EMPTY_PAYLOAD, &credentials(), other, now());
    let outcome = verify_signed(&request, &added_s3, &[EMPTY_PAYLOAD], now());
    assert!(matches!(outcome, Err(Error::WrongScope(_))), "{outcome:?}");

    let mut added_day = added.clone();
    added_day[0].1 = added[0].1.replace("/20260102/", "/20260103/");
    let outcome = verify_signed(&request, &added_day, &[EMPTY_PAYLOAD], now());
    assert!(matches!(outcome, Err(Error::WrongScope(_))), "{outcome:?}");
}

#[test]
fn signature_is_good_for_five_minutes_either_way() {
    let host = [("host", "h")];
    let request = post("/describeStream", &host);
    let added = sign_headers(&request, EMPTY_PAYLOAD, &credentials(), TARGET, now());
    let verify = |now| verify_signed(&request, &added, &[EMPTY_PAYLOAD], now);
    let second = Millis(1000);
    assert_eq!(verify(now().plus(CLOCK_WINDOW)), Ok(()));
    assert_eq!(verify(now().minus(CLOCK_WINDOW)), Ok(()));
    let expired = verify(now().plus(CLOCK_WINDOW).plus(second)).expect_err("too late");
    assert_eq!(
        expired.to_string(),
        "Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z \
         (20260102T030906Z - 5 min.)"
    );
    let early = verify(now().minus(CLOCK_WINDOW).minus(second)).expect_err("too early");
    assert!(early.to_string().starts_with("Signature not yet current: 20260102T030405Z"));
}

#[test]
fn signed_url_is_good_until_it_expires() {
    let host = [("host", "h:1")];
    let request =
        Request { method: "GET", path: "/v1/streams", query: "b=2&a=x%20y", headers: &host };
    let query = presign_query(&request, &credentials(), TARGET, now(), 60);
    let verify = |query: &str, at| {
        let request = Request { query, ..request };
        parse(&request)?.verify(&request, SECRET, &[EMPTY_PAYLOAD], SERVICES, at)
    };
    assert_eq!(verify(&query, now().plus(Millis(60_000))), Ok(()));
    let late = verify(&query, now().plus(Millis(61_000)));
    assert!(matches!(late, Err(Error::Expired { .. })), "{late:?}");
    assert_eq!(verify(&query.replace("b=2", "b=3"), now()), Err(Error::Mismatch));
    let forever = verify(&query.replace("Expires=60", "Expires=604801"), now());
    assert!(matches!(forever, Err(Error::Incomplete(_))), "{forever:?}");
}

#[test]
fn dates_that_do_not_exist_are_refused() {
    for text in ["", "20260102", "20261302T030405Z", "20260230T030405Z", "2026-102T030405Z"] {
        assert_eq!(parse_amz_date(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_what_is_altered_does_not(
        path in "/[ -~]{0,20}",
        query in "([a-z%+ ]{1,4}=[a-z%2&=]{0,6}&?){0,3}",
        value in "[ -~]{0,20}",
        body: Vec<u8>,
        other in "[a-z]{1,8}",
    ) {
        let path = path.replace('?', "");
        let headers = [("Host", "127.0.0.1:5580"), ("X-Amzn-Test", value.as_str())];
        let request = Request { method: "POST", path: &path, query: &query, headers: &headers };
        let hash = payload_hash(&body);
        let added = sign_headers(&request, &hash, &credentials(), TARGET, now());
        let verify = |request: &Request<'_>, hash: &str| {
            verify_signed(request, &added, &[hash], now())
        };
        prop_assert_eq!(verify(&request, &hash), Ok(()));

        let altered = payload_hash(&[&body[..], b"x"].concat());
        prop_assert_eq!(verify(&request, &altered), Err(Error::Mismatch));
        let longer = format!("{path}{other}");
        let altered = Request { path: &longer, ..request };
        prop_assert_eq!(verify(&altered, &hash), Err(Error::Mismatch));
        let longer = format!("{query}&{other}={other}");
        let altered = Request { query: &longer, ..request };
        prop_assert_eq!(verify(&altered, &hash), Err(Error::Mismatch));
        let longer = format!("{value}{other}");
        let headers = [("Host", "127.0.0.1:5580"), ("X-Amzn-Test", longer.as_str())];
        let altered = Request { headers: &headers, ..request };
        prop_assert_eq!(verify(&altered, &hash), Err(Error::Mismatch));
        let headers = [("Host", "127.0.0.1"), ("X-Amzn-Test", value.as_str())];
        let altered = Request { headers: &headers, ..request };
        prop_assert_eq!(verify(&altered, &hash), Err(Error::Mismatch));
    }

    #[test]
    fn altered_signature_is_refused(index in 0usize..64) {
        let host = [("host", "h")];
        let request = post("/describeStream", &host);
        let mut added = sign_headers(&request, EMPTY_PAYLOAD, &credentials(), TARGET, now());
        let mut text = std::mem::take(&mut added[0].1).into_bytes();
        let at = text.len() - 1 - index;
        text[at] = if text[at] == b'0' { b'1' } else { b'0' };
        added[0].1 = String::from_utf8(text).expect("still ASCII");
        prop_assert_eq!(
            verify_signed(&request, &added, &[EMPTY_PAYLOAD], now()),
            Err(Error::Mismatch)
        );
    }

    #[test]
    fn any_authorization_is_answered_with_an_error(text in "(AWS4-HMAC-SHA256 )?[ -~]{0,80}") {
        let headers = [("host", "h"), ("authorization", text.as_str()), ("x-amz-date", DATE)];
        let request = post("/describeStream", &headers);
        let outcome = parse(&request)
            .and_then(|found| found.verify(&request, SECRET, &[EMPTY_PAYLOAD], SERVICES, now()));
        prop_assert!(outcome.is_err());
    }
}
