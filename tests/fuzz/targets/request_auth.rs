//! Any text as what a request presents to be let in: nothing panics, and nothing gets in.

#![no_main]

use kinora_fuzz::types::ServerTimestamp;
use kinora_fuzz::wire::sigv4::{self, EMPTY_PAYLOAD, Request, UNSIGNED_PAYLOAD};
use kinora_fuzz::wire::token::{Purpose, Secret};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let now = ServerTimestamp::from_millis(1_767_323_045_000);
    // Lines are headers, but for the first, which is the query.
    let (query, lines) = text.split_once('\n').unwrap_or((text, ""));
    let headers: Vec<_> = lines.lines().filter_map(|line| line.split_once(": ")).collect();
    let request = Request { method: "POST", path: "/putMedia", query, headers: &headers };
    let _ = sigv4::is_signed(&request);
    if let Ok(presented) = sigv4::parse(&request) {
        let payloads = [EMPTY_PAYLOAD, UNSIGNED_PAYLOAD];
        let verified = presented.verify(&request, "a secret", &payloads, &["kinesisvideo"], now);
        assert!(verified.is_err());
    }
    let secret = Secret::new([7; 32]);
    assert!(secret.open(Purpose::Session, text, now).is_err());
    assert!(secret.access(text, now).is_err());
});
