//! Signed tokens that expire: HLS session tokens, bearer tokens and links, shard iterators, listings.
//!
//! A token is opaque to its holder and needs no table in the server. Its text is URL-safe base64
//! with `~` for padding and begins with `Ci`, as the session tokens of AWS do. Layout:
//! `0A 20` ‖ HMAC-SHA256 (32) ‖ purpose (1) ‖ expiry in ms (8, big-endian) ‖ payload; the code
//! covers all that follows it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::types::{ProducerTimestamp, ServerTimestamp, StreamName};

/// The longest text that is looked at.
pub const MAX_TOKEN_CHARS: usize = 4096;

/// Makes the text begin with `Ci`; reads as a protobuf field 1 of 32 bytes, which AWS's may be.
const PREFIX: [u8; 2] = [0x0a, 0x20];
const MAC_BYTES: usize = 32;
const BODY_AT: usize = PREFIX.len() + MAC_BYTES;
const PAYLOAD_AT: usize = BODY_AT + 1 + 8;

/// The server's secret that signs tokens. Another secret voids all of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// What a token is for; one made for one purpose is refused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Playing one HLS or DASH session (`SessionToken`).
    Session = 1,
    /// Calling the native API (`Authorization: Bearer`, `?token=`).
    Access = 2,
    /// Reading a shard (`ShardIterator`).
    Iterator = 3,
    /// Going on with a listing (`NextToken`).
    Page = 4,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not the form of a token, or one for another purpose.
    #[error("the token is malformed")]
    Malformed,
    /// Altered, or signed by another server.
    #[error("the token was not issued by this server")]
    WrongSignature,
    /// Authentic, but its time is over.
    #[error("the token is expired")]
    Expired,
}

/// What an access token allows, and on whose behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The access key that issued the token; revoking the key voids its tokens.
    pub access_key: String,
    /// What the holder may do.
    pub scope: Scope,
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Read and write everything.
    All,
    /// Read one stream.
    ReadStream(StreamName),
    /// Read a range of a stream as a clip, or less of it.
    ReadClip {
        /// The stream.
        stream: StreamName,
        /// Where the clip begins.
        from: ProducerTimestamp,
        /// Where it ends.
        to: ProducerTimestamp,
    },
    /// See the picture of one sighting.
    ReadCrop {
        /// The collection.
        collection: String,
        /// The sighting of it.
        sighting: String,
    },
}

impl Secret {
    /// From 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be kept where nobody else reads.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Makes a token that carries `payload` until `expires`. The payload is signed, not encrypted.
    pub fn seal(&self, purpose: Purpose, payload: &[u8], expires: ServerTimestamp) -> String {
        let mut body = vec![purpose as u8];
        body.extend_from_slice(&expires.as_millis().to_be_bytes());
        body.extend_from_slice(payload);
        let mut token = PREFIX.to_vec();
        token.extend_from_slice(&self.mac(&body).finalize().into_bytes());
        token.extend_from_slice(&body);
        URL_SAFE.encode(token).replace('=', "~")
    }

    /// The payload of a token that is authentic, meant for `purpose` and not yet expired.
    pub fn open(
        &self,
        purpose: Purpose,
        token: &str,
        now: ServerTimestamp,
    ) -> Result<Vec<u8>, TokenError> {
        if token.len() > MAX_TOKEN_CHARS || token.contains('=') {
            return Err(TokenError::Malformed);
        }
        let bytes = URL_SAFE.decode(token.replace('~', "=")).map_err(|_| TokenError::Malformed)?;
        if bytes.len() < PAYLOAD_AT || bytes[..PREFIX.len()] != PREFIX {
            return Err(TokenError::Malformed);
        }
        let (mac, body) = bytes[PREFIX.len()..].split_at(MAC_BYTES);
        self.mac(body).verify_slice(mac).map_err(|_| TokenError::WrongSignature)?;
        if body[0] != purpose as u8 {
            return Err(TokenError::Malformed);
        }
        let mut expires = [0; 8];
        expires.copy_from_slice(&body[1..9]);
        if ServerTimestamp::from_millis(i64::from_be_bytes(expires)) <= now {
            return Err(TokenError::Expired);
        }
        Ok(bytes[PAYLOAD_AT..].to_vec())
    }

    /// Makes an access token.
    pub fn grant(&self, access: &Access, expires: ServerTimestamp) -> String {
        self.seal(Purpose::Access, &access.to_bytes(), expires)
    }

    /// What an access token allows. Whether its key is still valid is for the caller to see.
    pub fn access(&self, token: &str, now: ServerTimestamp) -> Result<Access, TokenError> {
        let payload = self.open(Purpose::Access, token, now)?;
        Access::from_bytes(&payload).ok_or(TokenError::Malformed)
    }

