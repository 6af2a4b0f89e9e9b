//! Webhooks: a signed POST, with the clip where the receiver wants it.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client as Http, Url};

use super::clip::Parcel;
use super::deliver::Failed;
use crate::client::chain;
use crate::clock::Clock;
use crate::wire::alerts::{SIGNATURE_HEADER, signature};

/// How long a connection may take to be made, and the whole exchange, without a clip and with one.
const CONNECT: Duration = Duration::from_secs(5);
const EXCHANGE: Duration = Duration::from_secs(10);
const EXCHANGE_WITH_CLIP: Duration = Duration::from_secs(60);

/// Sends webhooks.
#[derive(Debug)]
pub struct Webhooks {
    clock: Clock,
    http: Http,
    /// For receivers on this machine, which no proxy reaches.
    direct: Http,
}

impl Webhooks {
    /// Makes no connection yet.
    ///
    /// # Errors
    /// The HTTP client could not be set up.
    pub fn new(clock: Clock) -> Result<Self, reqwest::Error> {
        let http = || {
            let agent = concat!("kinora/", env!("CARGO_PKG_VERSION"));
            // A signed message is for its receiver alone.
            Http::builder().user_agent(agent).connect_timeout(CONNECT).redirect(Policy::none())
        };
        let (proxied, direct) = (http().build()?, http().no_proxy().build()?);
        Ok(Self { clock, http: proxied, direct })
    }

    /// Sends one.
    ///
    /// # Errors
    /// The receiver did not answer with a status of success, or the clip could not be read.
    pub async fn send(
        &self,
        url: &str,
        secret: &str,
        attach_clip: bool,
        parcel: &Parcel<'_>,
    ) -> Result<(), Failed> {
        let notice = &parcel.notice;
        let url = Url::parse(url).map_err(|error| Failed::Refused(error.to_string()))?;
        let json = Bytes::from(serde_json::to_vec(notice).expect("a notice is plain JSON"));
        let clip = if attach_clip { parcel.clip().await? } else { None };
        let timeout = if clip.is_some() { EXCHANGE_WITH_CLIP } else { EXCHANGE };
        let (media_type, body) = match clip {
            Some(clip) => multipart(&notice.alert.id, &json, clip),
            None => ("application/json".to_owned(), json),
        };
        let seconds = self.clock.now().as_millis().div_euclid(1000);
        let signature = signature(secret, seconds, &body);
        let http = if is_local(&url) { &self.direct } else { &self.http };
        let request = http.post(url).header(CONTENT_TYPE, media_type);
        let request = request.header(SIGNATURE_HEADER, signature).timeout(timeout).body(body);
        let answer = request.send().await.map_err(|error| Failed::Refused(chain(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(Failed::Refused(format!("the receiver answered {status}")))
    }
}

/// A form of two files: `notice`, the JSON, and `clip`, the MP4.
fn multipart(id: &str, json: &[u8], clip: &[u8]) -> (String, Bytes) {
    let boundary = format!("kinora-{id}");
    let mut body = BytesMut::with_capacity(json.len() + clip.len() + 512);
    let mut part = |name: &str, file: &str, media_type: &str, data: &[u8]| {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; \
             filename=\"{file}\"\r\nContent-Type: {media_type}\r\n\r\n"
        );
        body.put_slice(head.as_bytes());
        body.put_slice(data);
        body.put_slice(b"\r\n");
    };
    part("notice", "notice.json", "application/json", json);
    part("clip", "clip.mp4", "video/mp4", clip);
    body.put_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body.freeze())
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