    fn mac(&self, body: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(body);
        mac
    }
}

/// Secrets never reach a log.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Access {
    /// `KEY` for everything, `KEY/STREAM` for reading one stream, `KEY/STREAM/FROM/TO` for a clip of
    /// it, `KEY//COLLECTION/SIGHTING` for a picture. Neither a key nor a name has a slash.
    fn to_bytes(&self) -> Vec<u8> {
        let key = &self.access_key;
        let text = match &self.scope {
            Scope::All => key.clone(),
            Scope::ReadStream(name) => format!("{key}/{name}"),
            Scope::ReadClip { stream, from, to } => {
                format!("{key}/{stream}/{}/{}", from.as_millis(), to.as_millis())
            }
            Scope::ReadCrop { collection, sighting } => format!("{key}//{collection}/{sighting}"),
        };
        text.into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let parts: Vec<&str> = std::str::from_utf8(bytes).ok()?.split('/').collect();
        let time = |text: &str| text.parse().ok().map(ProducerTimestamp::from_millis);
        let (access_key, scope) = match parts[..] {
            [key] => (key, Scope::All),
            [key, name] => (key, Scope::ReadStream(name.parse().ok()?)),
            [key, "", collection, sighting] => {
                let (collection, sighting) = (collection.to_owned(), sighting.to_owned());
                (key, Scope::ReadCrop { collection, sighting })
            }
            [key, name, from, to] => {
                let stream = name.parse().ok()?;
                (key, Scope::ReadClip { stream, from: time(from)?, to: time(to)? })
            }
            _ => return None,
        };
        Some(Self { access_key: access_key.to_owned(), scope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: Secret = Secret::new([7; 32]);

    fn at(ms: i64) -> ServerTimestamp {
        ServerTimestamp::from_millis(ms)
    }

    #[test]
    fn token_looks_like_those_of_aws() {
        for len in 0..40 {
            let token = SECRET.seal(Purpose::Session, &vec![0xff; len], at(1));
            assert!(token.starts_with("Ci"), "{token}");
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_~".contains(c);
            assert!(token.chars().all(allowed), "{token}");
        }
    }

    #[test]
    fn token_is_refused_from_the_moment_it_expires() {
        let token = SECRET.seal(Purpose::Session, b"x", at(1000));
        assert_eq!(SECRET.open(Purpose::Session, &token, at(999)), Ok(b"x".to_vec()));
        assert_eq!(SECRET.open(Purpose::Session, &token, at(1000)), Err(TokenError::Expired));
    }

    #[test]
    fn token_is_refused_for_another_purpose_and_by_another_server() {
        let token = SECRET.seal(Purpose::Session, b"AKIA", at(1000));
        assert_eq!(SECRET.access(&token, at(0)), Err(TokenError::Malformed));
        let other = Secret::new([8; 32]);
        assert_eq!(other.open(Purpose::Session, &token, at(0)), Err(TokenError::WrongSignature));
    }

    #[test]
    fn access_token_says_what_it_allows() {
        let stream: StreamName = "cam1".parse().expect("a name");
        let time = ProducerTimestamp::from_millis;
        let clip = Scope::ReadClip { stream: stream.clone(), from: time(-5), to: time(5000) };
        let crop = Scope::ReadCrop { collection: "staff".to_owned(), sighting: "s1".to_owned() };
        for scope in [Scope::All, Scope::ReadStream(stream), clip, crop] {
            let access = Access { access_key: "AKIATEST".to_owned(), scope };
            assert_eq!(SECRET.access(&SECRET.grant(&access, at(9)), at(8)), Ok(access));
        }
    }

    proptest! {
        #[test]
        fn token_carries_its_payload(payload: Vec<u8>, expires in 1..i64::MAX) {
            let token = SECRET.seal(Purpose::Session, &payload, at(expires));
            prop_assume!(token.len() <= MAX_TOKEN_CHARS);
            prop_assert_eq!(SECRET.open(Purpose::Session, &token, at(expires - 1)), Ok(payload));
        }

        #[test]
        fn altered_token_is_refused(payload: Vec<u8>, at_byte: usize, to in 1u8..) {
            let token = SECRET.seal(Purpose::Session, &payload, at(i64::MAX));
            let mut bytes = URL_SAFE.decode(token.replace('~', "=")).expect("own token");
            let index = at_byte % bytes.len();
            bytes[index] ^= to;
            let token = URL_SAFE.encode(bytes).replace('=', "~");
            prop_assert!(SECRET.open(Purpose::Session, &token, at(0)).is_err());
        }

        #[test]
        fn any_text_is_answered_with_an_error(text: String) {
            prop_assert!(SECRET.open(Purpose::Access, &text, at(0)).is_err());
        }
    }
}
